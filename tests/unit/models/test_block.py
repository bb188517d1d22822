"""Cells as a matrix, from a specification to a crystal."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment, physics_hash
from distbragg.spec.load import parse_spec

ROWS = [[9, 1.5, 0.6], [1.5, 8, -0.8], [0.6, -0.8, 7]]


def build(block_cells: Any, physics: str = "exact", **crystal: Any) -> Experiment:
    return build_experiment(
        parse_spec(
            {
                "physics": physics,
                "beam": {"wavelength_angstrom": 1.0},
                "crystal": {
                    "cell": [40, 50, 60, 90, 95, 105],
                    "shape": "gauss",
                    "block_cells": block_cells,
                    **crystal,
                },
                "structure_factors": {"default_f_electrons": 10},
                "detector": {"distance_mm": 100, "pixels_fast": 8, "pixels_slow": 8},
            }
        )
    )


@pytest.mark.spec("MOS-1")
@pytest.mark.parametrize(
    "cells",
    [ROWS, [part for row in ROWS for part in row], [9, 8, 7, 1.5, -0.8, 0.6]],
    ids=["rows", "nine", "six"],
)
def test_every_way_to_write_a_matrix_is_the_same_crystal(cells: Any) -> None:
    crystal = build(cells).crystal
    np.testing.assert_allclose(crystal.spot_form, np.array(ROWS) @ np.array(ROWS), rtol=1e-15)
    # 9 (56 − 0.64) − 1.5 (10.5 + 0.48) + 0.6 (−1.2 − 4.8)
    assert crystal.unit_cells == pytest.approx(478.17, rel=1e-14)
    assert crystal.cells_beside == (1.5, -0.8, 0.6)


@pytest.mark.spec("MOS-1")
def test_zeros_beside_the_diagonal_are_three_numbers() -> None:
    plain = build([9, 8, 7])
    assert physics_hash(build([9, 8, 7, 0, 0, 0])) == physics_hash(plain)
    assert plain.crystal.unit_cells == 504.0
    six = build([6, 6, 6], shape="square")
    assert physics_hash(build(6, shape="square")) == physics_hash(six)


@pytest.mark.spec("MOS-2")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"block_cells": [9, 8, 7, 9, 0, 0]}, "not positive definite"),
        ({"block_cells": [[9, 1, 0], [2, 8, 0], [0, 0, 7]]}, "not symmetric"),
        ({"block_cells": [9, 8]}, "neither a number, nor three"),
        ({"block_cells": [[9, math.inf, 0], [math.inf, 8, 0], [0, 0, 7]]}, "not finite numbers"),
        ({"block_cells": ROWS, "shape": "square"}, "a crystal of shape square has no matrix"),
        (
            {"block_cells": ROWS, "shape": "gauss_star"},
            "a crystal of shape gauss_star has no matrix",
        ),
        ({"block_cells": ROWS, "physics": "nanobragg"}, "the C program has no matrix"),
        ({"block_cells": ROWS, "block_size_mm": [0.1, 0.1, 0.1]}, "beside crystal.block_size_mm"),
    ],
)
def test_a_matrix_that_cannot_be_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        build(**changes)
    assert "crystal.block_cells" in str(caught.value)
