"""Spots of frames in closed form by the native library: reflections that are lit, and moments."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.kernel.native.abi import Parameters
from distbragg.kernel.native.library import available, library
from distbragg.models.beam import Beam
from distbragg.models.detector import Panel
from distbragg.models.vectors import Float64Array, IntArray
from distbragg.physics.closed_form import Incidence
from distbragg.physics.near_sphere import GaussianCrystal, symmetric
from distbragg.physics.places import Places
from distbragg.predict.twin import Lit

_MOST: Final = 1 << 14
"""Places that there is room for at first."""

_NUMBERS: Final = 17  # of a place
_GRAIN: Final = 3  # and of its grain
_MOMENTS: Final = 12


class NativeTwin:
    """`predict.twin.Twin` by the native library."""

    def __init__(self) -> None:
        self._room = _MOST

    def lit(
        self, crystal: GaussianCrystal, lines: Sequence[Incidence], cut: float, dmin: float
    ) -> tuple[Places, IntArray]:
        """See `Twin`."""
        block = _crystal(crystal)
        block.cut, block.shortest_spacing = cut, dmin
        given = _lines(lines)
        while True:
            names = np.empty((self._room, 4), dtype=np.int32)
            numbers = np.empty((self._room, _NUMBERS))
            count = library().distbragg_lit(
                ctypes.byref(block), _at(given), len(lines), self._room, _at(names), _at(numbers)
            )
            if count < 0:
                raise MemoryError("the native library could not allocate a list of reflections")
            if count <= self._room:
                break
            self._room = 2 * count
        found: IntArray = names[:count].astype(np.int64)
        numbers = numbers[:count]
        relp, centre, first, second, covariance = (
            numbers[:, column : column + 3] for column in (0, 3, 6, 9, 12)
        )
        bow, reach = numbers[:, 15], numbers[:, 16]
        places = Places(found[:, :3], relp, centre, first, second, covariance, bow, reach)
        return places, found[:, 3]

    def moments(
        self, crystal: GaussianCrystal, beam: Beam, panel: Panel, lit: Lit, start: Float64Array
    ) -> Float64Array:
        """See `Twin`."""
        block = _crystal(crystal)
        layers = _panel(block, panel)
        block.polarization_axis[:] = beam.polarization_axis.tolist()
        block.kahn_factor, block.polarization = beam.kahn_factor, beam.polarized
        given, begun, places = _lines(lit.lines), np.ascontiguousarray(start.T), lit.places
        numbers = np.empty((len(places), _NUMBERS + _GRAIN))
        parts = (places.relp, places.centre, places.first, places.second, places.covariance)
        for number, part in enumerate(parts):
            numbers[:, 3 * number : 3 * number + 3] = part
        numbers[:, 15], numbers[:, 16] = places.bow, places.reach
        numbers[:, 17], numbers[:, 18] = lit.grain.cosine, lit.grain.sine
        numbers[:, 19] = lit.grain.doublings
        line, spot = (np.ascontiguousarray(part, dtype=np.int64) for part in (lit.line, lit.spot))
        weight = np.ascontiguousarray(lit.weight, dtype=np.float64)
        out = np.zeros((start.shape[1], _MOMENTS))
        arrays = (line, spot, weight, numbers, begun, out)
        status = library().distbragg_moments(
            ctypes.byref(block), _at(given), len(places), *map(_at, arrays)
        )
        del layers
        if status != 0:
            raise MemoryError("the native library could not allocate the nodes of a spot")
        return out.T


def compiled_twin() -> NativeTwin | None:
    """Return the twin; none where the native kernel cannot be used."""
    return NativeTwin() if available() else None


def _at(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def _lines(lines: Sequence[Incidence]) -> Float64Array:
    """Return lines by their numbers, (n, 11)."""
    return np.array(
        [
            [*one.direction, *one.spread[0], *one.spread[1], one.wavenumber, one.width]
            for one in lines
        ]
    )


def _crystal(crystal: GaussianCrystal) -> Parameters:
    """Return a block with a crystal in one part of a rotation, or one that stands still."""
    block = Parameters()
    block.reciprocal[:] = crystal.reciprocal.ravel().tolist()
    block.relp_covariance[:] = symmetric(crystal.covariance).parts
    block.mosaic_covariance[:] = symmetric(crystal.mosaic).parts
    block.spindle[:] = crystal.spindle.axis
    block.rotation[:] = crystal.spindle.start, crystal.spindle.stop
    block.parts = 1
    block.strains = len(crystal.strains)
    block.strain[: crystal.strains.size] = crystal.strains.ravel().tolist()
    return block


def _panel(block: Parameters, panel: Panel) -> list[Float64Array]:
    """Set a flat panel; return the arrays that the block points into."""
    block.pixel_size, block.close_distance = panel.pixel_size, panel.close_distance
    block.point_pixel = panel.point_pixel
    for name in ("origin", "fast", "slow", "normal"):
        vector = getattr(panel, name).tolist()
        getattr(block, "panel_origin" if name == "origin" else name)[:] = vector
    sensor = panel.sensor
    block.layers, block.absorbs = len(sensor.position), sensor.absorbs
    block.attenuation = sensor.attenuation
    kept = []
    for name in ("position", "front", "back"):
        kept.append(np.ascontiguousarray(getattr(sensor, name), dtype=np.float64))
        setattr(block, f"layer_{name}", _at(kept[-1]))
    return kept


def twin_beside(kernel: str) -> NativeTwin | None:
    """Return what predicts the spots of frames that a kernel renders: numpy, but for the native."""
    return compiled_twin() if kernel == "native" else None
