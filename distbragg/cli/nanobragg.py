"""`distbragg nanobragg`: nanoBragg's own command line."""

from __future__ import annotations

import logging
import tempfile
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import numpy as np
from numpy.typing import NDArray

from distbragg.cli.image_files import (
    check_target,
    geometry_alone,
    header_date,
    header_geometry,
    write_new,
)
from distbragg.cli.output import echo
from distbragg.errors import ExitStatus, InputError

if TYPE_CHECKING:
    from distbragg.models.experiment import Experiment
    from distbragg.spec.experiment import ExperimentSpec
    from distbragg.spec.nanobragg import NanobraggCommand, NanobraggOutputs, OwnOptions
    from distbragg.spec.nanobragg_flags import Flag

_log = logging.getLogger("distbragg")

WIDTH: Final = 96
HELP_COLUMN: Final = 34
INTRODUCTION = """Usage: distbragg nanobragg [FLAGS]

This is nanoBragg's own command line. Every flag that nanoBragg parses is honoured, or a warning
says why not. The physics is nanoBragg's unless --physics exact is given. Only the files that you
name are written.

  distbragg nanobragg -hkl P1.hkl -cell 79 79 38 90 90 90 -misset 10 20 30 -lambda 1 \\
      -distance 100 -detpixels 1024 -N 12 -floatfile out.bin -intfile out.img
"""


class VerbatimCommand(click.Command):
    """A command that takes its arguments as typed: click would read `-osc` as `-o sc`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments, parse none."""
        ctx.args = list(args)
        return ctx.args


@click.command("nanobragg", cls=VerbatimCommand, add_help_option=False)
@click.pass_context
def nanobragg_command(context: click.Context) -> int:
    """Render what nanoBragg's command line describes; `listing` has the flags."""
    from distbragg.models.setting import with_program_wavelength
    from distbragg.spec.nanobragg import parse_nanobragg

    parsed = parse_nanobragg(context.args)
    if parsed.own.help:
        echo(*listing().splitlines())
        return ExitStatus.DONE
    for warning in parsed.warnings:
        _log.warning("%s", warning)
    check_outputs(parsed)
    # What is not given is as that program has it: no news to who calls it.
    _log.setLevel(logging.WARNING)
    parsed = replace(parsed, spec=with_program_wavelength(parsed.spec))
    if parsed.own.cluster not in (None, "serial"):
        from distbragg.clusters.address import parse_cluster

        parse_cluster(parsed.own.cluster)  # refused before anything is written
    if (path := parsed.own.write_spec) is not None:
        from distbragg.spec.nanobragg_yaml import command_yaml

        write_new(path, command_yaml(parsed, context.args, Path(path).parent))
        if not parsed.outputs.files and parsed.own.out is None:
            return ExitStatus.DONE
    return ExitStatus.DONE if simulate(parsed) else ExitStatus.FAILED_FRAMES


def listing() -> str:
    """Return the whole help text, made from the parser's own table."""
    from distbragg.spec.nanobragg_flags import GROUPS

    groups = ("\n".join([f"{title}:", *map(_help_of, flags)]) for title, flags in GROUPS.items())
    return "\n\n".join([INTRODUCTION.rstrip(), *groups])


def _help_of(flag: Flag) -> str:
    """Return the lines of one flag: its names and arguments, what it does, what becomes of it."""
    text = flag.help
    if flag.unit:
        text += f" ({flag.unit})"
    if len(flag.names) > 1:
        text += f"; also {', '.join(flag.names[1:])}"
    if flag.kind == "ignored":
        text += f" [ignored: {flag.reason}]"
    elif flag.kind == "exact only":
        text += f" [only with --physics exact: {flag.reason}]"
    head = "    " + " ".join((flag.name, *flag.arguments))
    body = textwrap.wrap(text, WIDTH - HELP_COLUMN)
    if len(head) + 2 <= HELP_COLUMN:
        head = head.ljust(HELP_COLUMN) + body.pop(0)
    return "\n".join([head, *(" " * HELP_COLUMN + line for line in body)])


def check_outputs(parsed: NanobraggCommand) -> None:
    """Refuse a command that names no output, or one that cannot be written."""
    if not parsed.outputs.files and parsed.own.out is None and parsed.own.write_spec is None:
        raise InputError(
            "no output file is named",
            source="nanobragg",
            remedy="give -floatfile, -intfile, -noisefile, -pgmfile, -o or --write-spec",
        )
    for name in parsed.outputs.files:
        check_target(name)


def simulate(parsed: NanobraggCommand) -> bool:
    """Render the frame, write what was named, say what nanoBragg says; False where that failed."""
    from distbragg.cli.nanobragg_summary import parameter_lines

    spec, own, outputs = parsed.spec, parsed.own, parsed.outputs
    experiment = geometry_alone(spec)
    for line in parameter_lines(spec, experiment, noise=outputs.noisefile is not None):
        echo(line)
    if own.out is not None and not outputs.files:
        return _render_run(spec, own, own.out) is not None
    image = _rendered(spec, own)
    if image is not None:
        write_outputs(image, spec, outputs, experiment)
    return image is not None


def write_outputs(
    image: NDArray[np.floating[Any]],
    spec: ExperimentSpec,
    outputs: NanobraggOutputs,
    experiment: Experiment,
) -> None:
    """Write the named image files of one frame, and say what nanoBragg says of them.

    `image` is (slow, fast), photons/pixel; of `experiment` |F| is not needed.
    """
    from distbragg.cli.nanobragg_summary import noise_line, solid_angle_line, statistics_lines
    from distbragg.export import files, scaling, smv
    from distbragg.kernel.finalize import draw_counts
    from distbragg.models.build_panels import inside_region

    # The integer images are made from the single-precision image, as in the program.
    single = image.astype(np.float32)
    slow, fast = single.shape
    roi = spec.detector.roi
    region = None if roi is None else inside_region((slow, fast), roi)
    inside = np.ones((slow, fast), dtype=np.bool_) if region is None else region
    active = np.asarray(experiment.detector.panels[0].active)
    geometry, date = header_geometry(spec, experiment), header_date()
    header = smv.smv_header(geometry, (slow, fast), adc_offset=outputs.adc, date=date)
    echo("", solid_angle_line(experiment))
    if outputs.floatfile is not None:
        echo(f"writing {outputs.floatfile} as {single.size} 4-byte floats")
        files.write_float32(outputs.floatfile, single)
    scale = outputs.scale or scaling.automatic_scale(single)
    statistics = scaling.image_statistics(single, inside, inside & active)
    for line in statistics_lines(statistics, experiment, scale):
        echo(line)
    if outputs.intfile is not None:
        echo(f"writing {outputs.intfile} as 2-byte integers")
        counts = scaling.integer_image(single, scale=scale, offset=outputs.adc, region=region)
        smv.write_smv(outputs.intfile, counts, header)
    if outputs.pgmfile is not None:
        levels, grey = scaling.grey_image(
            single, scale=outputs.pgmscale, region=region, counted=active
        )
        echo(f"pgm_scale = {grey:g}", f"writing {outputs.pgmfile} as 1-byte integers")
        files.write_pgm(outputs.pgmfile, levels, grey)
    if outputs.noisefile is not None:
        # The same as `noise.photon` gives in frame 0 of a stack.
        means = image.astype(np.float64).ravel()
        drawn = draw_counts(means, np.arange(means.size), seed=spec.noise.seed, frame=0)
        photons = drawn.astype(np.float64).reshape(image.shape)
        echo(noise_line(photons, outputs.adc, inside))
        echo(f"writing {outputs.noisefile} as 2-byte integers")
        counts = scaling.count_image(photons, offset=outputs.adc, region=region)
        smv.write_smv(outputs.noisefile, counts, header)


def _rendered(spec: ExperimentSpec, own: OwnOptions) -> NDArray[np.floating[Any]] | None:
    """Render in this process, or as a run of one frame where a stack or a cluster is wanted."""
    if own.out is None and own.cluster is None:
        from distbragg.run.render import render_image

        return render_image(
            spec, threads=own.threads, progress="auto" if own.progress is None else own.progress
        )
    from distbragg.store.open import open_stack

    with tempfile.TemporaryDirectory(prefix="distbragg-") as folder:
        run = _render_run(spec, own, own.out or str(Path(folder) / "frame.zarr"))
        return None if run is None else np.asarray(open_stack(run)["images"].to_numpy())


def _render_run(spec: ExperimentSpec, own: OwnOptions, path: str) -> Path | None:
    """Render a run of one frame and return its path; None where the frame was set aside."""
    from distbragg.run.create import create
    from distbragg.run.resume import resume

    run = create(spec, path)
    watch, cluster = own.progress is not False, own.cluster or "serial"
    result = resume(run, cluster=cluster, threads=own.threads, watch=watch, progress=watch)
    for reason in result.failures.values():
        _log.warning("the frame could not be rendered: %s", reason)
    return None if result.failed else run.path
