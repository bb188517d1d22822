"""Text that comes from files is shown quoted: it moves no cursor and passes for no line."""

from __future__ import annotations

import json

import pytest

from distbragg.cli.main import main
from distbragg.engine.events import RunStarted, UnitFinished
from distbragg.engine.work import UnitOutcome
from distbragg.quantities import quoted
from distbragg.run.progress import Lines, ProgressDisplay
from distbragg.store.ledger import record_failure

from ..run.test_status import make_run

HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\nstate finished\r\u202egnp.exe\u2028\u00ad"
"""Clears the screen (CSI), names the window (OSC, BEL), colours (C1), breaks lines, turns text."""


NULS = "\x00\x7f\x85"


def is_quiet(text: str) -> bool:
    """Whether a terminal shows this text and does nothing else."""
    return all(line.isprintable() for line in text.split("\n"))


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "RUN", title=HOSTILE)


@pytest.mark.spec("SEC-15")
@pytest.mark.parametrize(
    "text", [HOSTILE, "\x00\x7f\x85", "\udc80.hkl", "a\u2066b\u2069", "\ufeff"]
)
def test_quoting_leaves_nothing_to_obey(text):
    assert quoted(text).isprintable()
    assert quoted(quoted(text)) == quoted(text)


def test_quoting_leaves_ordinary_text_alone():
    assert quoted("Å–µm ‰ 結晶 é /tmp/a b\\c") == "Å–µm ‰ 結晶 é /tmp/a b\\c"


@pytest.mark.spec("SEC-15")
@pytest.mark.parametrize("command", ["info", "status", "card", "verify"])
def test_titles_and_reasons_are_quoted(run, capsys, command):
    record_failure(run, 1, 3, f"OSError: {HOSTILE}")
    main([command, str(run.path)])
    told = capsys.readouterr()
    assert is_quiet(told.out), ascii(told.out)
    assert is_quiet(told.err), ascii(told.err)
    assert "\nstate finished" not in told.out


@pytest.mark.spec("SEC-15")
def test_holders_of_locks_are_quoted(run, capsys):
    lock = run.state / "lock"
    body = {"host": HOSTILE, "pid": 7, "token": "a", "boot": "b", "started": 1.0}
    lock.write_text(json.dumps(body))
    for command in ("status", "info", "resume"):
        main([command, str(run.path)])
        told = capsys.readouterr()
        assert is_quiet(told.out + told.err), ascii(told.out + told.err)


@pytest.mark.spec("SEC-15")
def test_names_of_files_in_errors_are_quoted(tmp_path, capsys):
    missing = tmp_path / f"a{HOSTILE.replace('/', '')}.yaml"
    assert main(["plan", str(missing)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert is_quiet(told), ascii(told)


@pytest.mark.spec("SEC-15")
def test_reasons_in_the_progress_are_quoted(capsys):
    with ProgressDisplay(Lines()) as view:
        view(RunStarted(1, 1, 1.0, 1))
        view(UnitFinished(UnitOutcome(0, "failed", 3, {}, f"OSError: {HOSTILE}")))
    told = capsys.readouterr().err
    assert is_quiet(told), ascii(told)
    assert "OSError" in told
