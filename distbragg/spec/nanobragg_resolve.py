"""What nanoBragg's flags mean together: the rules the program applies after reading them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Final

from distbragg.errors import InputError
from distbragg.spec.nanobragg_flags import FLAGS, Flag
from distbragg.spec.paths import with_value

_OPEN_END = 2**31 - 1
"""Last pixel of a region of interest whose upper bound is left open."""

PROGRAM_WAVELENGTH_ANGSTROM: Final = 1.0
"""What the program takes where neither a flag nor a header names a wavelength."""

_CONVENTION_PIVOT = {
    "mosflm": "beam",
    "denzo": "beam",
    "adxv": "beam",
    "xds": "sample",
    "dials": "sample",
}

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
    "crystal.cells": [1, 1, 1],
    "crystal.size_mm": [0.0, 0.0, 0.0],
    "detector.rotation_deg": [0.0, 0.0, 0.0],
}

_OTHER_FORMATS = (".mtz", ".cif", ".mmcif", ".pdb", ".ent")


@dataclass(slots=True)
class Gathered:
    """Everything the flags said, before it is fitted together.

    Attributes
    ----------
    values : dict
        Value by dotted path; list elements have paths of their own.
    said_by : dict
        The flag that last set each path.
    convention : str
        As the program keeps it: the last convention flag, or "custom" after a vector flag.
    pivot : str
        The running pivot, as the flags mean it.
    program_pivot : str
        The same as the program keeps it: it takes `-twotheta_axis` for `-twotheta` too.
    pivot_asked : tuple (flag, pivot)
        The last request worth honouring: `-pivot` before flags that ask in passing.
    token : str
        The flag being read, as it was typed.
    doubled : dict
        By path, a flag that the program also takes for another one, and what it sets there.
    warnings : list of str
    """

    values: dict[str, Any] = field(default_factory=dict)
    said_by: dict[str, str] = field(default_factory=dict)
    convention: str = "mosflm"
    pivot: str = "beam"
    program_pivot: str = "beam"
    pivot_asked: tuple[str, str] = ("", "")
    token: str = ""
    doubled: dict[str, tuple[str, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def store(self, flag: Flag, value: object) -> None:
        """Record a value at every path of the flag."""
        for path in flag.fields:
            self.put(path, value)

    def put(self, path: str, value: object) -> None:
        """Record a value at one path."""
        self.values[path] = value
        self.said_by[path] = self.token
        self.doubled.pop(path, None)

    def drop(self, path: str) -> bool:
        """Forget a path; say whether it had been set."""
        self.said_by.pop(path, None)
        return self.values.pop(path, None) is not None

    def warn(self, message: str) -> None:
        """Keep a warning for the user, once."""
        if message not in self.warnings:
            self.warnings.append(message)


def resolve(gathered: Gathered) -> dict[str, Any]:
    """Fit the flags together and return the plain data of an experiment.

    Parameters
    ----------
    gathered : Gathered
        What was said, without outputs and own options; warnings are added to it.

    Raises
    ------
    InputError
        No crystal, no structure factors, or an empty region of interest.
    """
    physics = gathered.values.setdefault("physics", "nanobragg")
    _check_subject(gathered)
    if physics == "nanobragg":
        _drop_exact_only(gathered)
        _apply_doubled(gathered)
        _polar_after_all(gathered)
    _resolve_geometry(gathered, physics)
    _resolve_size(gathered, physics)
    _resolve_sensor(gathered)
    _resolve_roi(gathered)
    _resolve_intensity(gathered)
    _resolve_sources(gathered)
    _resolve_background(gathered)
    _resolve_headers(gathered)
    if not {"beam.wavelength_angstrom", "beam.energy_ev", "header_files"} & set(gathered.values):
        gathered.values["beam.wavelength_angstrom"] = PROGRAM_WAVELENGTH_ANGSTROM
    return _assembled(gathered)


def _check_subject(gathered: Gathered) -> None:
    values = gathered.values
    if "crystal.cell" not in values and "crystal.matrix_file" not in values:
        raise InputError("no unit cell was given", remedy="give -cell or -mat")
    hkl = values.get("structure_factors.file")
    if hkl is None and "dump" in values:
        raise InputError(
            "refused: the cache is neither read nor written, and no -hkl is given beside it",
            source="-dump",
            remedy="give -hkl",
        )
    if hkl is None and not values.get("structure_factors.default_f_electrons"):
        raise InputError("no structure factors were given", remedy="give -hkl or -default_F")
    gathered.values.pop("dump", None)
    if hkl is not None and PurePath(hkl).suffix.lower() not in _OTHER_FORMATS:
        values["structure_factors.format"] = "hkl"
    if values.get("crystal.misset_deg") == "random" and "crystal.misset_seed" not in values:
        gathered.warn(
            "-misset random without -misset_seed: nanoBragg takes a seed from the clock, "
            "distbragg always takes the same one"
        )


def _drop_exact_only(gathered: Gathered) -> None:
    for path in tuple(gathered.values):
        flag = FLAGS.get(gathered.said_by.get(path, ""))
        if flag is not None and flag.kind == "exact only":
            name = gathered.said_by[path]
            gathered.drop(path)
            gathered.warn(f"{name} is ignored under --physics nanobragg: {flag.reason}")


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


def _polar_after_all(gathered: Gathered) -> None:
    values = gathered.values
    off = values.get("beam.polarization.enabled") is False
    if off and values.get("sampling.per_sample_polarization"):
        gathered.drop("beam.polarization.enabled")
        gathered.warn("-nopolar is undone by -oversample_polar, as in nanoBragg")


def _resolve_geometry(gathered: Gathered, physics: str) -> None:
    values = gathered.values
    convention = gathered.convention
    values["detector.convention"] = convention
    if convention == "custom":
        _fill_vectors(gathered)
        program = physics == "nanobragg"
        values["detector.pivot"] = gathered.program_pivot if program else gathered.pivot
    else:
        for path in (*_CUSTOM_VECTORS, "detector.pix0_m"):
            name = gathered.said_by.get(path, "")
            if gathered.drop(path):
                gathered.warn(f"{name} is undone by -{convention}, which was given after it")
        asked_by, asked = gathered.pivot_asked
        if physics == "exact":
            if asked:
                values["detector.pivot"] = asked
        elif asked and asked != _CONVENTION_PIVOT[convention]:
            gathered.warn(
                f"{asked_by} asks for a {asked} pivot, which the {convention} convention undoes: "
                f"the pivot is the {_CONVENTION_PIVOT[convention]}, as in nanoBragg"
            )
    if "detector.close_distance_mm" in values and gathered.drop("detector.distance_mm"):
        gathered.warn("-distance is overruled by -close_distance, as in nanoBragg")


def _fill_vectors(gathered: Gathered) -> None:
    values = gathered.values
    for path, default in _CUSTOM_VECTORS.items():
        values.setdefault(path, list(default))
    if not any(values["detector.axes.normal"]):
        fast, slow = values["detector.axes.fast"], values["detector.axes.slow"]
        values["detector.axes.normal"] = [
            fast[1] * slow[2] - fast[2] * slow[1],
            fast[2] * slow[0] - fast[0] * slow[2],
            fast[0] * slow[1] - fast[1] * slow[0],
        ]


def _resolve_size(gathered: Gathered, physics: str) -> None:
    """Let pixel counts, also those of a header, win over a size in millimetres."""
    values = gathered.values
    headers = physics == "nanobragg" and (
        "header_image" in values or "detector.mask_file" in values
    )
    for side in ("fast", "slow"):
        if f"detector.pixels_{side}" in values or headers:
            name = gathered.said_by.get(f"detector.size_{side}_mm", "")
            if gathered.drop(f"detector.size_{side}_mm"):
                gathered.warn(f"{name} is overruled by the pixel counts, as in nanoBragg")


def _resolve_sensor(gathered: Gathered) -> None:
    values = gathered.values
    sensor = "detector.sensor.thickness_um"
    if "detector.sensor.layers" in values and not values.get(sensor):
        gathered.drop("detector.sensor.layers")
        gathered.warn("-detector_thicksteps has no effect without -detector_thick")


def _resolve_roi(gathered: Gathered) -> None:
    roi = gathered.values.get("detector.roi")
    if roi is None:
        return
    first_fast, last_fast, first_slow, last_slow = roi
    gathered.values["detector.roi"] = [
        max(first_fast, 0),
        last_fast if last_fast >= 0 else _OPEN_END,
        max(first_slow, 0),
        last_slow if last_slow >= 0 else _OPEN_END,
    ]


def _resolve_intensity(gathered: Gathered) -> None:
    values = gathered.values
    if not values.get("beam.flux_photons_per_s"):
        gathered.drop("beam.flux_photons_per_s")
        if gathered.drop("beam.exposure_s"):
            gathered.warn("-exposure has no effect without -flux")
    elif gathered.drop("beam.fluence_photons_per_m2"):
        gathered.warn("-fluence is overruled by -flux, as in nanoBragg")


def _resolve_sources(gathered: Gathered) -> None:
    values = gathered.values
    grid = [p for p in values if p.startswith(("beam.divergence.", "beam.dispersion."))]
    if "beam.source_file" in values:
        for path in grid:
            name = gathered.said_by[path]
            gathered.drop(path)
            gathered.warn(f"{name} is overruled by -sourcefile, as in nanoBragg")
    elif "beam.dispersion.steps" in values and not values.get("beam.dispersion.range_percent"):
        gathered.drop("beam.dispersion.steps")
        gathered.warn("-dispsteps has no effect without -dispersion")


def _resolve_background(gathered: Gathered) -> None:
    """Take the depth of an amorphous sample from -sample_thick; one background at a time."""
    values = gathered.values
    if "background.stol_file" not in values:
        for path in ("background.density_g_per_cm3", "background.molar_mass_g_per_mol"):
            name = gathered.said_by.get(path, "")
            if gathered.drop(path):
                gathered.warn(f"{name} has no effect without a table of F against stol")
        return
    if values.get("background.water_um"):
        raise InputError("given beside a table of F against stol", source="-water",
                         remedy="keep one of the two backgrounds")  # fmt: skip
    thickness = values.get("crystal.size_mm.0", 0.0)
    if thickness > 0:
        values["background.thickness_um"] = thickness * 1e3


def _resolve_headers(gathered: Gathered) -> None:
    """Ingest the mask's header first and the image's after it, whatever the order of flags."""
    headers = []
    if "detector.mask_file" in gathered.values:
        headers.append({"path": gathered.values["detector.mask_file"], "role": "mask"})
    image = gathered.values.pop("header_image", None)
    if image is not None:
        headers.append({"path": image, "role": "image"})
    if headers:
        gathered.values["header_files"] = headers


def _assembled(gathered: Gathered) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for path, value in gathered.values.items():
        parent, _, last = path.rpartition(".")
        if last.isdecimal():
            items = _element(plain, parent)
            items[int(last)] = value
            path, value = parent, items
        plain = dict(with_value(plain, tuple(path.split(".")), value, path=path))  # type: ignore[call-overload]
    return plain


def _element(plain: dict[str, Any], path: str) -> list[Any]:
    """Return the list at `path` as far as it is filled, or its defaults."""
    node: Any = plain
    for part in path.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return list(node if node is not None else _LIST_DEFAULTS[path])
