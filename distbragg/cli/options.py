"""Options that several commands share, and the overrides they stand for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

PRECISIONS = ("mixed", "float64")
KERNELS = ("auto", "native", "eager", "reference")


def set_option(function: F) -> F:
    """Add `--set path=value`, repeatable."""
    return click.option(
        "--set",
        "sets",
        metavar="PATH=VALUE",
        multiple=True,
        help="Change one field of the spec, e.g. crystal.mosaic.spread_deg=0.3; repeatable.",
    )(function)


def compute_options(function: F) -> F:
    """Add `--precision` and `--kernel`."""
    function = click.option(
        "--kernel",
        type=click.Choice(KERNELS),
        help="Which implementation of the sum; default: the fastest there is.",
    )(function)
    return click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        help="mixed (default): float64 indices, float32 interference; float64: all of it.",
    )(function)


def threads_option(function: F) -> F:
    """Add `--threads`."""
    return click.option(
        "--threads",
        type=click.IntRange(min=1),
        metavar="N",
        help="Threads of the kernel in this process; default: the cores it may use.",
    )(function)


def cluster_options(function: F) -> F:
    """Add `--cluster` and `--workers`."""
    function = click.option(
        "--workers",
        type=click.IntRange(min=1),
        metavar="N",
        help="Worker processes of a local cluster; default: one per core.",
    )(function)
    return click.option(
        "--cluster",
        metavar="WHERE",
        help="local, serial, a scheduler's address (tcp://host:8786), its scheduler file, "
        "or a cluster file (YAML).",
    )(function)


def watch_options(function: F) -> F:
    """Add `--watch/--no-watch` and `--json`."""
    function = click.option(
        "--json",
        "as_json",
        is_flag=True,
        help="Tell of progress as JSON on standard output, one event a line.",
    )(function)
    return click.option(
        "--watch/--no-watch",
        default=True,
        help="Show progress and, on a cluster, feed the dashboard and its metrics (default).",
    )(function)


def output_option(metavar: str, description: str) -> Callable[[F], F]:
    """Return a decorator that adds the required `-o/--output`."""
    return click.option(
        "-o",
        "--output",
        required=True,
        type=click.Path(),
        metavar=metavar,
        help=description,
    )


def overrides(
    sets: Sequence[str], precision: str | None = None, kernel: str | None = None
) -> tuple[str, ...]:
    """`--set` items followed by those that stand for `--precision` and `--kernel`."""
    items = list(sets)
    if precision is not None:
        items.append(f"compute.precision={precision}")
    if kernel is not None:
        items.append(f"compute.kernel={kernel}")
    return tuple(items)
