"""Cluster files: one model per kind, one line per error."""

from __future__ import annotations

from pathlib import Path

import pytest

from distbragg.errors import InputError
from distbragg.spec.cluster import QueueClusterSpec, read_cluster_file

SLURM = "kind: slurm\ncores: 8\nmemory: 32GiB\n"


def write(folder: Path, text: str) -> str:
    path = folder / "site.yaml"
    path.write_text(text)
    return str(path)


def test_a_queue_file_says_what_a_job_is(tmp_path: Path):
    text = SLURM + "workers: 20\nprocesses: 6\nwalltime: 1-02:03:04\nqueue: long\n"
    spec = read_cluster_file(write(tmp_path, text))
    assert isinstance(spec, QueueClusterSpec)
    assert (spec.processes_per_job, spec.jobs) == (6, 4)
    assert spec.walltime_s == 26 * 3600 + 3 * 60 + 4
    assert spec.tls == "auto"


def test_one_worker_per_core_and_one_job_unless_told(tmp_path: Path):
    spec = read_cluster_file(write(tmp_path, SLURM))
    assert (spec.processes_per_job, spec.jobs) == (8, 1)


@pytest.mark.spec("CLU-5")
def test_the_kind_may_come_from_the_command_line(tmp_path: Path):
    path = write(tmp_path, "cores: 2\nmemory: 4GB\n")
    assert read_cluster_file(path, "lsf").kind == "lsf"
    with pytest.raises(InputError, match=r"site\.yaml: kind: .*slurm.*lsf"):
        read_cluster_file(write(tmp_path, SLURM), "lsf")


def test_files_are_taken_from_the_folder_of_the_cluster_file(tmp_path: Path):
    tls = "tls: {ca_file: ca.pem, cert_file: cert.pem, key_file: /k/key.pem}\n"
    spec = read_cluster_file(
        write(tmp_path, "kind: scheduler-file\nscheduler_file: s.json\n" + tls)
    )
    assert spec.scheduler_file == str(tmp_path / "s.json")
    assert spec.tls.ca_file == str(tmp_path / "ca.pem")
    assert spec.tls.key_file == "/k/key.pem"


@pytest.mark.spec("CLU-5")
@pytest.mark.parametrize(
    ("text", "field", "remedy"),
    [
        ("workers: 2\n", "kind", "one of local"),
        ("kind: cray\n", "kind", "one of local"),
        ("kind: [slurm]\n", "kind", "one of local"),
        ("kind: local\nworkers: many\n", "workers", "whole number"),
        ("kind: local\nworkers: -1\n", "workers", "greater than or equal to 0"),
        ("kind: local\nnodes: 4\n", "nodes", "unknown key"),
        ("kind: local\nmemory_limit: 4\n", "memory_limit", "such as 4GiB"),
        ("kind: address\n", "address", "missing"),
        ("kind: scheduler-file\n", "scheduler_file", "missing"),
        ("kind: address\naddress: tls://h:1\ntls: {ca_file: c}\n", "tls.cert_file", "missing"),
        ("kind: slurm\nmemory: 4GB\n", "cores", "missing"),
        ("kind: slurm\ncores: 4\nmemory: lots\n", "memory", "such as 64GB"),
        (SLURM + "core: 3\n", "core", "cores"),
        (SLURM + "walltime: 1:30\n", "walltime", "write hours, e.g. 10:00:00"),
        (SLURM + "walltime: 90\n", "walltime", "write hours, e.g. 10:00:00"),
        (SLURM + 'walltime: "00:00:30"\n', "walltime", "60 s"),
        (SLURM + "processes: 9\n", "processes", "8 cores"),
        (SLURM + "options: [1]\n", "options", "mapping"),
        (SLURM + "tls: no\n", "tls", "write auto, none"),
        ("kind: sge\ncores: 4\nmemory: 4GB\n", "directives", "-pe smp 4"),
    ],
)
def test_an_error_is_one_line_with_file_field_and_remedy(
    tmp_path: Path, text: str, field: str, remedy: str
):
    with pytest.raises(InputError) as caught:
        read_cluster_file(write(tmp_path, text))
    line = str(caught.value)
    assert "\n" not in line
    assert f"site.yaml: {field}: " in line
    assert remedy in line
