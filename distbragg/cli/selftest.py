"""`distbragg selftest`: images of the C program rendered anew on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from distbragg.cli.options import KERNELS

if TYPE_CHECKING:
    from distbragg.kernel.options import KernelOptions

HELP = """Render a few images of nanoBragg.c anew and compare them, in seconds.

Prints the numeric class, which is what the bits of a result depend on besides the experiment,
and the worst error of each image. Exit status 5 where one is not the C program's.
"""


@click.command("selftest", help=HELP)
@click.option("--kernel", type=click.Choice(KERNELS), default="auto", show_default=True)
@click.option("--device", default="cpu", show_default=True, metavar="D", help="cpu, cuda or cuda:N")
def command(kernel: str, device: str) -> None:
    """Compare in every precision that the kernel has."""
    from distbragg.errors import DamageError
    from distbragg.kernel.options import numeric_class
    from distbragg.run.selftest import check, selftest_cases

    began, failed, compared = time.perf_counter(), 0, 0
    for options in _each_precision(kernel, device):
        facts = numeric_class(options)
        click.echo("numeric class: " + ", ".join(f"{k} {v}" for k, v in facts.items() if v))
        click.echo(f"{'':14}{'worst relative':>15}{'of maximum':>12}{'total':>10}")
        for case in selftest_cases():
            found = check(case, options)
            held = found.held(facts["precision"])
            worst = found.relative if facts["precision"] == "float64" else found.bright
            click.echo(
                f"{case.name:14}{worst:15.1e}{found.of_maximum:12.1e}{found.total:10.1e}"
                f"  {'pass' if held else 'FAIL'}  {case.covers}"
            )
            compared += 1
            failed += not held
    if failed:
        raise DamageError(f"{failed} of {compared} images are not those of nanoBragg.c")
    click.echo(f"passed: {compared} images in {time.perf_counter() - began:.1f} s")


def _each_precision(kernel: str, device: str) -> Iterator[KernelOptions]:
    """Yield the options of float64, and of mixed where the kernel computes otherwise in it."""
    from distbragg.kernel.options import numeric_class, resolve_options
    from distbragg.spec.compute import ComputeSpec

    seen: list[dict[str, str]] = []
    for precision in ("float64", "mixed"):
        compute = ComputeSpec.model_validate(
            {"precision": precision, "kernel": kernel, "device": device}
        )
        options = resolve_options(compute, 1)
        facts = numeric_class(options)
        if facts not in seen:
            seen.append(facts)
            yield options
