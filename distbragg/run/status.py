"""How a run stands and how fast it went, from its files alone: after a crash, from another host."""

from __future__ import annotations

import heapq
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from distbragg.engine.progress import UnitSpan
from distbragg.quantities import counted, duration, scaled
from distbragg.run.frames import selection_of
from distbragg.run.result import failure_rows
from distbragg.run.survey import planned_costs
from distbragg.spec.paths import overlap
from distbragg.spec.sweep import SweepSpec
from distbragg.store.lease import Holder, lease_holders
from distbragg.store.ledger import (
    DISPUTED,
    Receipt,
    completed_units,
    failures,
    fold_receipts,
    is_disputed,
    repairs,
)
from distbragg.store.manifest import Manifest
from distbragg.store.run_directory import RunDirectory, RunLike, open_run
from distbragg.store.seal import is_sealed
from distbragg.templates import facts_html

State = Literal["new", "running", "stopped", "finished", "sealed"]


LATEST: Final = 200  # receipts that the present rate of a run at rest is taken from, at most
ENOUGH: Final = 5  # receipts since the last pause that are enough for it
PAUSE_S: Final = 60.0
PAUSE_UNITS: Final = 20.0
"""Nothing going on for longer than this, in seconds and in median units, is a pause."""


@dataclass(frozen=True, slots=True)
class FailedUnit:
    """A unit that was set aside: how many frames it holds, and why."""

    unit: int
    frames: int
    attempts: int
    reason: str
    time: float


@dataclass(frozen=True, slots=True)
class RunRecords:
    """What a run's files say of its units, read once for all that is told of it."""

    run: RunDirectory
    title: str
    done: dict[int, Receipt]  # in order of the units
    failures: tuple[FailedUnit, ...]  # disputed units, and those that could not be rendered
    frames_done: int
    frames_failed: int
    stored_bytes: int
    holders: tuple[Holder, ...]  # work on the run, or did until they were killed


def read_records(run: RunLike) -> RunRecords:
    """Read receipts, failures and leases of a run; takes no lock."""
    directory = open_run(run)
    receipts = fold_receipts(directory)
    done = dict(sorted(completed_units(directory, receipts).items()))
    failed = tuple(item for item in _failed(directory, receipts) if item.unit not in done)
    return RunRecords(
        run=directory,
        title=str(directory.manifest.sweep["experiment"].get("title", "")),
        done=done,
        failures=failed,
        frames_done=sum(map(directory.layout.frame_count, done)),
        frames_failed=sum(item.frames for item in failed),
        stored_bytes=sum(receipt.stored_bytes for receipt in done.values()),
        holders=lease_holders(directory.objects),
    )


def _failed(run: RunDirectory, folded: Mapping[int, tuple[Receipt, ...]]) -> list[FailedUnit]:
    frames = run.layout.frame_count
    found = {
        unit: FailedUnit(unit, frames(unit), item.attempt, item.reason, item.time)
        for unit, item in failures(run).items()
    }
    for unit, receipts in folded.items():
        if is_disputed(receipts):
            latest = max(receipts, key=lambda item: item.time)
            found[unit] = FailedUnit(unit, frames(unit), latest.attempt, DISPUTED, latest.time)
    return [found[unit] for unit in sorted(found)]


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How a run stands.

    Failed units count as work that is left, since resuming tries them again.
    """

    path: str
    title: str
    state: State  # `stopped`: frames are missing and nobody renders them
    frames: int
    frames_done: int
    frames_failed: int  # set aside
    frames_missing: int  # neither done nor set aside
    units: int
    units_done: int
    units_failed: int
    stored_bytes: int
    expected_bytes: int  # of the whole stack, at the size units have so far; 0 where none is done
    share_done: float  # of the planned cost, 0 to 1
    frames_per_s: float  # over the latest receipts, pauses left out; 0 where unknown
    eta_s: float | None  # for what is not done, at that rate by planned cost; None: unknown
    last_receipt_age_s: float | None
    writers: int  # processes that wrote the latest receipts
    holders: tuple[Holder, ...]
    failures: tuple[FailedUnit, ...]
    repaired_units: int  # once found damaged and dropped
    codes: dict[str, str]  # units, such as `0:10,15`, by the code that made them
    overloads: int  # pixels beyond the range of the detector or the stored type

    def count_rows(self) -> list[tuple[str, str]]:
        """Return (what, how much) of the frames: what `status` and the report both begin with."""
        stored = f"{scaled(self.stored_bytes)}B"
        if self.expected_bytes > self.stored_bytes:
            stored += f", about {scaled(self.expected_bytes)}B when done"
        done = f"{self.frames_done:,} of {self.frames:,} done, {self.frames_missing:,} missing"
        rows = [
            ("state", self.state),
            ("frames", done),
            ("set aside", f"{self.frames_failed:,} frames in {self.units_failed:,} units"),
            ("units", f"{self.units_done:,} of {self.units:,}"),
            ("stored", stored),
        ]
        if self.overloads:
            rows.append(("overloads", f"{self.overloads:,} pixels beyond the range"))
        return rows

    def rows(self) -> list[tuple[str, str]]:
        """Return (what, how much) in words."""
        rows = [
            *self.count_rows(),
            ("planned cost", f"{100 * self.share_done:.1f} % done"),
            *self._pace_rows(),
            *(_holder_row(holder) for holder in self.holders),
        ]
        if not self.holders:
            rows.append(("in use by", "nobody"))
        if self.repaired_units:
            rows.append(("repaired", f"{self.repaired_units:,} units that were damaged"))
        if len(self.codes) > 1:
            rows += [(f"made by code {code}", f"units {said}") for code, said in self.codes.items()]
        return rows + failure_rows(
            {
                item.unit: f"{item.reason} (after {counted(item.attempts, 'attempt')})"
                for item in self.failures
            }
        )

    def _pace_rows(self) -> list[tuple[str, str]]:
        rows = []
        if self.frames_per_s:
            writers = counted(self.writers, "process", "processes")
            rows.append(("rate", f"{self.frames_per_s:.3g} frames/s, {writers}"))
        if self.eta_s:
            left = duration(self.eta_s)
            rows.append(("left", left if self.state == "running" else f"{left} once resumed"))
        if self.last_receipt_age_s is not None:
            rows.append(("last receipt", f"{duration(self.last_receipt_age_s)} ago"))
        return rows

    def _repr_html_(self) -> str:
        return facts_html(self.path, self.rows())

    def to_plain(self) -> dict[str, Any]:
        """Return as JSON-able data."""
        return asdict(self)


def _holder_row(holder: Holder) -> tuple[str, str]:
    name = f"in use by (part {holder.part})" if holder.part else "in use by"
    if holder.alive:
        return name, holder.place
    heard = duration(holder.heartbeat_age_s)
    return name, f"nobody: stale lock of {holder.place}, last heard of {heard} ago"


def status(run: RunLike) -> RunStatus:
    """Tell how a run stands."""
    return status_of(read_records(run))


def status_of(records: RunRecords) -> RunStatus:
    """Tell how a run stands whose records were read."""
    directory, done, failed = records.run, records.done, records.failures
    layout, costs = directory.layout, planned_costs(directory)
    codes: dict[str, list[int]] = {}
    for unit, receipt in done.items():
        codes.setdefault(receipt.code, []).append(unit)
    newest = heapq.nlargest(LATEST, done.values(), key=lambda receipt: receipt.time)
    spans = [UnitSpan.of(receipt.unit, receipt.to_plain()) for receipt in reversed(newest)]
    latest = latest_spans(spans)
    pace = mean_rate(latest, (float(costs[span.unit]) for span in latest))
    complete = len(done) == layout.units
    total = float(costs.sum())
    cost_done = float(costs[list(done)].sum()) if done else 0.0
    eta = (total - cost_done) / pace if pace > 0 else None
    each = records.stored_bytes / records.frames_done if records.frames_done else 0.0
    return RunStatus(
        path=directory.url,
        title=records.title,
        state=_state(records),
        frames=layout.frames,
        frames_done=records.frames_done,
        frames_failed=records.frames_failed,
        frames_missing=layout.frames - records.frames_done - records.frames_failed,
        units=layout.units,
        units_done=len(done),
        units_failed=len(failed),
        stored_bytes=records.stored_bytes,
        expected_bytes=round(each * layout.frames),
        share_done=1.0 if complete else cost_done / total,
        frames_per_s=mean_rate(latest, (layout.frame_count(span.unit) for span in latest)),
        eta_s=0.0 if complete else eta,
        last_receipt_age_s=max(0.0, time.time() - spans[-1].end) if spans else None,
        writers=len({span.process for span in latest}),
        holders=records.holders,
        failures=failed,
        repaired_units=len({item.unit for item in repairs(directory)}),
        codes={code: selection_of(units) for code, units in codes.items()},
        overloads=sum(sum(receipt.overloads) for receipt in done.values()),
    )


def work_intervals(spans: Sequence[UnitSpan]) -> tuple[tuple[float, float], ...]:
    """Intervals in which the run was worked on, pauses between executions left out."""
    if not spans:
        return ()
    limit = max(PAUSE_S, PAUSE_UNITS * statistics.median(span.busy for span in spans))
    intervals: list[tuple[float, float]] = []
    for span in sorted(spans, key=lambda item: item.start):
        if intervals and span.start - intervals[-1][1] <= limit:
            intervals[-1] = intervals[-1][0], max(intervals[-1][1], span.end)
        else:
            intervals.append((span.start, span.end))
    return tuple(intervals)


def work_seconds(spans: Sequence[UnitSpan]) -> float:
    """Wall time in which the run was worked on."""
    return sum(end - start for start, end in work_intervals(spans))


def latest_spans(spans: Sequence[UnitSpan]) -> tuple[UnitSpan, ...]:
    """Of the latest spans, those of the present rate: since the last pause, if enough."""
    intervals = work_intervals(spans)
    since = tuple(span for span in spans if span.end > intervals[-1][0]) if intervals else ()
    return since if len(since) >= ENOUGH else tuple(spans)


def mean_rate(spans: Sequence[UnitSpan], amounts: Iterable[float]) -> float:
    """Return what spans are worth together per second of work; 0 where nothing is known."""
    seconds = work_seconds(spans)
    return sum(amounts) / seconds if seconds > 0 else 0.0


def _state(records: RunRecords) -> State:
    if len(records.done) == records.run.layout.units:
        return "sealed" if is_sealed(records.run) else "finished"
    if any(holder.alive for holder in records.holders):
        return "running"
    return "stopped" if records.done or records.failures else "new"


def info(run: RunLike) -> dict[str, Any]:
    """Describe a run as plain data: identity, shape, how far it is, failures, who works on it."""
    records = read_records(run)
    directory, manifest = records.run, records.run.manifest
    layout = manifest.layout
    return {
        "path": directory.url,
        "title": records.title,
        "run_id": directory.run_id,
        "generation": len(directory.lineage),
        "dims": dict(layout.dims),
        "panels": layout.panels,
        "shape": list(layout.shape),
        "dtype": layout.dtype,
        "frames": layout.frames,
        "frames_done": records.frames_done,
        "frames_missing": layout.frames - records.frames_done,
        "units": layout.units,
        "units_done": len(records.done),
        "failed_units": {str(item.unit): item.reason for item in records.failures},
        "stored_bytes": records.stored_bytes,
        "in_use_by": [holder.place for holder in records.holders if holder.alive],
        "physics_hash": manifest.physics_hash,
        "plan_hash": manifest.plan_hash,
        "numeric_class": manifest.numeric_class,
        "summary": {k: v for k, v in manifest.summary.items() if k != "notes"},
        "by_axis": _by_axis(directory.sweep),
        "notes": [note.to_plain() for note in manifest.notes],
        "provenance": manifest.provenance,
    }


_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "wavelength_angstrom": ("beam.wavelength_angstrom", "beam.energy_ev", "beam.spectrum"),
    "fluence_photons_per_m2": (
        *("beam.fluence_photons_per_m2", "beam.flux_photons_per_s"),
        *("beam.exposure_s", "beam.size_mm"),
    ),
    "distance_mm": ("detector.distance_mm", "detector.close_distance_mm"),
    "pixel_size_mm": ("detector.pixel_size_mm",),
    "lattices": ("crystal.present", "crystal.lattices", "crystal.drawn_lattices"),
    "mosaic_domains": ("crystal.mosaic.domains",),
    "spot_shape": ("crystal.shape",),
}
"""Fields that numbers of a run's summary follow from."""


def _by_axis(sweep: SweepSpec) -> dict[str, str]:
    """Return the axes that numbers of the summary vary by."""
    found = {}
    for name, fields in _FIELDS.items():
        axes = [
            axis.name
            for axis in sweep.axes
            if any(overlap(path, field) for path in axis.targets for field in fields)
        ]
        if axes:
            found[name] = ", ".join(axes)
    return found


def summary_facts(summary: Mapping[str, Any], by_axis: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return what a frame of the run is, as a page shows it, and what varies by which axis."""
    rows = []
    for name, value in sorted(summary.items()):
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)
        if name == "frame":
            rows.append(("facts of frame", shown))
        elif name != "notes":
            varied = f", by axis {by_axis[name]}" if name in by_axis else ""
            rows.append((name.replace("_", " "), shown + varied))
    return rows


def summary_rows(run: RunDirectory) -> list[tuple[str, str]]:
    """Return what the first frame with a crystal is, and what was said of the frames."""
    manifest = run.manifest
    return [
        *summary_facts(manifest.summary, _by_axis(run.sweep)),
        *((note.kind, str(note)) for note in manifest.notes),
    ]


def identity_rows(manifest: Manifest) -> list[tuple[str, str]]:
    """Return the hashes that tell a run from others."""
    return [
        ("run id", manifest.run_id),
        ("physics hash", manifest.physics_hash),
        ("plan hash", manifest.plan_hash),
        *(
            (
                f"{manifest.gathered.get('by')} of run",
                f"{run.get('run_id')}, {run.get('frames')} frames",
            )
            for run in manifest.gathered.get("runs", ())
            if isinstance(run, dict)
        ),
    ]
