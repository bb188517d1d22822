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
from distbragg.store.layout import RECEIPTS_DIR, StackLayout
from distbragg.store.ledger import (
    Receipt,
    completed_units,
    done_units,
    failures,
    fold_receipts,
    part_units,
    record_failure,
    unit_states,
)
from distbragg.store.local_objects import LocalObjects
from distbragg.store.records import append_record, decode_record, encode_record, read_records
from distbragg.store.write import UnitWriter
from tests.units import write_unit

from .conftest import frames_of


def receipt_files(run):
    return sorted((run.state / RECEIPTS_DIR).glob("*.jsonl"))


@pytest.mark.spec("STK-8")
def test_new_run_has_everything_left(run):
    assert done_units(run) == frozenset()


@pytest.mark.spec("STK-8")
def test_done_is_what_has_a_receipt_and_an_object_of_its_size(run):
    for unit in (0, 3, 4):
        write_unit(run, unit, frames_of(run, unit), {})
    run.object_path(3).unlink()
    with run.object_path(4).open("ab") as handle:
        handle.write(b"x")
    assert list(completed_units(run)) == [0]
    assert done_units(run) == {0}


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
        append_record(run.objects, RECEIPTS_DIR, {"run": run.run_id, "from": "child"})
        os._exit(0)
    os.waitpid(child, 0)
    append_record(run.objects, RECEIPTS_DIR, {"run": run.run_id, "from": "parent"})
    names = {path.name.split("-")[-3] for path in receipt_files(run)}
    assert names == {str(child), str(os.getpid())}


def test_receipt_of_another_run_proves_nothing(run):
    record = write_unit(run, 0, frames_of(run, 0), {})
    for path in receipt_files(run):
        path.write_bytes(encode_record({**record, "run": "0" * 64}))
    assert completed_units(run) == {}


def test_writer_after_a_failed_write_starts_a_new_file(tmp_path, monkeypatch):
    objects = LocalObjects(tmp_path)
    append_record(objects, "notes", {"n": 1})
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, line: write(fd, line[:7]))
    with pytest.raises(EnvironmentFailure, match="no space left"):
        append_record(objects, "notes", {"n": 2})
    monkeypatch.undo()
    append_record(objects, "notes", {"n": 3})
    assert sorted(record["n"] for _, record in read_records(objects, "notes")) == [1, 3]
    assert len(list((tmp_path / ".distbragg" / "notes").iterdir())) == 2


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
    parts = [part_units(run, (i, 4)) for i in range(1, 5)]
    together = [unit for part in parts for unit in part]
    assert sorted(together) == list(range(run.layout.units))


def test_latest_failure_of_each_unit_is_told(run):
    record_failure(run, 2, 1, "first\nreason")
    record_failure(run, 2, 2, "second")
    record_failure(run, 5, 1, "other")
    found = failures(run)
    assert {unit: failure.reason for unit, failure in found.items()} == {2: "second", 5: "other"}
    assert found[2].attempt == 2


def test_scan_ignores_litter_and_sweep_removes_it(run):
    write_unit(run, 0, frames_of(run, 0), {})
    key = run.layout.object_name(1)
    litter = run.state / "partial" / f"{key.replace('/', '~')}.{'a' * 32}"
    litter.write_bytes(b"half")
    assert list(run.stored_sizes()) == [0]
    assert run.objects.sweep_partial(frozenset({run.layout.object_name(0)})) == 0
    assert run.objects.sweep_partial(frozenset({key})) == 1
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


@pytest.mark.spec("STK-9")
def test_unit_with_receipts_of_different_bytes_is_disputed_and_the_others_are_done(run):
    record = write_unit(run, 0, frames_of(run, 0), {})
    write_unit(run, 1, frames_of(run, 1), {})
    append_record(run.objects, RECEIPTS_DIR, {**record, "digest": "0" * 64})
    states = unit_states(run)
    assert (states.done, states.disputed) == ({1}, {0})
    assert list(completed_units(run)) == [1]
    assert [item.digest for item in fold_receipts(run)[0]] == [record["digest"], "0" * 64]


def test_what_a_receipt_says_is_read_back_as_it_was_written(run):
    info = {"attempt": 1, "steps": 5, "skipped_photons": [1.5], "kernel_seconds": 0.25}
    with UnitWriter(run, 1) as writer:
        for frame in frames_of(run, 1):
            writer.add(frame)
        written = writer.finish(info, b"table")
    (receipt,) = fold_receipts(run)[1]
    plain = receipt.to_plain()
    assert {name: plain[name] for name in written} == written
    assert Receipt.from_plain(plain) == receipt
    assert receipt.id != Receipt.from_plain({**plain, "time": 1.0}).id


@pytest.mark.spec("SEC-4")
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"unit": "0"}, "unit"),
        ({"unit": True}, "unit"),
        ({"digest": "x"}, "digest"),
        ({"digest": 5}, "digest"),
        ({"size": None}, "size"),
        ({"size": 10**30}, "size"),
        ({"class": ["c"]}, "class"),
        ({"time": "now"}, "time"),
        ({"render_seconds": {}}, "render_seconds"),
        ({"max": None}, "max"),
        ({"max": 10**400}, "max"),
        ({"time": float("1e999")}, "time"),
        ({"host": 7}, "host"),
        ({"host": "\ud800"}, "host"),
        ({"overloads": [1] * 99}, "overloads"),
        ({"skipped_photons": 1.0}, "skipped_photons"),
        ({"skipped_photons": ["a"]}, "skipped_photons"),
        ({"labels": []}, "labels"),
        ({"labels": {"digest": "0" * 64}}, "labels.size"),
    ],
)
def test_receipt_made_by_hand_gives_one_line_that_names_file_and_field(run, changes, named):
    record = write_unit(run, 0, frames_of(run, 0), {})
    append_record(run.objects, RECEIPTS_DIR, {**record, **changes})
    for read in (completed_units, unit_states, fold_receipts):
        with pytest.raises(
            DamageError, match=rf"receipts/.*jsonl.*\({named} is (?:no|missing)"
        ) as caught:
            read(run)
        assert "\n" not in str(caught.value)


@pytest.mark.spec("SEC-4")
def test_failure_made_by_hand_gives_one_line(run):
    append_record(run.objects, "failures", {"run": run.run_id, "unit": 1, "attempt": "many"})
    with pytest.raises(DamageError, match=r"failures/.*jsonl.*attempt is not a number"):
        failures(run)


def test_record_of_another_run_or_beyond_the_grid_counts_for_nothing(run):
    record = write_unit(run, 0, frames_of(run, 0), {})
    append_record(run.objects, RECEIPTS_DIR, {"run": "0" * 64, "unit": 1})
    append_record(run.objects, RECEIPTS_DIR, {**record, "unit": 10**6})
    append_record(run.objects, "failures", {"run": "0" * 64, "unit": "x"})
    for beyond in (-1, 10**6):
        record_failure(run, beyond, 1, "made by hand")
    assert list(completed_units(run)) == [0]
    assert failures(run) == {}


@pytest.mark.parametrize("level", [0, 1, 2])
def test_an_object_behind_a_link_is_none(run, tmp_path, level):
    write_unit(run, 0, frames_of(run, 0), {})
    write_unit(run, 1, frames_of(run, 1), {})
    path = run.object_path(0)
    linked = (path, *path.parents)[level]
    elsewhere = tmp_path / "elsewhere"
    linked.rename(elsewhere)
    linked.symlink_to(elsewhere)
    assert list(run.stored_sizes()) == [1]


def test_a_folder_or_a_file_in_place_of_the_other_is_no_object(run):
    for unit in (0, 1, 2):
        write_unit(run, unit, frames_of(run, unit), {})
    file, folder = run.object_path(0), run.object_path(1).parent
    file.unlink()
    file.mkdir()
    run.object_path(1).unlink()
    folder.rmdir()
    folder.write_bytes(b"a file")
    assert list(run.stored_sizes()) == [2]


def test_another_spelling_of_a_unit_s_number_is_no_object(run):
    write_unit(run, 0, frames_of(run, 0), {})
    write_unit(run, 1, frames_of(run, 1), {})
    first = run.path / "images" / "c" / "0"
    first.rename(first.with_name("00"))
    assert all(unit >= run.layout.unit_grid[-1] for unit in run.stored_sizes())
