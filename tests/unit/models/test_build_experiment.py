"""Crystal, sampling, background and identity of resolved experiments."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distbragg.constants import AVOGADRO_PER_MOL
from distbragg.errors import InputError
from distbragg.models.build import build_experiment, build_reflections, reflections_key
from distbragg.models.build_reflections import reflections_from_list
from distbragg.models.experiment import physics_hash
from distbragg.spec.experiment import ExperimentSpec
from tests.beams import beam_of

CELL = (25, 31, 35, 80, 85, 75)


def spec(physics="exact", **parts):
    base = {
        "crystal": {"cell": CELL, "block_cells": (6, 6, 6)},
        "structure_factors": {"default_f_electrons": 10},
        "detector": {"pixels_fast": 9, "pixels_slow": 7},
    }
    beam = beam_of(parts.pop("beam", None))
    return ExperimentSpec(physics=physics, beam=beam, **{**base, **parts})


def build(physics="exact", frame=0, **parts):
    return build_experiment(spec(physics, **parts), frame=frame)


@pytest.mark.spec("CRY-1")
def test_exact_cells_have_the_given_lengths_angles_and_true_duals():
    crystal = build().crystal
    np.testing.assert_allclose(crystal.cell[:3], CELL[:3], rtol=1e-14)
    np.testing.assert_allclose(np.degrees(crystal.cell[3:]), CELL[3:], rtol=1e-14)
    np.testing.assert_allclose(crystal.real_space @ crystal.reciprocal.T, np.eye(3), atol=1e-14)
    assert crystal.reciprocal[0, 1] == pytest.approx(0.0, abs=1e-18)


@pytest.mark.spec("CRY-1")
def test_nanobragg_cells_have_the_angles_that_the_program_prints():
    crystal = build("nanobragg").crystal
    np.testing.assert_allclose(
        np.degrees(crystal.cell[3:]), [79.9723, 84.9859, 74.9966], rtol=0, atol=5e-5
    )


@pytest.mark.spec("CRY-4")
def test_oriented_vectors_are_those_that_the_program_prints():
    crystal = build(
        "nanobragg", crystal={"cell": CELL, "block_cells": (6, 6, 6), "misset_deg": (10, 20, 30)}
    ).crystal
    printed = [
        [17.73117902, 16.83339729, -5.21938947],
        [-11.41801353, 27.03884709, 9.97645804],
        [13.24828072, 0.63099089, 32.38958024],
    ]
    np.testing.assert_allclose(crystal.real_space, printed, rtol=0, atol=6e-9)


@pytest.mark.spec("CRY-2")
@pytest.mark.parametrize("angles", [(60, 60, 130), (120, 120, 120), (10, 60, 80)])
def test_cells_that_cannot_be_are_refused(angles):
    from distbragg.models.vectors import cell_parameters

    with pytest.raises(InputError, match=r"crystal\.cell"):
        cell_parameters((10, 10, 10, *angles))
    with pytest.raises(InputError, match=r"crystal\.cell"):
        cell_parameters((10, 0, 10, 90, 90, 90))


@pytest.mark.spec("CRY-3")
def test_a_matrix_is_freed_of_the_wavelength(tmp_path):
    path = tmp_path / "A.mat"
    path.write_text("0.02 0 0\n0 0.04 0\n0 0 0.05\n 0 0 0\n")
    crystal = build(crystal={"matrix_file": str(path)}, beam={"wavelength_angstrom": 2.0}).crystal
    np.testing.assert_allclose(crystal.cell[:3], [100, 50, 40], rtol=1e-14)
    both = build(
        crystal={"matrix_file": str(path), "cell": (101, 51, 41, 90, 90, 90)},
        beam={"wavelength_angstrom": 2.0},
    ).crystal
    np.testing.assert_allclose(both.cell[:3], [101, 51, 41], rtol=1e-14)


@pytest.mark.spec("CRY-3")
@pytest.mark.parametrize(
    ("matrix", "problem"),
    [
        ("0.02 0 0\n0 0.04 0\n0 0 -0.05", "left-handed"),
        ("0.02 0.02 0\n0 0 0\n0 0 0.05", "one plane"),
        ("0 0 0\n0 0.04 0\n0 0 0.05", "zero"),
    ],
)
def test_left_handed_and_degenerate_matrices_are_refused(tmp_path, matrix, problem):
    path = tmp_path / "A.mat"
    path.write_text(matrix)
    with pytest.raises(InputError, match=problem):
        build(crystal={"matrix_file": str(path)})


def test_a_crystal_without_a_cell_is_refused():
    with pytest.raises(InputError, match=r"crystal\.cell"):
        build(crystal={})


@pytest.mark.spec("CRY-6")
@pytest.mark.parametrize(
    ("physics", "misset", "first"),
    [("exact", (0, 0, 0), 12), ("exact", (10, 20, 30), 12),
     ("nanobragg", (0, 0, 0), 13), ("nanobragg", (10, 20, 30), 12)],
)  # fmt: skip
def test_sample_sizes_round_up_to_cells(physics, misset, first):
    # 300 Å hold 12 cells of 25 Å; the program's rounding noise makes them 13 when un-missetted.
    crystal = {"cell": CELL, "block_size_mm": (3e-5, 3e-5, 3e-5), "misset_deg": misset}
    np.testing.assert_array_equal(build(physics, crystal=crystal).crystal.cells, [first, 10, 9])


@pytest.mark.spec("CRY-6")
def test_the_beam_clips_the_second_and_third_size():
    crystal = {"cell": (100, 100, 100, 90, 90, 90), "block_size_mm": (1e-2, 1e-2, 1e-2)}
    made = build(crystal=crystal, beam={"size_mm": 1e-3})
    (note,) = [note.text for note in made.notes if "along c" in note.text]
    assert note == "clipping the sample along c (0.01 mm) to the beam (0.001 mm)"
    np.testing.assert_array_equal(made.crystal.cells, [1000, 100, 100])


@pytest.mark.spec("SAM-1")
@pytest.mark.parametrize(("cells", "expected"), [((6, 6, 6), 7), ((1, 1, 1), 2)])
def test_automatic_oversampling(cells, expected):
    sampling = build(
        crystal={"cell": CELL, "block_cells": cells},
        detector={"pixels_fast": 9, "pixels_slow": 7, "distance_mm": 10, "pixel_size_mm": 0.1},
    ).sampling
    assert sampling.oversample == expected
    assert sampling.per_sample_capture
    assert sampling.per_sample_polarization
    assert sampling.per_sample_solid_angle


def test_corrections_are_per_sample_under_nanobragg_only_when_asked():
    sampling = build("nanobragg", sampling={"per_sample_capture": True}).sampling
    assert sampling.per_sample_capture
    assert not sampling.per_sample_polarization
    assert not sampling.per_sample_solid_angle


@pytest.mark.spec("CRY-12")
def test_domains_are_drawn_anew_per_frame_only_when_asked():
    shared = {"cell": CELL, "mosaic": {"spread_deg": 1, "domains": 4}}
    own = {"cell": CELL, "mosaic": {"spread_deg": 1, "domains": 4, "per_frame": True}}
    first, second = (build(crystal=shared, frame=frame).crystal for frame in (0, 1))
    np.testing.assert_array_equal(first.mosaic_rotations, second.mosaic_rotations)
    first, second = (build(crystal=own, frame=frame).crystal for frame in (0, 1))
    assert not np.array_equal(first.mosaic_rotations[1:], second.mosaic_rotations[1:])
    np.testing.assert_array_equal(second.mosaic_rotations[0], np.eye(3))


@pytest.mark.spec("CRY-14")
def test_a_list_fills_its_box_and_the_last_of_a_repeated_index_counts():
    indices = np.array([[0, 0, 0], [2, -1, 1], [0, 0, 0]])
    table = reflections_from_list(indices, np.array([5.0, 6.0, 7.0]), 3.0)
    assert table.origin == (0, -1, 0)
    assert table.amplitude.shape == (3, 2, 2)
    assert table.amplitude[0, 1, 0] == 7.0
    assert table.amplitude[2, 0, 1] == 6.0
    assert (table.amplitude == 3.0).sum() == 10


@pytest.mark.spec("CRY-15")
@pytest.mark.parametrize(
    ("physics", "crystal", "asked", "expected"),
    [
        ("exact", {"block_cells": (6, 2, 6)}, "auto", True),
        ("exact", {"block_cells": (6, 3, 6)}, "auto", False),
        ("exact", {"block_size_mm": (1e-4, 1e-4, 1e-4)}, "auto", False),
        ("nanobragg", {"block_size_mm": (1e-4, 1e-4, 1e-4)}, "auto", True),
        ("exact", {"block_cells": (6, 6, 6)}, True, True),
        ("exact", {"block_cells": (1, 1, 1)}, False, False),
    ],
)
def test_when_structure_factors_are_interpolated(tmp_path, physics, crystal, asked, expected):
    path = tmp_path / "a.hkl"
    path.write_text("0 0 1 10\n")
    factors = {"file": str(path), "interpolate": asked}
    experiment = build(physics, crystal={"cell": CELL, **crystal}, structure_factors=factors)
    assert experiment.reflections.interpolate is expected


def test_without_a_table_nothing_is_interpolated():
    experiment = build(structure_factors={"default_f_electrons": 10, "interpolate": True})
    assert not experiment.reflections.interpolate
    assert experiment.reflections.amplitude.shape == (0, 0, 0)


@pytest.mark.spec("SCL-7")
def test_water_is_a_table_of_one_entry():
    background = build(background={"water_um": 50}).background
    assert background.molecules == pytest.approx(50e-6**3 * 1e6 * AVOGADRO_PER_MOL / 18, rel=1e-14)
    np.testing.assert_array_equal(background.amplitude, [2.57])


@pytest.mark.spec("SCL-8")
def test_a_background_table_counts_the_molecules_in_the_beam(tmp_path):
    path = tmp_path / "a.stol"
    path.write_text("0 14\n0.5 9\n2.0 1\n")
    background = {
        "stol_file": str(path),
        "stol_scale": 0.25,
        "thickness_um": 1000,
        "density_g_per_cm3": 1.2e-3,
        "molar_mass_g_per_mol": 28,
    }
    made = build(background=background, beam={"size_mm": 0.2}).background
    expected = 0.2e-3**2 * 1e-3 * 1.2e-3 * 1e6 / 28 * AVOGADRO_PER_MOL
    assert made.molecules == pytest.approx(expected, rel=1e-13)
    np.testing.assert_array_equal(made.stol, [0, 0.125, 0.5])
    ignored = build("nanobragg", background=background)
    assert ignored.background.molecules == 0.0
    assert "background.stol_file" in {note.place for note in ignored.notes}
    with pytest.raises(InputError, match=r"background\.thickness_um"):
        build(background={"stol_file": str(path)})


@pytest.mark.spec("ENG-9")
def test_the_hash_sees_every_number_and_no_compute_setting():
    base = physics_hash(build())
    assert physics_hash(build()) == base
    assert physics_hash(build(compute={"kernel": "model", "tile": (3, 3)})) == base
    changes = [
        {"detector": {"pixels_fast": 9, "pixels_slow": 7, "distance_mm": 100.001}},
        {"detector": {"pixels_fast": 9, "pixels_slow": 7, "roi": (0, 8, 0, 5)}},
        {"beam": {"wavelength_angstrom": 1.0000000000000002}},
        {"noise": {"seed": 1}},
        {"structure_factors": {"default_f_electrons": 10.5}},
    ]
    hashes = {physics_hash(build(**change)) for change in changes}
    assert len(hashes) == len(changes)
    assert base not in hashes
    assert physics_hash(build("nanobragg")) != base


@pytest.mark.spec("ENG-9")
@pytest.mark.spec("SCL-12")
def test_one_block_is_the_experiment_without_blocks():
    crystal = {"cell": CELL, "block_cells": (6, 6, 6)}
    plain, one = build(), build(crystal={**crystal, "illuminated_blocks": 1})
    assert physics_hash(one) == physics_hash(plain)
    many = build(crystal={**crystal, "illuminated_blocks": 4400})
    assert many.crystal.scale == 4400.0
    assert physics_hash(many) != physics_hash(plain)


def test_an_explicit_full_mask_and_a_broadcast_one_hash_alike():
    experiment = build()
    (panel,) = experiment.detector.panels
    copied = replace(panel, active=np.ones(panel.shape, dtype=bool))
    other = replace(experiment, detector=replace(experiment.detector, panels=(copied,)))
    assert physics_hash(other) == physics_hash(experiment)


def test_the_key_of_a_table_follows_content_not_place_or_interpolation(tmp_path):
    keys = []
    for name, text in (("a.hkl", "0 0 1 10\n"), ("b.hkl", "0 0 1 10\n"), ("c.hkl", "0 0 1 11\n")):
        (tmp_path / name).write_text(text)
        for interpolate in (True, False):
            factors = {"file": str(tmp_path / name), "interpolate": interpolate}
            keys.append(reflections_key(spec(structure_factors=factors)))
    assert len(set(keys[:4])) == 1
    assert keys[4] == keys[5] != keys[0]
    assert reflections_key(spec()) != reflections_key(
        spec(structure_factors={"default_f_electrons": 11})
    )


def test_a_table_built_before_is_used_as_it_is(tmp_path):
    path = tmp_path / "a.hkl"
    path.write_text("0 0 1 10\n")
    given = spec(structure_factors={"file": str(path)})
    table = build_reflections(given)
    path.unlink()
    experiment = build_experiment(given, reflections=table)
    assert experiment.reflections.amplitude is table.amplitude


def test_resolved_arrays_cannot_be_written():
    experiment = build()
    with pytest.raises(ValueError, match="read-only"):
        experiment.crystal.real_space[0, 0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        experiment.detector.panels[0].active[0, 0] = False


@pytest.mark.parametrize("beam", [{"wavelength_angstrom": 1e-5}, {"energy_ev": 1.2e9}])
def test_indices_that_float64_cannot_hold_are_refused(beam):
    with pytest.raises(InputError, match="check their units"):
        build(beam=beam)
    build(beam={"wavelength_angstrom": 1e-4})


@pytest.mark.parametrize("spread", [361.0, 1e99])
def test_mosaic_spread_beyond_a_turn_is_refused(spread):
    mosaic = {"spread_deg": spread, "domains": 3}
    crystal = {"cell": CELL, "block_cells": (6, 6, 6), "mosaic": mosaic}
    with pytest.raises(InputError, match="more than a whole turn"):
        build(crystal=crystal)
