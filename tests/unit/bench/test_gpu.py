"""The benchmark of the fused kernel: proved through the interpreter, measured where a card is."""

from __future__ import annotations

import json

import pytest
import torch

from distbragg.cli.main import main
from distbragg.errors import InputError
from distbragg.run.bench import How, Workload, make_inputs, prepare, time_workload
from tests.unit.kernel_triton.kit import interpreted

SMALL = (
    "-hkl P1.hkl -cell 79.1 79.1 38 90 90 90 -misset 10 20 30 -lambda 1 -oversample 1 "
    "-distance 150 -detpixels 40 -pixel 4 -N 20 -mosaic 0.3 -mosaic_domains 2 -nonoise"
)


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
    assert min(figures["frame_seconds"], figures["seconds"]) > 0.0
    assert figures["peak_fraction"] == pytest.approx(
        100 * figures["steps_per_s"] / figures["peak_operations_per_s"]
    )
    assert (timing.image == timing.image.round()).all()
    assert timing.image.sum() > 0.0


def test_kernels_with_one_way_of_indexing_refuse_another(inputs):
    small = Workload("small", tuple(SMALL.split()), 40 * 40 * 2)
    with pytest.raises(InputError, match="one way of computing indices"):
        prepare(small, inputs, How(1, kernel="model", indices="wide"))


def test_bench_on_a_card_that_is_not_there_is_one_line(inputs, capsys):
    command = ["bench", "--workload", "exafel", "--inputs", str(inputs), "--device", "cuda:99"]
    assert main(command) == 6
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "cuda:99 is not available" in captured.err


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("options", [("--indices", "wide"), ("--indices", "split"), ("--noise",)])
def test_a_card_renders_the_workload_it_is_for_and_says_how(options, inputs, capsys):
    """Whether it is fast enough is for `make bench-gpu` to say."""
    command = ["bench", "--workload", "exafel", "--inputs", str(inputs), "--device", "cuda"]
    assert main([*command, *options, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["kernel"] == "triton"
    assert figures["card"] == torch.cuda.get_device_name()
    assert figures["indices"] == (options[1] if len(options) > 1 else "wide")
    assert figures["peak_fraction"] > 0.0
