"""Images whose sources have their own |F|: kernels, chunks and labels agree."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import render_tile
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import frozen_float64
from distbragg.physics.factors import intensity_scale
from distbragg.plan.frame import SourceChunk, Tile
from distbragg.predict.spots import predict_spots
from distbragg.spec.load import parse_spec
from tests.unit.models.test_mixtures import MIXED, write

SHAPE = (150, 160)


def experiment_of(folder: Path, method: str, **changes) -> Experiment:
    """Seven lines across the edge of iron, of a small cell."""
    lines = "".join(f"{7090 + 10 * n} {1 + 0.3 * n}\n" for n in range(7))
    spec = {
        "beam": {
            "wavelength_angstrom": 1.74,
            "spectrum": {"file": write(folder, "lines.txt", lines)},
            "fluence_photons_per_m2": 1e26,
        },
        "crystal": {
            "block_cells": [12, 11, 10],
            "shape": "gauss",
            "misset_deg": [10, 20, 30],
            "mosaic": {"distribution": "gaussian", "spread_deg": 0.5, "domains": 4},
        },
        "detector": {
            "distance_mm": 50,
            "pixels_fast": SHAPE[1],
            "pixels_slow": SHAPE[0],
            "pixel_size_mm": 0.4,
        },
        "structure_factors": {
            "file": write(folder, "mixed.pdb", MIXED),
            "dmin_angstrom": 1.8,
            "bulk_solvent": False,
            "anomalous_elements": [{"element": "Fe"}, {"element": "S"}],
        },
        "sampling": {"method": method, "oversample": 1},
    }
    for name, value in changes.items():
        spec[name] = {**spec[name], **value}
    return build_experiment(parse_spec(spec))


def rendered(experiment: Experiment, kernel: str, precision: str, *cuts: int) -> np.ndarray:
    """The numerator, of sources cut at some places."""
    bounds = [0, *cuts, experiment.beam.sources.count]
    options = KernelOptions(precision, kernel, "cpu", 1)
    tile = Tile(0, SHAPE[0], 0, SHAPE[1])
    return np.sum(
        [
            render_tile(experiment, 0, tile, SourceChunk(start, stop), options)
            for start, stop in pairwise(bounds)
        ],
        axis=0,
    )


@pytest.mark.spec("AMP-1")
@pytest.mark.parametrize("method", ["sampled", "closed_form"])
def test_kernels_agree_where_every_source_has_its_own_amplitude(
    method: str, tmp_path: Path
) -> None:
    experiment = experiment_of(tmp_path, method)
    expected = rendered(experiment, "model", "float64")
    exact = rendered(experiment, "native", "float64")
    mixed = rendered(experiment, "native", "mixed")
    assert np.abs(exact - expected).max() < 1e-12 * expected.max()
    assert np.abs(mixed - expected).max() < (1e-6 if method == "sampled" else 1e-3) * expected.max()


@pytest.mark.spec("AMP-1")
@pytest.mark.parametrize("spread", [0.05, 0.5])
def test_lines_that_differ_from_their_neighbours_are_each_themselves(
    spread: float, tmp_path: Path
) -> None:
    """Forty lines, every other one three times as strong: no smooth function of the energy."""
    lines = "".join(f"{7000 + 5 * n} 1\n" for n in range(40))
    experiment = experiment_of(
        tmp_path,
        "closed_form",
        crystal={"mosaic": {"distribution": "gaussian", "spread_deg": spread}},
        beam={"spectrum": {"file": write(tmp_path, "many.txt", lines)}},
        sampling={"oversample": "auto"},
    )
    spectral = experiment.reflections.spectral
    assert spectral is not None
    strength = np.where(np.arange(40) % 2, 3.0, 1.0)[:, np.newaxis]
    uneven = replace(spectral, coefficients=frozen_float64(spectral.coefficients * strength))
    experiment = replace(experiment, reflections=replace(experiment.reflections, spectral=uneven))
    expected = rendered(experiment, "native", "float64")
    found = rendered(experiment, "native", "mixed")
    assert np.abs(found - expected).max() < 2e-3 * expected.max()


@pytest.mark.spec("AMP-1")
@pytest.mark.parametrize("method", ["sampled", "closed_form"])
@pytest.mark.parametrize("precision", ["float64", "mixed"])
def test_source_chunks_do_not_change_the_sum(method: str, precision: str, tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path, method)
    whole = rendered(experiment, "native", precision)
    parts = rendered(experiment, "native", precision, 2, 3)
    most = 2e-3 if (method, precision) == ("closed_form", "mixed") else 1e-13
    assert np.abs(parts - whole).max() <= most * whole.max()


@pytest.mark.spec("AMP-7")
@pytest.mark.parametrize("method", ["sampled", "closed_form"])
def test_labels_hold_the_photons_of_every_energy(method: str, tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path, method)
    image = rendered(experiment, "native", "float64").reshape(SHAPE)
    image *= intensity_scale(experiment)
    spots = predict_spots(experiment, 1.0)
    assert len(spots) >= 8
    for slow, fast, photons in zip(spots.slow, spots.fast, spots.photons, strict=True):
        row, column = int(slow), int(fast)
        if 8 <= row < SHAPE[0] - 8 and 8 <= column < SHAPE[1] - 8:
            box = image[row - 7 : row + 8, column - 7 : column + 8]
            assert box.sum() == pytest.approx(photons, rel=0.02)
