"""What renders frames: `render`, `sweep`, `create`, `resume`, `run`, `extend` and `demo`."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

import click

from distbragg.cli import options
from distbragg.cli.interrupt import Interrupts
from distbragg.cli.output import echo
from distbragg.errors import InputError

if TYPE_CHECKING:
    from distbragg.engine.events import EventCallback
    from distbragg.run.result import RunResult
    from distbragg.run.resume import Part, ResumeOptions
    from distbragg.store.run_directory import RunDirectory

MOST_NAMED: Final = 5  # workers that were left out and are named at the end, each with the reason
spec_argument = click.argument("spec", metavar="SWEEP.yaml", type=click.Path())


@click.command("render")
@click.argument("spec", metavar="EXPERIMENT.yaml", type=click.Path())
@options.output_option(
    "OUT", "out.zarr for a stack; .npy .bin .img .pgm .png .cbf .tif .h5 .nxs .cxi for an image."
)
@click.option(
    "--truth",
    is_flag=True,
    help="Also write .expt (geometry, true crystals), and .refl (true spots) if output.labels is "
    "true; for .cbf .tif .h5 .nxs .cxi.",
)
@options.set_option
@options.root_option
@options.threads_option
@options.compute_options
def render_command(
    spec: str,
    out: str,
    overrides: tuple[str, ...],
    root: str | None,
    threads: int | None,
    *,
    truth: bool,
) -> int:
    """Render one experiment in this process.

    \b
    The suffix of OUT chooses the format:
      .zarr  labelled stack of one frame, with provenance
      .npy   numpy array, photons per pixel
      .bin   raw float32, as nanoBragg's -floatfile
      .img   SMV, 16 bits: scaled to 55,000 at the brightest pixel, plus 40;
             not scaled with photon noise or a detector response
      .pgm   8 bits, as nanoBragg's -pgmfile
      .png   a picture with axes
      .cbf .tif .h5 .nxs .cxi
             CBF, TIFF, NXmx and CXI as `distbragg export` writes them: CBF and TIFF one
             file per panel, CXI with its .geom and .stream

    \b
    Examples:
      distbragg render experiment.yaml -o still.zarr
      distbragg render experiment.yaml -o still.cbf
      distbragg render experiment.yaml -o still.png --set detector.distance_mm=120
    """
    from distbragg.cli import image_files
    from distbragg.spec.load import load_spec

    experiment = load_spec(spec, overrides, root=root)
    if Path(out).suffix in ("", image_files.STACK_SUFFIX):
        from distbragg.run.create import create

        return run_and_report(create(experiment, out), cluster="serial", threads=threads)
    from distbragg.run.render import render_image

    image_files.check_suffix(out)
    image_files.check_target(out)
    if Path(out).suffix.lower() in image_files.EXPORTED:
        from distbragg.run.frame_file import render_file

        made = render_file(experiment, out, truth=truth, threads=threads)
        echo(*(f"{path}: written" for path in made))
        return 0
    if truth:
        raise InputError(
            "is for the files of other programs",
            source="--truth",
            remedy=f"give one of {', '.join(image_files.EXPORTED)} with -o",
        )
    image = render_image(experiment, threads=threads, progress="auto")
    image_files.write_image(out, image, experiment, image_files.geometry_alone(experiment))
    echo(f"{out}: {' x '.join(map(str, image.shape))} pixels (slow x fast)")
    return 0


@click.command("create")
@spec_argument
@options.output_option("RUN", "The run directory, which is the Zarr stack.")
@options.creation_options
def create_command(spec: str, out: str, **how: Any) -> None:
    """Write a run's metadata and inputs, and render nothing.

    For batch systems: create once, then `distbragg resume RUN` in one job, or
    `distbragg run RUN --part i/N` in each job of an array.
    """
    from distbragg.run.create import create

    run = create(spec, out, **how)
    layout = run.layout
    echo(f"{run.url}: created, {layout.frames} frames in {layout.units} units to render")
    echo("render it with", f"  distbragg resume {out}")


@click.command("sweep")
@spec_argument
@options.output_option("RUN", "The stack to write, a Zarr directory.")
@options.creation_options
@options.working_options
def sweep_command(
    spec: str, out: str, overrides: tuple[str, ...], root: str | None, force: bool, **working: Any
) -> int:
    """Render all frames of a sweep into one Zarr stack.

    Without --cluster or --workers, local workers are started if that saves time. The result is the
    same, bit for bit, with any number of workers, units and interruptions.

    The stack holds axes, units and the whole spec. If the run exists already, its missing frames
    are rendered.

    \b
    Examples:
      distbragg sweep sweep.yaml -o out.zarr
      distbragg sweep sweep.yaml -o out.zarr --workers 4
      distbragg sweep sweep.yaml -o out.zarr --cluster tcp://127.0.0.1:8786
      distbragg sweep sweep.yaml -o out.zarr --set beam.wavelength_angstrom=0.7
    """
    from distbragg.run.create import create

    return run_and_report(create(spec, out, overrides, root=root, force=force), **working)


@click.command("resume")
@options.run_argument
@options.working_options
def resume_command(run: str, **working: Any) -> int:
    """Continue a run where it stopped, and try again the frames that failed.

    Stored frames are kept, bit for bit. The run holds its spec, its input files and its plan.
    """
    from distbragg.store.run_directory import open_run

    return run_and_report(open_run(run), **working)


def _part(context: click.Context, option: click.Parameter, text: str | None) -> Part | None:
    """Split `i/N` into two numbers, 1 ≤ i ≤ N."""
    if text is None:
        return None
    first, _, count = text.partition("/")
    if not (first.isdecimal() and count.isdecimal()):
        raise click.BadParameter(f"{text!r} is not of the form i/N")
    if not 1 <= int(first) <= int(count):
        raise click.BadParameter(f"{text!r}: i runs from 1 to N")
    return int(first), int(count)


@click.command("run")
@options.run_argument
@click.option("--part", metavar="I/N", callback=_part, help="Part i of N equal parts of the run.")
@options.working_options
def run_command(run: str, **working: Any) -> int:
    """Render one part of a created run; parts may run at the same time, anywhere.

    \b
    In a job array of 16:
      distbragg create sweep.yaml -o out.zarr                 # once
      distbragg run out.zarr --part $SLURM_ARRAY_TASK_ID/16   # in each job
    """
    from distbragg.store.run_directory import open_run

    return run_and_report(open_run(run), **working)


@click.command("extend")
@options.run_argument
@click.argument("more", metavar="[MORE.yaml]", required=False, type=click.Path())
@options.count_option(
    "--frames", "Total number of frames, for a run whose axes are drawn; needs no file."
)
@options.root_option
@options.force_option
@options.cluster_options
@options.threads_option
@options.mixed_option
@click.option("--no-render", is_flag=True, help="Append the frames; `resume` renders them.")
@options.watch_options
def extend_command(
    *,
    run: str,
    more: str | None,
    frames: int | None,
    root: str | None,
    force: bool,
    no_render: bool,
    **working: Any,
) -> int:
    """Append frames to a finished run, and render them.

    MORE.yaml is a sweep file whose axes along the first dimension give the new values; `experiment`
    and all other axes may be left out. An axis that is left out keeps its value if it is constant,
    and gets further values if they are drawn; a line says so. Old frames keep their numbers,
    objects and receipts. After an interruption `distbragg resume RUN` continues. A run whose
    frames are all drawn needs no file: --frames 2000 extends it to 2000 frames.

    \b
    Example, for a run over `orientation` (random, seed 5):
      axes:
        - name: orientation
          random_orientations: {count: 200, seed: 6}
    """
    from distbragg.engine.context import RunContext
    from distbragg.engine.work import TaskSettings
    from distbragg.run.extend import extend
    from distbragg.store.run_directory import open_run

    if (more is None) == (frames is None):
        raise InputError(
            "needs a file of new values or --frames, one of the two",
            source="extend",
            remedy="--frames is for runs whose axes are drawn",
        )
    asked = frames if more is None else more
    if not no_render and working["cluster"] in (None, "local", "serial"):
        # Frames that nobody here may render must not be appended first.
        settings = TaskSettings(1, working["allow_mixed"])
        RunContext.of(open_run(run)).opened.kernel(settings)
    grown = extend(run, asked or 0, root=root, force=force)
    if not no_render:
        return run_and_report(grown, **working)
    echo(f"{grown.path}: generation {len(grown.lineage)}, {grown.layout.frames:,} frames")
    echo("render them with", f"  distbragg resume {run}")
    return 0


@click.command("noise")
@options.run_argument
@options.output_option("OTHER", "The stack to write.")
@options.set_option
@options.force_option
@options.working_options
def noise_command(
    run: str, out: str, overrides: tuple[str, ...], force: bool, as_json: bool, **working: Any
) -> int:
    """Draw photon noise and the detector's response again, from the expected photons of RUN.

    RUN is a finished run without noise, in float32 or float64. Nothing is rendered. With float64
    the frames equal, bit for bit, those of a run rendered with that noise and response. --set takes
    fields of noise, detector.response, detector.point_spread and output. Keep a RUN of float32:
    resume, repair and verify --audit of OTHER draw from it again.

    \b
    Examples:
      distbragg noise clean.zarr -o noisy.zarr
      distbragg noise clean.zarr -o rayonix.zarr --set detector.response=typical \\
        --set output.dtype=uint16 --set noise.seed=7
    """
    from distbragg.run.noise import begin_noise

    fresh, work = begin_noise(run, out, overrides, force=force)
    return run_and_report(fresh, as_json=as_json, **working, work=work)


@click.command("demo")
@options.output_option("RUN", "The stack to write.", default="demo.zarr", show_default=True)
@click.option(
    "--picture",
    type=click.Path(),
    metavar="FILE.png",
    help="The contact sheet to write; default: beside the stack.",
)
@options.count_option("--workers", "Worker processes.", default=2)
@options.set_option
def demo_command(out: str, picture: str | None, workers: int, overrides: tuple[str, ...]) -> int:
    """Render the demonstration sweep: pyrope garnet, 9 orientations x 4 mosaic spreads.

    |F| comes from a crystal structure, the beam has five weighted wavelengths, and two worker
    processes share the work. Writes a stack and a contact sheet (PNG). If the stack exists already,
    only its missing frames are rendered. An older picture is replaced, and a line says so. The
    progress display shows the address of the workers' dashboard.

    \b
    Examples:
      distbragg demo
      distbragg demo --workers 8 -o /tmp/demo.zarr
    """
    from distbragg.cli.image_files import check_target
    from distbragg.cli.plotting import write_figure
    from distbragg.run.create import create
    from distbragg.run.plot import PlotOptions, plot_run

    sheet = Path(out).with_suffix(".png") if picture is None else Path(picture)
    with as_file(files("distbragg.data")) as folder:
        run = create(folder / "demo.yaml", out, overrides)
    check_target(sheet)
    result = continue_run(run, cluster=f"local:{workers}")
    drawn = plot_run(run, "sheet", PlotOptions())
    replaced = ", in place of an older picture" if sheet.exists() else ""
    write_figure(sheet, drawn)
    echo(f"{sheet}: contact sheet{replaced}")
    return report(result)


def run_and_report(
    run: RunDirectory, *, as_json: bool = False, **working: Unpack[ResumeOptions]
) -> int:
    """Render what is left and say how it ended, in lines or JSON events; return the exit status."""
    if not as_json:
        return report(continue_run(run, **working))
    from distbragg.cli.progress_events import write_finished, write_notes

    write_notes(run.manifest.notes)
    result = continue_run(run, as_json=True, **working)
    write_finished(result)
    return int(result.status)


def continue_run(
    run: RunDirectory, *, as_json: bool = False, **working: Unpack[ResumeOptions]
) -> RunResult:
    """Render what is left of a run, telling of its progress."""
    from distbragg.run.resume import resume

    Interrupts.run = run.url
    events: AbstractContextManager[EventCallback | None] = nullcontext()
    if as_json:
        from distbragg.cli.progress_events import ProgressEvents

        events = ProgressEvents(disk_free=run.objects.free_bytes)
    working["progress"] = working.get("watch", True) and not as_json
    with events as working["on_event"]:
        return resume(run, **working)


def report(result: RunResult) -> int:
    """Say how a run ended and how to open the stack; return the exit status."""
    from distbragg.quantities import counted, duration
    from distbragg.run.result import failure_lines, overload_words

    if result.nothing_to_do:
        echo(f"{result.path}: all {result.frames} frames are rendered; nothing to do")
    else:
        echo(
            f"{result.path}: {counted(result.rendered, 'frame')} rendered in "
            f"{duration(result.seconds)}, {result.done} of {result.frames} done"
        )
    if result.failed:
        echo(
            f"set aside: {counted(result.failed, 'frame')} that could not be rendered; "
            f"`distbragg info {result.path}` gives the reasons, "
            f"`distbragg resume {result.path}` tries them again"
        )
        echo(*failure_lines("failed", result.failures))
    if result.overloads:
        echo(
            f"overloads: {overload_words(result.overloads, result.overload_value)}; the stack "
            "counts them by frame (`overloads`)"
        )
    for worker in result.left_out[:MOST_NAMED]:
        echo(str(worker))
    if len(result.left_out) > MOST_NAMED:
        echo(f"{len(result.left_out) - MOST_NAMED} more workers are left out")
    path = str(result.path)
    checked = f"distbragg.open_stack('{path}')"
    if "://" in path:
        echo("open it with", f'  python -c "import distbragg; print({checked})"')
    else:
        echo("open it with", f"  python -c \"import xarray as xr; print(xr.open_zarr('{path}'))\"")
        echo(f"or, with checks: {checked}")
    return int(result.status)
