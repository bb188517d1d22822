"""What nanoBragg's flags mean together: the rules the program applies after reading them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Final

import numpy as np

from distbragg.errors import InputError
from distbragg.spec.nanobragg_flags import FLAGS
from distbragg.spec.paths import with_value
from distbragg.spec.yaml_text import as_mapping

_OPEN_END = 2**31 - 1  # last pixel of a region of interest whose upper bound is left open
PROGRAM_WAVELENGTH_ANGSTROM: Final = 1.0
"""What the program takes where neither a flag nor a header names a wavelength."""

_CUSTOM_VECTORS = {
    "beam.direction": [1.0, 0.0, 0.0],
    "detector.axes.fast": [0.0, 0.0, 1.0],
    "detector.axes.slow": [0.0, -1.0, 0.0],
    "detector.axes.normal": [1.0, 0.0, 0.0],
    "detector.axes.twotheta": [0.0, 1.0, 0.0],
    "beam.polarization.axis": [0.0, 0.0, 1.0],
    "goniometer.spindle_axis": [0.0, 0.0, 1.0],
}
"""Directions the program starts from, which a custom geometry keeps where no flag is given."""

_LIST_DEFAULTS: dict[str, list[Any]] = {
    "crystal.block_cells": [1, 1, 1],
    "crystal.block_size_mm": [0.0, 0.0, 0.0],
    "detector.rotation_deg": [0.0, 0.0, 0.0],
}

_OTHER_FORMATS = (".mtz", ".cif", ".mmcif", ".pdb", ".ent")


@dataclass(slots=True)
class Gathered:
    """Everything the flags said, before it is fitted together."""

    values: dict[str, Any] = field(default_factory=dict)  # by path, list elements with their own
    said_by: dict[str, str] = field(default_factory=dict)  # the flag that last set each path
    # As the program keeps it: the last convention flag, or "custom" after a vector flag.
    convention: str = "mosflm"
    # The pivot as the flags mean it, and as the program has it, which takes `-twotheta_axis` for
    # `-twotheta` too; flag and pivot of the last request, `-pivot` before those in passing.
    pivot: str = "beam"
    program_pivot: str = "beam"
    pivot_asked: tuple[str, str] = ("", "")
    token: str = ""  # the flag being read, as it was typed
    # By path: a flag that the program also takes for another one, and what it sets there.
    doubled: dict[str, tuple[str, Any]] = field(default_factory=dict)
    cached: bool = False  # a cache of structure factors was named
    warnings: list[str] = field(default_factory=list)

    def put(self, path: str, value: object) -> None:
        """Record a value at one path."""
        self.values[path] = value
        self.said_by[path] = self.token
        self.doubled.pop(path, None)

    def drop(self, path: str, why: str = "") -> bool:
        """Forget a path, and say why where it had been set; `{}` is the flag that set it."""
        flag = self.said_by.pop(path, "")
        if self.values.pop(path, None) is None:
            return False
        if why:
            self.warn(why.format(flag))
        return True

    def warn(self, message: str) -> None:
        """Keep a warning for the user, once."""
        if message not in self.warnings:
            self.warnings.append(message)


def resolve(gathered: Gathered) -> dict[str, Any]:
    """Fit together what was said into plain data of an experiment; warnings are added to it."""
    values = gathered.values
    program = values.setdefault("physics", "nanobragg") == "nanobragg"
    _check_subject(gathered)
    if program:
        for path in tuple(values):
            flag = FLAGS.get(gathered.said_by.get(path, ""))
            if flag is not None and flag.kind == "exact only":
                gathered.drop(path, f"{{}} is ignored under --physics nanobragg: {flag.reason}")
        _apply_doubled(gathered)
    _resolve_geometry(gathered, program=program)
    _resolve_overruled(gathered, program=program)
    if (roi := values.get("detector.roi")) is not None:
        last = (bound if bound >= 0 else _OPEN_END for bound in roi[1::2])
        first = (max(bound, 0) for bound in roi[0::2])
        values["detector.roi"] = [end for pair in zip(first, last, strict=True) for end in pair]
    _resolve_background(gathered)
    # The mask's header comes first and the image's after it, whatever the order of flags.
    named = (("detector.mask_file", "mask"), ("header_files", "image"))
    files = [{"path": values[path], "role": role} for path, role in named if path in values]
    if files:
        values["header_files"] = files
    if not {"beam.wavelength_angstrom", "beam.energy_ev", "header_files"} & set(values):
        values["beam.wavelength_angstrom"] = PROGRAM_WAVELENGTH_ANGSTROM
    return _assembled(values)


def _check_subject(gathered: Gathered) -> None:
    values = gathered.values
    if "crystal.cell" not in values and "crystal.matrix_file" not in values:
        raise InputError("no unit cell was given", remedy="give -cell or -mat")
    hkl = values.get("structure_factors.file")
    if hkl is None and gathered.cached:
        raise InputError(
            "refused: the cache is neither read nor written, and no -hkl is given beside it",
            source="-dump",
            remedy="give -hkl",
        )
    if hkl is None and not values.get("structure_factors.default_f_electrons"):
        raise InputError("no structure factors were given", remedy="give -hkl or -default_F")
    if hkl is not None and PurePath(hkl).suffix.lower() not in _OTHER_FORMATS:
        values["structure_factors.format"] = "hkl"
    if values.get("crystal.misset_deg") == "random" and "crystal.misset_seed" not in values:
        gathered.warn(
            "-misset random without -misset_seed: nanoBragg takes a seed from the clock, "
            "distbragg always takes the same one"
        )


def _apply_doubled(gathered: Gathered) -> None:
    """Let a flag that the program also takes for a shorter one set what it sets there."""
    for path, (token, value) in tuple(gathered.doubled.items()):
        if gathered.values.get(path) == value:
            continue
        gathered.put(path, value)
        shown = " ".join(f"{item:g}" for item in value) if isinstance(value, list) else f"{value:g}"
        gathered.warn(
            f"{token} also sets {path} to {shown}, because nanoBragg finds the shorter flag in it; "
            "give that flag after it, or use --physics exact"
        )


def _resolve_geometry(gathered: Gathered, *, program: bool) -> None:
    values, convention = gathered.values, gathered.convention
    values["detector.convention"] = convention
    values.pop("detector.pivot", None)
    if convention == "custom":
        for path, default in _CUSTOM_VECTORS.items():
            values.setdefault(path, list(default))
        if not any(values["detector.axes.normal"]):
            fast, slow = values["detector.axes.fast"], values["detector.axes.slow"]
            values["detector.axes.normal"] = np.cross(fast, slow).tolist()
        values["detector.pivot"] = gathered.program_pivot if program else gathered.pivot
        return
    for path in (*_CUSTOM_VECTORS, "detector.origin_mm"):
        gathered.drop(path, f"{{}} is overridden by -{convention}, which was given after it")
    asked_by, asked = gathered.pivot_asked
    own = FLAGS[f"-{convention}"].pivot
    if asked and not program:
        values["detector.pivot"] = asked
    elif asked and asked != own:
        gathered.warn(
            f"{asked_by} asks for a {asked} pivot, which the {convention} convention overrides: "
            f"the pivot is the {own}, as in nanoBragg"
        )


def _resolve_overruled(gathered: Gathered, *, program: bool) -> None:
    """Drop what another flag overrides, or what has no effect without one."""
    values = gathered.values
    polar = values.get("sampling.per_sample_polarization")
    no_polar = values.get("beam.polarization.enabled") is False
    headers = program and ("header_files" in values or "detector.mask_file" in values)
    thick = values.get("detector.sensor.thickness_um")
    flux = values.get("beam.flux_photons_per_s")
    sources = "beam.source_file" in values
    grids = [path for path in values if path.startswith(("beam.divergence.", "beam.dispersion."))]
    sizes, as_there = "{} is overridden by the pixel counts", ", as in nanoBragg"
    rules: list[tuple[object, str, str]] = [
        (program and polar and no_polar, "beam.polarization.enabled",
         f"-nopolar is overridden by -oversample_polar{as_there}"),
        ("detector.close_distance_mm" in values, "detector.distance_mm",
         f"-distance is overridden by -close_distance{as_there}"),
        (headers or "detector.pixels_fast" in values, "detector.size_fast_mm", sizes + as_there),
        (headers or "detector.pixels_slow" in values, "detector.size_slow_mm", sizes + as_there),
        (not thick, "detector.sensor.layers",
         "-detector_thicksteps has no effect without -detector_thick"),
        (not flux, "beam.flux_photons_per_s", ""),
        (not flux, "beam.exposure_s", "-exposure has no effect without -flux"),
        (flux, "beam.fluence_photons_per_m2", f"-fluence is overridden by -flux{as_there}"),
        *((sources, path, f"{{}} is overridden by -sourcefile{as_there}") for path in grids),
        (not sources and not values.get("beam.dispersion.range_percent"), "beam.dispersion.steps",
         "-dispsteps has no effect without -dispersion"),
    ]  # fmt: skip
    for holds, path, why in rules:
        if holds:
            gathered.drop(path, why)


def _resolve_background(gathered: Gathered) -> None:
    """Take the depth of an amorphous sample from -sample_thick; one background at a time."""
    values = gathered.values
    if "background.stol_file" not in values:
        for path in ("background.density_g_per_cm3", "background.molar_mass_g_per_mol"):
            gathered.drop(path, "{} has no effect without a table of F against stol")
        return
    if values.get("background.water_um"):
        remedy = "keep one of the two backgrounds"
        raise InputError(
            "given together with a table of F against stol", source="-water", remedy=remedy
        )
    thickness = values.get("crystal.block_size_mm.0", 0.0)
    if thickness > 0:
        values["background.thickness_um"] = thickness * 1e3


def _assembled(values: dict[str, Any]) -> dict[str, Any]:
    """Nest the values; lists of which elements were given take their defaults for the others."""
    for path, defaults in _LIST_DEFAULTS.items():
        elements = [f"{path}.{index}" for index in range(len(defaults))]
        if not values.keys().isdisjoint(elements):
            given = zip(elements, defaults, strict=True)
            values[path] = [values.pop(element, default) for element, default in given]
    plain: object = {}
    for path, value in values.items():
        plain = with_value(plain, tuple(path.split(".")), value, path=path)
    return as_mapping(plain)
