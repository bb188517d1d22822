"""The predicted spots of a frame, found quickly: tables of units, kept as they are read."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.plan.variants import Variant
from distbragg.predict.table import ELLIPSE
from distbragg.read.columns import read_table
from distbragg.store.run_directory import RunLike, open_run
from distbragg.store.spots import check_labels, labels_key
from distbragg.variants import inside

KEPT_BYTES: Final = 256 << 20
"""Bytes of tables that a process keeps: of ten columns, some 15,000 frames of 400 spots."""

_HALF: Final = frozenset(
    {"slow", "fast", "photons", "variance_slow", "variance_fast", "covariance", "f_squared"}
    | {"partiality", "wavelength", "phi", "resolution"}
)
_SMALL: Final[Mapping[str, type[np.int16] | type[np.int32]]] = {
    "h": np.int16,
    "k": np.int16,
    "l": np.int16,
    "panel": np.int32,
    "lattice": np.int32,
}


@dataclass(frozen=True, slots=True)
class UnitSpots:
    """Spots of a unit: columns (rows,), of fractions float32, and where each frame's begin."""

    frames: tuple[int, ...]
    starts: NDArray[np.int64]  # (frames + 1,)
    columns: Mapping[str, NDArray[Any]]

    def of(self, frame: int) -> dict[str, NDArray[Any]]:
        """Return the columns of one frame; views."""
        place = bisect_left(self.frames, frame)
        rows = slice(int(self.starts[place]), int(self.starts[place + 1]))
        return {name: values[rows] for name, values in self.columns.items()}


class SpotReader:
    """Reads the spots of frames by their flat number; it travels between processes as a path.

    Parameters
    ----------
    run : RunDirectory or path
    columns : sequence of str
        Columns of `open_labels`.

    Raises
    ------
    InputError
        The run keeps no tables of spots.
    """

    def __init__(self, run: RunLike, columns: Sequence[str]) -> None:
        self.run, self._columns = open_run(run), tuple(columns)
        check_labels(self.run)
        self._kept: OrderedDict[int, UnitSpots] = OrderedDict()
        self._bytes = 0

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.run.url, "columns": self._columns}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"], state["columns"])  # type: ignore[misc]

    def frame(self, frame: int) -> dict[str, NDArray[Any]]:
        """Return the spots of a rendered frame by column, (spots,) each."""
        return self.unit(self.run.layout.unit_of(frame)).of(frame)

    def unit(self, unit: int) -> UnitSpots:
        """Return the spots of a unit that is done."""
        found = self._kept.get(unit)
        if found is None:
            found = self._kept[unit] = self._read(unit)
            self._bytes += _size(found)
            while self._bytes > KEPT_BYTES and len(self._kept) > 1:
                self._bytes -= _size(self._kept.popitem(last=False)[1])
        self._kept.move_to_end(unit)
        return found

    def _read(self, unit: int) -> UnitSpots:
        wanted = ["frame", *self._columns]
        table = read_table(str(self.run.objects.local(labels_key(unit))), wanted, ours=True)
        numbers = table.pop("frame")
        frames = self.run.layout.unit_frames(unit)
        if np.any(np.diff(numbers) < 0):
            order = np.argsort(numbers, kind="stable")
            numbers, table = numbers[order], {name: part[order] for name, part in table.items()}
        starts = np.searchsorted(numbers, [*frames, frames[-1] + 1])
        return UnitSpots(
            frames, starts, {name: _compact(name, part) for name, part in table.items()}
        )


def moved_spots(spots: Mapping[str, NDArray[Any]], variant: Variant) -> dict[str, NDArray[Any]]:
    """Return spots of a frame as they lie in a variant of it, without those beside it.

    Places are moved; variances and covariances shrink with the square of the variant's factor.
    """
    found = dict(spots)
    places = variant.positions(np.stack([spots["slow"], spots["fast"]], axis=-1))
    kept = inside(places, variant.shape)
    found["slow"], found["fast"] = places[..., 0], places[..., 1]
    for name in found.keys() & set(ELLIPSE):
        found[name] = spots[name] / np.float32(variant.factor**2)
    return {name: values[kept] for name, values in found.items()}


def _compact(name: str, values: NDArray[Any]) -> NDArray[Any]:
    if name in _HALF:
        return values.astype(np.float32)
    kind = _SMALL.get(name)
    if kind is not None and (not values.size or np.abs(values).max() <= np.iinfo(kind).max):
        return values.astype(kind)
    return values


def _size(spots: UnitSpots) -> int:
    return sum(values.nbytes for values in spots.columns.values())
