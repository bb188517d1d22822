"""`distbragg evidence performance` is the report of `distbragg bench`, as a bundle."""

from __future__ import annotations

import pytest

from distbragg.cli.main import main
from tools.bench import report


@pytest.mark.parametrize(("options", "quick"), [(["--quick"], True), ([], False)])
def test_the_report_of_the_benchmarks_becomes_a_bundle(
    monkeypatch, tmp_path, capsys, options, quick
):
    extents = []

    def write_report(folder, inputs, how, extent=None, **_):
        extents.append(extent)
        folder.write_text("summary.md", "measured")

    monkeypatch.setattr(report, "write_report", write_report)
    assert main(["evidence", "performance", "--out", str(tmp_path), *options]) == 0
    (folder,) = (tmp_path / "performance").iterdir()
    assert capsys.readouterr().out.splitlines() == ["measured", "", str(folder)]
    assert (extents[0] == report.QUICK) is quick
    assert (folder / "env.json").is_file()
