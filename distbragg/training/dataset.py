"""torch data sets over a stack: by index, and as a stream of whole units."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from distbragg.errors import InputError, RefusedError
from distbragg.store.ledger import done_units
from distbragg.store.open import FrameReader, rendered_frames
from distbragg.store.run_directory import RunDirectory, RunLike, open_run
from distbragg.store.split import PARTS, Part, Split, split_frames

Item = dict[str, Any]
Transform = Callable[[Item], Item]
Missing = Literal["skip", "refuse"]


class _Selection:
    """The frames of one part of a stack, their numbers in increasing order, with their labels."""

    def __init__(
        self,
        run: RunLike,
        part: Part | None = None,
        *,
        split: Split | None = None,
        labels: Sequence[str] | None = None,
        transform: Transform | None = None,
        missing: Missing = "skip",
    ) -> None:
        directory = open_run(run)
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
                f"{directory.url}: {absent} of {int(wanted.sum())} frames are missing; "
                f"`distbragg resume {directory.url}` renders them"
            )
        self._frames = np.flatnonzero(wanted & rendered).astype(np.int64)
        if not self._frames.size:
            raise InputError(
                f"no frame is rendered{f' in the part {part}' if part else ''}",
                source=directory.url,
                remedy="render the run, or choose another split",
            )
        self._reader = FrameReader(directory)
        self._labels = _labels(directory, labels)
        self._transform = transform

    def _transformed(self, item: Item) -> Item:
        """Return what the user's transform makes of an item."""
        return item if self._transform is None else self._transform(item)

    def _read(self, frames: Sequence[int]) -> list[Item]:
        """Read frames and label them; see `StackDataset`."""
        images = self._reader.read(frames)
        return [self._item(frame, image) for frame, image in zip(frames, images, strict=True)]

    def _item(self, frame: int, image: NDArray[Any]) -> Item:
        position = self._reader.run.layout.position(frame)
        # A copy: a frame may be a view of a whole unit, which would stay in memory.
        pixels = torch.from_numpy(np.array(image, dtype=np.float32))
        labels = {name: _label(at[position[dim]]) for name, (dim, at) in self._labels.items()}
        return {**labels, "image": pixels, "frame": frame}


class StackDataset(_Selection, Dataset[Item]):
    """The frames of a stack by index, for a `DataLoader` with any number of workers.

    A frame is one chunk of its shard, so that reading it alone reads no other. Batches are
    read together: where most of a unit is wanted, its shard is read in one piece.

    Parameters
    ----------
    run : RunDirectory or path
    part : {"train", "validation", "test"}, optional
        Default: all frames.
    split : Split, optional
        How the parts are told apart; default: a tenth for validation, seed 0.
    labels : sequence of str, optional
        Coordinates that go with each frame; default: all.
    transform : callable, optional
        From an item to an item: cropping, scaling, noise. Several workers need one that can
        be pickled.
    missing : {"skip", "refuse"}
        What to do about frames that are not rendered.

    Yields
    ------
    dict
        `image`, ([panels,] slow, fast) float32, photons per pixel; `frame`, its number in the
        stack; each label: a number, a tensor of float32, or text.

    Raises
    ------
    InputError
        `run` is no run; no such part, coordinate or frame.
    RefusedError
        Frames are missing and `missing` is `refuse`.
    DamageError
        The stack's metadata are damaged; on reading, an object is.

    Notes
    -----
    An item is a dict: `image` ([panels,] slow, fast) float32 tensor, photons per pixel; `frame`,
    its number in the stack; every label as a float32 or int64 tensor, or as text.
    """

    @property
    def frames(self) -> tuple[int, ...]:
        """Numbers of the frames in the stack, in the order of their index here."""
        return tuple(self._frames.tolist())

    def __len__(self) -> int:
        return int(self._frames.size)

    def __getitem__(self, index: int) -> Item:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Item]:
        """Read a batch; torch's loaders call this where it is there."""
        count = len(self)
        for index in indices:
            if not -count <= index < count:
                raise IndexError(f"there is no item {index}; the data set has {count}")
        items = self._read([int(self._frames[index]) for index in indices])
        return [self._transformed(item) for item in items]


class StackStream(_Selection, IterableDataset[Item]):
    """The frames of a stack as a stream that reads each shard once, in one piece.

    For stacks on slow or remote storage. Every frame comes exactly once an epoch, whatever the
    number of workers: units are dealt out to them.

    Parameters
    ----------
    run, part, split, labels, transform, missing
        As for `StackDataset`, as are items and errors.
    shuffle : bool
        Draw the order of units, and of frames among the units held.
    seed : int
    mix : int
        Units held at a time, among whose frames the next is drawn: more mix better and take
        more memory.
    rank, world_size : int
        Which of how many processes that train together this is.
    """

    def __init__(
        self,
        run: RunLike,
        part: Part | None = None,
        *,
        split: Split | None = None,
        labels: Sequence[str] | None = None,
        transform: Transform | None = None,
        missing: Missing = "skip",
        shuffle: bool = False,
        seed: int = 0,
        mix: int = 4,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if not 0 <= rank < world_size or mix < 1:
            raise InputError(
                f"rank {rank} of {world_size}, {mix} units to mix",
                source="StackStream",
                remedy="give 0 ≤ rank < world_size and mix ≥ 1",
            )
        super().__init__(
            run, part, split=split, labels=labels, transform=transform, missing=missing
        )
        self._shuffle, self._seed, self._mix = shuffle, seed, mix
        self._share = (rank, world_size)
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Draw another order from now on; call it before each epoch, as torch's samplers ask."""
        self._epoch = epoch

    def __len__(self) -> int:
        rank, world = self._share
        return sum(len(frames) for frames in self._units()[rank::world])

    def __iter__(self) -> Iterator[Item]:
        worker = get_worker_info()
        rank, world = self._share
        place, step = rank, world
        if worker is not None:
            place, step = rank + world * worker.id, world * worker.num_workers
        mine = self._units()[place::step]
        random = Random(f"{self._seed}/{self._epoch}/{place}")
        held: list[list[Item]] = []
        for frames in mine:
            order = random.sample(frames, len(frames)) if self._shuffle else frames
            held.append(self._read(order))
            while len(held) >= (self._mix if self._shuffle else 1):
                yield self._draw(held, random)
        while held:
            yield self._draw(held, random)

    def _units(self) -> list[list[int]]:
        """Frames by unit; units in the order of this epoch, the same in every process."""
        units = np.array(
            [self._reader.run.layout.unit_of(frame) for frame in self._frames.tolist()]
        )
        cuts = np.flatnonzero(np.diff(units)) + 1
        groups = [part.tolist() for part in np.split(self._frames, cuts)]
        if self._shuffle:
            Random(f"{self._seed}/{self._epoch}").shuffle(groups)
        return groups

    def _draw(self, held: list[list[Item]], random: Random) -> Item:
        """Take the next frame of one of the units held."""
        number = random.randrange(len(held)) if self._shuffle else 0
        item = held[number].pop(0)
        if not held[number]:
            del held[number]
        return self._transformed(item)


def _labels(run: RunDirectory, names: Sequence[str] | None) -> dict[str, tuple[int, NDArray[Any]]]:
    """Values of coordinates along their dimensions, and the numbers of these, by name."""
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
