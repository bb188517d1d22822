"""`distbragg render`: one experiment into a stack of one frame, or into an image file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from distbragg.cli.options import (
    compute_options,
    output_option,
    overrides,
    root_option,
    set_option,
    threads_option,
)

if TYPE_CHECKING:
    from distbragg.spec.experiment import ExperimentSpec


HELP = """Render one experiment in this process.

\b
The suffix of OUT chooses the format:
  .zarr  labelled stack of one frame, with provenance
  .npy   numpy array, photons per pixel
  .bin   raw float32, as nanoBragg's -floatfile
  .img   SMV, 16 bits: scaled to 55,000 at the brightest pixel, plus 40;
         unscaled where the spec draws photon noise
  .pgm   8 bits, as nanoBragg's -pgmfile
  .png   a picture with axes

\b
Examples:
  distbragg render experiment.yaml -o still.zarr
  distbragg render experiment.yaml -o still.png --set detector.distance_mm=120
"""


@click.command("render", help=HELP)
@click.argument("spec", metavar="EXPERIMENT.yaml", type=click.Path())
@output_option("OUT", "out.zarr for a stack; .npy .bin .img .pgm .png for one image.")
@set_option
@root_option
@threads_option
@compute_options
@click.pass_context
def command(
    context: click.Context,
    *,
    spec: str,
    output: str,
    sets: tuple[str, ...],
    root: str | None,
    threads: int | None,
    precision: str | None,
    kernel: str | None,
) -> None:
    """Render one experiment in this process."""
    from distbragg.cli.image_files import STACK_SUFFIX
    from distbragg.spec.load import load_spec

    experiment = load_spec(spec, overrides(sets, precision, kernel), root=root)
    if Path(output).suffix in ("", STACK_SUFFIX):
        from distbragg.cli.running import Place, continue_run, report
        from distbragg.run.create import create

        run = create(experiment, output)
        context.exit(report(continue_run(run, Place(cluster="serial", threads=threads))))
    _render_file(experiment, output, threads)


def _render_file(spec: ExperimentSpec, output: str, threads: int | None) -> None:
    from distbragg.cli.image_files import Frame, check_target, geometry_alone, image_writer
    from distbragg.cli.progress_view import tile_progress
    from distbragg.run.render import render_image

    writer = image_writer(output)
    check_target(output)
    with tile_progress() as on_tile:
        image = render_image(spec, threads=threads, on_tile=on_tile)
    writer(output, Frame(image, spec, geometry_alone(spec)))
    click.echo(f"{output}: {' x '.join(map(str, image.shape))} pixels (slow x fast)")
