"""Prometheus metrics, and that the board, the alerts and the documentation name only them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from distbragg.dashboard.metrics import RunCollector
from distbragg.dashboard.plugin import WatchedRun

from .standing import Clock, done, failed, message, retried

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "cluster" / "prometheus"
BOARD = FOLDER / "grafana.json"
RULES = FOLDER / "alerts.yml"


@pytest.fixture
def registry():
    """A registry that tells of one run in which everything happened."""
    units = [done(0), done(1, seconds=2000.0), done(2, seconds=1e6)]
    trouble = [retried(4, "OSError: x"), retried(4, "OSError: x"), failed(4, "odd.kind: x")]
    posted = message(*units, *trouble)
    posted["progress"] |= {"eta_s": 61.0, "outside_kernel": 0.25}
    registry = CollectorRegistry()
    registry.register(RunCollector({"r": WatchedRun(posted, Clock())}))
    return registry


def series_of(registry) -> set[str]:
    """Names of all series, as a query writes them."""
    return {sample.name for metric in registry.collect() for sample in metric.samples}


@pytest.mark.spec("WAT-8")
def test_metrics_tell_the_counts(registry):
    def value(name, **labels):
        return registry.get_sample_value(name, {"run": "r", **labels})

    assert value("distbragg_frames_total") == 3
    assert value("distbragg_pixel_steps_total") == 900
    assert value("distbragg_bytes_total") == 21
    assert value("distbragg_failures_total", reason="odd.kind") == 1
    assert value("distbragg_retries_total", reason="OSError") == 2
    assert value("distbragg_worker_seconds_total", part="kernel") == pytest.approx(501001)
    assert value("distbragg_eta_seconds") == 61
    assert value("distbragg_frames_left") == 16
    assert value("distbragg_workers") == 3
    assert value("distbragg_outside_kernel_ratio") == 0.25
    assert value("distbragg_disk_free_bytes") == 5
    assert value("distbragg_run_state", state="running") == 1
    assert value("distbragg_run_state", state="ended") == 0
    assert value("distbragg_unit_seconds_bucket", le="3") == 1
    assert value("distbragg_unit_seconds_bucket", le="3000") == 2
    assert value("distbragg_unit_seconds_bucket", le="+Inf") == 3
    assert value("distbragg_unit_seconds_count") == 3
    assert value("distbragg_unit_seconds_sum") == pytest.approx(1002002)


def test_what_is_unknown_is_left_out():
    registry = CollectorRegistry()
    registry.register(RunCollector({"r": WatchedRun(message(), Clock())}))
    assert registry.get_sample_value("distbragg_eta_seconds", {"run": "r"}) is None
    assert registry.get_sample_value("distbragg_frames_total", {"run": "r"}) == 0


def test_metrics_can_be_read_back(registry):
    text = generate_latest(registry).decode().removesuffix("# EOF\n")
    names = {family.name for family in text_string_to_metric_families(text)}
    assert "distbragg_unit_seconds" in names


def expressions() -> dict[str, str]:
    """Every query of the board and the alerts, by where it stands."""
    board = json.loads(BOARD.read_text(encoding="utf-8"))
    found = {
        f"board: {panel['title']} {target['refId']}": target["expr"]
        for panel in board["panels"]
        for target in panel.get("targets", ())
    }
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            found[f"board: ${variable['name']}"] = variable["query"]["query"]
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            found[f"alert: {rule['alert']}"] = rule["expr"]
    return found


@pytest.mark.spec("WAT-8")
def test_board_and_alerts_ask_only_for_metrics_that_exist(registry):
    known = series_of(registry)
    asked = {}
    for place, expression in expressions().items():
        names = set(re.findall(r"\bdistbragg_\w+", expression))
        assert names, f"{place} asks for none of our metrics"
        asked.update(dict.fromkeys(names, place))
    assert {name: place for name, place in asked.items() if name not in known} == {}
    never_shown = (
        known - set(asked) - {"distbragg_unit_seconds_sum", "distbragg_unit_seconds_count"}
    )
    assert never_shown == set()


def test_board_has_unique_panels_that_do_not_overlap():
    board = json.loads(BOARD.read_text(encoding="utf-8"))
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    cells = [
        (x, y)
        for panel in board["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_documentation_lists_every_metric(registry):
    text = (ROOT / "docs" / "how-to" / "watch.md").read_text(encoding="utf-8")
    described = set(re.findall(r"`(distbragg_\w+)", text))
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in series_of(registry)}
    assert described == families


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_prometheus_accepts_configuration_and_alerts():
    for command in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts.test.yml"]):
        result = subprocess.run(
            ["promtool", *command], cwd=FOLDER, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr
