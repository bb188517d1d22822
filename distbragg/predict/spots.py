"""The spots of one frame: where they fall and how many photons they hold.

A reflection's photons are

    r_e² Φ |F|² / (n_φ n_m W) · Σ_s w_s λ_s² Σ_φ Σ_m P G(ε)

over the same sources, spindle steps and mosaic domains as the image, with λ² the area on the
Ewald sphere that one steradian covers and G the plane section of the crystal's transform
(`section`). It is the sum over all pixels of what the renderer attributes to that reflection,
background excluded, in the limit of pixels finer than a spot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.models.arrays import Float64Array, IntArray
from distbragg.models.beam import Beam
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import components
from distbragg.physics.factors import (
    orientation_count,
    polarization_factor,
    polarization_frame,
    scattered_fluence,
)
from distbragg.predict.candidates import candidates, indexed
from distbragg.predict.landing import check_flat, land, project
from distbragg.predict.samples import Block, blocks, span
from distbragg.predict.section import Section

_ELEMENTS: Final = 1 << 19
"""Reflections × samples worked on at once."""


@dataclass(frozen=True, slots=True)
class Spots:
    """Spots of a frame, in order of panel and of h, k, l.

    Attributes
    ----------
    h, k, l : (spots,) int32
    panel : (spots,) int32
    slow, fast : (spots,) float64
        Mean position, pixels from the panel's outer corner: the first pixel's centre is 0.5.
    f_squared : (spots,) float64, electrons²
    partiality : (spots,) float64
        Of a rotation: photons over those of a full passage through the sphere. Of a still:
        mean of G(ε)/G(0), the share of what the crystal would give on the sphere throughout.
    photons : (spots,) float64
        Expected photons of the whole spot, background excluded, wherever its pixels lie.
    wavelength : (spots,) float64, Å
    phi : (spots,) float64, degrees
        Means over the samples, weighted by their photons.
    resolution : (spots,) float64, Å
    active : (spots,) bool
        The pixel at its mean position is active.
    """

    h: NDArray[np.int32]
    k: NDArray[np.int32]
    l: NDArray[np.int32]  # noqa: E741 the field's letter
    panel: NDArray[np.int32]
    slow: Float64Array
    fast: Float64Array
    f_squared: Float64Array
    partiality: Float64Array
    photons: Float64Array
    wavelength: Float64Array
    phi: Float64Array
    resolution: Float64Array
    active: NDArray[np.bool_]

    def __len__(self) -> int:
        return int(self.h.shape[0])

    def columns(self) -> dict[str, NDArray[np.generic]]:
        """Return the columns by name."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


def predict_spots(experiment: Experiment, minimum_photons: float = 0.0) -> Spots:
    """Predict the spots of one frame.

    Parameters
    ----------
    experiment : Experiment
    minimum_photons : float
        Spots of fewer expected photons are left out.

    Raises
    ------
    InputError
        The detector is curved, or too many reflections are within reach.
    """
    check_flat(experiment.detector)
    section = Section(experiment.crystal)
    hkl, amplitude = candidates(experiment, section, span(experiment))
    samples = int(experiment.crystal.mosaic_rotations.shape[0]) * experiment.beam.sources.count
    step = max(64, _ELEMENTS // samples)
    parts = []
    for start in range(0, max(1, hkl.shape[0]), step):
        rows = slice(start, start + step)
        sums = _sum(experiment, section, hkl[rows])
        parts.append(_finish(experiment, hkl[rows], amplitude[rows], sums, minimum_photons))
    return _ordered(parts)


@dataclass(frozen=True, slots=True)
class _Sums:
    """What the samples of a frame add up to, for every candidate: (n,) arrays but `direction`.

    Sections and corrections are those of the sample nearest to the Ewald sphere.
    """

    cut: Float64Array
    whole: Float64Array
    """What `cut` would be of a reflection with partiality 1."""
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


def _distances(block: Block, point: Float64Array) -> Float64Array:
    """Signed distance ε from the sphere of every reflection in every sample, (n, samples).

    |k + R p|² is k² + p² + 2 (Rᵀ k)·p: nothing is rotated.
    """
    square = project(point, point)[:, np.newaxis] + block.wave_number**2
    cross = project(point[:, np.newaxis, :], block.seen[np.newaxis, :, :])
    return np.asarray(np.sqrt(np.maximum(square + 2.0 * cross, 0.0)) - block.wave_number)


def _find_nearest(experiment: Experiment, point: Float64Array) -> _Nearest:
    count = point.shape[0]
    best = _Nearest(
        np.full(count, np.inf), np.zeros((count, 3)), np.zeros(count), np.zeros((count, 3, 3))
    )
    for block in blocks(experiment):
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
    point = indexed(hkl, crystal.reciprocal)
    near = _find_nearest(experiment, point)
    turned = project(near.turn, point[:, np.newaxis, :])
    outgoing = near.wave_number[:, np.newaxis] * near.incident + turned
    length = np.sqrt(project(outgoing, outgoing))
    normal = outgoing / np.where(length > 0.0, length, 1.0)[:, np.newaxis]
    # The normal as the crystal at rest would see it: sections are taken there.
    resting = (near.turn * normal[:, :, np.newaxis]).sum(axis=1)
    slopes = np.stack([project(resting, row) for row in crystal.reciprocal], axis=1)
    cut, weights = np.zeros(count), 0.0
    first, wavelength, phi = np.zeros((count, 3)), np.zeros(count), np.zeros(count)
    turns, offset = np.zeros((count, 9)), np.zeros(count)
    for block in blocks(experiment):
        distance = _distances(block, point)
        part = block.weight * section.value(distance, slopes[:, np.newaxis, :])
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
    lean = np.stack([project(resting, row) for row in shape], axis=1)
    lean = lean / project(resting, lean)[:, np.newaxis]
    lean = project(near.turn, lean[:, np.newaxis, :])
    direction = first + project(turns.reshape(-1, 3, 3), point[:, np.newaxis, :])
    direction -= offset[:, np.newaxis] * lean
    speed = np.abs(project(np.cross(crystal.spindle_axis, turned), normal))
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
    length = np.sqrt(project(sums.direction, sums.direction))
    landing = land(experiment, sums.direction / np.where(length > 0.0, length, 1.0)[:, np.newaxis])
    crystal, beam = experiment.crystal, experiment.beam
    # λ² and G are in Å² and Å⁻²: their product is a solid angle.
    scale = scattered_fluence(beam, orientation_count(experiment))
    photons = scale * amplitude**2 * sums.polarization * sums.cut * landing.response
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
        f_squared=amplitude[found] ** 2,
        partiality=sums.cut[found] / sums.whole[found],
        photons=photons[found],
        wavelength=sums.wavelength[found] / sums.cut[found],
        phi=np.degrees(sums.phi[found] / sums.cut[found]),
        resolution=1.0 / np.sqrt(project(point, point)),
        active=landing.active[found],
    )


def _ordered(parts: list[Spots]) -> Spots:
    """Join parts that are in order of h, k, l, and put the panels in order."""
    columns = {
        item.name: np.concatenate([getattr(part, item.name) for part in parts])
        for item in fields(Spots)
    }
    order = np.argsort(columns["panel"], kind="stable")
    return Spots(**{name: values[order] for name, values in columns.items()})
