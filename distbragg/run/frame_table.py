"""The frames of a sweep as a table: what each axis sets in each frame, without rendering any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from distbragg.run.prepare import SpecLike, as_sweep
from distbragg.run.series import parse_frames
from distbragg.spec.file_names import axis_labels
from distbragg.spec.sweep import SweepSpec


def frame_columns(sweep: SweepSpec) -> tuple[str, ...]:
    """Names of the table's columns: `frame`, then each axis, a vector's components one by one."""
    names = ["frame"]
    for axis in sweep.axes:
        array = axis.expanded.array
        names += (
            [f"{axis.name}_{part}" for part in range(array.shape[1])]
            if array.ndim == 2
            else [axis.name]
        )
    return tuple(names)


def frame_rows(sweep: SweepSpec, frames: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    """Yield one row a frame; see `frame_columns`."""
    labels = [(axis.dimension, axis_labels(axis)) for axis in sweep.axes]
    for frame in frames:
        position = sweep.frame_index(frame)
        row: list[Any] = [frame]
        for dim, values in labels:
            value = values[position[dim]].tolist()
            row += value if isinstance(value, list) else [value]
        yield tuple(row)


def frame_table(
    spec: SpecLike,
    overrides: Sequence[str] = (),
    *,
    frames: str = "",
    root: str | Path | None = None,
) -> tuple[tuple[str, ...], Iterator[tuple[Any, ...]]]:
    """Return the columns and the rows of a sweep's frames.

    Parameters
    ----------
    spec : SweepSpec, ExperimentSpec or path
    overrides : sequence of "dotted.path=value"
    frames : str
        A selection such as `0:10,15`; all where empty.
    root : path, optional
        Every file that is named must lie in this folder.

    Raises
    ------
    InputError
        The specification cannot be used, or the selection names frames that do not exist.
    """
    sweep = as_sweep(spec, overrides, root=root)
    return frame_columns(sweep), frame_rows(sweep, parse_frames(frames, sweep.frames))
