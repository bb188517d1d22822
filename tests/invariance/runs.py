"""Runs of two units, rendered by an executor that a test chooses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from distbragg.engine.context import RunContext
from distbragg.engine.executor import Executor
from distbragg.run.create import create
from distbragg.spec.sweep import SweepSpec
from distbragg.store.open import open_stack
from distbragg.store.run_directory import RunDirectory


def render_units(
    spec: SweepSpec, folder: Path, executor: Executor, form: Any = "unit"
) -> RunDirectory:
    """Create a run, and render both of its units."""
    run = create(spec, folder)
    outcomes = list(executor.run_units(RunContext.of(run), range(run.layout.units), form=form))
    assert [outcome.reason for outcome in outcomes] == ["", ""]
    return run


def stored(run: RunDirectory) -> np.ndarray:
    """Return the images of a run."""
    with open_stack(run.path) as stack:
        return np.asarray(stack["images"].values)
