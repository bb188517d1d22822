"""Sweeps that grow by a count alone, or by new values beside what is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.spec.growth import combine, grown, is_tail
from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec

EXPERIMENT = {"crystal": {"cell": [50, 60, 70, 90, 100, 90]}}
ENERGY = {
    "name": "energy",
    "dim": "shot",
    "path": "beam.energy_ev",
    "draw": {"normal": {"mean": 9000, "sd": 20}},
}
HIT = {
    "name": "hit",
    "dim": "shot",
    "path": "crystal.present",
    "draw": {"chance": {"probability": 0.5, "then": True, "otherwise": False}},
}
DISTANCE = {
    "name": "distance",
    "dim": "shot",
    "path": "detector.distance_mm",
    "derived": "0.01 * energy + index",
}
TURN = {"name": "turn", "dim": "shot", "random_orientations": {"count": 6, "seed": 2}}
SETTING = {"name": "oversample", "path": "sampling.oversample", "values": [1, 2]}


def sweep_of(*axes: dict[str, Any], **fields: Any) -> SweepSpec:
    return parse_sweep({"experiment": EXPERIMENT, "axes": list(axes), **fields})


def phi(*values: float) -> dict[str, Any]:
    return {"name": "phi", "dim": "shot", "path": "goniometer.phi_deg", "values": list(values)}


@pytest.mark.spec("SWP-13")
def test_a_larger_count_keeps_what_is_there() -> None:
    cases = [
        sweep_of(ENERGY, HIT, DISTANCE, count=6),
        sweep_of(TURN, ENERGY, HIT),
        sweep_of({**ENERGY, "draw": {**ENERGY["draw"], "count": 6}}, SETTING),
    ]
    for sweep in cases:
        more = grown(sweep, 15)
        assert more.dims[0] == ("shot", 15)
        assert more.dims[1:] == sweep.dims[1:]
        frames = sweep.frames
        assert [more.frame_values(i) for i in range(frames)] == [
            sweep.frame_values(i) for i in range(frames)
        ]
        assert grown(sweep, 6).dims == sweep.dims
        made_at_once = grown(grown(sweep, 9), 15)
        assert made_at_once == more


@pytest.mark.spec("SWP-13")
def test_the_count_of_another_dimension_stays() -> None:
    other = {**HIT, "dim": "place"}
    sweep = sweep_of(ENERGY, other, count=4)
    more = grown(sweep, 7)
    assert more.dims == (("shot", 7), ("place", 4))


@pytest.mark.spec("SWP-13")
def test_what_would_change_or_is_listed_does_not_grow_by_a_count() -> None:
    with pytest.raises(InputError, match="'phi' has its values listed"):
        grown(sweep_of(phi(1, 2, 3), ENERGY), 5)
    with pytest.raises(InputError, match="2 positions along 'shot', which has 3"):
        grown(sweep_of(ENERGY, count=3), 2)
    latin = {"method": "latin_hypercube", "count": 4, "low": 1, "high": 2}
    axis = {"name": "spread", "path": "crystal.mosaic.spread_deg", "sample": latin}
    with pytest.raises(InputError, match="'spread' would be drawn otherwise"):
        grown(sweep_of(axis), 8)
    with pytest.raises(InputError, match="single frame"):
        grown(sweep_of(), 8)


@pytest.mark.spec("SWP-13")
def test_draws_go_on_beside_new_values() -> None:
    old, more = sweep_of(phi(1, 2, 3), ENERGY, DISTANCE), sweep_of(phi(3, 4))
    whole = combine(old, more)
    assert whole.dims == (("shot", 5),)
    at_once = sweep_of(phi(1, 2, 3, 3, 4), ENERGY, DISTANCE)
    for one, other in zip(whole.axes, at_once.axes, strict=True):
        np.testing.assert_array_equal(one.expanded.array, other.expanded.array)
    assert is_tail(whole, more)
    assert not is_tail(whole, sweep_of(phi(1, 2)))


@pytest.mark.spec("SWP-13")
def test_new_draws_and_nulls_are_appended_to_what_was_drawn() -> None:
    choice = {"choice": {"values": [None, 0.5]}}
    spread = {"name": "spread", "dim": "shot", "path": "crystal.mosaic.spread_deg", "draw": choice}
    kind = {
        "name": "kind",
        "dim": "shot",
        "alternatives": {"hit": {}, "miss": {"crystal.present": False}},
        "draw": {"choice": {"values": ["hit", "miss"]}},
    }
    old = sweep_of(ENERGY, spread, kind, count=5)
    listed = {**spread, "values": [0.1, None]}
    listed.pop("draw")
    whole = combine(old, sweep_of(listed))
    assert whole.dims == (("shot", 7),)
    assert [whole.frame_values(i) for i in range(5)] == [old.frame_values(i) for i in range(5)]
    assert whole.frame_values(6)["crystal.mosaic.spread_deg"] is None
    np.testing.assert_array_equal(
        whole.axes[0].expanded.array, sweep_of(ENERGY, count=7).axes[0].expanded.array
    )
    names = {**kind, "values": ["miss"]}
    names.pop("draw")
    assert combine(old, sweep_of(names)).frame_values(5)["crystal.present"] is False
