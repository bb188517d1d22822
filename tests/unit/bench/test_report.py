"""What is computed from timings, and the page and figures made of them."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from distbragg.cli.main import main
from distbragg.errors import EnvironmentFailure
from distbragg.run.bench import INPUT_FILE, How, Timing, find_workload
from tools.bench.c_program import find_program
from tools.bench.end_to_end import EndToEnd
from tools.bench.figures import draw_scaling, draw_throughput
from tools.bench.limit import PlainLoop
from tools.bench.memory import PeakMemory
from tools.bench.pairs import PairedTiming, Spread
from tools.bench.report import Report
from tools.bench.scaling import Curve
from tools.bench.small_frames import SmallFrames, measure_small_frames
from tools.bench.startup import StartUp, import_times
from tools.bench.summary import summary
from tools.build_native import Compiler, NoCompilerError


def timing(name: str = "mosaic_still") -> Timing:
    image = np.zeros((2, 2))
    return Timing(name, 1000, 0.5, (0.4, 0.6), "native", "cpu", 2, "mixed", image)


def small_frames(c_frame: float = 0.2) -> SmallFrames:
    return SmallFrames(100, 2, 5, 4.0, 6.0, 3.0, 4.0, 2.0, 10**6, c_frame)


def report(c_seconds: list[float], limit: list[float]) -> Report:
    starts = [0.1] * len(c_seconds)
    paired = PairedTiming(timing(), [0.5, 0.25, 0.5], c_seconds, starts, limit)
    curve = Curve("pixels", (10, 100), (0.1, 1.0))
    return Report(
        How(2),
        (paired,),
        EndToEnd([5.0], [1.0], c_seconds[:1], starts[:1]),
        (PeakMemory("big_detector", 110_000_000, 100_000_000),),
        StartUp(Spread(1.0, 0.9, 1.1), 0.02, {"zarr": 0.2}),
        small_frames(0.2 if c_seconds else 0.0),
        (curve, curve),
    )


def test_ratio_is_the_median_over_pairs_not_the_ratio_of_medians():
    paired = PairedTiming(timing(), [1.0, 2.0, 4.0], [10.0, 40.0, 20.0], [0.0, 20.0, 0.0])
    assert paired.raw_ratio == Spread(10.0, 5.0, 20.0)
    assert paired.ratio == Spread(10.0, 5.0, 10.0)
    assert paired.share_of_limit is None


def test_end_to_end_takes_the_small_image_off_both_sides():
    found = EndToEnd([5.0], [1.0], [50.0], [2.0])
    assert found.raw_ratio == Spread(10.0, 10.0, 10.0)
    assert found.ratio == Spread(12.0, 12.0, 12.0)
    assert EndToEnd([5.0], [1.0], [], []).ratio is None


def test_shares_of_small_frames_are_of_rendering_storing_and_wall_time():
    small = small_frames()
    assert small.share_in_memory == 3.0 / 4.0
    assert small.share_stored == 3.0 / 6.0
    assert small.share_of_wall == 3.0 / 8.0
    assert small.ratio == pytest.approx(5.0)


def test_scaling_exponent_is_the_last_step_in_the_log_plane():
    curve = Curve("domains", (1, 10, 100), (1.0, 1.0, 100.0))
    assert curve.exponent == pytest.approx(2.0)


def test_import_times_are_summed_by_outermost_package():
    lines = [
        "import time: self [us] | cumulative | imported package",
        "import time:       100 |        100 |   zarr.core.array",
        "import time:        50 |        150 | zarr",
        "import time:       300 |        300 | numpy",
        "distbragg: 1/1 frames",
    ]
    assert import_times(lines) == pytest.approx({"numpy": 300e-6, "zarr": 150e-6})
    assert list(import_times(lines)) == ["numpy", "zarr"]


@pytest.mark.parametrize(("c_seconds", "limit"), [([20.0, 21.0, 22.0], [4000.0] * 3), ([], [])])
def test_page_and_figures_are_made_with_and_without_the_c_program(tmp_path, c_seconds, limit):
    found = report(c_seconds, limit)
    page = summary(found)
    assert ("≥ 30" in page) == bool(c_seconds)
    assert "+10%" in page
    assert json.loads(json.dumps(found.plain()))["big_detector"]["ours_s"] == [5.0]
    draw_throughput(tmp_path / "throughput.png", found.paired)
    draw_scaling(tmp_path / "scaling.png", found.curves)
    assert all(path.stat().st_size > 1000 for path in tmp_path.iterdir())


def stand_in(folder: Path, ending: str) -> Path:
    """A program that behaves as nanoBragg.c on the outside."""
    path = folder / "program"
    path.write_text(f"#!/bin/sh\nprintf aaaabbbb > float.bin\necho $OMP_NUM_THREADS\n{ending}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_c_program_runs_in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("NB_C_BIN", str(stand_in(tmp_path, "")))
    (tmp_path / INPUT_FILE).write_text("0 0 1 10\n")
    program = find_program(tmp_path, 3)
    assert program is not None
    workload = find_workload("mosaic_still")
    assert str(tmp_path / INPUT_FILE) in program.arguments(workload)
    assert program.seconds(workload) > 0.0
    assert program.image(workload).shape == (2,)
    assert not (tmp_path / "float.bin").exists()


def test_c_program_that_fails_or_is_missing_is_an_environment_failure(tmp_path, monkeypatch):
    monkeypatch.setenv("NB_C_BIN", str(stand_in(tmp_path, "exit 3")))
    program = find_program(tmp_path, 1)
    assert program is not None
    with pytest.raises(EnvironmentFailure, match="status 3"):
        program.seconds(find_workload("mosaic_still"))
    monkeypatch.setenv("NB_C_BIN", str(tmp_path / "absent"))
    with pytest.raises(EnvironmentFailure, match="NB_C_BIN"):
        find_program(tmp_path, 1)
    monkeypatch.delenv("NB_C_BIN")
    assert find_program(tmp_path, 1) is None


def test_plain_loop_is_built_run_and_removed():
    try:
        Compiler.find()
    except NoCompilerError:
        pytest.skip("no C++ compiler")
    loop = PlainLoop()
    folder = loop._folder
    assert loop.steps_per_s(1) > 0.0
    loop.close()
    assert not os.path.exists(folder)


def test_small_frames_counts_every_frame_from_the_receipts(tmp_path):
    (tmp_path / INPUT_FILE).write_text("0 0 1 10\n0 0 -1 10\n")
    small = measure_small_frames(tmp_path, 1, None, frames=3)
    assert (small.frames, small.workers) == (3, 1)
    assert 0.0 < small.kernel < small.render
    assert small.stored_bytes > 0
    assert small.ratio == 0.0


def test_bench_prints_one_json_object_and_writes_the_image(tmp_path, capsys, monkeypatch):
    (tmp_path / INPUT_FILE).write_text("0 0 1 10\n0 0 -1 10\n")
    tiny = find_workload("mosaic_still").with_arguments("tiny", {"-detpixels": 9}, 0)
    monkeypatch.setattr("distbragg.run.bench.find_workload", lambda _: tiny)
    arguments = ["--workload", "tiny", "--inputs", str(tmp_path), "--threads", "1", "--json"]
    image = tmp_path / "image.bin"
    assert main(["bench", *arguments, "--repeats", "1", "--floatfile", str(image)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == {
        "workload",
        "steps",
        "seconds",
        "steps_per_s",
        "kernel",
        "device",
        "threads",
        "precision",
    }
    assert image.stat().st_size == 9 * 9 * 4


def test_bench_without_a_task_says_what_to_ask_for(capsys):
    assert main(["bench"]) == 2
    assert "--workload" in capsys.readouterr().err
