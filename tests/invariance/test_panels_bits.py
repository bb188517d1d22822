"""A detector cut into panels gives the pixels of one panel, whoever renders it and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distbragg.clusters.open import open_client
from distbragg.engine.dask_executor import DaskExecutor
from distbragg.engine.executor import Executor, SerialExecutor
from distbragg.run.render import render_image
from distbragg.run.verify import verify
from distbragg.spec.load import parse_spec, parse_sweep
from distbragg.store.ledger import object_digests
from distbragg.store.open import open_stack
from distbragg.store.run_directory import RunDirectory
from tests.invariance.runs import render_units
from tests.tolerances import NATIVE_MIXED_OF_MAXIMUM
from tests.unit.engine.fake_work import PicklingExecutor

SHAPE = (22, 26)
PIXEL_M = 1 / 256
"""All places are multiples of it, exact in mm too: cutting moves no bit of the geometry."""

CORNER = (1 / 4, 11 * PIXEL_M, -13 * PIXEL_M)


def plain(detector: dict[str, Any], precision: str = "float64") -> dict[str, Any]:
    return {
        "beam": {"wavelength_angstrom": 1.0, "direction": [1, 0, 0]},
        "crystal": {
            "cell": [31, 37, 41, 85, 95, 100],
            "block_cells": [5, 6, 7],
            "mosaic": {"spread_deg": 0.4, "domains": 3, "seed": -7},
        },
        "structure_factors": {"default_f_electrons": 10.0},
        "sampling": {"oversample": 2},
        "background": {"water_um": 10.0},
        "compute": {"precision": precision},
        "detector": detector,
    }


def panels(slow: int, fast: int) -> dict[str, Any]:
    """Panels of `slow` x `fast` pixels that tile the detector, left to right and down."""
    pixel = PIXEL_M * 1e3
    cut = [
        {
            "origin_mm": [
                CORNER[0] * 1e3,
                CORNER[1] * 1e3 - row * pixel,
                CORNER[2] * 1e3 + column * pixel,
            ],
            "fast": [0, 0, 1],
            "slow": [0, -1, 0],
            "pixels_slow": min(slow, SHAPE[0] - row),
            "pixels_fast": min(fast, SHAPE[1] - column),
            "pixel_size_mm": pixel,
        }
        for row in range(0, SHAPE[0], slow)
        for column in range(0, SHAPE[1], fast)
    ]
    return {"panels": cut}


def assembled(stack: np.ndarray, slow: int, fast: int) -> np.ndarray:
    image = np.full(SHAPE, np.nan)
    places = [(r, c) for r in range(0, SHAPE[0], slow) for c in range(0, SHAPE[1], fast)]
    for panel, (row, column) in zip(stack, places, strict=True):
        space = image[row : row + slow, column : column + fast]
        space[...] = panel[: space.shape[0], : space.shape[1]]
        assert not panel[space.shape[0] :].any()
        assert not panel[:, space.shape[1] :].any()
    return image


@pytest.fixture(scope="module")
def whole() -> np.ndarray:
    one = {
        "pixels_slow": SHAPE[0],
        "pixels_fast": SHAPE[1],
        "pixel_size_mm": PIXEL_M * 1e3,
        "origin_mm": [x * 1e3 for x in CORNER],
    }
    return render_image(parse_spec(plain(one)))


@pytest.mark.spec("GEO-12")
@pytest.mark.parametrize("size", [(22, 26), (11, 13), (22, 1), (8, 9), (5, 26)])
def test_panels_cut_from_one_give_its_pixels_bit_for_bit(whole: np.ndarray, size):
    image = render_image(parse_spec(plain(panels(*size))))
    together = image if image.ndim == 2 else assembled(image, *size)
    assert whole.max() > 0.0
    assert together.tobytes() == whole.tobytes()


@pytest.mark.spec("GEO-12")
def test_mixed_precision_agrees_to_its_own_rounding(whole: np.ndarray):
    image = render_image(parse_spec(plain(panels(8, 9), "mixed")))
    difference = np.abs(assembled(image, 8, 9) - whole).max()
    assert difference <= NATIVE_MIXED_OF_MAXIMUM * whole.max()


def rendered(folder: Path, executor: Executor, form: Any, **compute: Any) -> RunDirectory:
    experiment = plain(panels(8, 9))
    experiment["noise"] = {"photon": True, "seed": 3}
    experiment["compute"] = {"tile": [3, 4], "frames_per_unit": 2, **compute}
    axes = [{"name": "phi", "path": "goniometer.phi_deg", "values": [0.0, 7.5, 40.0]}]
    sweep = parse_sweep({"experiment": experiment, "axes": axes})
    return render_units(sweep, folder, executor, form)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    folder = tmp_path_factory.mktemp("panels") / "stack.zarr"
    return rendered(folder, SerialExecutor(), "unit")


@pytest.mark.spec("GEO-12")
def test_both_forms_store_the_same_panels(tmp_path: Path, reference: RunDirectory):
    run = rendered(tmp_path / "s", PicklingExecutor(), "graph")
    assert object_digests(run) == object_digests(reference)


@pytest.mark.cluster
@pytest.mark.spec("GEO-12")
def test_workers_store_the_same_panels(tmp_path: Path, reference: RunDirectory):
    with open_client("local:2") as opened:
        client = opened.client
        for form in ("unit", "graph"):
            run = rendered(tmp_path / form, DaskExecutor(client), form)
            assert object_digests(run) == object_digests(reference)


@pytest.mark.spec("STK-2")
def test_a_stack_of_panels_says_where_each_of_them_is(reference: RunDirectory):
    with open_stack(reference.path) as stack:
        assert stack["images"].dims == ("phi", "panel", "slow", "fast")
        assert stack["images"].shape == (3, 9, 8, 9)
        assert stack["panel"].values[4] == "panel4"
        origin = stack["panel_origin"]
        assert origin.attrs["units"] == "mm"
        np.testing.assert_array_equal(origin.sel(panel="panel0"), np.array(CORNER) * 1e3)
        np.testing.assert_array_equal(stack["panel_fast"][3], [0, 0, 1])
        np.testing.assert_array_equal(stack["panel_slow"][3], [0, -1, 0])
        assert stack["panel_pixel_size"].values[0] == PIXEL_M * 1e3
        assert stack["panel_pixels_slow"].values.tolist() == [8] * 6 + [6] * 3
        assert stack["panel_pixels_fast"].values.tolist() == [9, 9, 8] * 3
        assert int(stack["images"].sum()) > 0


def test_a_stack_of_panels_is_verified(reference: RunDirectory):
    assert verify(reference.path, level="full").damaged == ()
