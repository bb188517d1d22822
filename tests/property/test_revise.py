"""A frame's specification made from its neighbour's is the one validated whole."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from distbragg.errors import InputError
from distbragg.spec import sweep as sweeps
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.paths import split_path, with_value
from distbragg.spec.revise import NotRevisableError, changes_of, revised
from distbragg.spec.sweep import SweepSpec

BASE = ExperimentSpec.model_validate(
    {
        "beam": {"wavelength_angstrom": 1.0, "spectrum": None},
        "crystal": {"cell": [70, 80, 90, 90, 100, 90], "cells": [5, 6, 7], "shape": "gauss"},
        "detector": {"distance_mm": 100, "pixels_fast": 13, "pixels_slow": 17},
        "output": {"dtype": "uint16"},
        "noise": {"photon": True},
    }
)
NUMBERS = st.one_of(
    st.floats(-10, 200), st.integers(-2, 9), st.sampled_from([0.0, 1e300, float("inf"), True, "x"])
)
VECTORS = st.lists(NUMBERS, min_size=2, max_size=4)
VALUES = {
    "crystal.quaternion_xyzw": VECTORS,
    "crystal.misset_deg": st.one_of(VECTORS, st.just("random")),
    "crystal.cell": st.lists(st.floats(-5, 130), min_size=6, max_size=6),
    "crystal.cells": VECTORS,
    "crystal.shape": st.sampled_from(["square", "round", "cube", 1]),
    "crystal.mosaic.spread_deg": NUMBERS,
    "crystal.mosaic.domains": NUMBERS,
    "beam.wavelength_angstrom": NUMBERS,
    "beam.energy_ev": NUMBERS,
    "beam.polarization.kahn_factor": NUMBERS,
    "beam.spectrum.file": st.sampled_from(["a.csv", 1]),
    "detector.distance_mm": NUMBERS,
    "goniometer.phi_deg": NUMBERS,
    "sampling.oversample": st.one_of(NUMBERS, st.just("auto")),
    "noise.photon": st.booleans(),
    "title": st.sampled_from(["", "frame", 3]),
}


def whole(values: dict[str, object]) -> ExperimentSpec:
    plain: object = BASE
    for path, value in values.items():
        plain = with_value(plain, split_path(path), value, path=path)
    return ExperimentSpec.model_validate(plain)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=3, unique=True).flatmap(
        lambda paths: st.fixed_dictionaries({path: VALUES[path] for path in paths})
    )
)
def test_revising_agrees_with_validating_everything(values):
    changes = changes_of({split_path(path): value for path, value in values.items()})
    try:
        expected = whole(values)
    except (ValidationError, InputError):
        with pytest.raises((ValueError, InputError, NotRevisableError)):
            revised(BASE, changes)
        return
    try:
        found = revised(BASE, changes)
    except NotRevisableError:
        assert "beam.spectrum.file" in values
        return
    assert found == expected
    assert type(found.crystal) is type(expected.crystal)
    assert found.model_dump_json() == expected.model_dump_json()
    assert repr(found) == repr(expected)


def test_a_list_s_element_is_validated_with_its_list():
    with pytest.raises(NotRevisableError):
        changes_of({("crystal", "cells", 1): 3})


def test_a_refused_frame_is_told_as_if_validated_whole():
    axis = {"name": "d", "path": "detector.distance_mm", "values": [100.0, 110.0]}
    sweep = SweepSpec.model_validate({"experiment": {}, "axes": [axis]})
    with pytest.raises(InputError) as caught:
        sweep._spec_with({"crystal.quaternion_xyzw": [0.0, 0.0, 0.0, 0.0]}, "frame 1")
    assert caught.value.field == "crystal.quaternion_xyzw"
    assert "(sweep over frame 1)" in str(caught.value)


def test_sweeps_take_the_short_way(monkeypatch):
    """Frames whose axes set plain fields never go through whole validation."""
    axes = [
        {"name": "o", "random_orientations": {"count": 3, "seed": 1}},
        {"name": "spread", "path": "crystal.mosaic.spread_deg", "values": [0.1, 0.2]},
    ]
    sweep = SweepSpec.model_validate({"experiment": {}, "axes": axes})
    expected = [sweep.frame_spec(frame) for frame in range(6)]

    def refuse(*_: object, **__: object) -> None:
        raise PydanticCustomError("whole", "validated whole")

    monkeypatch.setattr(sweeps, "with_value", refuse)
    assert [sweep.frame_spec(frame) for frame in range(6)] == expected
