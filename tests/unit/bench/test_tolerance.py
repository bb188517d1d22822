"""What the report says of tolerances, on a small workload."""

from __future__ import annotations

from pathlib import Path

import pytest

from distbragg.kernel import native
from distbragg.run.bench import How, Workload, find_workload, make_inputs
from tools.bench import tolerance

pytestmark = pytest.mark.skipif(not native.available(), reason=native.reason())


def test_left_out_steps_grow_with_the_tolerance_and_the_loss_stays_below_what_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_inputs(tmp_path)

    def small(name: str) -> Workload:
        changes = {"-detpixels": 61, "-mosaic_domains": 3}
        return find_workload(name).with_arguments(name, changes, 61 * 61 * 3)

    monkeypatch.setattr(tolerance, "find_workload", small)
    monkeypatch.setattr(tolerance, "WORKLOADS", ("gauss_mosaic", "mosaic_still"))
    rows = tolerance.measure_tolerance(tmp_path, How(1, "float64"), pairs=1)
    gauss, still = rows[: len(tolerance.PHOTONS)], rows[len(tolerance.PHOTONS) :]
    assert [row.photons for row in gauss] == list(tolerance.PHOTONS)
    assert 0.5 < gauss[0].left_out <= gauss[-1].left_out < 1.0
    assert 0.0 == still[0].left_out < still[-1].left_out < 1.0
    for row in rows:
        assert row.lost <= row.bound <= row.photons
