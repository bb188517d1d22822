"""`distbragg bench`: one workload timed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from distbragg.cli.options import KERNELS, PRECISIONS
from distbragg.errors import InputError

if TYPE_CHECKING:
    from distbragg.run.bench import How, Timing

HELP = """Time a workload in memory.

\b
Examples:
  distbragg bench --make-inputs inputs
  distbragg bench --workload mosaic_still --inputs inputs --threads 2 --json

--workload renders once to warm up, then repeatedly, and prints the median time inside the
kernel; steps that are skipped because they are exactly zero count as done.
"""


@click.command("bench", help=HELP)
@click.option("--workload", metavar="NAME", help="Workload to time; --list names them.")
@click.option("--list", "show", is_flag=True, help="List the workloads.")
@click.option(
    "--make-inputs",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write the reflection list that the workloads read.",
)
@click.option(
    "--inputs",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Folder of the reflection list; default: the current one.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="Threads of the kernel; default: the cores this process may use.",
)
@click.option("--precision", type=click.Choice(PRECISIONS), default="mixed", show_default=True)
@click.option("--kernel", type=click.Choice(KERNELS), default="auto", show_default=True)
@click.option("--device", default="cpu", show_default=True, metavar="D", help="cpu, cuda or cuda:N")
@click.option(
    "--indices",
    type=click.Choice(("wide", "split")),
    help="How the triton kernel computes h, k, l; default: what suits the card.",
)
@click.option("--noise", is_flag=True, help="Draw photon counts, as a part of the frame's time.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0.0),
    default=0.0,
    metavar="EPS",
    help="Photons that may be left out of a pixel; default 0: nothing but exact zeros.",
)
@click.option("--repeats", type=click.IntRange(min=1), metavar="N", help="Timed renders.")
@click.option(
    "--floatfile",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write the image as raw float32, as nanoBragg's -floatfile.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    *,
    workload: str | None,
    show: bool,
    make_inputs: Path | None,
    inputs: Path | None,
    threads: int | None,
    precision: str,
    kernel: str,
    device: str,
    indices: str | None,
    noise: bool,
    tolerance: float,
    repeats: int | None,
    floatfile: Path | None,
    as_json: bool,
) -> None:
    """Time a workload in memory."""
    if show:
        _list_workloads()
    if make_inputs is not None:
        from distbragg.run.workloads import make_inputs as write_inputs

        click.echo(write_inputs(make_inputs))
    if workload is not None:
        from distbragg.run.bench import How
        from distbragg.run.machine import usable_cores

        cores = threads or usable_cores()
        how = How(cores, precision, kernel, device, indices or "", noise, tolerance)
        _time_one(workload, inputs, how, repeats=repeats, floatfile=floatfile, as_json=as_json)
    if not (show or make_inputs or workload):
        raise InputError(
            "nothing is asked for",
            source="bench",
            remedy="give --workload NAME, --make-inputs FOLDER or --list",
        )


def _list_workloads() -> None:
    from distbragg.run.workloads import load_workloads

    for name, workload in load_workloads().items():
        note = "  (meant for a GPU)" if workload.gpu_only else ""
        click.echo(f"{name}  {workload.steps} steps{note}")


def _time_one(
    name: str,
    inputs: Path | None,
    how: How,
    *,
    repeats: int | None,
    floatfile: Path | None,
    as_json: bool,
) -> None:
    from distbragg.run.bench import prepare, time_workload
    from distbragg.run.workloads import check_inputs, find_workload

    found = find_workload(name)
    if floatfile is not None:
        from distbragg.cli.image_files import check_target

        check_target(floatfile)
    timing = time_workload(prepare(found, check_inputs(inputs or Path()), how), repeats)
    if floatfile is not None:
        from distbragg.export.raw import write_float32

        write_float32(floatfile, timing.image)
    click.echo(json.dumps(timing.plain()) if as_json else _line(timing))


def _line(timing: Timing) -> str:
    low, high = timing.spread
    card = ""
    if timing.peak:
        card = (
            f", {timing.indices} indices, {timing.peak_fraction:.1%} of {timing.peak:.3g} "
            f"operations/s on {timing.card}"
        )
    return (
        f"{timing.workload}: {timing.steps} steps in {timing.seconds:.4g} s "
        f"({low:.4g} to {high:.4g}), {timing.steps_per_s:.4g} steps/s, {timing.kernel} kernel, "
        f"{timing.precision}, {timing.device}, {timing.threads} threads, "
        f"{timing.frame_seconds:.4g} s a frame{card}"
    )
