"""What the command line prints: lines and two-column tables, text of others quoted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from distbragg.quantities import quoted

if TYPE_CHECKING:
    from rich.table import Table


def echo(*lines: object, err: bool = False) -> None:
    """Print lines, each as one: see `quantities.quoted`. JSON needs none of this."""
    for line in lines:
        click.echo(quoted(str(line)), err=err)


def print_json(facts: object) -> None:
    """Print plain data as indented JSON."""
    click.echo(json.dumps(facts, indent=2))


def print_facts(
    title: str, facts: object, rows: Callable[[], Iterable[tuple[str, str]]], *, as_json: bool
) -> None:
    """Print plain data as JSON, or as a table of the rows that are made of them."""
    if as_json:
        print_json(facts)
        return
    from rich.console import Console

    Console().print(table_of(title, rows()))


def table_of(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    """Lay out (name, value) rows; values are shown as they are, markup and all."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(quoted(title)), title_justify="left", show_header=False, box=SIMPLE_HEAD
    )
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(quoted(name)), Text(quoted(value)))
    return table
