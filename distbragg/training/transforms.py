"""What an item may be turned into on its way to a network, image, maps and spots alike.

A transform takes an item of `StackDataset` and returns one; all here can be pickled and run in a
loader's workers. Those that move pixels move `maps` and the places of `spots` with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.plan.maps import NO_LATTICE, NO_REFLECTION
from distbragg.plan.variants import Variant
from distbragg.variants import (
    Box,
    Pooling,
    crop,
    cropped_positions,
    inside,
    is_whole,
    pool,
    pooled_positions,
    root_uint16,
)

Item = dict[str, Any]
Move = Callable[[NDArray[Any]], NDArray[Any]]

EPOCH: Final = "epoch"
"""Key of the epoch in an item while its transforms run."""

RECORDED: Final = "recorded"
"""Map of the pixels that record what arrives."""

_EMPTY: Final[Mapping[str, int]] = {"hkl": NO_REFLECTION, "lattice": NO_LATTICE}


@dataclass(frozen=True)
class Pool:
    """Make one pixel of each block; rows and columns that fill no block are dropped.

    Parameters
    ----------
    factor : int
        Edge of a block, pixels.
    how : {"max", "mean", "sum"}
        What is kept of the image, and of the maps `bragg` and `background`.

    Notes
    -----
    Of a block, `spot_mask` is 1 where any pixel's is; `recorded` is true where all pixels' are;
    `bragg_share` and `mean_wavelength` are means, the latter over pixels that have a number; `hkl`
    and `lattice` are those of the pixel that is brightest in the image among those that have any.
    Places of spots are divided by `factor`, their ellipses by its square; spots in what is
    dropped are dropped.
    """

    factor: int
    how: Pooling = "max"

    def __call__(self, item: Item) -> Item:
        """Return the item pooled."""
        image = item["image"].numpy()
        pooled = {
            name: _pooled_map(name, part.numpy(), image, self.factor, self.how)
            for name, part in item.get("maps", {}).items()
        }
        return _moved(item, pool(image, self.factor, self.how), pooled, self._spots, self.factor**2)

    def _spots(self, positions: NDArray[Any]) -> NDArray[Any]:
        return pooled_positions(positions, self.factor)


@dataclass(frozen=True)
class Crop:
    """Cut out a box: slow pixels from `slow[0]` up to `slow[1]`, which is left out, fast likewise.

    Spots whose place lies beside the box are dropped.
    """

    slow: tuple[int, int]
    fast: tuple[int, int]

    def __call__(self, item: Item) -> Item:
        """Return the item cropped."""
        box = (*self.slow, *self.fast)
        maps = {
            name: _cropped_map(name, part.numpy(), box)
            for name, part in item.get("maps", {}).items()
        }
        return _moved(
            item, crop(item["image"].numpy(), box), maps, lambda at: cropped_positions(at, box)
        )


@dataclass(frozen=True)
class RandomCrop:
    """Cut out a box of a fixed size at a place drawn for each frame and epoch.

    The place hangs on `seed`, the epoch (`set_epoch` of the data set) and the number of the frame:
    not on the number of workers.

    Parameters
    ----------
    slow, fast : int
        Size of the box, pixels.
    seed : int
    """

    slow: int
    fast: int
    seed: int = 0

    def __call__(self, item: Item) -> Item:
        """Return the item cropped."""
        height, width = item["image"].shape[-2:]
        whole = is_whole(self.slow) and is_whole(self.fast)
        if not (whole and 0 < self.slow <= height and 0 < self.fast <= width):
            raise InputError(
                f"a box of {self.slow} × {self.fast} in an image of {height} × {width}",
                source="RandomCrop",
                remedy="give a box that the image holds",
            )
        drawn = Random(f"{self.seed}/{item.get(EPOCH, 0)}/{item['frame']}")
        first = drawn.randrange(height - self.slow + 1), drawn.randrange(width - self.fast + 1)
        return Crop((first[0], first[0] + self.slow), (first[1], first[1] + self.fast))(item)


@dataclass(frozen=True)
class Root:
    """Take the square root of the image, of less than 0 nothing.

    Parameters
    ----------
    whole : bool
        Round `scale` times the root to uint16, at most 65535; else it is float32.
    scale : float
    """

    whole: bool = False
    scale: float = 1.0

    def __call__(self, item: Item) -> Item:
        """Return the item with another image."""
        if self.whole:
            image = torch.from_numpy(root_uint16(item["image"].numpy(), self.scale))
        else:
            image = torch.sqrt(_floats(item).clamp_(min=0.0)).mul_(self.scale)
        return {**item, "image": image}


@dataclass(frozen=True)
class Log:
    """Take log(1 + x) of the image, of less than 0 nothing."""

    def __call__(self, item: Item) -> Item:
        """Return the item with another image."""
        return {**item, "image": _floats(item).clamp_(min=0.0).log1p_()}


@dataclass(frozen=True)
class Clip:
    """Hold the image between `low` and `high`."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise InputError(
                f"from {self.low} to {self.high}", source="Clip", remedy="give low, then high"
            )

    def __call__(self, item: Item) -> Item:
        """Return the item with another image."""
        return {**item, "image": _floats(item).clamp_(self.low, self.high)}


@dataclass(frozen=True)
class Normalise:
    """Take (x − mean)/deviation of the image, float32.

    Parameters
    ----------
    mean, deviation : float, optional
        Both or none. Default: those of each image, over the pixels that are `recorded` where the
        item has that map; an image of one value becomes 0.
    """

    mean: float | None = None
    deviation: float | None = None

    def __post_init__(self) -> None:
        given = self.mean is not None, self.deviation is not None
        if given[0] != given[1] or not (self.deviation is None or self.deviation > 0.0):
            raise InputError(
                f"mean {self.mean}, deviation {self.deviation}",
                source="Normalise",
                remedy="give both, the deviation above 0, or neither",
            )

    def __call__(self, item: Item) -> Item:
        """Return the item with another image."""
        image, mean, deviation = _floats(item), self.mean, self.deviation
        if mean is None or deviation is None:
            counted = item.get("maps", {}).get(RECORDED)
            pixels = image if counted is None else image[counted]
            spread, middle = torch.std_mean(pixels, correction=0)
            mean, deviation = float(middle), float(spread) or 1.0
        return {**item, "image": image.sub_(mean).div_(deviation)}


def _floats(item: Item) -> torch.Tensor:
    """Return the image as float32 that may be written to."""
    image: torch.Tensor = item["image"]
    return image.clone() if image.dtype == torch.float32 else image.to(torch.float32)


def _moved(
    item: Item,
    image: NDArray[Any],
    maps: Mapping[str, NDArray[Any]],
    move: Move,
    shrunk: int = 1,
) -> Item:
    """Return an item with another image and maps, and spots moved, those beside it dropped."""
    found = {**item, "image": torch.from_numpy(image)}
    if "maps" in item:
        found["maps"] = {name: torch.from_numpy(values) for name, values in maps.items()}
    if "spots" in item:
        found["spots"] = moved_spots(item["spots"], move, image.shape[-2:], shrunk)
    return found


def moved_spots(
    spots: Mapping[str, torch.Tensor],
    move: Move,
    shape: tuple[int, ...],
    shrunk: int,
) -> dict[str, torch.Tensor]:
    """Return spots at other places, ellipses divided by `shrunk`; those beside `shape` go."""
    places = move(spots["position"].numpy())
    kept = torch.from_numpy(inside(places, shape))
    found = {**spots, "position": torch.from_numpy(places)}
    if "ellipse" in spots:
        found["ellipse"] = spots["ellipse"] / shrunk
    return found if bool(kept.all()) else {name: part[kept] for name, part in found.items()}


def _cropped_map(name: str, values: NDArray[Any], box: Box) -> NDArray[Any]:
    if name != "hkl":
        return crop(values, box)
    return np.moveaxis(crop(np.moveaxis(values, -1, 0), box), 0, -1)


def in_variant(item: Item, variant: Variant) -> Item:
    """Move maps and spots of a whole frame to the pixels of a stored variant, which is the image.

    Which reflection `hkl` and `lattice` of a block are told of, its pixels would say: see
    `check_maps`.
    """
    box, factor = variant.box, variant.factor
    found = dict(item)
    if "maps" in item:
        cut = {name: _cropped_map(name, part.numpy(), box) for name, part in item["maps"].items()}
        if variant.spec.pool is not None:
            how = variant.spec.how or "max"
            cut = {name: _pooled_map(name, part, None, factor, how) for name, part in cut.items()}
        found["maps"] = {name: torch.from_numpy(part) for name, part in cut.items()}
    if "spots" in item:
        found["spots"] = moved_spots(item["spots"], variant.positions, variant.shape, factor**2)
    return found


def check_maps(maps: Sequence[str], variant: Variant) -> None:
    """Refuse maps that blocks of a variant cannot have."""
    for name in maps:
        if name in _EMPTY and variant.spec.pool is not None:
            raise InputError(
                f"{name!r} of a block is that of its brightest pixel, which "
                f"{variant.spec.name!r} does not hold",
                source="maps",
                remedy="pool whole frames with distbragg.training.Pool, or leave the map out",
            )


def _pooled_map(
    name: str, values: NDArray[Any], image: NDArray[Any] | None, factor: int, how: Pooling
) -> NDArray[Any]:
    """Pool a map by what it means; see `Pool`."""
    if name in _EMPTY and image is not None:
        return _brightest(values, image, factor, _EMPTY[name])
    if name == RECORDED:
        return ~pool(~values, factor, "max")
    if name == "mean_wavelength":
        there = np.isfinite(values)
        total = pool(np.where(there, values, np.float32(0.0)), factor, "sum")
        with np.errstate(invalid="ignore"):
            return np.asarray(total / pool(there.astype(np.float32), factor, "sum"))
    ways: Mapping[str, Pooling] = {"spot_mask": "max", "bragg_share": "mean"}
    return pool(values, factor, ways.get(name, how))


def _brightest(values: NDArray[Any], image: NDArray[Any], factor: int, empty: int) -> NDArray[Any]:
    """Return a map's value at the pixel of each block that is brightest of those that have one."""
    vector = values.ndim > image.ndim
    there = (values[..., 0] if vector else values) != empty
    light = np.where(there, image.astype(np.float64), -np.inf)
    place = _blocks(light, factor).argmax(axis=-1)[..., np.newaxis]
    parts = np.moveaxis(values, -1, 0) if vector else values[np.newaxis]
    taken = [np.take_along_axis(_blocks(part, factor), place, axis=-1)[..., 0] for part in parts]
    return np.stack(taken, axis=-1) if vector else taken[0]


def _blocks(pixels: NDArray[Any], factor: int) -> NDArray[Any]:
    """Return pixels (..., slow, fast) as (..., blocks, blocks, pixels of a block)."""
    slow, fast = (size // factor for size in pixels.shape[-2:])
    whole = pixels[..., : slow * factor, : fast * factor]
    cut = whole.reshape(*pixels.shape[:-2], slow, factor, fast, factor)
    return np.moveaxis(cut, -3, -2).reshape(*pixels.shape[:-2], slow, fast, factor**2)
