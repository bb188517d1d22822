"""A pixel's bits do not depend on the tile it is rendered in, nor on the number of threads."""

from __future__ import annotations

import numpy as np
import pytest

from distbragg.kernel import model, native
from distbragg.kernel.finalize import finalize_tile
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import render_tile
from distbragg.models.experiment import Experiment
from distbragg.plan.frame import Tile
from tests.unit.kernel.experiments import all_sources, make_experiment

SHAPE = (37, 43)
TILINGS = [(17, 23), (37, 1), (1, 43), (7, 42), (36, 13), (11, 9)]


def options(kernel: str, precision: str, threads: int = 1) -> KernelOptions:
    if kernel == "native" and not native.available():
        pytest.skip(native.reason())
    return KernelOptions(precision, kernel, "cpu", threads)  # type: ignore[arg-type]


WAYS = pytest.mark.parametrize(
    ("kernel", "precision"), [("model", "float64"), ("native", "mixed"), ("native", "float64")]
)
"""The model is float64 whatever is asked for."""


def experiment(shape: str, **changes: object) -> Experiment:
    settings: dict[str, object] = {
        "shape": shape, "pixels": SHAPE, "pixel_size": 1e-3, "domains": 3, "phi": (0.1, 0.4),
        "wavelengths": (1.0, 1.1), "weights": (0.7, 0.3), "divergence": 0.01, "oversample": 2,
        "kahn_factor": 0.9, "masked": 0.2, "molecules": 1e3, "stol": (0.0, 0.2, 0.4),
        "background": (1.0, 3.0, 2.0), "layers": 2,
    }  # fmt: skip
    return make_experiment(**{**settings, **changes})


def render_tiled(scene: Experiment, tile_shape: tuple[int, int], how: KernelOptions) -> np.ndarray:
    image = np.full(SHAPE, np.nan)
    for slow in range(0, SHAPE[0], tile_shape[0]):
        for fast in range(0, SHAPE[1], tile_shape[1]):
            stops = min(slow + tile_shape[0], SHAPE[0]), min(fast + tile_shape[1], SHAPE[1])
            tile = Tile(slow, stops[0], fast, stops[1])
            numerator = render_tile(scene, 0, tile, all_sources(scene), how)
            part = finalize_tile(scene, 0, tile, numerator, frame=2)
            image[slow : stops[0], fast : stops[1]] = part.reshape(tile.shape)
    return image


@pytest.mark.spec("ENG-6")
@WAYS
@pytest.mark.parametrize("shape", ["square", "round", "gauss", "tophat"])
def test_any_tiling_gives_the_same_bits(kernel: str, precision: str, shape: str) -> None:
    scene = experiment(
        shape, interpolate=shape == "round", surface="sphere" if shape == "gauss" else "flat"
    )
    whole = render_tiled(scene, SHAPE, options(kernel, precision))
    assert whole.max() > 0.0
    # The model takes every other one of two shapes, and the rest of the other two.
    first = ("square", "round", "gauss", "tophat").index(shape) % 2
    for tiling in TILINGS[first::2] if kernel == "model" else TILINGS:
        tiled = render_tiled(scene, tiling, options(kernel, precision))
        assert tiled.tobytes() == whole.tobytes(), tiling


@pytest.mark.spec("ENG-6")
@pytest.mark.parametrize("kernel", ["model", "native"])
def test_any_tiling_gives_the_same_bits_under_the_programs_physics(kernel: str) -> None:
    scene = experiment("square", physics="nanobragg", dmin=2.0, photon_noise=True, fluence=1e27)
    whole = render_tiled(scene, SHAPE, options(kernel, "mixed"))
    assert len(np.unique(whole)) > 3
    for tiling in TILINGS[:3]:
        tiled = render_tiled(scene, tiling, options(kernel, "mixed"))
        assert tiled.tobytes() == whole.tobytes(), tiling


@WAYS
def test_threads_change_no_bit(
    kernel: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(model._BLOCK_ELEMENTS, "cpu", 601)
    scene = experiment("square")
    tile = Tile(3, 36, 2, 41)
    one = render_tile(scene, 0, tile, all_sources(scene), options(kernel, precision, 1))
    two = render_tile(scene, 0, tile, all_sources(scene), options(kernel, precision, 2))
    assert one.tobytes() == two.tobytes()


@pytest.fixture(scope="module")
def usual() -> tuple[Experiment, np.ndarray]:
    """A scene, and what the model renders in blocks of its own choice."""
    scene = experiment("square")
    return scene, render_tiled(scene, SHAPE, options("model", "mixed"))


@pytest.mark.parametrize("block", [151, 1_000, 100_000])
@pytest.mark.parametrize("kept", [0, 1_000])
def test_block_sizes_of_the_model_change_no_bit(
    block: int, kept: int, usual: tuple[Experiment, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, expected = usual
    monkeypatch.setitem(model._BLOCK_ELEMENTS, "cpu", block)
    monkeypatch.setattr(model, "_KEPT_SAMPLES", kept)
    assert render_tiled(scene, SHAPE, options("model", "mixed")).tobytes() == expected.tobytes()
