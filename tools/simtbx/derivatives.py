"""Derivative images of a case, through `render_tensor`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch

import distbragg as db
from distbragg.fit import Parameters, parameters_of, render_tensor
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from tools.simtbx.case import Case
from tools.simtbx.optics import Array

_CELLS: Final = {f"d_N{name}": place for place, name in enumerate("abcdef")}


def known(result: str) -> bool:
    """Whether a derivative of this name is rendered."""
    return result in _CELLS or result == "d_eta"


def derivative(case: Case, result: str) -> Array:
    """Return a derivative image of a case, (slow, fast), in the units of the case."""
    experiment = build_experiment(db.ExperimentSpec.model_validate(case.bare()))
    if result == "d_eta":
        return case.dressed(_by_eta(experiment, float(case.case["eta_deg"])))
    cells = np.zeros(6)
    cells[_CELLS[result]] = 1.0
    start = torch.zeros(6, dtype=torch.float64)
    own = parameters_of(experiment).given()["cells"]
    start[: len(own)] = own
    image = _along(
        lambda value: render_tensor(experiment, Parameters(cells=value)),
        start,
        torch.from_numpy(cells),
    )
    return case.dressed(image)


def _by_eta(experiment: Experiment, eta: float) -> Array:
    """Return the derivative by an angle that all domains turn in proportion to, per degree."""
    spread = parameters_of(experiment).given()["mosaic_spread_deg"]
    return _along(
        lambda value: render_tensor(experiment, Parameters(mosaic_spread_deg=value)),
        spread,
        spread / eta,
    )


def _along(
    function: Callable[[torch.Tensor], torch.Tensor], start: torch.Tensor, step: torch.Tensor
) -> Array:
    """Return the derivative of an image along a step: that of a product with it, by a weight."""
    value = start.clone().requires_grad_()
    image = function(value)
    weight = torch.zeros_like(image, requires_grad=True)
    (pulled,) = torch.autograd.grad(image, value, weight, create_graph=True)
    (pushed,) = torch.autograd.grad((pulled * step).sum(), weight)
    return np.asarray(pushed.numpy())
