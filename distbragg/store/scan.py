"""Which objects of a run are there, by directory scan.

zarr's own count of initialised chunks compares keys against a list, which is quadratic in
the number of objects; `os.scandir` is linear.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from distbragg.store.files import PARTIAL
from distbragg.store.layout import IMAGES, LABELS, StackLayout


def scan_objects(run: Path, layout: StackLayout) -> dict[int, int]:
    """Size in bytes of every unit's object that exists, by unit."""
    depth = len(layout.array_shape)
    grid = layout.unit_grid
    found: dict[int, int] = {}
    for index, size in _scan(run / IMAGES / "c", depth, ()):
        position, rest = index[: len(grid)], index[len(grid) :]
        inside = all(i < count for i, count in zip(position, grid, strict=True))
        if inside and not any(rest):
            found[layout.unit_of_index(position)] = size
    return found


def is_object(layout: StackLayout, parts: tuple[str, ...]) -> bool:
    """Whether a path below the array's chunk folder is the object of a unit."""
    if len(parts) != len(layout.array_shape):
        return False
    if not all(part.isdecimal() and str(int(part)) == part for part in parts):
        return False
    index, grid = tuple(map(int, parts)), layout.unit_grid
    inside = all(i < count for i, count in zip(index, grid, strict=False))
    return inside and not any(index[len(grid) :])


def object_size(path: Path) -> int:
    """Size of an object in bytes, or -1 where it is missing."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def sweep_partial(run: Path) -> int:
    """Remove the half-written files that killed writers left; return how many."""
    removed = 0
    for root in (IMAGES, LABELS):
        for folder, _, names in os.walk(run / root):
            for name in names:
                if name.endswith(PARTIAL):
                    Path(folder, name).unlink(missing_ok=True)
                    removed += 1
    return removed


def _scan(
    folder: Path, depth: int, prefix: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], int]]:
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            # A link is no object: what it leads to was not written by this run.
            if not entry.name.isdecimal() or entry.is_symlink():
                continue
            index = (*prefix, int(entry.name))
            if len(index) < depth:
                yield from _scan(Path(entry.path), depth, index)
            elif entry.is_file(follow_symlinks=False):
                yield index, entry.stat(follow_symlinks=False).st_size
