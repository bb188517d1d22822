"""YAML 1.2's core schema, scalar by scalar, and what a text means where a value belongs."""

from __future__ import annotations

import math

import pytest

from distbragg.errors import InputError
from distbragg.spec.load import parse_spec, parse_sweep
from distbragg.spec.yaml_text import parse_yaml

CORE = {
    "null": {"~": None, "null": None, "Null": None, "NULL": None, "": None},
    "true or false": {
        "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    },
    "whole": {
        "0": 0, "-0": 0, "+12": 12, "0777": 777, "00012": 12, "0o17": 15, "0x1F": 31, "0xabc": 2748,
    },
    "numbers": {
        "1e12": 1e12, "1E-3": 1e-3, "+1e5": 1e5, ".5": 0.5, "+.5": 0.5, "-1.5": -1.5, "1.": 1.0,
        "1.e3": 1000.0, "12e03": 12000.0, "0.": 0.0, ".inf": math.inf, "-.Inf": -math.inf,
        "+.INF": math.inf, "1e400": math.inf,
    },
}  # fmt: skip
TEXTS = (
    *("yes", "no", "on", "off", "y", "n", "Yes", "tRue", "nUll", "None", "nan", "inf", "Infinity"),
    *("1:30", "1:30:00", "190:20:30.15", "0b11", "1_000", "-0x1F", "0o8", "0xG", "1e", "e5", "."),
    *("+", "1,000", "12,5", "1 000", "2020-01-01", "2001-12-14t21:59:43.10-05:00", "=", "0.5.2"),
)


@pytest.mark.spec("FLD-3")
@pytest.mark.parametrize(
    ("text", "value"), [pair for pairs in CORE.values() for pair in pairs.items()]
)
def test_plain_scalars_are_those_of_the_core_schema(text, value):
    read = parse_yaml(f"a: {text}")["a"]
    assert (type(read), read) == (type(value), value)
    assert parse_yaml(f"a: '{text}'")["a"] == text
    assert math.isnan(parse_yaml("a: .NaN")["a"])


@pytest.mark.spec("FLD-3")
@pytest.mark.parametrize("text", TEXTS)
def test_other_plain_scalars_are_texts(text):
    assert parse_yaml(f"a: {text}")["a"] == text


@pytest.mark.spec("FLD-3")
@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("1:30", "write it in decimal"),
        ("0b11", "write it in decimal"),
        ("100mm", "write the number alone; its unit is mm"),
        ("0.1 m", "write the number alone; its unit is mm"),
        ("12,5", "a decimal fraction has a point"),
        ("many", "must be a number, got 'many'"),
    ],
)
def test_texts_where_values_belong(text, remedy):
    with pytest.raises(InputError, match=remedy):
        parse_spec({"detector": {"distance_mm": parse_yaml(text)}})


@pytest.mark.spec("FLD-3")
def test_texts_that_a_field_takes():
    spec = parse_spec(parse_yaml("beam: {energy_ev: 1_000}\ncrystal: {present: no}\ntitle: on"))
    assert (spec.beam.energy_ev, spec.crystal.present, spec.title) == (1000.0, False, "on")
    numbered = parse_spec(parse_yaml("title: 12\nstructure_factors: {space_group: 19}"))
    assert (numbered.title, numbered.structure_factors.space_group) == ("12", "19")


@pytest.mark.spec("FLD-5")
@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"beem": {}}, "did you mean beam?"),
        ({"beam": {"polarization": {"axs": 1}}}, "did you mean beam.polarization.axis?"),
        ({"crystal": {"lattices": [{"mozaic": {}}]}}, "did you mean crystal.lattices.0.mosaic?"),
        (
            {"detector": {"panels": [{"origin_m": [0, 0, 1], "fast": [1, 0, 0]}]}},
            r"did you mean detector.panels.0.origin_mm? (its unit is mm)",
        ),
        (
            {"detector": {"response": {"zones": [{"adu_per_foton": 3}]}}},
            "did you mean detector.response.zones.0.adu_per_photon?",
        ),
        (
            {"beam": {"exposure_ms": 10}},
            "did you mean beam.exposure_s? (its unit is s)",
        ),
        (
            {"detector": {"sensor": {"thickness_mm": 0.3}}},
            "did you mean detector.sensor.thickness_um? (its unit is um)",
        ),
        ({"detector": {"convention": "XDS"}}, "did you mean xds?"),
        (
            {"background": {"materials": [{"name": "watr", "thickness_um": 3}]}},
            "did you mean water?",
        ),
        ({"structure_factors": {"anomalous_elements": [{"element": "Sel"}]}}, "such as Se"),
    ],
)
def test_keys_of_every_depth_and_words_are_suggested(data, words):
    with pytest.raises(InputError) as caught:
        parse_spec(data)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.spec("FLD-5")
def test_keys_and_words_of_axes_are_suggested():
    axis = {"name": "n", "path": "beam.energy_ev"}
    for more, words in (
        ({"linspace": {"start": 1, "stop": 2, "cont": 3}}, "linspace.cont: unknown key; did you"),
        ({"sample": {"low": 1, "high": 2, "count": 3, "scale": "Log"}}, "did you mean log?"),
    ):
        with pytest.raises(InputError) as caught:
            parse_sweep({"experiment": {}, "axes": [{**axis, **more}]})
        assert words in str(caught.value)
