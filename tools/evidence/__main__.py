"""`distbragg evidence`: claims measured anew, each as a bundle with its provenance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def _out_option(function: F) -> F:
    """Add `--out`."""
    return click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        default="reports",
        show_default=True,
        metavar="FOLDER",
        help="Folder of all topics; the bundle is FOLDER/TOPIC/UTC-STAMP, never overwritten.",
    )(function)


@click.group("evidence")
def command() -> None:
    """Measure a claim anew and write what was found as a bundle.

    A bundle is a new folder named by the time (UTC), with the command, the machine, package
    versions and commit beside the tables and figures. Earlier bundles are never touched.
    """


@command.command("source-weights")
@_out_option
@click.option(
    "--tests/--no-tests",
    "run_tests",
    default=True,
    help="Also collect and run the tests of the clauses, in a source tree (default).",
)
def source_weights(out: Path, run_tests: bool) -> None:
    """Weighted sources: the rule, its invariances, wrong rules drawn, the C program live.

    The environment variable NB_C_BIN names the binary of nanoBragg.c; without it that part is
    left out.
    """
    from tools.evidence.source_weights import write_bundle

    click.echo(write_bundle(out, run_tests=run_tests))


@command.command("parity")
@_out_option
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Folder of the golden images (default: tests/golden/data of the source tree).",
)
def parity(out: Path, data: Path | None) -> None:
    """Every golden image of nanoBragg.c against every kernel and precision of this machine."""
    from tools.evidence.parity import write_bundle

    click.echo(write_bundle(out, data=data))


@command.command("reproducibility")
@_out_option
def reproducibility(out: Path) -> None:
    """Bytes of one stack in any place, form, tiling and source chunking."""
    from tools.evidence.reproducibility import write_bundle

    click.echo(write_bundle(out))


@command.command("performance")
@_out_option
@click.option("--quick", is_flag=True, help="Everything once and small: to see that it works.")
@click.pass_context
def performance(context: click.Context, out: Path, quick: bool) -> None:
    """Speed of every workload beside the C program; the same as `distbragg bench --report`."""
    from distbragg.cli.bench import command as bench

    context.invoke(bench, report=True, out=out, quick=quick)


@command.command("watching")
@_out_option
@click.option("--pairs", type=click.IntRange(min=1), default=20, show_default=True)
def watching(out: Path, pairs: int) -> None:
    """Processor time of a run that is watched against the same run unwatched."""
    from tools.evidence.terminal import on_terminal
    from tools.evidence.watching import write_bundle

    click.echo(write_bundle(out, on_terminal, pairs=pairs))


@command.command("overhead")
@_out_option
@click.option("--units", type=click.IntRange(min=2), default=60, show_default=True)
@click.option(
    "--unit-seconds",
    type=click.FloatRange(min=0.01),
    default=5.0,
    show_default=True,
    help="Kernel time of a unit; the sweep is made so that units last so long here.",
)
@click.option(
    "--pairs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Pairs of executions, on workers and in serial processes.",
)
def overhead(out: Path, units: int, unit_seconds: float, pairs: int) -> None:
    """Workers' time beside the kernel, and two workers against two serial processes.

    The machine must be quiet: a pair renders all units twice on two cores.
    """
    from tools.evidence.overhead import write_bundle

    click.echo(write_bundle(out, units=units, unit_seconds=unit_seconds, pairs=pairs))


@command.command("rates")
@_out_option
@click.option("--repeats", type=click.IntRange(min=1), default=9, show_default=True)
def rates(out: Path, repeats: int) -> None:
    """Time reading a million reflections into P1, and photon noise."""
    from tools.evidence.rates import write_bundle

    click.echo(write_bundle(out, repeats=repeats))


@command.command("gpu")
@_out_option
@click.option("--device", default="cuda", show_default=True, metavar="D", help="cuda or cuda:N")
@click.option("--quick", is_flag=True, help="Everything once and small: to see that it works.")
def gpu(out: Path, device: str, quick: bool) -> None:
    """Measure the fused kernel on the card that is here, beside the bars it has to keep.

    Speed, a frame with photon noise, accuracy, a sweep, shortage of memory, sizes of programs.

    By estimate it takes five minutes on an H100. A part that fails is told, and the others go on;
    what was found is written after each. With TRITON_INTERPRET=1, --device cpu --quick tries it
    out without a card.
    """
    import tempfile

    from distbragg.run.workloads import make_inputs
    from tools.bench.gpu import check_card, full_extent, measure_gpu, quick_extent
    from tools.bench.gpu_summary import draw, rows, text
    from tools.evidence.bundle import Bundle, markdown_table

    check_card(device)
    bundle = Bundle.create(out, "gpu")
    extent = quick_extent() if quick else full_extent()
    with tempfile.TemporaryDirectory(prefix="distbragg-") as folder:
        inputs = make_inputs(Path(folder)).parent
        measured = measure_gpu(
            bundle, inputs, device, extent, lambda line: click.echo(line, err=True)
        )
    table = markdown_table(
        ("what", "measured", "bar", "verdict"), [row.cells for row in rows(measured)]
    )
    bundle.write_text("summary.md", text(measured, table))
    draw(bundle.path / "gpu.png", measured)
    click.echo((bundle.path / "summary.md").read_text(encoding="utf-8"))
    click.echo(bundle.path)
