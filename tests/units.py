"""Storing the frames of a unit, given as an array."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from distbragg.store.run_directory import RunDirectory
from distbragg.store.write import UnitWriter


def write_unit(
    run: RunDirectory, unit: int, images: NDArray[Any], info: Mapping[str, Any]
) -> dict[str, Any]:
    """Store frames (frames, panels, slow, fast) as one shard; return the receipt."""
    with UnitWriter(run, unit) as writer:
        for frame in images:
            writer.add(frame)
        return writer.finish(info)
