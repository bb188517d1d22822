"""A unit that was rendered twice to different bytes is set aside and told; all else works on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import distbragg as db
from distbragg.cli.main import main
from distbragg.errors import ExitStatus
from distbragg.run.repair import repair
from distbragg.run.verify import verify
from distbragg.store.ledger import append_receipt, fold_receipts
from distbragg.store.run_directory import RunDirectory, open_run

from .conftest import digests_of


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> RunDirectory:
    """A finished run in which another node vouches for other bytes of unit 3."""
    run = open_run(shutil.copytree(finished, tmp_path / "RUN"))
    (receipt,) = fold_receipts(run)[3]
    append_receipt(run, {**receipt.to_plain(), "digest": "0" * 64, "host": "node17"})
    return run


@pytest.mark.spec("STK-9")
def test_every_command_works_on_and_tells(
    run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, frames = str(run.path), run.layout.frame_count(3)
    for command, expected in (
        (["status", path], ExitStatus.DONE),
        (["verify", path, "--quick"], ExitStatus.DAMAGE),
        (["verify", path], ExitStatus.DAMAGE),
        (["seal", path], ExitStatus.DAMAGE),
        (["report", path, "-o", str(tmp_path / "r.html")], ExitStatus.DONE),
        (["card", path], ExitStatus.DONE),
    ):
        assert main(command) == expected, command
        said = capsys.readouterr()
        if expected == ExitStatus.DAMAGE:
            assert "node17" in said.out + said.err
        if command[0] == "verify":
            assert "damaged: 1 unit, 0 other files; " in said.out
        if command[0] == "status":
            assert "different bytes" in said.out
    out = tmp_path / "out"
    main(["export", path, "--format", "tiff", "-o", str(out)])
    assert len(list(out.glob("*.tif*"))) == run.layout.frames - frames
    stack = db.open_stack(run.path)
    assert stack.attrs["missing_frames"] == frames
    assert int(stack.rendered.sum()) == run.layout.frames - frames
    (item,) = verify(run).findings
    assert (item.unit, item.kind) == (3, "disputed")


@pytest.mark.spec("STK-15")
def test_repair_settles_it_by_rendering_again(
    run: RunDirectory, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [run.object_path(unit).stat().st_mtime_ns for unit in range(run.layout.units)]
    assert repair(run, cluster="serial").repaired == (3,)
    assert verify(run, level="deep").sound
    assert digests_of(run.path) == digests_of(finished)
    after = [run.object_path(unit).stat().st_mtime_ns for unit in range(run.layout.units)]
    assert np.flatnonzero(np.not_equal(before, after)).tolist() == [3]
    capsys.readouterr()
    assert main(["status", str(run.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["repaired_units"] == 1
