"""Resolve the beam: wavelength, intensity, polarisation and the source table."""

from __future__ import annotations

import logging
import math
from typing import Final, Literal

import numpy as np

from distbragg.constants import DEFAULT_FLUENCE_PHOTONS_PER_M2
from distbragg.errors import InputError
from distbragg.models.arrays import Float64Array, frozen_float64
from distbragg.models.beam import Beam, Sources
from distbragg.models.conventions import ConventionRule
from distbragg.models.headers import HeaderValues
from distbragg.models.sources import (
    cross_product_table,
    dispersed_wavelengths,
    divergence_directions,
    make_sources,
    weight_rule,
)
from distbragg.models.spectrum import resolve_spectrum, spectrum_of
from distbragg.models.steps import NOMINAL_ANGLE, Grid, exact_count, exact_grid, resolve_grid
from distbragg.models.vectors import Vector, cross, norm, unit
from distbragg.read.sources import read_sources
from distbragg.read.spectrum import Spectrum
from distbragg.spec.beam import BeamSpec, DivergenceAxisSpec, SpectrumSpec
from distbragg.units import (
    angstrom_to_m,
    energy_ev_to_wavelength_angstrom,
    metres_to_angstrom,
    mm_to_m,
    mrad_to_rad,
    percent_to_fraction,
)

logger = logging.getLogger("distbragg")

Physics = Literal["exact", "nanobragg"]

_ALONG: Final = 1e-9
DEFAULT_EXPOSURE_S: Final = 1.0
DEFAULT_BEAM_SIZE_MM: Final = 0.1


def build_beam(
    spec: BeamSpec, physics: Physics, rule: ConventionRule, headers: HeaderValues
) -> Beam:
    """Resolve the beam.

    Parameters
    ----------
    spec : BeamSpec
    physics : {"exact", "nanobragg"}
    rule : ConventionRule
        Gives the axes the spec leaves out.
    headers : HeaderValues
        Give the wavelength and the Kahn factor the spec leaves out.

    Raises
    ------
    InputError
        Names the field (or file and line) that cannot be used.
    """
    direction = direction_of(spec.direction or rule.beam, "beam.direction")
    kahn_factor = spec.polarization.kahn_factor
    if kahn_factor is None:
        kahn_factor = 0.0 if headers.kahn_factor is None else headers.kahn_factor
    axis = _polarization_axis(spec, rule, direction, kahn_factor)
    wavelength = nominal_wavelength(spec, headers.wavelength, source=headers.source)
    return Beam(
        sources=_build_sources(
            spec, physics, direction, axis, wavelength, of_file=headers.spectrum
        ),
        wavelength=wavelength,
        direction=frozen_float64(direction),
        fluence=resolve_fluence(spec, physics),
        polarized=spec.polarization.enabled,
        kahn_factor=kahn_factor,
        polarization_axis=frozen_float64(axis),
    )


def _polarization_axis(
    spec: BeamSpec, rule: ConventionRule, beam: Vector, kahn_factor: float
) -> Vector:
    """Return the E-vector axis: as given, else the convention's, else one across the beam.

    The last happens where a given beam direction lies along the convention's axis.
    """
    given = spec.polarization.axis
    axis = direction_of(given or rule.polarization, "beam.polarization.axis")
    if norm(cross(beam, axis)) > _ALONG:
        return axis
    if given is not None:
        raise InputError(
            "the polarisation axis lies along the beam",
            field="beam.polarization.axis",
            remedy="give the direction of the E-vector, across the beam",
        )
    if spec.polarization.enabled and kahn_factor != 0.0:
        raise InputError(
            "the convention's polarisation axis lies along the given beam",
            field="beam.polarization.axis",
            remedy="give the direction of the E-vector, across the beam",
        )
    smallest = min(range(3), key=lambda index: abs(beam[index]))
    basis: Vector = (float(smallest == 0), float(smallest == 1), float(smallest == 2))
    return unit(cross(cross(beam, basis), beam))


def direction_of(vector: Vector, field: str) -> Vector:
    """Return a unit vector.

    Raises
    ------
    InputError
        A vector of length zero or not finite.
    """
    length = norm(vector)
    if not 0.0 < length < math.inf:
        raise InputError("a direction cannot have length zero", field=field)
    return unit(vector)


def nominal_wavelength(
    spec: BeamSpec, header_wavelength: float | None, *, source: str = ""
) -> float:
    """Return the nominal wavelength, Å: as given, of the header, or of spectrum or source file.

    The nominal wavelength of a spectrum or source file is its weighted mean. `source` is the
    header or geometry file that was read and states none, for the message.

    Raises
    ------
    InputError
        Nothing states a wavelength.
    """
    if spec.wavelength_angstrom is not None:
        return spec.wavelength_angstrom
    if spec.energy_ev is not None:
        return energy_ev_to_wavelength_angstrom(spec.energy_ev)
    if header_wavelength is not None:
        return header_wavelength
    if spec.source_file is not None:
        return _mean(*_wavelengths_of_sources(spec.source_file))
    if spec.spectrum is not None:
        return _mean(*_spectrum(spec.spectrum))
    raise InputError(
        "the file does not state the wavelength" if source else "no wavelength is given",
        source=source,
        field="beam.wavelength_angstrom",
        remedy="give beam.wavelength_angstrom, beam.energy_ev or beam.spectrum",
    )


def _mean(wavelengths: Float64Array, weights: Float64Array) -> float:
    """Weighted mean; where all weights are zero, which is refused later, the plain one."""
    largest = float(weights.max())
    shares = weights / largest if largest > 0.0 else np.ones_like(weights)
    return math.fsum((wavelengths * shares).tolist()) / math.fsum(shares.tolist())


def _wavelengths_of_sources(path: str) -> tuple[Float64Array, Float64Array]:
    """Wavelengths (Å) and weights of a source file that states every wavelength."""
    table = read_sources(path, beam_direction=(0.0, 0.0, 1.0), wavelength_m=None)
    return np.array([metres_to_angstrom(value) for value in table[:, 4].tolist()]), table[:, 3]


def resolve_fluence(spec: BeamSpec, physics: Physics) -> float:
    """Return the fluence, photons/m²: as given, or flux·exposure/size².

    Raises
    ------
    InputError
        A flux through a beam of no size, or a fluence that is not finite.
    """
    flux = spec.flux_photons_per_s
    if flux is None or (flux == 0.0 and physics == "nanobragg"):
        given = spec.fluence_photons_per_m2
        return DEFAULT_FLUENCE_PHOTONS_PER_M2 if given is None else given
    size = beam_size_m(spec)
    exposure = DEFAULT_EXPOSURE_S if spec.exposure_s is None else spec.exposure_s
    if size <= 0.0:
        raise InputError(
            "a flux through a beam of size 0 is infinite",
            field="beam.size_mm",
            remedy="give the size of the beam",
        )
    fluence = flux * exposure / size / size
    if not math.isfinite(fluence):
        raise InputError("flux·exposure/size² is not finite", field="beam.flux_photons_per_s")
    return fluence


def beam_size_m(spec: BeamSpec) -> float:
    """Return the beam size, m (0.1 mm where not given)."""
    return mm_to_m(DEFAULT_BEAM_SIZE_MM if spec.size_mm is None else spec.size_mm)


def _build_sources(
    spec: BeamSpec,
    physics: Physics,
    direction: Vector,
    axis: Vector,
    wavelength: float,
    *,
    of_file: Spectrum | None,
) -> Sources:
    weights = weight_rule(spec.weights, physics)
    if spec.source_file is not None:
        table = read_sources(
            spec.source_file, beam_direction=direction, wavelength_m=angstrom_to_m(wavelength)
        )
        towards = np.array([unit((x, y, z)) for x, y, z in table[:, :3].tolist()])
        if weights != "count" and not (table[:, 3] > 0.0).any():
            raise InputError(
                "every source weight is zero",
                source=spec.source_file,
                remedy="give at least one source a positive weight",
            )
        lambdas = np.array([metres_to_angstrom(value) for value in table[:, 4].tolist()])
        return make_sources(towards, lambdas, table[:, 3], weights)
    directions = divergence_directions(
        direction,
        axis,
        _divergence(spec.divergence.horizontal, physics, "beam.divergence.horizontal"),
        _divergence(spec.divergence.vertical, physics, "beam.divergence.vertical"),
        round_off=spec.divergence.shape == "round",
    )
    spectrum = spectrum_of(spec, of_file)
    if spectrum is not None:
        lambdas, line_weights = spectrum.wavelength, spectrum.weight
    else:
        lambdas = dispersed_wavelengths(wavelength, _dispersion(spec, physics))
        line_weights = np.ones(lambdas.shape[0], dtype=np.float64)
    return make_sources(*cross_product_table(directions, lambdas, line_weights), weights)


def _divergence(axis: DivergenceAxisSpec, physics: Physics, field: str) -> Grid:
    extent = None if axis.range_mrad is None else mrad_to_rad(axis.range_mrad)
    step = None if axis.step_mrad is None else mrad_to_rad(axis.step_mrad)
    if physics == "exact":
        return exact_grid(extent, step, axis.steps, field)
    return resolve_grid(extent, step, axis.steps, nominal=NOMINAL_ANGLE, field=field)


def _dispersion(spec: BeamSpec, physics: Physics) -> Grid:
    extent = spec.dispersion.range_percent
    if physics == "exact":
        _check_dispersion(extent, spec.dispersion.steps)
    # The program's range starts at 0, not at "not given": a count alone is one wavelength.
    return resolve_grid(
        0.0 if extent is None else percent_to_fraction(extent),
        None,
        spec.dispersion.steps,
        nominal=1.0,
        field="beam.dispersion",
    )


def _check_dispersion(extent: float | None, steps: int | None) -> None:
    """Refuse a count without a range, and what is no range or count.

    Raises
    ------
    InputError
    """
    count = exact_count(steps, "beam.dispersion.steps")
    problem = ""
    if extent is not None and extent < 0.0:
        raise InputError(
            "is negative", field="beam.dispersion.range_percent", remedy="a range is 0 or more"
        )
    if extent is None and (count or 1) > 1:
        problem = "given without a range"
    elif extent and count == 1:
        problem = "one wavelength has no range; both ends are among the wavelengths"
    if problem:
        raise InputError(
            problem,
            field="beam.dispersion.steps",
            remedy="give beam.dispersion.range_percent and 2 steps or more",
        )


def _spectrum(spec: SpectrumSpec) -> tuple[Float64Array, Float64Array]:
    """Wavelengths (Å) and weights of a spectrum of the specification."""
    found = resolve_spectrum(spec)
    if found is None:
        raise InputError(
            "the geometry file states no wavelength of its shots", field="beam.spectrum.shot"
        )
    return found.wavelength, found.weight
