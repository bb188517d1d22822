"""DIALS as a judge of exported files: its programs, and scripts for its Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

_SHOW = shutil.which("dials.show")

needs_dials = pytest.mark.skipif(_SHOW is None, reason="DIALS is not installed")


def _run(folder: Path, *command: str) -> str:
    """Run a program of DIALS in a folder; return what it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def dials(folder: Path, program: str, *arguments: str) -> str:
    """Run `dials.<program>` in a folder; return what it prints."""
    return _run(folder, f"dials.{program}", *arguments)


def dxtbx(
    folder: Path, script: str, *arguments: str, programs: Sequence[Sequence[str]] = ()
) -> Any:
    """Run a script with DIALS' Python, which leaves its answer in `found`; return that.

    Programs of DIALS, given as their words, are run before it in the same process: each would
    take longer to load than to work.
    """
    assert _SHOW is not None
    python = Path(_SHOW).resolve().read_text().split()[0].removeprefix("#!")
    before = f"for name, *words in {[list(program) for program in programs]}: work(name, words)"
    whole = f"{_WORK}\n{before}\n{script}\nprint('\\n' + json.dumps(found))"
    return json.loads(_run(folder, python, "-I", "-c", whole, *arguments).splitlines()[-1])


_WORK = """
import importlib, json, sys

def work(name, words):
    module = "dials_import" if name == "import" else name
    importlib.import_module(f"dials.command_line.{module}").run(words)
"""
