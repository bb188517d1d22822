"""Spots of detectors whose panels differ in size, or lie behind the sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distbragg.kernel.native.moments import compiled_twin
from distbragg.models.build import build_experiment
from distbragg.predict.spots import predict_spots
from distbragg.predict.table import Spots
from distbragg.spec.load import parse_spec

pytestmark = pytest.mark.spec("LAB-1")
METHODS = ("closed_form", "sampled")
EDGE_MM = 2.0


def panel_at(place: list[float], slow: int, fast: int) -> dict[str, Any]:
    """Return a panel across the beam, `place` is where its corner lies, mm."""
    return {
        "origin_mm": place, "fast": [0, 1, 0], "slow": [0, 0, 1],
        "pixel_size_mm": EDGE_MM, "pixels_fast": fast, "pixels_slow": slow,
    }  # fmt: skip


def spots_of(panels: list[dict[str, Any]], method: str, **crystal: Any) -> Spots:
    spec = {
        "beam": {"wavelength_angstrom": 1.0, "direction": [1, 0, 0], "bandwidth_percent": 0.5},
        "crystal": {
            "cell": [10, 13, 15, 80, 95, 105],
            "block_cells": [24, 18, 15],
            "misset_deg": [10, 20, 30],
            "shape": "gauss",
            "mosaic": {"distribution": "gaussian", "spread_deg": 0.5, "domains": 5},
            **crystal,
        },
        "structure_factors": {"default_f_electrons": 10},
        "detector": {"panels": panels},
        "sampling": {"method": method},
    }
    if method == "sampled":
        del spec["beam"]["bandwidth_percent"]
    return predict_spots(build_experiment(parse_spec(spec)), twin=compiled_twin())


def names_of(spots: Spots) -> set[tuple[int, int, int]]:
    return set(zip(spots.h.tolist(), spots.k.tolist(), spots.l.tolist(), strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_pixels_that_a_small_panel_lacks_hold_no_spot(method: str) -> None:
    """All panels have the shape of the largest: what pads a small one lies over its neighbour."""
    small, large = panel_at([60, -60, -60], 30, 20), panel_at([60, -20, -60], 60, 50)
    spots = spots_of([small, large], method)
    for number, panel in enumerate((small, large)):
        own, alone = spots.only(np.flatnonzero(spots.panel == number)), spots_of([panel], method)
        assert len(alone) > 10
        np.testing.assert_array_equal(own.slow, alone.slow)
        np.testing.assert_array_equal(own.photons, alone.photons)
        assert own.active.all()


@pytest.mark.parametrize("method", METHODS)
def test_a_panel_behind_the_sample_has_the_spots_that_its_parts_have(method: str) -> None:
    """What lies between its corners is farther from the beam than all of them."""
    whole = spots_of([panel_at([-30, -90, -90], 90, 90)], method)
    parts = [
        spots_of([panel_at([-30, -90 + 60 * i, -90 + 60 * j], 30, 30)], method)
        for i in range(3)
        for j in range(3)
    ]
    assert names_of(whole) == set().union(*map(names_of, parts))
    assert len(whole) == sum(map(len, parts))
    assert whole.resolution.min() < 0.51


@pytest.mark.parametrize("method", METHODS)
def test_a_spot_of_blocks_of_several_sizes_is_active_where_its_mean_is(
    method: str, tmp_path: Path
) -> None:
    """Each size has a place of its own, here on pixels of a chessboard."""
    panel = panel_at([60, -30, -30], 600, 600) | {"pixel_size_mm": 0.1}
    chessboard = np.indices((600, 600)).sum(axis=0) % 2
    np.save(tmp_path / "mask.npy", chessboard)
    panel["mask_file"] = str(tmp_path / "mask.npy")
    spots = spots_of([panel], method, size_spread_fraction=0.4)
    assert len(spots) > 10
    inside = (spots.slow >= 0) & (spots.slow < 600) & (spots.fast >= 0) & (spots.fast < 600)
    own = spots.only(np.flatnonzero(inside))
    seen = chessboard[own.slow.astype(int), own.fast.astype(int)]
    np.testing.assert_array_equal(own.active, seen == 1)


def test_blocks_of_several_sizes_make_one_row_whatever_the_panels() -> None:
    """Beside an edge the spots of some sizes lie on one side of it, and of others on the other."""
    sized = {"size_spread_fraction": 0.4, "cell": [40, 50, 60, 80, 95, 105]}
    fine = {"pixel_size_mm": 0.1}
    whole = spots_of([panel_at([60, -20, -20], 400, 400) | fine], "closed_form", **sized)
    strips = [panel_at([60, -20 + 2 * i, -20], 400, 20) | fine for i in range(20)]
    parts = spots_of(strips, "closed_form", **sized)
    assert len(parts) == len(names_of(parts)) == len(whole) > 300
    parts, whole = (spots.only(np.lexsort([spots.l, spots.k, spots.h])) for spots in (parts, whole))
    np.testing.assert_array_equal(parts.h, whole.h)
    np.testing.assert_allclose(parts.photons, whole.photons, rtol=1e-9)
    np.testing.assert_allclose(parts.fast + 20 * parts.panel, whole.fast, atol=1e-9)
