"""From photons to what a detector recorded: each stage, its numbers, and its limit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distbragg.kernel import philox
from distbragg.kernel.response import record_frame
from distbragg.models.experiment import Experiment, Noise
from distbragg.models.response import Response
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
