"""Images in closed form are those of the kernel, and their gradients those of differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from distbragg.errors import InputError
from distbragg.fit import Parameters, parameters_of, render_tensor
from distbragg.kernel.finalize import finalize_tile
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import render_tile
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.plan.frame import SourceChunk, Tile
from distbragg.spec.load import parse_spec

NORMAL = {"distribution": "gaussian"}
UNEVEN = {"crystal": {"mosaic": {**NORMAL, "spread_deg": [0.5, 0.2, 0.3]}}}
TURN = {"goniometer": {"phi_deg": 10.0, "oscillation_deg": 1.0}}
BEAM = {"beam": {"bandwidth_percent": 0.5, "divergence_mrad": [2.0, 1.0]}}
LINES = {"beam": {"dispersion": {"range_percent": 2.0, "steps": 2}}}


def experiment_of(pixels: int = 12, **changes: Any) -> Experiment:
    spec: dict[str, Any] = {
        "beam": {
            "wavelength_angstrom": 1.0,
            "fluence_photons_per_m2": 1e28,
            "polarization": {"kahn_factor": 0.9},
        },
        "crystal": {
            "cell": [40, 50, 60, 80, 95, 105],
            "cells": [12, 11, 10],
            "misset_deg": [10, 20, 30],
            "shape": "gauss",
            "mosaic": {**NORMAL, "spread_deg": 0.4},
        },
        "structure_factors": {"default_f_electrons": 50.0},
        "detector": {
            "distance_mm": 50,
            "pixel_size_mm": 0.12,
            "pixels_fast": pixels,
            "pixels_slow": pixels - 1,
            "convention": "mosflm",
            "xbeam_mm": -12.0,
            "ybeam_mm": 16.0,
        },
        "sampling": {"method": "closed_form", "dmin_angstrom": 1.5},
    }
    for name, value in changes.items():
        spec[name] = {**spec.get(name, {}), **value}
    return build_experiment(parse_spec(spec))


def kernel_image(experiment: Experiment) -> np.ndarray:
    panel = experiment.detector.panels[0]
    tile = Tile(0, panel.shape[0], 0, panel.shape[1])
    chunk = SourceChunk(0, experiment.beam.sources.count)
    options = KernelOptions("float64", "model", "cpu", 1)
    numerator = render_tile(experiment, 0, tile, chunk, options)
    return finalize_tile(experiment, 0, tile, numerator, frame=0).reshape(tile.shape)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        UNEVEN,
        TURN,
        {"goniometer": {"phi_deg": 10.0, "oscillation_deg": 5.0}},
        BEAM,
        LINES,
        {"crystal": {"shape": "gauss_star"}},
        {"sampling": {"oversample": 2}},
        {"detector": {"sensor": {"thickness_um": 300, "attenuation_length_um": 200, "layers": 2}}},
    ],
    ids=["still", "uneven", "turn", "parts", "beam", "lines", "star", "oversample", "layers"],
)
def test_equals_the_kernel(changes: dict[str, Any]) -> None:
    experiment = experiment_of(40, **changes)
    expected = kernel_image(experiment)
    assert expected.max() > 0.0
    for parameters in (None, parameters_of(experiment)):
        found = render_tensor(experiment, parameters).numpy()
        assert np.abs(found - expected).max() < 5e-5 * expected.max()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("cell", {}),
        ("cell", TURN),
        ("cell", UNEVEN),
        ("misset_deg", UNEVEN),
        ("misset_deg", TURN),
        ("mosaic_spread_deg", {}),
        ("mosaic_spread_deg", TURN),
        ("mosaic_covariance_deg2", UNEVEN),
        ("cells", {}),
        ("cells", {"crystal": {"shape": "gauss_star"}}),
        ("distance_mm", {}),
        ("distance_mm", TURN),
        ("beam_centre_mm", {}),
        ("wavelength_angstrom", BEAM),
        ("bandwidth_percent", BEAM),
        ("divergence_mrad", BEAM),
        ("source_weights", LINES),
    ],
)
def test_gradient_of_each_parameter(name: str, changes: dict[str, Any]) -> None:
    experiment = experiment_of(**changes)
    start = parameters_of(experiment).given()[name]
    height = float(render_tensor(experiment).max())
    assert height > 0.0
    direction = torch.rand(
        start.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64
    )
    direction = direction + direction.T if start.ndim == 2 else direction
    weight = torch.linspace(0.5, 1.5, 132, dtype=torch.float64).reshape(11, 12)

    def value(step: torch.Tensor) -> torch.Tensor:
        given = {name: start + step * direction}
        image = render_tensor(experiment, Parameters(**given)) / height
        return torch.stack([(image * weight).sum(), (image * weight**3).sum()])

    zero = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    found = torch.autograd.functional.jacobian(value, zero)
    # Steps of a size at which the edges of spots, cut at 1e-8, do not count.
    scale = 1e-4 * (float(start.abs().max()) if name != "misset_deg" else 1.0)
    step = torch.tensor(scale, dtype=torch.float64)
    with torch.no_grad():
        near = (value(step) - value(-step)) / (2.0 * step)
        far = (value(2.0 * step) - value(-2.0 * step)) / (4.0 * step)
    expected = (4.0 * near - far) / 3.0
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3 * float(expected.abs().max()))


def test_what_only_the_closed_form_has_is_refused_of_samples() -> None:
    sampled = experiment_of(sampling={"method": "sampled", "oversample": 1})
    for name, value in (
        ("bandwidth_percent", 0.5),
        ("divergence_mrad", (1.0, 1.0)),
        ("mosaic_covariance_deg2", np.eye(3).tolist()),
    ):
        given = Parameters(**{name: torch.tensor(value, dtype=torch.float64)})
        with pytest.raises(InputError, match=f"{name}: only the closed form has it"):
            render_tensor(sampled, given)


def test_one_spread_and_a_covariance_are_not_given_together() -> None:
    one, all_of = torch.tensor(0.3), torch.eye(3)
    given = Parameters(mosaic_spread_deg=one, mosaic_covariance_deg2=all_of)
    with pytest.raises(InputError, match="says the same as"):
        render_tensor(experiment_of(), given)


def test_a_curved_panel_is_refused() -> None:
    with pytest.raises(InputError, match="of flat panels only"):
        render_tensor(experiment_of(detector={"curved": True}))
