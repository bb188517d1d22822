"""Point spread in the differentiable renderer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from distbragg.errors import InputError
from distbragg.fit import Parameters, parameters_of, render_tensor
from distbragg.kernel.point_spread import spread_panel
from distbragg.models.detector import Detector
from distbragg.models.experiment import Experiment
from distbragg.models.point_spread import PointSpread
from distbragg.plan.frame import Tile
from tests.unit.kernel.experiments import make_experiment

SPREADS = {
    "gauss": PointSpread("gauss", 1.3, 4, np.empty((0, 0)), True, False),
    "fibre": PointSpread("fibre", 0.9, 4, np.empty((0, 0)), True, True),
    "file": PointSpread("file", 0.0, 1, np.full((1, 3), 0.3), True, False),
}


def with_spread(kind: str | None) -> Experiment:
    experiment = make_experiment(pixels=(9, 13), masked=0.2, cells=(5, 6, 7))
    (panel,) = experiment.detector.panels
    spread = None if kind is None else SPREADS[kind]
    return replace(experiment, detector=Detector((replace(panel, point_spread=spread),)))


@pytest.mark.spec("PSF-8")
@pytest.mark.parametrize("kind", SPREADS)
def test_the_image_is_that_of_the_panel(kind: str) -> None:
    experiment = with_spread(kind)
    panel = experiment.detector.panels[0]
    expected = spread_panel(render_tensor(with_spread(None)).numpy(), SPREADS[kind])
    expected[~panel.active] = 0.0
    for parameters in (None, parameters_of(experiment)):
        found = render_tensor(experiment, parameters).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12 * expected.max())
    tile = render_tensor(experiment, tile=Tile(2, 7, 5, 12)).numpy()
    np.testing.assert_allclose(tile, expected[2:7, 5:12], rtol=1e-9, atol=1e-12 * expected.max())


@pytest.mark.spec("PSF-8")
@pytest.mark.parametrize("kind", ["gauss", "fibre"])
def test_the_width_has_a_gradient(kind: str) -> None:
    experiment = with_spread(kind)
    width = parameters_of(experiment).point_spread_fwhm_um
    assert width is not None
    largest = float(render_tensor(experiment).max())

    def image(fwhm: torch.Tensor) -> torch.Tensor:
        return render_tensor(experiment, Parameters(point_spread_fwhm_um=fwhm)) / largest

    assert torch.autograd.gradcheck(image, (width.requires_grad_(),), eps=1e-4, atol=1e-9)


@pytest.mark.spec("PSF-8")
def test_gradients_of_other_parameters_pass_through() -> None:
    experiment = with_spread("gauss")
    largest = float(render_tensor(experiment).max())

    def image(cells: torch.Tensor) -> torch.Tensor:
        return render_tensor(experiment, Parameters(cells=cells)) / largest

    cells = torch.tensor([5.0, 6.0, 7.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(image, (cells,), eps=1e-5, atol=1e-7)


def test_a_width_needs_a_point_spread() -> None:
    with pytest.raises(InputError, match="no panel has a point spread of a width"):
        render_tensor(with_spread("file"), Parameters(point_spread_fwhm_um=torch.tensor(80.0)))
    assert parameters_of(with_spread("file")).point_spread_fwhm_um is None
