"""Derivative images of a case, through `render_tensor`."""

from __future__ import annotations

import copy
import math
from typing import Final

import numpy as np
import torch

from distbragg.fit import Parameters, parameters_of, render_tensor
from distbragg.models.experiment import Experiment
from tools.simtbx.case import Case
from tools.simtbx.optics import Array

_CELLS: Final = {f"d_N{name}": place for place, name in enumerate("abcdef")}
_TURNS: Final = {f"d_rot{name}": place for place, name in enumerate("XYZ")}
_DIFFUSE: Final = {
    f"d_{length}_{name}": (f"diffuse_{length}_angstrom", place)
    for length in ("gamma", "sigma")
    for place, name in enumerate("abc")
}


_LINES: Final = ("d_c0", "d_c1", "d_c1_by_finite_differences")
"""By the offset and the factor of all wavelengths."""


def known(result: str) -> bool:
    """Whether a derivative of this name is rendered."""
    return result in (*_CELLS, *_TURNS, *_DIFFUSE, *_LINES, "d_eta", "d_F")


def derivative(case: Case, result: str) -> Array:
    """Return a derivative image of a case, (slow, fast), in the units of the case."""
    experiment, scale = case.experiment(), 1.0
    if result == "d_eta":
        # An angle that all domains turn in proportion to.
        name = "mosaic_spread_deg"
        start = parameters_of(experiment).given()[name]
        step = start / float(case.case["eta_deg"])
    elif result in _TURNS:
        name, start = "misset_deg", torch.zeros(3, dtype=torch.float64)
        step = torch.from_numpy(_turned_by(case, _TURNS[result]))
    elif result == "d_F":
        # Of every reflection together, electrons.
        name = "amplitude_electrons"
        start = torch.from_numpy(np.array(experiment.reflections.amplitude))
        step = torch.ones_like(start)
    elif result in _LINES:
        name = "wavelength_angstrom"
        start = torch.from_numpy(np.array(experiment.beam.sources.wavelength))
        offset, slope = case.case["lambda_coefficients"]
        # simtbx takes the changed wavelength for that of the source (defect F2).
        own = start if result == "d_c1" else (start - offset) / slope
        step = torch.ones_like(start) if result == "d_c0" else own
    elif result in _DIFFUSE:
        name, place = _DIFFUSE[result]
        start = parameters_of(experiment).given()[name]
        step, scale = _unit(3, place), case.diffuse_scale()
    else:
        name, start = "cells", torch.zeros(6, dtype=torch.float64)
        own = parameters_of(experiment).given()["cells"]
        start[: len(own)] = own
        step = _unit(6, _CELLS[result])
    return case.dressed(along(experiment, name, start, step) * scale)


def scale_gradient(case: Case) -> float:
    """Compare the gradient of the case's target by the scale of each reflection in each channel.

    simtbx gives a pixel the polarisation of the first source in its image, and in this gradient
    that of each source (defect F7): so each source is taken alone here. The image is linear in
    the scales: what a reflection adds to it, the scale apart, is its derivative.

    Returns
    -------
    float
        The largest difference over the largest derivative.
    """
    image = case.render()
    u, v = 0.1 * image + 0.3, image + 1.0
    coefficient = 0.5 * (1.0 - 2.0 * u - u * u / v) / v
    found: dict[tuple[int, ...], Array] = {}
    for source, channel in zip(case.sources, case.case["channels"], strict=True):
        single = copy.deepcopy({key: x for key, x in case.case.items() if key != "channels"})
        single["scene"]["beam"]["sources"] = [source]
        alone = Case(single, case.folder, case.scratch)
        experiment = alone.experiment()
        start = torch.tensor(experiment.reflections.amplitude, requires_grad=True)
        pixels = render_tensor(experiment, Parameters(amplitude_electrons=start))
        share = alone.dressed(coefficient) / len(case.sources)
        (slope,) = torch.autograd.grad((pixels * torch.from_numpy(share)).sum(), start)
        parts = 0.5 * (start.detach() * slope).numpy()
        for place in np.argwhere(parts):
            indices = tuple((place + experiment.reflections.origin).tolist())
            found.setdefault(indices, np.zeros(2))[channel] += parts[tuple(place)]
    rows = np.loadtxt(case.folder / case.case["gradient"]["file"])
    wanted = {tuple(row[:3].astype(int).tolist()): row[3:] for row in rows}
    none = np.zeros(2)
    off = [np.abs(found.get(key, none) - wanted.get(key, none)).max() for key in {*found, *wanted}]
    return float(max(off) / np.abs(rows[:, 3:]).max())


def _turned_by(case: Case, axis: int) -> Array:
    """Return the rotation vector, degrees per radian of the angle of Rx, Ry or Rz.

    In Rx Ry Rz the first turns about -x, the second about -y turned by Rx, and so on.
    """
    before = np.eye(3)
    for turn in case.turns()[:axis]:
        before = before @ turn
    return np.asarray(-math.degrees(1.0) * before[:, axis])


def _unit(count: int, place: int) -> torch.Tensor:
    return torch.eye(count, dtype=torch.float64)[place]


def along(
    experiment: Experiment, name: str, start: torch.Tensor, step: torch.Tensor, panel: int = 0
) -> Array:
    """Return the derivative of a panel's image along a step of a parameter.

    The gradient of the image's product with a weight is linear in the weight: its own derivative
    by the weight is an image.
    """
    value = start.clone().requires_grad_()
    image = render_tensor(experiment, Parameters(**{name: value}), panel=panel)
    weight = torch.zeros_like(image, requires_grad=True)
    (pulled,) = torch.autograd.grad(image, value, weight, create_graph=True)
    (pushed,) = torch.autograd.grad((pulled * step).sum(), weight)
    return np.asarray(pushed.numpy())
