"""Errors to exit statuses and single lines; a fast, lazy start."""

from __future__ import annotations

import errno
import logging
import subprocess
import sys

import click
import pytest

from distbragg.cli import main as cli_main
from distbragg.cli.main import COMMANDS, cli, main
from distbragg.errors import (
    DamageError,
    EnvironmentFailure,
    InputError,
    PlanError,
    RefusedError,
)

HEAVY = ("torch", "dask", "distributed", "xarray", "zarr", "gemmi", "matplotlib", "pydantic")


def run_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    @click.command("boom")
    def boom() -> None:
        raise error

    monkeypatch.setattr(cli_main.LazyGroup, "get_command", lambda *_: boom)
    return main(["boom"])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError("is\nodd", source="a.yaml:3", field="beam", remedy="mend it"), 2),
        (PlanError("too large"), 2),
        (RefusedError("another run"), 4),
        (DamageError("bytes differ"), 5),
        (EnvironmentFailure("no space"), 6),
        (OSError(errno.ENOSPC, "No space left on device", "out.zarr"), 6),
        (OSError(errno.EIO, "Input/output error"), 6),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "x.yaml"), 2),
        (PermissionError(errno.EACCES, "Permission denied", "x.yaml"), 2),
        (MemoryError(), 6),
    ],
)
def test_errors_meant_for_the_user_are_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    status: int,
) -> None:
    assert run_with(monkeypatch, error) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("distbragg: error: ")


def test_an_interruption_is_130_and_says_how_to_continue(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(monkeypatch, KeyboardInterrupt()) == 130
    assert "resume" in capsys.readouterr().err


def test_a_defect_of_the_program_is_not_dressed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        run_with(monkeypatch, ZeroDivisionError())


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command("boom")
    def boom() -> None:
        raise InputError("is odd")

    monkeypatch.setattr(cli_main.LazyGroup, "get_command", lambda *_: boom)
    with pytest.raises(InputError):
        main(["--debug", "boom"])


@pytest.mark.parametrize(
    "arguments", [["rendr"], ["render"], ["--sett"], ["render", "--frob", "x.yaml"]]
)
def test_usage_errors_are_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "--help" in err


def test_help_teaches_and_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for name in COMMANDS:
        assert f"\n  {name} " in text
    for word in ("spec", "sweep", "stack", "resume", "Exit status", "--set"):
        assert word in text
    assert main([]) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert "Usage:" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from distbragg import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"distbragg {__version__}\n"


def test_warnings_are_single_lines_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command("warn")
    def warn() -> None:
        for text in ("one\n thing", "one\n thing", "another %d"):
            logging.getLogger("distbragg").warning(text, *([7] if "%" in text else []))

    monkeypatch.setattr(cli_main.LazyGroup, "get_command", lambda *_: warn)
    assert main(["warn"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "distbragg: warning: one thing",
        "distbragg: warning: another 7",
    ]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["sweep", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom distbragg.cli.main import main\n"
        f"status = main({arguments!r})\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.exit(f'imported {loaded}' if loaded else status)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_group_is_usable_without_main() -> None:
    from click.testing import CliRunner

    result = CliRunner().invoke(cli, ["--version"])
    assert result.exit_code == 0
