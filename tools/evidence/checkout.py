"""What a bundle takes from the checkout: its tests, its clauses, its golden images."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
"""Folder of the checkout."""

_CLAUSE: Final = re.compile(r"^### (?P<id>[A-Z]{3}-\d+) (?P<title>\S.*)$")
_TEST: Final = re.compile(r"`(?P<test>tests/[^`:\s]+\.py::[^`\s]+)`")
_TEST_SECONDS: Final = 240


@dataclass(frozen=True, slots=True)
class ClauseTests:
    """A normative clause and the tests it names, as `file::test`."""

    identifier: str
    title: str
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PytestRun:
    """What pytest said."""

    output: str
    status: int
    seconds: float

    @property
    def verdict(self) -> str:
        """The last line that pytest wrote."""
        lines = [line for line in self.output.splitlines() if line.strip()]
        return lines[-1].strip("= ") if lines else ""


def clause_tests(name: str) -> tuple[ClauseTests, ...]:
    """Read the clauses of `specs/<name>.md` with the tests each names."""
    clauses: list[ClauseTests] = []
    tests: list[str] = []
    heading: re.Match[str] | None = None
    text = (ROOT / "specs" / f"{name}.md").read_text(encoding="utf-8")
    for line in [*text.splitlines(), "### END-0 end"]:
        match = _CLAUSE.match(line)
        if match is None:
            tests += _TEST.findall(line)
            continue
        if heading is not None:
            clauses.append(ClauseTests(heading["id"], heading["title"], tuple(tests)))
        heading, tests = match, []
    return tuple(clauses)


def pytest_command(*arguments: str) -> tuple[str, ...]:
    """Return the command line that runs pytest, as a user would write it."""
    return ("python", "-m", "pytest", *arguments)


def run_pytest(command: Sequence[str], root: Path = ROOT) -> PytestRun:
    """Run a `pytest_command` in the checkout; paths of the machine do not enter the output."""
    started = time.perf_counter()
    try:
        answer = subprocess.run(
            [sys.executable, *command[1:]],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=_TEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return PytestRun(f"stopped after {_TEST_SECONDS} s", -1, float(_TEST_SECONDS))
    text = (answer.stdout + answer.stderr).replace(f"{root}/", "").replace(str(root), ".")
    return PytestRun(text, answer.returncode, time.perf_counter() - started)


def files_of(clauses: Sequence[ClauseTests]) -> tuple[str, ...]:
    """Return the files of the clauses' tests, each once, in order."""
    names = (test.split("::")[0] for clause in clauses for test in clause.tests)
    return tuple(dict.fromkeys(names))


def functions_of(clauses: Sequence[ClauseTests]) -> tuple[str, ...]:
    """Return the clauses' tests as `file::test`, each once, in order."""
    return tuple(dict.fromkeys(test for clause in clauses for test in clause.tests))
