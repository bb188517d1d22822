"""When an experiment is summed in closed form, what it then holds, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.models.build import Resolved, build_experiment
from distbragg.models.experiment import physics_hash
from distbragg.physics.factors import intensity_scale
from distbragg.plan.frame import SourceChunk, Tile
from distbragg.rendering.frame import count_terms
from distbragg.spec.experiment import ExperimentSpec
from tests.beams import beam_of

NORMAL = {"spread_deg": 0.3, "distribution": "gaussian"}


def spec_of(mosaic=None, *, shape="gauss", method="auto", physics="exact", **sections):
    crystal = {"cell": (25, 31, 35, 80, 85, 75), "block_cells": (60, 60, 60), "shape": shape}
    sampling = {"method": method, **sections.pop("sampling", {})}
    return ExperimentSpec(
        physics=physics,
        beam=beam_of(sections.pop("beam", None)),
        crystal={**crystal, "mosaic": NORMAL if mosaic is None else mosaic},
        structure_factors={"default_f_electrons": 10, **sections.pop("factors", {})},
        detector={"pixels_fast": 9, "pixels_slow": 7},
        sampling=sampling,
        **sections,
    )


def resolved(*args, **sections):
    return build_experiment(spec_of(*args, **sections))


def said(experiment):
    return [note.text for note in experiment.notes if note.place == "sampling.method"]


OBSTACLES = [
    ({"physics": "nanobragg"}, "physics", "set physics: exact"),
    ({"shape": "square"}, "crystal.shape", "set crystal.shape: gauss or gauss_star"),
    ({"shape": "round"}, "crystal.shape", "set crystal.shape: gauss or gauss_star"),
    ({"shape": "tophat"}, "crystal.shape", "set crystal.shape: gauss or gauss_star"),
    (
        {"mosaic": {**NORMAL, "spread_deg": 3.1}},
        "crystal.mosaic.spread_deg",
        "a mosaic spread of 3.1 degrees is more than 3; give a smaller spread",
    ),
    (
        {"mosaic": {**NORMAL, "spread_deg": (0, 0, 3.1)}},
        "crystal.mosaic.spread_deg",
        "a mosaic spread of 3.1 degrees",
    ),
    (
        {"goniometer": {"oscillation_deg": -31, "steps": 2}},
        "goniometer.oscillation_deg",
        "a rotation of 31 degrees is more than 30; cut it into several frames",
    ),
]


@pytest.fixture
def listed(tmp_path):
    """A list of |F|, interpolated."""
    path = tmp_path / "a.hkl"
    path.write_text("0 0 1 10\n")
    return {"factors": {"file": str(path), "interpolate": True}}


@pytest.mark.spec("SAM-11")
@pytest.mark.parametrize(
    ("sections", "method"),
    [
        ({}, "closed_form"),
        ({"shape": "gauss_star"}, "closed_form"),
        ({"mosaic": {"distribution": "gaussian"}}, "closed_form"),
        ({"mosaic": {**NORMAL, "spread_deg": 3.0}}, "closed_form"),
        ({"mosaic": {**NORMAL, "spread_deg": (0.1, 0.2, 0.3)}}, "closed_form"),
        ({"goniometer": {"oscillation_deg": 30, "steps": 2}}, "closed_form"),
        ({"mosaic": {}}, "sampled"),
        ({"mosaic": {}, "beam": {"bandwidth_percent": 0.0, "divergence_mrad": 0}}, "sampled"),
        ({"mosaic": {}, "beam": {"bandwidth_percent": 0.5}}, "closed_form"),
        ({"mosaic": {}, "beam": {"divergence_mrad": (0, 0.1)}}, "closed_form"),
        ({"output": {"labels": True}}, "closed_form"),
        ({"mosaic": {"spread_deg": 0.3}}, "sampled"),
        ({"mosaic": {}, "method": "closed_form"}, "closed_form"),
        ({"method": "closed_form"}, "closed_form"),
        ({"method": "sampled"}, "sampled"),
        *((sections, "sampled") for sections, _, _ in OBSTACLES),
    ],
)
def test_which_method_is_taken(sections, method):
    assert resolved(**sections).sampling.method == method


@pytest.mark.spec("SAM-11")
def test_a_list_that_is_interpolated_is_sampled(listed):
    experiment = resolved(**listed)
    assert experiment.sampling.method == "sampled"
    assert said(experiment) == ["sampled, because |F| is interpolated between reflections"]
    factors = {**listed["factors"], "interpolate": False}
    assert resolved(factors=factors).sampling.method == "closed_form"
    with pytest.raises(InputError, match=r"set structure_factors\.interpolate: false"):
        resolved(method="closed_form", **listed)


@pytest.mark.spec("SAM-11")
@pytest.mark.parametrize(("sections", "field", "remedy"), OBSTACLES)
def test_the_closed_form_by_name_is_refused_where_it_cannot_be(sections, field, remedy):
    with pytest.raises(InputError) as found:
        resolved(method="closed_form", **sections)
    line = str(found.value)
    assert line.startswith(f"{field}: the closed form is impossible, because ")
    assert remedy in line


@pytest.mark.spec("SAM-11")
def test_the_closed_form_of_a_cap_is_refused():
    with pytest.raises(InputError, match=r"set crystal\.mosaic\.distribution: gaussian"):
        resolved({"spread_deg": 0.3}, method="closed_form")


@pytest.mark.spec("SRC-32")
@pytest.mark.parametrize(("sections", "field", "remedy"), OBSTACLES)
@pytest.mark.parametrize(
    ("name", "width", "instead"),
    [
        ("bandwidth_percent", 0.5, "list the lines in beam.spectrum or give a beam.dispersion"),
        ("divergence_mrad", 0.5, "give a grid in beam.divergence or a beam.source_file"),
    ],
)
def test_a_normal_beam_is_refused_where_it_would_be_sampled(
    sections, field, remedy, name, width, instead
):
    with pytest.raises(InputError) as found:
        resolved(beam={name: width}, **sections)
    line = str(found.value)
    assert line.startswith(f"beam.{name}: only the closed form has it, which is impossible, ")
    assert remedy.rpartition("; ")[2] in line
    assert instead in line


@pytest.mark.spec("SRC-32")
def test_a_normal_beam_is_refused_where_sampling_is_asked_for():
    with pytest.raises(InputError, match=r"because sampling\.method is sampled; set it to auto"):
        resolved(beam={"bandwidth_percent": 0.5}, method="sampled")


@pytest.mark.spec("SAM-11")
def test_what_is_told_of_the_method():
    beam = {"bandwidth_percent": 0.5, "divergence_mrad": 0.1}
    turn = {"oscillation_deg": 1, "steps": 4}
    assert said(resolved(beam=beam, goniometer=turn)) == [
        "closed form: integrated over mosaicity, bandwidth, divergence, rotation "
        "and the area of a pixel"
    ]
    assert said(resolved(method="closed_form", mosaic={})) == [
        "closed form: integrated over the area of a pixel"
    ]
    assert said(resolved(shape="square")) == [
        "sampled, because the transform of crystal.shape: square is no Gaussian"
    ]
    for silent in (
        resolved({}),
        resolved({}, shape="square"),
        resolved({"spread_deg": 0.3}),
        resolved(method="sampled"),
    ):
        assert not said(silent)


@pytest.mark.spec("SAM-12")
def test_what_the_closed_form_has_no_use_for_is_told():
    mosaic = {**NORMAL, "domains": 100}
    turn = {"oscillation_deg": 1, "steps": 4}
    sampling = {"oversample": 3, "tolerance_photons": 1e-3}
    experiment = resolved(mosaic, goniometer=turn, sampling=sampling)
    unused = [note.place for note in experiment.notes if note.text.startswith("not used: ")]
    assert unused == ["crystal.mosaic.domains", "goniometer.steps", "sampling.tolerance_photons"]
    taken = resolved(goniometer={"oscillation_deg": 1})
    for name in ("goniometer.steps", "domains", "tolerance"):
        assert not any(name in str(note) for note in taken.notes)
    sampled = resolved(mosaic, sampling=sampling, method="sampled")
    assert not any("tolerance" in str(note) for note in sampled.notes)


@pytest.mark.spec("SAM-12")
@pytest.mark.parametrize("turned", [1.0, -1.0])
def test_one_step_stands_for_all(turned):
    mosaic = {**NORMAL, "domains": 100}
    turn = {"phi_deg": 10, "oscillation_deg": turned, "steps": 4}
    experiment = resolved(mosaic, goniometer=turn)
    crystal = experiment.crystal
    assert experiment.sampling.oversample == 1
    assert experiment.sampling.integrate
    given = resolved(mosaic, goniometer=turn, sampling={"oversample": 3}).sampling
    assert given.oversample == 3
    assert not given.integrate
    np.testing.assert_array_equal(crystal.mosaic_rotations, [np.eye(3)])
    np.testing.assert_allclose(np.degrees(crystal.phi), [10 + turned / 2], rtol=1e-14)
    ends = sorted((10, 10 + turned))
    np.testing.assert_allclose(np.degrees(crystal.oscillation), ends, rtol=1e-14)
    np.testing.assert_allclose(
        crystal.mosaic_covariance, math.radians(0.3) ** 2 * np.eye(3), rtol=1e-14
    )
    tile, chunk = Tile(0, 7, 0, 9), SourceChunk(0, 1)
    assert count_terms(experiment, 0, tile, chunk) == 63
    sampled = resolved(mosaic, goniometer=turn, sampling={"oversample": 3}, method="sampled")
    assert count_terms(sampled, 0, tile, chunk) == 63 * 100 * 4 * 9
    assert intensity_scale(experiment) == pytest.approx(intensity_scale(sampled) * 3600, rel=1e-14)


@pytest.mark.spec("SAM-12")
def test_a_large_crystal_needs_no_oversampling():
    size = {"block_size_mm": (5, 5, 5)}
    spec = spec_of()
    crystal = spec.crystal.model_copy(update=size)
    experiment = build_experiment(spec.model_copy(update={"crystal": crystal}))
    assert experiment.sampling.oversample == 1


@pytest.mark.parametrize("spread", [0.3, (0.1, 0.2, 0.3)])
def test_a_frame_beside_another_is_resolved_as_alone(spread):
    first = spec_of({**NORMAL, "spread_deg": 4.0})
    mosaic = first.crystal.mosaic.model_copy(update={"spread_deg": spread})
    second = first.model_copy(
        update={"crystal": first.crystal.model_copy(update={"mosaic": mosaic})}
    )
    for one, other in ((first, second), (second, first)):
        like = Resolved(one, build_experiment(one))
        beside = build_experiment(other, like=like, frame=1)
        alone = build_experiment(other, frame=1)
        assert beside.sampling == alone.sampling
        assert physics_hash(beside) == physics_hash(alone)


@pytest.mark.spec("SRC-32")
def test_widths_of_the_beam_are_those_of_every_source():
    spectrum = {"wavelengths_angstrom": (0.99, 1.01)}
    beam = resolved(beam={"spectrum": spectrum, "bandwidth_percent": 0.4}).beam
    assert beam.sources.count == 2
    assert beam.sources.bandwidth == pytest.approx(0.004, rel=1e-14)
    assert not beam.divergence.any()


@pytest.mark.spec("SRC-32")
@pytest.mark.parametrize(("direction", "off"), [(None, 1e-12), ((1, 0.2, -0.1), 5e-9)])
def test_a_normal_divergence_is_along_the_ways_of_the_grid(direction, off):
    # A polarisation that is not across the beam makes the grid's vertical angles a little smaller.
    given = {} if direction is None else {"direction": direction}
    grid = resolved(
        {},
        method="sampled",
        beam={
            **given,
            "divergence": {
                "horizontal": {"range_mrad": 0.004, "steps": 2},
                "vertical": {"range_mrad": 0.002, "steps": 2},
                "shape": "square",
            },
        },
    ).beam
    beam = resolved({}, beam={**given, "divergence_mrad": (1e-3, 0.5e-3)}).beam
    horizontal, vertical = beam.divergence
    corners = -(grid.sources.direction + np.asarray(grid.direction))
    expected = [s * horizontal + t * vertical for s in (-1, 1) for t in (-1, 1)]
    for corner in corners:
        assert min(np.abs(corner - one).max() for one in expected) < off
    np.testing.assert_allclose(beam.divergence @ beam.direction, 0.0, atol=1e-18)
    assert horizontal @ vertical == pytest.approx(0.0, abs=1e-20)
    one = resolved({}, beam={**given, "divergence_mrad": 1e-3}).beam.divergence
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1e-6, rtol=1e-14)


@pytest.mark.spec("SAM-11")
def test_a_bandwidth_that_makes_streaks_is_refused():
    assert resolved(beam={"bandwidth_percent": 5.0}).sampling.method == "closed_form"
    with pytest.raises(InputError, match="a bandwidth of 6 % is more than 5"):
        resolved(beam={"bandwidth_percent": 6.0})
