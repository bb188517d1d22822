"""Resolve |F|: a box of Miller indices from a list, and the identity of its inputs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from distbragg.errors import InputError
from distbragg.models.amplitude_box import empty_reflections, reflections_from_list
from distbragg.models.build_beam import nominal_wavelength
from distbragg.models.build_mixture import build_mixture
from distbragg.models.crystal import Reflections
from distbragg.notes import Note
from distbragg.read.miller import MillerTable
from distbragg.read.structure_factors import WITHOUT_CELL, detect_format, read_structure_factors
from distbragg.read.text import remembered
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.structure_factors import StructureFactorsSpec

_AS_IT_STANDS: Final = ("hkl", "hklf4", "hklf3")
"""Text lists, which are of the P1 cell unless a space group is given."""


def build_reflections(spec: ExperimentSpec) -> Reflections:
    """Read or compute |F| as the spec says.

    `interpolate` is left False where it is automatic: it is decided once
    the crystal is known, so that one table serves a whole sweep.
    """
    factors = spec.structure_factors
    default = factors.default_f_electrons
    if factors.by_energy or factors.models is not None:
        return build_mixture(factors, _resolution(spec), _anomalous_wavelength(spec))
    if factors.file is None:
        if default is None and spec.crystal.is_missed:
            default = 0.0
        if default is None:
            raise InputError(
                "no structure factors are given",
                field="structure_factors.file",
                remedy="name a list or a model, or give structure_factors.default_f_electrons "
                "(0 for an image of the background alone)",
            )
        return empty_reflections(default)
    table = read_structure_factors(
        factors.file,
        format=factors.format,
        column=factors.column,
        dmin=_resolution(spec),
        intensities=factors.intensities,
        space_group=factors.space_group,
        bulk_solvent=factors.bulk_solvent,
        solvent_k=factors.solvent_k_e_per_a3,
        solvent_b=factors.solvent_b_angstrom2,
        wavelength=_anomalous_wavelength(spec),
    )
    _check_finite(table, factors.file)
    # What is expanded to P1 holds every index once; a text list is taken as it stands.
    kind = _kind(factors)
    listed = kind in _AS_IT_STANDS and factors.space_group is None
    box = reflections_from_list(table.indices, table.amplitude, default or 0.0, unique=not listed)
    if listed and spec.physics == "exact":
        _check_repeated(table, box, factors.file)
    notes = table.notes
    if factors.dmin_angstrom is not None and kind in WITHOUT_CELL:
        text = "the list names no cell and is kept whole: structure_factors.dmin_angstrom is not"
        notes = (*notes, Note("note", factors.file, f"{text} used"))
    return replace(box, notes=notes)


def _anomalous_wavelength(spec: ExperimentSpec) -> float | None:
    """Wavelength that f′ and f″ are taken at, Å; None without anomalous scattering."""
    factors, beam = spec.structure_factors, spec.beam
    if not factors.anomalous or factors.first_file is None:
        return None
    if _kind(factors) != "model":
        raise InputError(
            "f′ and f″ are added to the atoms of a model; a list holds the pairs it holds",
            field="structure_factors.anomalous",
            remedy="leave it out, or give a model",
        )
    if beam.wavelength_angstrom is None and beam.energy_ev is None:
        raise InputError(
            "f′ and f″ need a wavelength",
            field="structure_factors.anomalous",
            remedy="give beam.wavelength_angstrom or beam.energy_ev",
        )
    return nominal_wavelength(beam, None)


def _kind(factors: StructureFactorsSpec) -> str:
    if factors.format != "auto" or factors.first_file is None:
        return factors.format
    return detect_format(factors.first_file)


def _check_finite(table: MillerTable, source: str) -> None:
    """Refuse what a kernel would take for no reflection, or for an infinite one.

    Readers refuse such values or leave them out; mates may still overflow in their mean.
    """
    bad = table.indices[~np.isfinite(table.amplitude)]
    if bad.size:
        h, k, l = bad[0].tolist()  # noqa: E741 - Miller indices
        raise InputError(
            f"|F| of reflection {h} {k} {l} is not a finite number",
            source=source,
            field="structure_factors.file",
            remedy="correct the list, or leave the reflection out",
        )


def _check_repeated(table: MillerTable, box: Reflections, source: str) -> None:
    """Refuse a list that gives one reflection two amplitudes; the same one twice is harmless."""
    kept = box.amplitude[tuple((table.indices - np.array(box.origin)).T)]
    differ = table.indices[kept != table.amplitude]
    if differ.size:
        h, k, l = min(differ.tolist())  # noqa: E741 - Miller indices
        raise InputError(
            f"reflection {h} {k} {l} is listed with two amplitudes",
            source=source,
            remedy="merge the list; physics: nanobragg takes the last, as the C program does",
        )


def _resolution(spec: ExperimentSpec) -> float | None:
    """Resolution of the table, Å: as asked for, else the cut on rendered pixels."""
    if spec.structure_factors.dmin_angstrom is not None:
        return spec.structure_factors.dmin_angstrom
    return spec.sampling.dmin_angstrom or None


def reflections_key(spec: ExperimentSpec) -> str:
    """Name the table: SHA-256 (hex) of the structure-factor fields and of the file's content.

    `interpolate`, the path and what differs from frame to frame do not enter: they do not change
    the table.
    """
    factors = spec.structure_factors
    dmin, wavelength = _resolution(spec), _anomalous_wavelength(spec)
    first = factors.first_file
    automatic = first is not None and factors.format == "auto"
    suffixes = Path(first or "").suffixes[-2:] if automatic else []
    fields: dict[str, object] = {
        "format": factors.format if first is not None else "",
        "suffix": "".join(suffixes).lower(),
        "column": factors.column or "",
        "default": float(factors.default_f_electrons or 0.0).hex(),
        "dmin": "" if dmin is None else float(dmin).hex(),
        "bulk_solvent": factors.bulk_solvent,
        "solvent": [
            float(factors.solvent_k_e_per_a3).hex(),
            float(factors.solvent_b_angstrom2).hex(),
        ],
    }
    # Fields that are seldom given: absent they leave the identity as it was without them.
    if factors.space_group is not None:
        fields["space_group"] = factors.space_group
    if factors.intensities != "refuse":
        fields["intensities"] = factors.intensities
    if wavelength is not None:
        fields["anomalous"] = wavelength.hex()
    if factors.anomalous_elements is not None:
        fields["atoms"] = [[one.element, one.label] for one in factors.anomalous_elements]
    if factors.models is not None:
        shares = [float(model.weight).hex() for model in factors.models]
        fields["models"] = [factors.average, *shares]
    if factors.channels is not None:
        fields["channels"] = [float(channel.factor).hex() for channel in factors.channels]
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode("ascii"))
    for file in factors.files:
        digest.update(_file_digest(file))
    return digest.hexdigest()


@remembered(32)
def _file_digest(path: str) -> bytes:
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").digest()
