"""Invariances of the weighted mean, on every kernel and device of this machine.

Images go the way of every run: source table, plan, partial sums, merge tree, finalize.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distbragg.kernel import native
from distbragg.kernel.options import KernelOptions, cuda_available
from tests.tolerances import CHUNKED_SOURCES_ULP, WEIGHTED_SOURCES_RELATIVE
from tools.evidence.reproducibility import max_ulp
from tools.evidence.weighted import (
    SourceTable,
    largest_relative,
    render_image,
    small_scene,
    table_of,
    with_sources,
)

PLACES = pytest.mark.parametrize(
    "place",
    ["native", "model", pytest.param("cuda", marks=pytest.mark.gpu)],
)
QUICK = settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
WEIGHTS = st.lists(
    st.floats(min_value=1e-6, max_value=1e6, allow_nan=False), min_size=1, max_size=9
).map(tuple)
PHYSICS = st.sampled_from(["exact", "nanobragg"])
SCENES = {physics: small_scene(physics) for physics in ("exact", "nanobragg")}


def options(place: str, precision: str = "float64") -> KernelOptions:
    if place == "cuda":
        if not cuda_available():
            pytest.skip("no CUDA device")
        return KernelOptions(precision, "model", "cuda", 1)  # type: ignore[arg-type]
    if place == "native" and not native.available():
        pytest.skip(native.reason())
    return KernelOptions(precision, place, "cpu", 1)  # type: ignore[arg-type]


def image(table: SourceTable, how: KernelOptions, physics: str = "exact", **more) -> np.ndarray:
    return render_image(with_sources(SCENES[physics], table, "sum"), how, **more)


def ulp(first: np.ndarray, second: np.ndarray) -> int:
    return max_ulp(first.astype(np.float32), second.astype(np.float32))


@pytest.mark.spec("SRC-6")
@PLACES
@QUICK
@given(weights=WEIGHTS, power=st.integers(-900, 900), physics=PHYSICS)
def test_a_power_of_two_on_all_weights_changes_no_bit_of_the_image(place, weights, power, physics):
    how, table = options(place), table_of(weights)
    scaled = table.with_weight(np.ldexp(table.weight, power))
    assert (image(scaled, how, physics) == image(table, how, physics)).all()


@pytest.mark.spec("SRC-6")
@PLACES
@QUICK
@given(weights=WEIGHTS, factor=st.floats(1e-9, 1e9), physics=PHYSICS)
def test_any_other_factor_changes_at_most_one_ulp(place, weights, factor, physics):
    how, table = options(place), table_of(weights)
    scaled = table.with_weight(table.weight * factor)
    assert ulp(image(scaled, how, physics), image(table, how, physics)) <= CHUNKED_SOURCES_ULP


@pytest.mark.spec("SRC-15")
@PLACES
@QUICK
@given(weights=WEIGHTS, seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_list_does_not_matter(place, weights, seed):
    how, table = options(place), table_of(weights)
    shuffled = table.take(np.random.default_rng(seed).permutation(table.count))
    assert largest_relative(image(shuffled, how), image(table, how)) <= WEIGHTED_SOURCES_RELATIVE


@pytest.mark.spec("SRC-16")
@PLACES
@QUICK
@given(weights=WEIGHTS, share=st.floats(0.01, 0.99), physics=PHYSICS)
def test_a_source_may_be_split_into_two(place, weights, share, physics):
    how, table = options(place), table_of(weights)
    # The last one, so that the first source of the program's polarisation stays the same.
    last = table.take(np.array([table.count - 1]))
    kept = table.weight.copy()
    kept[-1] *= share
    split = table.with_weight(kept).joined(last.with_weight(last.weight * (1.0 - share)))
    found, expected = image(split, how, physics), image(table, how, physics)
    assert largest_relative(found, expected) <= WEIGHTED_SOURCES_RELATIVE


@pytest.mark.spec("SRC-16")
@PLACES
@QUICK
@given(weights=WEIGHTS, copies=st.integers(2, 5))
def test_a_source_listed_n_times_is_one_of_n_times_the_weight(place, weights, copies):
    how, table = options(place), table_of(weights)
    heavier = table.weight.copy()
    heavier[0] *= copies
    repeated = table
    for _ in range(copies - 1):
        repeated = repeated.joined(table.take(np.array([0])))
    found, expected = image(repeated, how), image(table.with_weight(heavier), how)
    assert largest_relative(found, expected) <= WEIGHTED_SOURCES_RELATIVE


@pytest.mark.spec("SRC-16")
@PLACES
def test_sources_of_weight_zero_change_no_bit(place):
    how, table = options(place), table_of((0.3, 1.0, 7.0))
    dark = table_of((0.0, 0.0))
    assert (image(table.joined(dark), how) == image(table, how)).all()
    assert (image(dark.joined(table), how) == image(table, how)).all()


@pytest.mark.spec("SRC-17")
@PLACES
@QUICK
@given(weights=WEIGHTS.filter(lambda weights: len(weights) > 1), data=st.data())
def test_two_renders_merge_by_their_sums_of_weights(place, weights, data):
    how, table = options(place), table_of(weights)
    cut = data.draw(st.integers(1, table.count - 1))
    parts = [table.take(np.arange(0, cut)), table.take(np.arange(cut, table.count))]
    sums = [math.fsum(part.weight.tolist()) for part in parts]
    first, second = (image(part, how) for part in parts)
    merged = (sums[0] * first + sums[1] * second) / math.fsum(sums)
    assert largest_relative(merged, image(table, how)) <= WEIGHTED_SOURCES_RELATIVE


@pytest.mark.spec("SRC-5")
@PLACES
@pytest.mark.parametrize("precision", ["mixed", "float64"])
@pytest.mark.parametrize("physics", ["exact", "nanobragg"])
def test_any_chunking_of_any_weights_gives_the_same_image(place, precision, physics):
    how = options(place, precision)
    weights = 10.0 ** np.random.default_rng(4).uniform(-6.0, 6.0, 23)
    table = table_of(tuple(weights.tolist()))
    whole = image(table, how, physics, source_chunk=23)
    for size in (1, 2, 3, 7, 11, 22):
        cut = image(table, how, physics, source_chunk=size)
        assert ulp(cut, whole) <= CHUNKED_SOURCES_ULP


@pytest.mark.spec("SRC-2")
@PLACES
def test_equal_weights_are_the_plain_mean_of_any_number(place):
    how, scene = options(place), SCENES["exact"]
    table = table_of((0.7,) * 5)
    weighted = render_image(with_sources(scene, table, "sum"), how)
    counted = render_image(with_sources(scene, table, "count"), how)
    assert largest_relative(weighted, counted) <= WEIGHTED_SOURCES_RELATIVE


@pytest.mark.spec("SRC-3")
@PLACES
def test_unequal_weights_tell_the_rules_apart(place):
    how, scene = options(place), SCENES["exact"]
    table = table_of((1.0, 0.2))
    images = {
        rule: render_image(with_sources(scene, table, rule), how)
        for rule in ("sum", "count", "none")
    }
    assert largest_relative(images["sum"], images["count"]) > 0.1
    # `none` leaves out the divisor: the sum of weights is the ratio, and the count is not.
    expected = images["sum"] * 1.2
    assert largest_relative(images["none"], expected) <= WEIGHTED_SOURCES_RELATIVE
