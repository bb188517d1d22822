"""An empty copy of a run: the same manifest and inputs, no pixels, no receipts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from distbragg.store.files import no_room
from distbragg.store.layout import (
    FAILURES_DIR,
    GRIDS_DIR,
    IMAGES,
    INPUTS_DIR,
    MANIFEST_FILE,
    RECEIPTS_DIR,
    STATE_DIR,
)
from distbragg.store.run_directory import RunDirectory, open_run


def empty_copy(run: RunDirectory, target: Path) -> RunDirectory:
    """Make an empty copy of `run` at `target`, to render some of its units again beside it.

    Inputs are linked, not copied; prepared |F| grids are left out, so that what is rendered
    there depends on the inputs alone.

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
        for folder in (run.state / INPUTS_DIR).glob("*"):
            (state / INPUTS_DIR / folder.name).symlink_to(folder, target_is_directory=True)
    except OSError as error:
        raise no_room(error, target) from error
    return open_run(target)


def _pixels_and_state(run: RunDirectory) -> Callable[[str, list[str]], set[str]]:
    left_out = {os.fspath(run.path): {STATE_DIR}, os.fspath(run.path / IMAGES): {"c"}}

    def ignore(folder: str, names: list[str]) -> set[str]:
        return left_out.get(os.fspath(folder), set()) & set(names)

    return ignore
