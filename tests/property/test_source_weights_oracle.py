"""The weighted image is the sum of its sources rendered one by one, each with its share of Φ."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.kernel.options import KernelOptions, cuda_available
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.spec.load import parse_spec
from tests.tolerances import KERNEL_TWIN_FLOAT64_RELATIVE, WEIGHTED_SOURCES_RELATIVE
from tools.evidence.weighted import (
    SourceTable,
    largest_relative,
    lit_alone,
    long_table,
    render_image,
    single_source_sum,
    small_scene,
    table_of,
    with_sources,
)

PLACES = pytest.mark.parametrize(
    "place",
    ["native", "model", pytest.param("cuda", marks=pytest.mark.gpu)],
)
PLAIN = {"sampling": {"oversample": 1}, "sensor": {}}


def options(place: str, precision: str = "float64") -> KernelOptions:
    if place == "cuda":
        if not cuda_available():
            pytest.skip("no CUDA device")
        return KernelOptions(precision, "model", "cuda", 1)  # type: ignore[arg-type]
    if place == "native" and not native.available():
        pytest.skip(native.reason())
    return KernelOptions(precision, place, "cpu", 1)  # type: ignore[arg-type]


def check_oracle(scene: Experiment, table: SourceTable, how: KernelOptions) -> None:
    found = render_image(with_sources(scene, table), how)
    assert found.min() > 0.0
    expected = single_source_sum(scene, table, how)
    assert largest_relative(found, expected) <= WEIGHTED_SOURCES_RELATIVE


@pytest.mark.spec("SRC-18")
@PLACES
@pytest.mark.parametrize(
    "weights",
    [(1.0, 0.2), (1e-6, 1.0, 1e6), (3.7,), (0.0, 2.0, 0.0, 1.0), (1e-300, 2e-300), (1e300, 9e299)],
    ids=str,
)
def test_image_is_the_sum_of_single_sources(place, weights):
    check_oracle(small_scene(), table_of(weights), options(place))


@pytest.mark.spec("SRC-18")
@PLACES
def test_many_random_channels_are_the_sum_of_single_sources(place):
    count = 300 if place == "model" else 2_000  # which take the model five seconds
    check_oracle(small_scene(changes=PLAIN), long_table(count), options(place))


@pytest.mark.spec("SRC-18")
def test_the_oracle_holds_from_the_specification_to_the_stored_pixel():
    lines, weights = [0.97, 1.0, 1.03], [0.5, 0.0, 2.0]
    plain = {
        "crystal": {"cell": [40, 52, 61, 80, 95, 105], "block_cells": [12, 10, 9]},
        "structure_factors": {"default_f_electrons": 100},
        "detector": {"pixels_fast": 13, "pixels_slow": 11, "pixel_size_mm": 6, "distance_mm": 60},
        "sampling": {"oversample": 1},
        "background": {"water_um": 0.02},
    }
    how = options("model")

    def rendered(spectrum: dict[str, object], fluence: float) -> np.ndarray:
        beam = {
            "spectrum": spectrum,
            "fluence_photons_per_m2": fluence,
            "wavelength_angstrom": 1.0,
            "polarization": {"kahn_factor": 1.0},
        }
        return render_image(build_experiment(parse_spec({**plain, "beam": beam})), how)

    found = rendered({"wavelengths_angstrom": lines, "weights": weights}, 1e24)
    expected = sum(
        rendered({"wavelengths_angstrom": [line]}, 1e24 * weight / math.fsum(weights))
        for line, weight in zip(lines, weights, strict=True)
        if weight > 0.0
    )
    assert largest_relative(found, expected) <= WEIGHTED_SOURCES_RELATIVE


@pytest.mark.spec("SRC-19")
@PLACES
def test_sources_beyond_the_resolution_cut_stay_in_the_divisor(place):
    how = options(place)
    # The corners lie at 2.1 Å for the first source and at 0.66 Å for the second.
    table = SourceTable(
        np.array([[-1.0, 0.0, 0.0]] * 2), np.array([1.6, 0.5]), np.array([1.0, 3.0])
    )
    scene = small_scene(changes={**PLAIN, "background": {}})
    uncut = render_image(with_sources(scene, table.take(np.array([0]))), how)
    sampling = dataclasses.replace(scene.sampling, dmin=0.95)
    cut = dataclasses.replace(scene, sampling=sampling)
    alone = list(lit_alone(cut, table, how))
    skipped = (alone[1] == 0.0) & (alone[0] > 0.0)
    assert skipped.sum() > 5
    both = render_image(with_sources(cut, table), how)
    assert largest_relative(both[skipped], 0.25 * uncut[skipped]) <= WEIGHTED_SOURCES_RELATIVE


@pytest.mark.spec("SRC-19")
def test_a_pixel_that_every_source_skips_is_zero_and_the_frame_is_whole():
    scene = small_scene(changes={**PLAIN, "background": {}})
    sampling = dataclasses.replace(scene.sampling, dmin=50.0)
    lit = with_sources(dataclasses.replace(scene, sampling=sampling), table_of((1.0, 2.0)))
    assert (render_image(lit, options("model")) == 0.0).any()


@pytest.mark.spec("SRC-20")
@PLACES
def test_two_directions_under_a_polarised_beam_differ_from_the_first_sources_polarisation(place):
    how = options(place)
    table = SourceTable(
        np.array([[-1.0, 0.0, 0.0], [-math.cos(0.1), 0.8 * math.sin(0.1), 0.6 * math.sin(0.1)]]),
        np.ones(2),
        np.array([1.0, 1.0]),
    )
    turned = table.take(np.array([1, 0]))
    # One sub-pixel, no layers and no water: nothing but the polarisation differs.
    changes = {**PLAIN, "background": {}}
    own, first = small_scene("exact", changes), small_scene("nanobragg", changes)
    own = dataclasses.replace(own, crystal=first.crystal)
    exact = render_image(with_sources(own, table), how)
    program = render_image(with_sources(first, table), how)
    assert largest_relative(exact, program) > 1e-2
    # The first source's depends on the order of the list, each source's own does not.
    assert largest_relative(render_image(with_sources(first, turned), how), program) > 1e-2
    again = render_image(with_sources(own, turned), how)
    assert largest_relative(again, exact) <= WEIGHTED_SOURCES_RELATIVE


@pytest.mark.spec("SRC-20")
def test_directions_along_one_line_or_no_polarisation_make_no_difference():
    how = options("model")
    changes = {**PLAIN, "background": {}}
    own, first = small_scene("exact", changes), small_scene("nanobragg", changes)
    own = dataclasses.replace(own, crystal=first.crystal)
    one_line = SourceTable(
        np.array([[-1.0, 0.0, 0.0]] * 3), np.array([0.97, 1.0, 1.03]), np.array([1.0, 0.2, 5.0])
    )
    found = render_image(with_sources(own, one_line), how)
    expected = render_image(with_sources(first, one_line), how)
    assert largest_relative(found, expected) <= WEIGHTED_SOURCES_RELATIVE


@pytest.mark.spec("SRC-21")
@PLACES
def test_the_water_background_does_not_depend_on_the_number_of_sources(place):
    how = options(place)
    dark_crystal = {"structure_factors": {"default_f_electrons": 0.0}, "beam": {
        "wavelength_angstrom": 1.0, "fluence_photons_per_m2": 1e24,
        "polarization": {"enabled": False}}}  # fmt: skip
    scene = small_scene(changes=dark_crystal)
    one = table_of((2.0,))
    many = table_of((0.1, 7.0, 3.0, 1e-3, 0.5))
    alone = render_image(with_sources(scene, one), how)
    assert alone.min() > 0.0
    found = render_image(with_sources(scene, many), how)
    assert largest_relative(found, alone) <= WEIGHTED_SOURCES_RELATIVE


@pytest.mark.spec("SRC-21")
@PLACES
@pytest.mark.parametrize("rule", ["sum", "none"])
def test_the_programs_background_knows_no_number_of_sources_but_under_count(place, rule):
    how = options(place)
    dark_crystal = {"structure_factors": {"default_f_electrons": 0.0}, "beam": {
        "wavelength_angstrom": 1.0, "fluence_photons_per_m2": 1e24,
        "polarization": {"enabled": False}}}  # fmt: skip
    scene = small_scene("nanobragg", dark_crystal)
    table = table_of((0.1, 7.0, 3.0, 1e-3, 0.5))
    alone = render_image(with_sources(scene, table_of((1.0,))), how)
    assert alone.min() > 0.0
    factor = 1.0 if rule == "sum" else math.fsum(table.weight.tolist())
    found = render_image(with_sources(scene, table, rule), how)
    assert largest_relative(found, factor * alone) <= WEIGHTED_SOURCES_RELATIVE
    counted = render_image(with_sources(scene, table, "count"), how)
    assert largest_relative(counted, alone / 5.0) <= WEIGHTED_SOURCES_RELATIVE


@pytest.mark.spec("SRC-22")
@pytest.mark.gpu
def test_a_gpu_renders_weighted_sources_as_the_cpu_does():
    how = options("cuda")
    lit = with_sources(small_scene(), table_of((1e-6, 1.0, 1e6, 0.3)))
    found, expected = render_image(lit, how), render_image(lit, options("model"))
    assert largest_relative(found, expected) <= KERNEL_TWIN_FLOAT64_RELATIVE


@pytest.mark.spec("SRC-22")
def test_every_kernel_of_the_cpu_renders_weighted_sources_alike():
    lit = with_sources(small_scene(), table_of((1e-6, 1.0, 1e6, 0.3)))
    found = render_image(lit, options("native"))
    assert largest_relative(found, render_image(lit, options("model"))) <= (
        KERNEL_TWIN_FLOAT64_RELATIVE
    )
