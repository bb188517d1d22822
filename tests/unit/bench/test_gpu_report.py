"""The report of a card, made by the interpreter: every part runs, is judged, and is kept."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest

from distbragg.cli.main import main
from distbragg.errors import AccountingError
from distbragg.models import build_reflections
from distbragg.read.text import remembered
from distbragg.run.bench import How, make_inputs, prepare
from tests.interpreter import prepare_once_a_launch
from tests.unit.kernel_triton.kit import interpreted
from tools.bench import gpu, gpu_scenes, gpu_summary
from tools.bench.__main__ import command as bench
from tools.bench.gpu import Measured, measure_gpu, quick_extent
from tools.bench.gpu_scenes import Difference, difference, scenes


@pytest.fixture(autouse=True)
def read_once(monkeypatch):
    """Read the list of reflections once for all workloads: it takes as long as to render one."""
    once = remembered(1)(build_reflections.read_structure_factors)
    monkeypatch.setattr(build_reflections, "read_structure_factors", once)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("inputs")).parent


def test_without_a_card_it_is_one_line_and_leaves_nothing(tmp_path, capsys):
    out = tmp_path / "reports"
    assert main(["gpu", "--device", "cuda:99", "--out", str(out)], command=bench) == 6
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "cuda:99 is not available" in captured.err
    assert not out.exists()


@interpreted
@pytest.mark.slow
@pytest.mark.cluster
def test_a_miniature_of_the_report_measures_every_part(tmp_path, capsys, monkeypatch):
    prepare_once_a_launch()
    monkeypatch.setattr(gpu, "FORMS", gpu.FORMS[:1])
    monkeypatch.setattr(gpu_scenes, "WAYS", gpu_scenes.WAYS[:1])
    small = quick_extent()
    monkeypatch.setattr(gpu, "quick_extent", lambda: small)
    assert main(["gpu", "--device", "cpu", "--quick", "--out", str(tmp_path)], command=bench) == 0
    (bundle,) = (tmp_path / "gpu").iterdir()
    names = {"commands.txt", "env.json", "results.json", "summary.md", "gpu.png"}
    assert {path.name for path in bundle.iterdir()} == names
    found = json.loads((bundle / "results.json").read_text())
    assert found["failed"] == {}
    parts = found["parts"]
    assert set(parts) == {"card", "speed", "noise", "accuracy", "sweep", "memory", "forms"}
    ways = [(timing["workload"], timing["indices"]) for timing in parts["speed"]]
    assert ways == [(n, w) for n in ("big_detector", "exafel") for w in ("wide", "split")]
    assert parts["noise"]["photons"] == round(parts["noise"]["photons"]) > 0
    assert all(item["held"] for item in parts["accuracy"])
    assert len(parts["accuracy"]) == 10
    assert parts["sweep"]["held"]
    assert (parts["sweep"]["frames"], parts["sweep"]["steady"]) == (5, 2)
    assert parts["memory"]["same_bits"]
    assert parts["forms"][0]["same_bits"]
    text = (bundle / "summary.md").read_text()
    assert "interpreter" in text
    assert len(re.findall(r"\| held \|", text)) == 4
    assert capsys.readouterr().out.rstrip().endswith(bundle.name)


def test_every_scene_holds_enough_light_to_be_compared(inputs):
    for scene in scenes(256, 10, 3):
        image = prepare(scene, inputs, How(1, "mixed")).render()[0]
        assert (image > gpu_scenes.BRIGHT_SHARE * image.max()).sum() > 100, scene.name


def test_a_part_that_fails_is_told_and_the_others_are_kept(tmp_path, inputs, monkeypatch):
    written = []

    class Book:
        def write_json(self, name, value):
            written.append((name, json.loads(json.dumps(value))))
            return tmp_path / name

    def broken(*_):
        raise RuntimeError("CUDA error:\nan illegal memory access")

    for part in ("_speeds", "_noise", "_sweep", "_memory", "_forms"):
        monkeypatch.setattr(gpu, part, broken)
    monkeypatch.setattr(gpu, "_card", lambda device: {"card": "NVIDIA H200"})
    monkeypatch.setattr(gpu, "_accuracy", lambda *_: [])
    said = []
    measured = measure_gpu(Book(), inputs, "cuda", quick_extent(), said.append)
    assert len(written) == len(said) == 7
    assert written[0][1]["parts"] == {"card": {"card": "NVIDIA H200"}}
    assert measured.failed["speed"] == "RuntimeError: CUDA error: an illegal memory access"
    verdicts = {row.verdict for row in gpu_summary.rows(measured)}
    assert verdicts == {"not measured"}
    assert "- sweep: RuntimeError" in gpu_summary.text(measured, "")


def timing(workload, indices, rate, share):
    return {
        "workload": workload, "indices": indices, "steps_per_s": rate, "peak_fraction": share,
        "peak_operations_per_s": 6e13, "seconds": 0.2, "frame_seconds": 0.3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("card", "rate", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", 2.4e11, ["held", "held"]),
        ("NVIDIA H200", 1.9e11, ["missed", "held"]),
        ("NVIDIA L4", 1.9e11, ["no bar for this card"] * 2),
    ],
)
def test_speed_is_judged_on_the_cards_that_have_a_bar(card, rate, expected):
    speed = [timing("exafel", "wide", rate, 0.36), timing("exafel", "split", 1e11, 0.2)]
    measured = Measured({"card": {"card": card}, "speed": speed})
    verdicts = [row.verdict for row in gpu_summary.rows(measured)][:4]
    assert verdicts[:2] == expected
    assert "held" not in verdicts[2:]
    assert "missed" not in verdicts[2:]


def test_an_image_that_is_no_number_is_missed():
    expected = np.full((3, 4), 2.0)
    found = expected.copy()
    found[1, 1] = math.nan
    named = {"scene": "square", "precision": "mixed", "indices": "wide"}
    worst = difference(found, expected, **named)
    assert not worst.held
    kept = {"bright": worst.bright, "of_maximum": worst.of_maximum, "total": worst.total}
    good = Difference("round", "mixed", "wide", 1e-6, 1e-7, 1e-8)
    assert good.held
    rows = gpu_summary.rows(Measured({"accuracy": [{**named, **kept}]}))
    assert [row.verdict for row in rows if row.what.startswith("accuracy")] == ["missed"] * 3
    with pytest.raises(AccountingError, match="no photon"):
        difference(found, 0.0 * expected, **named)
