"""The sampled refinement recipe of workflows/ meets its bars, and has its page."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch

from distbragg.fit import render_tensor
from tests.recipes import WORKFLOWS, load_recipe

ROTATION_DEG = 0.01
CELL_PERCENT = 0.02


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    return load_recipe("refine_by_samples")


@pytest.mark.slow
def test_a_still_gives_back_its_crystal(recipe):
    found = recipe.refine(3)
    assert found.start_rotation_deg > 0.5
    assert found.start_cell_percent == pytest.approx(0.5, rel=1e-6)
    assert found.rotation_deg < ROTATION_DEG
    assert found.cell_percent < CELL_PERCENT


def test_the_counts_are_those_the_differentiable_image_expects(recipe):
    experiment = recipe.make_experiment(recipe.CELL, recipe.MISSET_DEG, 1)
    expected = render_tensor(experiment)
    counts = recipe.observe(experiment)
    deviation = (counts - expected) / torch.sqrt(expected.clamp(min=1.0))
    assert float(expected.max()) > 1e3
    assert float(deviation.abs().max()) < 6.0


def test_the_page_names_the_script():
    assert "refine_by_samples.py" in (WORKFLOWS / "refine_by_samples.md").read_text()
