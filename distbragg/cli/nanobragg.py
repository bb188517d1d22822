"""`distbragg nanobragg`: nanoBragg's own command line."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from numpy.typing import NDArray

from distbragg.cli.image_files import (
    check_target,
    geometry_alone,
    header_date,
    header_geometry,
    region_of_interest,
)
from distbragg.cli.running import Place, Telling, check_cluster, continue_run
from distbragg.errors import ExitStatus, InputError

if TYPE_CHECKING:
    from distbragg.models.experiment import Experiment
    from distbragg.spec.experiment import ExperimentSpec
    from distbragg.spec.nanobragg import NanobraggCommand, NanobraggOutputs, OwnOptions

_log = logging.getLogger("distbragg")

FILE_FLAGS = ("floatfile", "intfile", "noisefile", "pgmfile")


class VerbatimCommand(click.Command):
    """A command whose arguments reach its callback as they were typed.

    nanoBragg's flags begin with one dash: click would read `-osc` as `-o sc`.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments, parse none."""
        ctx.args = list(args)
        return ctx.args


@click.command("nanobragg", cls=VerbatimCommand, add_help_option=False)
@click.pass_context
def command(context: click.Context) -> None:
    """Render what nanoBragg's command line describes; see `nanobragg_help` for the flags."""
    from distbragg.models.headers import with_program_wavelength
    from distbragg.spec.nanobragg import parse_nanobragg

    parsed = parse_nanobragg(context.args)
    if parsed.own.help:
        from distbragg.cli.nanobragg_help import listing

        click.echo(listing())
        return
    for warning in parsed.warnings:
        _log.warning("%s", warning)
    check_outputs(parsed)
    # What is not given is as that program has it: no news to who calls it.
    _log.setLevel(logging.WARNING)
    parsed = replace(parsed, spec=with_program_wavelength(parsed.spec))
    check_cluster(parsed.own.cluster)
    if not simulate(parsed):
        context.exit(int(ExitStatus.FAILED_FRAMES))


def check_outputs(parsed: NanobraggCommand) -> None:
    """Refuse a command that names no output, or one that cannot be written.

    Raises
    ------
    InputError
    """
    named = [name for flag in FILE_FLAGS if (name := getattr(parsed.outputs, flag)) is not None]
    if not named and parsed.own.out is None:
        raise InputError(
            "no output is named, and nothing is written that is not named",
            source="nanobragg",
            remedy="give -floatfile, -intfile, -noisefile, -pgmfile or -o",
        )
    for name in named:
        check_target(name)


def simulate(parsed: NanobraggCommand) -> bool:
    """Render the frame and write what was named; False where it could not be rendered.

    What nanoBragg says on standard output is said there too.
    """
    from distbragg.cli.nanobragg_summary import parameter_lines

    spec, own, outputs = parsed.spec, parsed.own, parsed.outputs
    experiment = geometry_alone(spec)
    for line in parameter_lines(spec, experiment, noise=outputs.noisefile is not None):
        click.echo(line)
    named = any(getattr(outputs, flag) is not None for flag in FILE_FLAGS)
    if own.out is not None and not named:
        return _render_run(spec, own, own.out) is not None
    image = _rendered(spec, own)
    if image is None:
        return False
    write_outputs(image, spec, outputs, experiment)
    return True


def write_outputs(
    image: NDArray[np.floating[Any]],
    spec: ExperimentSpec,
    outputs: NanobraggOutputs,
    experiment: Experiment,
) -> None:
    """Write the named image files of one frame, and what nanoBragg says of them.

    Parameters
    ----------
    image : (slow, fast) array, photons/pixel
    spec : ExperimentSpec
    outputs : NanobraggOutputs
    experiment : Experiment
        Resolved from `spec`; |F| is not needed.
    """
    from distbragg.cli.nanobragg_summary import noise_line, solid_angle_line, statistics_lines
    from distbragg.export.raw import write_float32, write_pgm
    from distbragg.export.scaling import (
        automatic_scale,
        count_image,
        grey_image,
        image_statistics,
        integer_image,
    )
    from distbragg.export.smv import write_smv

    # The integer images are made from the single-precision image, as in the program.
    single = image.astype(np.float32)
    slow, fast = single.shape
    region = region_of_interest(spec, (slow, fast))
    inside = np.ones((slow, fast), dtype=np.bool_) if region is None else region
    active = np.asarray(experiment.detector.panels[0].active)
    header: dict[str, Any] = {
        "geometry": header_geometry(spec, experiment),
        "adc_offset": outputs.adc,
        "date": header_date(),
    }
    click.echo(f"\n{solid_angle_line(experiment)}")
    if outputs.floatfile is not None:
        click.echo(f"writing {outputs.floatfile} as {single.size} 4-byte floats")
        write_float32(outputs.floatfile, single)
    scale = outputs.scale or automatic_scale(single)
    statistics = image_statistics(single, inside, inside & active)
    for line in statistics_lines(statistics, experiment, scale):
        click.echo(line)
    if outputs.intfile is not None:
        click.echo(f"writing {outputs.intfile} as 2-byte integers")
        counts = integer_image(single, scale=scale, offset=outputs.adc, region=region)
        write_smv(outputs.intfile, counts, **header)
    if outputs.pgmfile is not None:
        levels, grey = grey_image(single, scale=outputs.pgmscale, region=region, counted=active)
        click.echo(f"pgm_scale = {grey:g}\nwriting {outputs.pgmfile} as 1-byte integers")
        write_pgm(outputs.pgmfile, levels, grey)
    if outputs.noisefile is not None:
        photons = _draw(image, spec.noise.seed)
        click.echo(noise_line(photons, outputs.adc, inside))
        click.echo(f"writing {outputs.noisefile} as 2-byte integers")
        write_smv(
            outputs.noisefile, count_image(photons, offset=outputs.adc, region=region), **header
        )


def _rendered(spec: ExperimentSpec, own: OwnOptions) -> NDArray[np.floating[Any]] | None:
    """Render in this process, or as a run of one frame where a stack or a cluster is wanted."""
    if own.out is None and own.cluster is None:
        from distbragg.cli.progress_view import tile_progress
        from distbragg.run.render import render_image

        with tile_progress(show=own.progress) as on_tile:
            return render_image(spec, threads=own.threads, on_tile=on_tile)
    if own.out is not None:
        return _rendered_run(spec, own, own.out)
    with tempfile.TemporaryDirectory(prefix="distbragg-") as folder:
        return _rendered_run(spec, own, str(Path(folder) / "frame.zarr"))


def _rendered_run(
    spec: ExperimentSpec, own: OwnOptions, path: str
) -> NDArray[np.floating[Any]] | None:
    from distbragg.store.open import open_stack

    run = _render_run(spec, own, path)
    return None if run is None else np.asarray(open_stack(run)["images"].to_numpy())


def _render_run(spec: ExperimentSpec, own: OwnOptions, path: str) -> Path | None:
    """Render a run of one frame and return its path; None where the frame was set aside."""
    from distbragg.run.create import create

    run = create(spec, path)
    place = Place(own.cluster or "serial", threads=own.threads)
    result = continue_run(run, place, Telling(watch=own.progress is not False))
    for reason in result.failures.values():
        _log.warning("the frame could not be rendered: %s", reason)
    return None if result.failed else run.path


def _draw(image: NDArray[np.floating[Any]], seed: int) -> NDArray[np.float64]:
    """Photon counts of frame 0, the same as `noise.photon` gives in a stack."""
    from distbragg.kernel.finalize import draw_counts

    means = np.asarray(image, dtype=np.float64).ravel()
    counts = draw_counts(means, np.arange(means.size, dtype=np.int64), seed=seed, frame=0)
    return np.asarray(counts, dtype=np.float64).reshape(image.shape)
