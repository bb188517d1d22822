"""However a repair ends, no sound object is lost: killed anywhere, refused, without room."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import distbragg as db
from distbragg.engine import context as context_module
from distbragg.engine import unit as unit_module
from distbragg.errors import EnvironmentFailure, ExitStatus, RefusedError
from distbragg.run.repair import repair
from distbragg.run.verify import verify
from distbragg.spec.sweep import SweepSpec
from distbragg.store.files import sha256_file
from distbragg.store.run_directory import RunDirectory, open_run
from distbragg.store.spots import labels_key
from tests import loaded

from .conftest import AXES, digests_of, tiny_plain

KILLS = 5


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labelled") / "RUN"
    experiment = tiny_plain(
        output={"labels": True, "label_minimum_photons": 0.0}, detector={"pixel_size_mm": 1.0}
    )
    sweep = SweepSpec.model_validate({"experiment": experiment, "axes": list(AXES)})
    db.resume(db.create(sweep, path), cluster="serial")
    return path


@pytest.fixture
def run(labelled: Path, tmp_path: Path) -> RunDirectory:
    return open_run(shutil.copytree(labelled, tmp_path / "RUN"))


def stored(run: RunDirectory) -> dict[int, str]:
    """Digests of the objects that are there."""
    paths = {unit: run.object_path(unit) for unit in range(run.layout.units)}
    return {unit: sha256_file(path)[0] for unit, path in paths.items() if path.is_file()}


def lose_receipts(run: RunDirectory) -> None:
    for path in (run.state / "receipts").iterdir():
        path.unlink()


def lose_a_table(run: RunDirectory) -> None:
    (run.path / labels_key(3)).unlink()


def flip_two(run: RunDirectory) -> None:
    for unit in (2, 6):
        path = run.object_path(unit)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)


DAMAGE = [lose_receipts, lose_a_table, flip_two]


@pytest.mark.spec("STK-15")
@pytest.mark.parametrize("damage", DAMAGE)
def test_repair_that_cannot_render_changes_no_object(
    run: RunDirectory, damage: Callable[[RunDirectory], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(run)
    before = stored(run)
    with monkeypatch.context() as patch:
        patch.setattr(context_module, "numeric_class", lambda _: {"kernel": "another"})
        if damage is lose_a_table:
            assert repair(run, cluster="serial").repaired == (3,)
        else:
            with pytest.raises(RefusedError, match="no object was removed or replaced"):
                repair(run, cluster="serial")
    assert stored(run) == before
    if damage is lose_receipts:
        monkeypatch.setattr("distbragg.clusters.open.CONNECT_TIMEOUT_S", 1)
        with pytest.raises(EnvironmentFailure):
            repair(run, cluster="tcp://127.0.0.1:9")
        assert stored(run) == before
    repair(run, cluster="serial")
    assert verify(run, level="deep").sound


@pytest.mark.spec("STK-15")
def test_repair_without_room_changes_no_object(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_receipts(run)
    before = stored(run)

    def full(*_: object, **__: object) -> None:
        raise EnvironmentFailure("no space left on the file system")

    monkeypatch.setattr(unit_module.UnitWriter, "finish", full)
    with pytest.raises(EnvironmentFailure):
        repair(run, cluster="serial")
    assert stored(run) == before


@pytest.mark.spec("STK-15")
def test_objects_without_receipts_are_adopted_byte_for_byte(
    run: RunDirectory, labelled: Path
) -> None:
    lose_receipts(run)
    result = repair(run, cluster="serial")
    assert result.status is ExitStatus.DONE
    assert len(result.repaired) == run.layout.units
    assert digests_of(run.path) == stored(run) == digests_of(labelled)


@pytest.mark.spec("STK-15")
def test_table_that_comes_out_otherwise_costs_no_image(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_a_table(run)
    before = stored(run)
    monkeypatch.setattr("distbragg.store.spots.SpotTable.encode", lambda _: (b"another", {}))
    result = repair(run, cluster="serial")
    assert result.status is ExitStatus.FAILED_FRAMES
    assert "its image is sound" in result.failed[3]
    assert stored(run) == before


@pytest.mark.slow
@pytest.mark.spec("STK-15")
def test_repair_killed_at_any_moment_leaves_every_sound_object(
    run: RunDirectory, labelled: Path
) -> None:
    """Some moments lie before the first unit, some within, some after the last."""
    lose_receipts(run)
    sound = digests_of(labelled)
    flipped = run.object_path(2)
    flipped.write_bytes(flipped.read_bytes()[:-1] + b"x")
    draw = random.Random(5)
    for _ in range(KILLS):
        process = loaded.start(["-m", "distbragg", "repair", run.path, "--cluster", "serial"])
        time.sleep(draw.uniform(0.0, 1.5))
        process.kill()
        process.wait()
        now = stored(run)
        assert now.keys() == sound.keys()
        assert all(now[unit] == sound[unit] for unit in now if unit != 2)
        lose_receipts(run)
    assert repair(run, cluster="serial").status is ExitStatus.DONE
    assert stored(run) == sound
    assert verify(run, level="deep").sound
