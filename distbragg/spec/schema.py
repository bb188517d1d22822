"""JSON Schema of the specification files, for editors and for the documentation."""

from __future__ import annotations

from typing import Any

from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.sweep import SweepSpec

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def experiment_schema() -> dict[str, Any]:
    """Return the JSON Schema of an experiment file."""
    schema = ExperimentSpec.model_json_schema()
    return {"$schema": _DIALECT, **schema, "title": "distbragg experiment"}


def sweep_schema() -> dict[str, Any]:
    """Return the JSON Schema of a sweep file, whose experiment may also be a file name."""
    schema = SweepSpec.model_json_schema()
    properties = dict(schema["properties"])
    properties["experiment"] = {
        "anyOf": [{"$ref": "#/$defs/ExperimentSpec"}, {"type": "string"}],
        "description": "the experiment itself, or the path of its file",
    }
    return {
        "$schema": _DIALECT,
        **schema,
        "properties": properties,
        "required": ["experiment"],
        "title": "distbragg sweep",
    }
