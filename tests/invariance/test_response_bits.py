"""What a detector records does not depend on tiles, threads, workers, order or form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client

import distbragg as db
from distbragg.engine.context import RunContext
from distbragg.engine.dask_executor import DaskExecutor
from distbragg.engine.executor import Executor, SerialExecutor, TaskSettings
from distbragg.errors import InputError
from distbragg.kernel.response import calibration_map
from distbragg.run.create import create
from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec
from distbragg.store.ledger import object_digests
from distbragg.store.run_directory import RunDirectory
from tests.invariance.runs import render_units
from tests.invariance.test_executors_bits import odd_sweep
from tests.unit.engine.fake_work import PicklingExecutor

WHOLE: dict[str, Any] = {
    "seed": 4,
    "calibration_fraction": 0.02,
    "gain_adu_per_photon": 1.8,
    "offset_adu": 40,
    "readout_adu": 4.1,
    "saturation_adu": 30_000,
    "overload_value": 30_001,
}
RESPONSE = {**WHOLE, "pixel_flicker_fraction": 0.1, "dead_fraction": 0.1, "masked_value": -1.0}


def recording_sweep(response: dict[str, Any] | None = None, **compute: Any) -> SweepSpec:
    plain = odd_sweep(**compute).model_dump(mode="json")
    plain["experiment"]["detector"]["response"] = RESPONSE if response is None else response
    return parse_sweep(plain)


def rendered(folder: Path, executor: Executor, form: Any = "unit", **compute: Any) -> RunDirectory:
    return render_units(recording_sweep(**compute), folder, executor, form)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    folder = tmp_path_factory.mktemp("reference") / "stack.zarr"
    return object_digests(rendered(folder, SerialExecutor()))


@pytest.mark.spec("RSP-2")
@pytest.mark.parametrize("tile", [[11, 13], [1, 13], [3, 4]])
@pytest.mark.parametrize("form", ["unit", "graph"])
def test_tiles_and_forms_change_no_byte(
    tmp_path: Path, reference: dict[int, str], form: str, tile: list[int]
) -> None:
    run = rendered(tmp_path / "s", PicklingExecutor(), form, tile=tile)
    assert object_digests(run) == reference


@pytest.mark.spec("RSP-2")
def test_threads_change_no_byte(tmp_path: Path, reference: dict[int, str]) -> None:
    executor = SerialExecutor(settings=TaskSettings(threads=3))
    run = rendered(tmp_path / "s", executor, tile=[4, 5])
    assert object_digests(run) == reference


@pytest.mark.spec("RSP-2")
@pytest.mark.cluster
def test_workers_change_no_byte(
    tmp_path: Path, two_workers: Client, reference: dict[int, str]
) -> None:
    run = rendered(tmp_path / "s", DaskExecutor(two_workers), "graph", tile=[4, 5])
    assert object_digests(run) == reference


@pytest.mark.spec("RSP-2")
def test_a_lazy_tile_is_cut_from_the_finished_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = recording_sweep()
    whole = np.asarray(db.render(sweep, lazy=True).values)
    monkeypatch.setattr("distbragg.engine.lazy.BLOCK_SECONDS", 1e-9)
    tiled = db.render(recording_sweep(tile=[4, 5]), lazy=True)
    assert tiled.data.npartitions > sweep.frames
    assert tiled.values.tobytes() == whole.tobytes()


@pytest.mark.spec("RSP-5")
@pytest.mark.cluster
def test_workers_have_the_same_calibration_map(two_workers: Client) -> None:
    here = calibration_map(9, 0.02, 3000)
    maps = two_workers.run(calibration_map, 9, 0.02, 3000)
    assert len(maps) == 2
    assert all(found.tobytes() == here.tobytes() for found in maps.values())


@pytest.mark.spec("RSP-6")
def test_counts_are_those_of_the_kernel_where_nothing_is_before_them() -> None:
    plain = odd_sweep(precision="float64").model_dump(mode="json")
    plain["axes"] = []
    counts = db.render(parse_sweep(plain).experiment)["images"].values
    plain["experiment"]["detector"]["response"] = {}
    behind = db.render(parse_sweep(plain).experiment)["images"].values
    plain["experiment"]["detector"]["response"] = {"pixel_flicker_fraction": 1e-99}
    drawn_by_the_hook = db.render(parse_sweep(plain).experiment)["images"].values
    assert counts.tobytes() == behind.tobytes() == drawn_by_the_hook.tobytes()


@pytest.mark.spec("RSP-8")
@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32", "uint32"])
def test_integer_stacks_hold_what_was_recorded_and_count_overloads(
    tmp_path: Path, dtype: str
) -> None:
    plain = recording_sweep(WHOLE).model_dump(mode="json")
    plain["experiment"]["output"] = {"dtype": dtype}
    run = create(parse_sweep(plain), tmp_path / "s")
    outcomes = SerialExecutor().run_units(RunContext.of(run), range(run.layout.units))
    assert all(outcome.status == "done" for outcome in outcomes)
    with db.open_stack(run.path) as stack:
        images, overloads = stack["images"].values, stack["overloads"].values
    assert images.dtype == dtype
    assert images.max() == 30_001
    assert ((images == 30_001).sum(axis=(1, 2)) == overloads).all()
    assert (overloads > 0).all()


@pytest.mark.spec("RSP-8", "STK-40")
@pytest.mark.parametrize("form", ["unit", "graph"])
def test_overloads_set_a_unit_aside_where_overflow_is_an_error(tmp_path: Path, form: Any) -> None:
    plain = recording_sweep(WHOLE).model_dump(mode="json")
    plain["experiment"]["output"] = {"overflow": "error"}
    plain["axes"][0] = {
        "name": "dose",
        "path": "beam.fluence_photons_per_m2",
        "values": [1e19, 1e20, 1e29],
    }
    sweep = parse_sweep(plain)
    for _ in range(2):
        result = db.sweep(sweep, tmp_path / "s", cluster="serial", form=form)
        assert (result.done, list(result.failures), int(result.status)) == (2, [1], 3)
        assert "pixels are beyond what the detector records" in result.failures[1]
    with db.open_stack(tmp_path / "s") as stack:
        assert list(stack.rendered.values) == [True, True, False]
    bright = sweep.frame_spec(2)
    for lazily in (lambda: db.render(bright), lambda: db.render(bright, lazy=True).compute()):
        with pytest.raises(InputError, match="beyond what the detector records"):
            lazily()
    clipped = bright.model_copy(
        update={"output": bright.output.model_copy(update={"overflow": "clip"})}
    )
    assert (db.render(clipped)["images"].values == 30_001).any()
