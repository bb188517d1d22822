"""However the source table is cut, the image is the same to 1 ulp of the stored float32."""

from __future__ import annotations

import math

import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.kernel.finalize import finalize_tile
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import render_tile
from distbragg.models.experiment import Experiment
from distbragg.plan.frame import SourceChunk
from tests.unit.kernel.experiments import all_sources, make_experiment, whole_tile

SOURCES = 11
WEIGHTS = tuple(float(w) for w in np.random.default_rng(6).uniform(0.01, 5.0, SOURCES))
WAVELENGTHS = tuple(float(w) for w in np.linspace(0.97, 1.05, SOURCES))
KERNELS = pytest.mark.parametrize("kernel", ["model", "native"])
WAYS = pytest.mark.parametrize(
    ("kernel", "precision"), [("model", "float64"), ("native", "mixed"), ("native", "float64")]
)
"""The model is float64 whatever is asked for."""


def options(kernel: str, precision: str) -> KernelOptions:
    if kernel == "native" and not native.available():
        pytest.skip(native.reason())
    return KernelOptions(precision, kernel, "cpu", 1)  # type: ignore[arg-type]


def scene(**changes: object) -> Experiment:
    settings: dict[str, object] = {
        "wavelengths": WAVELENGTHS, "weights": WEIGHTS, "divergence": 0.002, "kahn_factor": 1.0,
        "oversample": 2, "domains": 2, "pixels": (23, 19), "molecules": 1e3, "layers": 2,
    }  # fmt: skip
    return make_experiment(**{**settings, **changes})


def image_of(experiment: Experiment, chunks: list[SourceChunk], how: KernelOptions) -> np.ndarray:
    tile = whole_tile(experiment)
    total = np.zeros(tile.pixels)
    for chunk in chunks:
        total = total + render_tile(experiment, 0, tile, chunk, how)
    return finalize_tile(experiment, 0, tile, total, frame=0)


def ulps(first: np.ndarray, second: np.ndarray) -> int:
    """Largest distance in units in the last place of float32 (all values are ≥ 0)."""
    as_integers = [
        part.astype(np.float32).view(np.int32).astype(np.int64) for part in (first, second)
    ]
    return int(np.abs(as_integers[0] - as_integers[1]).max())


@pytest.mark.spec("SRC-5")
@WAYS
@pytest.mark.parametrize("size", [1, 3, 4, 10])
@pytest.mark.parametrize("physics", ["exact", "nanobragg"])
def test_any_chunking_gives_the_same_image(
    kernel: str, precision: str, size: int, physics: str
) -> None:
    experiment = scene(physics=physics, dmin=2.2)
    chunks = [SourceChunk(s, min(s + size, SOURCES)) for s in range(0, SOURCES, size)]
    whole = image_of(experiment, [all_sources(experiment)], options(kernel, precision))
    assert whole.max() > 0.0
    assert ulps(image_of(experiment, chunks, options(kernel, precision)), whole) <= 1


@WAYS
def test_one_sources_sum_has_the_same_bits_in_any_chunk(kernel: str, precision: str) -> None:
    how = options(kernel, precision)
    table = scene()
    tile = whole_tile(table)
    for index in (0, 4, 10):
        alone = scene(weights=tuple(w if i == index else 0.0 for i, w in enumerate(WEIGHTS)))
        among = render_tile(alone, 0, tile, SourceChunk(0, SOURCES), how)
        single = render_tile(table, 0, tile, SourceChunk(index, index + 1), how)
        assert (among == single).all()


@pytest.mark.spec("SRC-6")
@KERNELS
@pytest.mark.parametrize("power", [-3, 5])
def test_scaling_weights_by_a_power_of_two_changes_no_bit(kernel: str, power: int) -> None:
    factor = 2.0**power
    plain, scaled = scene(), scene(weights=tuple(w * factor for w in WEIGHTS))
    how = options(kernel, "mixed")
    first = image_of(plain, [all_sources(plain)], how)
    assert (first == image_of(scaled, [all_sources(scaled)], how)).all()


@pytest.mark.spec("SRC-6")
@KERNELS
def test_scaling_weights_by_any_factor_changes_one_ulp_at_most(kernel: str) -> None:
    plain, scaled = scene(), scene(weights=tuple(w * 0.3377 for w in WEIGHTS))
    how = options(kernel, "mixed")
    assert (
        ulps(
            image_of(plain, [all_sources(plain)], how), image_of(scaled, [all_sources(scaled)], how)
        )
        <= 1
    )


@pytest.mark.spec("SRC-2")
def test_duplicated_sources_are_one_source() -> None:
    single = make_experiment(pixels=(9, 11))
    many = make_experiment(pixels=(9, 11), wavelengths=(1.0,) * 7, weights=(0.3,) * 7)
    how = options("model", "float64")
    first = image_of(single, [all_sources(single)], how)
    second = image_of(many, [all_sources(many)], how)
    assert np.allclose(first, second, rtol=1e-14, atol=0.0)
    assert many.beam.sources.total_weight == pytest.approx(math.fsum([0.3] * 7))
