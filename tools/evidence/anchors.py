"""The places in the code that the page on normalisation names, found by symbol and text."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.evidence.checkout import ROOT

PAGE: Final = ROOT / "docs" / "explanation" / "normalization-flow.md"

_ITEM: Final = re.compile(
    r"- \[(?P<file>[\w./]+)\]\(\.\./\.\./distbragg/(?P=file)\) `(?P<symbol>\w+)`: `(?P<text>.+)`"
)


class AnchorError(LookupError):
    """The code no longer holds what the page names."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """One line of the package.

    Attributes
    ----------
    file : str
        Path from the package's folder, `models/build_beam.py`.
    symbol : str
        Function or class of a Python file that holds the line; elsewhere a name in the file.
    text : str
        What exactly one line of it holds.
    """

    file: str
    symbol: str
    text: str

    def line(self) -> int:
        """Find the line, counted from 1.

        Raises
        ------
        AnchorError
            The file, the symbol or the text is not there, or the text is there twice.
        """
        path = ROOT / "distbragg" / self.file
        if not path.is_file():
            raise AnchorError(f"{self.file} does not exist")
        code = path.read_text(encoding="utf-8")
        lines = code.splitlines()
        first, last = self._extent(code) if path.suffix == ".py" else (1, len(lines))
        if not re.search(rf"\b{self.symbol}\b", code):
            raise AnchorError(f"{self.file} has no {self.symbol}")
        held = [n for n in range(first, last + 1) if self.text in lines[n - 1]]
        if len(held) != 1:
            where = f"{self.file}, {self.symbol}"
            raise AnchorError(f"{where}: {len(held)} lines hold {self.text!r}, not one")
        return held[0]

    def _extent(self, code: str) -> tuple[int, int]:
        """First and last line of a function or class of a Python file."""
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == self.symbol:
                return node.lineno, node.end_lineno or node.lineno
        raise AnchorError(f"{self.file} has no {self.symbol}")


def anchor_of(line: str) -> Anchor | None:
    """Read an item of the page; None where the line is none.

    Raises
    ------
    AnchorError
        The line links to code in another form.
    """
    if not line.startswith("- ["):
        return None
    match = _ITEM.fullmatch(line)
    if match is None:
        raise AnchorError(
            f"not of the form - [file](../../distbragg/file) `symbol`: `text`: {line}"
        )
    return Anchor(match["file"], match["symbol"], match["text"])


def flow_with_lines(page: Path = PAGE) -> str:
    """Return the page with line numbers in place of links, for a bundle that lies anywhere."""
    lines: list[str] = []
    for line in page.read_text(encoding="utf-8").splitlines():
        anchor = anchor_of(line)
        if anchor is not None:
            line = f"- `distbragg/{anchor.file}:{anchor.line()}`: `{anchor.text}`"
        lines.append(re.sub(r"\[([^]]+)\]\([\w-]+\.md\)", r"\1", line))
    return "\n".join(lines)
