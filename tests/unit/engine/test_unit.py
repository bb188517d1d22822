"""Tasks on a real run: idempotent, refusing the wrong class, exact about their parts."""

from __future__ import annotations

import dataclasses
import pickle
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from distributed.metrics import context_meter

from distbragg.engine import unit as tasks
from distbragg.engine.context import ProcessCache, RunContext, check_class
from distbragg.engine.work import PICTURE, TaskSettings
from distbragg.errors import AccountingError, RefusedError
from distbragg.plan.frame import TileKey
from distbragg.rendering import frame as rendering
from distbragg.rendering.frame import merge
from distbragg.run.create import create
from distbragg.spec.canonical import to_plain
from distbragg.spec.load import parse_sweep
from distbragg.store.ledger import completed_units
from distbragg.store.run_directory import RunDirectory
from tests.sweeps import small_sweep

SETTINGS = TaskSettings()


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    sweep = small_sweep([0.0, 5.0, 9.0], tile=[6, 7], frames_per_unit=2)
    return create(sweep, tmp_path / "run.zarr")


def test_a_task_that_runs_twice_leaves_what_it_left_once(run: RunDirectory):
    first = tasks.render_unit(RunContext.of(run), 0, 0, SETTINGS)
    second = tasks.render_unit(RunContext.of(run), 0, 1, SETTINGS)
    assert first["digest"] == second["digest"]
    assert set(completed_units(run)) == {0}
    assert len(pickle.dumps(first)) < 2000


@pytest.mark.spec("ENG-5")
def test_frames_rendered_together_have_the_bits_of_frames_rendered_alone(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
):
    together = tasks.render_unit(RunContext.of(run), 0, 0, SETTINGS)
    seen: list[int] = []
    original = rendering.render_jobs

    def counted(jobs, options):
        seen.append(len(jobs))
        return original(jobs, options)

    monkeypatch.setattr(rendering, "render_jobs", counted)
    monkeypatch.setattr(rendering, "frames_at_once", lambda size: 1)
    alone = tasks.render_unit(RunContext.of(run), 0, 1, SETTINGS)
    assert seen == [1, 1]
    assert alone["digest"] == together["digest"]
    assert alone["sum"] == together["sum"]


def test_receipt_times_the_kernel_within_the_task(run: RunDirectory):
    receipt = tasks.render_unit(RunContext.of(run), 1, 2, SETTINGS)
    assert receipt["attempt"] == 2
    assert 0 < receipt["kernel_seconds"] <= receipt["render_seconds"]


@pytest.mark.spec("WAT-3")
@pytest.mark.parametrize("form", ["unit", "graph"])
def test_meters_and_receipt_tell_the_same_numbers(run: RunDirectory, form: str):
    settings = TaskSettings(watch=True)
    context = RunContext.of(run)
    told: dict[str, float] = {}

    def take(label: str, value: float, unit: str) -> None:
        told[f"{label} {unit}"] = told.get(f"{label} {unit}", 0) + value

    with context_meter.add_callback(take):
        if form == "unit":
            receipt = tasks.render_unit(context, 0, 0, settings)
        else:
            roots = [
                merge([tasks.render_partial(context, key, settings) for key in task.keys])
                for task in tasks.expand_unit(context, 0)
            ]
            receipt = tasks.write_unit(context, 0, 0, roots, settings)
    kernel = receipt["kernel_seconds"]
    assert told.pop("render-kernel seconds") == pytest.approx(kernel, abs=1e-5)
    assert told.pop("render-other seconds") == pytest.approx(receipt["render_seconds"] - kernel)
    storage = [told.pop(f"{label} seconds") for label in ("encode", "write", "verify")]
    assert min(storage) > 0
    assert sum(storage) == pytest.approx(receipt["write_seconds"])
    assert storage[0] == receipt["encode_seconds"]
    assert storage[2] == receipt["verify_seconds"]
    assert receipt["steps"] == sum(context.opened.frame(frame).plan.steps for frame in (0, 1))
    assert told == {
        "frames count": 2,
        "pixel-steps count": receipt["steps"],
        "bytes-raw bytes": 2 * 11 * 13 * 4,
        "bytes-stored bytes": receipt["size"],
    }


@pytest.mark.spec("WAT-4")
def test_picture_travels_beside_the_receipt_and_is_not_stored(run: RunDirectory):
    told = tasks.render_unit(RunContext.of(run), 0, 0, TaskSettings(picture=True))
    assert told[PICTURE]["shape"] == [11, 13]
    assert PICTURE not in completed_units(run)[0].to_plain()
    assert PICTURE not in tasks.render_unit(RunContext.of(run), 0, 1, TaskSettings(watch=True))


def test_lost_tile_is_an_error_and_nothing_is_stored(run: RunDirectory):
    context = RunContext.of(run)
    roots = [
        merge([tasks.render_partial(context, key, SETTINGS) for key in task.keys])
        for task in tasks.expand_unit(context, 0)
    ]
    with pytest.raises(AccountingError, match="no sum arrived"):
        tasks.write_unit(context, 0, 0, roots[:-1], SETTINGS)
    stray = dataclasses.replace(roots[0], keys=(TileKey(2, 0, 0, 0),))
    with pytest.raises(AccountingError, match="belong to no tile"):
        tasks.write_unit(context, 0, 0, [*roots, stray], SETTINGS)
    assert completed_units(run) == {}


def test_process_of_another_class_is_refused(run: RunDirectory):
    theirs = {**run.manifest.numeric_class, "isa": "other"}
    with pytest.raises(RefusedError, match=r"isa is [\w-]+ here and other in the run"):
        check_class(theirs, run.manifest.numeric_class, allow_mixed=False)
    check_class(theirs, run.manifest.numeric_class, allow_mixed=True)


def test_keys_name_a_run_by_twelve_hex_digits_of_its_identity(run: RunDirectory):
    assert tasks.RENDERING.name_of(RunContext.of(run)) == run.run_id[:12]


def test_process_cache_makes_each_value_once_and_forgets_the_oldest():
    made: list[int] = []
    cache: ProcessCache[int, int] = ProcessCache(2)

    def get(key: int) -> int:
        return cache.get(key, lambda: made.append(key) or key * 10)

    assert [get(key) for key in (1, 2, 1, 3, 1, 2)] == [10, 20, 10, 30, 10, 20]
    assert made == [1, 2, 3, 2]


def test_process_cache_keeps_more_values_while_they_are_small():
    cache: ProcessCache[int, bytes] = ProcessCache(2, len, 10)
    made: list[int] = []

    def get(key: int, size: int) -> None:
        cache.get(key, lambda: made.append(key) or bytes(size))

    for key in (1, 2, 3, 4, 1, 2, 3, 4):
        get(key, 2)
    assert made == [1, 2, 3, 4]
    get(5, 20)  # there is room for one more, whatever its size
    get(6, 1)  # which leaves none but for two
    get(5, 20)
    assert made == [1, 2, 3, 4, 5, 6]
    get(4, 2)
    assert made[6:] == [4]


@pytest.mark.spec("ENG-30")
def test_different_values_are_made_side_by_side_and_one_value_once():
    cache: ProcessCache[int, int] = ProcessCache(4)
    both = threading.Barrier(2, timeout=20)
    made: list[int] = []

    def make(key: int) -> int:
        both.wait()  # passes only where another value is being made at the same time
        made.append(key)
        return key

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda key: cache.get(key, lambda: make(key)), [1, 2, 1, 2]))
    assert found == [1, 2, 1, 2]
    assert sorted(made) == [1, 2]


def test_value_that_could_not_be_made_is_tried_again():
    cache: ProcessCache[int, int] = ProcessCache(2)
    with pytest.raises(ZeroDivisionError):
        cache.get(1, lambda: 1 // 0)
    assert cache.get(1, lambda: 7) == 7


@pytest.mark.spec("ENG-30")
def test_context_is_two_strings_and_refuses_another_run_at_its_address(run: RunDirectory):
    context = RunContext.of(run)
    assert pickle.loads(pickle.dumps(context)) == context == RunContext(str(run.path), run.run_id)
    assert str(context) == str(run.path)
    with pytest.raises(RefusedError, match="start again"):
        _ = RunContext(context.url, "0" * 64).directory


@pytest.mark.spec("ENG-30")
def test_run_created_anew_at_the_same_address_is_another_run(run: RunDirectory):
    before = tasks.render_unit(RunContext.of(run), 0, 0, SETTINGS)
    plain = to_plain(run.sweep)
    plain["experiment"]["detector"]["distance_mm"] = 75
    shutil.rmtree(run.path)
    other = create(parse_sweep(plain), run.path)
    with pytest.raises(RefusedError, match="start again"):
        tasks.render_unit(RunContext(str(run.path), "1" * 64), 0, 0, SETTINGS)
    after = tasks.render_unit(RunContext.of(other), 0, 0, SETTINGS)
    assert after["run"] == other.run_id != before["run"]
    assert after["sum"] != before["sum"]


def test_partials_are_numpy(run: RunDirectory):
    partial = tasks.render_partial(RunContext.of(run), TileKey(0, 0, 0, 0), SETTINGS)
    assert type(partial.numerator) is np.ndarray
