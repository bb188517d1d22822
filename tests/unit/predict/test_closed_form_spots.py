"""Spots predicted in closed form against what is rendered in closed form: moments of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.kernel.finalize import finalize_tile
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import render_tile
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.plan.frame import SourceChunk, Tile
from distbragg.predict.spots import predict_spots, visible_spots
from distbragg.spec.load import parse_spec

PIXELS = (1123, 1059)
ALL = [(h, k, l) for h in range(-9, 10) for k in range(-9, 10) for l in range(-4, 9)]  # noqa: E741
NORMAL = {"distribution": "gaussian"}
SENSOR = {"thickness_um": 300, "attenuation_length_um": 200, "layers": 4}
TURN = {"phi_deg": 10.0, "oscillation_deg": 1.0}

CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "mosaic": {"crystal": {"mosaic": {**NORMAL, "spread_deg": [0.4, 0.1, 0.2]}}},
    "bandwidth": {"beam": {"bandwidth_percent": 0.5}},
    "divergence": {"beam": {"divergence_mrad": [2.0, 0.5]}},
    "rotation": {"goniometer": TURN, "crystal": {"mosaic": {**NORMAL, "spread_deg": 0.1}}},
    "parts of a rotation": {"goniometer": {"phi_deg": 10.0, "oscillation_deg": 5.0}},
    "narrow rotation": {"goniometer": TURN, "crystal": {"block_cells": [100, 90, 80]}},
    "narrow": {"crystal": {"block_cells": [100, 90, 80]}},
    "layers": {"detector": {"sensor": SENSOR}},
    "sources": {"beam": {"dispersion": {"range_percent": 2.0, "steps": 3}}},
    "all": {
        "beam": {"bandwidth_percent": 0.3, "divergence_mrad": 0.5},
        "crystal": {"mosaic": {**NORMAL, "spread_deg": 0.2}},
        "goniometer": {"phi_deg": 10.0, "oscillation_deg": 0.5},
        "detector": {"sensor": SENSOR},
    },
    "sphere": {"detector": {"curved": "sphere", "sensor": SENSOR}},
    "cylinder along slow": {"detector": {"curved": "cylinder_slow", "sensor": SENSOR}},
    "cylinder along fast": {"detector": {"curved": "cylinder_fast", "sensor": SENSOR}},
}


def experiment_of(
    folder: Path, reflections: list[tuple[int, int, int]], **changes: Any
) -> Experiment:
    path = folder / f"{len(reflections)}-{reflections[0]}.hkl"
    path.write_text("".join(f"{h} {k} {l} {80 + h + k}\n" for h, k, l in reflections))  # noqa: E741
    spec: dict[str, Any] = {
        "beam": {
            "wavelength_angstrom": 1.0,
            "fluence_photons_per_m2": 1e28,
            "polarization": {"kahn_factor": 0.9},
        },
        "crystal": {
            "cell": [40, 50, 60, 80, 95, 105],
            "block_cells": [24, 18, 15],
            "misset_deg": [10, 20, 30],
            "shape": "gauss",
        },
        "structure_factors": {"file": str(path), "interpolate": False},
        "detector": {
            "distance_mm": 40,
            "pixel_size_mm": 0.015,
            "pixels_fast": PIXELS[1],
            "pixels_slow": PIXELS[0],
            "twotheta_deg": 8.0,
        },
        "sampling": {"method": "closed_form"},
    }
    for name, value in changes.items():
        spec[name] = {**spec.get(name, {}), **value}
    return build_experiment(parse_spec(spec))


def render(experiment: Experiment) -> np.ndarray:
    tile = Tile(0, PIXELS[0], 0, PIXELS[1])
    kernel = "native" if native.available() else "model"
    options = KernelOptions("float64", kernel, "cpu", 1)
    chunk = SourceChunk(0, experiment.beam.sources.count)
    numerator = render_tile(experiment, 0, tile, chunk, options)
    return finalize_tile(experiment, 0, tile, numerator, frame=0).reshape(tile.shape)


def chosen(folder: Path, **changes: Any) -> list[tuple[int, int, int]]:
    """Return a strong and a weaker reflection whose spots lie well inside the image."""
    spots = predict_spots(experiment_of(folder, ALL, **changes), 1.0)
    inside = (spots.slow > 100) & (spots.slow < 1000) & (spots.fast > 100) & (spots.fast < 950)
    order = np.argsort(-spots.photons * inside)[: inside.sum()]
    picked = (order[0], order[len(order) // 3])
    return [(int(spots.h[i]), int(spots.k[i]), int(spots.l[i])) for i in picked]


@pytest.mark.spec("LAB-6")
@pytest.mark.parametrize("name", CASES)
def test_spots_are_the_moments_of_what_is_rendered(name: str, tmp_path: Path) -> None:
    for reflection in chosen(tmp_path, **CASES[name]):
        experiment = experiment_of(tmp_path, [reflection], **CASES[name])
        spots = predict_spots(experiment)
        assert len(spots) == 1
        image = render(experiment)
        assert image.sum() == pytest.approx(spots.photons[0], rel=1e-4)
        if "narrow" in name:  # narrower than pixels, whose sums tell nothing of what is inside
            continue
        places = np.indices(image.shape).reshape(2, -1) + 0.5
        centre = places @ image.ravel() / image.sum()
        assert centre == pytest.approx((spots.slow[0], spots.fast[0]), abs=1e-3)
        # A pixel adds the variance of its own width.
        found = np.cov(places, aweights=image.ravel(), ddof=0) - np.eye(2) / 12.0
        ss, ff, sf = spots.variance_slow[0], spots.variance_fast[0], spots.covariance[0]
        scale = np.sqrt(np.array([[ss * ss, ss * ff], [ss * ff, ff * ff]]))
        assert (np.abs(found - [[ss, sf], [sf, ff]]) < 1e-3 * scale).all()


@pytest.mark.spec("LAB-6")
@pytest.mark.parametrize("reflection", [(3, 5, -3), (-3, -7, -2), (-4, -6, 1)])
def test_photons_of_what_a_rotation_moves_far_are_those_of_the_image(
    reflection: tuple[int, int, int], tmp_path: Path
) -> None:
    """These lie askew in their discs, where both lattices of nodes agreed on 1.1e-3, 5e-3, 8e-4."""
    crystal = {"block_cells": [72, 17, 7], "mosaic": {**NORMAL, "spread_deg": 0.02}}
    turn = {"phi_deg": 10.0, "oscillation_deg": 0.9}
    experiment = experiment_of(tmp_path, [reflection], crystal=crystal, goniometer=turn)
    (photons,) = predict_spots(experiment).photons
    assert render(experiment).sum() == pytest.approx(photons, rel=1e-4)


TWINNED = {
    **{name: changes for name, changes in CASES.items() if name != "sources"},
    "lines": {
        "beam": {"spectrum": {"wavelengths_angstrom": np.linspace(0.98, 1.02, 60).tolist()}},
        "crystal": {"mosaic": {**NORMAL, "spread_deg": 0.3}},
    },
    "sources": {"beam": {"dispersion": {"range_percent": 2.0, "steps": 3}, "divergence_mrad": 0.5}},
    "cells": {
        "crystal": {
            "mosaic": {**NORMAL, "spread_deg": 0.1},
            "cell_spread": {"lengths_percent": 0.5},
        }
    },
    "cells in a rotation": {
        "crystal": {"cell_spread": {"lengths_percent": 0.5}},
        "goniometer": {"phi_deg": 10.0, "oscillation_deg": 2.0},
    },
    "sources in a rotation": {
        "beam": {"dispersion": {"range_percent": 2.0, "steps": 3}},
        "goniometer": {"phi_deg": 10.0, "oscillation_deg": 3.0},
    },
    "far in a rotation": {
        "crystal": {"block_cells": [72, 17, 7], "mosaic": {**NORMAL, "spread_deg": 0.02}},
        "beam": {"dispersion": {"range_percent": 1.0, "steps": 2}},
        "goniometer": {"phi_deg": 10.0, "oscillation_deg": 0.9},
    },
    "near the spindle": {
        "goniometer": {**TURN, "spindle_axis": [0.0, 0.1, 0.995]},
        "crystal": {"mosaic": {**NORMAL, "spread_deg": 0.1}},
    },
    "fine slices": {
        "goniometer": {"phi_deg": 10.0, "oscillation_deg": 0.02},
        "crystal": {"mosaic": {**NORMAL, "spread_deg": 0.3}},
    },
}


@pytest.mark.spec("LAB-6")
@pytest.mark.skipif(not native.available(), reason="the native kernel is not compiled")
@pytest.mark.parametrize("name", TWINNED)
def test_the_compiled_twin_tells_the_same_spots(name: str, tmp_path: Path) -> None:
    from distbragg.kernel.native.moments import NativeTwin

    experiment = experiment_of(tmp_path, ALL, **TWINNED[name])
    model, twin = predict_spots(experiment, 1.0), predict_spots(experiment, 1.0, NativeTwin())
    assert len(model) > 10
    for column, values in model.columns().items():
        found = twin.columns()[column]
        if values.dtype.kind != "f":
            assert np.array_equal(found, values), column
            continue
        size = np.abs(values).max() if column in ("covariance", "phi") else np.abs(values)
        assert (np.abs(found - values) <= 1e-9 * size).all(), column


@pytest.mark.spec("LAB-6")
@pytest.mark.skipif(not native.available(), reason="the native kernel is not compiled")
def test_spots_of_pictures_are_compiled_where_they_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distbragg.kernel.native import moments

    experiment = experiment_of(tmp_path, ALL, **CASES["rotation"])
    of_twin = predict_spots(experiment, 0.0, moments.NativeTwin())
    seen = visible_spots(experiment, moments.compiled_twin())
    monkeypatch.setattr(moments, "available", lambda: False)
    of_model, alone = predict_spots(experiment), visible_spots(experiment, moments.compiled_twin())
    for name, values in seen.columns().items():
        assert np.array_equal(values, of_twin.columns()[name]), name
        assert np.array_equal(alone.columns()[name], of_model.columns()[name]), name
    assert not np.array_equal(seen.photons, alone.photons)


@pytest.mark.spec("LAB-6")
def test_partialities_of_a_passage_add_up_to_one(tmp_path: Path) -> None:
    crystal = {"mosaic": {**NORMAL, "spread_deg": 0.1}}
    [start, _] = chosen(tmp_path, crystal=crystal, goniometer={"oscillation_deg": 0.3})
    parts, photons, phi = [], [], []
    for frame in range(-20, 21):
        turn = {"phi_deg": 0.3 * frame, "oscillation_deg": 0.3}
        spots = predict_spots(experiment_of(tmp_path, [start], crystal=crystal, goniometer=turn))
        parts += list(spots.partiality)
        photons += list(spots.photons)
        phi += list(spots.phi)
        assert ((spots.phi >= 0.3 * frame) & (spots.phi <= 0.3 * (frame + 1))).all()
    assert sum(parts) == pytest.approx(1.0, abs=0.005)
    # One wide frame has it all, at the mean of the angles.
    turn = {"phi_deg": -6.0, "oscillation_deg": 12.3}
    whole = predict_spots(experiment_of(tmp_path, [start], crystal=crystal, goniometer=turn))
    assert whole.partiality[0] == pytest.approx(1.0, abs=0.005)
    assert whole.phi[0] == pytest.approx(np.average(phi, weights=photons), abs=0.01)


@pytest.mark.spec("LAB-6")
def test_a_still_on_the_sphere_has_partiality_one(tmp_path: Path) -> None:
    spots = predict_spots(experiment_of(tmp_path, ALL))
    assert 0.95 < spots.partiality.max() <= 1.0 + 1e-3
    # A spread takes from what a perfect crystal would give.
    crystal = {"mosaic": {**NORMAL, "spread_deg": 0.5}}
    assert predict_spots(experiment_of(tmp_path, ALL, crystal=crystal)).partiality.max() < 0.9


@pytest.mark.spec("LAB-6")
def test_the_wavelength_is_that_of_the_place(tmp_path: Path) -> None:
    """A normal spectrum and lines that stand for it tell the same wavelengths."""
    width = 0.5
    wide = predict_spots(experiment_of(tmp_path, ALL, beam={"bandwidth_percent": width}), 10.0)
    fine = {"wavelengths_angstrom": list(np.linspace(0.975, 1.025, 81))}
    at = np.array(fine["wavelengths_angstrom"])
    weights = np.exp(-0.5 * ((1.0 / at - 1.0) / (0.01 * width)) ** 2) / at**2
    fine["weights"] = list(weights / weights.max())
    lines = predict_spots(experiment_of(tmp_path, ALL, beam={"spectrum": fine}), 1.0)
    keys = zip(lines.h, lines.k, lines.l, strict=True)
    named = dict(zip(keys, lines.wavelength, strict=True))
    assert len(wide) > 20
    for h, k, l, wavelength in zip(wide.h, wide.k, wide.l, wide.wavelength, strict=True):  # noqa: E741
        assert wavelength == pytest.approx(named[h, k, l], abs=2e-4)


@pytest.mark.spec("LAB-1")
def test_weak_spots_are_left_out_and_no_others(tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path, ALL, **CASES["mosaic"])
    every, some = predict_spots(experiment), predict_spots(experiment, 1000.0)
    strong = every.only(np.flatnonzero(every.photons >= 1000.0))
    assert 0 < len(some) < len(every)
    for name, values in strong.columns().items():
        np.testing.assert_allclose(some.columns()[name], values, rtol=1e-12)


@pytest.mark.spec("LAB-1")
@pytest.mark.parametrize("curved", [False, "sphere", "cylinder_slow", "cylinder_fast"])
def test_no_spot_is_the_direct_beam_and_none_lies_beside_the_panel(
    tmp_path: Path, curved: bool | str
) -> None:
    spec = {
        "structure_factors": {"file": None, "default_f_electrons": 50.0},
        "detector": {"curved": curved},
    }
    spots = predict_spots(experiment_of(tmp_path, ALL, **spec), 1e-3)
    assert (np.abs(spots.h) + np.abs(spots.k) + np.abs(spots.l) > 0).all()
    assert ((spots.slow >= 0) & (spots.slow < PIXELS[0])).all()
    assert ((spots.fast >= 0) & (spots.fast < PIXELS[1])).all()
    assert np.isfinite(np.stack([*spots.columns().values()])).all()


@pytest.mark.spec("LAB-1")
@pytest.mark.parametrize("method", ["closed_form", "sampled"])
def test_a_miss_has_no_spot_in_columns_of_the_same_types(tmp_path: Path, method: str) -> None:
    sampling = {"sampling": {"method": method}}
    hit = predict_spots(experiment_of(tmp_path, ALL, **sampling))
    crystal = {"crystal": {"present": False}}
    miss = predict_spots(experiment_of(tmp_path, ALL, **sampling, **crystal))
    assert len(miss) == 0 < len(hit)
    for name, values in hit.columns().items():
        assert miss.columns()[name].dtype == values.dtype


@pytest.mark.spec("SCL-12", "LAB-6")
def test_blocks_multiply_the_photons(tmp_path: Path) -> None:
    one = predict_spots(experiment_of(tmp_path, ALL), 10.0)
    blocks = {"crystal": {"illuminated_blocks": 40}}
    many = predict_spots(experiment_of(tmp_path, ALL, **blocks), 400.0)
    np.testing.assert_array_equal((one.h, one.k, one.l), (many.h, many.k, many.l))
    np.testing.assert_allclose(many.photons, 40.0 * one.photons, rtol=1e-14)
