"""`python -m tools.bench report` writes a bundle."""

from __future__ import annotations

import pytest

from distbragg.cli.main import main
from tools.bench import report
from tools.bench.__main__ import command


@pytest.mark.parametrize(("options", "quick"), [(["--quick"], True), ([], False)])
def test_the_report_of_speed_becomes_a_bundle(monkeypatch, tmp_path, capsys, options, quick):
    asked = []

    def measure(inputs, how, extent, say):
        assert (inputs / "P1.hkl").is_file()
        asked.append((how, extent))
        raise RuntimeError("measured enough")

    monkeypatch.setattr(report, "measure", measure)
    with pytest.raises(RuntimeError, match="measured enough"):
        main(
            [
                "report",
                "--out",
                str(tmp_path),
                "--threads",
                "3",
                "--precision",
                "float64",
                *options,
            ],
            command=command,
        )
    ((how, extent),) = asked
    assert (how.threads, how.precision, how.kernel) == (3, "float64", "auto")
    assert (extent == report.QUICK) is quick
    (folder,) = (tmp_path / "performance").iterdir()
    assert (folder / "env.json").is_file()
