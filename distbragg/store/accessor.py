"""`.bragg` on images of distbragg in xarray: what pixels look at, profiles, spots, pictures.

Importing this module registers the accessor; `open_stack` and `render` do. Coordinates of pixels
are resolved when they are asked for, chunk by chunk where the images are chunked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from xarray.core import indexing

from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.physics.pixels import coordinates_of_pixels, radial_profile
from distbragg.quantities import first_of
from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec
from distbragg.store.coordinates import RENDERED
from distbragg.store.geometry import FrameGeometry
from distbragg.store.layout import IMAGES
from distbragg.store.open import OPENED, RUN_ID
from distbragg.store.pixel_arrays import QUANTITIES, PixelArray
from distbragg.store.run_directory import RunDirectory, open_run
from distbragg.store.spots import has_labels, labels_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from distbragg.figures.frame import FrameImage

SPEC: Final = "distbragg_spec"
PIXELS: Final = ("panel", "slow", "fast")
_CLOSE: Final = 1e-9
SHEET: Final = 16  # frames of a contact sheet
_NAMED: Final = 3  # swept values in the title of a frame
_EDGE_POINTS: Final = 65  # of a grid on a panel, both ends among them, that its largest q is among


@xr.register_dataset_accessor("bragg")  # type: ignore[no-untyped-call]
@xr.register_dataarray_accessor("bragg")  # type: ignore[no-untyped-call]
class BraggAccessor:
    """What distbragg knows of its images: of a stack, of a rendered frame, or of lazy frames.

    Works on a data set with `images` or on the images, whole or a part of them: the sweep comes
    from the attributes, the frames and pixels from the coordinates.

    Attributes
    ----------
    q, resolution, two_theta, azimuth : xr.DataArray
        Of each pixel ([panel,] slow, fast), lazily; with dimensions of the sweep in front where
        the geometry varies along them. q has the factor 2π.
    active : xr.DataArray
        Which pixels measure something: neither masked nor gaps.
    """

    def __init__(self, images: xr.Dataset | xr.DataArray) -> None:
        self._given = images

    @property
    def q(self) -> xr.DataArray:
        """4π sin θ/λ of each pixel, 1/Å."""
        return self._quantity("q")

    @property
    def resolution(self) -> xr.DataArray:
        """2π/q of each pixel, Å."""
        return self._quantity("resolution")

    @property
    def two_theta(self) -> xr.DataArray:
        """Angle to the beam of each pixel, degrees."""
        return self._quantity("two_theta")

    @property
    def azimuth(self) -> xr.DataArray:
        """Angle about the beam of each pixel, degrees: 0 right, 90 up, seen along the beam."""
        return self._quantity("azimuth")

    @property
    def active(self) -> xr.DataArray:
        """Whether each pixel measures something."""
        return self._quantity("active")

    def radial(self, bins: int | ArrayLike = 200, mask: xr.DataArray | None = None) -> xr.Dataset:
        """Average the pixels of each frame in bins of q; lazy where the images are.

        Parameters
        ----------
        bins : int or array (bins + 1,)
            Their number, even from 0 to the largest q of the first frame, or edges, 1/Å.
        mask : xr.DataArray, optional
            True where a pixel counts, of those that are active.

        Returns
        -------
        xr.Dataset
            `mean`, `variance` (over the number) and `count` along `q`, the middles of bins, with
            the `resolution` beside; not a number in bins without pixels and of missing frames.
        """
        edges = self._edges(bins)
        for name in {"q", "resolution"}.intersection(map(str, self._images.coords)):
            raise InputError(
                f"an axis of the run has the name {name!r}, as the profile has",
                remedy="give the axis another name where the run is made",
            )
        valid = self.active if mask is None else self.active & mask
        if RENDERED in self._images.coords:
            valid = valid & self._images[RENDERED]
        core = [dim for dim in PIXELS if dim in self._images.dims]
        q = self.q

        def profiles(
            pixels: NDArray[Any], at: NDArray[Any], counted: NDArray[Any]
        ) -> tuple[NDArray[Any], ...]:
            outer = pixels.shape[: pixels.ndim - len(core)]
            shape = np.broadcast_shapes(pixels.shape, at.shape, counted.shape)
            parts = [np.broadcast_to(part, shape) for part in (pixels, at, counted)]
            found = [np.empty((*shape[: len(outer)], edges.size - 1)) for _ in range(3)]
            for index in np.ndindex(shape[: len(outer)]):
                one = radial_profile(parts[0][index], parts[1][index], edges, parts[2][index])
                for whole, part in zip(found, (one.mean, one.variance, one.count), strict=True):
                    whole[index] = part
            return tuple(found)

        mean, variance, count = xr.apply_ufunc(
            profiles,
            self._images,
            q,
            valid,
            input_core_dims=[core] * 3,
            output_core_dims=[["q"]] * 3,
            dask="parallelized",
            output_dtypes=[np.float64] * 3,
            dask_gufunc_kwargs={"output_sizes": {"q": edges.size - 1}, "allow_rechunk": True},
            keep_attrs=False,
        )
        middles = 0.5 * (edges[1:] + edges[:-1])
        profile = xr.Dataset({"mean": mean, "variance": variance, "count": count})
        units = self._images.attrs.get("units", "photons")
        profile["mean"].attrs = {"units": units, "long_name": "mean of the pixels"}
        return profile.assign_coords(
            q=("q", middles, QUANTITIES["q"]),
            resolution=("q", 2.0 * np.pi / middles, QUANTITIES["resolution"]),
        )

    def spots(self, frame: int = 0, minimum_photons: float = 0.0) -> xr.Dataset:
        """Return the spots of a frame, stored beside it or else predicted.

        `frame` counts the frames of these images, in C order. Columns are those of
        `distbragg.open_labels`, along `spot`.
        """
        number = self._frame_number(frame)
        run = self._run
        if run is not None and has_labels(run):
            columns = labels_of(run, [number])
        else:
            from distbragg.kernel.native.moments import compiled_twin
            from distbragg.predict.spots import visible_spots

            experiment = build_experiment(self._geometry.sweep.frame_spec(number), frame=number)
            columns = visible_spots(experiment, compiled_twin()).columns()
        chosen = np.asarray(columns["photons"]) >= minimum_photons
        return xr.Dataset({name: ("spot", values[chosen]) for name, values in columns.items()})

    def plot(
        self,
        frame: int | None = None,
        *,
        rings: Sequence[float] | None = None,
        spots: bool = False,
        top: float | None = None,
        colors: str = "",
    ) -> Axes | NDArray[np.object_]:
        """Draw a frame, or a contact sheet where there are several and none is named.

        Parameters
        ----------
        frame : int, optional
            Which of these images, in C order.
        rings : sequence of float, optional
            Resolutions of rings on a frame, Å; default: round ones; empty: none.
        spots : bool
            Circle the spots of a frame that have a photon, by lattice.
        top : float, optional
            Photons of a pixel in full brightness.
        colors : str
            A colour map of matplotlib.

        Returns
        -------
        matplotlib Axes, or an array of them
            Of the frame, or of each frame of the sheet, (frames shown,), as pandas and xarray
            return what they drew: a notebook shows the figure of its cell once. `.figure` saves it.
        """
        from matplotlib import pyplot as plt

        from distbragg.figures.frame import FRAME_COLORS, draw_frame, small_picture
        from distbragg.figures.sheet import PICTURE_EDGE, Sheet, draw_sheet, nearly_square
        from distbragg.figures.style import Look

        count = int(np.prod([self._images.sizes[dim] for dim in self._outer]))
        unit = f"{self._images.attrs.get('units', 'photons')} per pixel"
        figure = plt.figure(layout="constrained")
        if frame is None and count > 1:
            shown = np.linspace(0, count - 1, min(count, SHEET)).round().astype(int).tolist()
            pictures = [small_picture(self._frame_image(one), PICTURE_EDGE) for one in shown]
            titles = [self._title(one) for one in shown]
            sheet = Sheet(pictures, nearly_square(len(shown)), titles)
            draw_sheet(figure, sheet, Look(colors or "magma", top, unit))
            return np.array(figure.axes[: len(shown)])
        number = frame or 0
        draw_frame(
            figure,
            self._frame_image(number),
            Look(colors or FRAME_COLORS, top, unit),
            rings=rings,
            spots=self._spot_arrays(number) if spots else None,
            title=self._title(number),
        )
        return figure.axes[0]

    def _spot_arrays(self, frame: int) -> dict[str, NDArray[Any]]:
        found = self.spots(frame, 1.0)
        found = found.isel(spot=found["active"].values.astype(bool))
        return {str(name): part.values for name, part in found.items()}

    @property
    def _images(self) -> xr.DataArray:
        if isinstance(self._given, xr.Dataset) and IMAGES not in self._given:
            raise InputError(
                "has no images",
                source=str(self._given.encoding.get("source", "data set")),
                remedy="rename the pixels of a variant to slow and fast, then take its .bragg",
            )
        images = self._given[IMAGES] if isinstance(self._given, xr.Dataset) else self._given
        if not {"slow", "fast"} <= set(images.dims):
            raise InputError(f"has the dimensions {images.dims}, not slow and fast", source=IMAGES)
        return images

    @cached_property
    def _run(self) -> RunDirectory | None:
        """The run that the images are of, where this process knows it."""
        attrs = {**self._images.attrs, **self._given.attrs}
        if (opened := OPENED.get(str(attrs.get(RUN_ID, "")))) is not None:
            return opened
        source = self._given.encoding.get("source")
        if RUN_ID in attrs and isinstance(source, str):
            run = open_run(source)
            return run if run.run_id == attrs[RUN_ID] else None
        return None

    @cached_property
    def _geometry(self) -> FrameGeometry:
        if self._run is not None:
            return FrameGeometry(self._run.sweep)
        text = self._given.attrs.get(SPEC) or self._images.attrs.get(SPEC)
        if not text:
            raise InputError(
                "the images lack the attributes that say what they show",
                source=SPEC,
                remedy="open a run with distbragg.open_stack, or keep the attributes",
            )
        return FrameGeometry(parse_sweep(json.loads(text)))

    @property
    def _sweep(self) -> SweepSpec:
        return self._geometry.sweep

    @property
    def _outer(self) -> list[str]:
        """Dimensions of the images in front of the pixels."""
        return [str(dim) for dim in self._images.dims if dim not in PIXELS]

    def _places(self, dim: str) -> NDArray[np.int64]:
        """Return which of the sweep's positions along a dimension the images hold, by labels."""
        sizes, images = dict(self._sweep.dims), self._images
        known = [
            axis
            for axis in self._sweep.coordinates()
            if axis.dim == dim and axis.name in images.coords and axis.values.ndim == 1
        ]
        count = images.sizes.get(dim, 1)
        if not known and (dim in images.dims and count == sizes[dim]):
            return np.arange(count)
        match = np.ones((count, sizes[dim]), dtype=np.bool_)
        for axis in known:
            here = np.reshape(images.coords[axis.name].values, (-1, 1))
            if axis.values.dtype.kind in "fiu":
                here = here.astype(np.float64)
                span = _CLOSE * max(1e-300, float(np.nanmax(np.abs(axis.values), initial=0.0)))
                alike = np.isnan(here) & np.isnan(axis.values)
                match &= (np.abs(here - axis.values) <= span) | alike
            else:
                match &= here.astype(axis.values.dtype) == axis.values
        if not known or not match.any(axis=1).all():
            raise InputError(
                f"the images have no coordinate {dim!r} that numbers their frames",
                source=f"coordinate {dim}",
                remedy="keep the coordinates of the stack",
            )
        return np.asarray(match.argmax(axis=1))

    def _quantity(self, name: str) -> xr.DataArray:
        images, moving = self._images, self._geometry.moving
        places = {dim: self._places(dim) for dim in moving}
        array = PixelArray(
            self._geometry,
            name,
            tuple((dim, tuple(places[dim].tolist())) for dim in moving if dim in images.dims),
            tuple((dim, int(places[dim][0])) for dim in moving if dim not in images.dims),
            self._panels,
            self._indices("slow"),
            self._indices("fast"),
        )
        data: Any = indexing.LazilyIndexedArray(array)
        dims = [dim for dim in moving if dim in images.dims] + ["panel", "slow", "fast"]
        made = xr.Variable(dims, data, QUANTITIES.get(name))
        if "panel" not in images.dims:
            made = made.isel(panel=0)
        if images.chunks is not None:
            made = made.chunk({dim: images.chunksizes[dim] for dim in made.dims})
        coords = {
            key: part for key, part in images.coords.items() if set(part.dims) <= set(made.dims)
        }
        return xr.DataArray(made, coords=coords, name=name)

    @property
    def _panels(self) -> tuple[int, ...]:
        """Numbers of the panels that the images hold."""
        panels = self._geometry.experiment(0).detector.panels
        if len(panels) == 1:
            return (0,)
        names = [panel.name for panel in panels]
        if "panel" not in self._images.coords:
            raise InputError(
                "the images have no coordinate that names their panels", source="coordinate panel"
            )
        held = np.atleast_1d(self._images.coords["panel"].values).tolist()
        return tuple(names.index(str(name)) for name in held)

    def _indices(self, dim: str) -> NDArray[np.float64]:
        """Return indices of pixels by their coordinate, which is in mm; all where there is none."""
        images, panel = self._images, self._geometry.experiment(0).detector.panels[0]
        size = panel.shape[("slow", "fast").index(dim)]
        if dim in images.coords:
            found: NDArray[np.float64] = images.coords[dim].values / (panel.pixel_size * 1e3) - 0.5
            return np.round(found, 6)
        if images.sizes[dim] != size:
            raise InputError(
                "the images have no coordinate that numbers their pixels",
                source=f"coordinate {dim}",
            )
        return np.arange(size, dtype=np.float64)

    def _edges(self, bins: int | ArrayLike) -> NDArray[np.float64]:
        """Return edges of bins, 1/Å; of a number, even ones up to the first frame's largest q."""
        if not isinstance(bins, int | np.integer):
            edges = np.asarray(bins, dtype=np.float64)
            if edges.ndim != 1 or edges.size < 2 or not np.all(np.diff(edges) > 0.0):
                raise InputError("edges of bins must increase", source="bins")
            return edges
        if bins < 1:
            raise InputError("must be at least 1", source="bins")
        experiment = self._geometry.experiment(self._frame_number(0))
        slow, fast = (
            np.linspace(index[0], index[-1], _EDGE_POINTS)
            for index in (self._indices("slow"), self._indices("fast"))
        )
        most = max(
            float(coordinates_of_pixels(experiment, panel, slow[:, np.newaxis], fast).q.max())
            for panel in self._panels
        )
        return np.linspace(0.0, most * (1.0 + _CLOSE), int(bins) + 1)

    def _frame_number(self, frame: int) -> int:
        """Return the flat number in the sweep of one of these images."""
        at = self._index(frame)
        position = {dim: int(self._places(dim)[at.get(dim, 0)]) for dim, _ in self._sweep.dims}
        return self._sweep.frame_at(position)

    def _index(self, frame: int) -> dict[str, int]:
        """Return the place of one of these images along each dimension in front of the pixels."""
        sizes = tuple(self._images.sizes[dim] for dim in self._outer)
        if not 0 <= frame < int(np.prod(sizes)):
            count = int(np.prod(sizes))
            raise InputError(f"there is no frame {frame}; the images are {count}", source="frame")
        places = map(int, np.unravel_index(frame, sizes)) if sizes else ()
        return dict(zip(self._outer, places, strict=True))

    def _frame_image(self, frame: int) -> FrameImage:
        """Read one of these images, which must be of whole panels, to draw it."""
        from distbragg.figures.frame import FrameImage

        images = self._images
        experiment = self._geometry.experiment(self._frame_number(frame))
        detector = experiment.detector
        whole = (len(detector.panels), *detector.panels[0].shape)
        pixels = np.asarray(images.isel(self._index(frame)).values)
        if pixels.size != int(np.prod(whole)):
            raise InputError(
                f"a part of a frame, {pixels.shape}, is not drawn",
                source=IMAGES,
                remedy="use xarray's own plot for parts, with yincrease=False",
            )
        return FrameImage(pixels.reshape(whole), experiment)

    def _title(self, frame: int) -> str:
        """Name one of these images by the values of the sweep's axes."""
        one = self._images.isel(self._index(frame))
        told = [
            f"{axis.name} {value:.4g}" if isinstance(value, float) else f"{axis.name} {value}"
            for axis in self._sweep.coordinates()
            if axis.name in one.coords and one.coords[axis.name].ndim == 0
            for value in [one.coords[axis.name].item()]
        ]
        return first_of(told, _NAMED) or str(self._sweep.experiment.title)
