"""Every parameter's gradient against central differences, in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from distbragg.fit import Parameters, parameters_of, render_tensor
from distbragg.models.detector import Detector
from distbragg.models.diffuse import Diffuse
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import frozen_float64
from tests.gradient.slopes import check_slopes
from tests.tolerances import GRADIENT_EPSILON, GRADIENT_OF_MAXIMUM, GRADIENT_RELATIVE
from tests.unit.kernel.experiments import make_experiment

SMOOTH_SHAPES = ("square", "round", "gauss")
EVERYTHING = {
    "cells": (3, 1, 4),
    "domains": 3,
    "phi": (0.1, -0.2),
    "wavelengths": (1.0, 1.07, 0.96),
    "weights": (1.0, 0.2, 0.05),
    "divergence": 0.01,
    "layers": 2,
    "molecules": 1e2,
    "stol": (0.0, 0.1, 0.25),
    "background": (2.0, 5.0, 1.0),
    "kahn_factor": 0.9,
    "tilt": (0.1, -0.2, 0.3),
    "dmin": 1.1,
    "pixels": (3, 4),
    "pixel_size": 9e-3,
    "box": (61, 71, 75),
}
CLEAR = replace(make_experiment().background, molecules=0.0)
NAMES = tuple(parameters_of(make_experiment(**EVERYTHING)).given())

Function = Callable[..., torch.Tensor]


def image_of(experiment: Experiment, names: tuple[str, ...]) -> tuple[Function, list[torch.Tensor]]:
    """Return the image as a function of parameters, and a start."""
    start = parameters_of(experiment).given()
    generator = torch.Generator().manual_seed(3)
    values = []
    for name in names:
        # Away from the special values (right angles, whole cells) that a start has.
        nudge = torch.rand(start[name].shape, generator=generator, dtype=torch.float64)
        values.append((start[name] + 0.02 * nudge).requires_grad_())

    def image(*tensors: torch.Tensor) -> torch.Tensor:
        given = dict(zip(names, tensors, strict=True))
        return render_tensor(experiment, Parameters(**given))

    return image, values


def check(function: Function, values: list[torch.Tensor]) -> list[torch.Tensor]:
    return check_slopes(function, values, absolute=GRADIENT_OF_MAXIMUM)


def test_the_list_of_parameters_is_complete():
    closed = {"mosaic_covariance_deg2", "bandwidth_percent", "divergence_mrad"}
    diffuse = {"diffuse_gamma_angstrom", "diffuse_sigma_angstrom"}
    others = {
        "other_cell",
        "other_misset_deg",
        "other_scale",
        "cell_spread",
        "size_spread",
        "point_spread_fwhm_um",
    }
    of_amplitudes = {"amplitude_electrons", "delta_b_angstrom2"}
    of_amplitudes |= {"f_prime_electrons", "f_double_prime_electrons"}
    assert set(NAMES) | closed | diffuse | others | of_amplitudes == set(
        Parameters.__dataclass_fields__
    )


@pytest.mark.parametrize("shape", SMOOTH_SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_gradient_of_each_parameter(name, shape):
    """With the nearest structure factor; gradcheck takes them all with the interpolated one."""
    experiment = make_experiment(shape=shape, **EVERYTHING)
    image, values = image_of(experiment, (name,))
    assert (check(image, values)[0] != 0.0).any()


@pytest.mark.parametrize("name", ["cell_spread", "cell", "misset_deg"])
def test_gradient_of_a_spread_of_cells(name):
    experiment = make_experiment(shape="gauss", **EVERYTHING)
    generator = np.random.default_rng(1)
    crystal = replace(
        experiment.crystal,
        cell_roots=frozen_float64(generator.normal(size=(2, 6)) * 0.01),
        cell_deviates=frozen_float64(generator.normal(size=(EVERYTHING["domains"], 2))),
    )
    check(*image_of(replace(experiment, crystal=crystal), (name,)))


@pytest.mark.parametrize("shape", ["round", "gauss"])
@pytest.mark.parametrize("name", ["cells", "cell"])
def test_gradient_of_a_matrix_of_cells(name, shape):
    experiment = make_experiment(
        shape=shape, **(EVERYTHING | {"cells": (3.0, 1.0, 4.0, 0.4, -0.3, 0.2)})
    )
    assert parameters_of(experiment).cells.tolist() == [3.0, 1.0, 4.0, 0.4, -0.3, 0.2]
    check(*image_of(experiment, (name,)))


@pytest.mark.parametrize("shape", SMOOTH_SHAPES)
def test_gradient_of_all_parameters_together(shape):
    image, values = image_of(make_experiment(shape=shape, interpolate=True, **EVERYTHING), NAMES)
    start = image(*values).detach()
    weights = torch.linspace(0.1, 1.0, start.numel(), dtype=torch.float64) / start.max()
    assert torch.autograd.gradcheck(
        lambda *given: weights @ image(*given).flatten(),
        values,
        eps=GRADIENT_EPSILON,
        rtol=GRADIENT_RELATIVE,
        atol=GRADIENT_OF_MAXIMUM,
    )


@pytest.mark.parametrize(
    "changes", [{"surface": "sphere"}, {"point_pixel": True}, {"oversample": 2}]
)
@pytest.mark.parametrize(
    "name", ["distance_mm", "beam_centre_mm", "wavelength_angstrom", "panel_tilt_deg"]
)
def test_gradient_of_geometry_on_other_detectors(name, changes):
    check(*image_of(make_experiment(**(EVERYTHING | changes)), (name,)))


def test_gradient_of_each_sources_wavelength():
    experiment = make_experiment(interpolate=True, **EVERYTHING)
    lines = torch.tensor([1.01, 1.06, 0.97], dtype=torch.float64, requires_grad=True)
    check(lambda x: render_tensor(experiment, Parameters(wavelength_angstrom=x)), [lines])


@pytest.mark.spec("LAT-8")
@pytest.mark.parametrize(
    "name", ["other_cell", "other_misset_deg", "other_scale", "wavelength_angstrom"]
)
def test_gradient_of_further_lattices(name):
    one = make_experiment(shape="gauss", **EVERYTHING)
    turned = one.crystal.real_space @ np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    other = replace(
        one.crystal,
        real_space=frozen_float64(turned),
        reciprocal=frozen_float64(np.linalg.inv(turned).T),
        phi=frozen_float64([0.3]),
        scale=2.5,
    )
    experiment = replace(one, others=(other,))
    summed = render_tensor(one) + render_tensor(replace(one, crystal=other, background=CLEAR))
    for given in (None, parameters_of(experiment)):
        found = render_tensor(experiment, given)
        torch.testing.assert_close(found, summed, rtol=1e-12, atol=0.0)
    image, values = image_of(experiment, (name,))
    assert (check(image, values)[0] != 0.0).any()


@pytest.mark.spec("DIF-7")
@pytest.mark.parametrize("stencil", [0, 1])
def test_every_parameter_of_a_diffuse_crystal(stencil):
    plain = make_experiment(shape="gauss", box=(61, 71, 75), pixels=(3, 4), pixel_size=9e-3)
    diffuse = Diffuse(
        gamma=frozen_float64([30.0, 20.0, 40.0]),
        sigma=frozen_float64([0.3, 0.5, 0.2]),
        axes=frozen_float64([[0.6, 0.0, 0.8], [0.0, 1.0, 0.0], [-0.8, 0.0, 0.6]]),
        operations=frozen_float64([np.eye(3), np.diag([-1.0, 1.0, -1.0])]),
        stencil=stencil,
    )
    experiment = replace(plain, crystal=replace(plain.crystal, diffuse=diffuse))
    names = "diffuse_gamma_angstrom", "diffuse_sigma_angstrom", "cell", "misset_deg", "cells"
    image, values = image_of(experiment, names)
    for gradient in check(image, values):
        assert (gradient != 0.0).all()


def saved_bytes(function: Callable[[], torch.Tensor]) -> int:
    """Return what a graph keeps for its gradient, each tensor's storage once."""
    storages: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        image = function()
    assert image.requires_grad
    return sum(storages.values())


def test_what_is_kept_does_not_grow_with_the_evaluations(monkeypatch):
    experiment = make_experiment(**(EVERYTHING | {"domains": 40, "pixels": (9, 7)}))
    image, values = image_of(experiment, NAMES)
    everything = saved_bytes(lambda: image(*values))
    monkeypatch.setattr("distbragg.fit.render._KEPT_EVALUATIONS", 0)
    assert saved_bytes(lambda: image(*values)) < everything / 20


def test_gradient_through_blocks_that_are_computed_again(monkeypatch):
    monkeypatch.setattr("distbragg.fit.render._KEPT_EVALUATIONS", 0)
    monkeypatch.setattr("distbragg.fit.render._BLOCK_EVALUATIONS", 29)
    check(*image_of(make_experiment(**EVERYTHING), ("cell", "source_weights")))


def test_top_hat_spots_pass_their_height_and_no_edge():
    experiment = make_experiment(shape="tophat", fudge=1e-3, pixels=(3, 4))
    check(*image_of(experiment, ("cells", "distance_mm")))
    image, values = image_of(experiment, ("misset_deg",))
    assert not image(*values).requires_grad


def test_a_common_factor_of_all_weights_has_no_effect():
    experiment = make_experiment(**EVERYTHING)
    image, values = image_of(experiment, ("source_weights",))
    value = image(*values)
    gradient = torch.autograd.grad(value.sum(), values[0])[0]
    product = (gradient * values[0].detach()).sum()
    assert abs(float(product)) < 1e-12 * float(value.detach().sum())


def test_spread_zero_is_no_singular_point():
    experiment = make_experiment(**EVERYTHING)
    spread = torch.zeros((), dtype=torch.float64, requires_grad=True)

    def image(value: torch.Tensor) -> torch.Tensor:
        return render_tensor(experiment, Parameters(mosaic_spread_deg=value))

    check(image, [spread])
    assert torch.autograd.grad(image(spread).sum(), spread)[0] != 0.0


def with_a_pixel_in_the_direct_beam(**changes: object) -> Experiment:
    """Return an experiment whose middle pixel sees q = 0, where every index is on its point."""
    experiment = make_experiment(pixels=(3, 3), pixel_size=1e-3, **changes)
    panel = experiment.detector.panels[0]
    origin = frozen_float64((panel.distance, 1.5e-3, -1.5e-3))
    return replace(experiment, detector=Detector((replace(panel, origin=origin),)))


@pytest.mark.parametrize("shape", SMOOTH_SHAPES)
@pytest.mark.parametrize("background", [{}, {"molecules": 1e2, "stol": (0.0, 0.1, 0.3)}])
def test_gradients_where_an_index_is_exactly_on_its_point(shape, background):
    table = {"background": (3.0, 4.0, 2.0)} if background else {}
    experiment = with_a_pixel_in_the_direct_beam(
        shape=shape, cells=(5, 1, 4), dmin=1.0, **background, **table
    )
    start = parameters_of(experiment).given()
    names = [name for name in start if name not in ("beam_centre_mm", "source_weights")]
    values = [start[name].requires_grad_() for name in names]

    def image(*tensors: torch.Tensor) -> torch.Tensor:
        return render_tensor(experiment, Parameters(**dict(zip(names, tensors, strict=True))))

    middle = image(*values)[1, 1]
    gradients = torch.autograd.grad(middle, values, retain_graph=True, allow_unused=True)
    assert all(
        bool(torch.isfinite(gradient).all()) for gradient in gradients if gradient is not None
    )
    check(image, values)


def test_the_direct_beam_stays_finite_when_the_detector_moves():
    experiment = with_a_pixel_in_the_direct_beam(
        molecules=1e2, stol=(0.0, 0.1, 0.3), background=(3.0, 4.0, 2.0)
    )
    centre = parameters_of(experiment).beam_centre_mm
    assert centre is not None
    np.testing.assert_allclose(centre.numpy(), [1.5, 1.5], atol=1e-12)
    gradient = torch.autograd.functional.jacobian(
        lambda x: render_tensor(experiment, Parameters(beam_centre_mm=x)), centre
    )
    assert bool(torch.isfinite(gradient).all())
