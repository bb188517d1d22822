"""Which frames of a run belong together as one scan, and what their files are called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from distbragg.errors import InputError
from distbragg.spec.canonical import canonical_json
from distbragg.spec.sweep import SweepSpec

PHI = "goniometer.phi_deg"
OSCILLATION = "goniometer.oscillation_deg"
_GEOMETRY = ("beam.", "detector.", "goniometer.")
_CONTIGUOUS = 1e-3
"""Share of the frame's width by which the next frame's start may miss this one's end."""

_PART = re.compile(r"^(\d*):(\d*)(?::(\d+))?$|^(\d+)$")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame stands: number of its series, and position in it, both from 0."""

    series: int
    position: int


def parse_frames(text: str, frames: int) -> tuple[int, ...]:
    """Frames of a selection such as `0:10,15,20:30:2`, in order; an empty one selects all.

    Raises
    ------
    InputError
        It is no selection, or names a frame that does not exist.
    """
    if not text.strip():
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


def series_of(sweep: SweepSpec, frames: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Cut frames into series, each of which one program reads as one data set.

    Rotations form a series where nothing but the spindle angle changes and each frame begins
    where the last one ended. Stills form one where beam and detector stay the same.

    Parameters
    ----------
    sweep : SweepSpec
    frames : sequence of int
        Flat indices, in the order they are to have.
    """
    base = sweep.experiment.goniometer
    groups: dict[str, list[list[int]]] = {}
    ends: dict[str, float] = {}
    for frame in frames:
        values = dict(sweep.frame_values(frame))
        width = float(values.get(OSCILLATION, base.oscillation_deg) or 0.0)
        if width == 0.0:
            values = {
                path: value
                for path, value in values.items()
                if path.startswith(_GEOMETRY) and path != PHI
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


def places(series: Sequence[Sequence[int]]) -> dict[int, Place]:
    """Return the place of each frame."""
    return {
        frame: Place(number, position)
        for number, members in enumerate(series)
        for position, frame in enumerate(members)
    }


def stem(prefix: str, place: Place, count: int) -> str:
    """Name of a frame's file without suffix: `prefix_0001`, with several series `prefix_2_0001`."""
    middle = f"_{place.series + 1}" if count > 1 else ""
    return f"{prefix}{middle}_{place.position + 1:04d}"
