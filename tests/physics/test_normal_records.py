"""From what the closed form is given, its model makes what samples of the same fields add up to."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm, qmc

from distbragg.kernel import native
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import render_tile
from distbragg.models.build import build_experiment
from distbragg.physics.closed_form import Incidence, Relps
from distbragg.physics.closed_rotation import Spindle, mean_over_rotation
from distbragg.physics.factors import intensity_scale
from distbragg.physics.symmetric import Symmetric
from distbragg.plan.frame import SourceChunk, Tile
from distbragg.spec.load import parse_spec

TILE = Tile(708, 769, 1033, 1094)
PHI = 109.6  # the reflection passes at 110.07
HKL, AMPLITUDE = (7, -6, 9), 100.0
TABLE = ((0.09, 0.03, 0.0), (0.03, 0.04, 0.01), (0.0, 0.01, 0.01))


def plain(folder, spread, *, domains, beam=None, **sampling):
    listed = folder / "one.hkl"
    listed.write_text(f"{HKL[0]} {HKL[1]} {HKL[2]} {AMPLITUDE}\n")
    mosaic = {"spread_deg": spread, "distribution": "gaussian", "domains": domains}
    polarization = {"enabled": False}
    return {
        "beam": {"wavelength_angstrom": 1.0, "polarization": polarization, **(beam or {})},
        "crystal": {
            "cell": [40, 50, 60, 80, 95, 105],
            "block_cells": [24, 18, 15],
            "misset_deg": [10, 20, 30],
            "shape": "gauss",
            "mosaic": mosaic,
        },
        "structure_factors": {"file": str(listed), "interpolate": False},
        "goniometer": {"phi_deg": PHI, "oscillation_deg": 1.0, "steps": 11},
        "detector": {
            "distance_mm": 100, "pixel_size_mm": 0.1, "pixels_fast": 2000, "pixels_slow": 2000,
        },
        "sampling": {"oversample": 1, **sampling},
    }  # fmt: skip


def symmetric(matrix):
    return Symmetric(tuple(matrix[np.triu_indices(3)]))


def triple(vectors):
    return tuple(np.moveaxis(np.asarray(vectors), -1, 0))


def closed_image(experiment):
    """Photons of a still or rotated crystal in one reflection, from the records alone."""
    crystal, sources = experiment.crystal, experiment.beam.sources
    assert experiment.sampling.method == "closed_form"
    slow, fast = np.mgrid[TILE.slow_start : TILE.slow_stop, TILE.fast_start : TILE.fast_stop] + 0.5
    (panel,) = experiment.detector.panels
    place = panel.origin + panel.pixel_size * (
        fast[..., None] * panel.fast + slow[..., None] * panel.slow
    )
    far = np.linalg.norm(place, axis=-1)
    solid = panel.pixel_size**2 * np.abs(place @ panel.normal) / far**3
    # The square of CRY-10 is exp(−π δᵀ S δ): of covariance S⁻¹/2π in indices.
    size = crystal.reciprocal.T @ np.linalg.inv(crystal.spot_form) @ crystal.reciprocal
    relps = Relps(
        triple(HKL @ crystal.reciprocal),
        symmetric(size / (2.0 * math.pi)),
        symmetric(crystal.mosaic_covariance),
    )
    wavenumber = 1.0 / float(sources.wavelength[0])
    incidence = Incidence(
        triple(-sources.direction[0]),
        (triple(experiment.beam.divergence[0]), triple(experiment.beam.divergence[1])),
        wavenumber,
        sources.bandwidth * wavenumber,
    )
    spindle = Spindle(triple(crystal.spindle_axis), *crystal.oscillation)
    mean = mean_over_rotation(relps, incidence, triple(place / far[..., None]), spindle)
    peak = float(sources.weight[0]) * (AMPLITUDE * crystal.cells.prod()) ** 2
    return intensity_scale(experiment) * peak * solid * mean


def sampled_image(experiment):
    chunk = SourceChunk(0, experiment.beam.sources.count)
    options = KernelOptions("float64", "native", "cpu", 1)
    total = render_tile(experiment, 0, TILE, chunk, options).reshape(TILE.shape)
    return intensity_scale(experiment) * total


def write_sources(path, beam, bandwidth, count):
    """Write sources drawn from the normal distributions of a beam."""
    draws = norm.ppf(qmc.Sobol(3, seed=1).random(count))
    towards = -beam.direction - draws[:, :2] @ beam.divergence
    towards *= 10.0 / np.linalg.norm(towards, axis=1)[:, None]
    metres = 1e-10 / (1.0 + bandwidth * draws[:, 2])
    np.savetxt(path, np.column_stack([towards, np.ones(count), metres]), fmt="%.15g")


def moments(image):
    """Centre and covariance of a spot, pixels."""
    weight = image / image.sum()
    points = np.stack([axis.ravel() for axis in np.indices(image.shape)])
    return points @ weight.ravel(), np.cov(points, aweights=weight.ravel(), ddof=0)


@pytest.mark.spec("CRY-25")
@pytest.mark.spec("SRC-32")
@pytest.mark.skipif(not native.available(), reason=native.reason())
@pytest.mark.parametrize(
    ("spread", "beam", "domains", "sources"),
    [
        ((0.5, 0.1, 0.2), {}, 4000, 1),
        (TABLE, {}, 4000, 1),
        ((0.1, 0.05, 0.1), {"bandwidth_percent": 0.4, "divergence_mrad": [4.0, 1.0]}, 60, 128),
    ],
)
def test_a_spot_from_the_records_is_that_of_the_samples(tmp_path, spread, beam, domains, sources):
    closed = build_experiment(parse_spec(plain(tmp_path, spread, domains=domains, beam=beam)))
    given = {}
    if sources > 1:
        path = tmp_path / "sources.txt"
        write_sources(path, closed.beam, closed.beam.sources.bandwidth, sources)
        given = {"source_file": str(path)}
    spec = plain(tmp_path, spread, domains=domains, beam=given, method="sampled")
    one, other = closed_image(closed), sampled_image(build_experiment(parse_spec(spec)))
    assert one.sum() == pytest.approx(other.sum(), rel=0.05)
    (centre, width), (expected, covariance) = moments(one), moments(other)
    scale = np.sqrt(np.diag(covariance))
    assert (np.abs(centre - expected) < 0.05 * scale).all()
    assert (np.abs(width - covariance) < 0.1 * scale[:, None] * scale).all()
