"""What a tolerance gives: time and steps left out, against the kernel that takes every step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from distbragg.kernel.native.call import Call
from distbragg.kernel.render_tile import sum_tile
from distbragg.kernel.tile import TileSum
from distbragg.models.vectors import Float64Array
from distbragg.physics.factors import intensity_scale
from distbragg.rendering.frame import render_into
from distbragg.run.bench import How, Ready, find_workload, prepare
from tools.bench.pairs import Spread

WORKLOADS: Final = ("gauss_mosaic", "tophat_mosaic", "round_mosaic", "mosaic_still")
PHOTONS: Final = (1e-3, 1.0, 1e3, 1e6)
"""Tolerances: the one that is judged, and others up to a spot's own brightness."""


@dataclass(frozen=True, slots=True)
class ToleranceGain:
    """One workload at one tolerance.

    Attributes
    ----------
    workload : str
    photons : float
        The tolerance.
    seconds, full_seconds : float
        Median time of the kernel for a frame with it and without.
    gain : Spread
        Their ratio over interleaved pairs.
    every : Spread
        Ratio of the time of every step, those that are exactly 0 included, to that with the
        tolerance.
    left_out : float
        Share of the steps that was left out by the bound.
    bound : float
        What is told to be left out of any pixel at most, photons.
    lost : float
        What was, photons: the largest difference of any pixel, the rounding of float32 included.
    """

    workload: str
    photons: float
    seconds: float
    full_seconds: float
    gain: Spread
    every: Spread
    left_out: float
    bound: float
    lost: float

    def plain(self) -> dict[str, object]:
        """Return as JSON-able data."""
        return {
            "workload": self.workload,
            "tolerance_photons": self.photons,
            "seconds": self.seconds,
            "full_seconds": self.full_seconds,
            "gain": self.gain.plain(),
            "gain_over_every_step": self.every.plain(),
            "left_out": self.left_out,
            "bound_photons": self.bound,
            "lost_photons": self.lost,
        }


def measure_tolerance(inputs: Path, how: How, pairs: int) -> tuple[ToleranceGain, ...]:
    """Time every workload of `WORKLOADS` at every tolerance, in turns with none."""
    found = []
    for name in WORKLOADS:
        # In the mode whose every factor is in the sum, so that sums are photons but for a scale.
        workload = find_workload(name).with_arguments(name, {"--physics": "exact"}, 0)
        full = prepare(replace(workload, steps=find_workload(name).steps), inputs, how)
        found += [_gain(full, photons, pairs) for photons in PHOTONS]
    return tuple(found)


def within(ready: Ready, photons: float) -> Ready:
    """Return the workload with a tolerance."""
    experiment = ready.experiment
    sampling = replace(experiment.sampling, tolerance=photons)
    return replace(ready, experiment=replace(experiment, sampling=sampling))


@contextmanager
def every_step() -> Iterator[None]:
    """Let the native kernel take steps that are exactly 0 too: no bit changes, only time."""
    with mock.patch.object(Call, "_limits", return_value=(0.0, 0.0)):
        yield


def _gain(full: Ready, photons: float, pairs: int) -> ToleranceGain:
    reduced = within(full, photons)
    everything, sums = _sums(full), _sums(reduced)  # the warm-up
    scale = intensity_scale(full.experiment)
    lost = np.abs(_photons(everything, scale) - _photons(sums, scale)).max()
    bound, taken = sum(part.skipped for part in sums) * scale, _evaluated(full, sums)
    # Nothing is held while time is taken: fresh pages would be a part of it.
    del everything, sums
    image = np.zeros((1, *full.plan.shape), dtype=np.float32)
    times: list[tuple[float, float, float]] = []
    for _ in range(pairs):
        with every_step():
            whole = _seconds(full, image)
        times.append((whole, _seconds(full, image), _seconds(reduced, image)))
    return ToleranceGain(
        workload=full.workload.name,
        photons=photons,
        seconds=Spread.of(after for _, _, after in times).median,
        full_seconds=Spread.of(before for _, before, _ in times).median,
        gain=Spread.of(before / after for _, before, after in times),
        every=Spread.of(every / after for every, _, after in times),
        left_out=1.0 - taken / full.plan.steps,
        bound=bound,
        lost=float(lost),
    )


def _seconds(ready: Ready, image: NDArray[np.float32]) -> float:
    """Time of the kernel for one frame of a sweep, whose memory is that of the frame before."""
    facts = render_into(image, ready.experiment, ready.plan, ready.options, frame=0)
    return facts.kernel_seconds


def _sums(ready: Ready) -> list[TileSum]:
    return [
        sum_tile(ready.experiment, 0, tile, chunk, ready.options)
        for tile in ready.plan.tiles
        for chunk in ready.plan.chunks
    ]


def _photons(sums: list[TileSum], scale: float) -> Float64Array:
    return np.concatenate([part.on_host() for part in sums]) * scale


def _evaluated(ready: Ready, sums: list[TileSum]) -> int:
    places = [(tile, chunk) for tile in ready.plan.tiles for chunk in ready.plan.chunks]
    per_pixel = ready.plan.steps // sum(tile.pixels for tile in ready.plan.tiles)
    share = per_pixel // len(ready.plan.chunks)
    return sum(
        tile.pixels * share if part.evaluated is None else part.evaluated
        for (tile, _), part in zip(places, sums, strict=True)
    )
