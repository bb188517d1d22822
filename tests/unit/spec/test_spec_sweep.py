"""Sweeps: axes, zips and grids, coordinates, and what may not be swept."""

from __future__ import annotations

import contextlib
import math

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.spec.axis import AxisSpec, RandomOrientations
from distbragg.spec.canonical import to_plain
from distbragg.spec.load import parse_sweep
from distbragg.spec.paths import ends_at_group, field_paths, split_path, unit_of
from distbragg.spec.sweep import SweepSpec

BASE = {
    "crystal": {"cell": [40, 50, 60, 80, 90, 100], "block_cells": [5, 6, 7]},
    "beam": {"energy_ev": 9000},
}


def sweep(*axes, experiment=None) -> SweepSpec:
    return parse_sweep({"experiment": BASE if experiment is None else experiment, "axes": [*axes]})


def refused(*axes, **kwargs) -> str:
    with pytest.raises(InputError) as caught:
        sweep(*axes, **kwargs)
    return str(caught.value)


MOSAIC = {"name": "mosaic", "path": "crystal.mosaic.spread_deg", "values": [0.0, 0.1, 0.5]}
ENERGY = {
    "name": "energy",
    "path": "beam.energy_ev",
    "linspace": {"start": 8000, "stop": 9000, "count": 5},
}


def test_dims_of_different_names_form_a_grid_in_order_of_appearance():
    grid = sweep(MOSAIC, ENERGY)
    assert grid.dims == (("mosaic", 3), ("energy", 5))
    assert grid.frames == 15
    seen = [tuple(grid.frame_values(i).values()) for i in range(15)]
    expected = [(m, e) for m in (0.0, 0.1, 0.5) for e in np.linspace(8000, 9000, 5)]
    assert seen == expected


def test_axes_of_one_dim_advance_together():
    zipped = sweep(
        {**MOSAIC, "dim": "shot"},
        {"name": "a", "path": "crystal.cell.0", "dim": "shot", "values": [40, 41, 42]},
        ENERGY,
    )
    assert zipped.dims == (("shot", 3), ("energy", 5))
    values = zipped.frame_values(7)
    assert (values["crystal.mosaic.spread_deg"], values["crystal.cell.0"]) == (0.1, 41)
    spec = zipped.frame_spec(7)
    assert spec.crystal.cell == (41.0, 50.0, 60.0, 80.0, 90.0, 100.0)
    assert spec.beam.energy_ev == 8500.0


def test_zipped_values_are_judged_together():
    lines = {"name": "e", "path": "beam.spectrum.energies_ev", "dim": "s"}
    weights = {"name": "w", "path": "beam.spectrum.weights", "dim": "s"}
    base = {"beam": {"spectrum": {"energies_ev": [1, 2], "weights": [1, 1]}}}
    both = sweep(
        {**lines, "values": [[1, 2, 3], [4, 5, 6]]},
        {**weights, "values": [[1, 1, 1], [0, 0, 1]]},
        experiment=base,
    )
    assert both.frame_spec(1).beam.spectrum.weights == (0.0, 0.0, 1.0)
    assert "no weight is positive (sweep over s)" in refused(
        {**lines, "values": [[1, 2, 3], [4, 5, 6]]},
        {**weights, "values": [[1, 1, 1], [0, 0, 0]]},
        experiment=base,
    )


def test_frames_keep_what_is_not_swept_and_the_base_is_untouched():
    grid = sweep(MOSAIC)
    spec = grid.frame_spec(2)
    assert spec.crystal.block_cells == (5, 6, 7)
    assert spec.crystal.mosaic.spread_deg == 0.5
    assert grid.experiment.crystal.mosaic.spread_deg is None
    plain = to_plain(spec)
    assert plain["crystal"]["mosaic"]["spread_deg"] == 0.5


def test_a_field_of_a_group_that_was_not_given_can_be_swept():
    grid = sweep({"name": "f", "path": "beam.spectrum.file", "values": ["a.csv", "b.csv"]})
    assert grid.frame_spec(1).beam.spectrum.file == "b.csv"


def test_arange_stops_before_its_end_whatever_the_rounding():
    axis = {"name": "x", "path": "detector.twotheta_deg"}
    values = sweep({**axis, "arange": {"start": 1, "stop": 2, "step": 0.1}}).coordinates()[0].values
    assert len(values) == 10
    assert values[-1] < 1.95
    down = sweep({**axis, "arange": {"start": 0, "stop": -1, "step": -0.25}})
    assert down.coordinates()[0].values.tolist() == [0, -0.25, -0.5, -0.75]


@pytest.mark.spec("SWP-7")
def test_even_values_are_the_numbers_that_people_write():
    axis = {"name": "x", "path": "detector.twotheta_deg"}

    def values(**kind):
        return sweep({**axis, **kind}).coordinates()[0].values

    tenths = [f"{i // 10}.{i % 10}" for i in range(3600)]
    assert values(arange={"start": 0, "stop": 360, "step": 0.1}).tolist() == [*map(float, tenths)]
    assert values(linspace={"start": 0, "stop": 359.9, "count": 3600}).tolist() == [
        *map(float, tenths)
    ]
    down = values(arange={"start": 0.3, "stop": -0.05, "step": -0.1})
    assert down.tolist() == [0.3, 0.2, 0.1, 0.0]
    assert values(linspace={"start": 7.7, "stop": 9.9, "count": 1}).tolist() == [7.7]
    thirds = values(linspace={"start": 0, "stop": 1, "count": 4})
    assert thirds.tolist() == [0, 1 / 3, 2 / 3, 1]


@pytest.mark.spec("SWP-7")
@pytest.mark.parametrize(("start", "step"), [(1e99, 1e98), (1e-30, 1e-31), (math.pi, math.e)])
def test_decimals_too_long_for_that_are_added_up(start, step):
    stop = start + 2.5 * step
    axis = {"name": "x", "path": "beam.fluence_photons_per_m2"}
    found = sweep({**axis, "arange": {"start": start, "stop": stop, "step": step}}).coordinates()
    assert found[0].values == pytest.approx([start, start + step, start + 2 * step], rel=1e-15)


def test_random_orientations_are_unit_repeatable_and_uniform():
    axis = {"name": "orientation", "random_orientations": {"count": 4000, "seed": 3}}
    first, second = (sweep(axis).coordinates()[1].values for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, rtol=1e-12)
    # Uniform on SO(3): q qT averages to I/4; 4 standard errors of a squared component is 0.015.
    np.testing.assert_allclose(first.T @ first / 4000, np.eye(4) / 4, atol=0.02)
    other = sweep({**axis, "random_orientations": {"count": 4000, "seed": 4}})
    assert not np.array_equal(first, other.coordinates()[1].values)
    assert sweep(axis).frame_spec(17).crystal.quaternion_xyzw == tuple(first[17])


@pytest.mark.spec("STK-2")
def test_coordinates_carry_names_dims_units_and_components():
    grid = sweep(
        {"name": "shot", "random_orientations": {"count": 2}},
        {"name": "a", "path": "crystal.cell.0", "dim": "shot", "values": [40, 41]},
        {"name": "shape", "path": "crystal.shape", "values": ["square", "gauss", "round"]},
        ENERGY,
    )
    found = [
        (c.name, c.dim, c.path, c.unit, c.values.shape, c.component_dim) for c in grid.coordinates()
    ]
    quaternion = "crystal.quaternion_xyzw"
    assert found == [
        ("shot", "shot", "", "1", (2,), ""),
        ("shot_quaternion_xyzw", "shot", quaternion, "1", (2, 4), "shot_component"),
        ("a", "shot", "crystal.cell.0", "angstrom", (2,), ""),
        ("shape", "shape", "crystal.shape", "", (3,), ""),
        ("energy", "energy", "beam.energy_ev", "eV", (5,), ""),
    ]


def test_whole_numbers_stay_whole_and_text_stays_text():
    grid = sweep(
        {"name": "n", "path": "sampling.oversample", "values": ["auto", 2]},
        {"name": "d", "path": "crystal.mosaic.domains", "values": [1, 10]},
        {"name": "p", "path": "beam.polarization.enabled", "values": [True, False]},
    )
    coordinates = {c.name: c.values for c in grid.coordinates()}
    assert coordinates["n"].tolist() == ["auto", "2"]
    assert coordinates["d"].dtype == np.int64
    assert coordinates["p"].dtype == np.bool_
    assert grid.frame_spec(7).sampling.oversample == 2
    assert grid.frame_spec(7).beam.polarization.enabled is False


def test_a_huge_grid_costs_only_its_axes():
    thousand = {"start": 0, "stop": 1, "count": 1000}
    paths = ("detector.twotheta_deg", "goniometer.phi_deg", "detector.rotation_deg.1")
    grid = sweep(*({"name": f"x{i}", "path": p, "linspace": thousand} for i, p in enumerate(paths)))
    assert grid.frames == 10**9
    assert list(grid.frame_values(10**9 - 1).values()) == [1.0, 1.0, 1.0]
    assert grid.frame_spec(123_456_789).goniometer.phi_deg == pytest.approx(456 / 999)


def test_a_frame_that_does_not_exist_is_refused():
    for index in (-1, 3):
        with pytest.raises(InputError, match="has 3"):
            sweep(MOSAIC).frame_spec(index)


def test_a_sweep_without_axes_is_one_frame():
    single = sweep()
    assert (single.frames, single.dims, single.coordinates()) == (1, (), ())
    assert single.frame_spec(0) == single.experiment


def test_a_sweep_reads_back_from_its_plain_form():
    grid = sweep(MOSAIC, ENERGY, {"name": "o", "random_orientations": {"count": 3, "seed": 9}})
    assert parse_sweep(to_plain(grid)) == grid
    assert SweepSpec.model_validate(to_plain(grid)) == grid


def test_a_sweep_can_be_made_in_python():
    axis = AxisSpec(name="x", path="detector.twotheta_deg", values=(1, 2.5))
    assert SweepSpec(axes=(axis,)).frame_spec(1).detector.twotheta_deg == 2.5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"path": "crystal.mosaic.sprad_deg"}, "did you mean crystal.mosaic.spread_deg?"),
        ({"path": "crystal.mosaic"}, "group of fields"),
        ({"path": "crystal"}, "group of fields"),
        ({"path": "compute.precision", "values": ["mixed"]}, "cannot be swept"),
        ({"path": "output.dtype", "values": ["float32"]}, "cannot be swept"),
        ({"path": "detector.pixels_fast", "values": [3]}, "one shape"),
        ({"path": "detector.size_slow_mm", "values": [3]}, "one shape"),
        ({"path": "detector.pixel_size_mm", "values": [3]}, "needs the pixel counts"),
        ({"path": "header_files", "values": ["a"]}, "cannot be swept"),
        ({"path": "crystal.block_size_mm.0"}, "give the whole list"),
        ({"name": "slow"}, "name of the stack"),
        ({"dim": "panel"}, "name of the stack"),
        ({"name": "2x"}, "not an identifier"),
        ({"name": ""}, "not an identifier"),
        ({"values": []}, "no values"),
        ({"values": [0.1, -3]}, "greater than or equal to 0, got -3"),
        ({"values": [[0.1, None]]}, "cannot be NoneType"),
        ({"values": [0.1, [1, 2]]}, "different shapes"),
        ({"values": [0.1, float("nan")]}, "NaN"),
        ({"values": [10**30]}, "64 bits"),
        ({"values": "abc"}, "needs a list"),
        ({"values": [{"a": 1}]}, "cannot be dict"),
        ({"linspace": {"start": 0, "stop": 1, "count": 2}}, "exactly one of"),
        ({"values": None}, "found none"),
        ({"values": None, "linspace": {"start": 0, "stop": 1, "count": 0}}, "linspace.count"),
        ({"values": None, "arange": {"start": 0, "stop": 1, "step": 0}}, "must not be 0"),
        ({"values": None, "arange": {"start": 0, "stop": 1, "step": 1e-9}}, "more than 1000000"),
        ({"values": None, "arange": {"start": 1, "stop": 0, "step": 1}}, "no values"),
        ({"values": None, "random_orientations": {"count": 2}}, "random orientations set"),
        ({"vals": [1]}, "did you mean values?"),
    ],
)
def test_a_bad_axis_is_refused(change, words):
    assert words in refused({**MOSAIC, **change})


def test_axes_that_collide_are_refused():
    assert "used twice" in refused(MOSAIC, {**ENERGY, "name": "mosaic"})
    assert "set by two axes" in refused(MOSAIC, {**MOSAIC, "name": "again"})
    cell = {"name": "a", "path": "crystal.cell.0", "values": [41]}
    whole = {"name": "c", "path": "crystal.cell", "values": [[41, 42, 43, 90, 90, 90]]}
    assert "set by two axes" in refused(cell, whole)
    assert "equal lengths" in refused(MOSAIC, {**ENERGY, "dim": "mosaic"})
    assert "dimension of another axis" in refused(
        {**MOSAIC, "name": "energy", "dim": "shot"}, {**ENERGY, "name": "e", "dim": "energy"}
    )


def test_names_that_the_stack_makes_itself_are_refused():
    vectors = {"name": "m", "path": "crystal.misset_deg", "values": [[1, 2, 3], [4, 5, 6]]}
    for name in ("m_component", "m_misset_deg"):
        assert "needed for the vectors of 'm'" in refused(vectors, {**ENERGY, "name": name})
    assert "a name of the stack itself" in refused({**MOSAIC, "name": "rendered"})


def test_values_that_contradict_the_base_are_refused_at_load():
    wavelength = {"name": "w", "path": "beam.wavelength_angstrom", "values": [1.0]}
    assert "given together with wavelength_angstrom" in refused(wavelength)


def test_the_pixel_size_can_be_swept_where_the_counts_are_fixed():
    base = {"detector": {"pixels_fast": 5, "pixels_slow": 7}}
    axis = {"name": "p", "path": "detector.pixel_size_mm", "values": [0.1, 0.2]}
    assert sweep(axis, experiment=base).frame_spec(1).detector.pixel_size_mm == 0.2


@pytest.mark.spec("UNI-1")
@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("crystal.mosaic.spread_deg", "degree"),
        ("detector.rotation_deg.2", "degree"),
        ("detector.distance_mm", "mm"),
        ("beam.wavelength_angstrom", "angstrom"),
        ("detector.sensor.thickness_um", "um"),
        ("beam.divergence.vertical.range_mrad", "mrad"),
        ("beam.dispersion.range_percent", "percent"),
        ("beam.spectrum.energies_ev", "eV"),
        ("beam.exposure_s", "s"),
        ("beam.flux_photons_per_s", "photons s-1"),
        ("beam.fluence_photons_per_m2", "photons m-2"),
        ("detector.origin_mm", "mm"),
        ("detector.orgx_px", "pixel"),
        ("crystal.cell.2", "angstrom"),
        ("crystal.cell.3", "degree"),
        ("crystal.block_cells.0", "1"),
        ("background.density_g_per_cm3", "g cm-3"),
        ("structure_factors.solvent_b_angstrom2", "angstrom2"),
        ("crystal.fudge", "1"),
    ],
)
def test_units_follow_the_field_name(path, unit):
    assert unit_of(path) == unit


def test_every_leaf_is_either_sweepable_or_refused_with_a_reason():
    for path in (path for path in field_paths() if not ends_at_group(split_path(path))):
        with contextlib.suppress(InputError):
            assert sweep({"name": "x", "path": path, "values": [1]}).frames == 1


def test_random_orientations_are_those_of_scipy():
    from scipy.spatial.transform import Rotation

    ours = RandomOrientations(count=2000, seed=5).values().array
    theirs = Rotation.random(2000, np.random.default_rng(5)).as_quat()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2 * np.finfo(float).eps)


def test_a_field_of_one_panel_can_be_swept():
    panel = {"origin_mm": [50, 0, 0], "fast": [0, 0, 1], "slow": [0, -1, 0]}
    values = [[50, 0, 0], [60, 0, 0]]
    base = {"detector": {"panels": [panel, panel]}}
    axes = [{"name": "place", "path": "detector.panels.1.origin_mm", "values": values}]
    sweep = parse_sweep({"experiment": base, "axes": axes})
    assert sweep.frame_spec(1).detector.panels[1].origin_mm == (60.0, 0.0, 0.0)
    assert sweep.frame_spec(1).detector.panels[0].origin_mm == (50.0, 0.0, 0.0)
    for path in ("detector.panels.1", "detector.panels.1.sensor"):
        axes[0]["path"] = path
        with pytest.raises(InputError, match="group of fields"):
            parse_sweep({"experiment": base, "axes": axes})


@pytest.mark.spec("SWP-6")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Images", "looks like 'images'"),
        ("FAST", "looks like 'fast'"),
        ("f\u0430st", "looks like 'fast'"),
        ("\uff46ast", "looks like 'fast'"),
        ("Panel_Origin", "looks like 'panel_origin'"),
    ],
)
def test_names_that_look_like_those_of_the_stack_are_refused(name, words):
    assert words in refused({**MOSAIC, "name": name})
    assert words in refused({**MOSAIC, "dim": name})


@pytest.mark.spec("SWP-6")
@pytest.mark.parametrize("other", ["PHI", "\u0440hi"])
def test_names_that_differ_by_case_or_look_alike_letters_are_refused(other):
    first = {**MOSAIC, "name": "phi"}
    second = {"name": other, "path": "detector.distance_mm", "values": [90, 100]}
    assert "case or look-alike letters" in refused(first, second)
    assert "case or look-alike letters" in refused(
        {**first, "dim": "shot"}, {**second, "dim": "Shot"}
    )


def test_names_of_other_scripts_are_names():
    assert sweep({**MOSAIC, "name": "\u03bb"}).dims[0][0] == "\u03bb"


def test_a_refused_frame_is_told_by_its_field_and_place() -> None:
    axis = {"name": "d", "path": "detector.distance_mm", "values": [100.0, 110.0]}
    sweep = SweepSpec.model_validate({"experiment": {}, "axes": [axis]})
    with pytest.raises(InputError) as caught:
        sweep._spec_with({"crystal.quaternion_xyzw": [0.0, 0.0, 0.0, 0.0]}, "frame 1")
    assert caught.value.field == "crystal.quaternion_xyzw"
    assert "(sweep over frame 1)" in str(caught.value)


def test_frames_share_the_sections_that_no_axis_touches() -> None:
    axis = {"name": "d", "path": "detector.distance_mm", "values": [100.0, 110.0]}
    sweep = SweepSpec.model_validate({"experiment": {}, "axes": [axis]})
    first, second = sweep.frame_spec(0), sweep.frame_spec(1)
    assert first.beam is second.beam is sweep.experiment.beam
    assert first.detector != second.detector
