"""From photons to what a detector recorded: each stage, its numbers, and its limit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from distbragg.kernel import philox
from distbragg.kernel.response import bad_pixels, record_frame
from distbragg.models.experiment import Experiment, Noise
from distbragg.models.response import GainZone, Response
from distbragg.physics.response import moments
from tests.unit.kernel.experiments import make_experiment


def recording(response: Response, *, photon: bool = True) -> Experiment:
    experiment = make_experiment(pixels=(3, 4))
    return replace(experiment, noise=Noise(photon, seed=11), response=response)


def level(photons: float, shape: tuple[int, ...] = (1, 512, 512)) -> np.ndarray:
    return np.full(shape, photons)


@pytest.mark.spec("RSP-1")
def test_normal_deviates_have_the_moments_of_a_normal_distribution() -> None:
    drawn = philox.normals(77, 1 << 20, seed=3, frame=5, stream=philox.READOUT)
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(np.mean(drawn**power) - moment) < 4.0 * np.sqrt(variance / drawn.size)
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 4.0 / 1024
    assert abs(np.corrcoef(drawn[: -philox.RUN], drawn[philox.RUN :])[0, 1]) < 4.0 / 1024


@pytest.mark.spec("RSP-1")
def test_the_first_deviates_by_hand() -> None:
    # Philox of counter and key 0, but for the stream: its words are 0x6627E8D5, ... for draw 0.
    length = np.sqrt(-2.0 * np.log((0x6627E8D5 + 0.5) / 2**32))
    turn = 2.0 * np.pi * ((0xE169C58D + 0.5) / 2**32 - 0.5)
    drawn = philox.normals(0, 2 * philox.RUN, seed=0, frame=0, stream=0)
    assert drawn[0] == pytest.approx(length * np.cos(turn), rel=1e-13)
    assert drawn[philox.RUN] == pytest.approx(length * np.sin(turn), rel=1e-13)


@pytest.mark.spec("RSP-2")
def test_a_deviate_depends_on_its_pixel_alone() -> None:
    whole = philox.normals(0, 3000, seed=3, frame=5, stream=philox.READOUT)
    part = philox.normals(1234, 777, seed=3, frame=5, stream=philox.READOUT)
    assert part.tobytes() == whole[1234 : 1234 + 777].tobytes()


@pytest.mark.spec("RSP-3")
def test_pixel_flicker_widens_the_counts_by_its_square() -> None:
    image = level(100.0)
    record_frame(image, recording(Response(pixel_flicker=0.2)), frame=1)
    variance = 100.0 + 0.04 * 100.0**2
    assert abs(image.mean() - 100.0) < 4.0 * np.sqrt(variance / image.size)
    assert image.var() == pytest.approx(variance, rel=4.0 * np.sqrt(2.1 / image.size))


@pytest.mark.spec("RSP-3")
def test_pixels_flicker_without_photon_noise_too() -> None:
    image = level(100.0)
    record_frame(image, recording(Response(pixel_flicker=0.5), photon=False), frame=1)
    drawn = philox.normals(0, image.size, seed=11, frame=1, stream=philox.PIXEL_FLICKER)
    expected = np.maximum(100.0 * (1.0 + 0.5 * drawn), 0.0)
    np.testing.assert_allclose(image.reshape(-1), expected, rtol=1e-12)
    assert image.min() == 0.0


LEVELS = (0.0, 0.3, 3.0, 30.0, 300.0, 3e4)
WHOLE = Response(
    seed=5,
    pixel_flicker=0.03,
    calibration=0.02,
    zones=(GainZone(gain=1.8, offset=40.0, readout=4.1),),
)


def four_sigma(values: np.ndarray) -> tuple[float, float]:
    """Four standard errors of the mean and of the variance of a sample."""
    about = values - values.mean()
    square = about**2
    return 4.0 * values.std() / np.sqrt(values.size), 4.0 * square.std() / np.sqrt(values.size)


@pytest.mark.spec("RSP-4")
@pytest.mark.parametrize("photons", LEVELS)
def test_mean_and_variance_by_level_are_those_of_the_formula(photons: float) -> None:
    image = level(photons)
    record_frame(image, recording(WHOLE), frame=2)
    mean, variance = moments(np.float64(photons), WHOLE)
    of_mean, of_variance = four_sigma(image)
    assert abs(image.mean() - mean) < of_mean
    assert abs(image.var() - variance) < of_variance


@pytest.mark.spec("RSP-4")
def test_the_moments_by_hand() -> None:
    mean, variance = moments(np.float64(100.0), WHOLE)
    # 1.8² ((1 + 0.0004)(100 + 0.0009 · 10⁴) + 0.0004 · 10⁴) + 4.1²
    assert mean == pytest.approx(220.0, rel=1e-14)
    assert variance == pytest.approx(3.24 * (1.0004 * 109.0 + 4.0) + 16.81, rel=1e-14)


@pytest.mark.spec("RSP-4")
def test_frames_and_neighbours_covary_by_calibration_alone() -> None:
    photons, response = 1000.0, replace(WHOLE, pixel_flicker=0.0)
    first, second = level(photons), level(photons)
    record_frame(first, recording(response), frame=0)
    record_frame(second, recording(response), frame=1)
    one, two = ((image - image.mean()).reshape(-1) for image in (first, second))
    products = one * two
    shared = 1.8**2 * 0.02**2 * photons**2
    assert abs(products.mean() - shared) < 4.0 * products.std() / np.sqrt(products.size)
    beside = one[1:] * one[:-1]
    assert abs(beside.mean()) < 4.0 * beside.std() / np.sqrt(beside.size)


@pytest.mark.spec("RSP-5")
def test_the_calibration_map_is_the_same_in_every_frame() -> None:
    response = Response(seed=9, calibration=0.05)
    quiet = recording(response, photon=False)
    first, second = level(100.0), level(100.0)
    record_frame(first, quiet, frame=0)
    record_frame(second, replace(quiet, noise=Noise(False, seed=77)), frame=12)
    assert first.tobytes() == second.tobytes()
    assert first.std() == pytest.approx(5.0, rel=0.01)
    other = level(100.0)
    record_frame(other, replace(quiet, response=replace(response, seed=10)), frame=0)
    assert np.corrcoef(first.reshape(-1), other.reshape(-1))[0, 1] == pytest.approx(0.0, abs=0.01)


@pytest.mark.spec("RSP-6")
@pytest.mark.parametrize("photons", [0.1, 1.0, 10.0, 100.0, 1e4])
def test_counts_behind_an_idle_response_are_poisson(photons: float) -> None:
    image = level(photons)
    # Flicker of 1e-12 has the hook draw, and moves no count.
    record_frame(image, recording(Response(pixel_flicker=1e-12, rounded=True)), frame=4)
    edges = np.unique(stats.poisson.ppf(np.linspace(0.02, 0.98, 25), photons))
    share = np.diff(stats.poisson.cdf(edges, photons), prepend=0.0)
    share = np.append(share, 1.0 - share.sum())
    found = np.searchsorted(edges, image.reshape(-1))
    counts = np.bincount(found, minlength=share.size)
    assert stats.chisquare(counts, share * image.size).pvalue > 1e-4


@pytest.mark.spec("RSP-7")
def test_the_gain_follows_the_photons_of_the_pixel() -> None:
    zones = (GainZone(0.0, 40.0, 100.0), GainZone(30.0, -1.5, 900.0, code=1024.0),
             GainZone(300.0, -0.125, 950.0, code=2048.0))  # fmt: skip
    image = np.array([[[0.0, 20.0, 30.0, 299.0, 300.0, 4000.0]]])
    whole = Response(zones=zones, rounded=True, lowest=0.0, highest=1023.0, overload=3000.0)
    record_frame(image, recording(whole, photon=False), frame=0)
    # 900 − 1.5 · 299 = 451.5, rounded up; 950 − 0.125 · 300 = 912.5 likewise.
    assert image.tolist() == [[[100.0, 900.0, 1879.0, 1476.0, 2961.0, 2498.0]]]
    back = np.array([[[0.0, 20.0, 30.0, 299.0, 300.0, 4000.0]]])
    photons = replace(whole, in_photons=True, highest=np.inf)
    record_frame(back, recording(photons, photon=False), frame=0)
    assert back.tolist() == [[[0.0, 20.0, 1054.0, 1323.0, 2348.0, 6048.0]]]


@pytest.mark.spec("RSP-8")
def test_what_is_beyond_the_range_holds_the_overload_value_and_is_counted() -> None:
    image = np.array([[[0.0, 100.0, 101.0, 99.4, 99.6, -3.0]]])
    response = Response(rounded=True, lowest=0.0, highest=100.0, overload=123.0)
    assert record_frame(image, recording(response, photon=False), frame=0) == 1
    assert image.tolist() == [[[0.0, 100.0, 123.0, 99.0, 100.0, 0.0]]]
    image = np.array([[[10.0, 11.0, np.inf]]])
    assert record_frame(image, recording(Response(saturation=10.0, overload=10.0), photon=False),
                        frame=0) == 2  # fmt: skip
    assert image.tolist() == [[[10.0, 10.0, 10.0]]]


@pytest.mark.spec("RSP-9")
def test_bad_and_masked_pixels_hold_their_values_and_are_not_overloaded() -> None:
    experiment = make_experiment(pixels=(40, 50), masked=0.1)
    response = Response(
        highest=50.0, overload=60.0, dead=(3,), hot=(5, 3), dead_fraction=0.05, hot_fraction=0.02,
        dead_value=-2.0, hot_value=60.0, masked_value=-1.0,
    )  # fmt: skip
    chosen = replace(experiment, noise=Noise(False, seed=1), response=response)
    image = np.full((1, 40, 50), 55.0)
    overloads = record_frame(image, chosen, frame=0)
    dead, hot = bad_pixels(response, image.size)
    active = experiment.detector.panels[0].active.reshape(-1)
    pixels = image.reshape(-1)
    assert {3} <= set(dead.tolist())
    assert {5} <= set(hot.tolist())
    assert 60 < dead.size < 150
    assert 15 < hot.size < 70
    assert (pixels[~active] == -1.0).all()
    assert (pixels[dead][active[dead]] == -2.0).all()
    assert (pixels[hot][active[hot]] == 60.0).all()
    assert overloads == active.sum() - active[dead].sum() - active[hot].sum()


@pytest.mark.spec("RSP-2")
def test_threads_change_no_bit() -> None:
    images = [level(30.0), level(30.0)]
    counted = [record_frame(image, recording(WHOLE), 3, threads=n + 1) for n, image in
               enumerate(images)]  # fmt: skip
    assert images[0].tobytes() == images[1].tobytes()
    assert counted[0] == counted[1]


@pytest.mark.spec("RSP-10")
def test_without_gain_and_noise_pixels_stay_what_they_are() -> None:
    image = level(3.25)
    before = image.tobytes()
    assert record_frame(image, recording(Response(), photon=False), frame=0) == 0
    assert image.tobytes() == before
