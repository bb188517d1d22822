"""The fused kernel compiles for real cards, without a card: what the interpreter cannot tell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import util

import pytest

pytestmark = pytest.mark.skipif(util.find_spec("triton") is None, reason="Triton is not installed")

CASES = [
    (90, {}),
    (90, {"LONG": True, "SINGLE": False}),
    (89, {"SPLIT": True}),
    (80, {"SHAPE": 2, "NARROW": True, "BLOCK": 64}),
    (80, {"SHAPE": 1, "REAL": "fp64", "LONG": True, "CURVED": True, "CAPTURE": True}),
    (100, {"SHAPE": 3, "NARROW": True, "CUT": True, "WITH_BACKGROUND": True}),
]
"""Capability × 10, and how the compile-time choices differ from a plain mixed still."""

PROGRAM = """
import json, sys
from distbragg.kernel.triton.compilation import compile_kernel
for capability, changes in json.loads(sys.argv[1]):
    report = compile_kernel(capability, changes)
    print(json.dumps({"registers": report.registers, "spilled": report.spilled_bytes,
                      "step": report.step_instructions, "pipes": report.pipes}))
"""


def _compile(cases, cache):
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(cache)
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(cases)],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    return [json.loads(line) for line in answer.stdout.splitlines()]


@pytest.mark.spec("ENG-17")
def test_every_kind_compiles_and_keeps_its_sums_in_registers(tmp_path):
    reports = _compile(CASES, tmp_path)
    assert len(reports) == len(CASES)
    for (capability, changes), report in zip(CASES, reports, strict=True):
        assert report["spilled"] == 0, (capability, changes)
        assert 32 <= report["registers"] <= 255
    step = reports[0]
    # An instruction more in the step of the commonest launch is one per cent of its speed.
    assert 70 <= step["step"] <= 92
    assert step["registers"] <= 80
    assert step["pipes"]["float64"] <= 18
    assert step["pipes"]["conversions and reciprocals"] <= 4
    assert sum(step["pipes"].values()) >= 0.95 * step["step"]
    # A second process finds the compiled kernel instead of making it again.
    built = sorted(path for path in tmp_path.rglob("*.cubin"))
    made = [path.stat().st_mtime_ns for path in built]
    assert len(built) == len(CASES)
    assert _compile(CASES[:1], tmp_path) == reports[:1]
    assert sorted(path for path in tmp_path.rglob("*.cubin")) == built
    assert [path.stat().st_mtime_ns for path in built] == made
