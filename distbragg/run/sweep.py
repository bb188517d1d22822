"""Create a run and do all of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from distbragg.run.create import create
from distbragg.run.prepare import SpecLike
from distbragg.run.result import RunResult
from distbragg.run.resume import ResumeOptions, resume


def sweep(
    spec: SpecLike,
    out: str | Path,
    overrides: Sequence[str] = (),
    *,
    root: str | Path | None = None,
    force: bool = False,
    **options: Unpack[ResumeOptions],
) -> RunResult:
    """Create the run at `out` and render it; continue it where it was begun before.

    Parameters
    ----------
    spec : SweepSpec, ExperimentSpec or path
    out : path
    overrides : sequence of "dotted.path=value"
        For a specification file.
    root, force
        As for `create`.
    **options
        Those of `resume`.

    Returns
    -------
    RunResult

    Raises
    ------
    InputError, PlanError, RefusedError, DamageError, EnvironmentFailure
        See `create` and `resume`.
    """
    return resume(create(spec, out, overrides, root=root, force=force), **options)
