"""`render_sum`: from the resolved experiment to one call of the C++ kernel."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from distbragg.constants import TOPHAT_CRYSTAL_CUT
from distbragg.kernel.native.abi import SHAPES, Parameters
from distbragg.kernel.native.library import library
from distbragg.kernel.native.prepare import prepare_crystal, squared_table, uses_double
from distbragg.kernel.native.tolerance import (
    most_of_a_step,
    most_squared,
    samples_per_source,
    skip_limit,
)
from distbragg.kernel.tile_sum import TileSum

if TYPE_CHECKING:
    from distbragg.kernel.options import KernelOptions
    from distbragg.models.arrays import Float64Array
    from distbragg.models.crystal import Reflections
    from distbragg.models.detector import Panel
    from distbragg.models.experiment import Experiment
    from distbragg.plan.keys import SourceChunk, Tile

_MOST_TABLE_ENTRIES = 2**31 - 1


def render_numerator(
    experiment: Experiment,
    panel: int,
    tile: Tile,
    chunk: SourceChunk,
    options: KernelOptions,
) -> Float64Array:
    """Return the numerator of `render_sum` alone, (tile.pixels,) float64."""
    return render_sum(experiment, panel, tile, chunk, options).on_host()


def render_sum(
    experiment: Experiment,
    panel: int,
    tile: Tile,
    chunk: SourceChunk,
    options: KernelOptions,
) -> TileSum:
    """Sum the weighted intensities of one tile over one source chunk.

    Parameters
    ----------
    experiment : Experiment
    panel : int
        Index into `experiment.detector.panels`.
    tile : Tile
        Pixels rendered, global indices of the panel.
    chunk : SourceChunk
        Sources rendered, global indices of the source table.
    options : KernelOptions
        `precision` ("mixed" or "float64") and `threads` are read; threads share out the
        pixels and change no bit.

    Returns
    -------
    TileSum
        Un-normalised numerator, row-major (slow, fast); inactive pixels are exactly 0. With a
        bound of what the experiment's tolerance left out.

    Raises
    ------
    RuntimeError
        If the kernel is not available here.
    MemoryError
    """
    native = library()
    call = _Call()
    out = np.zeros(tile.pixels, dtype=np.float64)
    call.window(tile, chunk)
    call.block.threads = max(1, options.threads)
    double = uses_double(experiment.crystal, options.precision)
    call.crystal(experiment, double=double)
    call.structure_factors(experiment.reflections, double=double)
    call.panel(experiment.detector.panels[panel], tile)
    call.beam(experiment)
    call.samples(experiment)
    call.tolerance(experiment, panel, double=double)
    skipped = np.zeros(1, dtype=np.float64)
    evaluated = np.full(1, -1, dtype=np.int64)
    call.point("out", out)
    call.point("skipped", skipped)
    call.point("evaluated", evaluated)
    status = native.distbragg_render(ctypes.byref(call.block))
    if status != 0:
        raise MemoryError(f"the native kernel could not allocate its workspace for {tile}")
    taken = int(evaluated[0]) if evaluated[0] >= 0 else None
    return TileSum(out, float(skipped[0]) * call.most_of_a_bound, taken)


class _Call:
    """The parameter block of one call, with the arrays it points into kept alive."""

    def __init__(self) -> None:
        self.block = Parameters()
        self._alive: list[NDArray[Any]] = []
        self.most_of_a_bound = 0.0

    def point(self, field: str, array: NDArray[Any]) -> None:
        """Let a pointer field refer to an array (contiguous, of the field's own type)."""
        self._alive.append(array)
        setattr(self.block, field, array.__array_interface__["data"][0])

    def doubles(self, field: str, values: Float64Array) -> None:
        self.point(field, np.ascontiguousarray(values, dtype=np.float64))

    def fixed(self, field: str, values: NDArray[Any] | tuple[int, ...]) -> None:
        """Copy numbers into a fixed-size array field."""
        getattr(self.block, field)[:] = values if isinstance(values, tuple) else values.tolist()

    def window(self, tile: Tile, chunk: SourceChunk) -> None:
        block = self.block
        block.slow_start, block.slow_stop = tile.slow_start, tile.slow_stop
        block.fast_start, block.fast_stop = tile.fast_start, tile.fast_stop
        block.source_start, block.source_stop = chunk.start, chunk.stop

    def crystal(self, experiment: Experiment, *, double: bool) -> None:
        crystal, block = experiment.crystal, self.block
        block.double_precision = double
        block.shape = SHAPES[crystal.shape]
        self.fixed("cells", crystal.cells)
        shortest = float(experiment.beam.sources.wavelength.min())
        prepared = prepare_crystal(crystal, double=double, wavelength=shortest)
        block.domains = prepared.vectors.shape[0]
        self.doubles("domain_vectors", prepared.vectors)
        self.fixed("metric", prepared.spot.metric)
        block.spot_scale = prepared.spot.scale
        block.tophat_cut = TOPHAT_CRYSTAL_CUT
        block.reach = prepared.reach

    def structure_factors(self, reflections: Reflections, *, double: bool) -> None:
        block, table = self.block, squared_table(reflections, double=double)
        if table.values.size > _MOST_TABLE_ENTRIES:
            raise MemoryError(f"a structure-factor box of {table.values.size} entries is too large")
        self.point("squared_f64" if double else "squared_f32", table.values)
        block.table_scale = table.scale
        self.fixed("box", tuple(n - 1 for n in table.values.shape))
        self.fixed("origin", reflections.origin)
        block.interpolate = reflections.interpolate and reflections.amplitude.size > 0
        self.doubles("amplitude", reflections.amplitude)

    def panel(self, panel: Panel, tile: Tile) -> None:
        block, sensor = self.block, panel.sensor
        block.pixel_size, block.close_distance = panel.pixel_size, panel.close_distance
        block.distance, block.curved = panel.distance, panel.curved
        block.point_pixel = panel.point_pixel
        self.fixed("panel_origin", panel.origin)
        self.fixed("fast", panel.fast)
        self.fixed("slow", panel.slow)
        self.fixed("normal", panel.normal)
        block.layers, block.absorbs = sensor.count, sensor.absorbs
        block.attenuation = sensor.attenuation
        self.doubles("layer_position", sensor.position)
        self.doubles("layer_front", sensor.front)
        self.doubles("layer_back", sensor.back)
        rows, columns = (
            slice(tile.slow_start, tile.slow_stop),
            slice(tile.fast_start, tile.fast_stop),
        )
        self.point("active", np.ascontiguousarray(panel.active[rows, columns]).view(np.uint8))

    def beam(self, experiment: Experiment) -> None:
        beam, sampling, block = experiment.beam, experiment.sampling, self.block
        self.fixed("beam", beam.direction)
        self.fixed("polarization_axis", beam.polarization_axis)
        block.kahn_factor = beam.kahn_factor
        block.polarization = beam.polarized and sampling.per_sample_polarization
        self.doubles("source_direction", beam.sources.direction)
        self.doubles("source_wavelength", beam.sources.wavelength)
        self.doubles("source_weight", beam.sources.weight)

    def samples(self, experiment: Experiment) -> None:
        sampling, background, block = experiment.sampling, experiment.background, self.block
        block.oversample, block.dmin = sampling.oversample, sampling.dmin
        block.solid_angle = sampling.per_sample_solid_angle
        block.capture = sampling.per_sample_capture
        if experiment.physics == "exact" and background.molecules > 0.0 and background.stol.size:
            steps = experiment.crystal.phi.size * experiment.crystal.mosaic_rotations.shape[0]
            block.background_scale = steps * background.molecules
            block.background_entries = background.stol.size
        self.doubles("background_stol", background.stol)
        self.doubles("background_amplitude", background.amplitude)

    def tolerance(self, experiment: Experiment, panel: int, *, double: bool) -> None:
        """Set what steps are bounded by; after everything else, and only where asked for."""
        block, view = self.block, experiment.detector.panels[panel]
        scale = block.spot_scale * block.table_scale
        block.skip_below = skip_limit(experiment, view, scale)
        if block.skip_below == 0.0:
            return
        shortest = float(experiment.beam.sources.wavelength.min())
        crystal = prepare_crystal(experiment.crystal, double=double, wavelength=shortest)
        bounds = crystal.bounds
        self.doubles("domain_reciprocals", bounds.reciprocals)
        self.fixed("edge_length", bounds.edge_length)
        self.fixed("axis_stiffness", bounds.axis_stiffness)
        block.least_stiffness = bounds.least_stiffness
        block.index_error, block.offset_error = bounds.index_error, bounds.offset_error
        table = squared_table(experiment.reflections, double=double)
        block.most_squared = most_squared(table, interpolate=bool(block.interpolate))
        samples = samples_per_source(experiment, view)
        self.most_of_a_bound = most_of_a_step(experiment, view) * scale * samples
