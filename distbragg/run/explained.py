"""The numbers of a resolved frame, each with its unit and its origin."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from distbragg.models.build_detector import pivot_of
from distbragg.models.conventions import convention_of
from distbragg.models.experiment import Experiment
from distbragg.models.origins import Origin, Origins
from distbragg.models.setting import Resolved, Setting
from distbragg.spec.base import SpecModel
from distbragg.spec.canonical import to_plain
from distbragg.spec.descriptions import describe
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.paths import plain_parts, unit_of, value_at
from distbragg.units import MM_PER_METRE, wavelength_angstrom_to_energy_ev

_DIGITS: Final = 6
_SYMBOLS: Final = {"angstrom": "Å", "degree": "°", "um": "µm", "1": "", "photons m-2": "photons/m²",
                   "photons s-1": "photons/s", "g cm-3": "g/cm³", "g mol-1": "g/mol",
                   "angstrom2": "Å²", "percent": "%", "photons": "photons"}  # fmt: skip


_NO_FIELDS: Final = ("", "beam.sources", "crystal.orientation")  # of which origins are recorded


@dataclass(frozen=True, slots=True)
class Fact:
    """One number: what it is, in which unit, and where it comes from."""

    section: str
    name: str
    value: Any  # plain data
    unit: str = ""
    origin: str = "follows"  # or given, header, convention, rule, default
    how: str = ""  # the field, file, rule or formula
    field: str = ""  # of the specification; empty of what follows
    matters: bool = True
    meaning: str = ""  # of the field, as its model says

    @property
    def text(self) -> str:
        """Value and unit as they are printed."""
        return f"{_shown(self.value)} {self.unit}".strip()

    @property
    def source(self) -> str:
        """Origin as it is printed."""
        return f"{self.origin}: {self.how}" if self.how else self.origin


def _shown(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.{_DIGITS}g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return " ".join(f"{name} {_shown(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        among = "; " if isinstance(next(iter(value), None), Mapping) else " "
        return among.join(map(_shown, value))
    return str(value)


@dataclass(frozen=True, slots=True)
class Told:
    """A frame as it was written and resolved, and what was recorded of the origins."""

    base: ExperimentSpec  # as written; a frame's own has every field of a section that is swept
    spec: ExperimentSpec
    resolved: Resolved | None
    origins: Origins
    swept: Mapping[str, str]  # axis by the field it sets
    changed: tuple[str, ...]  # fields that --set gave

    @property
    def experiment(self) -> Experiment:
        """The resolved experiment."""
        assert self.resolved is not None, "facts are made of resolved frames alone"
        return self.resolved.experiment

    @property
    def setting(self) -> Setting:
        """What its files say."""
        assert self.resolved is not None, "facts are made of resolved frames alone"
        assert self.resolved.setting is not None, "a frame resolved by itself has read its files"
        return self.resolved.setting

    def origin(self, field: str) -> tuple[str, str]:
        """Return kind and text of a field's origin: as recorded, else whether it was written."""
        found = self.origins.get(field)
        if found is None:
            found = Origin("given" if self._is_written(field) else "default")
        if found.kind == "convention":
            moved = self.origins.get(f"rule.{found.text}")
            found = moved or Origin("convention", convention_of(self.spec))
        if found.kind == "header":
            return "header", self._file_of(found.text)
        place = found.text if found.kind == "given" and found.text else field
        if found.kind == "given":
            return "given", self._giver(place, "" if place == field else place)
        return found.kind, found.text

    def _is_written(self, field: str) -> bool:
        return bool(self._axis(field)) or _is_written(self.base, field)

    def _axis(self, field: str) -> str:
        """Name the axis that sets a field, a part of it, or what it is a part of."""
        for path, axis in self.swept.items():
            if f"{field}.".startswith(f"{path}.") or path.startswith(f"{field}."):
                return axis
        return ""

    def _giver(self, field: str, otherwise: str) -> str:
        if axis := self._axis(field):
            return f"axis {axis}"
        return f"--set {field}" if field in self.changed else otherwise

    def _file_of(self, name: str) -> str:
        """Name the file that states a number of `HeaderValues`, or a name that is a file's."""
        return _name_of_file(_stated_in(self.setting, name) or name)

    def of(
        self,
        section: str,
        name: str,
        value: Any,  # noqa: ANN401
        unit: str,
        field: str,
        *,
        matters: bool = True,
    ) -> Fact:
        """Return the fact of a resolved number; `field`: by which its origin was recorded."""
        kind, how = self.origin(field)
        named = field not in _NO_FIELDS
        meaning = describe(field).meaning if named else ""
        return Fact(section, name, plain(value), unit, kind, how, field if named else "", matters,
                    meaning)  # fmt: skip


def plain(value: Any) -> Any:  # noqa: ANN401
    """Return a number or array as plain data."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _stated_in(setting: Setting, name: str) -> str:
    """Return the file whose word counts: the geometry file's, then the last header's."""
    geometry = setting.geometry
    if geometry is not None and (name == "panels" or getattr(geometry, name, None) is not None):
        return geometry.source
    shares = {"kahn_factor": "polarization_fraction"}
    if geometry is not None and getattr(geometry, shares.get(name, ""), None) is not None:
        return geometry.source
    return next((one.source for one in setting.each if getattr(one, name, None) is not None), "")


def _is_written(spec: ExperimentSpec, field: str) -> bool:
    node: Any = spec
    for name in plain_parts(field):
        if isinstance(node, SpecModel):
            if name not in node.model_fields_set:
                return False
            node = getattr(node, str(name))
    return node is not None


def resolved_facts(told: Told) -> Iterator[Fact]:
    """Yield the numbers of beam, crystal, structure factors, detector and sampling."""
    yield Fact("experiment", "physics", told.spec.physics, "", *told.origin("physics"), "physics")
    yield from _of_beam(told)
    yield from _of_crystal(told)
    yield from _of_rotation(told)
    yield from _of_factors(told)
    yield from _of_detector(told)
    yield from _of_sampling(told)


def _of_beam(told: Told) -> Iterator[Fact]:
    spec, beam, name = told.spec.beam, told.experiment.beam, "beam"
    sources, flux = beam.sources, spec.flux_photons_per_s
    field = "beam.wavelength_angstrom"
    yield told.of(name, "wavelength", beam.wavelength, "Å", field)
    energy = wavelength_angstrom_to_energy_ev(beam.wavelength)
    yield Fact(name, "energy", energy, "eV", "follows", "h c / λ")
    yield told.of(name, "sources", sources.count, "", "beam.sources")
    if sources.count > 1:
        ends = [float(sources.wavelength.min()), float(sources.wavelength.max())]
        yield Fact(name, "wavelengths from, to", ends, "Å", *told.origin("beam.sources"))
        yield told.of(name, "weights", sources.rule, "", "beam.weighting", matters=False)
    if sources.bandwidth:
        field = "beam.bandwidth_percent"
        yield told.of(name, "bandwidth (σ)", 100.0 * sources.bandwidth, "%", field)
    if spec.divergence_mrad:
        widths = [1e3 * float(np.sqrt((one**2).sum())) for one in beam.divergence]
        field = "beam.divergence_mrad"
        yield told.of(name, "divergence (σ), horizontal, vertical", widths, "mrad", field)
    if flux is not None:
        yield told.of(name, "flux", flux, "photons/s", "beam.flux_photons_per_s")
        exposure = beam.fluence / flux * _size_m(told) ** 2 if flux else spec.exposure_s
        yield told.of(name, "exposure", exposure, "s", "beam.exposure_s")
    if "beam.size_mm" in told.origins:
        yield told.of(name, "size", _size_m(told) * MM_PER_METRE, "mm", "beam.size_mm")
    field = "beam.fluence_photons_per_m2"
    yield told.of(name, "fluence at the sample", beam.fluence, "photons/m²", field)
    if flux is not None:
        photons = beam.fluence * _size_m(told) ** 2
        yield Fact(name, "photons in the beam", photons, "photons", "follows", "flux · exposure")
    if spec.pulse_energy_fraction:
        said, how = "energy of this pulse over the mean", "drawn from noise.seed and frame"
        yield Fact(name, said, beam.pulse_energy, "", "rule", how)
    field = "beam.polarization.kahn_factor"
    kahn = beam.kahn_factor if beam.polarized else "off"
    field = field if beam.polarized else "beam.polarization.enabled"
    yield told.of(name, "Kahn's polarisation factor", kahn, "", field)
    field = "beam.polarization.axis"
    yield told.of(name, "E-vector", beam.polarization_axis, "", field, matters=False)
    yield told.of(name, "direction", beam.direction, "", "beam.direction", matters=False)


def _size_m(told: Told) -> float:
    from distbragg.models.build_beam import beam_size_m

    return beam_size_m(told.spec.beam)


def _of_crystal(told: Told) -> Iterator[Fact]:
    spec, crystal, name = told.spec.crystal, told.experiment.crystal, "crystal"
    lit = [lattice for lattice in told.experiment.lattices if lattice.scale > 0.0]
    if len(lit) != 1:
        field = "crystal.present" if not spec.present else "crystal.drawn_lattices"
        yield told.of(name, "lattices in the beam", len(lit), "", field)
    cell = [*crystal.cell[:3].tolist(), *np.degrees(crystal.cell[3:]).tolist()]
    yield told.of(name, "cell", cell, "Å, °", "crystal.cell")
    kind, how = told.origin("crystal.orientation")
    field = told.origins["crystal.orientation"].text
    written = value_at(told.spec, plain_parts(field)) if kind == "given" else None
    said = how if written is None else f"{field.removeprefix('crystal.')} {_shown(written)}"
    yield Fact(name, "orientation", said, "", kind, how, "crystal.orientation")
    rows = ("a", "b", "c")
    for axis, vector in zip(rows, crystal.real_space, strict=True):
        yield Fact(name, f"{axis} in the laboratory", plain(vector), "Å", "follows",
                   "cell and orientation", matters=False)  # fmt: skip
    yield told.of(name, "spot shape", crystal.shape, "", "crystal.shape")
    yield told.of(name, "cells of a block", crystal.cells, "", "crystal.block_cells")
    sizes = 1e-4 * crystal.cells * crystal.cell[:3]
    yield Fact(name, "size of a block", plain(sizes), "µm", "follows", "cells · edge")
    yield told.of(name, "blocks in the beam", crystal.scale, "", "crystal.illuminated_blocks")
    volume = 1e-12 * crystal.unit_cells * abs(float(np.linalg.det(crystal.real_space)))
    lit_volume = crystal.scale * volume
    yield Fact(name, "illuminated volume", lit_volume, "µm³", "follows", "blocks · volume of one")
    field, width = "crystal.mosaic.spread_deg", math.degrees(crystal.mosaic_spread)
    form = "half-angle of the cap" if spec.mosaic.distribution == "cap" else "σ"
    yield told.of(name, f"mosaic spread ({form})", width, "°", field)
    domains = crystal.mosaic_rotations.shape[0]
    if told.experiment.sampling.method == "closed_form":
        how = "closed form: integrated over, none drawn"
        yield Fact(name, "mosaic domains", domains, "", "rule", how, "crystal.mosaic.domains")
    else:
        yield told.of(name, "mosaic domains", domains, "", "crystal.mosaic.domains")


def _of_rotation(told: Told) -> Iterator[Fact]:
    crystal, name = told.experiment.crystal, "goniometer"
    first, last = np.degrees(crystal.oscillation)
    steps, turns = len(crystal.phi), bool(last > first)
    backwards = steps > 1 and crystal.phi[1] < crystal.phi[0]
    start, width = (last, first - last) if backwards else (first, last - first)
    yield told.of(name, "phi", start, "°", "goniometer.phi_deg", matters=turns or bool(start))
    yield told.of(name, "oscillation", width, "°", "goniometer.oscillation_deg", matters=turns)
    if told.experiment.sampling.method == "closed_form":
        how = "closed form: integrated over"
        yield Fact(name, "steps", steps, "", "rule", how, "goniometer.steps", turns)
    else:
        yield told.of(name, "steps", steps, "", "goniometer.steps", matters=turns)
    field = "goniometer.spindle_axis"
    yield told.of(name, "spindle", crystal.spindle_axis, "", field, matters=turns)


def _of_factors(told: Told) -> Iterator[Fact]:
    spec, table, name = (
        told.spec.structure_factors,
        told.experiment.reflections,
        "structure factors",
    )
    for index, file in enumerate(spec.files):
        field = "structure_factors.file" if spec.file is not None else ""
        label = "file" if len(spec.files) == 1 else f"file {index}"
        yield told.of(name, label, _name_of_file(file), "", field)
    listed = int(np.count_nonzero(table.amplitude))
    if spec.files:
        how = "the whole sphere, symmetry applied"
        yield Fact(name, "reflections listed", listed, "", "follows", how)
    field = "structure_factors.default_f_electrons"
    shown = not spec.files or table.default_amplitude != 0.0
    yield told.of(name, "|F| elsewhere", table.default_amplitude, "e", field, matters=shown)
    field = "structure_factors.interpolate"
    yield told.of(name, "interpolated", table.interpolate, "", field, matters=table.interpolate)
    if table.delta_b:
        field = "structure_factors.delta_b_angstrom2"
        yield told.of(name, "ΔB", table.delta_b, "Å²", field)


def _of_detector(told: Told) -> Iterator[Fact]:
    spec, name = told.spec.detector, "detector"
    panels = told.experiment.detector.panels
    panel = panels[0]
    for field in ("preset", "geometry_file"):
        if (value := getattr(spec, field)) is not None:
            yield told.of(name, field.replace("_", " "), value, "", f"detector.{field}")
    if len(panels) > 1:
        kind, how = told.origin("detector.pixels_fast")
        yield Fact(name, "panels", len(panels), "", kind, how)
    for side, pixels in (("fast", panel.pixels[1]), ("slow", panel.pixels[0])):
        yield told.of(name, f"pixels, {side}", pixels, "", f"detector.pixels_{side}")
    pixel = panel.pixel_size * MM_PER_METRE
    yield told.of(name, "pixel size", pixel, "mm", "detector.pixel_size_mm")
    distance = panel.distance * MM_PER_METRE
    yield told.of(name, "distance along the beam", distance, "mm", "detector.distance_mm")
    if "detector.twotheta_deg" in told.origins:
        field, angle = "detector.twotheta_deg", told.spec.detector.twotheta_deg or 0.0
        if told.origins[field].kind == "header":
            angle = math.degrees(told.setting.headers.twotheta or 0.0)
        yield told.of(name, "2θ swing", angle, "°", field, matters=angle != 0.0)
    yield told.of(name, "convention", convention_of(told.spec), "", "detector.convention")
    if "detector.pivot" in told.origins:
        pivot = pivot_of(told.spec)
        yield told.of(name, "pivot", pivot, "", "detector.pivot", matters=False)
    absorbs, field = panel.sensor.absorbs, "detector.sensor"
    depth = float(panel.sensor.back[-1] - panel.sensor.front[0]) * 1e6
    yield told.of(name, "sensor thickness", depth if absorbs else "absorbs nothing",
                  "µm" if absorbs else "", f"{field}.thickness_um", matters=absorbs)  # fmt: skip
    if absorbs:
        length = 1e6 / panel.sensor.attenuation
        yield told.of(name, "attenuation length", length, "µm", f"{field}.attenuation_length_um")
        yield told.of(name, "sensor layers", panel.sensor.count, "", f"{field}.layers")
    if panel.point_spread is not None:
        width, field = panel.point_spread.width, "detector.point_spread.fwhm_um"
        yield told.of(name, "point spread (FWHM)", width, "pixels", field)


def _of_sampling(told: Told) -> Iterator[Fact]:
    experiment, name = told.experiment, "sampling"
    sampling = experiment.sampling
    why = [note.text for note in experiment.notes if note.place == "sampling.method"]
    kind, how = told.origin("sampling.method")
    said = why[0] if why else how
    yield Fact(name, "method", sampling.method, "", kind, said, "sampling.method")
    yield told.of(name, "sub-pixels along a side", sampling.oversample, "", "sampling.oversample")
    steps = sampling.oversample**2 * experiment.detector.panels[0].sensor.count
    steps *= experiment.beam.sources.count * len(experiment.crystal.phi)
    steps *= experiment.crystal.mosaic_rotations.shape[0]
    how = "sub-pixels · layers · sources · rotation steps · domains"
    yield Fact(name, "steps of a pixel", steps, "", "follows", how)
    yield told.of(
        name, "cut at", sampling.dmin, "Å", "sampling.dmin_angstrom", matters=sampling.dmin > 0.0
    )
    yield told.of(
        name, "photons left out", sampling.tolerance, "photons", "sampling.tolerance_photons",
        matters=sampling.tolerance > 0.0,
    )  # fmt: skip


def all_fields(told: Told, known: Collection[str]) -> Iterator[Fact]:
    """Yield every field that is not among those told; one that was written matters."""
    for field, value in _leaves(to_plain(told.spec), ""):
        if field in known or field == "title" or value in ([], ""):
            continue
        kind, how = told.origin(field)
        unit = _SYMBOLS.get(unit_of(field), unit_of(field))
        section, _, name = field.partition(".")
        section = section.replace("_", " ")
        shown = _name_of_file(value) if isinstance(value, str) else value
        given, meaning = kind == "given", describe(field).meaning
        yield Fact(section, name or field, shown, unit, kind, how, field, given, meaning)


def _name_of_file(text: str) -> str:
    return Path(text).name if Path(text).is_absolute() else text


def _leaves(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
