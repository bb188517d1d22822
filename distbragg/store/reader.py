"""Reading frames of a run in any process: shards are opened where they are read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import DamageError
from distbragg.store.home import open_images
from distbragg.store.open import check_array
from distbragg.store.run_directory import RunDirectory, open_run

if TYPE_CHECKING:
    import zarr

_WHOLE_SHARE: Final = 0.5
"""Share of a unit's frames from which on the unit is read in one piece."""


class FrameReader:
    """Reads frames by their flat number.

    It travels between processes as a path: after a fork or in another process the array is
    opened anew.

    Parameters
    ----------
    run : RunDirectory or path
    """

    def __init__(self, run: RunDirectory | str | Path) -> None:
        self.run = run if isinstance(run, RunDirectory) else open_run(run)
        self._opened: tuple[int, zarr.Array[Any]] | None = None
        check_array(self.run)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.run.place}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.run = open_run(state["path"])
        self._opened = None

    def read(self, frames: Sequence[int]) -> list[NDArray[Any]]:
        """Return frames ([panels,] slow, fast) in the order asked for, stored type.

        Frames of one unit are read together: in one piece where that is most of them.

        Raises
        ------
        DamageError
            An object does not decode.
        """
        layout = self.run.layout
        by_unit: dict[int, list[int]] = {}
        for frame in dict.fromkeys(frames):
            by_unit.setdefault(self.unit_of(frame), []).append(frame)
        found: dict[int, NDArray[Any]] = {}
        for unit, members in by_unit.items():
            if len(members) >= _WHOLE_SHARE * layout.frame_count(unit):
                block = self._get(layout.full_region(unit))
                region = layout.unit_region(unit)
                for frame in members:
                    inside = zip(self.position(frame), region, strict=True)
                    found[frame] = block[tuple(i - part.start for i, part in inside)]
            else:
                for frame in members:
                    found[frame] = self._get(self.position(frame))
        return [found[frame] for frame in frames]

    def position(self, frame: int) -> tuple[int, ...]:
        """Index of a frame along each sweep dimension."""
        index = []
        for _, size in reversed(self.run.layout.dims):
            frame, place = divmod(frame, size)
            index.append(place)
        return tuple(reversed(index))

    def unit_of(self, frame: int) -> int:
        """Return the unit that holds a frame."""
        layout = self.run.layout
        inside = zip(self.position(frame), layout.unit_shape, strict=True)
        return layout.unit_of_index(tuple(i // block for i, block in inside))

    def _get(self, region: tuple[Any, ...]) -> NDArray[Any]:
        try:
            return np.asarray(self._array()[region])
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise DamageError(f"{self.run.path}: frames cannot be read ({reason})") from error

    def _array(self) -> zarr.Array[Any]:
        if self._opened is None or self._opened[0] != os.getpid():
            rules = check_array(self.run).arrays
            self._opened = (os.getpid(), open_images(self.run, rules))
        return self._opened[1]
