"""The differentiable renderer computes what the kernel computes, whatever it is asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import distbragg as db
from distbragg.errors import InputError
from distbragg.fit import Parameters, parameters_of, render_tensor
from distbragg.fit import render as fit_render
from distbragg.kernel import native
from distbragg.kernel.finalize import finalize_tile
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import render_tile
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.plan.frame import Tile
from distbragg.spec.load import parse_spec
from tests.tolerances import FIT_KERNEL_OF_MAXIMUM, FIT_KERNEL_RELATIVE
from tests.unit.kernel.experiments import all_sources, make_experiment, whole_tile

MODEL = KernelOptions("float64", "model", "cpu", 1)
NATIVE = KernelOptions("float64", "native", "cpu", 1)
SHAPES = ("square", "round", "gauss", "tophat")
RICH = {
    "interpolate": True,
    "domains": 3,
    "phi": (0.1, -0.2),
    "wavelengths": (1.0, 1.07, 0.96),
    "weights": (1.0, 0.2, 1e-3),
    "divergence": 0.01,
    "layers": 2,
    "oversample": 2,
    "molecules": 1e4,
    "stol": (0.0, 0.1, 0.25),
    "background": (2.0, 5.0, 1.0),
    "kahn_factor": 0.9,
    "tilt": (0.1, -0.2, 0.3),
    "masked": 0.2,
    "dmin": 2.0,
    "pixels": (7, 11),
}


def kernel_image(experiment: Experiment, options: KernelOptions = MODEL) -> np.ndarray:
    tile = whole_tile(experiment)
    numerator = render_tile(experiment, 0, tile, all_sources(experiment), options)
    return finalize_tile(experiment, 0, tile, numerator, frame=0).reshape(tile.shape)


def assert_same(found: torch.Tensor, expected: np.ndarray) -> None:
    error = np.abs(found.detach().cpu().numpy() - expected)
    # What underflows in the square of an exponential is nothing in both.
    floor = FIT_KERNEL_OF_MAXIMUM * expected.max() + 1e-290
    bound = FIT_KERNEL_RELATIVE * expected + floor
    assert found.dtype == torch.float64
    assert (error <= bound).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("surface", ["flat", "sphere", "cylinder_slow"])
@pytest.mark.parametrize(
    "options",
    [
        MODEL,
        pytest.param(
            NATIVE,
            marks=pytest.mark.skipif(not native.available(), reason=native.reason()),
        ),
    ],
    ids=lambda options: options.kernel,
)
def test_equals_the_kernel_with_every_feature_on(shape, surface, options):
    experiment = make_experiment(shape=shape, surface=surface, cells=(5, 1, 7), **RICH)
    expected = kernel_image(experiment, options)
    assert expected.max() > 0.0
    assert_same(render_tensor(experiment), expected)
    assert_same(render_tensor(experiment, parameters_of(experiment)), expected)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.sampled_from(SHAPES),
    cells=st.tuples(*[st.sampled_from([1, 2, 3, 5, 40])] * 3),
    missets=st.tuples(*[st.floats(-3.0, 3.0)] * 3),
    interpolate=st.booleans(),
    domains=st.integers(1, 4),
    rule=st.sampled_from(["sum", "count", "none"]),
    sources=st.integers(1, 3),
    polarized=st.booleans(),
    point_pixel=st.booleans(),
    layers=st.integers(0, 3),
    oversample=st.integers(1, 3),
    pixels=st.sampled_from([(3, 7), (5, 4), (1, 9)]),
    seed=st.integers(0, 30),
)
def test_equals_the_kernel_on_experiments_nobody_chose(sources, **choices):
    lines = tuple(1.0 + 0.05 * index for index in range(sources))
    weights = tuple(0.3**index for index in range(sources))
    experiment = make_experiment(wavelengths=lines, weights=weights, **choices)
    expected = kernel_image(experiment)
    assert_same(render_tensor(experiment), expected)
    assert_same(render_tensor(experiment, parameters_of(experiment)), expected)


def test_blocks_and_recomputation_change_neither_image_nor_gradient(monkeypatch):
    experiment = make_experiment(**(RICH | {"pixels": (4, 5)}))

    def image_and_gradients() -> list[torch.Tensor]:
        start = parameters_of(experiment).given()
        values = {name: value.requires_grad_() for name, value in start.items()}
        image = render_tensor(experiment, Parameters(**values))
        weights = torch.linspace(0.5, 1.5, image.numel(), dtype=torch.float64)
        gradients = torch.autograd.grad((image.ravel() * weights).sum(), list(values.values()))
        return [image.detach(), *gradients]

    whole = image_and_gradients()
    monkeypatch.setattr(fit_render, "_BLOCK_EVALUATIONS", 97)
    monkeypatch.setattr(fit_render, "_KEPT_EVALUATIONS", 0)
    for first, second in zip(whole, image_and_gradients(), strict=True):
        torch.testing.assert_close(second, first, rtol=1e-9, atol=0.0)


def test_a_tile_is_a_window_of_the_panel():
    experiment = make_experiment(masked=0.3, pixels=(9, 13))
    whole = render_tensor(experiment)
    part = render_tensor(experiment, tile=Tile(2, 7, 5, 12))
    assert part.shape == (5, 7)
    torch.testing.assert_close(part, whole[2:7, 5:12], rtol=1e-12, atol=0.0)


def test_a_panel_without_active_pixels_is_zero():
    image = render_tensor(make_experiment(masked=1.1, pixels=(3, 5)))
    assert image.shape == (3, 5)
    assert not image.any()


def spec_with(**changes: object) -> dict[str, object]:
    crystal = {
        "cell": [27.07, 31.25, 33.76, 87.98, 108.0, 112.11],
        "block_cells": [5, 4, 3],
        "misset_deg": [10.0, 20.0, 30.0],
        "mosaic": {"spread_deg": 0.7, "domains": 4},
    }
    detector = {
        "distance_mm": 40.0,
        "pixel_size_mm": 2.0,
        "pixels_fast": 13,
        "pixels_slow": 11,
        "convention": "mosflm",
        "xbeam_mm": 9.0,
        "ybeam_mm": 14.0,
        "rotation_deg": [3.0, -2.0, 1.0],
    }
    beam = {"wavelength_angstrom": 1.1, "fluence_photons_per_m2": 1e28}
    for path, value in changes.items():
        section, name = path.split("__")
        {"crystal": crystal, "detector": detector, "beam": beam}[section][name] = value
    return {
        "beam": beam,
        "crystal": crystal,
        "detector": detector,
        "structure_factors": {"default_f_electrons": 100.0, "interpolate": False},
        "sampling": {"oversample": 1},
    }


def built(**changes: object) -> Experiment:
    return build_experiment(parse_spec(spec_with(**changes)))


def number(*values: float) -> torch.Tensor:
    return torch.tensor(values[0] if len(values) == 1 else values, dtype=torch.float64)


CELL = (27.3, 31.0, 34.1, 88.5, 107.2, 113.0)


@pytest.mark.parametrize(
    ("changes", "parameters"),
    [
        ({"crystal__cell": list(CELL)}, Parameters(cell=number(*CELL))),
        ({"crystal__block_cells": [7, 2, 4]}, Parameters(cells=number(7.0, 2.0, 4.0))),
        ({"crystal__illuminated_blocks": 44.0}, Parameters(scale=number(44.0))),
        (
            {"crystal__mosaic": {"spread_deg": 1.3, "domains": 4}},
            Parameters(mosaic_spread_deg=number(1.3)),
        ),
        ({"beam__wavelength_angstrom": 1.3}, Parameters(wavelength_angstrom=number(1.3))),
        (
            {"beam__wavelength_angstrom": 0.9},
            Parameters(wavelength_angstrom=number(0.9).reshape(1)),
        ),
        ({"detector__distance_mm": 47.0}, Parameters(distance_mm=number(47.0))),
        (
            # MOSFLM's coordinates run from the middle of the first pixel: half a pixel more,
            # and its X runs along our slow axis.
            {"detector__xbeam_mm": 11.0, "detector__ybeam_mm": 10.0},
            Parameters(beam_centre_mm=number(11.0, 12.0)),
        ),
    ],
    ids=[
        "cell",
        "cells",
        "scale",
        "mosaic",
        "wavelength",
        "each wavelength",
        "distance",
        "beam centre",
    ],
)
def test_a_parameter_means_what_the_specification_means(changes, parameters):
    target = built(**changes)
    found = render_tensor(built(), parameters).numpy()
    expected = kernel_image(target)
    # The domains' angles are float32 at their drawn spread: 6e-8 of them, times slopes.
    rtol = 1e-5 if parameters.mosaic_spread_deg is not None else 1e-9
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * expected.max())
    assert np.abs(found - kernel_image(built())).max() > 1e-3 * expected.max()


def test_misset_turns_the_crystal_about_the_laboratory_axes_in_turn():
    untouched = built(crystal__misset_deg=[0.0, 0.0, 0.0])
    found = render_tensor(untouched, Parameters(misset_deg=number(10.0, 20.0, 30.0))).numpy()
    np.testing.assert_allclose(found, kernel_image(built()), rtol=1e-9, atol=1e-12)


def panels_of(second: dict[str, list[float]]) -> Experiment:
    first = {"origin_mm": [40.0, 12.0, 10.0], "fast": [0.0, 0.0, -1.0], "slow": [0.0, -1.0, 0.0]}
    spec = spec_with()
    spec["detector"] = {
        "convention": "mosflm",
        "panels": [first, second],
        "pixel_size_mm": 2.0,
        "pixels_fast": 13,
        "pixels_slow": 11,
        "sensor": {"thickness_um": 300, "attenuation_length_um": 200, "layers": 2},
    }
    return build_experiment(parse_spec(spec))


def test_a_panel_is_shifted_along_its_axes_and_turned_about_its_centre_by_itself():
    axes = Rotation.from_euler("xyz", [3.0, -2.0, 1.0], degrees=True).as_matrix()
    fast, slow = axes @ (0.0, 0.0, -1.0), axes @ (0.0, -1.0, 0.0)
    normal, half = np.cross(slow, fast), (13.0, 11.0)  # away from the sample
    origin = np.array([45.0, -18.0, 9.0])

    def panel(start, one, two):
        named = {"origin_mm": start, "fast": one, "slow": two}
        return {name: vector.tolist() for name, vector in named.items()}

    shift, tilt = (0.5, -1.5, 4.0), (5.0, -7.0, 11.0)
    turn = Rotation.identity()
    for axis, angle in zip((fast, slow, normal), tilt, strict=True):
        turn = Rotation.from_rotvec(axis * np.deg2rad(angle)) * turn
    middle = origin + half[0] * fast + half[1] * slow
    middle = middle + shift[0] * fast + shift[1] * slow + shift[2] * normal
    one, two = turn.apply(fast), turn.apply(slow)
    target = panels_of(panel(middle - half[0] * one - half[1] * two, one, two))
    start = panels_of(panel(origin, fast, slow))
    given = Parameters(panel_shift_mm=number(*shift), panel_tilt_deg=number(*tilt))
    found, expected = (
        render_tensor(start, given, panel=1).numpy(),
        render_tensor(target, panel=1).numpy(),
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * expected.max())
    before = render_tensor(start, panel=1).numpy()
    assert np.abs(found - before).max() > 1e-2 * expected.max()


@pytest.mark.parametrize("rule", ["sum", "count", "none"])
def test_weights_are_normalised_by_their_sum_except_under_none(rule):
    experiment = make_experiment(
        wavelengths=(1.0, 1.1), weights=(1.0, 0.5), rule=rule, pixels=(5, 6)
    )
    weights = number(3.0, 1.0)
    image = render_tensor(experiment, Parameters(source_weights=weights))
    scaled = render_tensor(experiment, Parameters(source_weights=7.0 * weights))
    factor = 7.0 if rule == "none" else 1.0
    torch.testing.assert_close(scaled, factor * image, rtol=1e-13, atol=0.0)


def test_real_cells_lie_between_whole_ones():
    experiment = make_experiment(cells=(4, 4, 4), pixels=(5, 6))
    totals = [
        float(render_tensor(experiment, Parameters(cells=number(n, n, n))).sum())
        for n in (0.5, 1.0, 1.5, 2.0, 2.0 + 1e-9)
    ]
    assert totals[0] < totals[1]
    assert totals[3] == pytest.approx(totals[4], rel=1e-7)


def test_the_package_offers_it():
    assert db.render_tensor is render_tensor
    spec = parse_spec(spec_with())
    torch.testing.assert_close(db.render_tensor(spec), render_tensor(built()))


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        (Parameters(cell=number(1.0, 2.0)), "parameters.cell"),
        (Parameters(cell=number(30.0, 30.0, 30.0, 40.0, 40.0, 100.0)), "parameters.cell"),
        (Parameters(cells=number(1.0, 0.0, 2.0)), "parameters.cells"),
        (Parameters(scale=number(0.0)), "parameters.scale"),
        (Parameters(distance_mm=number(float("nan"))), "parameters.distance_mm"),
        (Parameters(wavelength_angstrom=number(-1.0)), "parameters.wavelength_angstrom"),
        (Parameters(source_weights=number(1.0, 2.0)), "parameters.source_weights"),
        (Parameters(source_weights=number(-1.0).reshape(1)), "parameters.source_weights"),
        (Parameters(source_weights=number(0.0).reshape(1)), "parameters.source_weights"),
        (Parameters(mosaic_spread_deg=number(1.0)), "parameters.mosaic_spread_deg"),
        (Parameters(scale=2.0), "parameters.scale"),
        (Parameters(misset_deg=[0.0, 0.0, 0.0]), "parameters.misset_deg"),
        (Parameters(misset_deg=np.zeros(3)), "parameters.misset_deg"),
        (Parameters(misset_deg=number(0.0, 0.0, 0.0) * 1j), "parameters.misset_deg"),
        ({"scale": number(2.0)}, "parameters"),
    ],
)
def test_an_unusable_parameter_is_named(parameters, field):
    with pytest.raises(InputError) as caught:
        render_tensor(make_experiment(pixels=(2, 3)), parameters)
    assert caught.value.field == field


def test_a_beam_along_the_panel_has_no_centre():
    experiment = make_experiment(tilt=(0.0, np.pi / 2.0, 0.0), pixels=(2, 3))
    assert parameters_of(experiment).beam_centre_mm is None
    with pytest.raises(InputError, match="beam runs along"):
        render_tensor(experiment, Parameters(beam_centre_mm=number(1.0, 2.0)))


def test_the_programs_own_physics_is_refused():
    experiment = make_experiment(physics="nanobragg", pixels=(2, 3))
    with pytest.raises(InputError, match="physics: exact"):
        render_tensor(experiment)


@pytest.mark.parametrize("panel", [-1, 1])
def test_a_panel_that_the_detector_lacks_is_refused(panel: int):
    with pytest.raises(InputError, match="none of the detector, which has 1") as caught:
        render_tensor(make_experiment(pixels=(2, 3)), panel=panel)
    assert caught.value.field == "panel"


def test_an_experiment_is_what_the_siblings_take_or_refused_in_their_words(tmp_path):
    path = tmp_path / "still.yaml"
    path.write_text(
        "crystal: {cell: [20, 25, 30, 90, 90, 90], block_cells: [3, 3, 3]}\n"
        "structure_factors: {default_f_electrons: 10}\n"
        "beam: {wavelength_angstrom: 1.0}\n"
        "detector: {distance_mm: 40, pixel_size_mm: 2, pixels_fast: 7, pixels_slow: 5}\n"
        "sampling: {oversample: 1}\n"
        "compute: {precision: float64}\n"
    )
    expected = db.render(path).images.values
    for given_as in (path, str(path), db.load_spec(path)):
        assert_same(db.render_tensor(given_as), expected)
    for wrong in ({}, 3, None):
        with pytest.raises(TypeError, match=f"not {type(wrong).__name__}$"):
            db.render(wrong)
        with pytest.raises(TypeError, match=f"not {type(wrong).__name__}$"):
            db.render_tensor(wrong)
    with pytest.raises(InputError, match="not found"):
        db.render_tensor(tmp_path / "none.yaml")
