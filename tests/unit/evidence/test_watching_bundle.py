"""What watching costs: pairs, their summary, and one pair measured."""

from __future__ import annotations

import json

import pytest

from distbragg.engine.events import RunStarted
from tools.evidence import watching
from tools.evidence.terminal import on_terminal
from tools.evidence.watching import Pair, interval, measure, summary, write_bundle


def pairs_of(*extras):
    return [Pair(10.0 * (1 + extra), 10.0, 5.0, 5.0, 9.0, 9.0) for extra in extras]


@pytest.mark.spec("WAT-9")
def test_the_verdict_follows_the_median_pair():
    assert "The bar holds" in summary(pairs_of(0.001, 0.002, 0.9))
    assert "The bar FAILS" in summary(pairs_of(0.001, 0.02, 0.03))
    assert "| 2.00 |" in summary(pairs_of(0.001, 0.02, 0.03))


def test_the_interval_holds_the_median_and_is_the_same_each_time():
    extras = [0.001 * number for number in range(20)]
    low, high = interval(extras)
    assert 0 < low < 0.0095 < high < 0.019
    assert interval(extras) == (low, high)


def test_a_kernel_that_took_longer_by_itself_is_not_what_watching_costs():
    slower = Pair(cpu_on=11.1, cpu_off=10.0, wall_on=6, wall_off=5, kernel_on=10, kernel_off=9)
    assert slower.extra == pytest.approx(0.11)
    assert slower.beside_kernel == pytest.approx(0.01)
    assert "| … with the kernel's taken as equal, % | 1.00 |" in summary([slower])


def test_the_display_is_drawn_on_a_terminal(capsys):
    with on_terminal() as tell:
        tell(RunStarted(units=1, frames=1, cost=1.0, workers=1))
        assert tell._screen._live.console.is_terminal
    assert capsys.readouterr().err == ""


@pytest.mark.spec("WAT-9")
@pytest.mark.cluster
@pytest.mark.slow
def test_a_pair_is_measured_and_written(tmp_path, monkeypatch):
    monkeypatch.setattr(watching, "EDGE", 31)
    monkeypatch.setattr(watching, "DOMAINS", 3)
    monkeypatch.setattr(watching, "measure", lambda *given: measure(*given, units=3))
    path = write_bundle(tmp_path, pairs=1)
    (pair,) = json.loads((path / "pairs.json").read_text())
    measured = {name for name, value in pair.items() if isinstance(value, float)}
    assert {"cpu_on", "cpu_off", "wall_on", "wall_off", "kernel_on", "kernel_off"} < measured
    assert "# What watching costs" in (path / "summary.md").read_text()
    assert (path / "env.json").exists()
