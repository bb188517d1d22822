"""Labels of frames as coordinates of xarray, computed from the tables of spots when read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from distbragg.store.frame_labels import OF_BEAM, FrameLabels, shown_labels
from distbragg.store.layout import StackLayout

_TYPES: Final = {"hit": np.bool_, "resolution_seen": np.float32}  # the others are int64


def label_coordinates(
    labels: FrameLabels, done: Collection[int], taken: Sequence[str]
) -> dict[str, xr.Variable]:
    """Return the labels of frames over the sweep's dimensions, beside names that are `taken`."""
    dims = [name for name, _ in labels.run.layout.dims]
    found = {}
    for name, label in shown_labels(taken).items():
        data: Any = labels.of_beam(label) if label in OF_BEAM else _lazy(labels, label, done)
        found[name] = xr.Variable(dims, data, labels.attrs(label))
    return found


def _lazy(labels: FrameLabels, name: str, done: Collection[int]) -> Any:  # noqa: ANN401
    array = _LabelArray(labels, name, frozenset(done))
    return indexing.MemoryCachedArray(indexing.LazilyIndexedArray(array))  # type: ignore[no-untyped-call]


@dataclass(frozen=True, eq=False)
class _LabelArray(BackendArray):
    """One label over the sweep's dimensions; 0, false or no number of frames that are not done."""

    labels: FrameLabels
    name: str
    done: frozenset[int]

    @property
    def _layout(self) -> StackLayout:
        return self.labels.run.layout

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the sweep's dimensions."""
        return tuple(size for _, size in self._layout.dims)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Truth values, whole numbers or float32."""
        return np.dtype(_TYPES.get(self.name, np.int64))

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[Any]:
        found: NDArray[Any] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )
        return found

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """Read the units that hold what is asked for."""
        layout = self._layout
        fill = np.nan if self.dtype.kind == "f" else 0
        whole = np.full(self.shape, fill, dtype=self.dtype)
        places = [np.atleast_1d(np.arange(n)[k]) for n, k in zip(self.shape, key, strict=True)]
        blocks = [
            np.unique(part // block) for part, block in zip(places, layout.unit_shape, strict=True)
        ]
        for index in product(*(part.tolist() for part in blocks)):
            unit = layout.unit_of_index(index)
            if unit in self.done:
                values = self.labels.unit(unit)[self.name]
                whole[layout.unit_region(unit)] = values.reshape(layout.unit_extent(unit))
        for axis, part in enumerate(key):
            if isinstance(part, np.ndarray):
                whole = whole.take(part, axis=axis)
                key = (*key[:axis], slice(None), *key[axis + 1 :])
        return np.asarray(whole[key])
