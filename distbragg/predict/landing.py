"""Where rays meet the detector, and how much of them it captures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distbragg.errors import InputError
from distbragg.matrices import dot3
from distbragg.models.detector import Detector, Panel
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import BoolArray, Float64Array, IntArray
from distbragg.physics.arrays import Triple
from distbragg.physics.bent import arcs_of_rays
from distbragg.physics.factors import layer_shares
from distbragg.physics.rays import Rays, cosine_to_normal, placement_of
from distbragg.physics.shadow import ray_transmission


@dataclass(frozen=True, slots=True)
class Landing:
    """Where rays land: panel, or −1 for none, pixel, whether it is active, and captured share.

    `slow` and `fast` count pixels from the panel's outer corner: the first one's centre is 0.5.
    """

    panel: IntArray
    slow: Float64Array
    fast: Float64Array
    active: BoolArray
    response: Float64Array


def check_surface(detector: Detector) -> None:
    """Refuse panels that are bent as the C program bends them."""
    if any(panel.surface == "nanobragg" for panel in detector.panels):
        raise InputError(
            "no spots are predicted on a panel that is bent the C program's way",
            field="detector.curved",
            remedy="use physics: exact, set output.labels: false, or leave detector.curved out",
        )


def land(experiment: Experiment, direction: Float64Array) -> Landing:
    """Follow rays, (rays, 3) unit vectors, from the crystal to the nearest panel."""
    count = direction.shape[0]
    nearest = np.full(count, np.inf)
    panel_of = np.full(count, -1, dtype=np.int64)
    slow, fast, response = np.zeros(count), np.zeros(count), np.zeros(count)
    active = np.zeros(count, dtype=np.bool_)
    for index, panel in enumerate(experiment.detector.panels):
        cosine = cosine_on(panel, direction)
        share, depth = capture(experiment, panel, cosine)
        along, across, length = meet(panel, direction, depth)
        rows, columns = panel.pixels
        hit = (length > 0.0) & (length < nearest)
        hit &= (across >= 0.0) & (across < columns) & (along >= 0.0) & (along < rows)
        share = share * pixel_share(panel, direction, length)
        nearest[hit], panel_of[hit] = length[hit], index
        slow[hit], fast[hit], response[hit] = along[hit], across[hit], share[hit]
        active[hit] = panel.active[along[hit].astype(np.int64), across[hit].astype(np.int64)]
    return Landing(panel_of, slow, fast, active, response)


def active_at(
    detector: Detector, panel: IntArray, slow: Float64Array, fast: Float64Array
) -> BoolArray:
    """Return whether the pixels at places, (n,), are active; of what lies beside a panel its edge.

    Where `panel` is −1 none is.
    """
    active = np.zeros(len(panel), dtype=np.bool_)
    for index, view in enumerate(detector.panels):
        on = panel == index
        rows, columns = (
            places[on].astype(np.int64).clip(0, size - 1)
            for places, size in zip((slow, fast), view.pixels, strict=True)
        )
        active[on] = view.active[rows, columns]
    return active


def passing(experiment: Experiment, direction: Float64Array) -> Float64Array | float:
    """Return the share of rays, (rays, 3) unit vectors, that the beam stop lets through."""
    stop, first = experiment.detector.beam_stop, experiment.detector.panels[0]
    if stop is None:
        return 1.0
    return ray_transmission(stop, first, experiment.beam.direction, direction)


def meet(
    panel: Panel, direction: Float64Array, depth: Float64Array | float
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return where rays (..., 3) meet a panel at a depth, m along its normal.

    Pixels along slow and fast, and the distance from the crystal, m: negative, or none, where a
    ray goes away from the plane of a flat one.
    """
    if panel.surface != "flat":
        axes = panel.fast, panel.slow, panel.normal
        *arcs, length = arcs_of_rays(panel.surface, axes, panel.close_distance, direction, depth)
        slow, fast = (
            (arc - float(dot3(panel.origin, axis))) / panel.pixel_size
            for arc, axis in zip(arcs, (panel.slow, panel.fast), strict=True)
        )
        return slow, fast, length
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        length = (float((panel.origin * panel.normal).sum()) + depth) / dot3(
            direction, panel.normal
        )
        place = length[..., np.newaxis] * direction - panel.origin
        slow = dot3(place, panel.slow) / panel.pixel_size
        fast = dot3(place, panel.fast) / panel.pixel_size
    return slow, fast, length


def components_of(vectors: Float64Array) -> Triple:
    """Return vectors (..., 3) by their components."""
    return vectors[..., 0], vectors[..., 1], vectors[..., 2]


def cosine_on(panel: Panel, direction: Float64Array) -> Float64Array:
    """Return the cosine between rays (..., 3) and a panel's normal where they meet it."""
    cosine = dot3(direction, panel.normal)
    if panel.surface == "flat":
        return cosine
    # The beam bears on panels that are bent the C program's way alone.
    placement = placement_of(panel, panel.normal)
    return np.asarray(cosine_to_normal(placement, Rays(components_of(direction), 0.0 * cosine)))


def crowding(panel: Panel, direction: Float64Array) -> Float64Array | float:
    """Return the width of a sphere's pixels along slow where rays meet it, over that at its foot.

    They come closer towards its poles, which lie along fast; elsewhere it is 1.
    """
    if panel.surface != "sphere":
        return 1.0
    return np.asarray(np.sqrt(np.maximum(1.0 - dot3(direction, panel.fast) ** 2, 1e-12)))


def near_panel(detector: Detector, direction: Float64Array, width: Float64Array) -> IntArray:
    """Return the nearest panel that rays (n, 3) meet, or miss by no more than `width`, rad.

    −1 where there is none.
    """
    nearest = np.full(len(direction), np.inf)
    found = np.full(len(direction), -1, dtype=np.int64)
    for index, panel in enumerate(detector.panels):
        slow, fast, length = meet(panel, direction, 0.0)
        cosine = cosine_on(panel, direction) * crowding(panel, direction)
        with np.errstate(divide="ignore", invalid="ignore"):
            off = width * length / (panel.pixel_size * np.abs(cosine)) + 1.0
            hit = (length > 0.0) & (length < nearest)
            for at, size in zip((slow, fast), panel.pixels, strict=True):
                hit &= (at >= -off) & (at <= size + off)
        nearest[hit], found[hit] = length[hit], index
    return found


def pixel_share(
    panel: Panel, direction: Float64Array, length: Float64Array
) -> Float64Array | float:
    """Return the solid angle that is rendered of a pixel on the surface, over that it has there.

    Not 1 of points, and of a sphere, all of whose pixels have the solid angle of those at its foot.
    """
    crowded = crowding(panel, direction)
    if not panel.point_pixel:
        return 1.0 / crowded
    if panel.surface == "flat":
        return np.asarray(length / (panel.pixel_size**2 * panel.close_distance))
    return np.asarray(1.0 / (panel.pixel_size**2 * cosine_on(panel, direction) * crowded))


def capture(
    experiment: Experiment, panel: Panel, cosine: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Share of the photons captured, and their mean depth along the normal, m."""
    sensor = panel.sensor
    if not sensor.absorbs:
        mean = float(sensor.position.mean())
        return np.full(cosine.shape, float(sensor.count)), np.full(cosine.shape, mean)
    # A ray from behind meets no panel; its cosine is of no use and must not overflow.
    facing = np.where(cosine > 0.0, cosine, 1.0)
    layers = layer_shares(experiment, sensor, facing)
    total = layers.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = (layers * sensor.position[:, np.newaxis]).sum(axis=0) / total
    return total, np.where(total > 0.0, depth, 0.0)
