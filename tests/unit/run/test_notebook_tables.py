"""What a notebook shows of specifications, plans, statuses and results: short and escaped."""

from __future__ import annotations

from pathlib import Path

import pytest

import distbragg as db
from distbragg.errors import ExitStatus
from distbragg.run.result import RunResult
from distbragg.run.status import status

from .test_status import make_run

TITLE = "<script>alert(1)</script>"


@pytest.mark.spec("WAT-10")
def test_specifications_show_axes_and_the_fields_that_were_given(tmp_path: Path) -> None:
    run = make_run(tmp_path / "RUN", title=TITLE)
    page = run.sweep._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    for text in ("SweepSpec", "12", "goniometer.phi_deg (", "crystal.block_cells", "axis domains"):
        assert text in page, text
    assert "sampling.tolerance_photons" not in page, "it is as by default"
    crystal = run.sweep.experiment.crystal._repr_html_()
    assert "CrystalSpec" in crystal
    assert "mosaic.domains" in crystal


@pytest.mark.spec("WAT-10")
def test_plans_statuses_and_results_show_their_rows(tmp_path: Path) -> None:
    run = make_run(tmp_path / "RUN", title=TITLE)
    assert "expected time" in db.dry_run(run.sweep)._repr_html_()
    assert "12 missing" in status(run)._repr_html_()
    failures = {4: "OSError: <b>disk</b>"}
    result = RunResult(Path("RUN"), 12, 9, 3, 9, 61.0, ExitStatus.FAILED_FRAMES, failures=failures)
    page = result._repr_html_()
    assert "9 of 12 done" in page
    assert "&lt;b&gt;disk" in page
    assert "1 min 1 s" in page


def test_long_values_are_cut(tmp_path: Path) -> None:
    sweep = make_run(tmp_path / "RUN", title="x" * 5000).sweep
    assert len(sweep._repr_html_()) < 5000


@pytest.mark.spec("CLI-9")
def test_plan_says_how_long_workers_and_parts_take_and_who_would_idle(tmp_path: Path) -> None:
    sweep = make_run(tmp_path / "RUN").sweep
    alone, many = db.dry_run(sweep), db.dry_run(sweep, workers=50)
    assert alone.units < 50
    assert not any(note.place == "--workers" for note in alone.notes)
    (note,) = [note for note in many.notes if note.place == "--workers"]
    assert f"{alone.units} units" in note.text
    assert "compute.frames_per_unit" in note.text
    assert many.part_seconds < alone.wall_seconds
