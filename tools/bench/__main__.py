"""`python -m tools.bench --help`: how fast it is, and how much memory it holds."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from distbragg.cli.main import main
from distbragg.cli.options import KERNELS, PRECISIONS

if TYPE_CHECKING:
    from tools.evidence.bundle import Bundle


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Measure speed and write what was found as a bundle, FOLDER/TOPIC/UTC-STAMP.

    One workload alone: `distbragg bench`.
    """


_out = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="reports",
    show_default=True,
    metavar="FOLDER",
    help="Folder of all topics.",
)
_quick = click.option(
    "--quick", is_flag=True, help="Everything once and small: to see that it works."
)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _tell(bundle: Bundle, summary: str) -> None:
    """Write and show the summary of a bundle, and say where it is."""
    bundle.write_text("summary.md", summary)
    click.echo(summary)
    click.echo(bundle.path)


@command.command("report")
@_out
@_quick
@click.option(
    "--inputs",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Folder of the reflection list; default: one is made.",
)
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Default: all cores.")
@click.option("--precision", type=click.Choice(PRECISIONS), default="mixed", show_default=True)
@click.option("--kernel", type=click.Choice(KERNELS), default="auto", show_default=True)
def report(
    *, out: Path, quick: bool, inputs: Path | None, threads: int | None, precision: str, kernel: str
) -> None:
    """Speed of every workload, in turns with the C program that NB_C_BIN names.

    Also start-up, memory, small frames, tolerances and scaling: `summary.md`, JSON and figures.
    """
    from distbragg.run.bench import How, check_inputs, make_inputs
    from distbragg.run.machine import usable_cores
    from tools.bench.report import QUICK, Extent, write_report
    from tools.evidence.bundle import Bundle

    how = How(threads or usable_cores(), precision, kernel)
    with tempfile.TemporaryDirectory(prefix="distbragg-") as folder:
        ready = check_inputs(inputs or make_inputs(Path(folder)).parent)
        bundle = Bundle.create(out, "performance")
        write_report(bundle, ready, how, QUICK if quick else Extent(), say=_say)
    click.echo((bundle.path / "summary.md").read_text(encoding="utf-8"))
    click.echo(bundle.path)


@command.command("gpu")
@_out
@_quick
@click.option("--device", default="cuda", show_default=True, metavar="D", help="cuda or cuda:N")
def gpu(out: Path, quick: bool, device: str) -> None:
    """Measure the fused kernel on the card that is here, beside the bars it has to keep.

    Speed, a frame with photon noise, accuracy, a sweep, shortage of memory, sizes of programs.

    By estimate it takes five minutes on an H100. A part that fails is told, and the others go on;
    what was found is written after each. With TRITON_INTERPRET=1, --device cpu --quick tries it
    out without a card.
    """
    from distbragg.run.bench import make_inputs
    from tools.bench.gpu import check_card, full_extent, measure_gpu, quick_extent
    from tools.bench.gpu_summary import draw, rows, text
    from tools.evidence.bundle import Bundle, markdown_table

    check_card(device)
    bundle = Bundle.create(out, "gpu")
    extent = quick_extent() if quick else full_extent()
    with tempfile.TemporaryDirectory(prefix="distbragg-") as folder:
        measured = measure_gpu(bundle, make_inputs(Path(folder)).parent, device, extent, _say)
    table = markdown_table(
        ("what", "measured", "bar", "verdict"), [row.cells for row in rows(measured)]
    )
    draw(bundle.path / "gpu.png", measured)
    _tell(bundle, text(measured, table))


@command.command("closed-form")
@_out
@_quick
def closed_form(out: Path, quick: bool) -> None:
    """Time Gaussian crystals in closed form on one core, beside samples and published rates.

    NB_C_BIN names the C program; without it that figure is left out.
    """
    from tools.bench.closed_form import QUICK, Extent, measure_closed_form
    from tools.bench.closed_summary import closed_summary
    from tools.evidence.bundle import Bundle

    bundle = Bundle.create(out, "closed-form")
    found = measure_closed_form(QUICK if quick else Extent(), _say)
    bundle.write_json("closed_form.json", found.plain())
    _tell(bundle, closed_summary(found))


@command.command("point-spread")
@_out
@_quick
def point_spread(out: Path, quick: bool) -> None:
    """Time the point spread of whole panels on one core."""
    from tools.bench.point_spread import QUICK, Extent, measure, summary
    from tools.evidence.bundle import Bundle

    bundle = Bundle.create(out, "point-spread")
    found = measure(QUICK if quick else Extent())
    bundle.write_json("point_spread.json", [one.plain() for one in found])
    _tell(bundle, summary(found))


@command.command("recorded")
@_out
@_quick
def recorded(out: Path, quick: bool) -> None:
    """Time images that a detector would have recorded, part by part and whole, on one core."""
    from tools.bench.recorded import QUICK, Extent, measure_recorded, summary
    from tools.evidence.bundle import Bundle

    bundle = Bundle.create(out, "recorded")
    found = measure_recorded(QUICK if quick else Extent(), _say)
    bundle.write_json("recorded.json", found.plain())
    _tell(bundle, summary(found))


@command.command("loader")
@_out
@_quick
def loader(out: Path, quick: bool) -> None:
    """Count the labelled frames a second that a DataLoader of two workers gives."""
    from tools.bench.loader import QUICK, Extent, measure_loader, summary
    from tools.evidence.bundle import Bundle

    bundle = Bundle.create(out, "loader")
    found = measure_loader(QUICK if quick else Extent(), _say)
    bundle.write_json("loader.json", found.plain())
    _tell(bundle, summary(found))


@command.command("labelled")
@_out
@_quick
def labelled(out: Path, quick: bool) -> None:
    """Time small shots that are stored with tables of their spots, by core and by workers."""
    from tools.bench.labelled import QUICK, Extent, measure_labelled, summary
    from tools.evidence.bundle import Bundle

    bundle = Bundle.create(out, "labelled")
    found = measure_labelled(QUICK if quick else Extent(), _say)
    bundle.write_json("labelled.json", found.plain())
    _tell(bundle, summary(found))


@command.command("memory-slope")
@_out
@click.option("--frames", type=click.IntRange(min=1000), default=20_000, show_default=True)
@click.option("--cluster", "clusters", multiple=True, help="Default: serial, then local:2.")
def memory_slope(*, out: Path, frames: int, clusters: tuple[str, ...]) -> None:
    """Read how the memory of driver and workers grows over a run of tiny frames with labels."""
    from tools.bench.memory_slope import WORKERS, measure_slope, plain, summary
    from tools.evidence.bundle import Bundle

    bundle = Bundle.create(out, "memory-slope")
    found = measure_slope(frames, clusters or ("serial", f"local:{WORKERS}"), _say)
    bundle.write_json("slopes.json", plain(found))
    _tell(bundle, summary(found))


if __name__ == "__main__":
    sys.exit(main(command=command, name="python -m tools.bench"))
