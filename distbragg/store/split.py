"""Training, validation and test frames, told apart by a hash of what a frame is.

The part of a frame depends on its swept values and a seed alone: not on its number, nor on
what else is in the stack. Appending frames moves none of the old ones.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.spec.alternatives import files_of
from distbragg.spec.axis import AxisSpec
from distbragg.spec.canonical import canonical_json
from distbragg.spec.continued import FRAME_SHIFT
from distbragg.spec.crystal import ORIENTATIONS
from distbragg.spec.paths import names_file
from distbragg.store.run_directory import RunDirectory

Part = Literal["train", "validation", "test"]
PARTS: Final[tuple[Part, ...]] = ("train", "validation", "test")

_DIGEST_BYTES: Final = 16
_DRAW_STEP: Final = 2.0**-48  # between two draws of a frame's place


class SharedCrystals(UserWarning):
    """Frames of one crystal lie in several parts of a split."""


@dataclass(frozen=True, slots=True)
class Split:
    """How frames are told apart.

    Attributes
    ----------
    validation, test : float
        Expected share of frames (of groups), 0 to 1; the rest is for training.
    seed : int
        Another seed draws another split.
    group_by : tuple of str
        Names of axes: frames that agree in these stay together. Default: every axis, so that
        only frames of equal values stay together; where frames of one crystal come apart,
        `open_stack` and the data sets warn (`SharedCrystals`).
    """

    validation: float = 0.1
    test: float = 0.0
    seed: int = 0
    group_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shares = (self.validation, self.test)
        if not all(0.0 <= share <= 1.0 for share in shares) or sum(shares) > 1.0:
            raise InputError(
                f"shares of {self.validation:g} and {self.test:g}",
                source="split",
                remedy="give shares from 0 to 1 that add up to at most 1",
            )

    @property
    def parts(self) -> tuple[Part, ...]:
        """Parts that frames can fall into, in the order of `PARTS`."""
        shares = (1.0 - self.validation - self.test, self.validation, self.test)
        return tuple(name for name, share in zip(PARTS, shares, strict=True) if share >= _DRAW_STEP)


def split_frames(run: RunDirectory, split: Split) -> NDArray[np.str_]:
    """Return the part of every frame, (sweep dims…) array of str; see `PARTS`."""
    sizes = [size for _, size in run.layout.dims]
    keys = _keys(run, split)
    shape = [size if name in keys else 1 for name, size in run.layout.dims]
    shares = np.array(_draws(split, list(keys.values()))).reshape(shape)
    parts = np.full(shape, "train", dtype="<U10")
    parts[shares < split.test + split.validation] = "validation"
    parts[shares < split.test] = "test"
    return np.broadcast_to(parts, sizes)


def refuse_empty_part(run: RunDirectory, split: Split, part: Part, parts: NDArray[np.str_]) -> None:
    """Refuse a part that no frame fell into: say how many groups were drawn, and where they are.

    `parts` are those of every frame, as `split_frames` has them.
    """
    if (parts == part).any():
        return
    groups = math.prod(len(set(own)) for own in _keys(run, split).values())
    others = " and ".join(name for name in PARTS if (parts == name).any())
    alike = f" by {', '.join(split.group_by)}" if split.group_by else ""
    counted = f"the one group{alike}" if groups == 1 else f"all {groups} groups{alike}"
    raise InputError(
        f"no frame is in the part {part}: {counted} fell into {others}",
        source=run.url,
        remedy="give another seed or share, or group by an axis of more values",
    )


def _keys(run: RunDirectory, split: Split) -> dict[str, list[bytes]]:
    """Return what tells groups apart at every position along the dimensions that do."""
    axes, found = _axes(run, split), {}
    for name, size in run.layout.dims:
        members = [axis for axis in axes if axis.dimension == name]
        if members:
            found[name] = [
                b"".join(_value_digest(axis, at) for axis in members) for at in range(size)
            ]
    return found


def split_order(run: RunDirectory) -> tuple[str, ...]:
    """Return the names of all axes in the order in which their values are put together.

    By dimension, and by name within one: the order in the file has no say. Frames that were taken
    over from another run keep the order of that, and so their parts.
    """
    dims = [name for name, _ in run.layout.dims]
    kept = list(_gathered(run, "order"))

    def place(axis: AxisSpec) -> tuple[int, int, str]:
        number = kept.index(axis.name) if axis.name in kept else len(kept)
        return dims.index(axis.dimension), number, axis.name

    return tuple(axis.name for axis in sorted(run.sweep.axes, key=place))


def _gathered(run: RunDirectory, key: str) -> tuple[str, ...]:
    """Return names that the manifest of a run of other runs' frames lists."""
    names = run.manifest.gathered.get(key)
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _axes(run: RunDirectory, split: Split) -> tuple[AxisSpec, ...]:
    """Axes that decide, in `split_order`; by default all that say what is in the image.

    That is neither the number by which it was drawn nor, where runs were merged, in what they
    differ otherwise: frames keep the parts that they had.
    """
    known = {axis.name: axis for axis in run.sweep.axes}
    for name in split.group_by:
        if name not in known:
            raise InputError(
                f"{name!r} is not an axis of the stack",
                source="group_by",
                remedy=f"axes are {', '.join(known) or 'none'}",
            )
    added = _gathered(run, "added")
    told = [name for name in known if known[name].target != FRAME_SHIFT and name not in added]
    chosen = split.group_by or told
    return tuple(known[name] for name in split_order(run) if name in chosen)


def _draws(split: Split, keys: Sequence[Sequence[bytes]]) -> list[float]:
    """Draw a number in [0, 1) for every combination of keys, C order."""
    seed = f"distbragg split {split.seed}".encode()
    digests = (hashlib.sha256(seed + b"".join(some)).digest() for some in itertools.product(*keys))
    return [int.from_bytes(digest[:6], "big") * _DRAW_STEP for digest in digests]


def _value_digest(axis: AxisSpec, index: int) -> bytes:
    """Tell what an axis sets by its content: neither the path of a file nor a name matters."""
    if axis.alternatives is not None:
        files = {name for _, name in files_of(axis.alternatives)}
        told = [[path, _content(value, files)] for path, value in axis.settings(index).items()]
        return hashlib.sha256(canonical_json(sorted(told)).encode()).digest()[:_DIGEST_BYTES]
    value: Any = axis.item(index)
    if names_file(axis.target):
        value = _content(value, {value})
    text = canonical_json([axis.target, value]).encode()
    return hashlib.sha256(text).digest()[:_DIGEST_BYTES]


def _content(value: Any, files: Collection[str | None]) -> Any:  # noqa: ANN401 plain data
    """Put the hash of its content in the place of a file's name, wherever it stands."""
    if isinstance(value, Mapping):
        return {key: _content(inner, files) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_content(inner, files) for inner in value]
    # The folder of a copied input is the hash of its content; the path is not an identity.
    return Path(value).parent.name if isinstance(value, str) and value in files else value


def warn_of_shared_crystals(run: RunDirectory, parts: NDArray[np.str_]) -> None:
    """Warn where frames of one crystal lie in several parts."""
    names = shared_crystals(run, parts)
    if names:
        warnings.warn(
            f"{run.url}: frames of one crystal lie in several parts of this split; "
            f"group_by={names!r} keeps them together",
            SharedCrystals,
            stacklevel=3,
        )


def shared_crystals(run: RunDirectory, parts: NDArray[np.str_]) -> tuple[str, ...]:
    """Return the axes to group by where frames of one crystal lie in several parts; else none.

    Crystals are told apart by their orientation and their structure factors.
    """
    axes = [axis for axis in run.sweep.axes if any(map(_tells_crystals, axis.targets))]
    crystal = np.zeros([1] * len(run.layout.dims), dtype=np.int64)
    for number, (name, size) in enumerate(run.layout.dims):
        members = [axis for axis in axes if axis.dimension == name]
        if members:
            digests = [b"".join(_value_digest(axis, at) for axis in members) for at in range(size)]
            places = np.unique(np.array(digests, dtype=object), return_inverse=True)[1]
            shape = [size if other == number else 1 for other in range(len(run.layout.dims))]
            crystal = crystal * size + places.reshape(shape)
    own = np.unique(np.broadcast_to(crystal, parts.shape), return_inverse=True)[1].reshape(-1)
    part = np.unique(parts, return_inverse=True)[1].reshape(-1)
    found = len(np.unique(np.stack([own, part]), axis=1).T)
    return tuple(axis.name for axis in axes) if axes and found > own.max(initial=-1) + 1 else ()


def _tells_crystals(target: str) -> bool:
    return target.startswith("structure_factors.") or (
        target.startswith("crystal.") and target.rpartition(".")[2] in ORIENTATIONS
    )
