"""What `status` says of new, stopped, running, failed and finished runs."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest

import distbragg as db
from distbragg.cli.describing import FOLLOW_S
from distbragg.cli.main import main
from distbragg.engine.context import ProcessCache, RunContext
from distbragg.errors import ExitStatus
from distbragg.run.status import status
from distbragg.run.survey import planned_costs
from distbragg.spec.sweep import SweepSpec
from distbragg.store.layout import RECEIPTS_DIR
from distbragg.store.lease import Lease
from distbragg.store.ledger import append_receipt, completed_units, record_failure
from distbragg.store.run_directory import RunDirectory

AXES = (
    {"name": "phi", "path": "goniometer.phi_deg", "values": [0.0, 1.0, 2.0]},
    {"name": "domains", "path": "crystal.mosaic.domains", "values": [1, 9, 2, 4]},
)


def make_run(path: Path, *, title: str = "tiny") -> RunDirectory:
    plain = {
        "title": title,
        "crystal": {
            "cell": [50, 60, 70, 90, 90, 90],
            "block_cells": [5, 5, 5],
            "mosaic": {"spread_deg": 0.1, "domains": 2, "seed": 1},
        },
        "beam": {"wavelength_angstrom": 1.0},
        "structure_factors": {"default_f_electrons": 100.0},
        "detector": {
            "distance_mm": 100.0,
            "pixel_size_mm": 0.1,
            "pixels_fast": 9,
            "pixels_slow": 7,
        },
        "sampling": {"oversample": 1},
        "compute": {"frames_per_unit": 3, "kernel": "model"},
    }
    return db.create(SweepSpec.model_validate({"experiment": plain, "axes": list(AXES)}), path)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return make_run(tmp_path / "RUN")


@pytest.mark.spec("STK-17")
def test_new_run_has_everything_missing_and_no_rate(run):
    now = status(run)
    assert (now.state, now.frames, now.frames_missing, now.units_done) == ("new", 12, 12, 0)
    assert (now.eta_s, now.last_receipt_age_s, now.frames_per_s) == (None, None, 0.0)
    assert now.holders == ()


@pytest.mark.spec("STK-17")
def test_stopped_run_says_how_far_it_is_and_how_long_the_rest_takes(run):
    db.resume(run, cluster="serial", part=(1, 2))
    record_failure(run, 1, 3, "no\nlight")
    now = status(run)
    done = [unit for unit in range(run.layout.units) if unit % 2 == 0]
    costs = planned_costs(run)
    assert now.state == "stopped"
    assert now.units_done == len(done)
    assert now.frames_done + now.frames_failed + now.frames_missing == 12
    assert now.share_done == pytest.approx(costs[done].sum() / costs.sum())
    assert now.frames_per_s > 0
    assert now.eta_s == pytest.approx(
        now.frames_done / now.frames_per_s * (1 - now.share_done) / now.share_done
    )
    assert [(item.unit, item.reason, item.attempts) for item in now.failures] == [
        (1, "no light", 3)
    ]
    assert now.last_receipt_age_s >= 0
    assert now.expected_bytes > now.stored_bytes > 0
    json.dumps(now.to_plain())


@pytest.mark.spec("STK-17")
def test_holder_is_alive_or_its_lock_stale(run):
    with Lease(run.objects):
        (holder,) = status(run).holders
        assert status(run).state == "running"
        assert holder.alive
        assert str(os.getpid()) in holder.place
        lock = run.state / "lock"
        body = json.loads(lock.read_text())
        kept = lock.read_text()
        lock.write_text(json.dumps({**body, "host": "elsewhere", "machine": "another"}))
        assert status(run).state == "running"
        old = time.time() - 3600
        os.utime(lock, (old, old))
        (holder,) = status(run).holders
        assert not holder.alive
        assert holder.heartbeat_age_s >= 3600
        assert status(run).state == "new"
        rows = dict(status(run).rows())
        assert "stale lock of process" in rows["in use by"]
        lock.write_text(kept)


def test_parts_of_a_job_array_are_told_apart(run):
    with Lease(run.objects, part=(2, 5)):
        (holder,) = status(run).holders
    assert holder.part == "2/5"


@pytest.mark.spec("STK-17")
def test_status_needs_nothing_but_the_files(run, tmp_path):
    db.resume(run, cluster="serial")
    moved = tmp_path / "elsewhere"
    shutil.move(run.path, moved)
    now = status(moved)
    assert (now.state, now.share_done, now.eta_s) == ("finished", 1.0, 0.0)
    assert now.failures == ()


def test_planned_costs_follow_the_number_of_domains(run):
    costs = planned_costs(run).reshape(run.layout.unit_grid)
    assert costs.shape[0] == 3
    plans = [RunContext.of(run).opened.frame(frame).plan.nominal_seconds for frame in range(12)]
    expected = [
        sum(plans[i * 4 + j] for j in range(part.start, part.stop))
        for unit in range(run.layout.units)
        for i, part in [(run.layout.unit_index(unit)[0], run.layout.unit_region(unit)[1])]
    ]
    assert costs.reshape(-1) == pytest.approx(expected, rel=1e-12)
    assert len({round(cost, 12) for cost in expected}) > 1


def test_costs_are_even_where_the_specification_cannot_be_resolved(tmp_path, monkeypatch):
    plain = {
        "beam": {"source_file": str(tmp_path / "sources.txt")},
        "crystal": {"cell": [50, 60, 70, 90, 90, 90], "block_cells": [5, 5, 5]},
        "structure_factors": {"default_f_electrons": 100.0},
        "detector": {"pixels_fast": 9, "pixels_slow": 7},
        "compute": {"frames_per_unit": 1},
    }
    (tmp_path / "sources.txt").write_text("0 0 1 1 1e-10\n")
    run = db.create(SweepSpec.model_validate({"experiment": plain, "axes": [AXES[0]]}),
                    tmp_path / "RUN")  # fmt: skip
    shutil.rmtree(run.state / "inputs")
    monkeypatch.setattr("distbragg.engine.context._runs", ProcessCache(4))
    assert list(planned_costs(run)) == [1.0, 1.0, 1.0]
    assert status(run).frames_missing == 3


def test_command_prints_a_table_or_plain_data(run, capsys):
    db.resume(run, cluster="serial", part=(1, 2))
    record_failure(run, 1, 3, "no light")
    record_failure(run, 3, 1, "no beam")
    assert main(["status", str(run.path)]) == 0
    text = capsys.readouterr().out
    for word in (
        "stopped",
        "once resumed",
        "failed unit 1",
        "no light (after 3 attempts)",
        "(after 1 attempt)",
    ):
        assert word in text
    assert main(["status", str(run.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "stopped"


def test_what_is_no_run_is_bad_input(tmp_path, capsys):
    for name in ("status", "verify", "repair", "seal"):
        assert main([name, str(tmp_path)]) == 2
        assert "not a distbragg run" in capsys.readouterr().err


def test_following_ends_when_nobody_works_on_the_run(run, capsys, monkeypatch):
    looks = iter(["running", "running", "stopped"])
    monkeypatch.setattr("distbragg.run.status._state", lambda *args, **rest: next(looks))
    waits = []
    monkeypatch.setattr("distbragg.cli.describing.time.sleep", waits.append)
    assert main(["status", str(run.path), "--follow", "--json"]) == 0
    told = [json.loads(line)["state"] for line in capsys.readouterr().out.splitlines()]
    assert told == ["running", "running", "stopped"]
    assert [wait >= FOLLOW_S for wait in waits] == [True, True]


def test_following_shows_a_table(run, capsys):
    assert main(["status", str(run.path), "--follow"]) == 0
    assert "12 missing" in capsys.readouterr().out


@pytest.mark.parametrize(
    "changes",
    [
        {"time": 1e300, "render_seconds": 1e299},
        {"time": -1e300, "write_seconds": -5.0},
        {"render_seconds": -1e9, "kernel_seconds": 1e300, "steps": 2**62},
        {"slowest": [[10**9, 1.0], [-3, 2.0], [1, 3.0]], "overloads": [2, 3]},
        {"host": "\x1b[2J<b>", "max": 1e300, "code": "\x07"},
    ],
)
def test_receipts_of_odd_numbers_are_told_without_a_traceback(run, capsys, tmp_path, changes):
    db.resume(run, cluster="serial", part=(1, 2))
    known = [receipt.to_plain() for receipt in completed_units(run).values()]
    for entry in list(run.objects.entries(f"{RECEIPTS_DIR}/")):
        run.objects.delete(entry.key)
    for plain in known:
        append_receipt(run, {**plain, **changes})
    assert len(completed_units(run)) == len(known)
    for command in (["status"], ["status", "--json"], ["report", "-o", str(tmp_path / "a.html")]):
        assert main([command[0], str(run.path), *command[1:]]) == 0
        told = capsys.readouterr()
        assert told.out.replace("\n", "").isprintable()
        assert "Traceback" not in told.err


def test_a_receipt_that_is_none_is_one_line(run, capsys):
    db.resume(run, cluster="serial", part=(1, 2))
    (receipt, *_) = completed_units(run).values()
    append_receipt(run, {**receipt.to_plain(), "time": "yesterday"})
    for command in (["status"], ["report", "-o", str(run.path.parent / "a.html")], ["info"]):
        assert main([command[0], str(run.path), *command[1:]]) == ExitStatus.DAMAGE
        told = capsys.readouterr()
        assert told.err.count("\n") == 1
        assert "time" in told.err
