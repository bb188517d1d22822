"""The compiled-by-interpreter kernel, and compilation for cards that are not here."""

from __future__ import annotations

import os
from importlib import import_module, util

import pytest

from distbragg.kernel.options import KernelOptions
from distbragg.kernel.triton import library
from tests.interpreter import prepare_once_a_launch

WAYS = [("float64", "wide"), ("mixed", "wide"), ("mixed", "split")]
"""Precision and indices of the triton kernel."""

interpreted = pytest.mark.skipif(
    util.find_spec("triton") is None or os.environ.get("TRITON_INTERPRET") != "1",
    reason="Triton's interpreter is not in use",
)
"""For tests that run the kernel on the CPU, through numpy."""


def triton_options(precision="mixed", indices="wide", device="cpu"):
    if library.interpreter_chosen():
        prepare_once_a_launch()
    return KernelOptions(precision, "triton", device, 1, indices)


def programs():
    """The module of small device programs; Triton is loaded with it."""
    prepare_once_a_launch()
    return import_module("tests.unit.kernel_triton.programs")
