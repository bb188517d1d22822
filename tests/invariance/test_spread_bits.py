"""Point spread leaves no seam: tiles, threads, forms and panels change no bit of a frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import distbragg as db
from distbragg.engine.context import RunContext
from distbragg.engine.executor import Executor, SerialExecutor, TaskSettings
from distbragg.run.create import create
from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec
from distbragg.store.ledger import object_digests
from tests.invariance.test_executors_bits import odd_sweep
from tests.unit.engine.fake_work import PicklingExecutor

FIBRE = {"kind": "fibre", "fwhm_px": 1.5, "radius_px": 4}
EXPECTED = {"kind": "gauss", "fwhm_px": 1.2, "stage": "expected"}


def spreading_sweep(spread: dict[str, Any], *, photon: bool, **compute: Any) -> SweepSpec:
    plain = odd_sweep(**compute).model_dump(mode="json")
    plain["experiment"]["detector"]["point_spread"] = spread
    plain["experiment"]["noise"]["photon"] = photon
    plain["experiment"]["output"] = {"dtype": "float32"}
    return parse_sweep(plain)


def digests(
    folder: Path, spread: dict[str, Any], executor: Executor, form: Any = "unit", **compute: Any
) -> dict[int, str]:
    run = create(spreading_sweep(spread, photon=True, **compute), folder)
    outcomes = list(executor.run_units(RunContext.of(run), range(run.layout.units), form=form))
    assert [outcome.reason for outcome in outcomes] == ["", ""]
    return object_digests(run)


@pytest.mark.spec("PSF-6")
@pytest.mark.parametrize("spread", [FIBRE, EXPECTED])
def test_tiles_threads_and_forms_change_no_byte(tmp_path: Path, spread: dict[str, Any]) -> None:
    whole = digests(tmp_path / "whole", spread, SerialExecutor())
    for number, tile in enumerate(([1, 13], [3, 4], [4, 5])):
        for form in ("unit", "graph"):
            folder = tmp_path / f"{number}-{form}"
            assert digests(folder, spread, PicklingExecutor(), form, tile=tile) == whole
    threads = SerialExecutor(settings=TaskSettings(threads=3))
    assert digests(tmp_path / "threads", spread, threads, tile=[4, 5]) == whole


@pytest.mark.spec("PSF-6")
def test_a_lazy_tile_is_cut_from_the_finished_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = spreading_sweep(FIBRE, photon=False)
    whole = np.asarray(db.render(sweep, lazy=True).values)
    monkeypatch.setattr("distbragg.engine.lazy.BLOCK_SECONDS", 1e-9)
    tiled = db.render(spreading_sweep(FIBRE, photon=False, tile=[4, 5]), lazy=True)
    assert tiled.data.npartitions > sweep.frames
    assert tiled.values.tobytes() == whole.tobytes()
