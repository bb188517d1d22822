"""Domains that are turned little against each other, for which the native kernel looks once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.kernel.native.prepare import prepare_crystal
from distbragg.models.vectors import frozen_float64
from distbragg.physics.orientation import domain_vectors
from tests import oracle, tolerances
from tests.unit.kernel_native import kit

pytestmark = pytest.mark.skipif(not native.available(), reason=native.reason())

MASK = np.random.default_rng(5).random((23, 37)) > 0.3
NARROW = {
    "gauss": {"shape": "gauss", "cells": (45, 40, 50)},
    "tophat": {"shape": "tophat", "cells": (2, 3, 2)},
    "tophat of mixed terms": {"shape": "tophat", "cells": (4, 4, 4), "physics": "nanobragg"},
    "gauss of mixed terms": {"shape": "gauss", "cells": (13, 12, 12), "physics": "nanobragg"},
    "tophat, curved": {"shape": "tophat", "cells": (2, 3, 2), "surface": "sphere", "layers": 2},
    "tophat, masked": {"shape": "tophat", "cells": (2, 3, 2), "mask": MASK},
}


def render(experiment, precision="mixed"):
    return native.render_numerator(experiment, 0, *kit.whole(experiment), kit.Options(precision))


def split(experiment, chosen):
    """The same crystal with some of its domains."""
    crystal = experiment.crystal
    rotations = frozen_float64(crystal.mosaic_rotations[chosen])
    return replace(experiment, crystal=replace(crystal, mosaic_rotations=rotations))


@pytest.mark.parametrize("precision", ["mixed", "float64"])
@pytest.mark.parametrize("case", NARROW)
def test_narrow_spots_of_a_family_are_those_of_its_domains_one_by_one(case, precision):
    given = {"sources": 1, "phi": (0.0,), "background": False, **NARROW[case]}
    experiment = kit.make_experiment(domains=24, **given)
    prepared = prepare_crystal(experiment.crystal, double=precision == "float64", wavelength=1.0)
    assert prepared.reach > 0.0
    assert not (experiment.crystal.shape == "tophat" and prepared.sought)
    whole = render(experiment, precision)
    parts = np.zeros_like(whole)
    # Twos and threes are too few to be a family.
    for first in range(0, 24, 3):
        parts += render(split(experiment, slice(first, first + 3)), precision)
    assert np.count_nonzero(whole) > 2
    np.testing.assert_allclose(whole, parts, rtol=1e-14)


@pytest.mark.parametrize("turn", [0.001, 0.02, 0.2, 3.0])
def test_families_end_where_domains_are_turned_too_far(turn):
    experiment = kit.make_experiment(
        shape="gauss", cells=(3, 2, 3), phi=(0.0,), domains=40, background=False
    )
    rng = np.random.default_rng(2)
    axes = rng.normal(size=(40, 3))
    axes /= np.linalg.norm(axes, axis=1)[:, None]
    rotations = [kit.turn(np.eye(3), axis, turn * rng.random()).T for axis in axes]
    crystal = replace(experiment.crystal, mosaic_rotations=frozen_float64(rotations))
    experiment = replace(experiment, crystal=crystal)
    expected = oracle.numerator(experiment).ravel()
    got = render(experiment)
    np.testing.assert_allclose(got, expected, rtol=tolerances.NATIVE_MIXED_RELATIVE)


@pytest.mark.spec("SCL-10")
@pytest.mark.parametrize("side", [-1e-9, 0.0, 1e-9, 3e-7])
def test_where_an_index_is_a_half_float64_tells_the_side(side):
    """All domains are turned about one axis, along which some pixel's index is a half or close."""
    experiment = kit.make_experiment(
        shape="gauss", cells=(1.5, 1.5, 1.5), phi=(0.0,), domains=9, sources=1,
        default=0.0, background=False, box=(3, 3, 3),
    )  # fmt: skip
    crystal = experiment.crystal
    axis = crystal.real_space[0] / np.linalg.norm(crystal.real_space[0])
    rotations = [kit.turn(np.eye(3), axis, angle).T for angle in np.linspace(0.0, 0.02, 9)]
    view = experiment.detector.panels[0]
    place = view.origin + 20.5 * view.pixel_size * view.fast + 9.5 * view.pixel_size * view.slow
    sources = experiment.beam.sources
    q = (place / np.linalg.norm(place) + sources.direction[0]) / sources.wavelength[0]
    index = float(crystal.real_space[0] @ q)
    border = np.ceil(index) - 0.5
    edges = crystal.real_space * np.array([[(border + side) / index], [1.0], [1.0]])
    crystal = replace(
        crystal,
        real_space=frozen_float64(edges),
        reciprocal=frozen_float64(np.linalg.inv(edges).T),
        mosaic_rotations=frozen_float64(rotations),
    )
    experiment = replace(experiment, crystal=crystal)
    indices = domain_vectors(crystal)[:, :3] @ q
    assert np.abs(indices - border - side).max() < 1e-12
    mixed, double = render(experiment), render(experiment, "float64")
    pixel = 9 * view.shape[1] + 20
    assert double[pixel] > 0.0
    np.testing.assert_allclose(mixed, double, rtol=tolerances.NATIVE_MIXED_RELATIVE)
    # Which side it is matters: the next reflection has another |F|.
    assert mixed[pixel] == pytest.approx(double[pixel], rel=1e-5)
