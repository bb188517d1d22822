"""The benchmark of the fused kernel: proved through the interpreter, measured where a card is."""

from __future__ import annotations

import json

import pytest
import torch

from distbragg.cli.main import main
from distbragg.errors import InputError
from distbragg.run.bench import How, prepare, time_workload
from distbragg.run.workloads import Workload, make_inputs
from tests.unit.kernel_triton.kit import interpreted

SMALL = (
    "-hkl P1.hkl -cell 79.1 79.1 38 90 90 90 -misset 10 20 30 -lambda 1 -oversample 1 "
    "-distance 150 -detpixels 40 -pixel 4 -N 20 -mosaic 0.3 -mosaic_domains 2 -nonoise"
)
gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    make_inputs(folder)
    return folder


@interpreted
def test_timing_of_the_fused_kernel_says_peak_share_and_whole_frame(inputs):
    small = Workload("small", tuple(SMALL.split()), 40 * 40 * 2)
    how = How(1, "mixed", "triton", "cpu", indices="split", noise=True)
    timing = time_workload(prepare(small, inputs, how), repeats=1)
    figures = json.loads(json.dumps(timing.plain()))
    assert figures["steps"] == small.steps
    assert figures["indices"] == "split"
    assert figures["card"] == "interpreter"
    assert figures["frame_seconds"] > figures["seconds"] > 0.0
    assert figures["peak_fraction"] == pytest.approx(
        100 * figures["steps_per_s"] / figures["peak_operations_per_s"]
    )
    assert (timing.image == timing.image.round()).all()
    assert timing.image.sum() > 0.0


def test_kernels_with_one_way_of_indexing_refuse_another(inputs):
    small = Workload("small", tuple(SMALL.split()), 40 * 40 * 2)
    with pytest.raises(InputError, match="one way of computing indices"):
        prepare(small, inputs, How(1, kernel="eager", indices="wide"))


def test_bench_on_a_card_that_is_not_there_is_one_line(inputs, capsys):
    command = ["bench", "--workload", "exafel", "--inputs", str(inputs), "--device", "cuda:99"]
    assert main(command) == 6
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "cuda:99 is not there" in captured.err


@pytest.mark.parametrize(
    "marked", [pytest.param("exafel", marks=gpu), pytest.param("big_detector", marks=gpu)]
)
@pytest.mark.parametrize("indices", ["wide", "split"])
def test_a_card_keeps_the_bars_of_speed(marked, indices, inputs, capsys):
    """≥ 2e11 steps/s and ≥ 35 % of the peak on an H200-class card, by the way that suits it."""
    command = ["bench", "--workload", marked, "--inputs", str(inputs), "--device", "cuda"]
    assert main([*command, "--indices", indices, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["kernel"] == "triton"
    assert 0.0 < figures["peak_fraction"] < 1.0
    if indices == "wide" and any(name in figures["card"] for name in ("H100", "H200")):
        assert figures["steps_per_s"] >= 2e11
        assert figures["peak_fraction"] >= 0.35


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_exafel_with_photon_noise_takes_less_than_the_bar(inputs, capsys):
    command = ["bench", "--workload", "exafel", "--inputs", str(inputs), "--device", "cuda"]
    assert main([*command, "--noise", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    if any(name in figures["card"] for name in ("H100", "H200")):
        assert figures["frame_seconds"] <= 0.4
