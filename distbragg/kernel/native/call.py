"""The parameter block of one tile, filled from a resolved experiment."""

from __future__ import annotations

import ctypes
import math
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from distbragg.kernel.amorphous import summed_curve
from distbragg.kernel.native.abi import Parameters
from distbragg.kernel.native.counts import LOG_FACTORIALS
from distbragg.kernel.native.diffuse import diffuse_halos
from distbragg.kernel.native.prepare import (
    PreparedCrystal,
    most_of_a_step,
    most_squared,
    prepare_crystal,
    samples_per_source,
    skip_limit,
    squared_table,
    tables_by_energy,
    uses_double,
)
from distbragg.kernel.overlay import overlay_of
from distbragg.kernel.table import SURFACES
from distbragg.kernel.tile import frame_pixel
from distbragg.physics.furthest import (
    field_of_view,
    furthest_lit,
    least_spacing,
    longest_scattering,
)
from distbragg.physics.halo_sources import HaloSources, few_sources
from distbragg.physics.halos import Spread
from distbragg.physics.lattices import Lattice, halos_of, lattices_of
from distbragg.physics.near_sphere import (
    CUT,
    LINE_GAP,
    LINE_SPAN,
    GaussianCrystal,
    gaussian_crystal,
    symmetric,
)
from distbragg.shapes import SHAPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from distbragg.kernel.options import KernelOptions
    from distbragg.models.detector import Panel
    from distbragg.models.experiment import Background, Experiment
    from distbragg.models.vectors import Float64Array
    from distbragg.plan.frame import SourceChunk, Tile

    Place = tuple[int, Tile, SourceChunk]

_MOST_TABLE_ENTRIES = 2**31 - 1


class Call:
    """A parameter block, with the arrays it points into kept alive.

    Attributes
    ----------
    photon_scale : float
        What numerators are multiplied with where photons are written.
    """

    def __init__(
        self,
        block: Parameters,
        experiment: Experiment,
        place: Place,
        *,
        double: bool,
        wavelength: float,
    ) -> None:
        self._block = block
        self._experiment, self._place = experiment, place
        self._double, self._wavelength = double, wavelength
        self._alive: list[object] = []
        self._most_of_a_bound = 0.0
        self.photon_scale = 0.0

    @classmethod
    def of(
        cls,
        block: Parameters,
        experiment: Experiment,
        place: Place,
        options: KernelOptions,
        *,
        like: Self | None = None,
    ) -> Self:
        """Fill `block` for one tile × source chunk.

        Parameters
        ----------
        block : Parameters
            Zeroed.
        experiment : Experiment
        place : (panel, tile, chunk)
        options : KernelOptions
            See `render_sum`.
        like : Call, optional
            One filled before with the same options, from which everything is copied that neither
            the crystal nor the tile changes, where it is the same.
        """
        double = any(uses_double(one, options.precision) for one in experiment.summed)
        (lattice, *others), halos = lattices_of(experiment), halos_of(experiment)
        call = cls._of_lattice(block, lattice.experiment, place, like, double=double)
        block.threads = max(1, options.threads)
        beside = [(lattice, None) for lattice in others]
        block.others, block.other = call._beside(beside, place, double=double)
        sums = list(_halo_sums(halos, place[2], double=double))
        block.halos, block.halo = call._beside(sums, place, double=double)
        return call

    def _beside(
        self, sums: Sequence[tuple[Lattice, HaloSources | None]], place: Place, *, double: bool
    ) -> tuple[int, int | None]:
        """Return how many further blocks there are, and where, one for each sum."""
        if not sums:
            return 0, None
        blocks = (Parameters * len(sums))()
        for own, (lattice, sources) in zip(blocks, sums, strict=True):
            part = self._of_lattice(own, lattice.experiment, place, None, double=double)
            own.spot_scale *= lattice.share
            if sources is not None:
                part._take(sources)
            self._alive.append(part)
        self._alive.append(blocks)
        return len(sums), ctypes.addressof(blocks)

    @classmethod
    def _of_lattice(
        cls,
        block: Parameters,
        experiment: Experiment,
        place: Place,
        like: Self | None,
        *,
        double: bool,
    ) -> Self:
        if like is not None and like._serves(experiment, place, double=double):
            call = cls(block, experiment, place, double=double, wavelength=like._wavelength)
            call._copy(like)
            call._tile()
            if like._experiment.crystal is experiment.crystal:
                return call
        else:
            wavelength = float(experiment.beam.sources.wavelength.min())
            call = cls(block, experiment, place, double=double, wavelength=wavelength)
            call._everything_but_crystal()
        call._crystal()
        return call

    def write_numerators(self, out: Float64Array) -> None:
        """Let the kernel write un-normalised sums, (tile.pixels,) float64."""
        tile = self._place[1]
        self._block.row_stride = tile.fast_stop - tile.fast_start
        self._point("numerators", out)

    def write_strongest(self, out: Float64Array) -> None:
        """Let the kernel write which reflection gives most, (tile.pixels, 4) float64."""
        tile = self._place[1]
        self._block.row_stride = tile.fast_stop - tile.fast_start
        self._point("strongest", out)

    def write_photons(self, out: NDArray[Any], scale: float, frame: int) -> None:
        """Let the kernel write sums × scale, or counts of that mean where noise is on.

        Parameters
        ----------
        out : (slow, fast) float32 or float64
            Rows are contiguous; they may lie apart, as a tile's do in its frame, and do so where
            counts are drawn.
        scale : float
        frame : int
            Keys the noise.
        """
        size = out.itemsize
        if out.shape != self._place[1].shape or out.strides[1] != size or out.strides[0] % size:
            raise ValueError(f"cannot write {self._place[1]} to {out.shape}, strides {out.strides}")
        self._block.row_stride = out.strides[0] // size
        self._block.photon_scale = self.photon_scale = scale
        self._point({"f4": "photons_f32", "f8": "photons_f64"}[out.dtype.str[1:]], out)
        self._overlay()
        self._block.counted = self._experiment.counted_in_kernel
        if self._experiment.counted_in_kernel:
            self._count(frame)

    def _overlay(self) -> None:
        """Let the kernel add an image and cast a shadow: their rows are as far apart as pixels'."""
        experiment = self._experiment
        if experiment.background.image is None and experiment.detector.beam_stop is None:
            return
        panel, tile, _ = self._place
        overlay, stride = overlay_of(experiment, panel), int(self._block.row_stride)
        if overlay is None:
            return
        self._block.added_scale = overlay.scale
        rows = slice(tile.slow_start, tile.slow_stop)
        for name in ("added", "transmission"):
            values: Float64Array | None = getattr(overlay, name)
            if values is None:
                continue
            part = values[rows, tile.fast_start : tile.fast_stop]
            if values.shape[1] != stride or values.strides[1] != values.itemsize:
                apart = np.zeros((part.shape[0], stride))
                apart[:, : part.shape[1]] = part
                part = apart
            self._point(name, part)

    def _count(self, frame: int) -> None:
        """Let counts be drawn: each by the number of its pixel, which follows from its place."""
        panel, tile, _ = self._place
        block, shape = self._block, self._experiment.detector.panels[panel].shape
        if block.row_stride != shape[1]:
            raise ValueError(f"rows of {shape[1]} pixels lie {block.row_stride} apart")
        noise = self._experiment.noise
        block.noise_seed, block.noise_frame = noise.seed, noise.key(frame)
        block.first_pixel = frame_pixel(panel, shape, tile.slow_start, tile.fast_start)
        block.log_factorials = ctypes.addressof(LOG_FACTORIALS)

    @property
    def skipped(self) -> float:
        """What was left out of any pixel at most, in the numerator's unit."""
        return float(self._block.skipped) * self._most_of_a_bound

    @property
    def evaluated(self) -> int | None:
        """Steps that the tolerance did not leave out; None where all were taken."""
        return int(self._block.evaluated) if self._block.evaluated >= 0 else None

    def _serves(self, experiment: Experiment, place: Place, *, double: bool) -> bool:
        """Whether another call differs from this one in its crystal and its tile alone."""
        own = self._experiment
        return (
            self._place[0] == place[0]
            and self._place[2] == place[2]
            and self._double == double
            and own.physics == experiment.physics
            and own.beam is experiment.beam
            and own.detector is experiment.detector
            and own.sampling == experiment.sampling
            and own.background is experiment.background
            and own.reflections is experiment.reflections
            # The background counts the steps of the crystal's loop.
            and own.crystal.phi.shape == experiment.crystal.phi.shape
            and own.crystal.mosaic_rotations.shape == experiment.crystal.mosaic_rotations.shape
        )

    def _copy(self, other: Self) -> None:
        ctypes.memmove(
            ctypes.byref(self._block), ctypes.byref(other._block), ctypes.sizeof(Parameters)
        )
        self._most_of_a_bound = other._most_of_a_bound
        self._alive.append(other)

    def _point(self, field: str, array: NDArray[Any]) -> None:
        """Let a pointer field refer to an array of the field's own type."""
        self._alive.append(array)
        setattr(self._block, field, array.__array_interface__["data"][0])

    def _doubles(self, field: str, values: Float64Array) -> None:
        self._point(field, np.ascontiguousarray(values, dtype=np.float64))

    def _fixed(self, field: str, values: NDArray[Any] | tuple[float, ...]) -> None:
        """Copy numbers into a fixed-size array field."""
        getattr(self._block, field)[:] = values if isinstance(values, tuple) else values.tolist()

    def _everything_but_crystal(self) -> None:
        panel, _, chunk = self._place
        block = self._block
        self._tile()
        block.source_start, block.source_stop = chunk.start, chunk.stop
        block.double_precision = self._double
        block.longest = longest_scattering(
            self._experiment.beam, self._experiment.detector.panels[panel]
        )
        self._structure_factors()
        self._panel(self._experiment.detector.panels[panel])
        self._beam()
        self._samples()

    def _structure_factors(self) -> None:
        block, reflections = self._block, self._experiment.reflections
        table = squared_table(reflections, double=self._double)
        interpolate = reflections.interpolate and reflections.amplitude.size > 0
        block.most_squared = most_squared(table, interpolate=interpolate)
        if table.values.size > _MOST_TABLE_ENTRIES:
            raise MemoryError(f"a structure-factor box of {table.values.size} entries is too large")
        self._point("squared_f64" if self._double else "squared_f32", table.values)
        block.table_scale = table.scale
        self._fixed("box", tuple(n - 1 for n in table.values.shape))
        self._fixed("origin", reflections.origin)
        block.interpolate = interpolate
        self._doubles("amplitude", reflections.amplitude)
        spectral = reflections.spectral
        if spectral is not None:
            block.tables = len(spectral.tables)
            self._point("by_energy", tables_by_energy(spectral, table.scale))
            self._doubles("coefficients", spectral.coefficients)

    def _tile(self) -> None:
        """Set which pixels are rendered."""
        number, tile, _ = self._place
        block, panel = self._block, self._experiment.detector.panels[number]
        block.slow_start, block.slow_stop = tile.slow_start, tile.slow_stop
        block.fast_start, block.fast_stop = tile.fast_start, tile.fast_stop
        if not panel.fully_active:
            rows = slice(tile.slow_start, tile.slow_stop)
            active = panel.active[rows, tile.fast_start : tile.fast_stop]
            self._point("active", np.ascontiguousarray(active).view(np.uint8))

    def _panel(self, panel: Panel) -> None:
        block, sensor = self._block, panel.sensor
        block.pixel_size, block.close_distance = panel.pixel_size, panel.close_distance
        block.distance, block.surface = panel.distance, SURFACES[panel.surface]
        block.point_pixel = panel.point_pixel
        self._fixed("panel_origin", panel.origin)
        self._fixed("fast", panel.fast)
        self._fixed("slow", panel.slow)
        self._fixed("normal", panel.normal)
        block.layers, block.absorbs = len(sensor.position), sensor.absorbs
        block.attenuation = sensor.attenuation
        self._doubles("layer_position", sensor.position)
        self._doubles("layer_front", sensor.front)
        self._doubles("layer_back", sensor.back)

    def _beam(self) -> None:
        beam, sampling, block = self._experiment.beam, self._experiment.sampling, self._block
        self._fixed("beam", beam.direction)
        self._fixed("polarization_axis", beam.polarization_axis)
        block.kahn_factor = beam.kahn_factor
        block.polarization = beam.polarized and sampling.per_sample_polarization
        self._doubles("source_direction", beam.sources.direction)
        self._doubles("source_wavelength", beam.sources.wavelength)
        self._doubles("source_weight", beam.sources.weight)

    def _samples(self) -> None:
        experiment, block = self._experiment, self._block
        sampling = experiment.sampling
        block.oversample, block.dmin = sampling.oversample, sampling.dmin
        block.solid_angle = sampling.per_sample_solid_angle
        block.capture = sampling.per_sample_capture
        if experiment.physics == "exact" and experiment.background.scatters:
            self._background(experiment.background)

    def _background(self, background: Background) -> None:
        block, crystal = self._block, self._experiment.crystal
        stol = background.stol
        block.background_scale = crystal.phi.size * crystal.mosaic_rotations.shape[0]
        if background.others:
            stol, curve = summed_curve(background)
            self._doubles("background_curve", curve)
        else:
            block.background_scale *= background.molecules
            self._doubles("background_amplitude", background.amplitude)
        block.background_entries = stol.size
        self._doubles("background_stol", stol)

    def _crystal(self) -> None:
        """Set the crystal, and what steps are bounded by where a tolerance is set."""
        self._block.others = 0
        crystal, block = self._experiment.crystal, self._block
        prepared = prepare_crystal(crystal, double=self._double, wavelength=self._wavelength)
        block.shape = SHAPES[crystal.shape].code
        self._fixed("cells", crystal.cells)
        block.domains = prepared.vectors.shape[0]
        self._doubles("domain_vectors", prepared.vectors)
        self._fixed("metric", prepared.spot.metric)
        block.spot_scale = prepared.spot.scale
        block.in_pairs = prepared.reach == 0.0
        block.furthest = furthest_lit(self._experiment.reflections, crystal.real_space)
        view = self._experiment.detector.panels[self._place[0]]
        scale = block.spot_scale * block.table_scale
        block.reach, block.skip_below = self._limits(prepared, view, scale)
        block.diffuse_halos = block.halos = 0
        method = self._experiment.sampling.method
        if crystal.diffuse is not None and method != "closed_form":
            self._diffuse()
        if block.skip_below > 0.0:
            self._bounds(prepared, view, scale)
        if method == "closed_form":
            self._closed_form(view)
            self._bounded(view, scale)
        elif method == "halos":
            self._halos()

    def _diffuse(self) -> None:
        """Set the diffuse scattering: it lights everything, so that no step is left out."""
        block = self._block
        crystal = self._experiment.crystal
        halos, height, block.diffuse_stencil = diffuse_halos(crystal)
        block.diffuse_halos = halos.shape[0]
        if block.spot_scale > 0.0:  # else no block is in the beam
            block.diffuse_height = height * crystal.scale / block.spot_scale
        self._doubles("diffuse_halo", halos)
        block.skip_below, block.furthest = 0.0, math.inf

    def _closed_form(self, view: Panel) -> None:
        """Set what the closed form is made of, in place of steps."""
        block, experiment = self._block, self._experiment
        crystal = gaussian_crystal(experiment.crystal)
        block.closed_form, block.integrate = True, experiment.sampling.integrate
        block.cut = CUT["float64" if self._double else "mixed"]
        block.line_span, block.line_gap = LINE_SPAN, LINE_GAP
        axis, block.view_angle = field_of_view(view)
        self._fixed("view_axis", axis)
        # Reflections are left out by their spacing, whole, and no others are lit.
        lit = 1.0 / block.furthest if block.furthest > 0.0 else math.inf
        seen = least_spacing(experiment.beam, experiment.detector.panels, crystal)
        block.shortest_spacing, block.dmin = max(experiment.sampling.dmin, lit, seen), 0.0
        block.furthest = math.inf  # spots reach further than half a cell
        self._fixed("reciprocal", crystal.reciprocal.reshape(-1))
        self._fixed("relp_covariance", symmetric(crystal.covariance).parts)
        self._fixed("mosaic_covariance", symmetric(crystal.mosaic).parts)
        block.bandwidth = experiment.beam.sources.bandwidth
        self._fixed("spindle", crystal.spindle.axis)
        self._fixed("rotation", (crystal.spindle.start, crystal.spindle.stop))
        block.parts = crystal.part_count
        self._spread(crystal)

    def _halos(self) -> None:
        """Set what halos are spread by."""
        block, experiment = self._block, self._experiment
        crystal, sources = gaussian_crystal(experiment.crystal), experiment.beam.sources
        block.halos_alone, block.integrate = True, experiment.sampling.integrate
        spread = Spread.of(symmetric(crystal.mosaic), crystal.spindle, crystal.strains)
        self._fixed("mosaic_covariance", spread.turns.parts)
        self._doubles("source_width", np.full(sources.count, sources.bandwidth))
        self._spread(crystal)

    def _take(self, sources: HaloSources) -> None:
        """Let halos be summed over other sources than the experiment's."""
        block = self._block
        block.source_start, block.source_stop = 0, sources.count
        self._doubles("source_direction", sources.direction)
        self._doubles("source_wavelength", sources.wavelength)
        self._doubles("source_weight", sources.weight)
        self._doubles("source_width", sources.width)
        self._doubles("source_chord", sources.chord)
        self._doubles("coefficients", sources.coefficients)

    def _spread(self, crystal: GaussianCrystal) -> None:
        """Set what is the same of spots and of halos: divergence, and a spread of cells."""
        block = self._block
        self._fixed("divergence", self._experiment.beam.divergence.reshape(-1))
        block.strains = len(crystal.strains)
        block.strain[: crystal.strains.size] = crystal.strains.ravel().tolist()

    def _limits(self, prepared: PreparedCrystal, panel: Panel, scale: float) -> tuple[float, float]:
        """Return the reach of a spot and the bound below which steps are left out, or 0 and 0."""
        limit = skip_limit(self._experiment, panel, scale, sought=prepared.sought)
        return prepared.reach, limit

    def _bounds(self, prepared: PreparedCrystal, panel: Panel, scale: float) -> None:
        block, bounds = self._block, prepared.bounds
        self._doubles("domain_reciprocals", bounds.reciprocals)
        self._fixed("edge_length", bounds.edge_length)
        self._fixed("axis_stiffness", bounds.axis_stiffness)
        block.least_stiffness = bounds.least_stiffness
        block.index_error, block.offset_error = bounds.index_error, bounds.offset_error
        self._bounded(panel, scale)

    def _bounded(self, panel: Panel, scale: float) -> None:
        """Set what a bound of the kernel stands for."""
        samples = samples_per_source(self._experiment, panel)
        self._most_of_a_bound = most_of_a_step(self._experiment, panel) * scale * samples


def _halo_sums(
    halos: list[Lattice], chunk: SourceChunk, *, double: bool
) -> Iterator[tuple[Lattice, HaloSources | None]]:
    """Yield the sums that halos are made of: in float64 each source by itself."""
    for lattice in halos:
        few = () if double else few_sources(lattice.experiment, chunk.start, chunk.stop)
        yield from ((lattice, one) for one in few or (None,))
