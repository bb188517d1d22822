"""The benchmark of recorded images: its frames hold what it says, and its page tells the bars."""

from __future__ import annotations

from pathlib import Path

from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.spec.load import parse_spec
from tools.bench import recorded_scenes as scenes
from tools.bench.closed_scenes import write_reflections
from tools.bench.frames import Taken
from tools.bench.recorded import Pairs, Recorded, summary


def built(plain: dict[str, object]) -> Experiment:
    return build_experiment(parse_spec(plain, source="test"))


def test_the_whole_frame_has_every_part(tmp_path: Path) -> None:
    reflections = write_reflections(tmp_path / "P1.hkl")
    plain = scenes.exafel_full(reflections, scenes.write_model(tmp_path / "model.pdb"))
    full = built(scenes.second_lattice(scenes.with_fibre(plain)))
    assert full.sampling.method == "closed_form"
    assert full.beam.sources.count == 100
    spectral = full.reflections.spectral
    assert spectral is not None
    assert len(spectral.coefficients) == 100
    assert full.response is not None
    assert full.response.calibration == 0.03
    assert full.detector.panels[0].point_spread is not None
    assert len(full.others) == 1


def test_the_page_tells_ratios_and_bars() -> None:
    fast, slow, none = ([Taken(seconds, seconds)] for seconds in (0.2, 0.3, 0.1))
    parts = {"response": Pairs(slow, fast), "second lattice": Pairs(slow, fast, none)}
    page = summary(Recorded(parts, {"exafel_full": [Taken(1.0, 1.2)]}))
    assert "| response | 0.3 (0.3 to 0.3) | 1.5 (1.5 to 1.5) |" in page
    assert "| 1.3 | missed |" in page
    assert "| second lattice | 0.3 (0.3 to 0.3) | 2 (2 to 2) |" in page
    assert "| exafel_full | 1 (1 to 1) | 1.2 (1.2 to 1.2) | 1.5 | reached |" in page
