"""Few lines stand for a spectrum's where spots are integrated: the same labels, sooner."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.physics.near_sphere import gaussian_crystal
from distbragg.predict import lines
from distbragg.predict.spots import predict_spots
from distbragg.predict.table import Spots
from distbragg.spec.load import parse_spec

AWAY = np.linspace(-3.0, 3.0, 24)
SPECTRUM = {
    "wavelengths_angstrom": (1.0 + 0.004 * AWAY).tolist(),
    "weights": np.exp(-0.5 * AWAY**2).tolist(),
}


def experiment_of(spread_deg: float, **changes: Any) -> Experiment:
    spec: dict[str, Any] = {
        "beam": {"fluence_photons_per_m2": 1e27, "spectrum": SPECTRUM},
        "crystal": {
            "cell": [40, 50, 60, 80, 95, 105],
            "block_cells": [12, 11, 10],
            "misset_deg": [10, 20, 30],
            "shape": "gauss",
            "mosaic": {"distribution": "gaussian", "spread_deg": spread_deg},
        },
        "structure_factors": {"default_f_electrons": 50.0},
        "detector": {
            "distance_mm": 60,
            "pixel_size_mm": 0.8,
            "pixels_fast": 60,
            "pixels_slow": 55,
        },
        "sampling": {"method": "closed_form", "dmin_angstrom": 2.6},
    }
    return build_experiment(parse_spec(spec | changes))


def test_the_rule_of_two_nodes_by_hand() -> None:
    # Of weights 1, 1, 1 at −1, 0, 1 the mean of x² is 2/3: nodes at ±√(2/3), of 3/2 each.
    (low, left), (high, right) = lines.gauss_rule((-1.0, 0.0, 1.0), (1.0, 1.0, 1.0), 2)
    assert (low, high) == pytest.approx((-math.sqrt(2.0 / 3.0), math.sqrt(2.0 / 3.0)), rel=1e-14)
    assert (left, right) == pytest.approx((1.5, 1.5), rel=1e-14)


def test_the_rule_is_exact_for_polynomials_of_twice_its_nodes() -> None:
    random = np.random.default_rng(1)
    points, weights = np.sort(random.uniform(0.9, 1.1, 30)), random.uniform(0.0, 2.0, 30)
    rule = lines.gauss_rule(tuple(points.tolist()), tuple(weights.tolist()), 5)
    assert all(points[0] < node < points[-1] and weight > 0.0 for node, weight in rule)
    for degree in range(10):
        found = math.fsum(weight * (node - 1.0) ** degree for node, weight in rule)
        exact = math.fsum((weights * (points - 1.0) ** degree).tolist())
        assert found == pytest.approx(exact, rel=1e-9, abs=1e-14)


def by_index(spots: Spots) -> dict[tuple[int, int, int], np.ndarray]:
    columns = ("photons", "slow", "fast", "variance_slow", "wavelength")
    rows = np.stack([getattr(spots, name) for name in columns], axis=1)
    keys = np.stack([spots.h, spots.k, spots.l], axis=1).tolist()
    return dict(zip(map(tuple, keys), rows, strict=True))


@pytest.mark.spec("LAB-1")
@pytest.mark.parametrize("rotation", [0.0, 0.3])
@pytest.mark.parametrize("spread_deg", [0.5, 0.02])
def test_labels_are_those_of_all_lines(
    spread_deg: float, rotation: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampling = {"method": "closed_form", "dmin_angstrom": 4.2}
    experiment = experiment_of(
        spread_deg, goniometer={"oscillation_deg": rotation}, sampling=sampling
    )
    crystal = gaussian_crystal(experiment.crystal)
    count = len(list(lines.lines_of(experiment, crystal, 4.2)))
    assert 5 <= count < 24
    few = by_index(predict_spots(experiment, 1e-3))
    monkeypatch.setattr(lines, "_NODES", 100)
    every = by_index(predict_spots(experiment, 1e-3))
    faintest = 1e-4 * max(row[0] for row in every.values())
    bright = [key for key, row in every.items() if row[0] > faintest]
    assert len(bright) > 20
    for key in bright:
        photons, *places, variance, wavelength = every[key]
        assert few[key][0] == pytest.approx(photons, rel=1e-5)
        assert few[key][1:3] == pytest.approx(places, abs=1e-3)
        assert few[key][3] == pytest.approx(variance, rel=2e-3)
        assert few[key][4] == pytest.approx(wavelength, rel=1e-6)


def test_sources_of_other_directions_and_few_lines_stay_by_themselves() -> None:
    dispersion = {"dispersion": {"range_percent": 1.0, "steps": 3}}
    divergence = {"divergence": {"horizontal": {"range_mrad": 2.0, "steps": 3}}}
    beam = {"wavelength_angstrom": 1.0, "fluence_photons_per_m2": 1e27, **dispersion, **divergence}
    experiment = experiment_of(0.5, beam=beam)
    found = list(lines.lines_of(experiment, gaussian_crystal(experiment.crystal), 2.6))
    sources = experiment.beam.sources
    assert len(found) == sources.count == 9
    order = [line.source for line in found]
    assert sorted(order) == list(range(9))
    assert [line.weight for line in found] == sources.weight[order].tolist()
