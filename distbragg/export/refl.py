"""DIALS reflection tables (`.refl`): the true spots of a series, one row a reflection.

The file is MessagePack: the name of the class, its version, and a map with the number of rows and
for each column the name of its C++ type, the number of elements and their bytes, little-endian.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgpack
import numpy as np
from numpy.typing import NDArray

from distbragg.export.files import write_whole
from distbragg.export.spots import Columns, TrueSpots
from distbragg.models.vectors import Float64Array

_TYPES: Final[Mapping[tuple[str, int], str]] = {
    ("i4", 1): "int",
    ("u8", 1): "std::size_t",
    ("f8", 1): "double",
    ("f8", 3): "vec3<double>",
    ("i4", 3): "cctbx::miller::index<>",
    ("i4", 6): "int6",
}
"""Number type and numbers an element → the element's name in DIALS."""

_PREDICTED, _OBSERVED, _INDEXED, _STRONG = 1, 2, 4, 32
_TRUE: Final = _PREDICTED | _OBSERVED | _INDEXED | _STRONG
_SIGMAS: Final = 3.0
"""Half of a box's side, in standard deviations of the spot, beside one pixel."""

_PIXEL_VARIANCE: Final = 1.0 / 12.0
"""Of a place anywhere in a pixel, or in a frame's rotation."""


def write_refl(
    path: str | Path,
    spots: TrueSpots,
    identifiers: Sequence[str],
    ids: Mapping[tuple[int, int], int],
) -> None:
    """Write the spots of a series.

    Columns: `id`, `panel`, `miller_index`, `xyzcal.px` and `xyzobs.px.value` (both the true place;
    z counts frames), `xyzobs.px.variance`, `bbox`, `intensity.sum.value` (expected photons) and
    `.variance`, `partiality`, `d` (Å), `flags`.

    Parameters
    ----------
    path : path
    spots : TrueSpots
        Of the series; see there how those of a rotation are joined.
    identifiers : sequence of str
        Of the experiments of the list beside it.
    ids : mapping
        Number of the experiment by place of the first frame and lattice.
    """
    columns = spots.columns
    where = np.stack([columns["fast"], columns["slow"], columns["z"]], axis=1)
    numbers = [ids[pair] for pair in zip(*spots.experiments, strict=True)]
    photons = columns["photons"]
    table: dict[str, NDArray[Any]] = {
        "id": np.array(numbers, dtype=np.int32),
        "panel": columns["panel"].astype(np.uint64),
        "miller_index": np.stack([columns[name] for name in "hkl"], axis=1).astype(np.int32),
        "xyzcal.px": where,
        "xyzobs.px.value": where,
        "xyzobs.px.variance": _variances(columns),
        "bbox": _boxes(columns),
        "intensity.sum.value": photons,
        "intensity.sum.variance": photons,
        "partiality": columns["partiality"],
        "d": columns["resolution"],
        "flags": np.full(photons.shape, _TRUE, dtype=np.uint64),
    }
    packed = {
        "identifiers": dict(enumerate(identifiers)),
        "nrows": len(photons),
        "data": {name: _packed(values) for name, values in table.items()},
    }
    write_whole(path, msgpack.packb(["dials::af::reflection_table", 1, packed]))


def _packed(values: NDArray[Any]) -> list[Any]:
    stored = np.ascontiguousarray(values)
    kind = stored.dtype.newbyteorder("<").str[1:]
    width = 1 if stored.ndim == 1 else stored.shape[1]
    data = stored.astype(f"<{kind}", copy=False).tobytes()
    return [_TYPES[kind, width], [len(stored), data]]


def _spread(columns: Columns, name: str) -> Float64Array:
    """Variance of a spot along one axis, pixels²; that of a pixel alone where none is known."""
    return np.asarray(np.nan_to_num(columns[name], nan=0.0) + _PIXEL_VARIANCE)


def _variances(columns: Columns) -> Float64Array:
    """Variance of the mean place, as counting statistics of the photons give it."""
    photons = np.maximum(columns["photons"], 1.0)
    plane = [_spread(columns, f"variance_{axis}") / photons for axis in ("fast", "slow")]
    return np.stack([*plane, np.full(photons.shape, _PIXEL_VARIANCE) / photons], axis=1)


def _boxes(columns: Columns) -> NDArray[np.int32]:
    sides = []
    for axis in ("fast", "slow"):
        half = _SIGMAS * np.sqrt(_spread(columns, f"variance_{axis}")) + 1.0
        sides += [np.floor(columns[axis] - half), np.ceil(columns[axis] + half)]
    sides += [columns["first"], columns["last"] + 1.0]
    return np.stack(sides, axis=1).astype(np.int32)
