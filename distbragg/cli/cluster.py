"""`distbragg cluster`: look at what a cluster file comes to, and make certificates."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("cluster")
def command() -> None:
    r"""Prepare clusters: see the job a cluster file asks for, and make certificates.

    \b
    distbragg cluster script --site site.yaml   the job script, nothing submitted
    distbragg cluster certificates DIR          keys for a scheduler and its workers
    """


@command.command("script")
@click.option("--site", required=True, metavar="FILE", help="The cluster file (YAML).")
@click.option("--cluster", "kind", metavar="KIND", default="", help="slurm, pbs, lsf or sge.")
@click.option(
    "--workers", type=click.IntRange(min=1), metavar="N", help="Instead of the file's number."
)
def script(*, site: str, kind: str, workers: int | None) -> None:
    """Print the script of one job; nothing is submitted."""
    from distbragg.errors import InputError
    from distbragg.graph.cluster import parse_cluster
    from distbragg.graph.sites.queue import job_script
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
    click.echo(job_script(spec).rstrip())
    click.echo(f"# {spec.jobs} such jobs, {spec.processes_per_job} workers in each", err=True)


@command.command("certificates")
@click.argument("directory", metavar="DIR", type=click.Path())
def certificates(*, directory: str) -> None:
    """Write ca.pem, cert.pem and key.pem into DIR, readable by you alone, good for a year.

    Whoever holds them may run code on the cluster: keep the folder to yourself, on a file
    system that the scheduler, the workers and this program see.
    """
    from distbragg.graph.sites.certificates import make_certificates

    tls = make_certificates(Path(directory))
    click.echo("in a cluster file:")
    click.echo("tls:")
    for name, path in tls.model_dump().items():
        click.echo(f"  {name}: {path}")
    flags = f"--tls-ca-file {tls.ca_file} --tls-cert {tls.cert_file} --tls-key {tls.key_file}"
    click.echo(f"for dask scheduler and dask worker:\n  --protocol tls {flags}")
