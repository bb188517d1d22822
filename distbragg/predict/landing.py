"""Where a ray lands on the detector, and what the pixels there make of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distbragg.errors import InputError
from distbragg.models.arrays import BoolArray, Float64Array, IntArray
from distbragg.models.detector import Detector, Panel
from distbragg.models.experiment import Experiment
from distbragg.physics.factors import capture_fraction


@dataclass(frozen=True, slots=True)
class Landing:
    """Where rays land.

    Attributes
    ----------
    panel : (rays,) int64
        −1 where a ray meets no panel.
    slow, fast : (rays,) float64
        Pixels from the panel's outer corner: the centre of the first pixel is at 0.5.
    active : (rays,) bool
        The pixel there is active.
    response : (rays,) float64
        Captured share of the photons.
    """

    panel: IntArray
    slow: Float64Array
    fast: Float64Array
    active: BoolArray
    response: Float64Array


def check_flat(detector: Detector) -> None:
    """Refuse curved panels.

    Raises
    ------
    InputError
        A panel is curved.
    """
    if any(panel.surface != "flat" for panel in detector.panels):
        raise InputError(
            "spots are predicted on flat panels only",
            field="detector.curved",
            remedy="set output.labels: false, or leave detector.curved out",
        )


def land(experiment: Experiment, direction: Float64Array) -> Landing:
    """Follow rays from the crystal to the nearest panel.

    Parameters
    ----------
    experiment : Experiment
    direction : (rays, 3) float64
        Unit vectors.
    """
    count = direction.shape[0]
    nearest = np.full(count, np.inf)
    panel_of = np.full(count, -1, dtype=np.int64)
    slow, fast, response = np.zeros(count), np.zeros(count), np.zeros(count)
    active = np.zeros(count, dtype=np.bool_)
    for index, panel in enumerate(experiment.detector.panels):
        cosine = project(direction, panel.normal)
        share, depth = _capture(experiment, panel, cosine)
        with np.errstate(divide="ignore", invalid="ignore"):
            length = (float((panel.origin * panel.normal).sum()) + depth) / cosine
            place = length[:, np.newaxis] * direction - panel.origin
            across = project(place, panel.fast) / panel.pixel_size
            along = project(place, panel.slow) / panel.pixel_size
            rows, columns = panel.shape
            hit = (length > 0.0) & (length < nearest)
            hit &= (across >= 0.0) & (across < columns) & (along >= 0.0) & (along < rows)
        if panel.point_pixel:
            # What stands in place of the solid angle there is larger by R / (p² · distance).
            share = share * length / (panel.pixel_size**2 * panel.close_distance)
        nearest[hit], panel_of[hit] = length[hit], index
        slow[hit], fast[hit], response[hit] = along[hit], across[hit], share[hit]
        active[hit] = panel.active[along[hit].astype(np.int64), across[hit].astype(np.int64)]
    return Landing(panel_of, slow, fast, active, response)


def project(vectors: Float64Array, axis: Float64Array) -> Float64Array:
    """Component of vectors (..., 3) along an axis; as plain sums, the same on every thread."""
    return np.asarray(
        vectors[..., 0] * axis[..., 0]
        + vectors[..., 1] * axis[..., 1]
        + vectors[..., 2] * axis[..., 2]
    )


def _capture(
    experiment: Experiment, panel: Panel, cosine: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Share of the photons captured, and their mean depth along the normal, m."""
    sensor = panel.sensor
    if not sensor.absorbs:
        mean = float(sensor.position.mean())
        return np.full(cosine.shape, float(sensor.count)), np.full(cosine.shape, mean)
    # A ray from behind meets no panel; its cosine is of no use and must not overflow.
    facing = np.where(cosine > 0.0, cosine, 1.0)
    layers = np.stack([capture_fraction(sensor, index, facing) for index in range(sensor.count)])
    if experiment.physics == "nanobragg" and not experiment.sampling.per_sample_capture:
        layers = np.broadcast_to(layers[-1], layers.shape)
    total = layers.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = (layers * sensor.position[:, np.newaxis]).sum(axis=0) / total
    return total, np.where(total > 0.0, depth, 0.0)
