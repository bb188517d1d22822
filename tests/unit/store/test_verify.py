"""Verification: each level finds the damage it promises to find."""

from __future__ import annotations

import pytest

from distbragg.run.verify import verify
from distbragg.store.files import sha256_file
from distbragg.store.layout import RECEIPTS_DIR
from distbragg.store.records import encode_record
from tests.units import write_unit

from .conftest import frames_of

LEVELS = ("quick", "full", "deep")


@pytest.fixture
def written(run):
    for unit in (0, 1, 4):
        write_unit(run, unit, frames_of(run, unit), {})
    return run


def flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("level", LEVELS)
def test_sound_run_has_no_damage(written, level):
    seen = []
    report = verify(written, level=level, on_unit=seen.append)
    assert report.damaged == ()
    assert (report.checked, report.units) == (3, written.layout.units)
    assert seen == [0, 1, 4]


@pytest.mark.parametrize("level", LEVELS)
def test_lost_and_truncated_objects_are_found_at_every_level(written, level):
    written.object_path(0).unlink()
    path = written.object_path(4)
    path.write_bytes(path.read_bytes()[:-1])
    report = verify(written, level=level)
    assert [item.unit for item in report.damaged] == [0, 4]
    assert "gone" in report.damaged[0].problem


@pytest.mark.parametrize(("level", "found"), [("quick", []), ("full", [1]), ("deep", [1])])
def test_flipped_bit_is_found_by_digest(written, level, found):
    flip(written.object_path(1), 30)
    assert [item.unit for item in verify(written, level=level).damaged] == found


def forge(run, unit, **changes):
    """Make the receipt agree with whatever the object holds now."""
    digest, size = sha256_file(run.object_path(unit))
    record = write_unit(run, unit, frames_of(run, unit), {})
    for path in (run.state / RECEIPTS_DIR).glob("*.jsonl"):
        path.unlink()
    record.update({"digest": digest, "size": size, **changes})
    (run.state / RECEIPTS_DIR / "forged.jsonl").write_bytes(encode_record(record))


def test_pixels_that_do_not_decode_are_found_by_deep_alone(written):
    path = written.object_path(1)
    flip(path, 30)
    damaged = path.read_bytes()
    forge(written, 1)
    path.write_bytes(damaged)
    assert verify(written, level="full").damaged == ()
    (item,) = verify(written, level="deep").damaged
    assert "does not decode" in item.problem


def test_wrong_sum_is_found_by_deep_alone(written):
    forge(written, 1, sum=-1.0)
    assert verify(written, level="full").damaged == ()
    (item,) = verify(written, level="deep").damaged
    assert "sum" in item.problem
