"""How far the call of one warm unit of work travels through the package."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from types import FrameType

import distbragg
from distbragg.cli.main import main

MOST_FILES = 40
MOST_HOPS = 110
"""Calls that go on in another file than the one before."""

UNIT = ("engine/executor.py", "SerialExecutor._attempt")
INNER = ("<module>", "<genexpr>", "<listcomp>", "<lambda>", "<dictcomp>", "<setcomp>")

SWEEP = """
experiment:
  beam: {spectrum: {wavelengths_angstrom: [0.99, 1.0], weights: [1, 2]}}
  crystal: {cell: [79.1, 79.1, 38.0, 90, 90, 90], block_cells: [5, 5, 5]}
  structure_factors: {default_f_electrons: 100}
  detector: {distance_mm: 150, pixel_size_mm: 0.8, pixels_fast: 128, pixels_slow: 128}
  sampling: {oversample: 1}
axes:
  - {name: orientation, random_orientations: {count: 4, seed: 1}}
"""


def test_a_warm_unit_passes_few_files(tmp_path: Path) -> None:
    root = f"{Path(distbragg.__file__).parent}/"
    calls: list[tuple[str, str]] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        ours = event == "call" and code.co_filename.startswith(root)
        if ours and not any(inner in code.co_qualname for inner in INNER):
            calls.append((code.co_filename.removeprefix(root), code.co_qualname))

    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(SWEEP)
    sys.setprofile(note)
    try:
        status = main(["sweep", str(sweep), "-o", str(tmp_path / "run"), "--cluster", "serial"])
    finally:
        sys.setprofile(None)
    assert status == 0

    starts = [place for place, call in enumerate(calls) if call == UNIT]
    assert len(starts) == 4
    warm = [file for file, _ in calls[starts[1] : starts[2]]]
    assert "kernel/native/render.py" in warm
    assert "store/write.py" in warm
    assert len(set(warm)) <= MOST_FILES, sorted(set(warm))
    hops = [pair for pair in pairwise(warm) if pair[0] != pair[1]]
    assert len(hops) <= MOST_HOPS, hops
