"""The bundle on reading reflections and drawing noise, made small."""

from __future__ import annotations

import json
from pathlib import Path

import gemmi
import pytest

from distbragg.read.structure_factors import read_structure_factors
from tools.evidence import rates
from tools.evidence.rates import SPACE_GROUPS, Rate, write_bundle, write_unique


@pytest.mark.parametrize("spacegroup", SPACE_GROUPS)
def test_the_files_hold_as_many_unique_reflections_as_asked(
    tmp_path: Path, spacegroup: str
) -> None:
    write_unique(tmp_path / "a.mtz", spacegroup, 3_001)
    mtz = gemmi.read_mtz_file(str(tmp_path / "a.mtz"))
    assert mtz.nreflections == 3_001
    assert not any(
        mtz.spacegroup.operations().is_systematically_absent(h) for h in mtz.make_miller_array()
    )
    order = len(list(mtz.spacegroup.operations()))
    table = read_structure_factors(str(tmp_path / "a.mtz"))
    assert 0.8 * 2 * order * 3_001 < table.count <= 2 * order * 3_001


def test_a_bundle_tells_medians_and_every_repeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "NOISE_PIXELS", 5_003)
    folder = write_bundle(tmp_path, repeats=2, reflections=1_009)
    found = json.loads((folder / "rates.json").read_text())
    assert len(found) == len(SPACE_GROUPS) + 3
    assert all(len(rate["cpu"]) == 2 for rate in found)
    page = (folder / "summary.md").read_text()
    assert "P 43 21 2, 1,009 unique reflections" in page
    assert "the bar" not in page


def test_a_row_has_median_and_least_of_both_clocks() -> None:
    row = Rate("x", (3.0, 1.0, 2.0), (0.5, 0.7, 0.6)).row()
    assert row == ("x", "2.000", "1.000", "0.600", "0.500")
