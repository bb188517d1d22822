"""The frames of a sweep: selected, told as a table, and joined into the scans of an export."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distbragg.errors import InputError
from distbragg.run.prepare import SpecLike, as_sweep
from distbragg.spec.axis import label_items
from distbragg.spec.canonical import canonical_json
from distbragg.spec.continued import FRAME_SHIFT
from distbragg.spec.sweep import SweepSpec
from distbragg.store.frame_labels import FrameLabels, Seen
from distbragg.store.open import rendered_frames
from distbragg.store.run_directory import RunDirectory
from distbragg.store.spots import has_labels

PHI = "goniometer.phi_deg"
OSCILLATION = "goniometer.oscillation_deg"
_GEOMETRY = ("beam.", "detector.", "goniometer.")
_PLACING = ("beam.direction", "beam.polarization", *_GEOMETRY[1:])
"""What a header of many frames says once, where it has a beam for each."""

DISTANCES = ("detector.distance_mm", "detector.close_distance_mm")

_CONTIGUOUS = 1e-3
"""Share of the frame's width by which the next frame's start may miss this one's end."""

LabelTexts = dict[str, list[str]]

_PART = re.compile(r"^(\d*):(\d*)(?::(\d+))?$|^(\d+)$")


def parse_frames(text: str, frames: int) -> tuple[int, ...]:
    """Frames of a selection such as `0:10,15,20:30:2`, in order; an empty one selects all."""
    if not text:
        return tuple(range(frames))
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.match(part.strip())
        if match is None or match[3] == "0":
            raise InputError(
                f"{part.strip()!r} selects no frames",
                source="--frames",
                remedy="write ranges start:stop[:step] and numbers, such as 0:10,15",
            )
        if match[4] is not None:
            start, stop, step = int(match[4]), int(match[4]) + 1, 1
        else:
            start, stop = int(match[1] or 0), int(match[2] or frames)
            step = int(match[3] or 1)
        if stop > frames or start >= stop:
            raise InputError(
                f"{part.strip()!r} is not within the run's frames 0 to {frames - 1}",
                source="--frames",
                remedy="give frames of the run, counted from 0; the stop is not included",
            )
        found.update(range(start, stop, step))
    return tuple(sorted(found))


def selection_of(frames: Sequence[int]) -> str:
    """Write increasing numbers as the shortest selection that `parse_frames` reads."""
    cuts = [i for i in range(1, len(frames)) if frames[i] != frames[i - 1] + 1]
    spans = zip([0, *cuts], [*cuts, len(frames)], strict=True) if frames else ()
    return ",".join(
        f"{frames[start]}:{frames[stop - 1] + 1}" if stop - start > 1 else str(frames[start])
        for start, stop in spans
    )


def frame_columns(sweep: SweepSpec) -> tuple[str, ...]:
    """Names of a table's columns: `frame`, then each axis, a vector's components one by one."""
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
    """Yield what each axis sets in each frame; see `frame_columns`."""
    labels = [
        (axis.dimension, label_items(axis), axis.expanded.array[0].size) for axis in sweep.axes
    ]
    for frame in frames:
        position = sweep.frame_index(frame)
        row: list[Any] = [frame]
        for dim, values, width in labels:
            value = values[position[dim]]
            row += value if isinstance(value, list) else [value] * width
        yield tuple(row)


def label_texts(
    run: RunDirectory, frames: Sequence[int], done: Iterable[int], seen: Seen | None = None
) -> LabelTexts:
    """Return labels of frames by the names they go by, as texts of a table; none without spots.

    `true` and `false`, numbers, and nothing where there is no number or no frame.
    """
    if not has_labels(run):
        return {}
    there = np.ravel(rendered_frames(run.layout, done))[list(frames)]
    labels = FrameLabels(run, seen)
    rendered = [frame for frame, is_there in zip(frames, there.tolist(), strict=True) if is_there]
    found = labels.chosen(rendered, labels.shown.values())
    columns = {}
    for name, label in labels.shown.items():
        texts = np.full(len(frames), "", dtype=object)
        texts[there] = [_text_of(value) for value in found[label].tolist()]
        columns[name] = texts.tolist()
    return columns


def _text_of(value: float) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if math.isnan(value) else f"{value:.7g}"


def frame_table(
    spec: SpecLike,
    overrides: Sequence[str] = (),
    *,
    frames: str = "",
    root: str | Path | None = None,
) -> tuple[tuple[str, ...], Iterator[tuple[Any, ...]]]:
    """Return columns and rows of the selected frames of a sweep; `root` as in `as_sweep`."""
    sweep = as_sweep(spec, overrides, root=root)
    return frame_columns(sweep), frame_rows(sweep, parse_frames(frames, sweep.frames))


def series_of(
    sweep: SweepSpec,
    frames: Sequence[int],
    *,
    one_beam: bool = True,
    beside: Collection[str] = (),
) -> tuple[tuple[int, ...], ...]:
    """Cut frames into series, each of which one program reads as one data set.

    Rotations form a series where nothing but the spindle angle changes and each frame begins
    where the last one ended. Stills form one where beam and detector stay the same, or, unless
    `one_beam`, the detector and the directions of the beam; the fields `beside` may change.
    `frames` are flat indices, in the order they are to have.
    """
    base = sweep.experiment.goniometer
    groups: dict[str, list[list[int]]] = {}
    ends: dict[str, float] = {}
    for frame in frames:
        values = dict(sweep.frame_values(frame))
        values.pop(FRAME_SHIFT, None)
        width = float(values.get(OSCILLATION, base.oscillation_deg) or 0.0)
        if width == 0.0:
            values = {
                path: value
                for path, value in values.items()
                if path.startswith(_GEOMETRY if one_beam else _PLACING)
                and path not in (PHI, *beside)
            }
            key = canonical_json(values)
            groups.setdefault(key, [[]])[0].append(frame)
            continue
        phi = float(values.pop(PHI, base.phi_deg) or 0.0)
        key = canonical_json(values)
        runs = groups.setdefault(key, [])
        if not runs or abs(phi - ends[key]) > _CONTIGUOUS * abs(width):
            runs.append([])
        runs[-1].append(frame)
        ends[key] = phi + width
    return tuple(tuple(run) for runs in groups.values() for run in runs)


def stem(prefix: str, place: tuple[int, int], count: int) -> str:
    """Name of a frame's file without suffix: `prefix_0001`, with several series `prefix_2_0001`.

    Its place is the number of its series and its position there, both from 0.
    """
    middle = f"_{place[0] + 1}" if count > 1 else ""
    return f"{prefix}{middle}_{place[1] + 1:04d}"
