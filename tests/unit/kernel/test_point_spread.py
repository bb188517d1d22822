"""Point spread of frames: its place among the stages, panels, masked pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distbragg.kernel.point_spread import spread_frame, spread_panel
from distbragg.kernel.response import record_frame
from distbragg.models.detector import Detector
from distbragg.models.experiment import Experiment, Noise
from distbragg.models.point_spread import PointSpread
from distbragg.physics.point_spread import spread_kernels, spread_photons
from tests.unit.kernel.experiments import make_experiment

FIBRE = PointSpread("fibre", 1.5, 4, np.empty((0, 0)), True, False)
GAUSS = PointSpread("gauss", 1.2, 5, np.empty((0, 0)), False, False)


def experiment(*spreads: PointSpread | None, photon: bool = False) -> Experiment:
    made = make_experiment(pixels=(300, 300))
    (panel,) = made.detector.panels
    panels = tuple(replace(panel, point_spread=spread) for spread in spreads)
    return replace(made, detector=Detector(panels), noise=Noise(photon, seed=4))


@pytest.mark.spec("PSF-4")
def test_panels_do_not_see_one_another() -> None:
    image = np.zeros((3, 300, 300), dtype=np.float32)
    image[1, 0, 150] = 1e4
    image[2, 7, 7] = 5.0
    record_frame(image, experiment(FIBRE, FIBRE, None), frame=0)
    assert not image[0].any()
    assert image[1].sum(dtype=np.float64) == pytest.approx(1e4, rel=1e-6)
    assert np.count_nonzero(image[2]) == 1


@pytest.mark.spec("PSF-9")
def test_masked_pixels_give_no_photons_and_lose_what_falls_on_them() -> None:
    made = experiment(FIBRE)
    (panel,) = made.detector.panels
    active = np.ones((300, 300), dtype=bool)
    active[:, 150] = False
    masked = replace(made, detector=Detector((replace(panel, active=active),)))
    image = np.zeros((1, 300, 300))
    image[0, 100, 149] = 1000.0
    open_image = image.copy()
    record_frame(image, masked, frame=0)
    record_frame(open_image, made, frame=0)
    assert not image[0, :, 150].any()
    assert open_image[0, 100, 150] > 50.0
    np.testing.assert_array_equal(image[0][active], open_image[0][active])


@pytest.mark.spec("PSF-9")
def test_photons_spread_before_counting_are_counted_once() -> None:
    image = np.full((1, 300, 300), 0.5)
    image[0, ::6, ::6] = 20.0
    expected = spread_panel(image[0], GAUSS)
    made = experiment(GAUSS, photon=True)
    assert not made.counted_in_kernel
    record_frame(image, made, frame=3)
    np.testing.assert_array_equal(image, np.round(image))
    surprise = (image[0] - expected) / np.sqrt(expected)
    assert abs(surprise.mean()) < 4.0 / 300.0
    # Neighbours are independent: Poisson counts that nothing spreads again.
    assert abs((surprise[:, 1:] * surprise[:, :-1]).mean()) < 4.0 / 300.0
    assert surprise.var() == pytest.approx(1.0, abs=4.0 * 2.0 / 300.0)


@pytest.mark.spec("PSF-9")
def test_light_of_counted_photons_is_shared_by_neighbours() -> None:
    counts = np.random.default_rng(6).poisson(100.0, (1, 300, 300)).astype(np.float64)
    image = counts.copy()
    made = experiment(FIBRE, photon=True)
    assert made.counted_in_kernel
    record_frame(image, made, frame=0)
    assert image.sum() == pytest.approx(counts.sum(), rel=1e-12)
    # The variance of a flat level falls to the sum of squared shares, and neighbours go along.
    (shares,) = spread_kernels(FIBRE)
    inside = image[0, 10:-10, 10:-10]
    assert inside.var() == pytest.approx(100.0 * (shares**2).sum(), rel=0.03)
    away = inside - inside.mean()
    beside = np.mean(away[:, 1:] * away[:, :-1])
    assert beside == pytest.approx(100.0 * (shares[:, 1:] * shares[:, :-1]).sum(), rel=0.05)


@pytest.mark.parametrize("spread", [FIBRE, GAUSS])
def test_without_compiled_code_numpy_spreads(
    spread: PointSpread, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.random.default_rng(7).poisson(3.0, (1, 300, 300)).astype(np.float32)
    wanted = spread_photons(
        image[0].astype(np.float64), spread_kernels(spread), edges_lost=spread.edges_lost
    )
    monkeypatch.setattr("distbragg.kernel.native.available", lambda: False)
    spread_frame(image, experiment(spread), counted=spread.counted)
    np.testing.assert_array_equal(image[0], wanted.astype(np.float32))
