"""Labels of whole frames: what is in the beam, and what the table of spots says can be seen."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.models.build_lattices import lattice_count
from distbragg.quantities import counted
from distbragg.spec.canonical import canonical_json
from distbragg.spec.sweep import SweepSpec
from distbragg.store.frame_spots import SpotReader, UnitSpots
from distbragg.store.run_directory import RunDirectory, RunLike, open_run
from distbragg.store.spots import check_labels, has_labels

LATTICES_IN_BEAM: Final = "lattices_in_beam"
HAS_CRYSTAL: Final = "has_crystal"
OF_BEAM: Final = (LATTICES_IN_BEAM, HAS_CRYSTAL)  # which need no table
_OF_SPOTS: Final = ("hit", "spots_seen", "lattices_seen", "resolution_seen")
FRAME_LABELS: Final = (*OF_BEAM, *_OF_SPOTS)
"""Names of the labels that frames have beside the axes of their sweep."""

ITEM_KEYS: Final = frozenset({"image", "frame", "maps", "spots", "epoch"})
"""Keys of an item of a data set that no label can have."""

LABEL_TYPES: Final[Mapping[str, str]] = {
    **dict.fromkeys(FRAME_LABELS, "i"), HAS_CRYSTAL: "b", "hit": "b", "resolution_seen": "f"
}  # fmt: skip
"""Kinds of numpy: whole numbers, truth values, fractions."""

HIT: Final = "hit"
HIT_SEEN: Final = "hit_seen"
"""What `hit` is called where an axis, such as the chance of a hit, has its name."""

_DECIDING: Final = (
    *("crystal", "crystal.present", "crystal.lattices"),
    *("crystal.drawn_lattices", "crystal.drawn_lattices.count"),
)
"""Fields that the number of lattices of a frame hangs on."""

_MOST_MISSES: Final = 10_000
"""Frames that are looked at for a crystal."""

_UNITS_KNOWN: Final = 4096  # whose labels are kept
_FRAMES: Final = "frame"
_COLUMNS: Final = ("photons", "resolution", "lattice", "active")
_SAID: Final[Mapping[str, Mapping[str, str]]] = {
    LATTICES_IN_BEAM: {"long_name": "lattices of the frame as specified, 0 for a miss"},
    HAS_CRYSTAL: {"long_name": "a lattice is in the beam"},
    "hit": {"long_name": "as many spots are seen as a hit needs"},
    "spots_seen": {"long_name": "spots that are seen"},
    "lattices_seen": {"long_name": "lattices of which as many spots are seen as a hit needs"},
    "resolution_seen": {
        "long_name": "finest resolution of a spot that is seen, no number where there is none",
        "units": "angstrom",
    },
}


def shown_labels(taken: Collection[str]) -> dict[str, str]:
    """Return the labels of frames by the names they go by where names are taken by axes."""
    shown = {HIT_SEEN if name == HIT and HIT in taken else name: name for name in FRAME_LABELS}
    return {name: label for name, label in shown.items() if name not in taken}


@dataclass(frozen=True, slots=True)
class Seen:
    """Which spots count as seen, and how many make a hit.

    Attributes
    ----------
    minimum_photons : float, optional
        Photons that a spot must expect. Default: `output.label_minimum_photons` of the run, below
        which its tables have no spots.
    minimum_spots : int
        Spots that a frame must show to be a hit, and a lattice to be counted.
    """

    minimum_photons: float | None = None
    minimum_spots: int = 1

    def __post_init__(self) -> None:
        if self.minimum_spots < 1:
            raise InputError(
                f"a hit of {self.minimum_spots} spots",
                source="minimum_spots",
                remedy="give 1 or more; has_crystal tells misses apart",
            )

    def of(self, run: RunDirectory) -> Seen:
        """Return with the photons that hold for a run; refuse fewer than its tables go down to.

        Bounds on a run without tables of spots, which nothing would count, are refused too.
        """
        if self != Seen():
            check_labels(run)
        least = run.sweep.experiment.output.label_minimum_photons
        if self.minimum_photons is None:
            return Seen(least, self.minimum_spots)
        if not self.minimum_photons >= least:
            raise InputError(
                f"spots of {self.minimum_photons:g} photons, where the run lists those of "
                f"{least:g} or more",
                source="minimum_photons",
                remedy="render with a smaller output.label_minimum_photons, or give no less here",
            )
        return self

    @property
    def told(self) -> str:
        """The bounds in words."""
        spots = counted(self.minimum_spots, "spot")
        return f"seen: {self.minimum_photons or 0.0:g} photons or more; a hit: {spots} or more"

    @property
    def attrs(self) -> dict[str, float | int]:
        """What a coordinate tells of the bounds."""
        return {
            "minimum_photons": float(self.minimum_photons or 0.0),
            "minimum_spots": self.minimum_spots,
        }


class FrameLabels:
    """Labels of the frames of a run by their flat number; see `FRAME_LABELS`.

    A spot is seen where the pixel at its mean position is active and it expects as many photons as
    `seen` says. A run without tables of spots has the first two labels alone.
    """

    def __init__(self, run: RunLike, seen: Seen | None = None) -> None:
        self.run = open_run(run)
        if seen is not None and not isinstance(seen, Seen):
            raise InputError(
                f"{seen!r} does not say which spots are seen",
                source="seen",
                remedy="give distbragg.Seen(photons, spots), such as Seen(10)",
            )
        self.seen = (seen or Seen()).of(self.run)
        self._spots: SpotReader | None = None
        self._known: dict[int, dict[str, NDArray[Any]]] = {}
        self._in_beam: NDArray[np.int64] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return FrameLabels, (self.run.url, self.seen if has_labels(self.run) else None)

    @cached_property
    def shown(self) -> dict[str, str]:
        """The labels by the names they go by beside the run's axes; without tables of the beam."""
        known = FRAME_LABELS if has_labels(self.run) else OF_BEAM
        axes = {axis.name for axis in self.run.sweep.coordinates()}
        return {name: label for name, label in shown_labels(axes).items() if label in known}

    def attrs(self, name: str) -> dict[str, Any]:
        """Return the attributes of a label as a coordinate: its meaning, and the bounds."""
        return {**_SAID[name], **(self.seen.attrs if name in _OF_SPOTS else {})}

    def meaning(self, name: str) -> str:
        """Return the meaning of a label in a line."""
        return _SAID[name]["long_name"]

    def told(self, name: str) -> str:
        """Return the meaning of a label with its unit and the bounds."""
        unit = f", unit {_SAID[name]['units']}" if "units" in _SAID[name] else ""
        bounds = f" ({self.seen.told})" if name in _OF_SPOTS else ""
        return f"{self.meaning(name)}{unit}{bounds}"

    def frame(self, frame: int, name: str) -> Any:  # noqa: ANN401 a number
        """Return a label of a frame that is rendered."""
        if name in OF_BEAM:
            return self.of_beam(name).reshape(-1)[frame]
        unit = self.run.layout.unit_of(frame)
        found = self._known.get(unit)
        if found is None:
            while len(self._known) >= _UNITS_KNOWN:
                del self._known[next(iter(self._known))]
            frames = np.asarray(self.run.layout.unit_frames(unit))
            found = self._known[unit] = {_FRAMES: frames, **self.unit(unit)}
        return found[name][np.searchsorted(found[_FRAMES], frame)]

    def of_beam(self, name: str) -> NDArray[Any]:
        """Return a label that needs no table, over the sweep's dimensions."""
        if self._in_beam is None:
            self._in_beam = lattices_in_beam(self.run.sweep)
        return self._in_beam if name == LATTICES_IN_BEAM else self._in_beam > 0

    def chosen(self, frames: Sequence[int], names: Iterable[str]) -> dict[str, NDArray[Any]]:
        """Return some labels of frames that are rendered, (frames,) each."""
        asked = tuple(names)
        # Frame by frame: the tables of a long run are read once, not once for each label.
        rows = [[self.frame(frame, name) for name in asked] for frame in frames]
        return {name: np.array([row[at] for row in rows]) for at, name in enumerate(asked)}

    def unit(self, unit: int) -> dict[str, NDArray[Any]]:
        """Return the labels that tables tell of, (frames of the unit,) each, of a unit done."""
        if self._spots is None:
            self._spots = SpotReader(self.run, _COLUMNS)
        return _of_spots(self._spots.unit(unit), self.seen)


def _of_spots(spots: UnitSpots, seen: Seen) -> dict[str, NDArray[Any]]:
    frames, columns = len(spots.frames), spots.columns
    chosen = columns["active"] & (columns["photons"] >= np.float32(seen.minimum_photons or 0.0))
    place = np.repeat(np.arange(frames), np.diff(spots.starts))[chosen]
    count = np.bincount(place, minlength=frames)
    finest = np.full(frames, np.inf, dtype=np.float32)
    np.minimum.at(finest, place, columns["resolution"][chosen])
    lattice = columns["lattice"][chosen].astype(np.int64)
    most = int(lattice.max(initial=0)) + 1
    shown = np.bincount(place * most + lattice, minlength=frames * most).reshape(frames, most)
    return {
        "hit": count >= seen.minimum_spots,
        "spots_seen": count,
        "lattices_seen": (shown >= seen.minimum_spots).sum(axis=1),
        "resolution_seen": np.where(count > 0, finest, np.float32(np.nan)),
    }


def first_with_crystal(sweep: SweepSpec) -> int:
    """Return the first frame of a sweep that has a crystal in the beam; 0 where there is none."""
    deciding = [a for a in sweep.axes if any(path in _DECIDING for path in a.targets)]
    missed: set[str] = set()
    for frame in range(min(sweep.frames, _MOST_MISSES) if deciding else 1):
        position = sweep.frame_index(frame)
        key = canonical_json([axis.item(position[axis.dimension]) for axis in deciding])
        if key in missed:
            continue
        if not sweep.frame_spec(frame).crystal.is_missed:
            return frame
        missed.add(key)
    return 0


def lattices_in_beam(sweep: SweepSpec) -> NDArray[np.int64]:
    """Return the number of lattices of each frame as specified, over the sweep's dimensions."""
    deciding = [a for a in sweep.axes if any(path in _DECIDING for path in a.targets)]
    dims = [name for name, _ in sweep.dims]
    varied = {axis.dimension for axis in deciding}
    shape = [size if name in varied else 1 for name, size in sweep.dims]
    found = np.empty(shape, dtype=np.int64)
    known: dict[str, int] = {}
    for place in np.ndindex(*shape):
        position = dict(zip(dims, place, strict=True))
        values = [axis.item(position[axis.dimension]) for axis in deciding]
        key = canonical_json(values)
        if key not in known:
            known[key] = lattice_count(sweep.frame_spec(sweep.frame_at(position)).crystal)
        found[place] = known[key]
    return np.broadcast_to(found, [size for _, size in sweep.dims])
