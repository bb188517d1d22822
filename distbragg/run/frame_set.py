"""Frames of a run with all that goes with them, as training sets of other programs hold them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.predict.table import Spots
from distbragg.spec.canonical import canonical_json
from distbragg.store.frame_labels import FrameLabels, Seen
from distbragg.store.frame_spots import SpotReader, moved_spots
from distbragg.store.layout import IMAGES
from distbragg.store.open import FrameReader, open_array
from distbragg.store.run_directory import RunDirectory
from distbragg.store.split import PARTS, Split, split_frames
from distbragg.store.spots import UNITS, has_labels

COLUMNS: Final = tuple(item.name for item in fields(Spots))


@dataclass(frozen=True)
class FrameSet:
    """Frames of a run, whole or a variant of them, with labels and spots, and their parts."""

    run: RunDirectory
    variant: str = ""
    split: Split | None = None
    seen: Seen | None = None

    @cached_property
    def reader(self) -> FrameReader:
        """Reads the pixels."""
        return FrameReader(self.run, self.variant or IMAGES)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a frame, ([panels,] slow, fast)."""
        return self.reader.frame_shape

    @property
    def frame_bytes(self) -> int:
        """Raw bytes of a frame."""
        return int(np.prod(self.shape)) * np.dtype(self.reader.layout.dtype).itemsize

    @cached_property
    def parts(self) -> NDArray[np.str_]:
        """Part of each frame in flat order; empty text where they are not told apart."""
        if self.split is None:
            return np.full(self.run.layout.frames, "")
        return np.ravel(split_frames(self.run, self.split))

    def series(self, frames: Sequence[int]) -> dict[str, tuple[int, ...]]:
        """Return frames by their part, in the order of `PARTS`; parts without any are left out."""
        chosen = np.asarray(frames, dtype=np.int64)
        names = PARTS if self.split is not None else ("",)
        found = {name: tuple(chosen[self.parts[chosen] == name].tolist()) for name in names}
        return {name: members for name, members in found.items() if members}

    @cached_property
    def _axes(self) -> list[tuple[str, str, NDArray[Any]]]:
        coordinates = self.run.sweep.coordinates()
        return [(axis.name, axis.dim, np.asarray(axis.values)) for axis in coordinates]

    @cached_property
    def _frame_labels(self) -> FrameLabels:
        """Labels of whole frames."""
        return FrameLabels(self.run, self.seen)

    def labels(self, frame: int) -> dict[str, Any]:
        """Return labels of a frame by name: numbers, lists of them, texts, truth values."""
        position = self.run.sweep.frame_index(frame)
        found = {name: values[position[dim]].tolist() for name, dim, values in self._axes}
        labels = self._frame_labels
        own = {name: labels.frame(frame, label) for name, label in labels.shown.items()}
        return found | {name: np.asarray(value).item() for name, value in own.items()}

    def columns(self, frames: Sequence[int]) -> dict[str, NDArray[Any]]:
        """Return labels of frames by name, (frames, …)."""
        rows = [self.labels(frame) for frame in frames]
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    def numbers(self, frames: Sequence[int]) -> dict[str, NDArray[Any]]:
        """Return numbers of frames in the stack, and their parts where they are told apart."""
        parts = {"split": self.parts[list(frames)]} if self.split is not None else {}
        return {"frame": np.asarray(frames, dtype=np.int64), **parts}

    @cached_property
    def _spots(self) -> SpotReader | None:
        return SpotReader(self.run, COLUMNS) if has_labels(self.run) else None

    def spots(self, frame: int) -> dict[str, NDArray[Any]] | None:
        """Return spots of a frame by column, places in pixels of its image; None: no tables."""
        if self._spots is None:
            return None
        table, variant = self._spots.frame(frame), self.reader.variant
        return table if variant is None else moved_spots(table, variant)

    @cached_property
    def attrs(self) -> dict[str, Any]:
        """What the stack says of the pixels, and the units of spots."""
        told = dict(open_array(self.run, self.reader.layout.array).attrs)
        for private in ("_FillValue", "coordinates"):
            told.pop(private, None)
        return told

    @cached_property
    def group_attrs(self) -> dict[str, Any]:
        """What a set says of its run: identity, version, specification, and how it was split."""
        manifest, split = self.run.manifest, self.split
        told = {} if split is None else {"split": canonical_json(split_plain(split))}
        if has_labels(self.run):
            told["seen"] = canonical_json(self._frame_labels.seen.attrs)
        return {
            "title": str(manifest.sweep["experiment"].get("title", "")),
            "source": f"distbragg {manifest.version}",
            "distbragg_run_id": self.run.run_id,
            "distbragg_spec": canonical_json(manifest.sweep_plain),
            "spot_units": json.dumps(UNITS, sort_keys=True),
            **told,
        }


def split_plain(split: Split) -> dict[str, Any]:
    """Return a split as plain data."""
    return {
        "validation": split.validation,
        "test": split.test,
        "seed": split.seed,
        "group_by": list(split.group_by),
    }
