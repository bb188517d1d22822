"""Options that several commands share: decorators, each of which adds one or a group of them.

A group reaches the command as one value: `--device`, `--kernel` and `--precision` as further
`overrides`, `--cluster`, `--site` and `--plain` as `cluster`. What a command only hands on has the
name that the function below takes it by.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from distbragg.errors import InputError

if TYPE_CHECKING:
    from distbragg.spec.cluster import ClusterSpec
    from distbragg.store.frame_labels import Seen
    from distbragg.store.split import Split

Decorator = Callable[[Any], Any]

PRECISIONS = ("mixed", "float64")
KERNELS = ("auto", "native", "triton", "model", "eager", "reference")


def count_option(name: str, text: str, default: int | None = None) -> Decorator:
    """Return a decorator that adds a whole number of at least 1."""
    shown = default is not None
    number = click.IntRange(min=1)
    return click.option(
        name, type=number, metavar="N", default=default, show_default=shown, help=text
    )


def output_option(metavar: str, text: str, **more: Any) -> Decorator:
    """Return a decorator that adds `-o/--output` as `out`, required unless it says otherwise."""
    said = {"required": "default" not in more, "type": click.Path(), **more}
    return click.option("-o", "--output", "out", metavar=metavar, help=text, **said)


def _something(context: click.Context, parameter: click.Parameter, text: str) -> str:
    """Refuse a blank text that was given: a variable of a script that is empty is no choice."""
    given = context.get_parameter_source(parameter.name or "") == ParameterSource.COMMANDLINE
    if given and not text.strip():
        raise InputError(
            "is blank", source=parameter.opts[0], remedy="leave it out to take all frames"
        )
    return text


def chosen_option(name: str, metavar: str, text: str) -> Decorator:
    """Return a decorator that adds a choice of frames; all where it is left out."""
    return click.option(name, metavar=metavar, default="", callback=_something, help=text)


def all_of(*options: Decorator) -> Decorator:
    """Return a decorator that adds options in this order."""
    return lambda function: functools.reduce(lambda f, option: option(f), options[::-1], function)


run_argument = click.argument("run", metavar="RUN", type=click.Path())
json_option = click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
root_option = click.option(
    "--root",
    type=click.Path(file_okay=False, exists=True),
    metavar="DIR",
    help="Refuse input files outside this folder; use it for a spec you do not trust.",
)
force_option = click.option(
    "--force", is_flag=True, help="Start even if the disk cannot hold the uncompressed frames."
)
set_option = click.option(
    "--set",
    "overrides",
    metavar="PATH=VALUE",
    multiple=True,
    help="Change one field, e.g. crystal.mosaic.spread_deg=0.3; can be repeated.",
)
threads_option = count_option(
    "--threads", "Threads of the kernel in this process; default: all cores it may use."
)
mixed_option = click.option(
    "--allow-mixed", is_flag=True, help="Accept workers with another kernel or CPU."
)
watch_options = all_of(
    click.option(
        "--watch/--no-watch",
        default=True,
        help="Show progress and, on a cluster, update dashboard and metrics (default).",
    ),
    click.option(
        "--json",
        "as_json",
        is_flag=True,
        help="Print progress as JSON on standard output, one event per line.",
    ),
)
machine_options = all_of(
    click.option("--kernel", type=click.Choice(KERNELS), default="auto", show_default=True),
    click.option(
        "--device", default="cpu", show_default=True, metavar="D", help="cpu, cuda or cuda:N"
    ),
)


def compute_options(function: Callable[..., object]) -> Any:
    """Add `--precision`, `--kernel` and `--device`, and hand them on as `overrides`."""

    @functools.wraps(function)
    def wrapped(overrides: tuple[str, ...], **named: object) -> object:
        chosen = ((name, named.pop(name)) for name in ("precision", "kernel", "device"))
        asked = tuple(f"compute.{name}={value}" for name, value in chosen if value is not None)
        return function(overrides=(*overrides, *asked), **named)

    return all_of(
        click.option(
            "--precision",
            type=click.Choice(PRECISIONS),
            help="mixed (default): float64 indices, float32 interference; float64: everything.",
        ),
        click.option(
            "--kernel",
            type=click.Choice(KERNELS),
            help="Implementation of the sum; default: the fastest available.",
        ),
        click.option("--device", metavar="D", help="cpu (default), cuda or cuda:N."),
    )(wrapped)


def cluster_options(function: Callable[..., object]) -> Any:
    """Add `--cluster`, `--site`, `--plain` and `--workers`; the first three are one `cluster`."""

    @functools.wraps(function)
    def wrapped(cluster: str | None, site: str | None, plain: bool, **named: object) -> object:
        where: str | ClusterSpec | None = cluster
        if site is not None or cluster not in {None, "serial"}:
            from distbragg.clusters.address import parse_cluster

            where = parse_cluster(cluster or "", site or "", plain=plain)
        elif plain:
            raise InputError("needs --cluster", source="--plain", remedy="add --cluster local")
        return function(cluster=where, **named)

    return all_of(
        click.option(
            "--cluster",
            metavar="WHERE",
            help="local, serial, a scheduler's address (tcp://127.0.0.1:8786), a scheduler file, "
            "a cluster file (YAML), or the kind of cluster with --site.",
        ),
        click.option(
            "--site",
            metavar="FILE",
            help="Cluster file (YAML) for --cluster slurm, pbs, lsf or sge.",
        ),
        click.option(
            "--plain",
            is_flag=True,
            help="No encryption to --cluster: anyone who reaches it can run code as you.",
        ),
        count_option(
            "--workers",
            "Worker processes in total; default: one per core, or the cluster file's number.",
        ),
    )(wrapped)


def split_options(function: Callable[..., object]) -> Any:
    """Add what a split is drawn by, and hand it on as `split`."""

    @functools.wraps(function)
    def wrapped(
        validation: float, test: float, seed: int, group_by: tuple[str, ...], **named: object
    ) -> object:
        from distbragg.store.split import Split

        return function(split=Split(validation, test, seed, group_by), **named)

    return all_of(
        click.option(
            "--validation", default=0.1, show_default=True, help="Share of frames for validation."
        ),
        click.option("--test", default=0.0, show_default=True, help="Share of frames for testing."),
        click.option("--seed", default=0, show_default=True, help="Seed of the split."),
        click.option(
            "--group-by",
            multiple=True,
            metavar="AXIS",
            help="Keep frames with the same value of this axis in one part.",
        ),
    )(wrapped)


def _seen(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Seen | None:
    """Read bounds of what is seen: photons of a spot and, after a comma, spots of a hit."""
    from distbragg.store.frame_labels import Seen

    if value is None:
        return None
    photons, _, spots = value.partition(",")
    try:
        return Seen(float(photons) if photons else None, int(spots or "1"))
    except ValueError:
        raise InputError(
            f"{value!r} does not give bounds",
            source="--seen",
            remedy="give photons and spots, e.g. 30,10",
        ) from None


seen_option = click.option(
    "--seen",
    callback=_seen,
    metavar="PHOTONS[,SPOTS]",
    help="Labels of frames: photons of a spot that is seen, and such spots of a hit, such as "
    "30,10; default: output.label_minimum_photons, and 1.",
)
"""Sets what the labels `hit`, `spots_seen`, … of frames count, as `db.Seen` does in Python."""


def split_if(split: Split, *, given: bool) -> Split | None:
    """Return the split where `--split` is given; refuse what draws one where it is not."""
    from distbragg.store.split import Split

    if not given and split != Split():
        raise InputError(
            "these options need --split",
            source="--validation, --test, --seed, --group-by",
            remedy="add --split, or leave them out",
        )
    return split if given else None


creation_options = all_of(set_option, root_option, force_option, compute_options)
"""What says how a run is made: all of it goes to `run.create`."""

working_options = all_of(
    cluster_options,
    threads_option,
    click.option(
        "--unit-timeout",
        type=click.FloatRange(min=0.1),
        metavar="SECONDS",
        help="Time limit of one attempt at a unit; default: an hour, or 200 times the plan.",
    ),
    mixed_option,
    watch_options,
)
"""What says where and how a run is worked on, and what is told of it."""
