"""Pictures of a run, from what is stored of it, and of one experiment."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from distbragg.engine.context import RunContext
from distbragg.errors import DistbraggError, InputError
from distbragg.kernel.native.moments import compiled_twin
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import BoolArray, Float64Array
from distbragg.predict.spots import visible_spots
from distbragg.quantities import first_of
from distbragg.run.frame_header import blind_pixels, frame_geometry
from distbragg.run.frames import frame_columns, frame_rows, parse_frames
from distbragg.run.plot_axes import BINS, axis_title, axis_values, histograms
from distbragg.spec.sweep import AxisCoordinate
from distbragg.store.ledger import completed_units
from distbragg.store.open import FrameReader, rendered_frames
from distbragg.store.run_directory import RunDirectory, RunLike, open_run
from distbragg.store.spots import has_labels, labels_of, open_labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from distbragg.figures.charts import Values
    from distbragg.figures.frame import FrameImage
    from distbragg.figures.style import Look

Kind = Literal["sheet", "frame", "radial", "axes", "map"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
Reduction = Literal["sum", "max", "spots"]

GRID_MOST: Final = 12  # rows and columns of a sheet over two axes; longer axes are thinned evenly
SHEET_COUNT: Final = 16  # frames of a sheet over one axis, or over more than two
PROFILES: Final = 8
PROFILE_BINS: Final = 200
PAGE_DPI: Final = 90
MOST_SPOTS: Final = 500  # spots that a picture of a frame shows: the brightest
_PRESENT: Final = "crystal.present"
_OF_LATTICES: Final = ("crystal.lattices", "crystal.drawn_lattices")
_LABELLED: Final = 3  # swept values that the label of a frame names
_SHORT: Final = 14  # letters of a text there
_SMALL: Final = 1000

_log = logging.getLogger("distbragg")


@dataclass(frozen=True, slots=True)
class PlotOptions:
    """What a picture shows; each kind takes what it has a use for."""

    frames: str = ""  # a selection; empty: some, spread evenly
    count: int | None = None  # frames of a sheet, or profiles
    rings: tuple[float, ...] | None = None  # Å; None: round ones; empty: none
    spots: bool = True
    least_photons: float = 1.0  # of a spot
    bins: int | None = None
    x: str = ""  # axes of a map
    y: str = ""
    of: Reduction = "sum"
    colors: str = ""
    top: float | None = None  # value of full brightness

    def look(self, default: str = "magma", unit: str = "photons") -> Look:
        """Return colours and brightness."""
        from distbragg.figures.style import Look

        return Look(self.colors or default, self.top, f"{unit} per pixel")


class RunPictures:
    """Draws a run: its frames, its axes, and numbers of its frames."""

    def __init__(self, run: RunLike) -> None:
        self.run: RunDirectory = open_run(run)
        self._context = RunContext.of(self.run)
        self._reader = FrameReader(self.run)
        self._active: tuple[Experiment, BoolArray] | None = None

    @cached_property
    def rendered(self) -> BoolArray:
        """Whether each frame, in flat order, is in the stack."""
        return np.ravel(rendered_frames(self.run.layout, completed_units(self.run)))

    def frame(self, number: int) -> FrameImage:
        """Read a frame, with what placed its pixels."""
        from distbragg.figures.frame import FrameImage

        (image,) = self._reader.read([number])
        experiment = frame_geometry(self._context, number)[1]
        return FrameImage(self._panels(image), experiment, self._active_of(experiment))

    def _panels(self, image: NDArray[Any]) -> NDArray[Any]:
        return image.reshape(self.run.layout.panels, *self.run.layout.shape)

    def _active_of(self, experiment: Experiment) -> BoolArray:
        """Return which pixels measure something; frames that share a detector share the array."""
        if (
            self._active is None
            or self._active[0].detector is not experiment.detector
            or self._active[0].response is not experiment.response
        ):
            self._active = experiment, blind_pixels(experiment) == 0
        return self._active[1]

    def label(self, number: int) -> str:
        """Name a frame by its number and some of its swept values: names rather than numbers."""
        names = frame_columns(self.run.sweep)[1:]
        (row,) = frame_rows(self.run.sweep, [number])
        vectors = {
            f"{axis.name}_{part}"
            for axis in self.run.sweep.axes
            if axis.expanded.array.ndim == 2
            for part in range(axis.expanded.array.shape[1])
        }
        values = {
            name: value for name, value in zip(names, row[1:], strict=True) if name not in vectors
        }
        paths = {axis.name: axis.target for axis in self.run.sweep.axes}
        if any(paths.get(name) == _PRESENT and value is False for name, value in values.items()):
            # What is drawn for the lattices of a miss is in no frame.
            values = {
                name: value
                for name, value in values.items()
                if not paths.get(name, "").startswith(_OF_LATTICES)
            }
        chosen = sorted(values, key=lambda name: not _is_short(values[name]))[:_LABELLED]
        told = [_in_short(name, value) for name, value in values.items() if name in chosen]
        if told:
            return f"{number}: {first_of(told, _LABELLED, len(values) - len(told))}"
        return (self.title if self.run.layout.frames == 1 else "") or f"frame {number}"

    @property
    def title(self) -> str:
        """What the specification calls the run."""
        return str(self.run.manifest.sweep["experiment"].get("title", ""))

    def chosen(self, options: PlotOptions, count: int) -> list[int]:
        """Return the frames asked for that are there, or some spread evenly over those that are."""
        if options.frames:
            asked = parse_frames(options.frames, self.run.layout.frames)
            there = [frame for frame in asked if self.rendered[frame]]
        else:
            done = np.flatnonzero(self.rendered)
            kept = min(options.count or count, done.size)
            there = done[np.linspace(0, done.size - 1, kept).round().astype(int)].tolist()
        if not there:
            raise InputError(
                "none of these frames is rendered" if options.frames else "has no frame yet",
                source=self.run.url,
                remedy=f"render them with `distbragg resume {self.run.url}`",
            )
        return there

    def spots(self, number: int, least_photons: float) -> dict[str, NDArray[Any]]:
        """Return the spots of a frame, stored beside it or else predicted."""
        if has_labels(self.run) and self.rendered[number]:
            found = labels_of(self.run, [number])
        else:
            experiment = self._context.opened.frame(number).experiment
            found = visible_spots(experiment, compiled_twin()).columns()
        return strongest(found, least_photons)

    def sheet(self, options: PlotOptions) -> Figure:
        """Draw a contact sheet: a grid over two axes, or frames side by side with their values."""
        from distbragg.figures.sheet import (
            PICTURE_EDGE,
            Sheet,
            SheetAxis,
            draw_sheet,
            nearly_square,
        )
        from distbragg.figures.style import new_figure

        dims = self.run.layout.dims
        if len(dims) == 2 and not options.frames and options.count is None:
            (down, rows), (across, columns) = sorted(dims, key=lambda dim: dim[1])
            kept = {name: _thinned(size) for name, size in ((down, rows), (across, columns))}
            at = self.run.sweep.frame_at
            numbers = [at({down: i, across: j}) for i in kept[down] for j in kept[across]]
            sheet = Sheet(
                self._small(numbers, PICTURE_EDGE),
                len(kept[across]),
                down=SheetAxis(*self._labels(down, kept[down])),
                across=SheetAxis(*self._labels(across, kept[across])),
                title=self.title,
            )
        else:
            numbers = self.chosen(options, SHEET_COUNT)
            titles = [self.label(number) for number in numbers]
            pictures = self._small(numbers, PICTURE_EDGE)
            sheet = Sheet(pictures, nearly_square(len(numbers)), titles, title=self.title)
        figure = new_figure()
        draw_sheet(figure, sheet, options.look(unit=self.unit))
        return figure

    def numbered(self, numbers: Sequence[int], titles: Sequence[str], columns: int) -> Figure:
        """Draw certain frames side by side, those that are there, under titles of their own."""
        from distbragg.figures.sheet import PICTURE_EDGE, Sheet, draw_sheet
        from distbragg.figures.style import Look, new_figure

        figure = new_figure()
        sheet = Sheet(self._small(numbers, PICTURE_EDGE), min(columns, len(numbers)), titles)
        draw_sheet(figure, sheet, Look(label=f"{self.unit} per pixel"))
        return figure

    @property
    def unit(self) -> str:
        """What a pixel counts: photons, or a detector's own unit."""
        response = frame_geometry(self._context, 0)[1].response
        return "photons" if response is None else response.unit

    def _small(self, numbers: Sequence[int], edge: int) -> list[Float64Array]:
        """Return small pictures of frames; a frame that is missing is not a number throughout."""
        from distbragg.figures.frame import small_picture

        found: dict[int, Float64Array] = {}
        for number in numbers:
            if self.rendered[number]:
                found[number] = small_picture(self.frame(number), edge)
        if not found:
            raise InputError("has no frame yet", source=self.run.url)
        blank = np.full(next(iter(found.values())).shape, np.nan)
        return [found.get(number, blank) for number in numbers]

    def _labels(self, dim: str, positions: Sequence[int]) -> tuple[str, tuple[str, ...]]:
        axis = self._axis_of(dim)
        texts = (axis.values[place].item() for place in positions)
        labels = (f"{v:.4g}" if isinstance(v, float) else str(v)[-18:] for v in texts)
        along = [one for one in self._plain_axes if one.dim == dim and one.path]
        return first_of([axis_title(axis)], 1, max(len(along) - 1, 0)), tuple(labels)

    @property
    def _plain_axes(self) -> list[AxisCoordinate]:
        """Coordinates of numbers or texts, not of vectors."""
        return [axis for axis in self.run.sweep.coordinates() if axis.values.ndim == 1]

    def _axis_of(self, name: str) -> AxisCoordinate:
        """Return the coordinate of numbers or texts that an axis or a dimension is known by."""
        plain = self._plain_axes
        found = [axis for axis in plain if axis.name == name]
        if not found:
            raise InputError(
                f"{name!r} is not an axis of numbers or texts",
                source=self.run.url,
                remedy=f"one of {', '.join(axis.name for axis in plain)}",
            )
        beside = [axis for axis in plain if axis.dim == name and axis.path]
        return beside[0] if not found[0].path and len(beside) == 1 else found[0]

    def one(self, options: PlotOptions) -> Figure:
        """Draw one frame with rings and spots."""
        number = self.chosen(options, 1)[0]
        title = self.label(number)

        def spots() -> dict[str, NDArray[Any]]:
            return self.spots(number, options.least_photons)

        return _draw_one(self.frame(number), options, spots, title, self.unit)

    def radial(self, options: PlotOptions) -> Figure:
        """Draw the radial profiles of some frames."""
        numbers = self.chosen(options, PROFILES)
        frames = ((self.label(number), self.frame(number)) for number in numbers)
        return _draw_radial(frames, options, self.unit)

    def axes(self, options: PlotOptions) -> Figure:
        """Draw histograms of the values of all axes."""
        shown = axis_values(self.run.sweep)
        if not shown:
            raise InputError("is a single frame, which has no axis", source=self.run.url)
        return self.histograms(shown, options)

    def histograms(self, shown: Sequence[Values], options: PlotOptions) -> Figure:
        """Draw histograms of values of frames, or of what frames have."""
        return histograms(shown, self.rendered, options.bins or BINS)

    def map(self, options: PlotOptions) -> Figure:
        """Draw a number of each frame over one axis or two; the mean where others vary."""
        from distbragg.figures.charts import draw_map
        from distbragg.figures.style import new_figure

        x, y = self._map_axes(options)
        dims = [name for name, _ in self.run.layout.dims]
        numbers = self.reduced(options.of, options.least_photons)
        numbers = numbers.reshape([size for _, size in self.run.layout.dims])
        kept = [dim for dim in (y.dim if y else "", x.dim) if dim]
        others = tuple(i for i, dim in enumerate(dims) if dim not in kept)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a mean of frames that are missing
            reduced = np.nanmean(numbers, axis=others)
        left = [dim for dim in dims if dim in kept]
        if y is not None and y.dim != x.dim and left != [y.dim, x.dim]:
            reduced = reduced.T
        label = {
            "sum": f"sum of all pixels ({self.unit})",
            "max": f"brightest pixel ({self.unit})",
            "spots": f"spots of at least {options.least_photons:g} photons",
        }[options.of]
        figure = new_figure(6.0, 4.6)
        draw_map(figure, _values(x), None if y is None else _values(y), reduced, label)
        return figure

    def _map_axes(self, options: PlotOptions) -> tuple[AxisCoordinate, AxisCoordinate | None]:
        names = [name for name, _ in self.run.layout.dims]
        if not names:
            raise InputError("is a single frame, which has no axis", source=self.run.url)
        if len(names) == 1 and not options.x:
            plain = [a.name for a in self.run.sweep.coordinates() if a.path and a.values.ndim == 1]
            names = plain[:2] or names
        x = self._axis_of(options.x or names[0])
        if options.y:
            return x, self._axis_of(options.y)
        other = next((name for name in names if name not in (x.name, x.dim)), "")
        return x, self._axis_of(other) if other and not options.x else None

    def reduced(self, of: Reduction, least_photons: float = 1.0) -> Float64Array:
        """Return a number of each frame in flat order; not a number where it is missing.

        The sum or the largest of the pixels that measure something, or how many spots the tables
        beside the frames hold.
        """
        found = np.full(self.run.layout.frames, np.nan)
        if of == "spots":
            table = open_labels(self.run.url, ["frame", "photons"])
            chosen = table["frame"][table["photons"] >= least_photons].astype(np.int64)
            found[self.rendered] = np.bincount(chosen, minlength=found.size)[self.rendered]
            return found
        units: dict[int, list[int]] = {}
        for number in np.flatnonzero(self.rendered).tolist():
            units.setdefault(self.run.layout.unit_of(number), []).append(number)
        for members in units.values():
            for number, image in zip(members, self._reader.read(members), strict=True):
                active = self._active_of(frame_geometry(self._context, number)[1])
                pixels = self._panels(image)[active]
                found[number] = (
                    pixels.sum(dtype=np.float64) if of == "sum" else pixels.max(initial=0)
                )
        return found


def as_png(figure: Figure) -> bytes:
    """Return the bytes of a figure's PNG, of moderate size: it stands in a page."""
    from distbragg.figures.style import encoded

    return encoded(figure, "png", PAGE_DPI)


def sheet_png(run: RunLike) -> bytes:
    """Return the PNG of a run's contact sheet; nothing where no frame can be drawn, and say so."""
    try:
        pictures = RunPictures(run)
        return as_png(pictures.sheet(PlotOptions())) if pictures.rendered.any() else b""
    except DistbraggError as error:
        _log.warning("there is no contact sheet: %s", error)
        return b""


def plot_run(run: RunLike, kind: Kind, options: PlotOptions) -> Figure:
    """Draw a picture of a run; see `PlotOptions`."""
    pictures = RunPictures(run)
    draw = {
        "sheet": pictures.sheet,
        "frame": pictures.one,
        "radial": pictures.radial,
        "axes": pictures.axes,
        "map": pictures.map,
    }[kind]
    return draw(options)


def plot_frame(
    experiment: Experiment,
    image: NDArray[Any],
    kind: Literal["frame", "radial"],
    options: PlotOptions,
    title: str,
) -> Figure:
    """Draw a rendered frame, (panels, slow, fast), of an experiment."""
    from distbragg.figures.frame import FrameImage

    unit = "photons" if experiment.response is None else experiment.response.unit
    frame = FrameImage(image, experiment, blind_pixels(experiment) == 0)
    if kind == "radial":
        return _draw_radial([(title, frame)], options, unit)

    def spots() -> dict[str, NDArray[Any]]:
        return strongest(
            visible_spots(experiment, compiled_twin()).columns(), options.least_photons
        )

    return _draw_one(frame, options, spots, title, unit)


def strongest(spots: Mapping[str, NDArray[Any]], least_photons: float) -> dict[str, NDArray[Any]]:
    """Return the brightest of spots, as many as a picture shows, in no certain order."""
    seen = (np.asarray(spots["photons"]) >= least_photons) & np.asarray(spots["active"], bool)
    bright = np.flatnonzero(seen)
    order = np.argsort(np.asarray(spots["photons"])[bright])[::-1]
    if bright.size > MOST_SPOTS:
        _log.warning("the %d brightest of %d spots are drawn", MOST_SPOTS, bright.size)
    chosen = bright[order[:MOST_SPOTS]]
    # Tables of an early release name no lattice.
    lattice = spots.get("lattice", np.zeros_like(spots["panel"]))
    return {
        **{name: spots[name][chosen] for name in ("panel", "slow", "fast")},
        "lattice": lattice[chosen],
    }


def _draw_one(
    frame: FrameImage,
    options: PlotOptions,
    find_spots: Callable[[], dict[str, NDArray[Any]]],
    title: str,
    unit: str,
) -> Figure:
    from distbragg.figures.frame import FRAME_COLORS, draw_frame
    from distbragg.figures.style import new_figure

    spots = None
    if options.spots:
        try:
            spots = find_spots()
        except InputError as error:  # bent panels of the C program, |F| between reflections
            place = error.source or error.field
            _log.warning("no spots are drawn: %s: %s", place, error.problem)
    figure, look = new_figure(), options.look(FRAME_COLORS, unit)
    draw_frame(figure, frame, look, rings=options.rings, spots=spots, title=title)
    return figure


def _draw_radial(
    frames: Iterable[tuple[str, FrameImage]], options: PlotOptions, unit: str
) -> Figure:
    from distbragg.figures.charts import draw_profiles, profiles_of
    from distbragg.figures.style import new_figure

    figure = new_figure(6.4, 4.6)
    q, profiles = profiles_of(frames, options.bins or PROFILE_BINS)
    draw_profiles(figure, q, profiles, f"mean of the pixels ({unit})")
    return figure


def _is_short(value: object) -> bool:
    """Whether a value is a name, a short text, true or false, or a small whole number."""
    if isinstance(value, str):
        return len(value) <= _SHORT
    return isinstance(value, int) and abs(value) < _SMALL


def _in_short(name: str, value: object) -> str:
    return f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {str(value)[-_SHORT:]}"


def _values(axis: AxisCoordinate) -> Values:
    from distbragg.figures.charts import Values

    return Values(axis_title(axis), axis.values)


def _thinned(size: int) -> list[int]:
    kept: list[int] = np.linspace(0, size - 1, min(size, GRID_MOST)).round().astype(int).tolist()
    return kept
