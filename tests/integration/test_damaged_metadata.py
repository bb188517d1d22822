"""Metadata that are damaged are refused in one line, and made again from the manifest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import distbragg as db
from distbragg.cli.main import main
from distbragg.errors import DamageError, ExitStatus
from distbragg.run.publish import publish
from distbragg.run.repair import repair
from distbragg.run.verify import seal, verify
from distbragg.spec.sweep import SweepSpec
from distbragg.store.layout import MANIFEST, METADATA, SEAL_DIGESTS_FILE, SEAL_FILE, STATE_DIR

from .conftest import AXES, tiny_sweep

VECTORS = {
    "name": "misset",
    "path": "crystal.misset_deg",
    "dim": "phi",
    "values": [[float(i), 0.0, 1.0] for i in range(3)],
}
TWO_PANELS = [
    {"name": name, "origin_mm": [100.0, y, -2.0], "fast": [0, 0, 1], "slow": [0, 1, 0]}
    for name, y in (("low", -3.0), ("high", 0.5))
]


def rich_sweep() -> SweepSpec:
    """Return a sweep that has metadata of every kind: maps, variants, labels, panels, vectors."""
    axis = {**AXES[0], "values": [0.0, 1.0, 2.0]}
    return tiny_sweep(
        (axis, VECTORS),
        detector={"distance_mm": None, "panels": TWO_PANELS},
        output={
            "maps": ["hkl"],
            "labels": True,
            "variants": [{"name": "small", "pool": 2, "how": "max"}],
        },
    )


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rich") / "RUN"
    db.resume(db.create(rich_sweep(), path), cluster="serial")
    return path


@pytest.fixture
def run(rich: Path, tmp_path: Path) -> Path:
    return shutil.copytree(rich, tmp_path / "RUN")


def files_of(run: Path) -> dict[str, bytes]:
    """Return all that a run holds but its records of repairs."""
    found = (path for path in run.rglob("*") if path.is_file() and path.parent.name != "repairs")
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in found}


def keys_of(run: Path) -> list[str]:
    return sorted(path.relative_to(run).as_posix() for path in run.rglob(METADATA))


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def changed(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        body = json.loads(path.read_text())
        change(body)
        path.write_text(json.dumps(body))

    return write


DAMAGE: dict[str, Callable[[Path], object]] = {
    "half": half,
    "empty": lambda path: path.write_bytes(b""),
    "missing": Path.unlink,
    "a list": lambda path: path.write_text("[1, 2]"),
    "nothing": lambda path: path.write_text("{}"),
    "no type": changed(lambda body: body.pop("node_type")),
    "attributes": changed(lambda body: body.update(attributes=5)),
    "no fill value": changed(lambda body: body.pop("fill_value")),
    "no text": lambda path: path.write_bytes(b"\xff\xfe"),
}


@pytest.mark.spec("STK-23")
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_metadata_are_refused_and_come_out_as_they_were(
    damage: str, run: Path, rich: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, keys = files_of(rich), keys_of(rich)
    assert {"images", "small", "hkl", "labels", "panel", "xyz", "phi", "small_fast"} <= {
        key.partition("/")[0] for key in keys
    }
    # Of most kinds a group, an array and a coordinate show what becomes of them.
    few = [f"images/{METADATA}", f"phi/{METADATA}", METADATA][: 2 if "fill" in damage else 3]
    for key in keys if damage in ("half", "missing") else few:
        DAMAGE[damage](run / key)
        for command in ("resume", "verify"):
            assert main([command, str(run)]) == ExitStatus.DAMAGE, key
            (line,) = capsys.readouterr().err.splitlines()
            place = f"{run}/{key}".removesuffix(f"/{METADATA}")
            assert line.startswith(f"distbragg: error: {place}"), line
            assert line.endswith(f"`distbragg repair {run}` makes it again")
        assert main(["repair", str(run), "--cluster", "serial"]) == 0
        assert f"made again: {key}: " in capsys.readouterr().out
        assert files_of(run) == before, key
    assert verify(run, level="deep").sound


@pytest.mark.spec("STK-23")
def test_all_metadata_at_once_are_made_again(run: Path, rich: Path) -> None:
    before = files_of(rich)
    for key in keys_of(rich):
        (run / key).unlink()
    for name in ("phi", "fast", "panel_origin"):
        shutil.rmtree(run / name)
    result = repair(run, cluster="serial")
    assert (result.repaired, set(result.rebuilt)) == ((), set(keys_of(rich)))
    assert files_of(run) == before


@pytest.mark.spec("STK-23")
def test_a_damaged_stack_is_neither_published_nor_created_again(run: Path) -> None:
    half(run / METADATA)
    with pytest.raises(DamageError, match="makes it again"):
        publish(run, "s3://bucket/run.zarr")
    with pytest.raises(DamageError, match="makes it again"):
        db.create(rich_sweep(), run)


@pytest.mark.spec("STK-23")
@pytest.mark.parametrize("sealed", [False, True])
def test_values_of_coordinates_are_put_again(sealed: bool, run: Path, rich: Path) -> None:
    if sealed:
        seal(run)
    before = files_of(run)
    for name in ("phi/c/0", "misset/c/0/0"):
        (run / name).write_bytes(b"no values")
    result = repair(run, level="deep", cluster="serial")
    assert {key.partition("/")[0] for key in result.rebuilt} == {"phi", "misset"}
    assert result.status == ExitStatus.DONE
    assert files_of(run) == before


@pytest.mark.spec("STK-23")
def test_attributes_of_a_sealed_run_are_put_again(run: Path) -> None:
    seal(run)
    before, path = files_of(run), run / "images" / METADATA
    path.write_text(path.read_text().replace('"units": "photons"', '"units": "counts"'))
    (item,) = verify(run).files
    assert "its attribute 'units' was changed" in item.problem
    result = repair(run, cluster="serial")
    assert (list(result.rebuilt), result.unmended) == (["images/zarr.json"], ())
    assert files_of(run) == before


@pytest.mark.spec("STK-23")
@pytest.mark.spec("STK-20")
@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
def test_what_a_user_added_is_kept_where_it_can_still_be_read(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    group = zarr.open_group(run, mode="r+")
    group.create_group("own").create_array("mask", shape=(4,), dtype="i4")
    group["images"].update_attributes({"seen": 1})
    group.update_attributes({"license": "CC0"})
    zarr.consolidate_metadata(run)
    half(run / "images" / METADATA)
    assert repair(run, cluster="serial").status == ExitStatus.DONE
    stack = db.open_stack(run)
    assert (stack.images.attrs["seen"], stack.attrs["license"]) == (1, "CC0")
    half(run / METADATA)
    assert main(["repair", str(run), "--cluster", "serial"]) == 0
    assert "attributes that a user added to it are gone" in capsys.readouterr().out
    assert db.open_stack(run).images.attrs["seen"] == 1
    assert "license" not in db.open_stack(run).attrs
    repeated = json.loads((run / METADATA).read_text())["consolidated_metadata"]["metadata"]
    assert "own/mask" in repeated
    assert verify(run, level="deep").sound


@pytest.mark.spec("STK-23")
def test_metadata_of_an_extended_run_are_made_again(finished: Path, tmp_path: Path) -> None:
    path = shutil.copytree(finished, tmp_path / "RUN")
    axis = {**AXES[0], "values": [5.0, 6.0]}
    db.resume(db.extend(path, tiny_sweep((axis, AXES[1]))), cluster="serial")
    before = files_of(path)
    for key in keys_of(path):
        (path / key).unlink()
    shutil.rmtree(path / "phi")
    assert repair(path, cluster="serial").status == ExitStatus.DONE
    assert files_of(path) == before
    np.testing.assert_array_equal(db.open_stack(path).phi, np.arange(7.0))


@pytest.mark.spec("STK-23")
@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        (MANIFEST, "nothing else says all that it does: put a copy of it back"),
        (f"{STATE_DIR}/{SEAL_FILE}", "verify the run and seal it again"),
        (f"{STATE_DIR}/{SEAL_DIGESTS_FILE}", "verify the run and seal it again"),
    ],
)
def test_what_nothing_else_says_is_told_with_a_remedy(
    name: str, remedy: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seal(run)
    half(run / name)
    before = files_of(run)
    for command in ("resume", "verify", "repair"):
        assert main([command, str(run)]) == ExitStatus.DAMAGE
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"distbragg: error: {run}/{name}: ")
        assert line.endswith(remedy)
        assert files_of(run) == before
