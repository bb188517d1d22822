"""Where rays meet bent panels, beside where pixels of such panels lie."""

from __future__ import annotations

import numpy as np
import pytest

from distbragg.models.build import build_experiment
from distbragg.models.detector import Panel
from distbragg.physics.rays import (
    Rays,
    SampleIndex,
    cosine_to_normal,
    placement_of,
    sample_positions,
)
from distbragg.predict.landing import components_of, cosine_on, meet
from distbragg.spec.load import parse_spec


def panel_of(surface: str) -> Panel:
    plain = {
        "beam": {"wavelength_angstrom": 1.0},
        "structure_factors": {"default_f_electrons": 10},
        "crystal": {"cell": [40, 40, 40, 90, 90, 90]},
        "detector": {
            "distance_mm": 80,
            "pixel_size_mm": 0.5,
            "pixels_fast": 400,
            "pixels_slow": 300,
            "twotheta_deg": 15.0,
            "rotation_deg": [3.0, 4.0, 5.0],
            "curved": surface,
            "sensor": {"thickness_um": 900, "attenuation_length_um": 300, "layers": 3},
        },
    }
    return build_experiment(parse_spec(plain)).detector.panels[0]


@pytest.mark.spec("GEO-7")
@pytest.mark.parametrize("surface", ["sphere", "cylinder_slow", "cylinder_fast"])
def test_a_ray_to_a_place_on_a_bent_panel_meets_it_there(surface: str) -> None:
    panel = panel_of(surface)
    drawn = np.random.default_rng(1).uniform(0.0, 1.0, (2, 500))
    slow, fast = drawn[0] * panel.shape[0], drawn[1] * panel.shape[1]
    placement = placement_of(panel, panel.normal)
    for layer, depth in enumerate(panel.sensor.position.tolist()):
        sample = SampleIndex(layer, 0, 0)
        at = sample_positions(placement, slow - 0.5, fast - 0.5, sample=sample, oversample=1)
        place = np.stack(at, axis=1)
        length = np.linalg.norm(place, axis=1)
        rays = place / length[:, np.newaxis]
        found = meet(panel, rays, depth)
        np.testing.assert_allclose(found[0], slow, atol=1e-9)
        np.testing.assert_allclose(found[1], fast, atol=1e-9)
        np.testing.assert_allclose(found[2], length, rtol=1e-12)
        expected = cosine_to_normal(placement, Rays(components_of(rays), length))
        np.testing.assert_allclose(cosine_on(panel, rays), expected, rtol=1e-12)
