"""DIALS as a judge of exported files: its programs, and scripts for its Python."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
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

    Programs of DIALS, given as their words, are run before it in the same process, which is
    forked off one that has loaded DIALS: that takes longer than to work.
    """
    before = f"for name, *words in {[list(program) for program in programs]}: work(name, words)"
    job = {"folder": str(folder), "script": f"{before}\n{script}", "arguments": arguments}
    process = _forking()
    process.stdin.write(json.dumps(job) + "\n")
    process.stdin.flush()
    status, told = json.loads(process.stdout.readline())
    assert status == 0, told[-2000:]
    return json.loads(told.splitlines()[-1])


@cache
def _forking() -> subprocess.Popen[str]:
    """Start the process of DIALS that forks others; it ends when its input does."""
    assert _SHOW is not None
    python = Path(_SHOW).resolve().read_text().split()[0].removeprefix("#!")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.Popen(
        [python, "-I", "-c", _FORKING],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    @atexit.register
    def end() -> None:
        process.communicate()

    return process


_FORKING = """
import importlib, json, os, sys, tempfile, traceback
import dxtbx.model.experiment_list, dials.command_line.dials_import

def work(name, words):
    module = "dials_import" if name == "import" else name
    importlib.import_module(f"dials.command_line.{module}").run(words)

def do(folder, script, arguments):
    os.chdir(folder)
    sys.argv = ["-c", *arguments]
    names = dict(globals())
    exec(script, names)
    print("\\n" + json.dumps(names["found"]))

for line in sys.stdin:
    with tempfile.TemporaryFile("w+", errors="replace") as told:
        child = os.fork()
        if child == 0:
            os.dup2(told.fileno(), 1)
            os.dup2(told.fileno(), 2)
            status = 1
            try:
                do(**json.loads(line))
                status = 0
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            os._exit(status)
        _, status = os.waitpid(child, 0)
        told.seek(0)
        answer = json.dumps([status, told.read()])
    print(answer, flush=True)
"""
