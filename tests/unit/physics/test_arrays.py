"""One formula for numpy and torch, and no torch for who has none."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import torch

from distbragg.physics.arrays import constant, cross, dot, floats, module_of, root, unit
from tests.unit.physics.kit import BOTH, Make

PROGRAM = """
import sys
from importlib import import_module
from pkgutil import iter_modules

import numpy as np

import distbragg.physics

for module in iter_modules(distbragg.physics.__path__):
    import_module(f"distbragg.physics.{module.name}")

from distbragg.kernel.finalize import finalize_tile
from tests.unit.kernel.experiments import make_experiment, whole_tile

experiment = make_experiment(
    physics="nanobragg", surface="nanobragg", layers=2, dmin=2.0, kahn_factor=0.9
)
tile = whole_tile(experiment)
image = finalize_tile(experiment, 0, tile, np.ones(tile.pixels), frame=0)
assert image.max() > 0.0
assert "torch" not in sys.modules, "torch was loaded"
"""


def test_neither_the_formulas_nor_a_finished_frame_load_torch() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr


def test_arrays_are_told_from_tensors() -> None:
    assert module_of(np.zeros(2)) is np
    assert module_of(1.5) is np
    assert module_of(torch.zeros(2)) is torch


@BOTH
def test_vectors_by_hand(make: Make) -> None:
    x, y = (make([3.0, 0.0]), make([0.0, 0.0]), make([4.0, 0.0])), (0.0, 2.0, 0.0)
    assert dot(x, x).tolist() == [25.0, 0.0]
    assert [part.tolist() for part in cross(x, y)] == [[-8.0, 0.0], [0.0, 0.0], [6.0, 0.0]]
    assert [part.tolist() for part in unit(x)] == [[0.6, 0.0], [0.0, 0.0], [0.8, 0.0]]


@BOTH
def test_numbers_and_roots(make: Make) -> None:
    assert root(make([0.0, 9.0])).tolist() == [0.0, 3.0]
    assert floats(make([1.0, -1.0]) > 0.0).tolist() == [1.0, 0.0]
    assert constant(make([2.0])).tolist() == [2.0]


def test_a_constant_has_no_gradient() -> None:
    value = torch.ones(2, dtype=torch.float64, requires_grad=True)
    assert not constant(value).requires_grad
