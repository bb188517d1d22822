"""Options that several commands share, and the overrides they stand for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

if TYPE_CHECKING:
    from distbragg.spec.cluster import ClusterSpec

F = TypeVar("F", bound=Callable[..., Any])

PRECISIONS = ("mixed", "float64")
KERNELS = ("auto", "native", "triton", "model", "eager", "reference")


def set_option(function: F) -> F:
    """Add `--set path=value`, repeatable."""
    return click.option(
        "--set",
        "sets",
        metavar="PATH=VALUE",
        multiple=True,
        help="Change one field of the spec, e.g. crystal.mosaic.spread_deg=0.3; repeatable.",
    )(function)


def root_option(function: F) -> F:
    """Add `--root`."""
    return click.option(
        "--root",
        type=click.Path(file_okay=False, exists=True),
        metavar="DIR",
        help="Refuse files outside of this folder: for a spec that comes from elsewhere.",
    )(function)


def force_option(function: F) -> F:
    """Add `--force`."""
    return click.option(
        "--force",
        is_flag=True,
        help="Begin even if the disk cannot hold the frames uncompressed.",
    )(function)


def compute_options(function: F) -> F:
    """Add `--precision`, `--kernel` and `--device`; the last reaches the command as a `--set`."""
    function = click.option(
        "--device",
        metavar="D",
        help="cpu (default), cuda or cuda:N.",
    )(_with_device(function))
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


def _with_device(function: F) -> F:
    """Let a command take `--device` through its `sets`."""

    @functools.wraps(function)
    def wrapped(
        *arguments: object, device: str | None, sets: tuple[str, ...], **named: object
    ) -> object:
        chosen = sets if device is None else (*sets, f"compute.device={device}")
        return function(*arguments, sets=chosen, **named)

    return cast(F, wrapped)


def threads_option(function: F) -> F:
    """Add `--threads`."""
    return click.option(
        "--threads",
        type=click.IntRange(min=1),
        metavar="N",
        help="Threads of the kernel in this process; default: the cores it may use.",
    )(function)


def timeout_option(function: F) -> F:
    """Add `--unit-timeout`."""
    return click.option(
        "--unit-timeout",
        type=click.FloatRange(min=0.1),
        metavar="SECONDS",
        help="Longest time of one attempt at a unit; default: an hour, or 200 times the plan.",
    )(function)


def cluster_options(function: F) -> F:
    """Add `--cluster`, `--site` and `--workers`; the first two reach the command as one."""
    function = click.option(
        "--workers",
        type=click.IntRange(min=1),
        metavar="N",
        help="Worker processes in all; default: one per core, or what the cluster file says.",
    )(_with_site(function))
    function = click.option(
        "--site",
        metavar="FILE",
        help="A cluster file (YAML) that says the rest of --cluster slurm, pbs, lsf or sge.",
    )(function)
    return click.option(
        "--cluster",
        metavar="WHERE",
        help="local, serial, a scheduler's address (tls://host:8786), its scheduler file, "
        "a cluster file (YAML), or its kind with --site.",
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


def _with_site(function: F) -> F:
    """Wrap a command so that `--cluster` and `--site` are read before it does anything."""

    @functools.wraps(function)
    def wrapped(
        *arguments: Any,  # noqa: ANN401
        cluster: str | None,
        site: str | None,
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        where: str | ClusterSpec | None = cluster
        if site is not None or cluster not in {None, "serial"}:
            from distbragg.graph.cluster import parse_cluster

            where = parse_cluster(cluster or "", site or "")
        return function(*arguments, cluster=where, **options)

    return cast(F, wrapped)


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
