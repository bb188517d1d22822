"""One page at work: its blocks, run in order in a folder."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from distbragg.clusters.address import parse_cluster
from distbragg.models.tables import load_any
from tests.docs import command
from tests.docs.blocks import ROOT, Block, read_page
from tests.docs.given import GIVEN, object_store, shown

MAKE = f'#!/bin/bash\nexec {shutil.which("make")} -n -C "{ROOT}" "$@" > /dev/null\n'
PYTHON = f'#!/bin/bash\nexec "{sys.executable}" "$@" $DOCS_MORE\n'
PIP = """#!/bin/bash
# What is installed is checked by the test; here nothing changes.
echo "pip $*" >> "$DOCS_PIP"
"""


def programs_in(folder: Path) -> Path:
    """Put `distbragg` into a folder, and a `make` and a `pip` that change nothing."""
    command.write_client(folder / "distbragg")
    for name, text in {"make": MAKE, "pip": PIP, "python": PYTHON}.items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder


class Page:
    """One page at work: its folder, its names, its last output."""

    def __init__(self, folder: Path, programs: Path, given: Path) -> None:
        self.folder, self.given = folder, given
        self.names: dict[str, object] = {"__name__": "__main__"}
        self.output = ""
        self.ending = contextlib.ExitStack()
        self.pip = folder / ".pip"
        self.environment = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "DOCS_PIP": str(self.pip),
            "MPLBACKEND": "agg",
        }

    def do_given(self, block: Block) -> None:
        for name in block.text.split():
            if name == "s3":
                self.environment.update(self.ending.enter_context(object_store()))
                continue
            page, _, file = name.rpartition(":")
            if page:
                (self.folder / file).write_text(shown(page, file), encoding="utf-8")
                continue
            source, target = self.given / name, self.folder / name
            if not source.exists():
                GIVEN[name](source)
            if source.is_symlink():
                GIVEN[name](target)
            elif source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copy(source, target)

    def do_small(self, block: Block) -> None:
        self.environment[command.SMALL] = block.text

    def do_more(self, block: Block) -> None:
        self.environment["DOCS_MORE"] = block.text

    def do_env(self, block: Block) -> None:
        self.environment.update(word.split("=", 1) for word in block.text.split())

    def do_bash(self, block: Block) -> None:
        """Run commands; a status other than 0 fails, as does a command that is not there."""
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", block.text],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=500,
        )
        self.output = done.stdout + done.stderr
        assert done.returncode == 0, f"status {done.returncode}:\n{self.output}"
        assert "is now written" not in self.output, f"a former name:\n{self.output}"

    do_shell = do_bash

    def do_python(self, block: Block) -> None:
        written = io.StringIO()
        with contextlib.redirect_stdout(written), contextlib.chdir(self.folder):
            exec(compile(block.text, "block", "exec"), self.names)
        self.output = written.getvalue()

    def do_yaml(self, block: Block) -> None:
        """Read a specification or a cluster file with what reads those of users."""
        if block.file:
            return
        data = yaml.safe_load(block.text)
        path = self.folder / "block.yaml"
        path.write_text(block.text, encoding="utf-8")
        if "kind" in data:
            assert parse_cluster(str(path)).workers
        else:
            sweep = load_any(path)
            assert sweep.frames >= 1
            sweep.frame_spec(sweep.frames - 1)

    def do_text(self, block: Block) -> None:
        """Let drawings and outputs be; commands have a language."""
        assert not re.match(r"\$ |distbragg [a-z]|pip |python ", block.text), "bash?"

    def do(self, block: Block) -> None:
        """Take one step."""
        if block.file:
            (self.folder / block.file).write_text(block.text, encoding="utf-8")
        if block.output:
            lines = [shape(line) for line in block.text.splitlines() if line.strip()]
            written = {shape(line) for line in self.output.splitlines()}
            assert [line for line in lines if line != "…" and line not in written] == [], written
        else:
            getattr(self, f"do_{block.kind}", self.do_text)(block)


def shape(line: str) -> str:
    """Return a line without its numbers and widths, which differ from run to run."""
    return re.sub(r"\s+", " ", re.sub(r"-?\d[\d.,]*(e[+-]?\d+)?", "0", line)).strip()


def run_page(path: Path, page: Page) -> None:
    """Run all blocks of a page; an error names the block."""
    with page.ending:
        for block in read_page(path):
            if block.skip:
                continue
            try:
                page.do(block)
            except BaseException as error:
                error.add_note(f"{path.relative_to(ROOT)}:{block.line}\n{block.text}")
                raise
