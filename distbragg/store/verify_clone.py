"""An empty copy of a run: the same manifest and inputs, no pixels, no receipts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from distbragg.store.files import no_room
from distbragg.store.labels import labelled_unit
from distbragg.store.layout import (
    FAILURES_DIR,
    GRIDS_DIR,
    IMAGES,
    INPUTS_DIR,
    LABELS,
    MANIFEST_FILE,
    RECEIPTS_DIR,
    STATE_DIR,
)
from distbragg.store.run_directory import RunDirectory, open_run


def empty_copy(run: RunDirectory, target: Path) -> RunDirectory:
    """Make an empty copy of `run` at `target`, to render some of its units again beside it.

    Inputs are linked, or copied where they lie on another file system; prepared |F| grids are
    left out, so that what is rendered there depends on the inputs alone.

    Raises
    ------
    EnvironmentFailure
        There is no room.
    """
    try:
        shutil.copytree(run.path, target, ignore=_pixels_and_state(run))
        state = target / STATE_DIR
        for name in (RECEIPTS_DIR, FAILURES_DIR, GRIDS_DIR, INPUTS_DIR):
            (state / name).mkdir(parents=True)
        shutil.copyfile(run.state / MANIFEST_FILE, state / MANIFEST_FILE)
        for item in (run.state / INPUTS_DIR).glob("*/*"):
            _link(item, state / INPUTS_DIR / item.parent.name / item.name)
    except OSError as error:
        raise no_room(error, target) from error
    return open_run(target)


def _link(source: Path, target: Path) -> None:
    # Not a symbolic link: nothing in a run may lead out of it.
    target.parent.mkdir(exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _pixels_and_state(run: RunDirectory) -> Callable[[str, list[str]], set[str]]:
    left_out = {os.fspath(run.path): {STATE_DIR}, os.fspath(run.path / IMAGES): {"c"}}

    def ignore(folder: str, names: list[str]) -> set[str]:
        if folder == os.fspath(run.path / LABELS):
            return {name for name in names if labelled_unit(run, name) is not None}
        return left_out.get(os.fspath(folder), set()) & set(names)

    return ignore
