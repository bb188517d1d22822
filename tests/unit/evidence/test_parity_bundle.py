"""The parity bundle on a few golden images."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from distbragg.cli.main import main
from distbragg.errors import InputError
from tools.evidence import parity, reproducibility
from tools.evidence.__main__ import command as evidence
from tools.evidence.parity import write_bundle

DATA = Path(__file__).parents[2] / "golden" / "data"
NAMES = ("cubic_default_F", "sourcefile")


@pytest.fixture
def few(tmp_path):
    folder = tmp_path / "few"
    shutil.copytree(DATA / "inputs", folder / "inputs")
    listed = json.loads((DATA / "cases.json").read_text(encoding="utf-8"))
    kept = [case for case in listed["cases"] if case["id"] in NAMES]
    (folder / "cases.json").write_text(json.dumps({"cases": kept}))
    for name in NAMES:
        shutil.copy(DATA / f"{name}.npy", folder)
    return folder


def test_the_command_compares_every_case_kernel_and_precision(few, tmp_path, capsys):
    out = tmp_path / "reports"
    assert main(["parity", "--out", str(out), "--data", str(few)], command=evidence) == 0
    (folder,) = (out / "parity").iterdir()
    assert capsys.readouterr().out.strip() == str(folder)
    rows = json.loads((folder / "rows.json").read_text())
    assert len(rows) == len(NAMES) * 2 * len(parity.kernels())
    assert max(row["relative"] for row in rows) < 1e-5
    summary = (folder / "summary.md").read_text(encoding="utf-8")
    assert "Beyond the bars: **none**" in summary
    assert summary.count("| sourcefile |") >= 4


def test_a_worse_image_is_named(few):
    row = next(parity.parity_rows(few))
    assert row.held(row.precision)
    worse = replace(row, relative=1e-5)
    assert not worse.held("float64")
    assert "cubic_default_F" in parity.summary([worse], 1.0).split("Beyond the bars")[1][:60]
    mixed = replace(row, precision="mixed")
    assert mixed.held("mixed")
    for name in ("bright", "of_maximum", "total"):
        assert not replace(mixed, **{name: 0.1}).held("mixed")


def test_a_folder_without_cases_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="no list of golden cases"):
        write_bundle(tmp_path / "reports", data=tmp_path)
    assert not (tmp_path / "reports").exists()


def test_the_reproducibility_command_writes_its_bundle(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(reproducibility, "WORKERS", (0,))
    monkeypatch.setattr(reproducibility, "CUTS", (("auto", 2), ((17, 23), 2)))
    monkeypatch.setattr(reproducibility, "FINE_CUTS", ())
    monkeypatch.setattr(reproducibility, "PRECISIONS", ("mixed",))
    assert main(["reproducibility", "--out", str(tmp_path)], command=evidence) == 0
    (folder,) = (tmp_path / "reproducibility").iterdir()
    assert capsys.readouterr().out.strip() == str(folder)
    summary = (folder / "summary.md").read_text(encoding="utf-8")
    assert "place and form: **yes**" in summary
    assert "**0 ulp**" in summary
