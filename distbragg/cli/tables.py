"""Two-column tables on standard output."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def print_rows(title: str, rows: Iterable[tuple[str, str]]) -> None:
    """Print (name, value) rows; values are shown as they are, markup and all."""
    from rich.console import Console

    Console().print(table_of(title, rows))


def table_of(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    """Lay out (name, value) rows, to be printed or redrawn."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", show_header=False, box=SIMPLE_HEAD)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(name), Text(value))
    return table
