"""Resolve the beam: wavelength, intensity, polarisation and the one table of sources."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final, Literal

import numpy as np

from distbragg.constants import DEFAULT_FLUENCE_PHOTONS_PER_M2
from distbragg.errors import InputError
from distbragg.models.beam import Beam, Sources, WeightRule
from distbragg.models.conventions import ConventionRule
from distbragg.models.origins import first, tell
from distbragg.models.setting import HeaderValues, resolve_spectrum, spectrum_of
from distbragg.models.steps import (
    NOMINAL_ANGLE,
    Grid,
    check_count,
    exact_grid,
    resolve_grid,
)
from distbragg.models.vectors import (
    Float64Array,
    Physics,
    Vector,
    cross,
    direction_of,
    frozen_float64,
    norm,
    rotate_about,
    scale,
    unit,
)
from distbragg.read.spectrum import Spectrum
from distbragg.read.table import read_sources
from distbragg.spec.beam import BeamSpec, DispersionSpec, DivergenceAxisSpec
from distbragg.spec.experiment import ExperimentSpec
from distbragg.units import (
    angstrom_to_m,
    energy_ev_to_wavelength_angstrom,
    if_given,
    metres_to_angstrom,
    mm_to_m,
    mrad_to_rad,
    percent_to_fraction,
)

_ALONG: Final = 1e-9
_ROUND_CUT: Final = 1.1
DEFAULT_EXPOSURE_S: Final = 1.0
DEFAULT_BEAM_SIZE_MM: Final = 0.1
_PULSE_STREAM: Final = 5  # apart from all else that seed and frame draw


def build_beam(
    spec: BeamSpec, physics: Physics, rule: ConventionRule, headers: HeaderValues
) -> Beam:
    """Resolve the beam; `rule` and `headers` give what the spec leaves out."""
    field = "beam.direction"
    along = first(field, (spec.direction, "given", ""), (rule.beam, "convention", "beam"))
    direction = direction_of(along, field)
    kahn_factor = first(
        "beam.polarization.kahn_factor",
        (spec.polarization.kahn_factor, "given", ""),
        (headers.kahn_factor, "header", "kahn_factor"),
        (0.0, "default", "not polarised"),
    )
    axis = _polarization_axis(spec, rule, direction, kahn_factor)
    wavelength = nominal_wavelength(spec, headers.wavelength, source=headers.source)
    sources = _build_sources(spec, physics, direction, axis, wavelength, of_file=headers.spectrum)
    return Beam(
        sources=replace(sources, bandwidth=percent_to_fraction(spec.bandwidth_percent or 0.0)),
        wavelength=wavelength,
        direction=frozen_float64(direction),
        fluence=resolve_fluence(spec, physics),
        polarized=spec.polarization.enabled,
        kahn_factor=kahn_factor,
        polarization_axis=frozen_float64(axis),
        divergence=frozen_float64(_normal_divergence(spec, direction, axis)),
    )


def _normal_divergence(spec: BeamSpec, beam: Vector, polarization: Vector) -> tuple[Vector, Vector]:
    """Return the vectors of `Beam.divergence`: the ways of a small angle of a divergence grid.

    A horizontal angle turns about beam × polarisation, a vertical one moves along it.
    """
    given = spec.divergence_mrad or 0.0
    across, along = given if isinstance(given, tuple) else (given, given)
    upward = unit(cross(beam, polarization))
    sideways = unit(cross(upward, beam))
    return scale(sideways, mrad_to_rad(across)), scale(upward, mrad_to_rad(along))


def _polarization_axis(
    spec: BeamSpec, rule: ConventionRule, beam: Vector, kahn_factor: float
) -> Vector:
    """Return the E-vector axis: as given, else the convention's, else one across the beam.

    The last happens where a given beam direction lies along the convention's axis.
    """
    given, field = spec.polarization.axis, "beam.polarization.axis"
    axis = direction_of(given or rule.polarization, field)
    if norm(cross(beam, axis)) > _ALONG:
        first(field, (given, "given", ""), (axis, "convention", "polarization"))
        return axis
    if given is not None or (spec.polarization.enabled and kahn_factor != 0.0):
        raise InputError(
            "the polarisation axis lies along the beam"
            if given is not None
            else "the convention's polarisation axis lies along the given beam",
            field=field,
            remedy="give the direction of the E-vector, across the beam",
        )
    tell(field, "rule", "across the beam")
    smallest = min(range(3), key=lambda index: abs(beam[index]))
    basis: Vector = (float(smallest == 0), float(smallest == 1), float(smallest == 2))
    return unit(cross(cross(beam, basis), beam))


def nominal_wavelength(
    spec: BeamSpec, header_wavelength: float | None, *, source: str = ""
) -> float:
    """Return the nominal wavelength, Å: as given, of the header, or of spectrum or source file.

    The nominal wavelength of a spectrum or source file is its weighted mean. `source` is the
    header or geometry file that was read and states none, for the message.
    """
    field = "beam.wavelength_angstrom"
    if spec.wavelength_angstrom is not None:
        tell(field, "given")
        return spec.wavelength_angstrom
    if spec.energy_ev is not None:
        tell(field, "given", "beam.energy_ev")
        return energy_ev_to_wavelength_angstrom(spec.energy_ev)
    if header_wavelength is not None:
        tell(field, "header", "wavelength")
        return header_wavelength
    if spec.source_file is not None:
        # Without a nominal wavelength every line states its own.
        tell(field, "rule", "weighted mean of beam.source_file")
        table = read_sources(spec.source_file, beam_direction=(0.0, 0.0, 1.0), wavelength_m=None)
        return _mean([metres_to_angstrom(value) for value in table[:, 4].tolist()], table[:, 3])
    if spec.spectrum is not None:
        found = resolve_spectrum(spec.spectrum)
        if found is None:
            problem = "the geometry file states no wavelength of its shots"
            raise InputError(problem, field="beam.spectrum.shot")
        tell(field, "rule", "weighted mean of beam.spectrum")
        return _mean(found.wavelength.tolist(), found.weight)
    raise InputError(
        "the file does not state the wavelength" if source else "no wavelength is given",
        source=source,
        field=field,
        remedy="give beam.wavelength_angstrom, beam.energy_ev or beam.spectrum",
    )


def _mean(wavelengths: list[float], weights: Float64Array) -> float:
    """Weighted mean; where all weights are zero, which is refused later, the plain one."""
    largest = float(weights.max())
    shares = (weights / largest if largest > 0.0 else np.ones_like(weights)).tolist()
    products = (one * share for one, share in zip(wavelengths, shares, strict=True))
    return math.fsum(products) / math.fsum(shares)


def resolve_fluence(spec: BeamSpec, physics: Physics) -> float:
    """Return the fluence, photons/m²: as given, or flux·exposure/size²."""
    flux = spec.flux_photons_per_s
    if flux is None or (flux == 0.0 and physics == "nanobragg"):
        return first(
            "beam.fluence_photons_per_m2",
            (spec.fluence_photons_per_m2, "given", ""),
            (DEFAULT_FLUENCE_PHOTONS_PER_M2, "default", "nanoBragg's own scale, no real beam"),
        )
    size = beam_size_m(spec)
    exposure = first(
        "beam.exposure_s", (spec.exposure_s, "given", ""), (DEFAULT_EXPOSURE_S, "default", "")
    )
    tell("beam.fluence_photons_per_m2", "rule", "flux · exposure / size²")
    fluence = flux * exposure / size / size
    if not math.isfinite(fluence):
        raise InputError("flux·exposure/size² is not finite", field="beam.flux_photons_per_s")
    return fluence


def with_pulse_energy(beam: Beam, spec: ExperimentSpec, frame: int) -> Beam:
    """Return the beam with the energy of a frame's own pulse; the same one where all are equal."""
    width = spec.beam.pulse_energy_fraction
    if width == 0.0:
        return beam
    deviate = np.random.default_rng((spec.noise.seed, frame, _PULSE_STREAM)).standard_normal()
    return replace(beam, pulse_energy=max(0.0, 1.0 + width * float(deviate)))


def beam_size_m(spec: BeamSpec) -> float:
    """Return the beam size, m (0.1 mm where not given)."""
    return mm_to_m(
        first("beam.size_mm", (spec.size_mm, "given", ""), (DEFAULT_BEAM_SIZE_MM, "default", ""))
    )


def _build_sources(
    spec: BeamSpec,
    physics: Physics,
    direction: Vector,
    axis: Vector,
    wavelength: float,
    *,
    of_file: Spectrum | None,
) -> Sources:
    weights = weight_rule(spec.weighting, physics)
    field = "beam.sources"
    if spec.source_file is not None:
        tell(field, "given", "beam.source_file")
        table = read_sources(
            spec.source_file, beam_direction=direction, wavelength_m=angstrom_to_m(wavelength)
        )
        towards = np.array([unit((x, y, z)) for x, y, z in table[:, :3].tolist()])
        lambdas = np.array([metres_to_angstrom(value) for value in table[:, 4].tolist()])
        return make_sources(towards, lambdas, table[:, 3], weights, file=spec.source_file)
    directions = divergence_directions(
        direction,
        axis,
        _divergence(spec.divergence.horizontal, physics, "beam.divergence.horizontal"),
        _divergence(spec.divergence.vertical, physics, "beam.divergence.vertical"),
        round_off=spec.divergence.shape == "round",
    )
    spectrum = spectrum_of(spec, of_file)
    if spectrum is not None:
        of_header = spec.spectrum is None or spec.spectrum.of_geometry_file
        tell(field, *(("header", "spectrum") if of_header else ("given", "beam.spectrum")))
        lambdas, line_weights = spectrum.wavelength, spectrum.weight
    else:
        lambdas = _dispersed(spec.dispersion, physics, wavelength)
        alone = directions.shape[0] * lambdas.shape[0] == 1
        tell(field, *(("default",) if alone else ("rule", "grid of divergence and dispersion")))
        line_weights = np.ones(lambdas.shape[0], dtype=np.float64)
    # Every direction with every wavelength, the wavelength innermost.
    points, lines = directions.shape[0], lambdas.shape[0]
    check_count(points * lines, "beam")
    each = np.repeat(directions, lines, axis=0)
    return make_sources(each, np.tile(lambdas, points), np.tile(line_weights, points), weights)


def _divergence(axis: DivergenceAxisSpec, physics: Physics, field: str) -> Grid:
    extent = if_given(mrad_to_rad, axis.range_mrad)
    step = if_given(mrad_to_rad, axis.step_mrad)
    if physics == "exact":
        return exact_grid(extent, step, axis.steps, field)
    return resolve_grid(extent, step, axis.steps, nominal=NOMINAL_ANGLE, field=field)


def _dispersed(spec: DispersionSpec, physics: Physics, nominal: float) -> Float64Array:
    """Wavelengths of the dispersion grid, nominal·(1 + step·j − range/2), (count,)."""
    if physics == "exact":
        _check_dispersion(spec.range_percent, spec.steps)
    # The program's range starts at 0, not at "not given": a count alone is one wavelength.
    extent = percent_to_fraction(spec.range_percent or 0.0)
    grid = resolve_grid(extent, None, spec.steps, nominal=1.0, field="beam.dispersion")
    factors = [1.0 + grid.step * j - grid.extent / 2.0 for j in range(grid.count)]
    if min(factors) <= 0.0:
        raise InputError(
            f"a range of {100.0 * grid.extent:g} % reaches wavelength zero",
            field="beam.dispersion.range_percent",
            remedy="give less than 200 %",
        )
    return np.array([nominal * factor for factor in factors], dtype=np.float64)


def _check_dispersion(extent: float | None, steps: int | None) -> None:
    """Refuse a count without a range, and what is not a range or count."""
    if extent is not None and extent < 0.0:
        raise InputError(
            "is negative", field="beam.dispersion.range_percent", remedy="a range is 0 or more"
        )
    problem = ""
    if extent is None and (steps or 1) > 1:
        problem = "given without a range"
    elif extent and steps == 1:
        problem = "one wavelength has no range; both ends are among the wavelengths"
    if problem:
        raise InputError(
            problem,
            field="beam.dispersion.steps",
            remedy="give beam.dispersion.range_percent and 2 steps or more",
        )


def make_sources(
    direction: Float64Array,
    wavelength: Float64Array,
    weight: Float64Array,
    rule: WeightRule,
    *,
    file: str = "",
) -> Sources:
    """Build the table and fix its divisor once, from the whole list.

    `direction`: (n, 3) unit vectors towards the sources. `wavelength`: (n,) Å. `weight`: (n,) as
    listed. Rule `sum` divides by Σw (math.fsum) of weights scaled by one power of two; `count`
    ignores the weights and divides by the number listed; `none` divides by 1. Zero weights are
    dropped under `sum` and `none`. `file`: that lists the sources, for messages.
    """
    listed = int(weight.shape[0])
    _check_weights(weight)
    if rule == "count":
        weight = np.ones(listed, dtype=np.float64)
        total = float(listed)
    else:
        keep = weight > 0.0
        if not keep.any():
            raise InputError(
                "every source weight is zero",
                source=file,
                field="" if file else "beam.weighting",
                remedy="give at least one source a positive weight",
            )
        direction, wavelength, weight = direction[keep], wavelength[keep], weight[keep]
        total = 1.0
        if rule == "sum":
            weight = _scale_by_power_of_two(weight)
            total = math.fsum(float(value) for value in weight)
    return Sources(
        direction=frozen_float64(direction),
        wavelength=frozen_float64(wavelength),
        weight=frozen_float64(weight),
        total_weight=total,
        listed=listed,
        rule=rule,
    )


def _check_weights(weight: Float64Array) -> None:
    if weight.shape[0] == 0:
        raise InputError("the list of sources is empty", field="beam")
    bad = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0.0)))
    if bad.size:
        index = int(bad[0])
        raise InputError(
            f"weight {weight[index]:g} of source {index + 1}",
            field="beam.weighting",
            remedy="weights are finite and not negative",
        )


def _scale_by_power_of_two(weight: Float64Array) -> Float64Array:
    """Scale so that the largest weight lies in [0.5, 1): exact, whatever the user's unit."""
    _, exponent = math.frexp(float(weight.max()))
    # Two steps, since 2**-exponent itself may overflow for subnormal weights.
    half = -exponent // 2
    return np.ldexp(np.ldexp(weight, half), -exponent - half)


def weight_rule(asked: WeightRule | Literal["auto"], physics: Physics) -> WeightRule:
    """Resolve `weighting: auto`: sum under `physics: exact`, count under `physics: nanobragg`."""
    if asked != "auto":
        return asked
    tell("beam.weighting", "rule", f"automatic under physics: {physics}")
    return "sum" if physics == "exact" else "count"


def divergence_directions(
    beam: Vector, polarization: Vector, horizontal: Grid, vertical: Grid, *, round_off: bool
) -> Float64Array:
    """Directions towards the points of a divergence grid.

    The point is turned from the nominal source about the polarisation axis by the vertical
    angle, then about the vertical (beam × polarisation) by the horizontal one. A round grid
    leaves out its corners where both ranges are finite: what lies outside of the ellipse for a
    centred grid, else what the C program leaves out.

    Returns unit vectors, (points, 3), the horizontal index outermost.
    """
    check_count(horizontal.count * vertical.count, "beam.divergence")
    upward = unit(cross(beam, polarization))
    directions: list[Vector] = []
    angles = vertical.values
    for across in horizontal.values:
        for along in angles:
            if round_off and _outside(across, horizontal, along, vertical):
                continue
            point = rotate_about(scale(beam, -1.0), polarization, along)
            directions.append(unit(rotate_about(point, upward, across)))
    if not directions:
        raise InputError(
            "the round divergence grid has no point inside its ellipse",
            field="beam.divergence",
            remedy="use shape: square or more steps",
        )
    return np.array(directions, dtype=np.float64).reshape(-1, 3)


def _outside(across: float, horizontal: Grid, along: float, vertical: Grid) -> bool:
    if horizontal.extent == 0.0 or vertical.extent == 0.0:
        return False
    if horizontal.centred:
        return 4.0 * ((across / horizontal.extent) ** 2 + (along / vertical.extent) ** 2) > 1.0
    return 4.0 * (_share(across, horizontal) + _share(along, vertical)) > _ROUND_CUT


def _share(angle: float, grid: Grid) -> float:
    even = 1 - grid.count % 2
    return (angle * angle - grid.step * grid.step / 4.0 * even) / grid.extent / grid.extent
