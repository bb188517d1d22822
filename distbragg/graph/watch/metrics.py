"""Prometheus metrics of the runs on a scheduler, told at its `/metrics`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import REGISTRY
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from distbragg.graph.watch.tally import UNIT_SECONDS, RunTally, Tallies

STATES: Final = ("running", "ended", "stopped")


class RunCollector(Collector):
    """Turns tallies into metrics when they are asked for.

    Parameters
    ----------
    tallies : Tallies
    """

    def __init__(self, tallies: Tallies) -> None:
        self.tallies = tallies

    def collect(self) -> Iterable[Metric]:
        """Yield every metric, of all runs."""
        runs = self.tallies.all()
        yield from _counters(runs)
        yield from _gauges(runs)
        yield _histogram(runs)


def _counters(runs: Iterable[RunTally]) -> Iterator[Metric]:
    frames = CounterMetricFamily("distbragg_frames", "Frames rendered and stored.", labels=["run"])
    steps = CounterMetricFamily(
        "distbragg_pixel_steps",
        "Steps rendered: pixel x sub-pixel x layer x source x phi x domain.",
        labels=["run"],
    )
    stored = CounterMetricFamily("distbragg_bytes", "Bytes stored.", labels=["run"])
    failures = CounterMetricFamily(
        "distbragg_failures", "Units set aside, by kind of error.", labels=["run", "reason"]
    )
    retries = CounterMetricFamily(
        "distbragg_retries",
        "Attempts that failed and were made again, by kind of error.",
        labels=["run", "reason"],
    )
    seconds = CounterMetricFamily(
        "distbragg_worker_seconds",
        "Seconds of workers within units, by what they were spent on.",
        labels=["run", "part"],
    )
    for run in runs:
        frames.add_metric([run.run], run.frames)
        steps.add_metric([run.run], run.steps)
        stored.add_metric([run.run], run.bytes)
        for metric, kinds in ((failures, run.failures), (retries, run.retries)):
            for kind, count in sorted(kinds.items()):
                metric.add_metric([run.run, kind], count)
        for part, spent in run.seconds.items():
            seconds.add_metric([run.run, part], spent)
    yield from (frames, steps, stored, failures, retries, seconds)


def _gauges(runs: Iterable[RunTally]) -> Iterator[Metric]:
    eta = GaugeMetricFamily(
        "distbragg_eta_seconds", "Seconds left, weighted by planned cost.", labels=["run"]
    )
    left = GaugeMetricFamily("distbragg_frames_left", "Frames left to render.", labels=["run"])
    workers = GaugeMetricFamily("distbragg_workers", "Workers of the run.", labels=["run"])
    outside = GaugeMetricFamily(
        "distbragg_outside_kernel_ratio",
        "Share of the workers' time outside the kernel, 0 to 1.",
        labels=["run"],
    )
    disk = GaugeMetricFamily(
        "distbragg_disk_free_bytes", "Free bytes where the run is stored.", labels=["run"]
    )
    last = GaugeMetricFamily(
        "distbragg_last_unit_timestamp_seconds",
        "When the latest unit was done, s since the epoch.",
        labels=["run"],
    )
    state = GaugeMetricFamily(
        "distbragg_run_state", "1 for the state the run is in.", labels=["run", "state"]
    )
    for run in runs:
        now = run.progress
        known = (
            (eta, run.eta_s()),
            (left, _left(run)),
            (workers, now.get("workers")),
            (outside, now.get("outside_kernel")),
            (disk, run.disk_free),
            (last, run.last_unit or None),
        )
        for metric, value in known:
            if value is not None:
                metric.add_metric([run.run], value)
        for name in STATES:
            state.add_metric([run.run, name], float(run.state == name))
    yield from (eta, left, workers, outside, disk, last, state)


def _left(run: RunTally) -> float | None:
    if "frames" not in run.progress:
        return None
    done = run.progress["frames_done"] + run.progress["frames_failed"]
    return float(run.progress["frames"] - done)


def _histogram(runs: Iterable[RunTally]) -> Metric:
    units = HistogramMetricFamily(
        "distbragg_unit_seconds", "Seconds a unit took to render and to store.", labels=["run"]
    )
    for run in runs:
        total, buckets = 0, []
        for bound, count in zip((*UNIT_SECONDS, float("inf")), run.unit_seconds, strict=True):
            total += count
            buckets.append((f"{bound:g}" if bound < float("inf") else "+Inf", float(total)))
        units.add_metric([run.run], buckets, sum_value=run.unit_seconds_sum)
    return units


def collect_from(tallies: Tallies) -> None:
    """Tell the counts of this scheduler, in place of an earlier one of this process."""
    if _collectors:
        _collectors[0].tallies = tallies
        return
    _collectors.append(RunCollector(tallies))
    REGISTRY.register(_collectors[0])


_collectors: list[RunCollector] = []
