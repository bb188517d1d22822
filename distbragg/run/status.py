"""How a run stands, from its files alone: after a crash too, and from another host."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from distbragg.run.holders import Holder, lock_holders
from distbragg.run.status_cost import planned_costs
from distbragg.run.status_pace import latest_work, rate, work_of
from distbragg.store.ledger import completed_units, failures
from distbragg.store.run_directory import RunDirectory, open_run
from distbragg.store.seal import is_sealed
from distbragg.store.standing import repairs

State = Literal["new", "running", "stopped", "finished", "sealed"]


@dataclass(frozen=True, slots=True)
class FailedUnit:
    """A unit that was set aside: the frames it holds (flat, C order), and why."""

    unit: int
    frames: int
    attempts: int
    reason: str
    time: float


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How a run stands.

    Attributes
    ----------
    path, title : str
    state : {"new", "running", "stopped", "finished", "sealed"}
        `stopped`: frames are missing and nobody renders them.
    frames, frames_done, frames_failed, frames_missing : int
        `failed` are set aside; `missing` are neither done nor set aside.
    units, units_done, units_failed : int
    stored_bytes : int
    expected_bytes : int
        Of the whole stack, at the size units have so far; 0 where none is done.
    share_done : float
        Of the planned cost, 0 to 1.
    frames_per_s : float
        Over the latest receipts, pauses left out; 0 where unknown.
    eta_s : float or None
        Seconds for what is missing at that rate, weighted by planned cost; None where unknown.
        Failed units count as work, since resuming tries them again.
    last_receipt_age_s : float or None
    writers : int
        Processes that wrote the latest receipts.
    holders : tuple of Holder
    failures : tuple of FailedUnit
    repaired_units : int
        Units that were once found damaged and dropped.
    """

    path: str
    title: str
    state: State
    frames: int
    frames_done: int
    frames_failed: int
    frames_missing: int
    units: int
    units_done: int
    units_failed: int
    stored_bytes: int
    expected_bytes: int
    share_done: float
    frames_per_s: float
    eta_s: float | None
    last_receipt_age_s: float | None
    writers: int
    holders: tuple[Holder, ...]
    failures: tuple[FailedUnit, ...]
    repaired_units: int

    def to_plain(self) -> dict[str, Any]:
        """Return as JSON-able data."""
        return asdict(self)


def status(run: RunDirectory | str | Path) -> RunStatus:
    """Tell how a run stands; reads its directory and nothing else, and takes no lock.

    Raises
    ------
    InputError
        `run` is not a run.
    DamageError
        Its manifest or ledger is damaged.
    """
    directory = run if isinstance(run, RunDirectory) else open_run(run)
    layout = directory.layout
    done = completed_units(directory)
    failed = _failed(directory, done.keys())
    works = work_of(done.values())
    costs = planned_costs(directory)
    total = float(costs.sum())
    cost_done = float(costs[list(done)].sum()) if done else 0.0
    frames_done = sum(map(layout.frame_count, done))
    frames_failed = sum(item.frames for item in failed)
    stored = sum(receipt.size for receipt in done.values())
    holders = lock_holders(directory)
    complete = len(done) == layout.units
    latest = latest_work(works)
    pace = rate(latest, (float(costs[work.unit]) for work in latest))
    return RunStatus(
        path=directory.place,
        title=str(directory.manifest.sweep["experiment"].get("title", "")),
        state=_state(directory, holders, complete=complete, begun=bool(done or failed)),
        frames=layout.frames,
        frames_done=frames_done,
        frames_failed=frames_failed,
        frames_missing=layout.frames - frames_done - frames_failed,
        units=layout.units,
        units_done=len(done),
        units_failed=len(failed),
        stored_bytes=stored,
        expected_bytes=round(stored / frames_done * layout.frames) if frames_done else 0,
        share_done=1.0 if complete else cost_done / total,
        frames_per_s=rate(latest, (layout.frame_count(work.unit) for work in latest)),
        eta_s=_eta(total - cost_done, pace, complete=complete),
        last_receipt_age_s=max(0.0, time.time() - works[-1].end) if works else None,
        writers=len({work.writer for work in latest}),
        holders=holders,
        failures=failed,
        repaired_units=len({item["unit"] for item in repairs(directory)}),
    )


def _failed(run: RunDirectory, done: Collection[int]) -> tuple[FailedUnit, ...]:
    return tuple(
        FailedUnit(
            unit=unit,
            frames=run.layout.frame_count(unit),
            attempts=item.attempt,
            reason=item.reason,
            time=float(item.record.get("time", 0.0)),
        )
        for unit, item in sorted(failures(run).items())
        if unit not in done
    )


def _state(run: RunDirectory, holders: tuple[Holder, ...], *, complete: bool, begun: bool) -> State:
    if complete:
        return "sealed" if is_sealed(run) else "finished"
    if any(holder.alive for holder in holders):
        return "running"
    return "stopped" if begun else "new"


def _eta(cost: float, pace: float, *, complete: bool) -> float | None:
    if complete:
        return 0.0
    return cost / pace if pace > 0 else None
