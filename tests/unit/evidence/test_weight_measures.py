"""The measurements behind the evidence on weights, and that they can fail."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from distbragg.kernel.options import KernelOptions
from tools.evidence import weight_measures, weight_rules, weighted
from tools.evidence.weight_measures import (
    RELATIVE_BAR,
    ULP_BAR,
    chunk_rows,
    oracle_rows,
    property_rows,
)
from tools.evidence.weight_rules import RuleImage, rule_rows, rule_set
from tools.evidence.weighted import (
    SourceTable,
    largest_relative,
    pink_beam,
    single_source_sum,
    table_of,
)

MODEL = KernelOptions("float64", "model", "cpu", 1)


@pytest.fixture
def model_alone(monkeypatch):
    """One kernel, a short spectrum and two chunk sizes: the measurements at a tenth of the time."""
    monkeypatch.setattr(weight_measures, "available_options", lambda precision: (
        KernelOptions(precision, "model", "cpu", 1),
    ))  # fmt: skip
    monkeypatch.setattr(weight_measures, "RANDOM_CHANNELS", 17)
    monkeypatch.setattr(weight_measures, "CHUNK_SIZES", (1, 13))


def test_measurements_keep_their_bars(model_alone):
    assert max(row.relative for row in oracle_rows()) <= RELATIVE_BAR
    rows = list(chunk_rows())
    assert [(row.precision, row.chunk, row.chunks) for row in rows] == [
        ("mixed", 1, 55), ("mixed", 13, 5), ("float64", 1, 55), ("float64", 13, 5),
    ]  # fmt: skip
    assert max(row.ulp for row in rows) <= ULP_BAR
    assert [row.name for row in property_rows() if not row.holds] == []


def test_a_count_in_the_divisor_breaks_them(model_alone, monkeypatch):
    right = weighted.make_sources

    def counted(direction, wavelength, weight, rule):
        sources = right(direction, wavelength, weight, rule)
        return dataclasses.replace(sources, total_weight=float(sources.count))

    monkeypatch.setattr(weighted, "make_sources", counted)
    rows = {row.weights: row.relative for row in oracle_rows()}
    assert rows["1.0, 0.2"] > 0.1
    broken = {row.name for row in property_rows() if not row.holds}
    assert {"one source split 0.3 : 0.7"} <= broken
    assert "sources in another order" not in broken


def test_weights_that_are_dropped_break_the_oracle(model_alone, monkeypatch):
    right = weighted.make_sources
    monkeypatch.setattr(
        weighted,
        "make_sources",
        lambda direction, wavelength, weight, rule: right(
            direction, wavelength, np.ones_like(weight), rule
        ),
    )
    rows = {row.weights: row.relative for row in oracle_rows()}
    assert rows["1e-6, 1, 1e6"] > 0.1
    assert rows["five equal"] <= RELATIVE_BAR


def test_relative_difference_sees_a_pixel_lost_in_one_image():
    first, second = np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]])
    assert largest_relative(first, second) == 0.0
    second[0, 1] = 1e-30
    assert largest_relative(first, second) == 1.0


def test_the_oracle_shares_out_the_fluence():
    scene = weighted.small_scene(changes={"sampling": {"oversample": 1}, "sensor": {}})
    one = table_of((5.0,))
    same = SourceTable(
        np.repeat(one.direction, 3, axis=0), np.repeat(one.wavelength, 3), np.array([1.0, 0, 9.0])
    )
    assert largest_relative(
        single_source_sum(scene, same, MODEL), single_source_sum(scene, one, MODEL)
    ) <= RELATIVE_BAR  # fmt: skip


@pytest.fixture(scope="module")
def rules():
    scene, table = pink_beam((18, 19))
    return scene, table, rule_set(scene, table, MODEL)


def test_rendered_images_are_the_rules_applied_by_hand(rules):
    _, _, found = rules
    assert found.rendered_sum <= RELATIVE_BAR
    assert found.rendered_count <= RELATIVE_BAR


def test_wrong_rules_have_the_ratios_they_must_have(rules):
    _, table, found = rules
    rows = {row.name: row for row in rule_rows(found.images)}
    assert list(rows)[:2] == ["sum", "count"]
    assert len(rows) == 8
    count, total = table.count, float(table.weight.sum())
    assert rows["sum"].total == 1.0
    assert rows["weights over count"].total == pytest.approx(total / count, rel=1e-12)
    assert rows["weights sum to N"].low == pytest.approx(count, rel=1e-12)
    assert rows["divided twice"].high == pytest.approx(1.0 / count, rel=1e-12)
    for name in ("weights over count", "weights sum to N", "divided twice"):
        assert rows[name].correlation == pytest.approx(1.0, abs=1e-12)
    for name in ("count", "count, no wavelengths", "each chunk by itself"):
        assert rows[name].correlation < 0.99


def test_first_polarisation_differs_though_it_correlates(rules):
    _, _, found = rules
    row = next(row for row in rule_rows(found.images) if row.name == "first polarisation")
    assert row.correlation > 0.999
    assert row.low < 0.99
    assert row.high > 1.01


def test_chunks_normalised_by_themselves_are_right_for_one_chunk_alone(monkeypatch):
    alone = np.random.default_rng(1).uniform(size=(4, 3, 5))
    weight = np.array([1.0, 2.0, 3.0, 4.0])
    expected = np.einsum("s,sij->ij", weight, alone) / weight.sum()
    np.testing.assert_allclose(weight_rules._chunk_means(alone, weight), expected, rtol=1e-14)
    monkeypatch.setattr(weight_rules, "CHUNK", 3)
    assert not np.allclose(weight_rules._chunk_means(alone, weight), expected, rtol=1e-2)


def test_rows_count_bright_pixels_alone():
    right = np.array([[1.0, 1e-9, 0.5]])
    wrong = np.array([[2.0, 5.0, 1.0]])
    rows = rule_rows([RuleImage("a", "", "", right), RuleImage("b", "", "", wrong)])
    assert (rows[1].low, rows[1].high) == (2.0, 2.0)
