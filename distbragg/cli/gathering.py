"""Runs made of frames of other runs: `subset` and `merge`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import click

from distbragg.cli import options
from distbragg.cli.output import echo, print_json

if TYPE_CHECKING:
    from distbragg.run.gather import GatherResult
    from distbragg.store.split import Split

_PARTS: Final = ("train", "validation", "test")


@click.command("subset")
@options.run_argument
@options.output_option("OTHER", "The run to write.")
@options.chosen_option("--frames", "SEL", "Frames from 0, such as 0:1000,2000.")
@options.chosen_option(
    "--where",
    "COND",
    'Condition on axes and labels of frames, e.g. "energy > 9000 and lattices_seen > 1".',
)
@options.seen_option
@click.option("--split", "part", type=click.Choice(_PARTS), help="One part of a split.")
@options.split_options
@options.count_option("--every", "Keep every Nth of the chosen frames.", default=1)
@options.force_option
@options.json_option
def subset_command(run: str, out: str, split: Split, as_json: bool, **how: Any) -> None:
    """Copy frames of RUN into a new run; nothing is rendered.

    Pixels, maps, labels and the parts of a split do not change. Frames get new numbers;
    noise.frame_shift leads back to the old ones. Frames chosen from a grid lie along one dimension,
    `frame`. OTHER is a run like any other: verify, repair, extend, export and train take it.
    After an interruption the same command continues.

    \b
    Examples:
      distbragg subset out.zarr -o first.zarr --frames 0:1000
      distbragg subset out.zarr -o hard.zarr --where "energy > 9000"
      distbragg subset out.zarr -o hits.zarr --where "hit and resolution_seen < 3" --seen 30,10
      distbragg subset out.zarr -o train.zarr --split train --test 0.1
    """
    from distbragg.run.gather import subset

    how["split"] = options.split_if(split, given=how["part"] is not None)
    _report(subset(run, out, **how), as_json=as_json)


@click.command("merge")
@click.argument("runs", metavar="RUN RUN...", nargs=-1, required=True, type=click.Path())
@options.output_option("OTHER", "The run to write.")
@click.option(
    "--along",
    metavar="NAME",
    default="",
    help="Name of a new dimension, one step per run; default: the runs' first dimension.",
)
@click.option(
    "--vary",
    metavar="FIELD",
    multiple=True,
    help="Make an axis of this field, in which the runs differ.",
)
@click.option("--allow-mixed", is_flag=True, help="Accept runs made with another kernel or CPU.")
@options.force_option
@options.json_option
def merge_command(runs: tuple[str, ...], out: str, as_json: bool, **how: Any) -> None:
    """Join several runs into one, frames one after another; nothing is rendered.

    The runs must agree in all that is constant: shape and type of a frame, maps, labels and
    experiment. Objects are copied byte for byte where units fit, and rewritten where they do not.
    The manifest names every run by its content. After an interruption the same command continues.

    \b
    Examples:
      distbragg merge monday.zarr tuesday.zarr -o both.zarr
      distbragg merge near.zarr far.zarr -o all.zarr --vary detector.distance_mm
      distbragg merge a.zarr b.zarr -o series.zarr --along repeat --vary noise.seed
    """
    from distbragg.run.gather import merge

    _report(merge(runs, out, **how), as_json=as_json)


def _report(result: GatherResult, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(result))
        return
    there = f", {result.there} existed already" if result.there else ""
    echo(
        f"{result.path}: {result.frames:,} frames; units copied {result.copied}, "
        f"rewritten {result.cut}{there}"
    )
