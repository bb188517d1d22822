"""The native kernel's numbers against the formulas written out in plain numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.kernel.native import prepare
from distbragg.kernel.native.call import Call
from distbragg.kernel.native.prepare import most_squared
from distbragg.models.crystal import Reflections
from distbragg.models.vectors import frozen_float64
from distbragg.physics.orientation import domain_vectors
from tests import oracle, tolerances
from tests.unit.kernel_native import kit

pytestmark = pytest.mark.skipif(not native.available(), reason=native.reason())

CASES = {
    "square": {},
    "round": {"shape": "round"},
    "gauss": {"shape": "gauss"},
    "tophat": {"shape": "tophat"},
    "gauss with fudge": {"shape": "gauss", "fudge": 0.7, "cells": (12, 15, 11)},
    "tophat of broad spots": {"shape": "tophat", "cells": (2, 2, 2), "domains": 40},
    "tophat of sharp spots": {"shape": "tophat", "fudge": 1.3, "cells": (9, 11, 8)},
    "round with fudge and sharp spots": {"shape": "round", "fudge": 1.3, "cells": (40, 50, 60)},
    "tricubic": {"interpolate": True},
    "tricubic round sub-pixels": {"shape": "round", "interpolate": True, "oversample": 2},
    "tricubic gauss": {"shape": "gauss", "interpolate": True},
    "thousand cells": {"cells": (1000, 700, 1), "domains": 1},
    "one cell": {"cells": (1, 1, 1)},
    "one cell along one axis": {"cells": (2, 1, 9)},
    "sphere": {"surface": "sphere", "layers": 2},
    "cylinder about slow": {"surface": "cylinder_slow", "layers": 3},
    "cylinder about fast": {"surface": "cylinder_fast"},
    "curved as in nanoBragg.c": {"surface": "nanobragg", "physics": "nanobragg"},
    "layers and sub-pixels": {"layers": 4, "oversample": 3},
    "more samples than are kept": {"layers": 5, "oversample": 3, "sources": 2},
    "point pixel": {"point": True},
    "resolution cut": {"dmin": 6.0},
    "resolution cut without background": {"dmin": 8.0, "background": False},
    "resolution cut of sub-pixels and layers": {"dmin": 7.0, "oversample": 2, "layers": 2},
    "gauss_star": {"shape": "gauss_star"},
    "gauss_star of sharp spots": {"shape": "gauss_star", "cells": (14, 16, 13), "fudge": 1.2},
    "gauss of the program": {"shape": "gauss", "physics": "nanobragg"},
    "tophat of the program": {"shape": "tophat", "physics": "nanobragg", "cells": (2, 2, 3)},
    "broad gauss of families": {"shape": "gauss", "cells": (3, 2, 4), "domains": 9},
    "broad gauss of families, mixed terms": {
        "shape": "gauss",
        "cells": (2, 2, 2),
        "domains": 12,
        "physics": "nanobragg",
    },
    "broad gauss of families, curved": {
        "shape": "gauss",
        "cells": (3, 3, 4),
        "domains": 8,
        "surface": "cylinder_fast",
        "layers": 2,
    },
    "broken numbers of cells": {"shape": "gauss", "cells": (3.5, 2.25, 8.75)},
    "round of broken numbers": {"shape": "round", "cells": (3.5, 2.25, 8.75), "fudge": 0.7},
    "everything cut": {"dmin": 1000.0},
    "factors left to finalize": {"physics": "nanobragg", "layers": 3},
    "unpolarised": {"polarized": False},
    "no Kahn factor": {"kahn": 0.0},
    "no table": {"box": (0, 0, 0)},
    "no default": {"default": 0.0},
    "no background": {"background": False},
    "masked": {"mask": np.random.default_rng(0).random((23, 37)) > 0.5},
}


@pytest.mark.parametrize("case", CASES)
def test_float64_agrees_with_the_written_out_formulas(case):
    experiment = kit.make_experiment(**CASES[case])
    expected = oracle.numerator(experiment).ravel()
    got = native.render_numerator(experiment, 0, *kit.whole(experiment), kit.Options("float64"))
    np.testing.assert_allclose(
        got,
        expected,
        rtol=tolerances.KERNEL_TWIN_FLOAT64_RELATIVE,
        atol=tolerances.KERNEL_TWIN_FLOAT64_RELATIVE * expected.max(),
    )


@pytest.mark.parametrize("case", CASES)
def test_mixed_precision_keeps_its_bars(case):
    experiment = kit.make_experiment(**CASES[case])
    expected = oracle.numerator(experiment).ravel()
    got = native.render_numerator(experiment, 0, *kit.whole(experiment), kit.Options("mixed"))
    largest = expected.max()
    bright = expected > tolerances.GOLDEN_MIXED_FLOOR * largest
    np.testing.assert_allclose(got[bright], expected[bright], rtol=tolerances.NATIVE_MIXED_RELATIVE)
    assert np.abs(got - expected).max(initial=0.0) <= tolerances.NATIVE_MIXED_OF_MAXIMUM * largest
    assert got.sum() == pytest.approx(expected.sum(), rel=tolerances.NATIVE_MIXED_OF_MAXIMUM)


@pytest.mark.parametrize("precision", ["float64", "mixed"])
@pytest.mark.parametrize("shape", ["square", "round", "gauss", "gauss_star", "tophat"])
def test_a_pixel_on_a_lattice_point_has_the_full_peak(shape, precision):
    experiment = _direct_beam(shape)
    tile, chunk = kit.whole(experiment)
    got = native.render_numerator(experiment, 0, tile, chunk, kit.Options(precision))
    volume = np.prod(experiment.crystal.cells)
    height = volume * (0.723601254558268 if shape == "round" else 1.0)
    table = experiment.reflections
    amplitude = table.amplitude[tuple(-n for n in table.origin)]
    expected = (amplitude * height) ** 2
    assert got[0] == pytest.approx(expected, rel=1e-14 if precision == "float64" else 1e-6)


def _direct_beam(shape):
    """One pixel whose centre lies exactly in the beam: q = 0, h = k = l = 0."""
    base = kit.make_experiment(
        shape=shape, sources=1, phi=(0.0,), domains=1, physics="nanobragg", cells=(7, 5, 900)
    )
    panel = base.detector.panels[0]
    frame = np.eye(3)
    panel = replace(
        panel,
        shape=(1, 1),
        pixel_size=0.25,
        origin=np.array([0.5, -0.125, -0.125]),
        fast=frame[2],
        slow=frame[1],
        normal=frame[0],
        active=np.ones((1, 1), bool),
    )
    sources = replace(base.beam.sources, direction=np.array([[-1.0, 0.0, 0.0]]), weight=np.ones(1))
    return replace(
        base,
        detector=replace(base.detector, panels=(panel,)),
        beam=replace(base.beam, sources=sources),
    )


@pytest.mark.parametrize("precision", ["float64", "mixed"])
@pytest.mark.parametrize("shape", ["gauss", "tophat"])
def test_skipping_strips_changes_no_bit(shape, precision, monkeypatch):
    experiment = kit.make_experiment(shape=shape, cells=(14, 16, 13), domains=6)
    tile, chunk = kit.whole(experiment)
    skipped = native.render_numerator(experiment, 0, tile, chunk, kit.Options(precision))
    monkeypatch.setattr(prepare, "spot_reach", lambda *_: 0.0)
    experiment = replace(experiment, crystal=replace(experiment.crystal))
    full = native.render_numerator(experiment, 0, tile, chunk, kit.Options(precision))
    assert np.array_equal(skipped, full)


def test_sharp_spots_are_skipped_and_broad_ones_are_not():
    def reach(cells):
        crystal = kit.make_experiment(shape="tophat", cells=cells).crystal
        spot = prepare.spot_shape_numbers(crystal, double=False)
        vectors = domain_vectors(crystal)
        return prepare.spot_reach(spot, vectors, 1.0)

    assert reach((14, 16, 13)) > 0.0
    assert reach((1, 3, 2)) == 0.0


def test_a_structure_of_large_amplitudes_does_not_overflow_float32():
    experiment = kit.make_experiment(cells=(30000, 30000, 30000), domains=1, phi=(0.0,))
    table = replace(experiment.reflections, amplitude=experiment.reflections.amplitude * 1e12)
    experiment = replace(experiment, reflections=table)
    tile, chunk = kit.whole(experiment)
    got = native.render_numerator(experiment, 0, tile, chunk, kit.Options("mixed"))
    assert np.isfinite(got).all()
    assert got.max() > 0.0


@pytest.mark.parametrize("dmin", [6.0, 8.0])
def test_the_resolution_ring_cuts_a_part_of_the_panel(dmin):
    """What the cases above stand on: pixels on both sides of the ring within each block."""
    with_cut = oracle.numerator(kit.make_experiment(dmin=dmin, background=False, sources=1))
    whole = oracle.numerator(kit.make_experiment(background=False, sources=1))
    cut = with_cut != whole
    assert 0.1 < cut.mean() < 0.6
    assert 0 < cut.ravel()[:256].sum() < 256


def large_cell(**changes):
    """Edges of 250 to 350 Å at 0.5 Å: in float32 indices are off by some 1e-4."""
    base = kit.make_experiment(background=False, default=7.0, box=(0, 0, 0), **changes)
    crystal, sources = base.crystal, base.beam.sources
    larger = replace(
        crystal,
        real_space=frozen_float64(crystal.real_space * 10.0),
        reciprocal=frozen_float64(crystal.reciprocal / 10.0),
    )
    shorter = replace(sources, wavelength=frozen_float64(sources.wavelength / 2.0))
    return replace(base, crystal=larger, beam=replace(base.beam, sources=shorter))


@pytest.mark.parametrize(("shape", "cells"), [("tophat", (5, 6, 5)), ("gauss", (30, 40, 35))])
def test_skipping_allows_for_what_float32_makes_of_an_index(shape, cells):
    experiment = large_cell(shape=shape, cells=cells)
    crystal = experiment.crystal
    shortest = float(experiment.beam.sources.wavelength.min())
    prepared = prepare.prepare_crystal(crystal, double=False, wavelength=shortest)
    assert prepared.reach > 0.0
    rng = np.random.default_rng(3)
    # Scattering vectors as long as they come, a little inside of the edge of a spot.
    ways = rng.normal(size=(40_000, 3))
    ways /= np.linalg.norm(ways, axis=1)[:, None]
    point = np.round(ways * 1.9 / shortest @ crystal.real_space.T)
    offset = rng.normal(size=point.shape)
    radius = np.sqrt(np.einsum("ni,ij,nj->n", offset, crystal.spot_form, offset))
    offset *= (prepared.spot.zero_beyond * (1.0 - 1e-6) / radius)[:, None]
    q = (point + offset) @ crystal.reciprocal
    vectors = prepared.vectors[0].astype(np.float32).reshape(3, 3)
    index = q.astype(np.float32) @ vectors.T
    index -= np.round(index)
    form = np.zeros((3, 3), np.float32)
    form[np.triu_indices(3)] = prepared.spot.metric
    seen = np.sqrt(((index @ form.T) ** 2).sum(axis=1))
    assert (seen > prepared.spot.zero_beyond).any()
    assert (seen < prepared.reach).all()


@pytest.mark.parametrize("precision", ["float64", "mixed"])
def test_no_spot_of_a_large_cell_is_skipped(precision):
    experiment = large_cell(shape="tophat", cells=(5, 6, 5), domains=40, sources=2)
    options, place = kit.Options(precision), kit.whole(experiment)
    skipping = native.render_numerator(experiment, 0, *place, options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Call, "_limits", lambda *_: (0.0, 0.0))
        every = native.render_numerator(experiment, 0, *place, options)
    assert np.count_nonzero(every) > 300
    assert np.array_equal(skipping, every)


def test_the_greatest_structure_factor_allows_for_what_a_cubic_overshoots():
    # Between 0, 1, 1, 0 the cubic reaches 9/8, and its product over three axes (9/8)³.
    hump = np.array([0.0, 1.0, 1.0, 0.0])
    box = frozen_float64(hump[:, None, None] * hump[None, :, None] * hump)
    table = prepare.squared_table(Reflections(box, (0, 0, 0), 0.0, True), double=True)
    assert most_squared(table, interpolate=True) * table.scale >= (9 / 8) ** 6
    assert most_squared(table, interpolate=False) * table.scale == 1.0
