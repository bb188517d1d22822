"""The dry run: what a sweep would cost, without rendering or writing anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from distbragg.plan.summary import PlanSummary, summarize
from distbragg.run.notes import tell
from distbragg.run.prepare import SpecLike, check_machine, prepare


def plan(
    spec: SpecLike,
    overrides: Sequence[str] = (),
    *,
    out: str | Path | None = None,
    workers: int = 1,
    root: str | Path | None = None,
) -> PlanSummary:
    """Plan a sweep or one experiment.

    Parameters
    ----------
    spec : SweepSpec, ExperimentSpec or path
    overrides : sequence of "dotted.path=value"
        For a specification file.
    out : path, optional
        Where the run would lie; checks the room on that disk.
    workers : int
        Workers that share this machine's memory.
    root : path, optional
        A specification file may name files of this folder alone.

    Returns
    -------
    PlanSummary

    Raises
    ------
    InputError
        The specification cannot be used.
    PlanError
        Memory or disk cannot hold it; names the number to change.
    """
    prepared = prepare(spec, overrides, root=root)
    check_machine(prepared, out=None if out is None else Path(out), workers=workers)
    summary = summarize(prepared.plan, prepared.heaviest, prepared.sweep.experiment.compute)
    said = prepared.said
    tell(said.notes)
    return replace(summary, notes=said.notes, frames_checked=said.frames)
