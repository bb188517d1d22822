"""What an item holds: image, labels, maps and spots of a frame, on request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.predict.table import ELLIPSE
from distbragg.spec.sweep import AxisCoordinate
from distbragg.store.frame_labels import ITEM_KEYS, OF_BEAM, FrameLabels, Seen, shown_labels
from distbragg.store.frame_spots import SpotReader
from distbragg.store.layout import IMAGES
from distbragg.store.open import FrameReader
from distbragg.store.run_directory import RunDirectory, RunLike, open_run
from distbragg.store.spots import check_labels
from distbragg.training.classes import label_classes
from distbragg.training.collate import batch_memory
from distbragg.training.recorded import RecordedPixels
from distbragg.training.transforms import EPOCH, RECORDED, Item, check_maps, in_variant
from distbragg.variants import is_whole

ItemType = Literal["float32", "stored"]

POSITION: Final = ("slow", "fast")
_GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "position": POSITION,
    "hkl": ("h", "k", "l"),
    "ellipse": ELLIPSE,
}
_SINGLE: Final = (
    *("photons", "lattice", "partiality", "resolution", "wavelength", "phi", "f_squared"),
    *("active", "panel"),
)
_PADDING: Final = {"lattice": -1}  # 0 in all other columns


@dataclass(frozen=True)
class SpotColumns:
    """Which of a frame's predicted spots an item has, and what of them.

    Attributes
    ----------
    columns : tuple of str
        `hkl`, `ellipse` (variances along slow and fast, covariance; pixels²), `photons`,
        `lattice`, `partiality`, `resolution` (Å), `wavelength` (Å), `phi` (degrees), `f_squared`,
        `active`; `position` (slow, fast in pixels of the image; the first pixel covers 0 to 1) is
        always there, and `panel` where there are several.
    maximum : int, optional
        Pad to so many rows, which default collation can stack; of more the strongest are kept and
        the rest counted. Default: as many rows as there are spots, for `distbragg.collate`.
    minimum_photons : float
        Photons that a spot must expect.
    masked : bool
        Whether spots whose middle no active pixel records are kept.
    """

    columns: tuple[str, ...] = ("position", "hkl", "photons", "lattice")
    maximum: int | None = None
    minimum_photons: float = 0.0
    masked: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        known = (*_GROUPS, *_SINGLE)
        for name in self.columns:
            if name not in known:
                raise InputError(
                    f"{name!r} is not a column of spots",
                    source="spots",
                    remedy=f"columns are {', '.join(known)}",
                )
        if self.maximum is not None and not (is_whole(self.maximum) and self.maximum >= 1):
            raise InputError(f"at most {self.maximum} spots", source="spots", remedy="1 or more")
        if not self.minimum_photons >= 0.0:
            problem = f"spots of {self.minimum_photons} photons or more"
            raise InputError(problem, source="spots", remedy="give a number, 0 or more")

    def stored(self) -> tuple[str, ...]:
        """Return the columns of tables that are read."""
        wanted = dict.fromkeys((*POSITION, "photons", "active", "panel"))
        for name in self.columns:
            wanted |= dict.fromkeys(_GROUPS.get(name, (name,)))
        return tuple(wanted)

    def of(self, table: Mapping[str, NDArray[Any]], *, panels: bool) -> dict[str, torch.Tensor]:
        """Make tensors of a frame's table: fractions float32, whole numbers int64."""
        chosen = table["photons"] >= np.float32(self.minimum_photons)
        if not self.masked:
            chosen &= table["active"]
        shown = dict.fromkeys(("position", *self.columns, *(("panel",) if panels else ())))
        found = {}
        for name in shown:
            parts = [table[part][chosen] for part in _GROUPS.get(name, (name,))]
            values = np.stack(parts, axis=-1) if name in _GROUPS else parts[0]
            found[name] = torch.from_numpy(
                values.astype(np.int64) if values.dtype.kind == "i" else values
            )
        if self.maximum is not None and "photons" not in found:
            found["photons"] = torch.from_numpy(table["photons"][chosen])
        return found

    def padded(self, spots: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return spots in `maximum` rows, with `count` of them real and `left_out` more; or all."""
        if self.maximum is None:
            return dict(spots)
        count = len(spots["position"])
        kept = min(count, self.maximum)
        rows: Any = slice(None)
        if count > kept:
            strongest = np.argpartition(spots["photons"].numpy(), count - kept)[count - kept :]
            rows = np.sort(strongest)
        found = {}
        for name, part in spots.items():
            if name in ("position", "panel", *self.columns):
                values = part.numpy()
                padded = np.full(
                    (self.maximum, *values.shape[1:]), _PADDING.get(name, 0), values.dtype
                )
                padded[:kept] = values[rows]
                found[name] = torch.from_numpy(padded)
        found["count"], found["left_out"] = torch.tensor(kept), torch.tensor(count - kept)
        return found


@dataclass(frozen=True)
class Contents:
    """What items of a data set hold; see `StackDataset`."""

    labels: Sequence[str] | None = None
    spots: SpotColumns | Sequence[str] | None = None
    maps: Sequence[str] = ()
    seen: Seen | None = None
    dtype: ItemType = "float32"
    variant: str | None = None
    label_classes: bool | Mapping[str, Sequence[str]] = False
    columns: SpotColumns | None = field(init=False)

    def __post_init__(self) -> None:
        if self.dtype not in ("float32", "stored"):
            raise InputError(f"{self.dtype!r}", source="dtype", remedy="float32 or stored")
        given = self.spots
        if given is not None and not isinstance(given, SpotColumns):
            given = SpotColumns((given,) if isinstance(given, str) else tuple(given))
        object.__setattr__(self, "columns", given)
        for name in ("labels", "maps"):
            if isinstance(one := getattr(self, name), str):
                object.__setattr__(self, name, (one,))


class ItemReader:
    """Reads frames of a run with all that goes with them; travels between processes as a path."""

    def __init__(self, place: RunLike, contents: Contents) -> None:
        run = open_run(place)
        self.run, self._contents = run, contents
        self.images = FrameReader(run, contents.variant or IMAGES)
        if contents.variant is not None and self.images.variant is None:
            raise InputError(
                f"{contents.variant!r} is not a variant of the frames",
                source="variant",
                remedy=f"variants are {', '.join(one.spec.name for one in run.variants) or 'none'}",
            )
        known = {axis.name: axis for axis in run.sweep.coordinates()}
        names = _label_names(run, known, contents.labels)
        dims = [name for name, _ in run.layout.dims]
        self._axes = {
            name: (dims.index(known[name].dim), known[name].values)
            for name in names
            if name in known
        }
        self.label_classes = label_classes(run, self._axes, contents.label_classes)
        for name, classes in self.label_classes.items():
            numbers = {text: number for number, text in enumerate(classes)}
            dim, values = self._axes[name]
            self._axes[name] = dim, np.array([numbers[text] for text in values.tolist()])
        shown = shown_labels(known)
        self._frame_labels = {name: shown[name] for name in names if name not in known}
        self._labels = FrameLabels(run, contents.seen)
        stored = run.sweep.experiment.output.maps or ()
        for name in contents.maps:
            if name not in (*stored, RECORDED):
                raise InputError(
                    f"the run keeps no map {name!r}",
                    source="maps",
                    remedy=f"it has {', '.join((*stored, RECORDED))}; output.maps asks for others",
                )
        if self.images.variant is not None:
            check_maps(contents.maps, self.images.variant)
        self._maps = {name: FrameReader(run, name) for name in contents.maps if name != RECORDED}
        self._recorded = RecordedPixels(run) if RECORDED in contents.maps else None
        columns = contents.columns
        self._spots = SpotReader(run, columns.stored()) if columns is not None else None

    def __reduce__(self) -> tuple[Any, ...]:
        return ItemReader, (self.run.url, self._contents)

    def read(self, frames: Sequence[int], *, batch: bool = False) -> list[Item]:
        """Return an item for each frame.

        Those of a `batch` have images, and maps, in memory that `collate` hands on as it is.
        """
        single = self._contents.dtype == "float32"
        images = _read(self.images, frames, batch, torch.float32 if single else None)
        maps = {name: _read(reader, frames, batch) for name, reader in self._maps.items()}
        if self._recorded is not None:
            maps[RECORDED] = self._masks(self._recorded, frames, batch)
        items = []
        for place, frame in enumerate(frames):
            item = {**self._labelled(frame), "image": images[place], "frame": frame}
            if maps:
                item["maps"] = {name: part[place] for name, part in maps.items()}
            if self._spots is not None and self._contents.columns is not None:
                item["spots"] = self._contents.columns.of(
                    self._spots.frame(frame), panels=self.run.layout.panels > 1
                )
            variant = self.images.variant
            items.append(item if variant is None else in_variant(item, variant))
        return items

    def _masks(
        self, recorded: RecordedPixels, frames: Sequence[int], batch: bool
    ) -> Sequence[torch.Tensor]:
        masks = [recorded.frame(frame) for frame in frames]
        if not batch:
            return [torch.from_numpy(mask.copy()) for mask in masks]
        together = batch_memory((len(masks), *masks[0].shape), torch.bool)
        np.stack(masks, out=together.numpy())
        return list(together)

    def finished(self, item: Any) -> Any:  # noqa: ANN401 whatever a transform makes
        """Return an item after its transforms: with padded spots, where that is asked for."""
        if isinstance(item, dict):
            item.pop(EPOCH, None)
            if self._contents.columns is not None and "spots" in item:
                item["spots"] = self._contents.columns.padded(item["spots"])
        return item

    def _labelled(self, frame: int) -> Item:
        position = self.run.layout.position(frame)
        found = {name: _label(at[position[dim]]) for name, (dim, at) in self._axes.items()}
        for name, label in self._frame_labels.items():
            found[name] = _label(self._labels.frame(frame, label))
        return found


def _read(
    reader: FrameReader, frames: Sequence[int], batch: bool, kind: torch.dtype | None = None
) -> Sequence[torch.Tensor]:
    """Return frames of an array as tensors, of the stored type where no other is given."""
    shape, kind = reader.frame_shape, kind or torch.from_numpy(np.empty(0, reader.dtype)).dtype
    if batch:
        together = batch_memory((len(frames), *shape), kind)
        reader.read(frames, together.numpy())
        return list(together)
    found = [torch.empty(shape, dtype=kind) for _ in frames]
    reader.read(frames, [one.numpy() for one in found])
    return found


def _label_names(
    run: RunDirectory, known: Mapping[str, AxisCoordinate], names: Sequence[str] | None
) -> Iterable[str]:
    """Return the names of labels; all coordinates of the sweep where none are given."""
    if names is None:
        return [name for name in known if name not in ITEM_KEYS]
    shown = shown_labels(known)
    for name in names:
        if name in ITEM_KEYS:
            raise InputError(f"{name!r} is a key of every item", source="labels")
        if name not in known and name not in shown:
            raise InputError(
                f"{name!r} is not a coordinate of the stack",
                source="labels",
                remedy=f"coordinates are {', '.join((*known, *shown))}",
            )
    if any(name not in known and shown[name] not in OF_BEAM for name in names):
        check_labels(run)
    return names


def _label(value: Any) -> Any:  # noqa: ANN401
    array = np.asarray(value)
    if array.dtype.kind in "UT":
        return str(value)
    kind = np.int64 if array.dtype.kind in "bi" else np.float32
    return torch.from_numpy(np.array(array, dtype=kind))
