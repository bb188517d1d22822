"""What is to be said of a whole sweep: the notes of its first frame and of its extremes."""

from __future__ import annotations

import itertools
import logging
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from distbragg.errors import DistbraggError, InputError
from distbragg.models.build import Resolved, build_experiment, build_reflections, reflections_key
from distbragg.models.crystal import Reflections
from distbragg.models.experiment import Experiment
from distbragg.models.notes import by_field, in_one_line
from distbragg.notes import LOGGED, Note, Notes
from distbragg.plan.memory import precheck_spec
from distbragg.run.machine import memory_bytes
from distbragg.spec.axis import AxisSpec
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.files import file_fields
from distbragg.spec.sweep import SweepSpec
from distbragg.spec.vector_draws import QUATERNION_PATH

_log = logging.getLogger("distbragg")

_CORNERS: Final = 64
"""Most frames at the extremes of all axes together; beyond it one dimension varies at a time."""

_TEXTS: Final = 16  # most distinct texts of an axis, such as files, that are looked at
_TABLES: Final = 4  # most structure-factor files that are read for their notes alone
_NUMBERS: Final = re.compile(r"[-+]?\d[\d.]*(?:e[-+]?\d+)?")
_ALONE: Final = re.compile(r"(?<![^\s(])([-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)(?![^\s,;:)])")
"""Numbers that stand by themselves, not in the name of a file."""
_ORIENTATIONS: Final = (
    QUATERNION_PATH,
    "crystal.u_matrix",
    "crystal.a_matrix_per_angstrom",
    "crystal.misset_deg",
)


@dataclass(frozen=True, slots=True)
class SweepNotes:
    """The notes of a sweep, each once with its frame, and how many frames were looked at."""

    notes: Notes
    frames: int


def tell(notes: Notes) -> None:
    """Log notes, a line each; the command line prints them as they stand."""
    for note in notes:
        level = logging.WARNING if note.kind == "warning" else logging.INFO
        _log.log(level, "%s", note.line, extra={LOGGED: True})


def sweep_notes(
    sweep: SweepSpec, base: Experiment, heaviest: int = 0, *, first: int = 0
) -> SweepNotes:
    """Collect the notes of the frames at the ends and extremes of every axis, and the `heaviest`.

    `base` is the frame `first`, whose notes need not name it. Every doubt is about a number that is
    too large or too small: these frames show it if any do.
    """
    frames = sorted({*_frames(sweep), heaviest, sweep.frames - 1} - {first})
    known = Resolved(sweep.frame_spec(first), base)
    tables = {_key(sweep, first): base.reflections}
    found: dict[tuple[str, str, str], list[tuple[int, Note]]] = {}
    for frame in (first, *frames):
        notes = base.notes if frame == first else _notes_of(sweep, frame, known, tables)
        for note in itertools.chain.from_iterable(map(by_field, notes)):
            key = (note.kind, note.place, _NUMBERS.sub("#", note.text))
            found.setdefault(key, []).append((frame, note))
    joined = tuple(_joined(same, first) for same in found.values())
    return SweepNotes((*in_one_line(joined), *_grids(sweep)), 1 + len(frames))


def _grids(sweep: SweepSpec) -> Iterator[Note]:
    """Yield which drawn axes make a grid with others as long, as where `dim` was forgotten."""
    drawn = [axis for axis in sweep.axes if axis.draw or axis.sample or axis.random_orientations]
    sizes = " x ".join(f"{size:,}" for _, size in sweep.dims)
    seen: list[str] = []
    for axis in sorted(drawn, key=lambda axis: not axis.dim):  # those of a named dim first
        alone = [one.name for one in sweep.axes if one.dimension == axis.dimension] == [axis.name]
        others = [one for one in seen if dict(sweep.dims)[one] == axis.size > 1]
        if alone and others and not axis.dim:
            said = f"axis {axis.name} has a dim of its own: the sweep is a grid of {sizes} frames"
            yield Note("note", "axes", f"{said}; give it dim: {others[0]} to zip it")
        if axis.dimension not in seen:
            seen.append(axis.dimension)


def _joined(same: Sequence[tuple[int, Note]], first: int) -> Note:
    """Return one note for the same notes of several frames, with its frame unless it is `first`.

    Where their numbers differ it has the least and the greatest.
    """
    frame, note = same[0]
    frames, texts = {each for each, _ in same}, {each.text for _, each in same}
    if frame == first and (len(frames) == 1 or len(texts) == 1):
        return note
    more = f" and {len(same) - 1} more" if len(same) > 1 else ""
    if len(texts) > 1:
        spread = _spread([each.text for _, each in same])
        if not spread:  # a number of a file's name has no range
            return replace(note, text=f"{note.text} (frame {frame}; {len(same) - 1} more differ)")
        note = replace(note, text=spread)
    return replace(note, text=f"{note.text} (frame {frame}{more})")


def _spread(texts: Sequence[str]) -> str:
    """Write texts that differ in numbers as one with their ranges; empty where they differ more."""
    if len({_ALONE.sub("#", text) for text in texts}) > 1:
        return ""
    ranges = []
    for column in zip(*(_ALONE.findall(text) for text in texts), strict=True):
        low, high = min(column, key=float), max(column, key=float)
        ranges.append(low if float(low) == float(high) else f"{low} to {high}")
    told = iter(ranges)
    return _ALONE.sub(lambda _: next(told), texts[0])


def _frames(sweep: SweepSpec) -> Iterator[int]:
    sizes = [size for _, size in sweep.dims]
    strides = [math.prod(sizes[index + 1 :]) for index in range(len(sizes))]
    positions = [
        _positions([axis for axis in sweep.axes if axis.dimension == dim], size)
        for dim, size in sweep.dims
    ]
    if math.prod(len(own) for own in positions) <= _CORNERS:
        for corner in itertools.product(*positions):
            yield sum(place * stride for place, stride in zip(corner, strides, strict=True))
        return
    for own, stride in zip(positions, strides, strict=True):
        yield from (place * stride for place in own)


def _positions(axes: Sequence[AxisSpec], size: int) -> list[int]:
    """Both ends of a dimension, and where any of its axes is least or greatest."""
    found = {0, size - 1}
    for axis in axes:
        if axis.target in _ORIENTATIONS:
            continue
        found |= axis.expanded.extremes(_TEXTS)
    return sorted(found)


def _notes_of(
    sweep: SweepSpec, frame: int, first: Resolved, tables: dict[Any, Reflections]
) -> Notes:
    """Return the notes of a frame, or that it cannot be resolved: a run sets it aside."""
    try:
        spec = sweep.frame_spec(frame)
        precheck_spec(spec, memory_bytes())
        _check_regular(spec)
        key = _key(sweep, frame)
        if key not in tables and len(tables) < _TABLES:
            tables[key] = build_reflections(spec)
        table = tables.get(key, first.experiment.reflections)
        experiment = build_experiment(
            spec, reflections=table, frame=frame, like=first, checked=True
        )
        check_size(first.experiment, experiment, frame)
        if spec.output.labels:
            from distbragg.predict.landing import check_surface  # few runs keep tables

            check_surface(experiment.detector)
        return experiment.notes
    except DistbraggError as error:
        return (Note("warning", "cannot be rendered", str(error)),)


def check_size(base: Experiment, other: Experiment, frame: int) -> None:
    """Refuse a frame whose panels are not those of frame 0 in number and size."""
    sizes = [[panel.shape for panel in each.detector.panels] for each in (base, other)]
    if sizes[0] != sizes[1]:
        raise InputError(
            f"frame {frame} has panels of {sizes[1][:3]} pixels, frame 0 of {sizes[0][:3]}",
            field="axes",
            remedy="leave the size of the detector out of the sweep",
        )


def _check_regular(spec: ExperimentSpec) -> None:
    """Refuse devices and pipes, which have no end."""
    for field, name in file_fields(spec):
        if Path(name).exists() and not (Path(name).is_file() or Path(name).is_dir()):
            raise InputError("is not a file", source=name, field=field)


def _key(sweep: SweepSpec, frame: int) -> str:
    """Identity of a frame's structure factors; hashing the file is left to the first frame."""
    swept = any(path.startswith("structure_factors.") for path in sweep.swept)
    return reflections_key(sweep.frame_spec(frame)) if swept else ""
