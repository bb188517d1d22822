"""Diffuse scattering from specifications: lengths, axes, groups, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.models.experiment import physics_hash
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.sweep import SweepSpec
from tests.beams import beam_of

GIVEN = {"gamma_angstrom": 30, "sigma_angstrom": 0.4, "laue_group": "-1"}


def spec_of(diffuse=None, *, factors=None, crystal=None, **sections):
    return ExperimentSpec(
        beam=beam_of(sections.pop("beam", None)),
        crystal={
            "cell": (25, 25, 35, 90, 90, 90),
            "block_cells": (6, 6, 6),
            "shape": "gauss",
            "diffuse": GIVEN if diffuse is None else diffuse,
            **(crystal or {}),
        },
        structure_factors={"default_f_electrons": 10, **(factors or {})},
        detector={"pixels_fast": 9, "pixels_slow": 7},
        **sections,
    )


def resolved(*args, **sections):
    return build_experiment(spec_of(*args, **sections))


def test_lengths_are_one_or_three() -> None:
    one = resolved().crystal.diffuse
    assert one.gamma.tolist() == [30.0] * 3
    assert one.sigma.tolist() == [0.4] * 3
    assert (one.stencil, one.axes.tolist()) == (1, np.eye(3).tolist())
    three = {**GIVEN, "gamma_angstrom": [30, 40, 50], "sigma_angstrom": [0, 0.1, 0.2]}
    other = resolved(three).crystal.diffuse
    assert other.gamma.tolist() == [30.0, 40.0, 50.0]
    assert other.sigma.tolist() == [0.0, 0.1, 0.2]


@pytest.mark.spec("DIF-2")
def test_the_group_is_as_given_or_as_the_file_says(tmp_path) -> None:
    counts = {"-1": 1, "2/m": 2, "mmm": 4, "4/mmm": 8, "P 43 21 2": 8, "m-3m": 24, "R -3 m": 6}
    for name, count in counts.items():
        assert len(resolved({**GIVEN, "laue_group": name}).crystal.diffuse.operations) == count
    lengths = {name: GIVEN[name] for name in ("gamma_angstrom", "sigma_angstrom")}
    model = tmp_path / "one.pdb"
    model.write_text(
        "CRYST1   25.000   25.000   35.000  90.00  90.00  90.00 P 43 21 2     8\n"
        "ATOM      1  CA  ALA A   1       1.000   2.000   3.000  1.00 20.00           C\nEND\n",
        encoding="utf-8",
    )
    factors = {"file": str(model), "default_f_electrons": None, "dmin_angstrom": 5}
    of_file = resolved(lengths, factors=factors, sampling={"tolerance_photons": 1e-3})
    assert len(of_file.crystal.diffuse.operations) == 8
    told = {note.place: note.text for note in of_file.notes}
    assert told["crystal.diffuse.laue_group"].startswith("8 rotations")
    assert told["sampling.tolerance_photons"].startswith("not used")
    plain = tmp_path / "plain.hkl"
    plain.write_text("1 0 0 5\n1 2 3 6\n", encoding="utf-8")
    of_field = resolved(lengths, factors={"file": str(plain), "space_group": "P 21 21 21"})
    assert len(of_field.crystal.diffuse.operations) == 4


@pytest.mark.spec("DIF-2")
def test_rotations_act_on_indices() -> None:
    # -y,x-y,z takes h, k, l to (k, −h−k, l): columns of the matrix are those of R.
    rotations = resolved({**GIVEN, "laue_group": "-3"}).crystal.diffuse.operations
    images = {tuple((rotation @ [1.0, 2.0, 5.0]).tolist()) for rotation in rotations}
    assert images == {(1.0, 2.0, 5.0), (2.0, -3.0, 5.0), (-3.0, 1.0, 5.0)}


@pytest.mark.spec("DIF-4")
def test_without_the_section_the_identity_is_the_old_one() -> None:
    without = build_experiment(spec_of(crystal={"diffuse": None}))
    assert without.crystal.diffuse is None
    given, other = resolved(), resolved({**GIVEN, "sigma_angstrom": 0.5})
    assert len({physics_hash(experiment) for experiment in (without, given, other)}) == 3


@pytest.mark.spec("DIF-2", "DIF-6")
@pytest.mark.parametrize(
    ("diffuse", "sections", "field"),
    [
        ({**GIVEN, "laue_group": "5/mmm"}, {}, "crystal.diffuse.laue_group"),
        ({**GIVEN, "laue_group": None}, {}, "crystal.diffuse.laue_group"),
        (GIVEN, {"physics": "nanobragg"}, "crystal.diffuse"),
    ],
)
def test_what_cannot_be_is_refused(diffuse, sections, field) -> None:
    with pytest.raises(InputError) as caught:
        resolved(diffuse, **sections)
    assert field in str(caught.value)


def test_axes_that_are_not_at_right_angles_are_refused() -> None:
    with pytest.raises(ValidationError, match="not unit vectors at right angles"):
        spec_of({**GIVEN, "axes": [1, 0, 0, 0.1, 1, 0, 0, 0, 1]})
    turned = [0.6, 0.8, 0, -0.8, 0.6, 0, 0, 0, 1]
    assert resolved({**GIVEN, "axes": turned}).crystal.diffuse.axes.ravel().tolist() == turned


@pytest.mark.spec("DIF-8")
def test_the_closed_form_is_chosen_as_without_halos() -> None:
    mosaic = {"spread_deg": 0.2, "distribution": "gaussian"}
    assert resolved(crystal={"mosaic": mosaic}).sampling.method == "closed_form"
    assert resolved(beam={"bandwidth_percent": 0.5}).sampling.method == "closed_form"
    assert resolved().sampling.method == "sampled"


def test_a_sweep_reaches_every_field() -> None:
    lengths = {"gamma_angstrom": [[20, 20, 20], [30, 40, 50]], "sigma_angstrom": [0.0, 0.3]}
    axes = [
        {"name": name, "path": f"crystal.diffuse.{name}", "values": values}
        for name, values in (lengths | {"stencil": [0, 2], "laue_group": ["-1", "mmm"]}).items()
    ]
    sweep = SweepSpec(experiment=spec_of(), axes=axes)
    assert sweep.frames == 16
    last = build_experiment(sweep.frame_spec(15)).crystal.diffuse
    assert (last.gamma.tolist(), last.sigma.tolist()) == ([30.0, 40.0, 50.0], [0.3] * 3)
    assert (last.stencil, len(last.operations)) == (2, 4)
