"""Places in the code, found by symbol and text, so that a line number is never written by hand."""

from __future__ import annotations

import ast
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import distbragg

PACKAGE: Final = Path(distbragg.__file__).resolve().parent
_CODE_WIDTH: Final = 64


class AnchorError(LookupError):
    """The code no longer holds what an anchor names."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """One line of the package.

    Attributes
    ----------
    file : str
        Path from the package's folder, `models/sources.py`.
    symbol : str
        Function or class that holds the line, dotted; empty: the whole file.
    fragment : str
        Text that exactly one line of it holds; empty: the line of its definition.
    """

    file: str
    symbol: str = ""
    fragment: str = ""

    @property
    def path(self) -> str:
        """Path from the root of the source tree."""
        return f"distbragg/{self.file}"

    def line(self) -> int:
        """Find the line, counted from 1.

        Raises
        ------
        AnchorError
            The symbol or the text is not there, or the text is there twice.
        """
        path = PACKAGE / self.file
        if not path.is_file():
            raise AnchorError(f"{self.path} does not exist")
        lines = path.read_text(encoding="utf-8").splitlines()
        first, last = 1, len(lines)
        if self.symbol:
            first, last = _extent(path, self.symbol)
        if not self.fragment:
            return first
        held = [n for n in range(first, last + 1) if self.fragment in lines[n - 1]]
        if len(held) != 1:
            where = f"{self.path}:{self.symbol}" if self.symbol else self.path
            raise AnchorError(f"{where}: {len(held)} lines hold {self.fragment!r}, not one")
        return held[0]

    def code(self) -> str:
        """Return the line itself, shortened."""
        lines = (PACKAGE / self.file).read_text(encoding="utf-8").splitlines()
        return textwrap.shorten(lines[self.line() - 1], _CODE_WIDTH, placeholder=" …")

    def text(self) -> str:
        """Return the place as `distbragg/models/sources.py:55`."""
        return f"{self.path}:{self.line()}"

    def link(self, up: str) -> str:
        """Return a Markdown link; `up` leads from the page to the root of the source tree."""
        line = self.line()
        return f"[{self.file}:{line}]({up}{self.path}#L{line})"


def _extent(path: Path, symbol: str) -> tuple[int, int]:
    """First and last line of a function or class."""
    scope: list[ast.stmt] = ast.parse(path.read_text(encoding="utf-8")).body
    found: ast.stmt | None = None
    for name in symbol.split("."):
        found = next(
            (
                node
                for node in scope
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name
            ),
            None,
        )
        if not isinstance(found, ast.FunctionDef | ast.ClassDef):
            raise AnchorError(f"distbragg/{path.relative_to(PACKAGE)} has no {symbol}")
        scope = found.body
    if found is None or found.end_lineno is None:
        raise AnchorError(f"distbragg/{path.relative_to(PACKAGE)} has no {symbol}")
    return found.lineno, found.end_lineno
