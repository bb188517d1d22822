"""The spots of a frame in closed form: moments, over rays, of what is rendered.

A reflection's photons are

    r_e² Φ |F|² (Na Nb Nc)² / W · Σ_s w_s ∫ T_s P C dΩ

with T_s the mean transform of source s, P the polarisation factor and C the share captured by the
sensor. Place and ellipse are first and second moments of the same integrand, in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from distbragg.matrices import determinant3, dot3, norm3
from distbragg.models.crystal import Reflections
from distbragg.models.detector import Panel
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array, IntArray, components
from distbragg.physics.arrays import Triple
from distbragg.physics.closed_form import Incidence, mean_transform
from distbragg.physics.closed_rotation import seen_in_rotation
from distbragg.physics.factors import (
    capture_fraction,
    polarization_factor,
    polarization_frame,
    scattered_fluence,
)
from distbragg.physics.near_sphere import (
    CUT,
    GaussianCrystal,
    gaussian_crystal,
    near_sphere,
)
from distbragg.physics.places import Places
from distbragg.predict.candidates import largest_stol, span
from distbragg.predict.disc import integrate
from distbragg.predict.energies import Energies
from distbragg.predict.grain import Grain, grain_of
from distbragg.predict.landing import (
    active_at,
    components_of,
    cosine_on,
    land,
    meet,
    near_panel,
    passing,
    pixel_share,
)
from distbragg.predict.lines import lines_of
from distbragg.predict.table import Spots, ordered
from distbragg.predict.twin import Lit, Twin

_OFF: Final = 1e-3
"""Step of a derivative by the wavenumber, in its standard deviations."""

_BOUND: Final = 10.0
"""Times what the first order makes of a spot's photons: more they never are."""

_MARGIN: Final = 3.0
"""Standard deviations beyond a panel's edge within which a spot may yet have its mean there."""

_CUT: Final = CUT["float64"]

_MOMENTS: Final = ("bare", "all", "slow", "fast", "ss", "sf", "ff", "phi", "x", "y", "z")
"""Integrals of a spot. `bare` is Σ w ∫ T dΩ and `all` has P and C in it, as the others have, which
weigh pixels from `start`, the angle of the spindle from the middle, and the ray."""

_ALL, _PHI = _MOMENTS.index("all"), _MOMENTS.index("phi")

Moments = dict[str, Float64Array]


@dataclass(frozen=True, slots=True)
class _Part:
    """One line in one part of the rotation."""

    weight: float  # of the line, times the share of the rotation
    crystal: GaussianCrystal
    angle: float  # rad, of that crystal from the middle of the whole rotation
    incidence: Incidence
    source: int


@dataclass(frozen=True, slots=True)
class _Frame:
    """The reflections of a frame, (n,), and what each line lights of them in each part, (lit,)."""

    experiment: Experiment
    crystal: GaussianCrystal
    hkl: IntArray
    amplitude: Float64Array
    brightness: Float64Array  # r_e² Φ |F|² n (Na Nb Nc)² / W
    parts: list[_Part]  # line by line, in each `turns` parts of the rotation
    turns: int
    places: Places
    part: IntArray  # in which part each is lit
    spot: IntArray  # which reflection of the frame it is
    weight: Float64Array  # of the part, times the share of |F|²
    twin: Twin | None  # that integrates


def predict_closed(
    sizes: Sequence[Experiment], minimum_photons: float, twin: Twin | None = None
) -> Spots:
    """Predict the spots of a frame in closed form, by a twin if there is one.

    `sizes` has the frame for each size of blocks: all spots of a reflection are told of on the
    panel that their mean ray meets.
    """
    wanted = [_wanted(one, minimum_photons, twin) for one in sizes]
    found = [_integrals(frame, panel, direction) for frame, direction, panel in wanted]
    landed = _landed([frame for frame, _, _ in wanted], found)
    parts = []
    for (frame, direction, panel), moments, met in zip(wanted, found, landed, strict=True):
        # Few, beside a gap between panels.
        moved = np.where(met == panel, -1, met)
        if (moved >= 0).any():
            again = _integrals(frame, moved, direction)
            for name, values in moments.items():
                values[..., moved >= 0] = again[name][..., moved >= 0]
        parts.append(_finish(frame, met, moments, minimum_photons))
    return ordered(parts)


def _landed(frames: list[_Frame], found: list[Moments]) -> list[IntArray]:
    """Return the panels on which the reflections of frames of several sizes have their mean rays.

    −1 where that is none.
    """
    _, which = _distinct(np.concatenate([frame.hkl for frame in frames]))
    pairs = list(zip(frames, found, strict=True))
    total: Moments = {
        name: np.bincount(
            which, np.concatenate([frame.brightness * moments[name] for frame, moments in pairs])
        ).astype(np.float64, copy=False)
        for name in ("all", "x", "y", "z")
    }
    panel = land(frames[0].experiment, _mean_ray(total)).panel
    # What was not integrated has no ray, which the foot of a sphere would catch.
    met = np.where(total["all"] > 0.0, panel, -1)[which]
    return np.split(met, np.cumsum([len(frame.hkl) for frame in frames])[:-1])


def count_integrals(experiment: Experiment, minimum_photons: float, twin: Twin | None) -> int:
    """Count the integrals that predicting a frame takes: spots by lines and parts of a rotation."""
    frame, _, panel = _wanted(experiment, minimum_photons, twin)
    return int((panel[frame.spot] >= 0).sum())


def _wanted(
    experiment: Experiment, minimum_photons: float, twin: Twin | None
) -> tuple[_Frame, Float64Array, IntArray]:
    """Return reflections, the ray to each, and its panel; −1 where none need be integrated."""
    frame = _lit(experiment, twin)
    direction, width, size = _roughly(frame)
    panel = near_panel(experiment.detector, direction, _MARGIN * width)
    panel[_BOUND * frame.brightness * size < minimum_photons] = -1
    return frame, direction, panel


def _lit(experiment: Experiment, twin: Twin | None) -> _Frame:
    """Find the reflections that any source lights, 000 left out."""
    crystal = gaussian_crystal(experiment.crystal)
    reflections = experiment.reflections
    dmin = _finest(experiment, crystal)
    turned = crystal.parts()
    width = (crystal.spindle.stop - crystal.spindle.start) / len(turned)
    parts = [
        _Part(
            line.weight / len(turned),
            one,
            (index + 0.5 - 0.5 * len(turned)) * width,
            line.incidence,
            line.source,
        )
        for line in lines_of(experiment, crystal, dmin, twin)
        for index, one in enumerate(turned)
    ]
    if twin is None:
        found = [near_sphere(one.crystal, one.incidence, cut=_CUT, dmin=dmin) for one in parts]
        part = np.repeat(np.arange(len(parts)), [len(places) for places in found])
    else:
        found, of_part = [], []
        for turn, turned_one in enumerate(turned):
            lines = [one.incidence for one in parts[turn :: len(turned)]]
            seen, line = twin.lit(turned_one, lines, _CUT, dmin)
            found.append(seen)
            of_part.append(len(turned) * line + turn)
        part = np.concatenate(of_part)
    places = Places.joined(found)
    h, k, l = places.hkl.T  # noqa: E741 - Miller indices
    amplitude = _amplitude(reflections, places.hkl)
    kept = np.flatnonzero((amplitude > 0.0) & ((h | k | l) != 0))
    places, part, amplitude = places[kept], part[kept], amplitude[kept]
    first, spot = _distinct(places.hkl)
    hkl, amplitude = places.hkl[first], amplitude[first]
    weight = np.array([one.weight for one in parts])[part]
    energies = Energies(reflections)
    if energies.differ:
        for number, one in enumerate(parts):
            own = part == number
            weight[own] *= energies.of_source(places.hkl[own], one.source)
    peak = amplitude**2 * experiment.crystal.unit_cells**2 * experiment.crystal.scale
    brightness = scattered_fluence(experiment.beam, 1) * peak
    return _Frame(
        experiment=experiment,
        crystal=crystal,
        hkl=hkl,
        amplitude=amplitude,
        brightness=brightness,
        parts=parts,
        turns=len(turned),
        places=places,
        part=part,
        spot=spot,
        weight=weight,
        twin=twin,
    )


def _finest(experiment: Experiment, crystal: GaussianCrystal) -> float:
    """Return the least spacing of a spot that may have its mean on the detector, Å."""
    beam = experiment.beam
    farthest = 2.0 * largest_stol(experiment, span(experiment))
    k = 1.0 / float(beam.sources.wavelength.min())
    flat = float(np.trace(crystal.covariance)) + k * k * float((beam.divergence**2).sum())
    wide = farthest * (1.05 + _CUT * beam.sources.bandwidth) + _CUT * math.sqrt(flat)
    return max(experiment.sampling.dmin, 1.0 / wide)


def _distinct(hkl: IntArray) -> tuple[IntArray, IntArray]:
    """Return where indices (n, 3) stand first, in their order, and which of those each is."""
    if len(hkl) == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    h, k, l = (axis - axis.min() for axis in hkl.T)  # noqa: E741 - Miller indices
    size_k, size_l = int(k.max()) + 1, int(l.max()) + 1
    _, first, which = np.unique(
        (h * size_k + k) * size_l + l, return_index=True, return_inverse=True
    )
    return first, which.ravel()


def _amplitude(reflections: Reflections, hkl: IntArray) -> Float64Array:
    """Return |F| of reflections (n, 3), (n,)."""
    table, default = reflections.amplitude, reflections.default_amplitude
    if table.size == 0:
        return np.full(len(hkl), default)
    h, k, l = (hkl - np.array(reflections.origin)).T  # noqa: E741 - Miller indices
    size_h, size_k, size_l = table.shape
    inside = (h >= 0) & (h < size_h) & (k >= 0) & (k < size_k) & (l >= 0) & (l < size_l)
    place = np.where(inside, (h * size_k + k) * size_l + l, 0)
    return np.where(inside, table.ravel().take(place), default)


def _roughly(frame: _Frame) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return to first order the mean ray, (n, 3), the width, rad, and Σ w ∫ T dΩ of each."""
    places, spot, count = frame.places, frame.spot, len(frame.hkl)
    xx, xy, yy = places.covariance.T
    off = _CUT * _CUT - places.reach**2
    own = frame.weight * np.sqrt(np.maximum(xx * yy - xy * xy, 0.0))
    own = own * np.exp(-0.5 * off) * 2.0 * math.pi
    size: Float64Array = np.bincount(spot, own, count).astype(np.float64, copy=False)
    direction = np.stack([np.bincount(spot, own * axis, count) for axis in places.centre.T], axis=1)
    width = np.zeros(count)
    np.maximum.at(width, spot, np.sqrt(xx + yy))
    length = norm3(direction)
    return direction / np.where(length > 0.0, length, 1.0)[:, np.newaxis], width, size


def _integrals(frame: _Frame, panel: IntArray, about: Float64Array) -> Moments:
    """Add up the moments of the reflections that have a panel; pixels count from the ray `about`.

    Each name has (n,), `start` the pixels that they count from, (2, n), and `wavelength` the mean.
    """
    count = len(frame.hkl)
    moments = {name: np.zeros(count) for name in (*_MOMENTS, "wavelength")}
    start = np.zeros((2, count))
    for index, view in enumerate(frame.experiment.detector.panels):
        on = panel == index
        if not on.any():
            continue
        start[:, on] = meet(view, about[on], 0.0)[:2]
        chosen = np.flatnonzero(on[frame.spot])
        for name, values in zip(moments, _on_one(frame, view, chosen, start), strict=True):
            moments[name] += values
    return {**moments, "start": start}


def _on_one(frame: _Frame, view: Panel, chosen: IntArray, start: Float64Array) -> Float64Array:
    """Return the moments, (12, n), of places that are chosen, on one panel."""
    if frame.twin is not None and view.surface == "flat":
        return _by_twin(frame, frame.twin, view, chosen, start)
    places, part, spot = frame.places[chosen], frame.part[chosen], frame.spot[chosen]
    total = np.zeros((len(_MOMENTS) + 1, start.shape[1]))
    for number in np.unique(part):
        own = part == number
        seen = _Seen(frame.parts[number], places[own], frame.weight[chosen[own]])
        found = _integrals_of(frame, seen, view, start[:, spot[own]])
        total[:, spot[own]] += list(found.values())
    return total


def _by_twin(
    frame: _Frame, twin: Twin, view: Panel, chosen: IntArray, start: Float64Array
) -> Float64Array:
    """Return the same from compiled code, which is told of one part of the rotation at a time."""
    total = np.zeros((len(_MOMENTS) + 1, start.shape[1]))
    turn, beam = frame.part[chosen] % frame.turns, frame.experiment.beam
    for number in np.unique(turn):
        own, parts = chosen[turn == number], frame.parts[number :: frame.turns]
        lines, line = [part.incidence for part in parts], frame.part[own] // frame.turns
        grain = Grain.none(len(own))
        for at in np.unique(line) if frame.crystal.rotates else ():
            of_line = np.flatnonzero(line == at)
            here = grain_of(parts[at].crystal, lines[at], frame.places[own[of_line]])
            grain.put(of_line, here)
        lit = Lit(lines, frame.places[own], line, frame.weight[own], frame.spot[own], grain)
        found = twin.moments(parts[0].crystal, beam, view, lit, start)
        found[_PHI] += parts[0].angle * found[_ALL]
        total += found
    return total


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one line lights in one part of the rotation."""

    part: _Part
    places: Places
    weight: Float64Array  # (n,)


def _integrals_of(frame: _Frame, seen: _Seen, panel: Panel, start: Float64Array) -> Moments:
    """Return the moments of one source's spots on one panel."""
    experiment, places, part = frame.experiment, seen.places, seen.part
    incidence = part.incidence
    beam = experiment.beam
    polarization = polarization_frame(incidence.direction, components(beam.polarization_axis))

    def densities(chosen: IntArray, rays: Float64Array) -> Float64Array:
        ray = components_of(rays)
        bare, phi = _seen(part.crystal, incidence, places.relp[chosen], ray)
        bare = seen.weight[chosen, np.newaxis] * bare
        whole = bare
        if beam.polarized:
            whole = bare * polarization_factor(polarization, ray, beam.kahn_factor)
        rows = [bare, *_on_panel(panel, rays, whole, start[:, chosen])]
        return np.stack([*rows, (part.angle + phi) * rows[1], *(rows[1] * axis for axis in ray)])

    grain = grain_of(part.crystal, incidence, places)
    found = integrate(places, densities, grain, rotates=part.crystal.rotates)
    moments = dict(zip(_MOMENTS, found, strict=True))
    moments["wavelength"] = moments["all"] * _wavelength(seen, moments)
    return moments


def _seen(
    crystal: GaussianCrystal, incidence: Incidence, relp: Float64Array, ray: Triple
) -> tuple[Float64Array, Float64Array]:
    """Return the mean transform of lattice points (n, 3) along rays (n, m), and the mean angle."""
    relps = replace(crystal.relps(relp), place=components_of(relp[:, np.newaxis]))
    if not crystal.rotates:
        mean = mean_transform(relps, incidence, ray)
        return mean, np.zeros_like(mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, angle = seen_in_rotation(relps, incidence, ray, crystal.spindle)
    return mean, np.where(np.isfinite(angle), angle, 0.0)


def _on_panel(
    panel: Panel, rays: Float64Array, bare: Float64Array, start: Float64Array
) -> list[Float64Array]:
    """Return what the sensor's layers capture, and its first and second moments in pixels."""
    cosine = cosine_on(panel, rays)
    facing = np.where(cosine > 0.0, cosine, 1.0)
    near, total = panel.close_distance, [0.0 * bare] * 6
    # A shell of a sphere is wider in both directions.
    power = 2 if panel.surface == "sphere" else 1
    for layer, depth in enumerate(panel.sensor.position.tolist()):
        slow, fast, length = meet(panel, rays, depth)
        slow, fast = slow - start[0][:, np.newaxis], fast - start[1][:, np.newaxis]
        share = capture_fraction(panel.sensor, layer, facing) * pixel_share(panel, rays, length)
        # The solid angle that is rendered is of a pixel on the surface, as far off as the layer.
        share = share * (near / (near + depth)) ** power
        own = np.where(length > 0.0, bare * share, 0.0)
        slow, fast = (np.where(length > 0.0, part, 0.0) for part in (slow, fast))
        powers = (1.0, slow, fast, slow * slow, slow * fast, fast * fast)
        total = [part + own * power for part, power in zip(total, powers, strict=True)]
    return total


def _wavelength(seen: _Seen, moments: Moments) -> Float64Array:
    """Return the mean wavelength of each spot, along its mean ray, (n,).

    Of a normal spectrum of width σ about k₀ the mean of k is k₀ + σ² d(log T)/dk₀.
    """
    incidence = seen.part.incidence
    k, width = incidence.wavenumber, incidence.width
    if width == 0.0:
        return np.full(len(seen.places), 1.0 / k)
    ray = components_of(_mean_ray(moments)[:, np.newaxis])
    with np.errstate(divide="ignore", invalid="ignore"):
        more, less = (
            np.log(
                _seen(
                    seen.part.crystal,
                    replace(incidence, wavenumber=k + step * width),
                    seen.places.relp,
                    ray,
                )[0][:, 0]
            )
            for step in (_OFF, -_OFF)
        )
        mean = k + width * (more - less) / (2.0 * _OFF)
    return np.asarray(1.0 / np.where(np.isfinite(mean), mean, k))


def _mean_ray(moments: Moments) -> Float64Array:
    """Return the mean ray of each spot, (n, 3)."""
    rays = np.stack([moments[name] for name in "xyz"], axis=1)
    length = norm3(rays)
    return np.asarray(rays / np.where(length > 0.0, length, 1.0)[:, np.newaxis])


def _whole(frame: _Frame, ray: Float64Array) -> Float64Array:
    """Return Σ w ∫ T dΩ of a reflection of partiality 1 in the direction of each ray, (n,).

    In a rotation that of a whole passage, at the speed with which the lattice point passes the
    sphere there; in a still that of a perfect crystal on the sphere.
    """
    beam, crystal = frame.experiment.beam, frame.crystal
    sources = beam.sources
    area = math.fsum((sources.weight * sources.wavelength**2).tolist())
    area *= math.sqrt(float(determinant3(crystal.covariance)))
    if not crystal.rotates:
        image = (crystal.covariance * ray[:, np.newaxis, :]).sum(axis=2)
        with np.errstate(divide="ignore"):
            return np.asarray(2.0 * math.pi * area / np.sqrt(dot3(ray, image)))
    mean = math.fsum((sources.weight / sources.wavelength).tolist())
    mean /= math.fsum(sources.weight.tolist())
    speed = mean * np.abs(dot3(ray, np.cross(np.array(crystal.spindle.axis), beam.direction)))
    turned = crystal.spindle.stop - crystal.spindle.start
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((2.0 * math.pi) ** 1.5 * area / (speed * turned))


def _finish(frame: _Frame, panel: IntArray, moments: Moments, minimum_photons: float) -> Spots:
    """Scale the moments to photons, pixels and degrees."""
    experiment = frame.experiment
    total = np.where(moments["all"] > 0.0, moments["all"], 1.0)
    slow, fast = (moments[name] / total for name in ("slow", "fast"))
    places = moments["start"] + np.stack([slow, fast])
    photons = frame.brightness * moments["all"] * passing(experiment, _mean_ray(moments))
    found = (panel >= 0) & (photons > 0.0) & (photons >= minimum_photons)
    middle = float(experiment.crystal.phi[0])
    spots = Spots(
        h=frame.hkl[:, 0].astype(np.int32),
        k=frame.hkl[:, 1].astype(np.int32),
        l=frame.hkl[:, 2].astype(np.int32),
        panel=panel.astype(np.int32),
        slow=places[0],
        fast=places[1],
        variance_slow=moments["ss"] / total - slow * slow,
        variance_fast=moments["ff"] / total - fast * fast,
        covariance=moments["sf"] / total - slow * fast,
        f_squared=frame.amplitude**2,
        partiality=moments["bare"] / _whole(frame, _mean_ray(moments)),
        photons=photons,
        wavelength=moments["wavelength"] / total,
        phi=np.degrees(middle + moments["phi"] / total),
        resolution=1.0 / norm3((frame.hkl[..., np.newaxis] * experiment.crystal.reciprocal).sum(1)),
        active=active_at(experiment.detector, panel, *places),
        lattice=np.zeros(len(panel), np.int32),
    )
    return spots.only(np.flatnonzero(found))
