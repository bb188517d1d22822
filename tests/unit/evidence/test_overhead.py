"""What distribution costs, measured at a small size."""

from __future__ import annotations

from pathlib import Path

from distbragg.run.create import create
from tools.evidence import overhead


def test_a_serial_execution_tells_kernel_storage_and_wall_time_apart(tmp_path: Path) -> None:
    create(overhead.sweep_of(3, 2), tmp_path / "RUN")
    receipts = overhead.render_part(str(tmp_path / "RUN"), (1, 1))
    found = overhead.execution("serial processes", 1, receipts)
    assert found.units == 3
    assert 0.0 < found.shortest <= found.kernel / 3
    assert found.storage > 0.0
    assert found.overhead == (found.wall - found.kernel) / found.kernel
