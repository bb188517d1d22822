"""Halos in closed form beside all else that a frame may have, against draws and sums by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distbragg.fit import render_tensor
from distbragg.kernel import native
from distbragg.kernel.energies import channels
from distbragg.kernel.finalize import finalize_tile
from distbragg.models.build import build_experiment
from distbragg.models.crystal import Spectral
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import frozen_float64
from distbragg.plan.frame import SourceChunk, Tile
from distbragg.spec.load import parse_spec
from tests.physics.closed_scenes import (
    BASE,
    FLOAT64,
    MIXED,
    MODEL,
    changed,
    image,
    off,
    panel_about,
)
from tests.physics.test_amplitudes_by_energy import experiment_of
from tests.physics.test_closed_halos import HALO, UNEVEN, drawn, halo_image, scene
from tests.physics.test_halo_lines import halos_in, only, under

needs_kernel = pytest.mark.skipif(not native.available(), reason=native.reason())

DRAWS = 4e-3
"""Of the greatest: DIF-8."""

NARROW = {"crystal": {"mosaic": {"spread_deg": 0.15}}}
BOX = (61, 61, 61)


def with_tables(view: Experiment, kind: str, coefficients: np.ndarray) -> Experiment:
    """The same with |F|² of two tables, of which each source has its own shares."""
    random = np.random.default_rng(5)
    tables = 100.0 * random.uniform(0.3, 1.5, (2, *BOX))
    table = replace(
        view.reflections,
        amplitude=frozen_float64(np.sqrt(tables[0])),
        origin=(-30, -30, -30),
        default_amplitude=0.0,
        spectral=Spectral(kind, frozen_float64(tables), frozen_float64(coefficients)),
    )
    return replace(view, reflections=table)


@pytest.mark.spec("DIF-8")
@needs_kernel
@pytest.mark.parametrize(
    ("kind", "coefficients"),
    [
        ("channels", [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]),
        ("anomalous", [[1.0, 0.0], [1.0, 0.4], [1.0, -0.25]]),
    ],
)
def test_each_line_has_halos_of_its_own_structure_factors(kind, coefficients) -> None:
    lines = under(scene(HALO, NARROW), np.array([1.0, 3.0, 2.0]), 6.0)
    view = with_tables(lines, kind, np.array(coefficients))
    expected = sum(
        weight * drawn(_plain(view, number))
        for number, weight in enumerate(view.beam.sources.weight.tolist())
    )
    model = halo_image(view, MODEL)
    assert off(model[::2, ::2], expected) < DRAWS
    assert off(halos_in(view, FLOAT64), model) < 1e-9
    assert off(halos_in(view, MIXED), model) < 1e-5
    # They are not those of one table.
    plain = replace(view, reflections=replace(view.reflections, spectral=None))
    assert off(halo_image(plain, MODEL), model) > 10.0 * DRAWS


@pytest.mark.spec("DIF-8", "DIF-10")
@needs_kernel
def test_halos_follow_the_anomalous_scatterers_of_a_model(tmp_path) -> None:
    # Seven lines across the edge of iron.
    coarse = {"pixels_fast": 16, "pixels_slow": 15, "pixel_size_mm": 4.0}
    view = experiment_of(tmp_path, "closed_form", crystal={"diffuse": HALO}, detector=coarse)
    assert view.reflections.spectral is not None
    weights = view.beam.sources.weight.tolist()
    lines = sum(w * halo_image(_plain(view, n), MODEL) for n, w in enumerate(weights))
    assert off(halos_in(view, FLOAT64), lines) < 1e-9
    assert off(halos_in(view, MIXED), lines) < 1e-3


def _plain(view: Experiment, number: int) -> Experiment:
    """One line alone, of weight 1, with its |F| in a table."""
    ((plain, _),) = channels(view, SourceChunk(number, number + 1))
    return only(plain, number)


@pytest.mark.spec("DIF-8")
@needs_kernel
def test_every_panel_has_the_halos_of_its_own_pixels() -> None:
    panels = []
    # About the beam, which is along x.
    for ray, fast in (([0.8, 0.0, 0.6], [0.6, 0.0, -0.8]), ([0.88, 0.47, 0.0], [0, 0, 1])):
        ray = np.array(ray) / np.linalg.norm(ray)
        panels.append(panel_about(ray, np.array(fast), distance_mm=60.0, size_mm=1.0, edge=6))
    crystal = {"diffuse": HALO, "mosaic": {"spread_deg": 0.15}}
    spec = changed(BASE, {"crystal": crystal, "sampling": {"dmin_angstrom": 1.2}})
    built = build_experiment(parse_spec({**spec, "detector": {"panels": panels}}))
    assert len(built.detector.panels) == 2
    for panel in (0, 1):
        expected = drawn(built, panel=panel)
        assert off(halo_image(built, MODEL, panel=panel)[::2, ::2], expected) < DRAWS
        assert off(halos_in(built, MIXED, panel)[::2, ::2], expected) < DRAWS


@pytest.mark.spec("DIF-8")
@needs_kernel
def test_halos_of_lattices_add_up() -> None:
    other = {"turned_deg": [3, 0, 5], "cell": [42, 50, 58, 82, 95, 103], "illuminated_blocks": 2}
    view = scene(UNEVEN, NARROW, {"crystal": {"lattices": [other]}})
    alone = [replace(view, crystal=crystal, others=()) for crystal in view.lattices]
    each = [drawn(one) for one in alone]
    assert off(halos_in(view, MIXED)[::2, ::2], each[0] + each[1]) < DRAWS
    assert each[1].max() > 0.1 * each[0].max()


@pytest.mark.spec("DIF-8")
@needs_kernel
def test_frames_of_a_rotation_have_what_the_whole_of_it_has() -> None:
    def of(start: float, width: float) -> np.ndarray:
        turn = {"goniometer": {"phi_deg": start, "oscillation_deg": width}}
        view = scene({**HALO, "gamma_angstrom": 40}, NARROW, turn)
        return halos_in(view, MIXED)

    whole, parts = of(20.0, 1.5), [of(20.0 + 0.5 * n, 0.5) for n in range(3)]
    assert off(sum(parts) / 3.0, whole) < DRAWS
    assert off(parts[0], whole) > 10.0 * DRAWS


@pytest.mark.spec("DIF-8")
@needs_kernel
def test_photons_of_a_frame_are_those_that_gradients_are_taken_of() -> None:
    lines = under(scene(HALO, NARROW), np.array([1.0, 3.0, 2.0]), 2.0)
    view = with_tables(lines, "channels", np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]))
    rows, columns = view.detector.panels[0].shape
    whole = Tile(0, rows, 0, columns)
    numerator = image(view, FLOAT64).reshape(-1)
    photons = finalize_tile(view, 0, whole, numerator, frame=0).reshape(whole.shape)
    assert off(render_tensor(view).numpy(), photons) < 5e-5


@pytest.mark.spec("DIF-8")
def test_samples_of_a_mosaic_crystal_come_to_the_same() -> None:
    drawing = {"mosaic": {"spread_deg": 0.15, "domains": 2000, "seed": 3}}
    samples = scene(HALO, {"crystal": drawing, "sampling": {"method": "sampled"}}, method="sampled")
    bare = replace(samples, crystal=replace(samples.crystal, diffuse=None))
    sampled = (image(samples, FLOAT64) - image(bare, FLOAT64)) / 2000
    assert off(halo_image(scene(HALO, NARROW), MODEL), sampled) < 2.0 * DRAWS
