"""`distbragg plot`: pictures of runs and of single experiments."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distbragg.cli import options
from distbragg.cli.image_files import check_target
from distbragg.cli.output import echo
from distbragg.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("sheet", "frame", "radial", "axes", "map")
_SPECS = (".yaml", ".yml", ".json")
_SUFFIXES = (".png", ".pdf", ".svg")


def _rings(
    context: click.Context, option: click.Parameter, text: str | None
) -> tuple[float, ...] | None:
    """Read resolutions such as `4,2.5`; `none` draws no ring."""
    if text is None:
        return None
    if text == "none":
        return ()
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = (math.nan,)
    if not all(0.0 < one < math.inf for one in found):
        raise click.BadParameter(f"{text!r} is not a list of resolutions in Å, such as 4,2.5")
    return found


def check_picture(path: str | Path) -> None:
    """Refuse a file that cannot be written, or of another kind than pictures."""
    if Path(path).suffix.lower() not in _SUFFIXES:
        raise InputError(
            f"no picture has the suffix {Path(path).suffix!r}",
            source=str(path),
            remedy=f"use one of {', '.join(_SUFFIXES)}",
        )
    check_target(path)


def write_figure(path: str | Path, figure: Figure) -> None:
    """Write a figure whole or not at all; the suffix chooses the format."""
    from distbragg.export.files import write_whole
    from distbragg.figures.style import KINDS as FILES
    from distbragg.figures.style import encoded

    suffix = Path(path).suffix.lower().removeprefix(".")
    write_whole(path, encoded(figure, next(kind for kind in FILES if kind == suffix)))


@click.command("plot")
@click.argument("what", metavar="RUN|SPEC.yaml")
@options.output_option("FILE.png", "The picture to write: .png, .pdf or .svg.")
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    help="What to draw; default: sheet for a run, frame for a spec.",
)
@options.chosen_option(
    "--frames",
    "SELECTION",
    "Frames such as 0:100:10,250, counted from 0; default: some of the rendered ones.",
)
@options.count_option("--count", "Frames in a sheet (default 16), or radial profiles (default 8).")
@click.option(
    "--rings",
    callback=_rings,
    metavar="Å,Å,...",
    help="Resolution rings, such as 4,2.5, or none; default: rings at round numbers.",
)
@click.option(
    "--spots/--no-spots",
    default=True,
    help="Circle the stored or predicted spots of a frame, coloured by lattice (default).",
)
@click.option(
    "--least-photons",
    type=click.FloatRange(min=0.0),
    default=1.0,
    show_default=True,
    metavar="N",
    help="Draw or count only spots with at least N photons.",
)
@options.count_option("--bins", "Number of bins of q (default 200) or of a histogram (default 30).")
@click.option("--x", "x", default="", metavar="AXIS", help="Horizontal axis of a map.")
@click.option("--y", "y", default="", metavar="AXIS", help="Vertical axis of a map.")
@click.option(
    "--of",
    type=click.Choice(("sum", "max", "spots")),
    default="sum",
    show_default=True,
    help="What a map shows per frame: all photons, the brightest pixel, the number of spots.",
)
@click.option("--top", type=click.FloatRange(min=0.0, min_open=True), metavar="N",
              help="Photons at full brightness; default: from the pixels.")  # fmt: skip
@click.option("--colors", default="", metavar="NAME", help="A colour map of matplotlib.")
@options.set_option
@options.threads_option
def plot_command(
    what: str, out: str, kind: str | None, overrides: tuple[str, ...], threads: int | None,
    **how: Any,
) -> None:  # fmt: skip
    """Draw a picture of a run, or render one experiment and draw it.

    \b
      sheet    many frames side by side under one brightness
      frame    one frame: panels in place, masked pixels, resolution rings, spots by lattice
      radial   mean of the pixels against q and resolution, a line a frame
      axes     how the values of each axis are spread, over all frames and those rendered
      map      a number of each frame over one axis or two: sum, max or spots

    Of an unfinished run the rendered frames are drawn. --set and --threads need a spec.

    \b
    Examples:
      distbragg plot run.zarr -o sheet.png
      distbragg plot run.zarr --kind frame --frames 17 --rings 4,3,2 -o frame.png
      distbragg plot run.zarr --kind radial --frames 0:100:20 -o profile.pdf
      distbragg plot run.zarr --kind map --x phi --y spread --of max -o map.png
      distbragg plot experiment.yaml -o frame.png --set beam.wavelength_angstrom=0.7

    \b
    Exit status: 0 written; 2 bad input, or nothing rendered yet; 5 the run is damaged.
    """
    check_picture(out)
    from distbragg.run.plot import PlotOptions, plot_frame, plot_run

    chosen: Any = kind
    if Path(what).suffix.lower() in _SPECS and not Path(what).is_dir():
        from distbragg.run.prepare import as_experiment
        from distbragg.run.render import render_experiment

        chosen = chosen or "frame"
        spec = as_experiment(what, overrides)
        if chosen not in ("frame", "radial"):
            raise InputError(
                f"one experiment has no picture of the kind {chosen!r}",
                source="--kind",
                remedy="use frame or radial, or give a run",
            )
        experiment, image = render_experiment(spec, threads=threads)
        figure = plot_frame(experiment, image, chosen, PlotOptions(**how), spec.title)
    else:
        if overrides:
            raise InputError("is for a spec, not for a run", source="--set")
        figure = plot_run(what, chosen or "sheet", PlotOptions(**how))
    write_figure(out, figure)
    echo(f"{out}: written")
