"""The widened table of |F|² holds what pixels reach, and gives what the clamped one gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distbragg.kernel.native.prepare import SquaredTable
from distbragg.kernel.render_tile import render_tile
from distbragg.kernel.triton import pack, reach
from distbragg.physics.furthest import longest_scattering
from distbragg.physics.orientation import domain_vectors
from tests.unit.kernel_native import kit
from tests.unit.kernel_triton.kit import interpreted, triton_options


@settings(max_examples=100, deadline=None)
@given(
    size=st.tuples(*[st.integers(1, 6)] * 3),
    lowest=st.tuples(*[st.integers(-12, 9)] * 3),
    most=st.tuples(*[st.integers(1, 9)] * 3),
    seed=st.integers(0, 99),
)
def test_a_widened_table_has_every_entry_and_the_default_elsewhere(size, lowest, most, seed):
    shape = tuple(n + 1 for n in size)
    values = np.full(shape, 0.25)
    values[:-1, :-1, :-1] = np.random.default_rng(seed).random(size)
    wide, first = reach.reached_table(SquaredTable(values, 1.0, 1.0), lowest, most)
    assert first == tuple(-n for n in most)
    expected = np.full(wide.shape, 0.25)
    for place in np.ndindex(*wide.shape):
        index = np.array(place) + first
        inner = index - lowest
        if (inner >= 0).all() and (inner < size).all():
            expected[place] = values[tuple(inner)]
    assert (np.array(wide.shape) == 2 * np.array(most) + 2).all()
    # The last planes are the border: beyond every index that is reached.
    assert np.array_equal(wide[:-1, :-1, :-1], expected[:-1, :-1, :-1])


@settings(max_examples=60, deadline=None)
@given(
    tilt=st.tuples(*[st.floats(-0.9, 0.9)] * 3),
    shift=st.tuples(*[st.floats(-0.05, 0.05)] * 3),
    distance=st.sampled_from([-0.03, 0.01, 0.08, 0.5]),
    layers=st.sampled_from([1, 3]),
    surface=st.sampled_from(["flat", "sphere", "cylinder_fast"]),
)
def test_no_pixel_reaches_beyond(tilt, shift, distance, layers, surface):
    experiment = kit.make_experiment(layers=layers, surface=surface, sources=3)
    view = experiment.detector.panels[0]
    turned = [_turn(axis, tilt) for axis in (view.fast, view.slow, view.normal)]
    origin = _turn(view.origin * distance / 0.08, tilt) + shift
    view = replace(view, fast=turned[0], slow=turned[1], normal=turned[2], origin=origin)
    longest = longest_scattering(experiment.beam, view)
    assert longest <= 2.0 / experiment.beam.sources.wavelength.min() * (1 + 1e-12)
    if surface != "flat":
        return
    rng = np.random.default_rng(1)
    slow, fast = (rng.random((2, 300)) * np.array(view.shape)[:, None]) * view.pixel_size
    depth = rng.choice(view.sensor.position, 300)
    at = (
        view.origin + slow[:, None] * view.slow + fast[:, None] * view.fast
        + depth[:, None] * view.normal
    )  # fmt: skip
    at /= np.linalg.norm(at, axis=1, keepdims=True)
    vectors = domain_vectors(experiment.crystal)
    most = reach.reach_of(vectors, longest)
    for direction, wavelength in zip(
        experiment.beam.sources.direction, experiment.beam.sources.wavelength, strict=True
    ):
        q = (at + direction) / wavelength
        assert np.linalg.norm(q, axis=1).max() <= longest * (1 + 1e-12)
        indices = np.ceil(np.einsum("daj,pj->dpa", vectors.reshape(-1, 3, 3), q) - 0.5)
        assert (np.abs(indices).max(axis=(0, 1)) <= most).all()


def _turn(vector, angles):
    for axis, angle in enumerate(angles):
        i, j = [n for n in range(3) if n != axis]
        matrix = np.eye(3)
        matrix[i, i] = matrix[j, j] = np.cos(angle)
        matrix[i, j], matrix[j, i] = -np.sin(angle), np.sin(angle)
        vector = matrix @ vector
    return vector


@interpreted
@pytest.mark.spec("ENG-17")
@pytest.mark.parametrize("box", [(0, 0, 0), (2, 3, 4)])
def test_clamped_and_widened_tables_give_the_same_bits(box, monkeypatch):
    experiment = kit.make_experiment(box=box, domains=2, default=7.0)
    tile, chunk = kit.whole(experiment)
    assert pack.make_scene(experiment, 0, "mixed", "cpu", split=False).flags["INSIDE"]
    found = render_tile(experiment, 0, tile, chunk, triton_options())
    monkeypatch.setattr(reach, "MOST_ENTRIES", 1)
    again = replace(experiment)
    assert not pack.make_scene(again, 0, "mixed", "cpu", split=False).flags["INSIDE"]
    assert np.array_equal(render_tile(again, 0, tile, chunk, triton_options()), found)
