"""Blocks of several sizes: sampled and in closed form, their labels, and where they are refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import distbragg as db
from distbragg.errors import InputError
from distbragg.kernel import native
from distbragg.models.build import build_experiment
from distbragg.models.experiment import physics_hash
from distbragg.predict.spots import predict_spots
from distbragg.spec.load import parse_spec, parse_sweep
from tests.physics.closed_scenes import FLOAT64, MIXED, MODEL, experiment, image, off

CELLS = (12, 10, 14)


def still(shape: str = "gauss", kernel: str = "auto", **crystal: Any) -> dict[str, Any]:
    return {
        "beam": {"wavelength_angstrom": 1.0, "fluence_photons_per_m2": 1e24},
        "crystal": {
            "cell": [40, 45, 50, 90, 90, 90],
            "block_cells": CELLS,
            "shape": shape,
            "misset_deg": [12, 37, 61],
            **crystal,
        },
        "structure_factors": {"default_f_electrons": 100.0},
        "detector": {
            "distance_mm": 40,
            "pixel_size_mm": 0.4,
            "pixels_fast": 45,
            "pixels_slow": 41,
        },
        "sampling": {"oversample": 1},
        "compute": {"precision": "float64", "kernel": kernel},
    }


def rendered(*args: Any, **crystal: Any) -> np.ndarray:
    return np.asarray(db.render(parse_spec(still(*args, **crystal)))["images"].values)


def by_many(shape: str, spread: float) -> np.ndarray:
    """Add images of fifteen sizes, each with its share of one crystal's volume."""
    deviates, shares = np.polynomial.hermite_e.hermegauss(15)
    total: np.ndarray = np.zeros((41, 45))
    for deviate, share in zip(deviates.tolist(), shares / shares.sum(), strict=True):
        size = math.exp(spread * deviate)
        if 10 * size >= 1.0:
            cells = [count * size for count in CELLS]
            blocks = float(share) / size**3
            total += rendered(shape, block_cells=cells, illuminated_blocks=blocks)
    return total


@pytest.mark.spec("MOS-8")
@pytest.mark.parametrize("kernel", ["native", "model"])
def test_the_height_of_a_spot_by_hand(kernel: str) -> None:
    """At the direct beam all sizes are at their maximum: E s³ = exp(9 · 0.3² / 2) = 1.49930."""
    if kernel == "native" and not native.available():
        pytest.skip(native.reason())
    one, many = (
        rendered("gauss", kernel, size_spread_fraction=spread).max() for spread in (0.0, 0.3)
    )
    assert many / one == pytest.approx(1.49930, rel=2e-5)


@pytest.mark.spec("MOS-8")
@pytest.mark.parametrize(
    ("shape", "spread", "error"),
    [("gauss", 0.1, 3e-4), ("gauss", 0.3, 3e-4), ("gauss", 0.4, 3e-4), ("round", 0.2, 1e-3)],
)
def test_a_few_sizes_are_as_good_as_many(shape: str, spread: float, error: float) -> None:
    found, expected = rendered(shape, size_spread_fraction=spread), by_many(shape, spread)
    assert off(found, expected) < error
    assert off(rendered(shape), expected) > 10 * error


@pytest.mark.spec("MOS-8")
def test_blocks_of_a_parallelepiped_have_whole_numbers_of_cells() -> None:
    crystal = build_experiment(parse_spec(still("square", size_spread_fraction=0.2))).crystal
    cells = np.array([block.cells for block in crystal.blocks])
    assert (cells == np.round(cells)).all()
    assert len(np.unique(cells, axis=0)) == len(cells) > 6
    volumes = [block.scale * block.unit_cells for block in crystal.blocks]
    assert math.fsum(volumes) == pytest.approx(12 * 10 * 14, rel=1e-12)
    # The fringes of one size are gone: beside the maximum the image is smooth.
    assert rendered("square", size_spread_fraction=0.2).sum() == pytest.approx(
        rendered("square").sum(), rel=0.3
    )


@pytest.mark.spec("MOS-8")
@pytest.mark.skipif(not native.available(), reason=native.reason())
def test_the_closed_form_is_the_sum_of_its_sizes() -> None:
    spread = {"crystal": {"size_spread_fraction": 0.3}}
    closed = experiment(spread)
    assert closed.sampling.method == "closed_form"
    expected = image(closed)
    total = np.zeros_like(expected)
    for block in closed.crystal.blocks:
        sizes = {"block_cells": block.cells.tolist(), "illuminated_blocks": block.scale}
        total += image(experiment({"crystal": sizes}))
    assert off(expected, total) < 1e-9
    assert off(image(closed, MODEL), image(closed, FLOAT64)) < 1e-9
    assert off(image(closed, MIXED), image(closed, FLOAT64)) < 3e-3


@pytest.mark.spec("MOS-8")
def test_labels_have_one_row_a_reflection_and_keep_their_photons() -> None:
    mosaic = {"distribution": "gaussian", "spread_deg": 0.5}
    one, many = (
        predict_spots(build_experiment(parse_spec(still(mosaic=mosaic, size_spread_fraction=s))))
        for s in (0.0, 0.3)
    )
    keys = np.stack([many.panel, many.lattice, many.h, many.k, many.l], axis=1)
    assert len(np.unique(keys, axis=0)) == len(keys) >= len(one)
    assert many.photons.sum() == pytest.approx(one.photons.sum(), rel=0.01)
    assert (np.diff(many.panel) >= 0).all()


@pytest.mark.spec("MOS-9")
def test_no_spread_is_none_and_a_small_one_next_to_none() -> None:
    plain, zero, small = (
        build_experiment(parse_spec(still(**given)))
        for given in ({}, {"size_spread_fraction": 0.0}, {"size_spread_fraction": 1e-5})
    )
    assert physics_hash(plain) == physics_hash(zero) != physics_hash(small)
    assert plain.crystal.blocks == ()
    assert (rendered() == rendered(size_spread_fraction=0.0)).all()
    assert off(rendered(size_spread_fraction=1e-5), rendered()) < 1e-8


@pytest.mark.spec("MOS-9")
def test_a_spread_of_sizes_that_cannot_be_is_refused() -> None:
    for given in ({"physics": "nanobragg"}, {}):
        spec = still(size_spread_fraction=0.2 if given else 0.6) | given
        with pytest.raises(InputError) as raised:
            build_experiment(parse_spec(spec))
        assert raised.value.field == "crystal.size_spread_fraction"


@pytest.mark.spec("MOS-9")
def test_frames_of_a_sweep_are_those_of_each_alone(tmp_path: Path) -> None:
    spreads = [0.0, 0.2, 0.35]
    axis = {"name": "sizes", "path": "crystal.size_spread_fraction", "values": spreads}
    sweep = parse_sweep({"experiment": still(), "axes": [axis]})
    assert db.sweep(sweep, tmp_path / "s", cluster="serial").status == 0
    with db.open_stack(tmp_path / "s") as stack:
        found = stack["images"].values
    for frame, spread in zip(found, spreads, strict=True):
        alone = rendered(size_spread_fraction=spread)
        assert (frame == alone.astype(np.float32)).all()
