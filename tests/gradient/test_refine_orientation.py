"""The refinement in closed form of workflows/ finds its crystal, and says how well."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch

from tests.recipes import WORKFLOWS, load_recipe

DEVIATIONS = 5.0
"""A correct refinement of fourteen numbers is beyond that once in 120,000 stills."""


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    return load_recipe("refine_orientation")


def test_a_noisy_still_gives_back_cell_orientation_spread_and_size(recipe, monkeypatch):
    # A detector of an eighth of the area, which sees an eighth of the spots.
    monkeypatch.setattr(recipe, "WIDTH_MM", 50.0)
    result, truth = recipe.refine(seed=1, pixels=160), recipe.true_numbers()
    away = (result.found - truth).abs()
    assert ((result.start - truth).abs() > 10.0 * result.deviation).all()
    assert (away < DEVIATIONS * result.deviation).all()
    assert (away[:6] < 1e-3 * truth[:6]).all()
    assert (away[9:] < 0.1 * truth[9:]).all()


def test_the_counts_are_those_of_the_image_and_change_with_the_seed(recipe, monkeypatch):
    monkeypatch.setattr(recipe, "WIDTH_MM", 50.0)
    experiment = recipe.make_experiment(64)
    image = recipe.expected(experiment, recipe.true_numbers())
    counts = recipe.observe(experiment, 1)
    assert float(((counts - image) / image.sqrt()).abs().max()) < 7.0
    assert not torch.equal(counts, recipe.observe(experiment, 2))


def test_the_page_names_the_script():
    assert "refine_orientation.py" in (WORKFLOWS / "refine_orientation.md").read_text()
