"""The machine and its clusters: `bench`, `selftest` and `cluster`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distbragg.cli import options
from distbragg.cli.output import echo
from distbragg.errors import DamageError, InputError

if TYPE_CHECKING:
    from distbragg.run.bench import Timing

_folder = click.Path(file_okay=False, path_type=Path)


@click.command("bench")
@click.option("--workload", metavar="NAME", help="Workload to time; --list names them.")
@click.option("--list", "show", is_flag=True, help="List the workloads.")
@click.option(
    "--make-inputs",
    "new_inputs",
    type=_folder,
    metavar="FOLDER",
    help="Write the reflection list that the workloads read.",
)
@click.option(
    "--inputs",
    type=_folder,
    metavar="FOLDER",
    default=".",
    help="Folder of the reflection list; default: the current one.",
)
@options.count_option(
    "--threads", "Threads of the kernel; default: the cores this process may use."
)
@click.option(
    "--precision", type=click.Choice(options.PRECISIONS), default="mixed", show_default=True
)
@options.machine_options
@click.option(
    "--indices",
    type=click.Choice(("wide", "split")),
    help="How the triton kernel computes h, k, l; default: the faster way on this GPU.",
)
@click.option("--noise", is_flag=True, help="Also draw photon counts; their time is included.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0.0),
    default=0.0,
    metavar="EPS",
    help="Photons per pixel that may be left out; default 0: exact zeros only.",
)
@options.count_option("--repeats", "Number of timed renders.")
@click.option(
    "--floatfile",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write the image as raw float32, as nanoBragg's -floatfile.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench_command(
    workload: str | None, show: bool, new_inputs: Path | None, as_json: bool, **how: Any
) -> None:
    """Time a workload in memory.

    \b
    Examples:
      distbragg bench --make-inputs inputs
      distbragg bench --workload mosaic_still --inputs inputs --threads 2 --json

    --workload renders once to warm up, then repeatedly, and prints the median time inside the
    kernel; steps that are skipped because they are exactly zero count as done.
    """
    from distbragg.run.bench import load_workloads, make_inputs

    if show:
        for name, listed in load_workloads().items():
            note = "  (meant for a GPU)" if listed.gpu_only else ""
            echo(f"{name}  {listed.steps} steps{note}")
    if new_inputs is not None:
        echo(make_inputs(new_inputs))
    if workload is not None:
        timing = _timed(workload, **how)
        echo(json.dumps(timing.plain()) if as_json else _line(timing))
    if not (show or new_inputs or workload):
        raise InputError(
            "nothing to do",
            source="bench",
            remedy="give --workload NAME, --make-inputs FOLDER or --list",
        )


def _timed(
    name: str,
    *,
    inputs: Path,
    threads: int | None,
    indices: str | None,
    repeats: int | None,
    floatfile: Path | None,
    **how: Any,
) -> Timing:
    """Time a workload, and write its image where one is wanted."""
    from distbragg.cli.image_files import check_target
    from distbragg.export.files import write_float32
    from distbragg.run.bench import How, check_inputs, find_workload, prepare, time_workload
    from distbragg.run.machine import usable_cores

    found = find_workload(name)
    if floatfile is not None:
        check_target(floatfile)
    ready = prepare(
        found, check_inputs(inputs), How(threads or usable_cores(), indices=indices or "", **how)
    )
    timing = time_workload(ready, repeats)
    if floatfile is not None:
        write_float32(floatfile, timing.image)
    return timing


def _line(timing: Timing) -> str:
    low, high = timing.spread
    card = ""
    if timing.card:
        card = (
            ", {indices} indices, {peak_fraction:.1%} of {peak_operations_per_s:.3g} operations/s "
            "on {card}"
        ).format(**timing.card)
    return (
        f"{timing.workload}: {timing.steps} steps in {timing.seconds:.4g} s "
        f"({low:.4g} to {high:.4g}), {timing.steps_per_s:.4g} steps/s, {timing.kernel} kernel, "
        f"{timing.precision}, {timing.device}, {timing.threads} threads, "
        f"{timing.frame_seconds:.4g} s a frame{card}"
    )


@click.command("selftest")
@options.machine_options
def selftest_command(kernel: str, device: str) -> None:
    """Render a few images that nanoBragg.c rendered and compare them, in seconds.

    Prints the numeric class, on which the bits of a result depend besides the experiment, and the
    largest error of each image. Exit status 5: an image differs from that of the C program.
    """
    from distbragg.kernel.options import numeric_class, resolve_options
    from distbragg.run.selftest import check, selftest_cases
    from distbragg.spec.compute import ComputeSpec

    began, failed, compared = time.perf_counter(), 0, 0
    seen: list[dict[str, str]] = []
    for precision in ("float64", "mixed"):
        asked = {"precision": precision, "kernel": kernel, "device": device}
        chosen = resolve_options(ComputeSpec.model_validate(asked), 1)
        facts = numeric_class(chosen)
        if facts in seen:
            continue  # the kernel computes alike in both
        seen.append(facts)
        echo("numeric class: " + ", ".join(f"{k} {v}" for k, v in facts.items() if v))
        echo(f"{'':14}{'worst relative':>15}{'of maximum':>12}{'total':>10}")
        for case in selftest_cases():
            found = check(case, chosen)
            held = found.held(facts["precision"])
            worst = found.relative if facts["precision"] == "float64" else found.bright
            echo(
                f"{case.name:14}{worst:15.1e}{found.of_maximum:12.1e}{found.total:10.1e}"
                f"  {'pass' if held else 'FAIL'}  {case.covers}"
            )
            compared += 1
            failed += not held
    if failed:
        raise DamageError(f"{failed} of {compared} images are not those of nanoBragg.c")
    echo(f"passed: {compared} images in {time.perf_counter() - began:.1f} s")


@click.group("cluster")
def cluster_command() -> None:
    """Prepare clusters: print the job script of a cluster file, and make certificates.

    \b
    distbragg cluster script --site site.yaml   the job script, nothing submitted
    distbragg cluster certificates DIR          keys for a scheduler and its workers
    """


@cluster_command.command("script")
@click.option("--site", required=True, metavar="FILE", help="The cluster file (YAML).")
@click.option("--cluster", "kind", metavar="KIND", default="", help="slurm, pbs, lsf or sge.")
@options.count_option("--workers", "Number of workers; default: that of the file.")
def script(site: str, kind: str, workers: int | None) -> None:
    """Print the script of one job; nothing is submitted."""
    from distbragg.clusters.address import parse_cluster
    from distbragg.clusters.jobs import job_script
    from distbragg.spec.cluster import QueueClusterSpec

    spec = parse_cluster(kind, site)
    if not isinstance(spec, QueueClusterSpec):
        raise InputError(
            f"a {spec.kind} cluster has no jobs",
            source=site,
            field="kind",
            remedy="jobs belong to slurm, pbs, lsf and sge",
        )
    if workers is not None:
        spec = spec.model_copy(update={"workers": workers})
    echo(*job_script(spec).rstrip().split("\n"))
    echo(f"# {spec.jobs} such jobs, {spec.processes_per_job} workers in each", err=True)


@cluster_command.command("certificates")
@click.argument("directory", metavar="DIR", type=click.Path())
def certificates(directory: str) -> None:
    """Write ca.pem, cert.pem and key.pem into DIR, readable by you alone, valid for a year.

    Anyone who can read them can run code on the cluster: keep the folder private, on a file system
    that the scheduler, the workers and this program see.
    """
    from distbragg.clusters.tls import make_certificates

    tls = make_certificates(Path(directory))
    echo("in a cluster file:")
    echo("tls:")
    for name, path in tls.model_dump().items():
        echo(f"  {name}: {path}")
    flags = f"--tls-ca-file {tls.ca_file} --tls-cert {tls.cert_file} --tls-key {tls.key_file}"
    echo("for dask scheduler and dask worker:", f"  --protocol tls {flags}")
