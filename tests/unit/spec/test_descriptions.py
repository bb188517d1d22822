"""Every field is described once, and the schema says the same."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from pydantic import TypeAdapter

from distbragg.errors import InputError
from distbragg.spec.axis import AxisSpec
from distbragg.spec.base import SpecModel
from distbragg.spec.cluster import MODELS, TlsFiles
from distbragg.spec.descriptions import describe, described
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.paths import submodel
from distbragg.spec.sweep import SweepSpec
from distbragg.spec.yaml_text import parse_yaml
from tools.generate_reference import experiment_schema, sweep_schema

UNITS = {
    "photons_per_m2": "photons/m²",
    "photons_per_s": "photons/s",
    "g_per_cm3": "g/cm³",
    "g_per_mol": "g/mol",
    "e_per_a3": "electrons/Å³",
    "per_angstrom": "1/Å",
    "angstrom2": "Å²",
    "angstrom": "Å",
    "percent_deg": "percent",
    "percent": "percent",
    "electrons": "electrons",
    "photons": "hotons",
    "adu": "ADU",
    "adu_per_photon": "ADU",
    "fraction": "fraction|[Ss]hare",
    "mrad": "mrad",
    "deg": "degrees",
    "um3": "µm³",
    "um": "µm",
    "mm": "mm",
    "ev": "eV",
    "px": "pixels",
    "gb": "GB",
    "h": "hours",
    "m": "metres",
    "s": "seconds",
}


def models() -> Iterator[type[SpecModel]]:
    """Every model that a user writes, each once."""
    waiting: list[type[SpecModel]] = [SweepSpec, ExperimentSpec, AxisSpec, TlsFiles]
    waiting += MODELS.values()
    seen: list[type[SpecModel]] = []
    while waiting:
        model = waiting.pop()
        if model not in seen:
            seen.append(model)
            inner = (submodel(model, name) for name in model.model_fields)
            waiting += [each for each in inner if each is not None]
    return iter(seen)


FIELDS = [(model, name) for model in models() for name in model.model_fields]


def unit_words(name: str) -> str:
    """Pattern of the unit that a field's name ends in; empty where it ends in none."""
    ends = [end for end in UNITS if name.endswith(f"_{end}")]
    return UNITS[max(ends, key=len)] if ends else ""


@pytest.mark.spec("FLD-1")
def test_every_field_of_every_model_is_described():
    assert len(FIELDS) > 250
    missing = [
        f"{model.__name__}.{name}" for model, name in FIELDS if not described(model, name).meaning
    ]
    assert missing == []


@pytest.mark.spec("FLD-1")
@pytest.mark.parametrize(
    ("model", "name"), FIELDS, ids=[f"{model.__name__}.{name}" for model, name in FIELDS]
)
def test_a_description_says_unit_and_what_fills_the_field_and_gives_an_example(model, name):
    said, field = described(model, name), model.model_fields[name]
    assert re.search(unit_words(name), said.meaning)
    own = set(re.findall(r"[a-z]{3,}", name))
    told = set(re.findall(r"[a-zé]{3,}", said.meaning.lower())) - {"the", "and", "that"}
    assert len(told - own) >= 2, "it is the name in other words"
    if field.is_required():
        assert said.left_out == ""
    elif field.default is None:
        assert said.left_out, "nothing says what stands in for it"
    if said.example:
        value = parse_yaml(said.example)
        kept = TypeAdapter(field.rebuild_annotation()).validate_python(value)
        assert kept != field.default or field.is_required(), "the example is the default"
    else:
        group = submodel(model, name) is not None
        assert (
            group
            or field.annotation is bool
            or "Literal" in repr(field.annotation)
            or (name in ("materials", "derived", "covariance_percent_deg"))
        )


@pytest.mark.spec("FLD-1")
def test_the_schemas_describe_every_property_and_their_examples_are_values():
    for schema in (experiment_schema(), sweep_schema()):
        parts = [schema, *schema["$defs"].values()]
        described_ones = [field for part in parts for field in part["properties"].values()]
        assert len(described_ones) > 180
        assert all(field["description"] for field in described_ones)
    beam = experiment_schema()["$defs"]["BeamSpec"]["properties"]
    assert beam["energy_ev"]["examples"] == [12658]
    assert "Left out: that of the wavelength." in beam["energy_ev"]["description"]


def test_a_field_is_described_by_its_path():
    assert describe("detector.panels.3.pixel_size_mm").left_out == "the detector's"
    assert describe("crystal.mosaic.spread_deg").example == "0.1"
    assert describe("crystal.lattices.0.cell") == describe("crystal.cell")
    with pytest.raises(InputError, match="no field"):
        describe("crystal.colour")
