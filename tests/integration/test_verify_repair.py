"""Damage of every kind is found, and repaired to the bits of an undisturbed run."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from distributed import Client

import distbragg as db
from distbragg.cli.main import main
from distbragg.errors import DamageError, ExitStatus, RefusedError
from distbragg.rendering import frame as rendering
from distbragg.run.repair import repair
from distbragg.run.status import status
from distbragg.run.verify import seal, verify
from distbragg.store.files import sha256_file
from distbragg.store.layout import FOREIGN_DIR, RECEIPTS_DIR, SEAL_DIGESTS_FILE, SEAL_FILE
from distbragg.store.lease import Lease
from distbragg.store.ledger import repairs
from distbragg.store.local_objects import LocalObjects
from distbragg.store.records import encode_record, read_records
from distbragg.store.run_directory import RunDirectory, open_run
from tests.units import write_unit

from .conftest import digests_of, tiny_sweep


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> RunDirectory:
    """A copy of the finished run, to be damaged."""
    return open_run(shutil.copytree(finished, tmp_path / "RUN"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A finished run of another experiment with the same layout."""
    run = db.create(
        tiny_sweep(structure_factors={"default_f_electrons": 70.0}),
        tmp_path_factory.mktemp("other") / "RUN",
    )
    db.resume(run, cluster="serial")
    return run


def stored_digests(run: RunDirectory) -> dict[int, str]:
    """Digests of what is on disk, whatever the ledger says."""
    return {unit: sha256_file(run.object_path(unit))[0] for unit in range(run.layout.units)}


def receipts_of(run: RunDirectory) -> list[int]:
    return [record["unit"] for _, record in read_records(run.objects, RECEIPTS_DIR)]


def truncate(run: RunDirectory, unit: int) -> None:
    path = run.object_path(unit)
    path.write_bytes(path.read_bytes()[:-3])


def lengthen(run: RunDirectory, unit: int) -> None:
    with run.object_path(unit).open("ab") as handle:
        handle.write(b"more")


def flip(run: RunDirectory, unit: int) -> None:
    path = run.object_path(unit)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def delete(run: RunDirectory, unit: int) -> None:
    run.object_path(unit).unlink()


def empty(run: RunDirectory, unit: int) -> None:
    run.object_path(unit).write_bytes(b"")


def swap(run: RunDirectory, unit: int) -> None:
    first, second = run.object_path(unit), run.object_path(unit + 2)
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)


def forget(run: RunDirectory, unit: int) -> None:
    """Drop the unit's receipt: killed between rename and receipt."""
    for path in (run.state / RECEIPTS_DIR).glob("*.jsonl"):
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(x for x in lines if b'"unit":%d,' % unit not in x))


DAMAGE: list[tuple[Callable[[RunDirectory, int], None], list[tuple[int, str]]]] = [
    (truncate, [(3, "truncated")]),
    (lengthen, [(3, "oversized")]),
    (flip, [(3, "changed")]),
    (delete, [(3, "missing")]),
    (empty, [(3, "empty")]),
    (swap, [(3, "swapped"), (5, "swapped")]),
    (forget, [(3, "unreceipted")]),
]
IDS = [damage.__name__ for damage, _ in DAMAGE]


@pytest.mark.spec("STK-14")
@pytest.mark.spec("STK-15")
@pytest.mark.parametrize(("damage", "expected"), DAMAGE, ids=IDS)
def test_damage_is_found_and_only_the_damaged_units_are_rendered_again(
    run: RunDirectory,
    finished: Path,
    damage: Callable[[RunDirectory, int], None],
    expected: list[tuple[int, str]],
) -> None:
    damage(run, 3)
    report = verify(run)
    units = [unit for unit, _ in expected]
    assert [item.unit for item in report.findings] == units
    assert all(
        item.kind in kinds for item, (_, kinds) in zip(report.findings, expected, strict=True)
    )
    assert not report.sound
    before = receipts_of(run)
    result = repair(run, cluster="serial")
    assert result.status is ExitStatus.DONE
    assert list(result.repaired) == units
    assert sorted(receipts_of(run)) == sorted(before + units)
    assert stored_digests(run) == digests_of(run.path) == digests_of(finished)
    assert verify(run, level="deep").sound
    assert [item.unit for item in repairs(run)] == units
    assert status(run).repaired_units == len(units)


@pytest.mark.spec("STK-14")
@pytest.mark.spec("STK-15")
def test_object_of_another_run_is_found_and_replaced(
    run: RunDirectory, other: RunDirectory, finished: Path
) -> None:
    shutil.copyfile(other.object_path(4), run.object_path(4))
    (item,) = verify(run).findings
    assert item.unit == 4
    assert item.kind in {"changed", "truncated", "oversized"}
    assert repair(run, cluster="serial").repaired == (4,)
    assert stored_digests(run) == digests_of(finished)


@pytest.mark.spec("STK-14")
def test_all_kinds_at_once_are_all_found_and_all_mended(
    run: RunDirectory, other: RunDirectory, finished: Path
) -> None:
    for unit, damage in enumerate((truncate, flip, delete, empty, lengthen)):
        damage(run, unit)
    shutil.copyfile(other.object_path(9), run.object_path(9))
    forget(run, 8)
    swap(run, 5)
    report = verify(run)
    assert [item.unit for item in report.findings] == [0, 1, 2, 3, 4, 5, 7, 8, 9]
    assert repair(run, cluster="serial").repaired == (0, 1, 2, 3, 4, 5, 7, 8, 9)
    assert stored_digests(run) == digests_of(finished)


@pytest.mark.spec("STK-14")
def test_any_single_flipped_byte_is_found(run: RunDirectory) -> None:
    path = run.object_path(6)
    whole = path.read_bytes()
    draw = random.Random(7)
    places = {0, len(whole) - 1, *(draw.randrange(len(whole)) for _ in range(30))}
    for place in places:
        data = bytearray(whole)
        data[place] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
        assert [item.unit for item in verify(run).findings] == [6], place
    path.write_bytes(whole)
    assert verify(run).sound


@pytest.mark.spec("STK-15")
def test_repair_leaves_what_was_never_rendered_to_resume(finished: Path, tmp_path: Path) -> None:
    run = db.create(tiny_sweep(), tmp_path / "RUN")
    db.resume(run, cluster="serial", part=(1, 2))
    flip(run, 2)
    result = repair(run, cluster="serial")
    assert result.repaired == (2,)
    assert status(run).units_done == 5
    db.resume(run, cluster="serial")
    assert digests_of(run.path) == digests_of(finished)


@pytest.mark.spec("STK-15")
@pytest.mark.parametrize("units", [0, 1])
def test_repair_cut_short_leaves_what_it_found_and_is_finished_by_another(
    run: RunDirectory, finished: Path, monkeypatch: pytest.MonkeyPatch, units: int
) -> None:
    flip(run, 2)
    forget(run, 4)
    delete(run, 7)
    before = [run.object_path(unit).read_bytes() for unit in (2, 4)]
    rendered = iter(range(100))
    real = rendering.render_jobs

    def killed(*args: object, **kwargs: object) -> object:
        if next(rendered) == units:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(rendering, "render_jobs", killed)
        with pytest.raises(KeyboardInterrupt):
            repair(run, cluster="serial")
    after = [run.object_path(unit).read_bytes() for unit in (2, 4)]
    assert (after[0] == before[0]) == (units == 0)
    assert after[1] == before[1]
    assert repair(run, cluster="serial").repaired == ((2, 4, 7) if not units else (4, 7))
    assert stored_digests(run) == digests_of(finished)
    assert verify(run).sound


@pytest.mark.cluster
@pytest.mark.slow
def test_workers_of_a_cluster_repair_to_the_same_bits(
    run: RunDirectory, finished: Path, two_workers: Client
) -> None:
    for unit in (0, 4, 9):
        flip(run, unit)
    assert repair(run, client=two_workers).repaired == (0, 4, 9)
    assert stored_digests(run) == digests_of(finished)


def test_object_that_cannot_be_read_is_damage(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = run.layout.object_name(4)
    real = LocalObjects.digest

    def failing(objects: LocalObjects, key: str) -> tuple[str, int]:
        if key == bad:
            raise OSError(5, "Input/output error")
        return real(objects, key)

    monkeypatch.setattr(LocalObjects, "digest", failing)
    assert [(item.unit, item.kind) for item in verify(run).findings] == [(4, "unreadable")]


def test_sound_run_is_left_alone_by_repair(run: RunDirectory) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.is_file()}
    result = repair(run, cluster="serial")
    assert (result.repaired, result.status) == ((), ExitStatus.DONE)
    after = {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.is_file()}
    assert {p: t for p, t in after.items() if "lock" not in p.name} == {
        p: t for p, t in before.items() if "lock" not in p.name
    }


@pytest.mark.spec("STK-14")
def test_files_that_are_no_object_are_found_and_set_aside(run: RunDirectory) -> None:
    strays = ("images/c/99/0/0/0", "images/c/0/0/0/1", "images/c/notes.txt")
    for name in strays:
        path = run.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"stray")
    for level in ("quick", "full", "deep"):
        report = verify(run, level=level)
        assert sorted(item.name for item in report.files) == sorted(strays)
        assert {item.kind for item in report.files} == {"foreign"}
    result = repair(run, cluster="serial")
    assert len(result.moved) == 3
    assert (run.state / FOREIGN_DIR / "c/99/0/0/0").read_bytes() == b"stray"
    assert verify(run, level="deep").sound


def test_changed_input_is_found_and_stops_the_repair(tmp_path: Path) -> None:
    table = tmp_path / "table.hkl"
    table.write_text("".join(f"{h} {k} 0 {50 + h + k}.5\n" for h in range(-3, 4) for k in range(3)))
    run = db.create(tiny_sweep(structure_factors={"file": str(table)}), tmp_path / "RUN")
    db.resume(run, cluster="serial")
    assert verify(run).sound
    (copy,) = (path for path in (run.state / "inputs").rglob("*") if path.is_file())
    copy.write_text(copy.read_text().replace("50.5", "59.5"))
    flip(run, 1)
    assert [item.kind for item in verify(run).files] == ["input"]
    with pytest.raises(DamageError, match="put the original back"):
        repair(run, cluster="serial")
    assert run.object_path(1).exists()


def test_changed_coordinate_is_found_by_deep(run: RunDirectory) -> None:
    assert verify(run, level="deep").sound
    path = next(p for p in (run.path / "phi").rglob("*") if p.is_file() and p.name != "zarr.json")
    path.unlink()
    assert [item.name for item in verify(run, level="deep").files] == ["phi"]
    result = repair(run, level="deep", cluster="serial")
    assert result.status is ExitStatus.DONE
    assert verify(run, level="deep").sound


def test_object_without_receipt_is_no_damage_while_the_run_is_in_use(run: RunDirectory) -> None:
    forget(run, 3)
    with Lease(run.objects):
        assert verify(run).sound
        with pytest.raises(RefusedError, match="in use"):
            repair(run)
    assert not verify(run).sound


@pytest.mark.spec("STK-15")
def test_receipt_that_states_wrong_bytes_is_voided(run: RunDirectory, finished: Path) -> None:
    # The object and its receipt agree, and both are wrong: only looking at pixels tells.
    frames = np.zeros((run.layout.frame_count(2), 1, *run.layout.shape))
    forget(run, 2)
    write_unit(run, 2, frames, {})
    record = next(x for _, x in read_records(run.objects, RECEIPTS_DIR) if x["unit"] == 2)

    for path in (run.state / RECEIPTS_DIR).glob("*.jsonl"):
        lines = path.read_bytes().splitlines(keepends=True)
        forged = encode_record({**record, "sum": 5.0})
        path.write_bytes(b"".join(forged if b'"unit":2,' in x else x for x in lines))
    assert verify(run).sound
    assert [item.kind for item in verify(run, level="deep").findings] == ["wrong-sum"]
    assert repair(run, level="deep", cluster="serial").repaired == (2,)
    assert stored_digests(run) == digests_of(run.path) == digests_of(finished)
    assert verify(run, level="deep").sound


@pytest.mark.spec("STK-14")
def test_audit_renders_the_same_bytes_and_leaves_the_run_alone(run: RunDirectory) -> None:
    before = sorted(path for path in run.path.rglob("*"))
    report = verify(run, level="quick", audit=4, seed=1)
    assert len(set(report.audited)) == 4
    assert report.sound
    assert sorted(path for path in run.path.rglob("*")) == before
    assert verify(run, level="quick", audit=4, seed=1).audited == report.audited
    assert verify(run, level="quick", audit=99).audited == tuple(range(10))


@pytest.mark.spec("STK-14")
def test_audit_finds_pixels_that_the_specification_does_not_give(run: RunDirectory) -> None:
    forget(run, 5)
    frames = np.ones((run.layout.frame_count(5), 1, *run.layout.shape))
    write_unit(run, 5, frames, {})
    assert verify(run, level="deep").sound
    report = verify(run, level="deep", audit=10)
    assert [(item.unit, item.kind) for item in report.findings] == [(5, "unreproduced")]


@pytest.mark.spec("STK-16")
def test_seal_holds_and_any_change_after_it_is_damage(run: RunDirectory, finished: Path) -> None:
    first = seal(run)
    assert not first.already
    assert list(first.seal.digests) == list(digests_of(finished).values())
    assert status(run).state == "sealed"
    assert seal(run).already
    assert seal(run).seal == first.seal
    assert db.resume(run, cluster="serial").nothing_to_do
    assert verify(run).sealed
    flip(run, 2)
    with pytest.raises(DamageError, match="unit 2"):
        seal(run)
    assert repair(run, cluster="serial").repaired == (2,)
    assert seal(run).seal == first.seal


@pytest.mark.spec("STK-16")
def test_object_and_receipt_changed_together_break_the_seal(run: RunDirectory) -> None:
    seal(run)
    forget(run, 5)
    write_unit(run, 5, np.ones((run.layout.frame_count(5), 1, *run.layout.shape)), {})
    report = verify(run)
    assert [(item.unit, item.kind) for item in report.findings] == [(5, "unsealed")]
    assert repair(run, cluster="serial").repaired == (5,)
    assert verify(run).sound


@pytest.mark.spec("STK-16")
def test_sealed_run_whose_unit_vanished_receipt_and_all_is_damaged(run: RunDirectory) -> None:
    seal(run)
    forget(run, 5)
    delete(run, 5)
    assert [(item.unit, item.kind) for item in verify(run).findings] == [(5, "missing")]


@pytest.mark.spec("STK-16")
def test_changed_metadata_of_a_sealed_run_is_damage(run: RunDirectory) -> None:
    seal(run)
    path = run.path / "images" / "zarr.json"
    path.write_text(path.read_text().replace('"units": "photons"', '"units": "counts"'))
    (item,) = verify(run).files
    assert (item.name, item.kind) == ("images/zarr.json", "metadata")
    assert "its attribute 'units' was changed" in item.problem


@pytest.mark.spec("STK-16")
@pytest.mark.parametrize("name", [SEAL_FILE, SEAL_DIGESTS_FILE])
def test_changed_seal_is_damage(run: RunDirectory, name: str) -> None:
    seal(run)
    path = run.state / name
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamageError):
        verify(run)


@pytest.mark.spec("STK-16")
def test_unfinished_run_is_not_sealed(tmp_path: Path) -> None:
    run = db.create(tiny_sweep(), tmp_path / "RUN")
    db.resume(run, cluster="serial", part=(1, 2))
    with pytest.raises(RefusedError, match=r"5 of 15 frames are missing"):
        seal(run)
    assert not (run.state / SEAL_FILE).exists()


@pytest.mark.spec("STK-19")
def test_commands_give_their_statuses_and_plain_data(
    run: RunDirectory, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(run.path)

    def call(*arguments: str) -> tuple[int, dict]:
        code = main([arguments[0], out, *arguments[1:], "--json"])
        return code, json.loads(capsys.readouterr().out)

    assert call("verify")[0] == 0
    assert call("verify", "--quick", "--audit", "1")[1]["audited"] != []
    flip(run, 3)
    assert call("verify", "--quick")[0] == 0
    code, plain = call("verify", "--full")
    assert code == ExitStatus.DAMAGE
    assert [(item["unit"], item["kind"]) for item in plain["damaged"]] == [(3, "changed")]
    assert main(["verify", out, "--deep"]) == ExitStatus.DAMAGE
    assert "unit 3: changed" in capsys.readouterr().out
    assert main(["seal", out]) == ExitStatus.DAMAGE
    assert "unit 3" in capsys.readouterr().err
    code, plain = call("repair", "--cluster", "serial")
    assert (code, plain["repaired"], plain["status"]) == (0, [3], 0)
    assert main(["repair", out, "--cluster", "serial"]) == 0
    assert "no damage; nothing to do" in capsys.readouterr().out
    code, plain = call("seal")
    assert (code, plain["units"]) == (0, 10)
    assert main(["seal", out]) == 0
    assert "sealed already" in capsys.readouterr().out
    assert main(["verify", out]) == 0
    assert "no damage" in capsys.readouterr().out
    assert call("status")[1]["state"] == "sealed"
    assert digests_of(run.path) == digests_of(finished)


def test_units_that_cannot_be_rendered_again_are_told(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*args: object, **options: object) -> float:
        raise ValueError("no light")

    delete(run, 1)
    monkeypatch.setattr(rendering, "render_jobs", broken)
    code = main(["repair", str(run.path), "--cluster", "serial", "--json"])
    plain = json.loads(capsys.readouterr().out)
    assert code == ExitStatus.FAILED_FRAMES
    assert "no light" in plain["failed"]["1"]
    assert plain["repaired"] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"detector": {"pixels_fast": 9, "pixels_slow": 5}, "output": {"dtype": "float64"}},
        {"noise": {"photon": True, "seed": 1}, "output": {"dtype": "uint32"}},
    ],
)
def test_single_frames_and_other_types_verify_and_seal(tmp_path: Path, changes: dict) -> None:
    spec = tiny_sweep((), **changes)
    db.sweep(spec, tmp_path / "RUN", cluster="serial")
    assert verify(tmp_path / "RUN", level="deep", audit=1).sound
    assert len(seal(tmp_path / "RUN").seal.digests) == 1


@pytest.mark.spec("STK-14")
def test_damaged_grid_is_a_note_and_is_made_anew(
    run: RunDirectory, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grids = [path for path in (run.state / "grids").rglob("*") if path.is_file()]
    assert grids
    for path in grids:
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert main(["verify", str(run.path)]) == 0
    assert "is a cache, and will be computed again" in capsys.readouterr().out
    delete(run, 1)
    assert repair(run, cluster="serial").repaired == (1,)
    assert stored_digests(run) == digests_of(finished)
