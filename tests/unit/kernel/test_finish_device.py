"""Finishing in device memory gives what finishing on the host gives, in any batches."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from distbragg.kernel import noise
from distbragg.kernel.finalize import finalize_into
from distbragg.kernel.noise import poisson, poisson_counts
from distbragg.kernel.tile import DeviceSum
from distbragg.physics.factors import intensity_scale
from distbragg.plan.frame import Tile, TileKey, plan_frame
from distbragg.rendering.frame import PartialImage, merge, render_part, render_whole_tile
from distbragg.spec.compute import ComputeSpec
from tests.tolerances import FINISH_DEVICE_RELATIVE
from tests.unit.kernel.experiments import make_experiment
from tests.unit.kernel_triton.kit import interpreted, triton_options

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
        ],
    ),
]

KINDS = {
    "exact": {},
    "masked": {"masked": 0.3},
    "nanobragg": {"physics": "nanobragg", "per_sample": (False, False, False), "layers": 2},
    "curved and cut": {
        "physics": "nanobragg", "per_sample": (False, False, False), "dmin": 2.0,
        "surface": "nanobragg",
        "wavelengths": (1.0, 1.3), "weights": (1.0, 0.5), "oversample": 2, "masked": 0.3,
    },
    "water": {"physics": "nanobragg", "per_sample": (False,) * 3, "molecules": 1e4},
}  # fmt: skip


def both_ways(experiment, tile, numerator, device, dtype=np.float32):
    images = []
    for held in (numerator, DeviceSum(torch.from_numpy(numerator).to(device))):
        out = np.full(tile.shape, np.nan, dtype=dtype)
        finalize_into(out, experiment, 0, tile, held, frame=3)
        images.append(out)
    return images


def example(kind, **more):
    experiment = make_experiment(**{"pixels": (13, 17), **KINDS[kind], **more})
    tile = Tile(2, 11, 3, 16)
    return experiment, tile, sums(experiment, tile)


def sums(experiment, tile):
    """Numerators that come to a few, some, and many photons."""
    rng = np.random.default_rng(4)
    return 10.0 ** rng.uniform(-1, 7, tile.pixels) / intensity_scale(experiment)


@pytest.mark.spec("ENG-18")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
def test_expected_photons_are_those_of_the_host(kind, device):
    experiment, tile, numerator = example(kind)
    host, found = both_ways(experiment, tile, numerator, device, np.float64)
    np.testing.assert_allclose(found, host, rtol=FINISH_DEVICE_RELATIVE)
    assert (host > 0.0).mean() > 0.5


@pytest.mark.spec("ENG-18")
@pytest.mark.parametrize("device", DEVICES)
def test_counts_are_those_of_the_host_to_the_bit(device):
    experiment, tile, numerator = example("exact", photon_noise=True)
    host, found = both_ways(experiment, tile, numerator, device)
    assert np.array_equal(host, found)
    assert found.max() > 1e3
    rng = np.random.default_rng(1)
    mean = 10.0 ** rng.uniform(-2, 8, 4000)
    pixels = rng.integers(0, 2**40, 4000)
    expected = poisson(mean, pixels, seed=9, frame=2)
    counts = poisson_counts(
        torch.from_numpy(mean).to(device), torch.from_numpy(pixels).to(device), seed=9, frame=2
    )
    assert np.array_equal(counts.cpu().numpy(), expected)


@pytest.mark.spec("ENG-18")
def test_nothing_is_divided_by_a_bare_number_which_cuda_would_round_otherwise(monkeypatch):
    divide = torch.Tensor.__truediv__

    def strictly(tensor, other):
        assert isinstance(other, torch.Tensor), "CUDA multiplies by the reciprocal of a number"
        return divide(tensor, other)

    monkeypatch.setattr(torch.Tensor, "__truediv__", strictly)
    mean = 10.0 ** torch.linspace(-2, 8, 500, dtype=torch.float64)
    assert poisson_counts(mean, torch.arange(500), seed=3, frame=1).max() > 1e7


@pytest.mark.spec("ENG-18")
def test_memory_that_runs_out_halves_the_batches_and_changes_no_bit(monkeypatch):
    experiment, tile, numerator = example("exact", photon_noise=True, pixels=(130, 170))
    tile = Tile(0, 130, 0, 170)
    numerator = sums(experiment, tile)
    host, _ = both_ways(experiment, tile, numerator, "cpu")
    sizes = []

    def short_of_memory(mean, pixels, **key):
        sizes.append(len(mean))
        if len(mean) > 6000:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return poisson_counts(mean, pixels, **key)

    monkeypatch.setattr(noise, "poisson_counts", short_of_memory)
    _, found = both_ways(experiment, tile, numerator, "cpu")
    assert np.array_equal(host, found)
    assert sizes == [22100, 11050, 5525, 5525, 5525, 5525]


def test_a_sum_in_device_memory_adds_like_numpy_and_does_not_travel():
    rng = np.random.default_rng(2)
    arrays = [rng.random(12) for _ in range(3)]
    parts = {}
    for name, wrap in (("numpy", np.copy), ("device", lambda a: DeviceSum(torch.from_numpy(a)))):
        parts[name] = merge(
            [
                PartialImage(wrap(array), 1.0, 5, "a" * 64, (TileKey(0, 0, 0, chunk),))
                for chunk, array in enumerate(arrays)
            ]
        )
    assert np.array_equal(parts["device"].numerator.to_host(), parts["numpy"].numerator)
    assert parts["device"].numerator.shape == (12,)
    assert np.array_equal(arrays[0], np.random.default_rng(2).random(12))
    with pytest.raises(TypeError, match="does not travel"):
        pickle.dumps(parts["device"])
    with pytest.raises(TypeError, match="flat float64"):
        DeviceSum(torch.zeros(3, dtype=torch.float32))


@interpreted
@pytest.mark.spec("ENG-18")
def test_a_frame_of_the_fused_kernel_stays_on_the_device_until_it_is_finished():
    experiment = make_experiment(wavelengths=(1.0, 1.1, 1.2), weights=(1.0, 0.5, 0.2), domains=1)
    plan = plan_frame(experiment, ComputeSpec(source_chunk=1))
    keys = plan.tile_keys(0, 0, 0)
    whole = render_whole_tile(experiment, plan, triton_options(), keys)
    assert isinstance(whole.numerator, DeviceSum)
    parts = [render_part(experiment, plan, triton_options(), key) for key in keys]
    travelled = merge([pickle.loads(pickle.dumps(part)) for part in parts])
    assert np.array_equal(whole.numerator.to_host(), travelled.numerator)
