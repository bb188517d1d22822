"""`distbragg export`: a run's frames as files of other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from distbragg.cli.options import cluster_options

if TYPE_CHECKING:
    from distbragg.run.export import ExportResult
    from distbragg.run.export_job import ExportJob
    from distbragg.spec.cluster import ClusterSpec

FORMATS = ("smv", "cbf", "nxmx", "tiff", "png", "npy", "zarr2", "expt")

HELP = """Write a run's frames as files that other programs read.

\b
  smv    .img    adxv, MOSFLM, DIALS; 16-bit counts plus an ADC offset
  cbf    .cbf    Pilatus-style miniCBF, byte-offset; 32-bit counts
  nxmx   .h5     NeXus master and data files; any geometry
  tiff   .tif    the stack's own numbers
  png    .png    pictures with axes
  npy    .npy    numpy
  zarr2  .zarr   Zarr format 2 without shards, for older readers
  expt   .expt   DIALS experiment lists: geometry and true crystal, no images

Files already there and whole are kept; frames.csv says which frame is where.

\b
Examples:
  distbragg export out.zarr --format smv -o images
  distbragg export out.zarr --format nxmx --workers 4
  distbragg export out.zarr --format cbf --frames 0:10,15
"""


@click.command("export", help=HELP)
@click.argument("run", metavar="RUN", type=click.Path())
@click.option("--format", "form", required=True, type=click.Choice(FORMATS), help="What to write.")
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="DIR",
    help="Folder of the files; default: the run's name and the format, in this folder.",
)
@click.option(
    "--frames",
    metavar="SEL",
    default="",
    help="Frames counted from 0, such as 0:10,15; default: all.",
)
@click.option("--prefix", metavar="NAME", default="", help="What file names begin with.")
@click.option(
    "--scale",
    type=float,
    default=1.0,
    metavar="S",
    help="Counts per photon of smv and cbf; default 1. Rounded to whole counts.",
)
@click.option(
    "--adc-offset",
    type=int,
    default=40,
    metavar="N",
    help="Added to every count of smv and named in its header; default 40.",
)
@click.option(
    "--compression",
    type=click.Choice(("auto", "bitshuffle", "gzip", "none")),
    default="auto",
    help="Of nxmx; auto: bitshuffle with LZ4 where hdf5plugin is installed, else gzip.",
)
@cluster_options
@click.pass_context
def command(
    context: click.Context,
    *,
    run: str,
    form: str,
    output: str | None,
    frames: str,
    prefix: str,
    scale: float,
    adc_offset: int,
    compression: str,
    cluster: str | ClusterSpec | None,
    workers: int | None,
) -> None:
    """Write a run's frames as files that other programs read."""
    from distbragg.cli.progress_view import ProgressView
    from distbragg.run.export import export_run, prepare_export

    job = prepare_export(
        run,
        form,  # type: ignore[arg-type] # click has checked it
        out=output,
        frames=frames,
        prefix=prefix,
        scale=scale,
        adc_offset=adc_offset,
        compression=compression,  # type: ignore[arg-type] # click has checked it
    )
    with ProgressView() as view:
        result = export_run(job, cluster=cluster, workers=workers, on_event=view)
    context.exit(report(job, result))


def report(job: ExportJob, result: ExportResult) -> int:
    """Say how an export ended; return the exit status."""
    from distbragg.graph.quantities import duration

    kept = f", {result.skipped} were there" if result.skipped else ""
    click.echo(
        f"{result.out}: {result.written} files written in {duration(result.seconds)}{kept}; "
        f"{result.frames} frames as {job.format}"
    )
    if result.outside:
        click.echo(
            f"{result.outside} pixels were beyond the range of the format and are held at its "
            "limit; --scale makes smv and cbf counts smaller"
        )
    if result.missing:
        click.echo(
            f"{result.missing} frames are not rendered yet; `distbragg resume {job.run}` renders "
            "them, the same export adds them"
        )
    for unit, reason in sorted(result.failures.items()):
        click.echo(f"unit {unit} was not written: {reason}")
    click.echo(f"begins with {result.opens}")
    return int(result.status)
