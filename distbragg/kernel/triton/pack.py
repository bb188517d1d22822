"""The resolved experiment as the blocks of numbers that the fused kernel reads.

What depends on the frame alone is made once and kept on the device for all its tiles and chunks.
"""

from __future__ import annotations

import operator
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final, SupportsIndex

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distbragg.kernel.amorphous import summed_curve
from distbragg.kernel.native.prepare import prepare_crystal, squared_table, uses_double
from distbragg.kernel.table import SURFACES
from distbragg.kernel.triton import layout
from distbragg.kernel.triton.reach import Reach, reach_of, reached_table
from distbragg.kernel.triton.split import split_vectors
from distbragg.matrices import dot3
from distbragg.models.beam import Beam
from distbragg.models.crystal import Reflections
from distbragg.models.detector import Panel
from distbragg.models.experiment import Background, Experiment
from distbragg.models.vectors import Float64Array
from distbragg.physics.factors import polarization_frame
from distbragg.physics.furthest import longest_scattering
from distbragg.shapes import SHAPES

SHORT_CELLS: Final = 64.0
"""Cells along an axis up to which Nδ is formed in float32; off by 2⁻¹⁹ turns at most."""

_KEPT_SCENES: Final = 4
_MOST_TABLE_ENTRIES: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Scene:
    """A frame's panel on the device.

    Attributes
    ----------
    tensors : tuple of Tensor
        In the order of the kernel's arguments from `reals` on.
    flags : dict
        The kernel's compile-time choices.
    domains, samples : int
        Steps of one pixel and source are their product.
    """

    tensors: tuple[Tensor, ...]
    flags: dict[str, Any]
    domains: int
    samples: int


_scenes: OrderedDict[tuple[int, int, str, str, bool], tuple[Experiment, Scene]] = OrderedDict()
_lock = threading.Lock()


def make_scene(
    experiment: Experiment, panel: int, precision: str, device: str, *, split: bool
) -> Scene:
    """Return the scene of a panel, kept for the last few by identity.

    Parameters
    ----------
    experiment : Experiment
    panel : int
    precision : {"mixed", "float64"}
    device : str
    split : bool
        Wish for indices without float64, granted where they are good to 1e-10.

    Raises
    ------
    MemoryError
        The box of structure factors has too many entries for 32-bit places.
    """
    key = (id(experiment), panel, precision, device, split)
    with _lock:
        kept = _scenes.get(key)
        if kept is not None:
            _scenes.move_to_end(key)
            return kept[1]
    scene = _make(experiment, panel, precision, device, split=split)
    with _lock:
        # The experiment is held as well: its identity cannot pass to another one meanwhile.
        _scenes[key] = (experiment, scene)
        while len(_scenes) > _KEPT_SCENES:
            _scenes.popitem(last=False)
    return scene


def _make(experiment: Experiment, panel: int, precision: str, device: str, *, split: bool) -> Scene:
    crystal, view = experiment.crystal, experiment.detector.panels[panel]
    double = uses_double(crystal, precision)
    shortest = float(experiment.beam.sources.wavelength.min())
    prepared = prepare_crystal(crystal, double=double, wavelength=shortest)
    # The edge of a top hat is a step: only float64 keeps it where it is.
    wanted = split and not double and SHAPES[crystal.shape].transform != "step"
    pieces = split_vectors(prepared.vectors, shortest) if wanted else None
    table = _look_up(experiment, view, prepared.vectors, double=double)
    real = np.float64 if double else np.float32
    scale = prepared.spot.scale * table.scale
    background = _background_scale(experiment)
    reals = _reals(experiment, view)
    _put(reals, layout.CELLS, crystal.cells)
    _put(reals, layout.METRIC, prepared.spot.metric)
    _put(reals, layout.REACH_SQUARED, prepared.reach**2)
    _put(reals, layout.SCALE, scale)
    _put(reals, layout.BACKGROUND, background / scale)
    if pieces is not None:
        _put(reals, layout.GRID, np.array(pieces.grids))
    stol, amplitude = _background_table(experiment.background)
    arrays: tuple[NDArray[Any], ...] = (
        reals,
        _wholes(experiment, view, table, stol.size),
        _source_table(experiment.beam),
        _layer_table(view),
        _padded(prepared.vectors, layout.WIDE_NUMBERS)
        if pieces is None
        else _padded(pieces.pieces, layout.SPLIT_NUMBERS),
        _padded(prepared.vectors.astype(np.float32), layout.NARROW_NUMBERS),
        table.values,
        _scaled_amplitude(experiment.reflections, table.scale).astype(real),
        _at_least_one(stol),
        _at_least_one(amplitude),
    )
    flags = _flags(experiment, view, double=double)
    flags |= {
        "SPLIT": pieces is not None,
        "NARROW": prepared.reach > 0.0,
        "WITH_BACKGROUND": background != 0.0,
        "CURVED": bool(experiment.background.others),
        "INSIDE": table.inside,
    }
    tensors = tuple(torch.from_numpy(np.array(array)).to(device) for array in arrays)
    samples = view.sensor.count * experiment.sampling.oversample**2
    return Scene(tensors, flags, int(prepared.vectors.shape[0]), samples)


def _flags(experiment: Experiment, view: Panel, *, double: bool) -> dict[str, Any]:
    """Choose what the compiler is told of an experiment."""
    import triton.language as tl

    crystal, sampling = experiment.crystal, experiment.sampling
    directions = experiment.beam.sources.direction
    return {
        "SHAPE": SHAPES[crystal.shape].code,
        "AXES": sum(1 << axis for axis in range(3) if crystal.cells[axis] > 1.0),
        "REAL": tl.float64 if double else tl.float32,
        # δ leaves float64 with a relative error of 2⁻²⁴: short crystals do not show it in Nδ.
        "LONG": double or float(crystal.cells.max()) > SHORT_CELLS,
        "INTERPOLATE": _interpolates(experiment.reflections),
        "SINGLE": view.sensor.count * sampling.oversample == 1,
        "SURFACE": SURFACES[view.surface],
        "POINT": view.point_pixel,
        "SOLID_ANGLE": sampling.per_sample_solid_angle,
        "CAPTURE": sampling.per_sample_capture and view.sensor.absorbs,
        "POLARIZED": experiment.beam.polarized and sampling.per_sample_polarization,
        "CUT": sampling.dmin > 0.0,
        "ONE_WAY": bool((directions == directions[:1]).all()),
    }


def _interpolates(reflections: Reflections) -> bool:
    return reflections.interpolate and reflections.amplitude.size > 0


@dataclass(frozen=True, slots=True)
class _LookUp:
    """|F|² / `scale` with border planes, from index `lowest` on; `inside`: no pixel leaves it."""

    values: NDArray[Any]
    lowest: Reach
    scale: float
    inside: bool


def _look_up(
    experiment: Experiment, view: Panel, vectors: Float64Array, *, double: bool
) -> _LookUp:
    reflections = experiment.reflections
    table = squared_table(reflections, double=double)
    h, k, l = (int(part) for part in reflections.origin)  # noqa: E741
    found = _LookUp(table.values, (h, k, l), table.scale, inside=False)
    # The tricubic look-up takes its places from the box of amplitudes.
    if not _interpolates(reflections):
        reach = reach_of(vectors, longest_scattering(experiment.beam, view))
        wide = reached_table(table, found.lowest, reach)
        if wide is not None:
            found = _LookUp(*wide, table.scale, inside=True)
    if found.values.size > _MOST_TABLE_ENTRIES:
        entries = found.values.size
        raise MemoryError(f"a structure-factor box of {entries} entries is too large")
    return found


def _put(block: NDArray[Any], place: SupportsIndex, values: float | Float64Array) -> None:
    numbers = np.atleast_1d(np.asarray(values))
    start = operator.index(place)
    block[start : start + numbers.size] = numbers


def _padded(rows: NDArray[Any], numbers: SupportsIndex) -> NDArray[Any]:
    """Lengthen rows with zeros to where the next may begin."""
    return np.pad(rows, ((0, 0), (0, operator.index(numbers) - rows.shape[1])))


def _reals(experiment: Experiment, view: Panel) -> Float64Array:
    block = np.zeros(operator.index(layout.REALS))
    step = view.pixel_size / experiment.sampling.oversample
    area = 1.0
    if not view.point_pixel:
        plain = view.surface in {"flat", "nanobragg"}
        area = view.pixel_size**2 * (view.close_distance if plain else 1.0)
    _put(block, layout.STEP, step)
    _put(block, layout.HALF, step / 2.0)
    _put(block, layout.ORIGIN, view.origin)
    _put(block, layout.FAST, view.fast)
    _put(block, layout.SLOW, view.slow)
    _put(block, layout.NORMAL, view.normal)
    _put(block, layout.BEAM, experiment.beam.direction)
    _put(block, layout.DISTANCE, view.distance)
    _put(block, layout.CLOSE_DISTANCE, view.close_distance)
    feet = [float(dot3(view.origin, axis)) for axis in (view.fast, view.slow)]
    _put(block, layout.FOOT, np.array(feet))
    _put(block, layout.SOLID, area)
    _put(block, layout.KAHN, experiment.beam.kahn_factor)
    _put(block, layout.DMIN, experiment.sampling.dmin)
    return block


def _wholes(experiment: Experiment, view: Panel, table: _LookUp, entries: int) -> NDArray[np.int32]:
    block = np.zeros(operator.index(layout.WHOLES), dtype=np.int32)
    _put(block, layout.OVERSAMPLE, experiment.sampling.oversample)
    _put(block, layout.LAYERS, view.sensor.count)
    _put(block, layout.BOX, np.array(table.values.shape) - 1)
    _put(block, layout.LOWEST, np.array(table.lowest))
    _put(block, layout.BACKGROUND_ENTRIES, max(1, entries))
    _put(block, layout.SEARCH_STEPS, max(0, entries - 1).bit_length())
    return block


def _source_table(beam: Beam) -> Float64Array:
    sources = beam.sources
    table = np.zeros((sources.count, operator.index(layout.SOURCE_NUMBERS)))
    x, y, z = (float(part) for part in beam.polarization_axis)
    for row, direction, wavelength, weight in zip(
        table, sources.direction, sources.wavelength, sources.weight, strict=True
    ):
        incident = (-float(direction[0]), -float(direction[1]), -float(direction[2]))
        frame = polarization_frame(incident, (x, y, z))
        row[0], row[1] = 1.0 / wavelength, weight
        row[2:5] = incident
        row[5] = 0.0 if any(frame.magnetic) else 1.0
        row[6:9], row[9:12] = frame.electric, frame.magnetic
    return table


def _layer_table(view: Panel) -> Float64Array:
    sensor = view.sensor
    front, back = -sensor.front * sensor.attenuation, -sensor.back * sensor.attenuation
    return np.stack([sensor.position, front, back], axis=1)


def _background_scale(experiment: Experiment) -> float:
    background = experiment.background
    if experiment.physics != "exact" or not background.scatters:
        return 0.0
    steps = experiment.crystal.phi.size * experiment.crystal.mosaic_rotations.shape[0]
    return float(steps * (1.0 if background.others else background.molecules))


def _background_table(background: Background) -> tuple[Float64Array, Float64Array]:
    """Points, and F of one material, or the coefficients of several."""
    return (
        summed_curve(background) if background.others else (background.stol, background.amplitude)
    )


def _scaled_amplitude(reflections: Reflections, scale: float) -> Float64Array:
    # Only the tricubic look-up reads it; its square is then scaled as the table is.
    if not (reflections.interpolate and reflections.amplitude.size):
        return np.zeros(1)
    scaled: Float64Array = reflections.amplitude / np.sqrt(scale)
    return scaled


def _at_least_one(values: Float64Array) -> Float64Array:
    return values if values.size else np.zeros(1)
