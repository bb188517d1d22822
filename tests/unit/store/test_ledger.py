"""Receipts: what counts as done after crashes, torn lines and lost objects."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from distbragg.errors import DamageError, EnvironmentFailure
from distbragg.store import records
from distbragg.store.layout import RECEIPTS_DIR, StackLayout
from distbragg.store.ledger import (
    completed_units,
    done_units,
    failures,
    record_failure,
    remaining_units,
)
from distbragg.store.records import append_record, decode_record, encode_record, read_records
from distbragg.store.scan import scan_objects, sweep_partial
from distbragg.store.write import write_unit

from .conftest import frames_of


def receipt_files(run):
    return sorted((run.state / RECEIPTS_DIR).glob("*.jsonl"))


@pytest.mark.spec("STK-8")
def test_new_run_has_everything_left(run):
    assert remaining_units(run) == tuple(range(run.layout.units))


@pytest.mark.spec("STK-8")
def test_done_is_what_has_a_receipt_and_an_object_of_its_size(run):
    for unit in (0, 3, 4):
        write_unit(run, unit, frames_of(run, unit), {})
    run.object_path(3).unlink()
    with run.object_path(4).open("ab") as handle:
        handle.write(b"x")
    assert list(completed_units(run)) == [0]
    assert set(remaining_units(run)) == set(range(run.layout.units)) - {0}


@pytest.mark.spec("STK-7")
def test_torn_last_line_is_dropped_and_the_others_count(run):
    for unit in (0, 1):
        write_unit(run, unit, frames_of(run, unit), {})
    (path,) = receipt_files(run)
    path.write_bytes(path.read_bytes()[:-10])
    assert list(completed_units(run)) == [0]


@pytest.mark.spec("STK-7")
def test_changed_line_is_dropped(run):
    write_unit(run, 0, frames_of(run, 0), {})
    (path,) = receipt_files(run)
    path.write_text(path.read_text().replace('"unit":0', '"unit":1'))
    assert completed_units(run) == {}


@pytest.mark.spec("STK-7")
def test_every_process_has_its_own_receipt_file(run):
    child = os.fork()
    if child == 0:
        append_record(run.state / RECEIPTS_DIR, {"run": run.run_id, "from": "child"})
        os._exit(0)
    os.waitpid(child, 0)
    append_record(run.state / RECEIPTS_DIR, {"run": run.run_id, "from": "parent"})
    names = {path.name.split("-")[-2] for path in receipt_files(run)}
    assert names == {str(child), str(os.getpid())}


def test_receipt_of_another_run_proves_nothing(run):
    record = write_unit(run, 0, frames_of(run, 0), {})
    for path in receipt_files(run):
        path.write_bytes(encode_record({**record, "run": "0" * 64}))
    assert completed_units(run) == {}


def test_writer_after_a_failed_write_starts_a_new_file(tmp_path, monkeypatch):
    append_record(tmp_path, {"n": 1})
    write = os.write
    monkeypatch.setattr(records.os, "write", lambda fd, line: write(fd, line[:7]))
    with pytest.raises(EnvironmentFailure, match="bytes written"):
        append_record(tmp_path, {"n": 2})
    monkeypatch.undo()
    append_record(tmp_path, {"n": 3})
    assert sorted(record["n"] for record in read_records(tmp_path)) == [1, 3]


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.one_of(st.integers(), st.floats(allow_nan=False), st.text(), st.none()),
        max_size=4,
    )
)
def test_record_reads_back_as_written(record):
    line = encode_record(record)
    assert line.count(b"\n") == 1
    expected = json.loads(json.dumps(record))
    if all(not isinstance(v, float) or np.isfinite(v) for v in record.values()):
        assert decode_record(line) == expected


@given(st.binary(max_size=60))
def test_any_bytes_are_a_record_or_nothing(line):
    assert decode_record(line) is None


def test_parts_share_out_all_units_without_overlap(run):
    parts = [remaining_units(run, part=(i, 4)) for i in range(1, 5)]
    together = [unit for part in parts for unit in part]
    assert sorted(together) == list(range(run.layout.units))


def test_latest_failure_of_each_unit_is_told(run):
    record_failure(run, 2, 1, "first\nreason", host="a")
    record_failure(run, 2, 2, "second")
    record_failure(run, 5, 1, "other")
    found = failures(run)
    assert {unit: failure.reason for unit, failure in found.items()} == {2: "second", 5: "other"}
    assert found[2].attempt == 2


def test_scan_ignores_litter_and_sweep_removes_it(run):
    write_unit(run, 0, frames_of(run, 0), {})
    litter = run.partial_path(1)
    litter.parent.mkdir(parents=True, exist_ok=True)
    litter.write_bytes(b"half")
    assert list(scan_objects(run.path, run.layout)) == [0]
    assert sweep_partial(run, [0, 11]) == 0
    assert sweep_partial(run, [1]) == 1
    assert not litter.exists()
    assert list(completed_units(run)) == [0]
    assert not np.isnan(xr.open_zarr(run.path).images[0, 0].values).any()


@given(
    dims=st.lists(st.integers(1, 7), max_size=3),
    cut=st.integers(0, 3),
    block=st.integers(1, 7),
    panels=st.integers(1, 3),
)
def test_units_cover_every_frame_once(dims, cut, block, panels):
    cut = min(cut, len(dims))
    shape = [1] * len(dims)
    for i, size in enumerate(dims):
        shape[i] = 1 if i < cut else min(block, size) if i == cut else size
    layout = StackLayout(
        dims=tuple((f"d{i}", size) for i, size in enumerate(dims)),
        unit_shape=tuple(shape),
        panels=panels,
        shape=(5, 3),
        inner=(5, 3),
        dtype="float32",
        compressor="lz4",
        compression_level=1,
    )
    covered = np.zeros(dims, dtype=int)
    names = set()
    for unit in range(layout.units):
        covered[layout.unit_region(unit)] += 1
        names.add(layout.object_name(unit))
        assert layout.unit_of_index(layout.unit_index(unit)) == unit
    assert (covered == 1).all()
    assert len(names) == layout.units


@pytest.mark.spec("STK-8")
def test_the_set_of_done_units_is_that_of_the_receipts_that_hold(run):
    for unit in (0, 2, 3, 4):
        write_unit(run, unit, frames_of(run, unit), {})
    run.object_path(3).unlink()
    with run.object_path(4).open("ab") as handle:
        handle.write(b"x")
    assert done_units(run) == set(completed_units(run)) == {0, 2}


@pytest.mark.spec("STK-8")
@pytest.mark.parametrize("fold", [done_units, completed_units])
def test_different_bytes_of_one_unit_are_refused_however_receipts_are_read(run, fold):
    record = write_unit(run, 0, frames_of(run, 0), {})
    append_record(run.state / RECEIPTS_DIR, {**record, "digest": "0" * 64})
    with pytest.raises(DamageError, match="unit 0 was rendered twice with different bytes"):
        fold(run)


def test_what_a_receipt_says_is_read_back_as_it_was_written(run):
    record = write_unit(run, 1, frames_of(run, 1), {"note": "as written"})
    assert completed_units(run)[1].record == record


@pytest.mark.parametrize("level", [0, 1, 2])
def test_an_object_behind_a_link_is_none(run, tmp_path, level):
    write_unit(run, 0, frames_of(run, 0), {})
    write_unit(run, 1, frames_of(run, 1), {})
    path = run.object_path(0)
    linked = (path, *path.parents)[level]
    elsewhere = tmp_path / "elsewhere"
    linked.rename(elsewhere)
    linked.symlink_to(elsewhere)
    assert list(scan_objects(run.path, run.layout)) == [1]


def test_a_folder_or_a_file_in_place_of_the_other_is_no_object(run):
    for unit in (0, 1, 2):
        write_unit(run, unit, frames_of(run, unit), {})
    file, folder = run.object_path(0), run.object_path(1).parent
    file.unlink()
    file.mkdir()
    run.object_path(1).unlink()
    folder.rmdir()
    folder.write_bytes(b"a file")
    assert list(scan_objects(run.path, run.layout)) == [2]


def test_another_spelling_of_a_unit_s_number_is_no_object(run):
    write_unit(run, 0, frames_of(run, 0), {})
    write_unit(run, 1, frames_of(run, 1), {})
    first = run.path / "images" / "c" / "0"
    first.rename(first.with_name("00"))
    assert all(unit >= run.layout.unit_grid[-1] for unit in scan_objects(run.path, run.layout))
