"""Normal distributions in a specification: of mosaic domains, and of the beam."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from distbragg.errors import InputError
from distbragg.spec.canonical import canonical_json
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.load import parse_spec, parse_sweep
from distbragg.spec.problems import input_error

UNIT = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def spread_of(value, distribution="gaussian"):
    mosaic = {"spread_deg": value, "distribution": distribution}
    return parse_spec({"crystal": {"mosaic": mosaic}}).crystal.mosaic.spread_deg


def refused(sections):
    with pytest.raises(InputError) as found:
        parse_spec(sections)
    assert "\n" not in str(found.value)
    return str(found.value)


@pytest.mark.spec("CRY-25")
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (0.3, 0.3),
        (0, 0.0),
        ([0.3, 0.1, 0], (0.3, 0.1, 0.0)),
        ([list(row) for row in UNIT], UNIT),
        ([1, 0, 0, 0, 1, 0, 0, 0, 1], UNIT),
        ([[1, 1, 0], [1, 1, 0], [0, 0, 0]], ((1, 1, 0), (1, 1, 0), (0, 0, 0))),
        ([[0] * 3] * 3, ((0, 0, 0),) * 3),
    ],
)
def test_a_normal_spread_is_one_number_three_or_a_covariance(given, kept):
    assert spread_of(given) == kept


@pytest.mark.spec("CRY-25")
def test_a_covariance_that_was_rounded_to_be_read_is_made_symmetric():
    third = [[1.0, 0.333333, 0.0], [0.3333334, 0.111111, 0.0], [0.0, 0.0, 0.2]]
    (_, one, _), (other, _, _), _ = spread_of(third)
    assert one == other == pytest.approx(1 / 3, abs=1e-6)


@pytest.mark.spec("CRY-25")
@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (-1, "crystal.mosaic.spread_deg: must be greater than or equal to 0"),
        ("wide", "must be a number, got 'wide'"),
        (True, "true/false is not allowed here"),
        ([0.1, 0.2], "is neither a number, nor three, nor a matrix; give one number, three"),
        ([0.1, 0.2, 0.3, 0.4], "is neither a number, nor three, nor a matrix"),
        ([], "is neither a number, nor three, nor a matrix"),
        ([0.1, 0.2, -0.3], "spread_deg.2: must be greater than or equal to 0"),
        ([0.1, 0.2, True], "true/false is not allowed here"),
        ([[1, 0, 0], [0, 1, 0]], "is neither a number, nor three, nor a matrix"),
        ([[1, 0, 0], [0, 1, 0], [0, 0]], "is neither a number, nor three, nor a matrix"),
        ([[1, 0, 0], [0, 1, 0], 1], "is neither a number, nor three, nor a matrix"),
        ([[1, 0, 0], [0, 1, 0], [0, 0, True]], "true/false is not allowed here"),
        ([[1, 0, 0], [0, 1, 0], [0, 0, "x"]], "spread_deg.2.2: must be a number, got 'x'"),
        ([[1, 0.2, 0], [0, 1, 0], [0, 0, 1]], "the covariance is not symmetric"),
        ([[1, 2, 0], [2, 1, 0], [0, 0, 1]], "it is not positive semi-definite"),
        ([[-1, 0, 0], [0, 1, 0], [0, 0, 1]], "it is not positive semi-definite"),
        ([[0, 1, 0], [1, 1, 0], [0, 0, 1]], "it is not positive semi-definite"),
        ([1, 2, 0, 2, 1, 0, 0, 0, 1], "it is not positive semi-definite"),
        (float("nan"), "must be a finite number"),
    ],
)
def test_what_is_no_normal_spread_is_refused_in_one_line(given, problem):
    mosaic = {"spread_deg": given, "distribution": "gaussian"}
    assert problem in refused({"crystal": {"mosaic": mosaic}})


@pytest.mark.spec("CRY-25")
@pytest.mark.parametrize("given", [[0.1, 0.2, 0.3], [list(row) for row in UNIT]])
def test_a_cap_has_one_spread(given):
    said = refused({"crystal": {"mosaic": {"spread_deg": given}}})
    assert said.startswith("crystal.mosaic.spread_deg: a cap has one spread")
    assert "set crystal.mosaic.distribution: gaussian, or give one number" in said


@pytest.mark.spec("SRC-32")
@pytest.mark.parametrize(
    ("beam", "problem"),
    [
        ({"bandwidth_percent": -1}, "beam.bandwidth_percent: must be greater than or equal to 0"),
        ({"bandwidth_percent": 21}, "beam.bandwidth_percent: must be less than or equal to 20"),
        ({"bandwidth_percent": [1]}, "beam.bandwidth_percent: must be a number"),
        ({"divergence_mrad": 51}, "beam.divergence_mrad: must be less than or equal to 50"),
        ({"divergence_mrad": [1, -1]}, "beam.divergence_mrad.1: must be greater than or equal"),
        (
            {"divergence_mrad": [1, 1, 1]},
            "beam.divergence_mrad: must have at most 2 items, got [1, 1, 1]",
        ),
        ({"divergence_mrad": [1, True]}, "beam.divergence_mrad: true/false is not allowed here"),
        ({"bandwidth": 1}, "did you mean beam.bandwidth_percent?"),
    ],
)
def test_widths_of_the_beam_that_cannot_be_are_refused(beam, problem):
    assert problem in refused({"beam": beam})


@pytest.mark.parametrize("spread", [0.3, [0.1, 0.2, 0.3], [list(row) for row in UNIT]])
def test_specifications_read_back_from_their_canonical_text(spread):
    spec = parse_spec(
        {
            "crystal": {"mosaic": {"spread_deg": spread, "distribution": "gaussian"}},
            "beam": {"bandwidth_percent": 0.5, "divergence_mrad": [0.2, 0.1]},
            "sampling": {"method": "sampled"},
        }
    )
    assert parse_spec(json.loads(canonical_json(spec))) == spec


def test_methods_are_named_in_the_refusal():
    with pytest.raises(ValidationError) as found:
        ExperimentSpec(sampling={"method": "exact"})
    said = str(input_error(found.value, ExperimentSpec))
    assert said == "sampling.method: must be 'auto', 'closed_form' or 'sampled', got 'exact'"


@pytest.mark.spec("CRY-25")
@pytest.mark.spec("SRC-32")
@pytest.mark.parametrize(
    ("path", "values", "unit", "read"),
    [
        ("crystal.mosaic.spread_deg", [0.1, 0.2], "degree", 0.2),
        ("crystal.mosaic.spread_deg", [[0.1, 0.2, 0.3], [0.2, 0, 0]], "degree", (0.2, 0, 0)),
        ("crystal.mosaic.spread_deg", [[0] * 9, [1, 0, 0, 0, 1, 0, 0, 0, 1]], "degree2", UNIT),
        ("crystal.mosaic.spread_deg.1", [0.1, 0.2], "degree", (0.1, 0.2, 0.1)),
        ("crystal.mosaic.distribution", ["gaussian", "gaussian"], "", (0.1, 0.1, 0.1)),
        ("beam.bandwidth_percent", [0.1, 0.2], "percent", 0.2),
        ("beam.divergence_mrad", [0.1, 0.2], "mrad", 0.2),
        ("beam.divergence_mrad", [[0.1, 0.2], [0.2, 0]], "mrad", (0.2, 0)),
        ("sampling.method", ["auto", "sampled"], "", "sampled"),
    ],
)
def test_every_one_of_them_may_be_swept(path, values, unit, read):
    sweep = parse_sweep(
        {
            "experiment": {
                "crystal": {"mosaic": {"distribution": "gaussian", "spread_deg": [0.1] * 3}}
            },
            "axes": [{"name": "x", "path": path, "values": values}],
        }
    )
    node = sweep.frame_spec(1)
    if "mosaic" in path:
        assert node.crystal.mosaic.spread_deg == read
    else:
        section, name = path.split(".")
        assert getattr(getattr(node, section), name) == read
    (coordinate,) = (one for one in sweep.coordinates() if one.path)
    assert coordinate.unit == unit
