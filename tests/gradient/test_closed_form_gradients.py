"""Images in closed form are those of the kernel, and their gradients pass gradcheck."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from distbragg.errors import InputError
from distbragg.fit import Parameters, parameters_of, render_tensor
from distbragg.kernel import native
from distbragg.kernel.finalize import finalize_tile
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import render_tile
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.physics.near_sphere import CUT
from distbragg.plan.frame import SourceChunk, Tile
from distbragg.spec.load import parse_spec
from tests.gradient.slopes import check_slopes
from tests.tolerances import GRADIENT_EPSILON, GRADIENT_OF_FIT, GRADIENT_RELATIVE

NORMAL = {"distribution": "gaussian"}
UNEVEN = {"crystal": {"mosaic": {**NORMAL, "spread_deg": [0.5, 0.2, 0.3]}}}
LABORATORY = {
    "crystal": {"mosaic": {**NORMAL, "spread_deg": [0.5, 0.2, 0.3], "axes": "laboratory"}},
    "goniometer": {"phi_deg": 30.0},
}
SPREAD = {"crystal": {"cell_spread": {"lengths_percent": 0.5, "angles_deg": 0.2}}}
SIZES = {"crystal": {"size_spread_fraction": 0.2}}
MATRIX = {"crystal": {"block_cells": [24, 22, 20, 4, -2, 3]}}
LATTICES = {
    "crystal": {
        "lattices": [
            {"turned_deg": [0.3, 0.0, 0.5], "illuminated_blocks": 3},
            {"turned_deg": [-0.4, 0.6, 0.0], "cell": [20.5, 25, 30, 80, 95, 105]},
        ]
    }
}
TURN = {"goniometer": {"phi_deg": 10.0, "oscillation_deg": 1.0}}
FAR_FROM_A_PARABOLA = {
    "crystal": {"block_cells": [6, 22, 8], "mosaic": {**NORMAL, "spread_deg": 0.05}},
    "goniometer": {"phi_deg": 10.0, "oscillation_deg": 1.9},
}
BEAM = {"beam": {"bandwidth_percent": 0.5, "divergence_mrad": [2.0, 1.0]}}
SENSOR = {"thickness_um": 300, "attenuation_length_um": 200, "layers": 2}
CURVED = {"detector": {"curved": True}}
HALO = {
    "crystal": {
        "diffuse": {
            "gamma_angstrom": [20, 35, 25],
            "sigma_angstrom": [0.2, 0.4, 0.3],
            "laue_group": "2/m",
            "stencil": 0,
        }
    }
}
HALO_OF_ALL = {
    "crystal": HALO["crystal"]
    | SPREAD["crystal"]
    | {"lattices": LATTICES["crystal"]["lattices"][1:]},
    **BEAM,
    "goniometer": {"phi_deg": 10.0, "oscillation_deg": 0.3},
}
LINES = {"beam": {"dispersion": {"range_percent": 2.0, "steps": 2}}}


def experiment_of(pixels: int = 12, **changes: Any) -> Experiment:
    spec: dict[str, Any] = {
        "beam": {
            "wavelength_angstrom": 1.0,
            "fluence_photons_per_m2": 1e28,
            "polarization": {"kahn_factor": 0.9},
        },
        "crystal": {
            "cell": [20, 25, 30, 80, 95, 105],
            "block_cells": [24, 22, 20],
            "misset_deg": [-22, 32, -1],
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
        "sampling": {"method": "closed_form", "dmin_angstrom": 2.4},
    }
    for name, value in changes.items():
        spec[name] = {**spec.get(name, {}), **value}
    return build_experiment(parse_spec(spec))


def kernel_image(experiment: Experiment) -> np.ndarray:
    panel = experiment.detector.panels[0]
    tile = Tile(0, panel.shape[0], 0, panel.shape[1])
    chunk = SourceChunk(0, experiment.beam.sources.count)
    # Which of the two makes no difference here: the compiled one is held to the model elsewhere.
    options = KernelOptions("float64", "native" if native.available() else "model", "cpu", 1)
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
        MATRIX,
        LABORATORY,
        LATTICES,
        SPREAD,
        SPREAD | TURN,
        SIZES,
        HALO,
        HALO | TURN,
        HALO_OF_ALL,
        {"crystal": HALO["crystal"] | SIZES["crystal"]},
        {"sampling": {"oversample": 2}},
        {"detector": {"sensor": SENSOR}},
        # By points: over an area the kernel follows the plane that touches the surface.
        {"detector": {"curved": True, "sensor": SENSOR}, "sampling": {"oversample": 2}},
    ],
    ids=[
        *("still", "uneven", "turn", "parts", "beam", "lines", "star", "matrix"),
        *(
            "laboratory",
            "lattices",
            "spread",
            "spread-turn",
            "sizes",
            "halos",
            "halos-turn",
            "halos-of-all",
            "halos-sizes",
            "oversample",
            "layers",
            "curved",
        ),
    ],
)
def test_equals_the_kernel(changes: dict[str, Any]) -> None:
    experiment = experiment_of(24, **changes)
    expected = kernel_image(experiment)
    assert expected.max() > 0.0
    for parameters in (None, parameters_of(experiment)):
        found = render_tensor(experiment, parameters).numpy()
        assert np.abs(found - expected).max() < 5e-5 * expected.max()


@pytest.mark.spec("LAT-8", "DIF-7")
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("cell", {}),
        ("cell", TURN),
        ("cell", UNEVEN),
        ("misset_deg", UNEVEN),
        ("misset_deg", TURN),
        ("misset_deg", FAR_FROM_A_PARABOLA),
        ("distance_mm", FAR_FROM_A_PARABOLA),
        ("mosaic_spread_deg", {}),
        ("mosaic_spread_deg", TURN),
        ("mosaic_covariance_deg2", UNEVEN),
        ("mosaic_covariance_deg2", LABORATORY),
        ("misset_deg", LABORATORY),
        ("cells", {}),
        ("cells", {"crystal": {"shape": "gauss_star"}}),
        ("cells", MATRIX),
        ("cell_spread", SPREAD),
        # As wide as the polynomials of a turning spot follow to the last digits.
        ("cell_spread", {"crystal": {"cell_spread": {"lengths_percent": 0.2}}, **TURN}),
        ("cell", SPREAD),
        ("size_spread", SIZES),
        ("cells", SIZES),
        ("scale", SIZES),
        ("cell", MATRIX),
        ("other_cell", LATTICES),
        ("other_misset_deg", LATTICES),
        ("other_scale", LATTICES),
        ("misset_deg", LATTICES),
        ("distance_mm", {}),
        ("distance_mm", TURN),
        ("beam_centre_mm", {}),
        ("distance_mm", CURVED),
        ("beam_centre_mm", CURVED),
        ("panel_shift_mm", {}),
        ("panel_tilt_deg", {}),
        ("panel_tilt_deg", CURVED),
        ("wavelength_angstrom", BEAM),
        ("bandwidth_percent", BEAM),
        ("divergence_mrad", BEAM),
        ("source_weights", LINES),
        ("diffuse_gamma_angstrom", HALO),
        ("diffuse_sigma_angstrom", HALO),
        ("diffuse_gamma_angstrom", HALO_OF_ALL),
        ("cell", HALO),
        ("misset_deg", HALO | TURN),
        ("mosaic_spread_deg", HALO),
        ("bandwidth_percent", HALO | BEAM),
        ("divergence_mrad", HALO | BEAM),
        ("distance_mm", HALO),
        ("cells", HALO),
        ("scale", HALO),
        ("cell_spread", {"crystal": HALO["crystal"] | SPREAD["crystal"]}),
        ("other_scale", HALO_OF_ALL),
    ],
)
def test_gradient_of_each_parameter(
    name: str, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # So far out that no pixel which a step takes in or leaves out counts: exp(-9²/2) is 3e-18.
    monkeypatch.setitem(CUT, "float64", 9.0)
    experiment = experiment_of(**changes)
    if experiment.crystal.diffuse is not None:  # every pixel sees every halo: take fewer
        experiment = experiment_of(8, **changes)
    start = parameters_of(experiment).given()[name].requires_grad_()

    def image(given: torch.Tensor) -> torch.Tensor:
        return render_tensor(experiment, Parameters(**{name: given}))

    (gradient,) = check_slopes(image, [start], absolute=GRADIENT_OF_FIT)
    assert (gradient != 0.0).any()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("misset_deg", TURN),
        ("other_misset_deg", LATTICES),
        ("beam_centre_mm", CURVED),
        ("divergence_mrad", BEAM),
        ("diffuse_sigma_angstrom", HALO),
    ],
)
def test_gradients_pass_all_that_gradcheck_looks_at(
    name: str, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CUT, "float64", 9.0)
    experiment = experiment_of(8 if changes is HALO else 12, **changes)
    image = render_tensor(experiment)
    weights = torch.linspace(0.1, 1.0, image.numel(), dtype=torch.float64) / image.max()
    assert torch.autograd.gradcheck(
        lambda given: weights @ render_tensor(experiment, Parameters(**{name: given})).flatten(),
        parameters_of(experiment).given()[name].requires_grad_(),
        eps=GRADIENT_EPSILON,
        rtol=GRADIENT_RELATIVE,
        atol=GRADIENT_OF_FIT,
    )


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


@pytest.mark.spec("SAM-11")
@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("mosaic_spread_deg", 3.1, "3.1 degrees is more than 3"),
        ("mosaic_covariance_deg2", [[0.1, 0, 0], [0, 9.61, 0], [0, 0, 0.1]], "3.1 degrees is more"),
        (
            "mosaic_covariance_deg2",
            [[0.1, 0.2, 0], [0.2, 0.1, 0], [0, 0, 0.1]],
            "not positive semi",
        ),
        ("bandwidth_percent", 5.5, "5.5 % is more than 5"),
    ],
)
def test_widths_that_the_closed_form_is_no_mean_of_are_refused(
    name: str, value: object, problem: str
) -> None:
    given = Parameters(**{name: torch.tensor(value, dtype=torch.float64)})
    with pytest.raises(InputError, match=f"parameters.{name}: .*{problem}"):
        render_tensor(experiment_of(), given)
