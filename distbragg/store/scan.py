"""Which objects of a run are there, by directory scan.

zarr's own count of initialised chunks compares keys against a list, which is quadratic in
the number of objects; `os.scandir` is linear.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from distbragg.store.layout import IMAGES, PARTIAL_DIR, StackLayout
from distbragg.store.run_directory import RunDirectory

_NOT_THERE = -1


def scan_objects(run: Path, layout: StackLayout) -> dict[int, int]:
    """Size in bytes of every unit's object that exists, by unit."""
    chunks = str(run / IMAGES / "c")
    below = len(layout.array_shape) - len(layout.dims)
    found: dict[int, int] = {}
    for unit, folder in _unit_folders(chunks, layout.unit_grid, 0):
        size = _size_below(folder, below)
        if size != _NOT_THERE:
            found[unit] = size
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


def sweep_partial(run: RunDirectory, units: Collection[int] | None = None) -> int:
    """Remove the half-written files that killed writers left; return how many.

    Parameters
    ----------
    run : RunDirectory
        Held by the caller.
    units : collection of int, optional
        Those of these units alone.
    """
    folder = run.state / PARTIAL_DIR
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    wanted = None if units is None else {str(unit) for unit in units}
    litter = [name for name in names if wanted is None or name.partition(".")[0] in wanted]
    for name in litter:
        (folder / name).unlink(missing_ok=True)
    return len(litter)


def _unit_folders(folder: str, grid: tuple[int, ...], first: int) -> Iterator[tuple[int, str]]:
    """Yield every unit that has a folder, with its path; `first` is the unit at its start."""
    if not grid:
        yield first, folder
        return
    count, rest = grid[0], grid[1:]
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            # A link is no object: what it leads to was not written by this run.
            if not entry.name.isdecimal() or entry.is_symlink():
                continue
            position = int(entry.name)
            if position < count and entry.name == str(position):
                yield from _unit_folders(f"{folder}/{entry.name}", rest, first * count + position)


def _size_below(folder: str, depth: int) -> int:
    """Size of the object so many levels below a unit's folder, each of them named 0.

    A unit has one object. To look for it takes a call of the system for each level, to list
    folders of one entry takes three.
    """
    path = folder
    try:
        for level in range(1, depth + 1):
            path += "/0"
            found = os.lstat(path)
            if not (stat.S_ISREG if level == depth else stat.S_ISDIR)(found.st_mode):
                return _NOT_THERE
    except (FileNotFoundError, NotADirectoryError):
        return _NOT_THERE
    return found.st_size
