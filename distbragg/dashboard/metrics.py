"""Prometheus metrics of the runs on a scheduler, told at its `/metrics`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import REGISTRY
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from distbragg.dashboard.plugin import WatchedRun

STATES: Final = ("running", "ended", "stopped")

_COUNTERS: Final = (
    ("frames", "Frames rendered and stored.", ""),
    ("pixel_steps", "Steps rendered: pixel x sub-pixel x layer x source x phi x domain.", ""),
    ("bytes", "Bytes stored.", ""),
    ("failures", "Units set aside, by kind of error.", "reason"),
    ("retries", "Attempts that failed and were made again, by kind of error.", "reason"),
    ("worker_seconds", "Seconds of workers within units, by what they were spent on.", "part"),
)
"""Name, description, and the label that splits it."""

_GAUGES: Final = (
    ("eta_seconds", "Seconds left, weighted by planned cost."),
    ("frames_left", "Frames left to render."),
    ("workers", "Workers of the run."),
    ("outside_kernel_ratio", "Share of the workers' time outside the kernel, 0 to 1."),
    ("disk_free_bytes", "Free bytes where the run is stored."),
    ("last_unit_timestamp_seconds", "When the latest unit was done, s since the epoch."),
)
"""Name and description; see `_gauges`."""


class RunCollector(Collector):
    """Turns what a scheduler knows of runs into metrics when they are asked for."""

    def __init__(self, runs: Mapping[str, WatchedRun]) -> None:
        self.runs = runs

    def collect(self) -> Iterable[Metric]:
        """Yield every metric, of all runs."""
        counters = {name: run.counters() for name, run in self.runs.items()}
        for name, text, label in _COUNTERS:
            labels = ["run", label] if label else ["run"]
            counter = CounterMetricFamily(f"distbragg_{name}", text, labels=labels)
            for run, counts in counters.items():
                for kind, count in counts[name].items():
                    counter.add_metric([run, kind] if label else [run], count)
            yield counter
        gauges = {name: _gauges(run) for name, run in self.runs.items()}
        for name, text in _GAUGES:
            gauge = GaugeMetricFamily(f"distbragg_{name}", text, labels=["run"])
            for run, values in gauges.items():
                value = values[name]
                if value is not None:
                    gauge.add_metric([run], value)
            yield gauge
        state = GaugeMetricFamily(
            "distbragg_run_state", "1 for the state the run is in.", labels=["run", "state"]
        )
        for run, watched in self.runs.items():
            for each in STATES:
                state.add_metric([run, each], float(watched.latest["state"] == each))
        yield state
        yield _histogram(counters)


def _gauges(run: WatchedRun) -> dict[str, float | None]:
    """Return the gauges of a run; None where unknown."""
    progress = run.latest["progress"]
    return {
        "eta_seconds": run.eta_s(),
        "frames_left": progress["frames"] - progress["frames_done"] - progress["frames_failed"],
        "workers": progress["workers"],
        "outside_kernel_ratio": progress["outside_kernel"],
        "disk_free_bytes": run.latest["disk_free_bytes"],
        "last_unit_timestamp_seconds": run.latest["last_unit"],
    }


def _histogram(counters: Mapping[str, Mapping[str, Counter[str]]]) -> Metric:
    units = HistogramMetricFamily(
        "distbragg_unit_seconds", "Seconds a unit took to render and to store.", labels=["run"]
    )
    for run, counts in counters.items():
        total, buckets = 0, []
        for bound, count in counts["unit_seconds"].items():
            total += count
            buckets.append((bound, float(total)))
        units.add_metric([run], buckets, sum_value=counts["unit_seconds_sum"][""])
    return units


def collect_from(runs: Mapping[str, WatchedRun]) -> None:
    """Tell the counts of this scheduler, in place of an earlier one of this process."""
    if _collectors:
        _collectors[0].runs = runs
        return
    _collectors.append(RunCollector(runs))
    REGISTRY.register(_collectors[0])


_collectors: list[RunCollector] = []
