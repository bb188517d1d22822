"""torch data sets over a stack: by index, and as a stream of whole units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import numpy as np
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from distbragg.errors import InputError
from distbragg.store.run_directory import RunDirectory
from distbragg.store.split import Part, Split
from distbragg.training.frames import Item, Missing, Transform, select


class StackDataset(Dataset[Item]):
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

    def __init__(
        self,
        run: RunDirectory | str | Path,
        part: Part | None = None,
        *,
        split: Split | None = None,
        labels: Sequence[str] | None = None,
        transform: Transform | None = None,
        missing: Missing = "skip",
    ) -> None:
        self._selection = select(run, part, split, labels, missing)
        self._transform = transform

    @property
    def frames(self) -> tuple[int, ...]:
        """Numbers of the frames in the stack, in the order of their index here."""
        return tuple(self._selection.frames.tolist())

    def __len__(self) -> int:
        return int(self._selection.frames.size)

    def __getitem__(self, index: int) -> Item:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Item]:
        """Read a batch; torch's loaders call this where it is there."""
        count = len(self)
        for index in indices:
            if not -count <= index < count:
                raise IndexError(f"there is no item {index}; the data set has {count}")
        chosen = [int(self._selection.frames[index]) for index in indices]
        return _transformed(self._selection.items(chosen), self._transform)


class StackStream(IterableDataset[Item]):
    """The frames of a stack as a stream that reads each shard once, in one piece.

    For stacks on slow or remote storage. Every frame comes exactly once an epoch, whatever the
    number of workers: units are dealt out to them.

    Parameters
    ----------
    run, part, split, labels, transform, missing
        As for `StackDataset`.
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
        run: RunDirectory | str | Path,
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
        self._selection = select(run, part, split, labels, missing)
        self._transform = transform
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
            held.append(self._selection.items(order))
            while len(held) >= (self._mix if self._shuffle else 1):
                yield self._draw(held, random)
        while held:
            yield self._draw(held, random)

    def _units(self) -> list[list[int]]:
        """Frames by unit; units in the order of this epoch, the same in every process."""
        frames = self._selection.frames
        unit_of = self._selection.reader.unit_of
        units = np.array([unit_of(frame) for frame in frames.tolist()])
        cuts = np.flatnonzero(np.diff(units)) + 1
        groups = [part.tolist() for part in np.split(frames, cuts)]
        if self._shuffle:
            Random(f"{self._seed}/{self._epoch}").shuffle(groups)
        return groups

    def _draw(self, held: list[list[Item]], random: Random) -> Item:
        """Take the next frame of one of the units held."""
        number = random.randrange(len(held)) if self._shuffle else 0
        item = held[number].pop(0)
        if not held[number]:
            del held[number]
        return _transformed([item], self._transform)[0]


def _transformed(items: list[Item], transform: Transform | None) -> list[Item]:
    return items if transform is None else [transform(item) for item in items]
