"""Reading the tables of spots of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from distbragg.errors import InputError
from distbragg.read.columns import Column, read_table
from distbragg.store.foreign import check_inside
from distbragg.store.labels import has_labels, labels_path
from distbragg.store.ledger import done_units
from distbragg.store.run_directory import open_run

if TYPE_CHECKING:
    from collections.abc import Sequence


def open_labels(run: str | Path, columns: Sequence[str] | None = None) -> dict[str, Column]:
    """Return the predicted spots of every finished frame of a run.

    Parameters
    ----------
    run : path
    columns : sequence of str, optional
        Columns wanted; all where not given.

    Returns
    -------
    dict of str to array (spots,)
        `frame` (flat C-order index), `panel`, `h`, `k`, `l`; `slow`, `fast` in pixels from the
        panel's outer corner; `f_squared`, `partiality`, `photons`, `wavelength` (Å), `phi`
        (degrees), `resolution` (Å), `active`. `pandas.DataFrame` takes it as it is.

    Raises
    ------
    InputError
        `run` is no run, keeps no tables of spots, has none finished, or has no such column.
    DamageError
        A table is a link that leads out of the run.
    EnvironmentFailure
        pyarrow is missing.
    """
    directory = open_run(run)
    if not has_labels(directory):
        raise InputError(
            "keeps no tables of spots", source=str(run), remedy="create it with output.labels: true"
        )
    units = sorted(done_units(directory))
    if not units:
        raise InputError(
            "has no finished unit yet", source=str(run), remedy="render it with `distbragg resume`"
        )
    for unit in units:
        check_inside(labels_path(directory.path, unit), directory.path)
    parts = [
        read_table(str(labels_path(directory.path, unit)), columns, may_be_empty=True)
        for unit in units
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
