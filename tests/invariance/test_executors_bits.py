"""The same bits serially and on 1, 2, 4 workers, in either form, from one rendering to the next.

Digests are those of the stored objects, as the receipts state them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client

from distbragg.clusters.open import open_client
from distbragg.engine.context import RunContext
from distbragg.engine.dask_executor import DaskExecutor
from distbragg.engine.executor import Executor, SerialExecutor, TaskSettings
from distbragg.run.create import create
from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec
from distbragg.store.ledger import object_digests
from distbragg.store.run_directory import RunDirectory
from tests.invariance.runs import render_units, stored
from tests.unit.engine.fake_work import PicklingExecutor

SHAPE = (11, 13)
FRAMES = 3


def odd_sweep(**compute: Any) -> SweepSpec:
    return parse_sweep(
        {
            "experiment": {
                "beam": {
                    "wavelength_angstrom": 1.0,
                    "spectrum": {
                        "wavelengths_angstrom": [1.0, 1.01, 0.99, 1.02, 0.98],
                        "weights": [1.0, 0.3, 0.7, 0.11, 0.9],
                    },
                },
                "crystal": {
                    "cell": [31, 37, 41, 85, 95, 100],
                    "block_cells": [5, 6, 7],
                    "mosaic": {"spread_deg": 0.4, "domains": 3, "seed": -7},
                },
                "structure_factors": {"default_f_electrons": 10.0},
                "detector": {
                    "distance_mm": 60,
                    "pixel_size_mm": 2.0,
                    "pixels_fast": SHAPE[1],
                    "pixels_slow": SHAPE[0],
                    "roi": [1, 11, 0, 8],
                },
                "background": {"water_um": 10.0},
                "noise": {"photon": True, "seed": 5},
                "sampling": {"oversample": 2},
                "compute": {"frames_per_unit": 2, **compute},
            },
            "axes": [{"name": "phi", "path": "goniometer.phi_deg", "values": [0.0, 7.5, 40.0]}],
        }
    )


def rendered(folder: Path, executor: Executor, form: Any = "unit", **compute: Any) -> RunDirectory:
    return render_units(odd_sweep(**compute), folder, executor, form)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    folder = tmp_path_factory.mktemp("reference") / "stack.zarr"
    return object_digests(rendered(folder, SerialExecutor(), tile=[4, 5], source_chunk=2))


@pytest.mark.parametrize("form", ["unit", "graph"])
def test_serial_forms_store_the_same_bytes(tmp_path: Path, reference: dict[int, str], form: str):
    executor = PicklingExecutor()
    run = rendered(tmp_path / "s", executor, form, tile=[4, 5], source_chunk=2)
    assert object_digests(run) == reference


def test_threads_change_no_byte(tmp_path: Path, reference: dict[int, str]):
    executor = SerialExecutor(settings=TaskSettings(threads=3))
    run = rendered(tmp_path / "s", executor, tile=[4, 5], source_chunk=2)
    assert object_digests(run) == reference


@pytest.mark.cluster
@pytest.mark.parametrize("form", ["unit", "graph"])
def test_two_workers_store_the_same_bytes(
    tmp_path: Path, two_workers: Client, reference: dict[int, str], form: str
):
    run = rendered(tmp_path / "s", DaskExecutor(two_workers), form, tile=[4, 5], source_chunk=2)
    assert object_digests(run) == reference


@pytest.mark.cluster
@pytest.mark.slow
def test_another_number_of_workers_stores_the_same_bytes(tmp_path: Path, reference: dict[int, str]):
    with open_client("local", workers=3) as opened:
        for form in ("unit", "graph"):
            folder = tmp_path / form
            run = rendered(folder, DaskExecutor(opened.client), form, tile=[4, 5], source_chunk=2)
            assert object_digests(run) == reference


@pytest.mark.parametrize("tile", [[11, 13], [1, 13], [3, 4], [8, 7]])
def test_another_tiling_changes_no_bit(tmp_path: Path, tile: list[int]):
    whole = rendered(tmp_path / "a", SerialExecutor(), source_chunk=2)
    tiled = rendered(tmp_path / "b", SerialExecutor(), source_chunk=2, tile=tile)
    assert stored(tiled).tobytes() == stored(whole).tobytes()


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_another_source_chunking_stays_within_one_step_of_float32(tmp_path: Path, chunk: int):
    plain = {"noise": {"photon": False}}
    images = []
    for name, size in (("a", 5), ("b", chunk)):
        sweep = odd_sweep(source_chunk=size)
        experiment = sweep.experiment.model_copy(
            update={"noise": sweep.experiment.noise.model_copy(update=plain["noise"])}
        )
        run = create(SweepSpec(experiment=experiment, axes=sweep.axes), tmp_path / name)
        outcomes = SerialExecutor().run_units(RunContext.of(run), range(run.layout.units))
        assert all(outcome.status == "done" for outcome in outcomes)
        images.append(stored(run))
    np.testing.assert_array_max_ulp(images[0], images[1], maxulp=1)


def test_masked_pixels_are_zero_and_the_rest_is_not(tmp_path: Path):
    images = stored(rendered(tmp_path / "s", SerialExecutor(), tile=[4, 5]))
    assert images.shape == (FRAMES, *SHAPE)
    assert (images[:, :, 0] == 0).all()
    assert (images[:, 9:, :] == 0).all()
    assert images.max() > 0
