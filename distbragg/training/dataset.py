"""torch data sets over a stack: by index, and as a stream of whole units."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any, Literal, TypedDict, Unpack

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from distbragg.errors import InputError, RefusedError
from distbragg.store.frame_labels import Seen
from distbragg.store.ledger import done_units
from distbragg.store.open import rendered_frames
from distbragg.store.run_directory import RunLike, open_run
from distbragg.store.split import (
    PARTS,
    Part,
    Split,
    refuse_empty_part,
    split_frames,
    warn_of_shared_crystals,
)
from distbragg.training.items import Contents, ItemReader, ItemType, SpotColumns
from distbragg.training.transforms import EPOCH, Item

Transform = Callable[[Any], Any]
Missing = Literal["skip", "refuse"]


class SelectionOptions(TypedDict, total=False):
    """Parameters that both data sets have; see `StackDataset`."""

    split: Split | None
    labels: Sequence[str] | None
    spots: SpotColumns | Sequence[str] | None
    maps: Sequence[str]
    seen: Seen | None
    dtype: ItemType
    variant: str | None
    label_classes: bool | Mapping[str, Sequence[str]]
    transform: Transform | Sequence[Transform] | None
    missing: Missing


class _Selection:
    """The frames of one part of a stack, their numbers in increasing order, with their labels."""

    def __init__(
        self,
        run: RunLike,
        part: Part | None = None,
        *,
        split: Split | None = None,
        labels: Sequence[str] | None = None,
        spots: SpotColumns | Sequence[str] | None = None,
        maps: Sequence[str] = (),
        seen: Seen | None = None,
        dtype: ItemType = "float32",
        variant: str | None = None,
        label_classes: bool | Mapping[str, Sequence[str]] = False,
        transform: Transform | Sequence[Transform] | None = None,
        missing: Missing = "skip",
    ) -> None:
        directory = open_run(run)
        if part is not None and part not in PARTS:
            raise InputError(
                f"{part!r} is not a part",
                source="part",
                remedy=f"one of {', '.join(PARTS)}, or None",
            )
        if split is not None and part is None:
            raise InputError(
                "is given, and no part of it", source="split", remedy=f"one of {', '.join(PARTS)}"
            )
        wanted = np.ones([size for _, size in directory.layout.dims], dtype=bool)
        if part is not None:
            parts = split_frames(directory, split or Split())
            refuse_empty_part(directory, split or Split(), part, parts)
            warn_of_shared_crystals(directory, parts)
            wanted = parts == part
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
        contents = Contents(labels, spots, maps, seen, dtype, variant, label_classes)
        self._reader = ItemReader(directory, contents)
        self._transforms: tuple[Transform, ...] = ()
        if transform is not None:
            self._transforms = (transform,) if callable(transform) else tuple(transform)
        for step in self._transforms:
            if not callable(step):
                raise InputError(
                    f"{step!r} turns nothing", source="transform", remedy="give callables"
                )
        # In memory that workers share: those of a loader that persist hear of the next epoch too.
        self._epoch = torch.zeros((), dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]

    def set_epoch(self, epoch: int) -> None:
        """Draw otherwise from now on; call it before each epoch, as torch's samplers ask."""
        self._epoch.fill_(epoch)

    @property
    def frames(self) -> tuple[int, ...]:
        """Numbers of the frames in the stack, in the order of their index here."""
        return tuple(self._frames.tolist())

    @property
    def label_classes(self) -> dict[str, tuple[str, ...]]:
        """Texts by the number that items have in their place, for each label of classes."""
        return dict(self._reader.label_classes)

    def _transformed(self, item: Item) -> Any:  # noqa: ANN401 whatever a transform makes
        """Return what the transforms make of an item."""
        if self._transforms:
            item[EPOCH] = int(self._epoch)
        for step in self._transforms:
            item = step(item)
        return self._reader.finished(item)


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
        What goes with each frame: coordinates of the sweep, and `has_crystal`,
        `lattices_in_beam`, `hit`, `spots_seen`, `lattices_seen`, `resolution_seen`
        (`open_stack`). Default: all coordinates of the sweep.
    spots : SpotColumns or sequence of str, optional
        Predicted spots of each frame, or their columns alone; the run needs `output.labels`.
        Columns alone are as many rows as a frame has spots, which torch's own batches do not
        take: give `DataLoader` `collate_fn=distbragg.collate`, or `SpotColumns` a `maximum`.
    maps : sequence of str
        Maps that the run stores (`output.maps`), and `recorded`: true where a pixel records what
        arrives (no gap or mask, neither dead nor hot, not behind the beam stop).
    seen : Seen, optional
        Which spots the labels count; default: all of the table whose pixel is active.
    dtype : {"float32", "stored"}
        Type of the image: float32, or that of the stack, which takes less time and memory.
    variant : str, optional
        Name of a stored variant (`output.variants`), which is the image then: spots and maps are
        moved to its pixels. Default: whole frames.
    label_classes : bool or mapping, optional
        Labels that are texts, such as the names of alternatives, become numbers from 0, int64:
        in the order that the specification lists them in, or that of the texts given here for
        some of them (`{"protein": ["lysozyme", "insulin"]}`). `label_classes` of the data set
        has the texts. Default: texts stay texts.
    transform : callable or sequence of callables, optional
        From an item to an item, one after another: those of `distbragg.training`, or your own.
        Several workers need ones that can be pickled.
    missing : {"skip", "refuse"}
        What to do about frames that are not rendered.

    Raises
    ------
    InputError
        `run` is not a run; no such part, coordinate, map, column or frame.
    RefusedError
        Frames are missing and `missing` is `refuse`.
    DamageError
        The stack's metadata are damaged; on reading, an object is.

    Notes
    -----
    An item is a dict: `image` ([panels,] slow, fast), photons per pixel or what the detector
    recorded; `frame`, its number in the stack; every label as a float32 or int64 tensor, or as
    text; `maps` and `spots`, where asked for, dicts of tensors by name. Spots are padded after the
    last transform, with `count` rows that are spots and `left_out` that were too many.
    """

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
        frames = [int(self._frames[index]) for index in indices]
        if not self._transforms:
            return [self._transformed(item) for item in self._reader.read(frames, batch=True)]
        # Unit by unit: what is turned into something smaller leaves its memory to the next.
        units: dict[int, list[int]] = {}
        for place, frame in enumerate(frames):
            units.setdefault(self._reader.run.layout.unit_of(frame), []).append(place)
        found: list[Any] = [None] * len(frames)
        for places in units.values():
            items = self._reader.read([frames[place] for place in places])
            for place, item in zip(places, items, strict=True):
                found[place] = self._transformed(item)
        return found


class StackStream(_Selection, IterableDataset[Item]):
    """The frames of a stack as a stream that reads each shard once, in one piece.

    For stacks on slow or remote storage. Every frame comes exactly once an epoch, whatever the
    number of workers: units are dealt out to them.

    Parameters
    ----------
    run, part, split, labels, spots, maps, seen, dtype, variant, transform, missing
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
        shuffle: bool = False,
        seed: int = 0,
        mix: int = 4,
        rank: int = 0,
        world_size: int = 1,
        **options: Unpack[SelectionOptions],
    ) -> None:
        if not 0 <= rank < world_size or mix < 1:
            raise InputError(
                f"rank {rank} of {world_size}, {mix} units to mix",
                source="StackStream",
                remedy="give 0 ≤ rank < world_size and mix ≥ 1",
            )
        super().__init__(run, part, **options)
        self._shuffle, self._seed, self._mix = shuffle, seed, mix
        self._share = (rank, world_size)

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
        random = Random(f"{self._seed}/{int(self._epoch)}/{place}")
        held: list[list[Item]] = []
        for frames in mine:
            order = random.sample(frames, len(frames)) if self._shuffle else frames
            held.append(self._reader.read(order))
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
            Random(f"{self._seed}/{int(self._epoch)}").shuffle(groups)
        return groups

    def _draw(self, held: list[list[Item]], random: Random) -> Any:  # noqa: ANN401
        """Take the next frame of one of the units held."""
        number = random.randrange(len(held)) if self._shuffle else 0
        item = held[number].pop(0)
        if not held[number]:
            del held[number]
        return self._transformed(item)
