"""The factors of a case, by the formulas of the folder's README: what stands for a whole pixel.

simtbx takes some factors once for a pixel where distbragg takes them for every sample; these
functions take them out of one side. Panels and sources are entries of `cases.json`, lengths mm.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Json = dict[str, Any]


def unit(vector: Array) -> Array:
    """Return a vector (3,) at length 1."""
    return np.asarray(vector / math.sqrt(float(vector @ vector)))


def normal_of(panel: Json) -> Array:
    """Return fast x slow, turned away from the sample."""
    normal = np.cross(np.array(panel["fast"]), np.array(panel["slow"]))
    return normal if float(normal @ np.array(panel["origin_mm"])) > 0.0 else -normal


def plane_of(panel: Json) -> float:
    """Return the distance of a panel's front plane from the sample, mm."""
    return float(normal_of(panel) @ np.array(panel["origin_mm"]))


def positions(panel: Json, sample: tuple[float, float], sub: int, depth: float = 0.0) -> Array:
    """Return the sampled points of all pixels.

    Parameters
    ----------
    panel : dict
    sample : (float, float)
        Sub-pixel (slow, fast) of `sub` x `sub`.
    sub : int
    depth : float, mm
        Behind the front plane.

    Returns
    -------
    (slow, fast, 3) float64, mm
    """
    rows = (np.arange(panel["n_slow"]) + (sample[0] + 0.5) / sub) * panel["pixel_mm"]
    columns = (np.arange(panel["n_fast"]) + (sample[1] + 0.5) / sub) * panel["pixel_mm"]
    return np.asarray(
        np.array(panel["origin_mm"])
        + rows[:, None, None] * np.array(panel["slow"])
        + columns[None, :, None] * np.array(panel["fast"])
        + depth * normal_of(panel)
    )


def solid_angle(panel: Json, position: Array, *, point: bool) -> Array:
    """Return p² (n . origin)/|P|³ of a pixel at each position, or 1/|P|² (per m²) of a point."""
    length = np.sqrt((position**2).sum(axis=-1))
    if point:
        return np.asarray(1e6 / length**2)
    return np.asarray(panel["pixel_mm"] ** 2 * plane_of(panel) / length**3)


def polarization(beam: Json, source: Json, position: Array) -> Array:
    """Return Kahn's factor at each position, of the beam from one source."""
    incident = -unit(np.array(source["sample_to_source"]))
    magnetic = unit(np.cross(np.array(beam["E_axis"]), incident))
    electric = unit(np.cross(incident, magnetic))
    ray = position / np.sqrt((position**2).sum(axis=-1, keepdims=True))
    cosine = ray @ incident
    psi = -np.arctan2(ray @ magnetic, ray @ electric)
    share = beam["kahn_polarization"] * np.cos(2.0 * psi) * (1.0 - cosine**2)
    return np.asarray(0.5 * (1.0 + cosine**2 - share))


def cell_and_orientation(vectors: Array) -> tuple[list[float], Array]:
    """Return a cell (Å, degrees) and the rotation from its standard setting, from a, b, c (rows).

    In the standard setting a* runs along x and b* lies in the xy plane.
    """
    lengths = np.sqrt((vectors**2).sum(axis=1))
    a, b, c = vectors / lengths[:, None]
    angles = []
    for first, second in ((b, c), (a, c), (a, b)):
        sine = math.hypot(*np.cross(first, second).tolist())
        angles.append(math.degrees(math.atan2(sine, float(first @ second))))
    a_star, b_star, _ = np.linalg.inv(vectors).T
    x, z = unit(a_star), unit(np.cross(a_star, b_star))
    return [*lengths.tolist(), *angles], np.stack([x, np.cross(z, x), z], axis=1)


def cubic(table: Array, stol: Array) -> Array:
    """Return F at `stol` as simtbx takes it: the cubic through four neighbours in the table.

    Its padding points lie at infinity, so that the cubic is a parabola in the first and the last
    interval and a straight line beyond them.
    """
    knots, values = table[:, 0], table[:, 1]
    found = np.zeros_like(stol)
    right = np.searchsorted(knots, stol, side="right")
    for interval in range(len(knots) + 1):
        here = right == interval
        near = range(max(interval - 2, 0), min(interval + 2, len(knots)))
        for i in near:
            term = np.full(int(here.sum()), values[i])
            for j in near:
                if j != i:
                    term *= (stol[here] - knots[j]) / (knots[i] - knots[j])
            found[here] += term
    return found
