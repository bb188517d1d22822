"""The launches, as on a card: what Triton binds, compiles and would hand over to the driver.

What the compiler made of the kernel is carried out too. The interpreter runs the source; that runs
the PTX, the last form before machine code, and finds reads and writes beyond the arguments.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

from distbragg.kernel.triton import library
from tests.property.test_triton_kernel import FIXED

pytestmark = pytest.mark.skipif(util.find_spec("triton") is None, reason="Triton is not installed")

POINTERS = {"*fp64": "float64", "*fp32": "float32", "*i32": "int32"}

CARD_CASES = [
    (90, {"shape": "square", "one_way": True, "sources": 3}, ("mixed", "wide")),
    (90, {"shape": "square", "cells": (7, 90, 30), "sources": 2}, ("mixed", "wide")),
    (89, {"shape": "square", "sources": 2}, ("mixed", "split")),
    (80, {"shape": "gauss", "cells": (9, 8, 7)}, ("mixed", "wide")),
    (80, {"shape": "round", "layers": 2, "surface": "sphere"}, ("float64", "wide")),
    (100, {"shape": "tophat", "cells": (9, 8, 7), "dmin": 2.0}, ("mixed", "wide")),
]
"""Capability × 10, experiment, and how it is rendered; the first is the commonest launch."""


@pytest.mark.spec("ENG-17")
def test_every_kind_compiles_for_its_cards_and_keeps_its_sums_in_registers(told):
    used = told[2:]
    assert len(used) == len(CARD_CASES)
    assert [spilled for _, spilled in used] == [0] * len(used)
    assert all(32 <= registers <= 255 for registers, _ in used)
    # More would leave room for five programs on a multiprocessor in place of six.
    assert used[0][0] <= 80


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the program tells of its launches, and of the kernel of each card."""
    cache = tmp_path_factory.mktemp("cache")
    ours = ("TRITON_INTERPRET", "TRITON_CACHE_DIR")
    environment = {k: v for k, v in os.environ.items() if k not in ours}
    environment["DISTBRAGG_CACHE_DIR"] = str(cache)
    program = [sys.executable, "-m", "tests.unit.kernel_triton.launches"]
    answer = subprocess.run(
        [*program, json.dumps(CARD_CASES), str(cache)], cwd=Path(__file__).parents[3],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert list((cache / "triton").rglob("*.cubin"))
    return [json.loads(line) for line in answer.stdout.splitlines()]


@pytest.fixture(scope="module")
def reports(told):
    return told[1]


@pytest.mark.spec("ENG-17")
def test_the_compiled_kernel_computes_what_the_plain_loops_compute(told):
    assert told[0] == [True] * len(FIXED)


@pytest.mark.spec("ENG-17")
def test_arguments_are_what_the_compiled_kernel_reads(reports):
    first = reports[0]
    assert first["compiled"] == len(FIXED)
    for launch in reports[-1]["launches"]:
        for kind, given in launch["arguments"]:
            if kind in POINTERS:
                assert given == POINTERS[kind]
            else:
                # No bare float: it would be handed over in single precision.
                assert kind == "i32"
                assert isinstance(given, int)
                assert -(2**31) <= given < 2**31
        assert launch["shared"] <= 1024
        assert launch["scratch"] == 0
    for signature, parameters in first["parameters"]:
        assert [kind[0] == "*" for kind in signature] == [kind == "u64" for kind in parameters]
        assert [kind == "i32" for kind in signature] == [kind == "u32" for kind in parameters]


@pytest.mark.spec("ENG-18")
def test_no_other_size_place_or_range_makes_the_compiler_run_again(reports):
    first, second, _ = reports
    assert second["compiled"] == first["compiled"]
    assert len(second["launches"]) > len(first["launches"]) + 10
    counts = [launch["arguments"][2][1] for launch in second["launches"][len(first["launches"]) :]]
    assert 1 in counts
    assert 101 in counts
    for launch in second["launches"]:
        x, y, z = launch["grid"]
        assert 1 <= x < 2**31
        assert (y, z) == (1, 1)


def test_the_measurement_of_the_peak_is_launched_as_it_was_compiled(reports):
    launch = reports[2]["launches"][-1]
    assert launch["name"] == "multiply_add"
    assert [kind for kind, _ in launch["arguments"]] == ["*fp32", "i32"]
    assert reports[2]["compiled"] == reports[1]["compiled"] + 1


def test_kernels_are_kept_elsewhere_where_the_cache_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file, not a folder")
    monkeypatch.setenv("DISTBRAGG_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TRITON_CACHE_DIR", "")
    library.prepare_cache()
    kept = Path(os.environ["TRITON_CACHE_DIR"])
    assert kept.parent == tmp_path
    assert kept.is_dir()
    library.prepare_cache()
    assert os.environ["TRITON_CACHE_DIR"] == str(kept)
