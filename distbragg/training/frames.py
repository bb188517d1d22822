"""Which frames a data set holds, and one of them as a training item."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from distbragg.errors import InputError, RefusedError
from distbragg.store.ledger import done_units
from distbragg.store.open import rendered_frames
from distbragg.store.reader import FrameReader
from distbragg.store.run_directory import RunDirectory, open_run
from distbragg.store.split import PARTS, Part, Split, split_frames

Item = dict[str, Any]
Transform = Callable[[Item], Item]
Missing = Literal["skip", "refuse"]


@dataclass(frozen=True)
class Selection:
    """Frames of one part of a stack, with their labels.

    Attributes
    ----------
    reader : FrameReader
    frames : (n,) int64
        Flat numbers of the frames, in increasing order.
    labels : mapping of str to array
        Values along the axis's own dimension, and the number of that dimension.
    """

    reader: FrameReader
    frames: NDArray[np.int64]
    labels: Mapping[str, tuple[int, NDArray[Any]]]

    def items(self, frames: Sequence[int]) -> list[Item]:
        """Read frames and label them.

        Returns
        -------
        list of dict
            `image` ([panels,] slow, fast) float32 tensor, photons per pixel; `frame`, its
            number; each label as a float32 or int64 tensor, or as text.
        """
        images = self.reader.read(frames)
        return [self._item(frame, image) for frame, image in zip(frames, images, strict=True)]

    def _item(self, frame: int, image: NDArray[Any]) -> Item:
        position = self.reader.position(frame)
        # A copy: a frame may be a view of a whole unit, which would stay in memory.
        pixels = torch.from_numpy(np.array(image, dtype=np.float32))
        labels = {name: _label(at[position[dim]]) for name, (dim, at) in self.labels.items()}
        return {**labels, "image": pixels, "frame": frame}


def select(
    run: RunDirectory | str | Path,
    part: Part | None,
    split: Split | None,
    labels: Sequence[str] | None,
    missing: Missing,
) -> Selection:
    """Choose the frames of a data set; see `StackDataset` for the parameters.

    Raises
    ------
    InputError
        No such part, axis, or frame.
    RefusedError
        Frames are missing, and `missing` is `refuse`.
    """
    directory = run if isinstance(run, RunDirectory) else open_run(run)
    if part is not None and part not in PARTS:
        raise InputError(
            f"{part!r} is no part", source="part", remedy=f"one of {', '.join(PARTS)}, or None"
        )
    wanted = np.ones([size for _, size in directory.layout.dims], dtype=bool)
    if part is not None:
        wanted = split_frames(directory, split or Split()) == part
    rendered = rendered_frames(directory.layout, done_units(directory))
    absent = int(np.count_nonzero(wanted & ~rendered))
    if absent and missing == "refuse":
        raise RefusedError(
            f"{directory.path}: {absent} of {int(wanted.sum())} frames are missing; "
            f"`distbragg resume {directory.path}` renders them"
        )
    frames = np.flatnonzero(wanted & rendered)
    if not frames.size:
        raise InputError(
            f"no frame is rendered{f' in the part {part}' if part else ''}",
            source=str(directory.path),
            remedy="render the run, or choose another split",
        )
    return Selection(FrameReader(directory), frames.astype(np.int64), _labels(directory, labels))


def _labels(run: RunDirectory, names: Sequence[str] | None) -> dict[str, tuple[int, NDArray[Any]]]:
    dims = [name for name, _ in run.layout.dims]
    known = {axis.name: axis for axis in run.sweep.coordinates()}
    for name in names or ():
        if name not in known:
            raise InputError(
                f"{name!r} is no coordinate of the stack",
                source="labels",
                remedy=f"coordinates are {', '.join(known) or 'none'}",
            )
    chosen = known if names is None else {name: known[name] for name in names}
    return {name: (dims.index(axis.dim), axis.values) for name, axis in chosen.items()}


def _label(value: Any) -> Any:  # noqa: ANN401
    array = np.asarray(value)
    if array.dtype.kind in "UT":
        return str(value)
    kind = np.int64 if array.dtype.kind in "bi" else np.float32
    return torch.from_numpy(np.array(array, dtype=kind))
