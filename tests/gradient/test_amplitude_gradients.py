"""Gradients by |F|, ΔB, f′ and f″ against central differences, in both methods."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from distbragg.errors import InputError
from distbragg.fit import Parameters, parameters_of, render_tensor
from distbragg.models.experiment import Experiment
from distbragg.physics.factors import intensity_scale
from distbragg.plan.frame import Tile
from tests.gradient.slopes import check_slopes
from tests.physics.test_amplitudes_by_energy import SHAPE, experiment_of, rendered
from tests.tolerances import GRADIENT_OF_FIT

TILE = Tile(60, 72, 112, 124)
PLAIN = {"anomalous_elements": None}


def found(folder: Path, method: str, *, plain: bool = False, delta_b: float = 3.0) -> Experiment:
    factors = {"delta_b_angstrom2": delta_b, **(PLAIN if plain else {})}
    return experiment_of(folder, method, structure_factors=factors)


@pytest.mark.spec("AMP-8")
@pytest.mark.parametrize("method", ["sampled", "closed_form"])
@pytest.mark.parametrize(
    "name",
    ["amplitude_electrons", "delta_b_angstrom2", "f_prime_electrons", "f_double_prime_electrons"],
)
def test_gradient_of_each_parameter(name: str, method: str, tmp_path: Path) -> None:
    experiment = found(tmp_path, method, plain=name == "amplitude_electrons")
    own = parameters_of(experiment).given()
    start = own.get(name, torch.tensor(np.array(experiment.reflections.amplitude)))
    lit = torch.ones(start.shape, dtype=torch.bool)
    if name == "amplitude_electrons":
        # Of a thousand reflections those that are seen.
        whole = start.clone().requires_grad_()
        render_tensor(experiment, Parameters(amplitude_electrons=whole), tile=TILE).sum().backward()
        assert whole.grad is not None
        lit = whole.grad.abs() > 1e-3 * whole.grad.abs().max()

    def image_of(given: torch.Tensor) -> torch.Tensor:
        everything = start.clone().masked_scatter(lit, given)
        return render_tensor(experiment, Parameters(**{name: everything}), tile=TILE)

    chosen = start[lit].clone().requires_grad_()
    (gradient,) = check_slopes(image_of, [chosen], absolute=GRADIENT_OF_FIT)
    assert (gradient != 0.0).all()


@pytest.mark.spec("AMP-8")
@pytest.mark.parametrize("method", ["sampled", "closed_form"])
def test_own_parameters_are_the_kernels_image(method: str, tmp_path: Path) -> None:
    experiment = found(tmp_path, method)
    numerator = rendered(experiment, "native", "float64").reshape(SHAPE)
    rows, columns = slice(TILE.slow_start, TILE.slow_stop), slice(TILE.fast_start, TILE.fast_stop)
    expected = (numerator * intensity_scale(experiment))[rows, columns]
    for parameters in (None, parameters_of(experiment)):
        image = render_tensor(experiment, parameters, tile=TILE).numpy()
        assert np.abs(image - expected).max() < 5e-5 * expected.max()
    # ΔB of the frame in place of its own, 3 Å².
    other = found(tmp_path, method, delta_b=7.0)
    one = render_tensor(experiment, Parameters(delta_b_angstrom2=torch.tensor(7.0)), tile=TILE)
    np.testing.assert_allclose(one, render_tensor(other, tile=TILE), rtol=1e-6)


def test_amplitudes_that_follow_the_energy_are_no_parameter(tmp_path: Path) -> None:
    experiment = found(tmp_path, "sampled")
    start = torch.tensor(np.array(experiment.reflections.amplitude))
    with pytest.raises(InputError, match="follows the energy"):
        render_tensor(experiment, Parameters(amplitude_electrons=start), tile=TILE)
    plain = found(tmp_path, "sampled", plain=True)
    shape = (0, plain.beam.sources.count)
    with pytest.raises(InputError, match="no anomalous elements"):
        render_tensor(plain, Parameters(f_prime_electrons=torch.zeros(shape)), tile=TILE)
