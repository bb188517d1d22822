"""The evidence bundle on source weights: measured, drawn and written by one call."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.c_program import c_binary
from tools.evidence import source_weights_text as text
from tools.evidence.anchors import flow_with_lines
from tools.evidence.bundle import Bundle
from tools.evidence.checkout import (
    ClauseTests,
    PytestRun,
    clause_tests,
    files_of,
    functions_of,
    pytest_command,
    run_pytest,
)
from tools.evidence.live_parity import LiveParity, live_parity
from tools.evidence.weight_measures import (
    ChunkRow,
    OracleRow,
    PropertyRow,
    available_options,
    chunk_rows,
    oracle_rows,
    property_rows,
)
from tools.evidence.weight_rules import RuleRow, RuleSet, rule_rows, rule_set
from tools.evidence.weighted import SourceTable, pink_beam

TOPIC: Final = "source-weights"


@dataclass(frozen=True, slots=True)
class Measured:
    """All that the bundle's summary says.

    Attributes
    ----------
    oracle, chunks, properties, rules : rows of the tables
    rendered_sum, rendered_count : float
        Distance of the rendered pink-beam images from the rules applied by hand.
    live : LiveParity or None
        None where `NB_C_BIN` is not set.
    tests : PytestRun or None
        None where not asked for.
    seconds : float
    """

    oracle: tuple[OracleRow, ...]
    chunks: tuple[ChunkRow, ...]
    properties: tuple[PropertyRow, ...]
    rules: tuple[RuleRow, ...]
    rendered_sum: float
    rendered_count: float
    live: LiveParity | None
    tests: PytestRun | None
    seconds: float


def write_bundle(root: Path, *, run_tests: bool = True) -> Path:
    """Measure everything and write it as a bundle under `root`; return its folder.

    Parameters
    ----------
    root : Path
        Folder that holds all topics.
    run_tests : bool
        Also collect and run the tests of the clauses.

    Raises
    ------
    EnvironmentFailure
        The bundle exists already, or `NB_C_BIN` names no working program.
    """
    started = time.perf_counter()
    binary = c_binary()
    bundle = Bundle.create(root, TOPIC)
    clauses = clause_tests("sources")
    bundle.write_text("normalization_flow.md", flow_with_lines())
    bundle.write_text("strategy.md", text.strategy_page())
    bundle.write_text("tests.md", text.tests_page(clauses))
    tests = _collect_and_run(bundle, clauses, run_tests=run_tests)
    fastest = available_options("float64")[0]
    scene, table = pink_beam()
    rules = rule_set(scene, table, fastest)
    _draw(bundle, table, rules)
    live = None if binary is None else live_parity(binary, bundle, fastest)
    measured = Measured(
        oracle=tuple(oracle_rows()),
        chunks=tuple(chunk_rows()),
        properties=tuple(property_rows()),
        rules=tuple(rule_rows(rules.images)),
        rendered_sum=rules.rendered_sum,
        rendered_count=rules.rendered_count,
        live=live,
        tests=tests,
        seconds=time.perf_counter() - started,
    )
    bundle.write_text("summary.md", summary(measured))
    return bundle.path


def _collect_and_run(
    bundle: Bundle, clauses: Sequence[ClauseTests], *, run_tests: bool
) -> PytestRun | None:
    """Write `pytest_collect.log`, and `pytest_run.log` of the tests that the clauses name."""
    if not run_tests:
        bundle.write_text("pytest_collect.log", "not collected")
        return None
    _run_and_log(bundle, "pytest_collect.log", ("--collect-only", "-q", *files_of(clauses)))
    quiet = ("-q", "-rs", "-p", "no:cacheprovider")
    return _run_and_log(bundle, "pytest_run.log", (*quiet, *functions_of(clauses)))


def _run_and_log(bundle: Bundle, name: str, arguments: Sequence[str]) -> PytestRun:
    command = pytest_command(*arguments)
    bundle.record_command(command)
    answer = run_pytest(command)
    bundle.write_text(name, answer.output)
    return answer


def _draw(bundle: Bundle, table: SourceTable, rules: RuleSet) -> None:
    from tools.evidence import figures  # matplotlib is needed for this alone

    figures.draw_spectrum(bundle.path / "spectrum.png", table)
    figures.draw_images(bundle.path / "rules.png", rules.images)
    figures.draw_ratios(bundle.path / "rule_ratios.png", rules.images)
    figures.draw_polarization(bundle.path / "first_polarization.png", rules.images)


def summary(measured: Measured) -> str:
    """Write the summary: verdicts first, then the tables, then what stays open."""
    worst_oracle = max(row.relative for row in measured.oracle)
    worst_ulp = max(row.ulp for row in measured.chunks)
    broken = [row.name for row in measured.properties if not row.holds]
    return "\n\n".join(
        [
            text.verdicts(worst_oracle, worst_ulp, broken, measured.tests, measured.seconds),
            text.oracle_section(measured.oracle),
            text.property_section(measured.properties),
            text.chunk_section(measured.chunks),
            text.rule_section(measured.rules, measured.rendered_sum, measured.rendered_count),
            text.live_section(measured.live),
            text.open_questions(measured.live),
        ]
    )
