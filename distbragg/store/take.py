"""Taking frames over from other runs, unit by unit.

A unit of which another run has an object of the same frames is copied byte for byte, with what its
receipt says of how it was rendered. Any other is cut anew: pixels and maps are read and encoded
again, which gives the bytes that rendering gives. Tables of spots name frames: all are written
anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import DamageError, RefusedError
from distbragg.store.files import sha256_bytes
from distbragg.store.layout import IMAGES, SKIPPED, StackLayout
from distbragg.store.ledger import WORST_KEPT, Receipt, append_receipt, completed_units
from distbragg.store.open import FrameReader
from distbragg.store.run_directory import RunDirectory
from distbragg.store.spots import encode_table, has_labels, labels_key, store_labels, stored_spots
from distbragg.store.write import UnitWriter

Place = tuple[int, int]  # number of a run among the sources, and of a frame in it


@dataclass
class Source:
    """A run that frames are taken from: what its receipts state, and which units were compared."""

    run: RunDirectory
    done: dict[int, Receipt]
    _compared: set[int] = field(default_factory=set)
    _readers: dict[str, FrameReader] = field(default_factory=dict)

    @classmethod
    def of(cls, run: RunDirectory) -> Source:
        """Look at the receipts of a run."""
        return cls(run, completed_units(run))

    def check_frames(self, frames: Sequence[int]) -> None:
        """Refuse frames that are not rendered."""
        missing = [frame for frame in frames if self.run.layout.unit_of(frame) not in self.done]
        if missing:
            raise RefusedError(
                f"{self.run.url}: {len(missing)} of {len(frames)} frames are not rendered; "
                f"`distbragg resume {self.run.url}` renders them"
            )

    def objects(self, unit: int) -> dict[str, bytes]:
        """Return the objects of a unit by array, each compared with its receipt."""
        found = {}
        for layout in self.run.arrays:
            key = layout.object_name(unit)
            data = self.run.objects.get(key)
            self._same(key, sha256_bytes(data), self._stated(unit, layout.array))
            found[layout.array] = data
        return found

    def receipt(self, frame: int) -> tuple[Receipt, int]:
        """Return the receipt of a frame's unit, which was compared, and the frame's place in it."""
        unit = self.run.layout.unit_of(frame)
        if unit not in self._compared:
            for layout in self.run.arrays:
                key = layout.object_name(unit)
                digest, _ = self.run.objects.digest(key)
                self._same(key, digest, self._stated(unit, layout.array))
            self._compared.add(unit)
        return self.done[unit], self.run.layout.unit_frames(unit).index(frame)

    def read(self, array: str, frames: Sequence[int]) -> list[NDArray[Any]]:
        """Read frames of an array."""
        reader = self._readers.setdefault(array, FrameReader(self.run, array))
        return reader.read(frames)

    def spots(self, frames: Sequence[int]) -> dict[str, NDArray[Any]]:
        """Return the spots of frames, of tables compared with their receipts."""
        for unit in {self.run.layout.unit_of(frame) for frame in frames}:
            stated, key = self.done[unit].labels, labels_key(unit)
            self._same(key, self.run.objects.digest(key)[0], stated.digest if stated else "")
        return stored_spots(self.run, frames)

    def _stated(self, unit: int, array: str) -> str:
        receipt = self.done[unit]
        if array == self.run.first.array:
            return receipt.digest
        return (receipt.maps or {})[array].digest

    def _same(self, key: str, digest: str, stated: str) -> None:
        if digest != stated:
            raise DamageError(
                f"{self.run.url}/{key}: is not what its receipt states; "
                f"`distbragg repair {self.run.url}`, then take frames from it"
            )


def take_unit(
    run: RunDirectory, unit: int, places: Sequence[Place], sources: Sequence[Source]
) -> bool:
    """Store a unit whose frames are at these places; whether it was copied byte for byte."""
    table = _table(run, unit, places, sources) if has_labels(run) else None
    same = _same_object(run.layout, unit, places, sources)
    if same is None:
        _cut(run, unit, places, sources, table)
        return False
    source, theirs = same
    objects = source.objects(theirs)
    for layout in run.arrays:
        run.objects.write(layout.object_name(unit), objects[layout.array])
    told = replace(source.done[theirs], run=run.run_id, unit=unit).to_plain()
    numbers = {frame: number for (_, frame), number in _numbered(run, unit, places)}
    told |= {
        key: [[numbers[frame], value] for frame, value in told.get(key, ())]
        for key in ("slowest", "brightest")
    }
    if table is not None:
        told["labels"] = store_labels(run, unit, table[0])
    append_receipt(run, told)
    return True


def _numbered(run: RunDirectory, unit: int, places: Sequence[Place]) -> list[tuple[Place, int]]:
    return list(zip(places, run.layout.unit_frames(unit), strict=True))


def _same_object(
    layout: StackLayout, unit: int, places: Sequence[Place], sources: Sequence[Source]
) -> tuple[Source, int] | None:
    """Return where an object of the same bytes is: of these frames, cut in the same way."""
    number, first = places[0]
    source = sources[number]
    theirs = source.run.layout
    other = theirs.unit_of(first)
    frames = theirs.unit_frames(other)
    if tuple(places) != tuple((number, frame) for frame in frames):
        return None
    shapes = [
        (_beyond_one(each.unit_shape), _beyond_one(each.unit_extent(at)))
        for each, at in ((layout, unit), (theirs, other))
    ]
    return (source, other) if shapes[0] == shapes[1] else None


def _beyond_one(shape: Sequence[int]) -> tuple[int, ...]:
    """Return a shape without its sides of one, which change no byte."""
    return tuple(size for size in shape if size > 1)


def _cut(
    run: RunDirectory,
    unit: int,
    places: Sequence[Place],
    sources: Sequence[Source],
    table: tuple[bytes, int] | None,
) -> None:
    """Encode a unit anew from the stored pixels of its frames; variants are made of whole ones."""
    receipts = [sources[number].receipt(frame) for number, frame in places]
    made = {one.spec.name for one in run.variants} if run.keeps_frames else set()
    taken = (one for one in run.arrays if one.array not in made)
    arrays = {one.array: _read(one, places, sources) for one in taken}
    overloads = [_of_frame(receipt.overloads, at) for receipt, at in receipts]
    skipped = [_of_frame(receipt.skipped_photons, at) for receipt, at in receipts]
    with UnitWriter(run, unit) as writer:
        images = arrays.pop(IMAGES, None)
        for position, count in enumerate(overloads):
            rest = {name: pixels[position] for name, pixels in arrays.items()}
            if images is None:
                writer.add_stored(rest, int(count))
            else:
                writer.add(images[position], int(count))
                writer.add_maps(rest)
        frames = run.layout.unit_frames(unit)
        brightest = sorted(zip(frames, writer.largest, strict=False), key=lambda pair: -pair[1])
        writer.finish(
            {
                # Of several classes, which were merged on purpose, all are named.
                "class": "+".join(sorted({receipt.numeric_class for receipt, _ in receipts})),
                "code": "+".join(sorted({receipt.code for receipt, _ in receipts})),
                "brightest": [list(pair) for pair in brightest[:WORST_KEPT]],
                **({SKIPPED: skipped} if any(skipped) else {}),
                **({} if table is None else {"spots": table[1]}),
            },
            None if table is None else table[0],
        )


def _of_frame(values: Sequence[float], position: int) -> float:
    return values[position] if values else 0


def _read(
    layout: StackLayout, places: Sequence[Place], sources: Sequence[Source]
) -> list[NDArray[Any]]:
    """Read an array of frames, (panels, slow, fast[, components]) each."""
    found: dict[Place, NDArray[Any]] = {}
    for number in sorted({number for number, _ in places}):
        frames = [frame for one, frame in places if one == number]
        for frame, image in zip(frames, sources[number].read(layout.array, frames), strict=True):
            found[number, frame] = image if layout.panels > 1 else image[np.newaxis]
    return [found[place] for place in places]


def _table(
    run: RunDirectory, unit: int, places: Sequence[Place], sources: Sequence[Source]
) -> tuple[bytes, int]:
    """Return the unit's table of spots, its frames numbered as they are now, and its spots."""
    numbers = dict(_numbered(run, unit, places))
    parts = []
    for number in sorted({number for number, _ in places}):
        own = {frame: now for (one, frame), now in numbers.items() if one == number}
        spots = sources[number].spots(list(own))
        was, now = np.array(sorted(own)), np.array([own[frame] for frame in sorted(own)])
        parts.append({**spots, "frame": now[np.searchsorted(was, spots["frame"])]})
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(columns["frame"], kind="stable")
    sorted_columns = {name: values[order] for name, values in columns.items()}
    return encode_table(run, sorted_columns), len(order)
