"""What a user may say about a cluster: one model per kind of site, read from a YAML file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from distbragg.errors import InputError
from distbragg.spec.base import Auto, Count, Positive, SpecModel, refusal
from distbragg.spec.problems import input_error
from distbragg.spec.yaml_text import read_yaml_mapping

QueueKind = Literal["slurm", "pbs", "lsf", "sge"]
WorkerCount = Annotated[int, Field(ge=0, le=1_000_000)]
Bytes = Annotated[str, Field(pattern=r"^\d+(\.\d+)?\s?[kKMGT]i?B$")]

_NO_OPTIONS: Final = frozenset((
    "dashboard_address", "death_timeout", "host", "job_directives_skip", "job_extra_directives",
    "job_script_prologue", "n_workers", "name", "nanny", "project", "protocol", "scheduler_cls",
    "scheduler_options", "security", "worker_extra_args",
))  # fmt: skip
"""Arguments of dask-jobqueue that fields of other names stand for, or that would undo the
encryption; those of the fields' names cannot be set twice either."""

_WALLTIME = re.compile(r"^(?:(\d{1,3})-)?(\d{1,4}):([0-5]\d):([0-5]\d)$")


class TlsFiles(SpecModel):
    """Certificates in PEM files: of the authority, of this side, and its private key."""

    ca_file: str
    """Certificate of the authority that signed the others, PEM. Example: ca.pem"""
    cert_file: str
    """Certificate of this side, PEM. Example: client.pem"""
    key_file: str
    """Private key of that certificate, PEM. Example: client.key"""


class ClusterSpec(SpecModel):
    """A cluster to start or to join."""

    kind: str
    """Kind of site: local, address, scheduler-file, or a batch system. A file may leave it out
    where `--cluster KIND` says it. Example: slurm"""
    workers: WorkerCount = 0
    """Worker processes in all, which `--workers` overrides; 0 is a default of the kind. Example: 32
    """


class LocalClusterSpec(ClusterSpec):
    """Worker processes on this machine, bound to the loopback interface."""

    kind: Literal["local"] = "local"
    """Worker processes on this machine."""
    tls: bool = True
    """Whether certificates are made for the run; without them every user of this machine can run
    code as you. Example: false"""
    memory_limit: str = Field(default="", pattern=r"^(\d+(\.\d+)?\s?[kKMGT]?i?B)?$")
    """Memory of one worker; empty is an equal share of the machine. Example: 4GiB"""


class JoinedClusterSpec(ClusterSpec):
    """A scheduler that somebody else runs; one off this machine needs encryption."""

    tls: TlsFiles | None = None
    """Certificates for the scheduler; encryption is then required. Left out: as Dask's
    configuration says."""
    allow_plaintext: bool = False
    """Whether to speak to a `tcp://` address off this machine without encryption. Example: true"""


class AddressClusterSpec(JoinedClusterSpec):
    """A scheduler by its address, `tls://host:port` or `tcp://host:port`."""

    kind: Literal["address"] = "address"
    """A scheduler by its address."""
    address: str = Field(min_length=1)
    """Where the scheduler listens. Example: tls://head:8786"""


class SchedulerFileClusterSpec(JoinedClusterSpec):
    """A scheduler by the JSON file that it wrote."""

    kind: Literal["scheduler-file"] = "scheduler-file"
    """A scheduler by the file that it wrote."""
    scheduler_file: str = Field(min_length=1)
    """The file that `dask scheduler --scheduler-file` wrote. Example: scheduler.json"""


class QueueClusterSpec(ClusterSpec):
    """Workers as jobs of a batch system; the scheduler runs in this process."""

    kind: QueueKind
    """The batch system. Example: slurm"""
    cores: Count
    """CPU cores of one job. Example: 16"""
    processes: Count | Auto = "auto"
    """One-thread workers in one job; auto is one for each core. Example: 8"""
    memory: Bytes
    """Memory of one job, of which each worker may use its share. Example: 64GB"""
    walltime: str = "01:00:00"
    """Longest life of one job, HH:MM:SS or D-HH:MM:SS; the run may last longer. Example: 04:00:00
    """
    queue: str = ""
    """Partition or queue; empty is the site's own choice. Example: short"""
    account: str = ""
    """Account or project that pays; empty is the site's own choice. Example: mx2345"""
    job_name: str = Field(default="distbragg", pattern=r"^[A-Za-z][\w.-]{0,63}$")
    """Name of the jobs in the queue. Example: training-set"""
    interface: str = ""
    """Network by which nodes reach this host; empty is whichever the scheduler's host has. Example:
    ib0"""
    scheduler_host: str = ""
    """Address at which the scheduler listens; empty is every one of this host. Example:
    head.example"""
    scheduler_port: int = Field(default=0, ge=0, le=65535)
    """Port at which the scheduler listens; 0 is any free one. Example: 8786"""
    python: str = ""
    """The interpreter on the nodes; empty is this one. Example: ~/env/bin/python"""
    local_directory: str = ""
    """Folder of workers' temporary files, in which `$TMPDIR` is that of the node; empty is the
    job's folder. Example: $TMPDIR"""
    log_directory: str = ""
    """Folder for what jobs write; empty is as the batch system has it. Example: logs"""
    shared_directory: str = ""
    """Folder by which certificates of the run pass to the nodes; empty is `~/.distbragg`. Example:
    /shared/me"""
    prologue: tuple[str, ...] = ()
    """Shell lines that run in the job before the worker starts. Example: [module load python]"""
    directives: tuple[str, ...] = ()
    """Lines that are added to the header of the job. Example: [--constraint=avx512]"""
    directives_skip: tuple[str, ...] = ()
    """Lines that are left out of the header of the job. Example: [--mem]"""
    worker_arguments: tuple[str, ...] = ()
    """Further arguments of `dask worker`. Example: [--resources, GPU=1]"""
    lifetime: Literal["auto", "none"] = "auto"
    """auto lets workers end in order before their walltime, none lets the batch system kill them.
    Example: none"""
    tls: TlsFiles | Literal["auto", "none"] = "auto"
    """auto makes certificates for this run; none needs a `scheduler_host` of this machine; or the
    three files. Example: none"""
    patience_h: Positive = 72.0
    """How long to wait while no job runs, hours. Example: 24"""
    options: Mapping[str, Any] = Field(default_factory=dict)
    """Further arguments of dask-jobqueue's job. Example: {lsf_units: mb}"""

    @field_validator("walltime", mode="before")
    @classmethod
    def _walltime_is_text(cls, value: object) -> object:
        if isinstance(value, str) and _WALLTIME.match(value):
            return value
        raise refusal(f"{value!r} is not a walltime", remedy="write hours, e.g. 10:00:00")

    @field_validator("tls", mode="before")
    @classmethod
    def _files_or_a_choice(cls, value: object) -> object:
        if isinstance(value, str | bool) and value not in ("auto", "none"):
            raise refusal(f"{value!r} is not allowed here", remedy="write auto, none or the files")
        return value

    @field_validator("options")
    @classmethod
    def _options_add_only(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        taken = sorted((_NO_OPTIONS | set(cls.model_fields)) & set(value))
        if taken:
            raise refusal(
                f"{taken[0]} cannot be set here",
                remedy="use the field of the cluster file that stands for it",
            )
        return value

    @model_validator(mode="after")
    def _fits(self) -> QueueClusterSpec:
        if self.processes_per_job > self.cores:
            raise refusal(
                f"{self.processes} one-thread workers do not fit into {self.cores} cores",
                field="processes",
            )
        if self.walltime_s < MINIMUM_WALLTIME_S:
            raise refusal(
                f"is shorter than {MINIMUM_WALLTIME_S} s: workers would spend it starting",
                field="walltime",
            )
        if self.kind == "sge" and self.cores > 1 and not any("-pe" in d for d in self.directives):
            raise refusal(
                f"Grid Engine gives one core unless a parallel environment asks for {self.cores}",
                field="directives",
                remedy=f'add "-pe smp {self.cores}" with the name your site uses',
            )
        return self

    @property
    def processes_per_job(self) -> int:
        """One-thread workers in one job."""
        return self.cores if self.processes == "auto" else self.processes

    @property
    def jobs(self) -> int:
        """Jobs for `workers` workers, at least one."""
        return max(1, -(-self.workers // self.processes_per_job))

    @property
    def walltime_s(self) -> int:
        """Longest life of a job, s."""
        found = _WALLTIME.match(self.walltime)
        assert found is not None
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return ((24 * days + hours) * 60 + minutes) * 60 + seconds


MINIMUM_WALLTIME_S: Final = 60

MODELS: Final[Mapping[str, type[ClusterSpec]]] = {
    "local": LocalClusterSpec,
    "address": AddressClusterSpec,
    "scheduler-file": SchedulerFileClusterSpec,
    **dict.fromkeys(("slurm", "pbs", "lsf", "sge"), QueueClusterSpec),
}
"""The model of each kind of cluster."""


def read_cluster_file(path: str, kind: str = "") -> ClusterSpec:
    """Read a cluster file (YAML); it may leave `kind` out where that was said elsewhere."""
    content = read_yaml_mapping(path)
    said = content.setdefault("kind", kind) if kind else content.get("kind")
    if not isinstance(said, str) or said not in MODELS:
        raise InputError(
            f"{said!r} is not a kind of cluster" if said is not None else "is missing",
            source=path,
            field="kind",
            remedy=f"one of {', '.join(MODELS)}",
        )
    if kind and said != kind:
        raise InputError(
            f"the file is about {said}, --cluster says {kind}", source=path, field="kind"
        )
    folder = Path(path).parent
    if "scheduler_file" in content:
        content["scheduler_file"] = _beside(folder, content["scheduler_file"])
    if isinstance(content.get("tls"), dict):
        content["tls"] = {field: _beside(folder, name) for field, name in content["tls"].items()}
    try:
        return MODELS[said].model_validate(content)
    except ValidationError as error:
        raise input_error(error, MODELS[said], path) from None


def _beside(folder: Path, name: object) -> object:
    return str(folder / name) if isinstance(name, str) and name else name
