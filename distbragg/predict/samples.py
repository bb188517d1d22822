"""The spots of a sampled frame.

A reflection's photons are

    n r_e² Φ |F|² / (n_φ n_m W) · Σ_s w_s λ_s² Σ_φ Σ_m P G(ε)

over the same sources, spindle steps and mosaic domains as the image, with n the number of
illuminated blocks, λ² the area on the Ewald sphere that one steradian covers and G the plane
section of the crystal's transform (`section`). It is the sum over all pixels of what the renderer
attributes to that reflection, background excluded, in the limit of pixels finer than a spot.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from distbragg.matrices import apply3, dot3, matmul3, norm3, transposed
from distbragg.models.beam import Beam
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array, IntArray, components
from distbragg.physics.factors import (
    orientation_count,
    polarization_factor,
    polarization_frame,
    scattered_fluence,
)
from distbragg.physics.orientation import domain_turns
from distbragg.predict.candidates import candidates, indexed
from distbragg.predict.energies import Energies
from distbragg.predict.landing import land, passing
from distbragg.predict.section import Section
from distbragg.predict.table import ELLIPSE, Spots, ordered

_ELEMENTS: Final = 1 << 19  # reflections × samples worked on at once
_SAMPLES: Final = 1 << 12


def predict_sampled(experiment: Experiment, minimum_photons: float) -> Spots:
    """Predict the spots of a sampled frame."""
    section = Section(experiment.crystal)
    hkl, amplitude = candidates(experiment, section)
    samples = int(experiment.crystal.mosaic_rotations.shape[0]) * experiment.beam.sources.count
    step = max(64, _ELEMENTS // samples)
    parts = []
    for start in range(0, max(1, hkl.shape[0]), step):
        rows = slice(start, start + step)
        sums = _sum(experiment, section, hkl[rows])
        parts.append(_finish(experiment, hkl[rows], amplitude[rows], sums, minimum_photons))
    return ordered(parts)


@dataclass(frozen=True, slots=True)
class _Block:
    """Some samples of a frame, each an orientation of the crystal seen by one source."""

    incident: Float64Array  # (samples, 3), direction of the beam
    wave_number: Float64Array  # (samples,), 1/Å
    sources: slice  # of which they are, each as often as there are domains
    weight: Float64Array  # (samples,), Å²: of the source times λ²
    phi: Float64Array  # (samples,), rad
    turn: Float64Array
    """(samples, 3, 3), from the crystal at rest: strain, spindle, then mosaic domain."""
    seen: Float64Array  # (samples, 3), 1/Å: wave vector as the crystal at rest would see it
    metric: Float64Array | None  # (samples, 3, 3), TᵀT of the turns; None where it is 1


def _blocks(experiment: Experiment) -> Iterator[_Block]:
    """Yield all samples in a fixed order: spindle steps outermost, then sources, then domains."""
    sources, crystal = experiment.beam.sources, experiment.crystal
    domains = int(crystal.mosaic_rotations.shape[0])
    step = max(1, _SAMPLES // domains)
    alike = crystal.cell_deviates is None
    for phi, turns in zip(crystal.phi.tolist(), domain_turns(crystal), strict=True):
        for start in range(0, sources.count, step):
            chosen = slice(start, min(start + step, sources.count))
            count = chosen.stop - start
            wave_number = np.repeat(1.0 / sources.wavelength[chosen], domains)
            incident = np.repeat(-sources.direction[chosen], domains, axis=0)
            turn = np.tile(turns, (count, 1, 1))
            beam = incident * wave_number[:, np.newaxis]
            yield _Block(
                incident=incident,
                wave_number=wave_number,
                sources=chosen,
                weight=np.repeat(sources.weight[chosen], domains) / wave_number**2,
                phi=np.full(wave_number.shape, phi),
                turn=turn,
                seen=(turn * beam[:, :, np.newaxis]).sum(axis=1),
                metric=None if alike else matmul3(transposed(turn), turn),
            )


@dataclass(frozen=True, slots=True)
class _Sums:
    """What the samples of a frame add up to, for every candidate: (n,) arrays but `direction`.

    Sections and corrections are those of the sample nearest to the Ewald sphere.
    """

    cut: Float64Array
    whole: Float64Array  # what `cut` would be of a reflection with partiality 1
    direction: Float64Array
    wavelength: Float64Array
    phi: Float64Array
    polarization: Float64Array


@dataclass(frozen=True, slots=True)
class _Nearest:
    """The sample of every reflection that is nearest to the Ewald sphere."""

    distance: Float64Array
    incident: Float64Array
    wave_number: Float64Array
    turn: Float64Array


def _distances(block: _Block, point: Float64Array) -> Float64Array:
    """Signed distance ε from the sphere of every reflection in every sample, (n, samples).

    |k + R p|² is k² + p² + 2 (Rᵀ k)·p: nothing is rotated.
    """
    square = _squares(block, point) + block.wave_number**2
    cross = dot3(point[:, np.newaxis, :], block.seen[np.newaxis, :, :])
    return np.asarray(np.sqrt(np.maximum(square + 2.0 * cross, 0.0)) - block.wave_number)


def _squares(block: _Block, point: Float64Array) -> Float64Array:
    """|R p|² of every reflection in every sample, (n, samples), or (n, 1) where it is |p|²."""
    if block.metric is None:
        return dot3(point, point)[:, np.newaxis]
    outer = (point[:, :, np.newaxis] * point[:, np.newaxis, :]).reshape(-1, 9)
    return np.asarray(np.einsum("nc,sc->ns", outer, block.metric.reshape(-1, 9)))


def _find_nearest(experiment: Experiment, point: Float64Array) -> _Nearest:
    count = point.shape[0]
    best = _Nearest(
        np.full(count, np.inf), np.zeros((count, 3)), np.zeros(count), np.zeros((count, 3, 3))
    )
    for block in _blocks(experiment):
        distance = np.abs(_distances(block, point))
        sample = distance.argmin(axis=1)
        least = distance[np.arange(count), sample]
        better = np.flatnonzero(least < best.distance)
        chosen = sample[better]
        best.distance[better] = least[better]
        best.incident[better] = block.incident[chosen]
        best.wave_number[better] = block.wave_number[chosen]
        best.turn[better] = block.turn[chosen]
    return best


def _sum(experiment: Experiment, section: Section, hkl: IntArray) -> _Sums:
    """Add up the samples of some reflections."""
    crystal, count = experiment.crystal, hkl.shape[0]
    energies, domains = Energies(experiment.reflections), len(crystal.mosaic_rotations)
    point = indexed(hkl, crystal.reciprocal)
    near = _find_nearest(experiment, point)
    turned = apply3(near.turn, point)
    outgoing = near.wave_number[:, np.newaxis] * near.incident + turned
    length = norm3(outgoing)
    normal = outgoing / np.where(length > 0.0, length, 1.0)[:, np.newaxis]
    # The normal as the crystal at rest would see it: sections are taken there.
    resting = (near.turn * normal[:, :, np.newaxis]).sum(axis=1)
    slopes = apply3(crystal.reciprocal, resting)
    cut, weights = np.zeros(count), 0.0
    first, wavelength, phi = np.zeros((count, 3)), np.zeros(count), np.zeros(count)
    turns, offset = np.zeros((count, 9)), np.zeros(count)
    for block in _blocks(experiment):
        distance = _distances(block, point)
        part = block.weight * section.value(distance, slopes[:, np.newaxis, :])
        if energies.differ:
            part *= np.repeat(energies.of_sources(hkl, block.sources), domains, axis=1)
        weights += math.fsum(block.weight.tolist())
        cut += part.sum(axis=1)
        wavelength += (part / block.wave_number).sum(axis=1)
        phi += (part * block.phi).sum(axis=1)
        # Rays in units of the wave number: of directions alone the mean is taken.
        scaled = part / block.wave_number
        first += np.einsum("ns,sj->nj", part, block.incident)
        turns += np.einsum("ns,sj->nj", scaled, block.turn.reshape(-1, 9))
        offset += (scaled * distance).sum(axis=1)
    shape = section.spread(crystal.reciprocal)
    lean = apply3(shape, resting)
    lean = lean / dot3(resting, lean)[:, np.newaxis]
    lean = apply3(near.turn, lean)
    direction = first + apply3(turns.reshape(-1, 3, 3), point)
    direction -= offset[:, np.newaxis] * lean
    speed = np.abs(dot3(np.cross(crystal.spindle_axis, turned), normal))
    return _Sums(
        cut=cut,
        whole=_whole(experiment, section, slopes, speed) * weights,
        direction=direction,
        wavelength=wavelength,
        phi=phi,
        polarization=_polarization(experiment.beam, near.incident, normal),
    )


def _whole(
    experiment: Experiment, section: Section, slopes: Float64Array, speed: Float64Array
) -> Float64Array:
    """Return the mean G over the samples of a reflection of partiality 1; see `Spots`."""
    phi = experiment.crystal.phi
    steps = int(phi.shape[0])
    width = abs(float(phi[1] - phi[0])) * steps if steps > 1 else 0.0
    if width == 0.0:
        return section.value(np.zeros(slopes.shape[0]), slopes)
    # A passage takes the time that the rotation needs for `area / speed` of its width.
    with np.errstate(divide="ignore"):
        return np.asarray(section.area / (speed * width))


def _polarization(beam: Beam, incident: Float64Array, direction: Float64Array) -> Float64Array:
    """Polarisation factor of rays (n, 3) from beams (n, 3); 1 where the polarisation is off."""
    if not beam.polarized:
        return np.ones(direction.shape[0])
    frame = polarization_frame(tuple(incident.T), components(beam.polarization_axis))
    return np.asarray(polarization_factor(frame, tuple(direction.T), beam.kahn_factor))


def _finish(
    experiment: Experiment,
    hkl: IntArray,
    amplitude: Float64Array,
    sums: _Sums,
    minimum_photons: float,
) -> Spots:
    """Scale the sums to photons and follow the mean rays to the detector."""
    length = norm3(sums.direction)
    direction = sums.direction / np.where(length > 0.0, length, 1.0)[:, np.newaxis]
    landing = land(experiment, direction)
    crystal, beam = experiment.crystal, experiment.beam
    # λ² and G are in Å² and Å⁻²: their product is a solid angle.
    scale = scattered_fluence(beam, orientation_count(experiment)) * crystal.scale
    photons = scale * amplitude**2 * sums.polarization * sums.cut * landing.response
    photons = photons * passing(experiment, direction)
    found = np.flatnonzero(
        (landing.panel >= 0) & (photons > 0.0) & (photons >= minimum_photons) & (length > 0.0)
    )
    point = indexed(hkl[found], crystal.reciprocal)
    return Spots(
        h=hkl[found, 0].astype(np.int32),
        k=hkl[found, 1].astype(np.int32),
        l=hkl[found, 2].astype(np.int32),
        panel=landing.panel[found].astype(np.int32),
        slow=landing.slow[found],
        fast=landing.fast[found],
        **dict.fromkeys(ELLIPSE, np.full(len(found), np.nan)),
        f_squared=amplitude[found] ** 2,
        partiality=sums.cut[found] / sums.whole[found],
        photons=photons[found],
        wavelength=sums.wavelength[found] / sums.cut[found],
        phi=np.degrees(sums.phi[found] / sums.cut[found]),
        resolution=1.0 / norm3(point),
        active=landing.active[found],
        lattice=np.zeros(len(found), np.int32),
    )
