"""Images in closed form: what is left where widths go to nothing, and what its kernels agree on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from distbragg.kernel import native
from tests.physics.closed_scenes import FLOAT64, MIXED, MODEL, experiment, image, off

pytestmark = pytest.mark.skipif(not native.available(), reason=native.reason())

CALM = {"crystal": {"mosaic": {"spread_deg": 0.0}}, "detector": {"pixel_size_mm": 1.0}}


def uncut(scene):
    """Without the cut, which is by the spacing of the pixel where steps are sampled."""
    return replace(scene, sampling=replace(scene.sampling, dmin=0.0))


WIDTHS = {
    "spread": lambda size: {"crystal": {"mosaic": {"spread_deg": 0.3 * size}}},
    "bandwidth": lambda size: {"beam": {"bandwidth_percent": 0.5 * size}},
    "divergence": lambda size: {"beam": {"divergence_mrad": size}},
    "rotation": lambda size: {"goniometer": {"phi_deg": -0.5 * size, "oscillation_deg": size}},
}


@pytest.mark.spec("SAM-13")
@pytest.mark.parametrize("oversample", [1, 3])
@pytest.mark.parametrize("what", WIDTHS)
def test_without_widths_the_image_is_the_sampled_one(what: str, oversample: int):
    fine = {"sampling": {"oversample": oversample}}
    sampled = experiment(CALM, fine, {"sampling": {"method": "sampled"}}, method="sampled")
    expected = image(uncut(sampled))
    for size in (0.0, 1e-7, 1e-6):
        found = image(uncut(experiment(CALM, fine, WIDTHS[what](size))))
        assert off(found, expected) <= 1e-6


FEATURES = {
    "mosaic": {"crystal": {"mosaic": {"spread_deg": [0.5, 0.1, 0.2]}}},
    "bandwidth": {"beam": {"bandwidth_percent": 1.0}},
    "divergence": {"beam": {"divergence_mrad": [1.0, 0.3]}},
    "rotation": {"goniometer": {"oscillation_deg": -1.0, "spindle_axis": [0.3, 1, 0.2]}},
    "star": {"crystal": {"shape": "gauss_star", "block_cells": [30, 9, 15.5]}},
    "polarised": {"beam": {"polarization": {"enabled": True}}, "sampling": {"oversample": 2}},
    "thick": {"detector": {"sensor": {"thickness_um": 500, "material": "Si", "layers": 3}}},
    "curved": {"detector": {"curved": "cylinder_slow"}},
    "background": {"background": {"water_um": 1.0}},
}


def agree(*changes):
    """Hold the native kernel to the model, and mixed precision where many spots are whole."""
    scene = experiment(*changes)
    expected = image(scene, MODEL)
    assert expected.max() > 0.0
    assert off(image(scene, FLOAT64), expected) <= 1e-11
    many = experiment(*changes, {"sampling": {"dmin_angstrom": 2.2}})
    assert off(image(many, MIXED), image(many, FLOAT64)) <= 3e-4


@pytest.mark.spec("SAM-13")
@pytest.mark.parametrize("what", FEATURES)
def test_the_kernels_agree(what: str):
    agree(FEATURES[what])


@pytest.mark.spec("SAM-13")
def test_the_kernels_agree_on_all_together():
    agree({"sampling": {"dmin_angstrom": 8.0}}, *FEATURES.values())
