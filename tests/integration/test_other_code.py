"""Other code never renders into a run unseen: its class tells another commit apart."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import distbragg as db
from distbragg.kernel.fingerprint import PACKAGE, code_digest
from distbragg.run.create import create
from distbragg.run.resume import resume
from distbragg.run.status import status
from distbragg.store.ledger import completed_units
from distbragg.store.run_directory import RunDirectory
from tests.sweeps import small_sweep


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return create(small_sweep([0.0, 5.0, 9.0]), tmp_path / "run.zarr")


@pytest.fixture
def other_code(tmp_path: Path) -> Path:
    """A folder with this package of the same version, r_e² one percent larger."""
    folder = tmp_path / "other"
    shutil.copytree(PACKAGE, folder / "distbragg", ignore=shutil.ignore_patterns("__pycache__"))
    constants = folder / "distbragg" / "constants.py"
    text = constants.read_text()
    changed = text.replace("7.94079248018965e-30", "8.02e-30")
    assert changed != text
    constants.write_text(changed)
    return folder


def resumed(run: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "distbragg", "resume", str(run), "--cluster", "serial", *options],
        env={**os.environ, "PYTHONPATH": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.spec("ENG-11")
def test_resuming_with_other_code_of_the_same_version_is_refused(
    run: RunDirectory, other_code: Path
) -> None:
    resume(run, cluster="serial", units=[0])
    done = resumed(run.path, other_code)
    assert done.returncode == 4
    assert f"and {code_digest()} in the run" in done.stderr
    assert "Traceback" not in done.stderr
    assert set(completed_units(run)) == {0}


@pytest.mark.spec("ENG-11")
def test_each_unit_tells_which_code_made_it(run: RunDirectory, other_code: Path) -> None:
    resume(run, cluster="serial", units=[0, 2])
    done = resumed(run.path, other_code, "--allow-mixed")
    assert done.returncode == 0, done.stderr
    codes = {unit: receipt.to_plain()["code"] for unit, receipt in completed_units(run).items()}
    assert codes[0] == codes[2] == code_digest() != codes[1]
    told = json.loads(json.dumps(status(run).to_plain()))["codes"]
    assert told == {code_digest(): "0,2", codes[1]: "1"}
    sums = db.open_stack(run.path).images.sum(("slow", "fast")).values
    assert sums.all()
