"""Memory and cores are those that control groups leave to this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from distbragg.run import machine


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of control groups; version 2, this process in /slurm/job_7."""
    monkeypatch.setattr(machine, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(machine, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    (tmp_path / "membership").write_text("0::/slurm/job_7\n")
    return tmp_path / "groups"


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 16), ("150000 100000", 2), ("100000 100000", 1), ("20000 100000", 1)],
)
def test_a_quota_limits_the_cores(groups: Path, quota: str, cores: int) -> None:
    write(groups / "slurm" / "job_7", cpu__max=quota)
    assert machine.usable_cores() == cores


def test_the_least_of_a_group_and_those_above_it_counts(groups: Path) -> None:
    write(groups, cpu__max="800000 100000")
    write(groups / "slurm", cpu__max="300000 100000", memory__max="1000000")
    write(groups / "slurm" / "job_7", cpu__max="max 100000", memory__max="max")
    assert machine.usable_cores() == 3
    assert machine.memory_bytes() == 1_000_000


def test_a_container_sees_its_limit_at_the_root(groups: Path) -> None:
    write(groups, cpu__max="400000 100000", memory__max="5000000")
    assert machine.usable_cores() == 4
    assert machine.memory_bytes() == 5_000_000


def test_version_1_of_control_groups(groups: Path) -> None:
    (groups.parent / "membership").write_text("5:cpu,cpuacct:/job\n3:memory:/job\n1:name=x:/\n")
    write(groups / "cpu" / "job", **{"cpu__cfs_quota_us": "250000", "cpu__cfs_period_us": "100000"})
    write(groups / "cpu", **{"cpu__cfs_quota_us": "-1", "cpu__cfs_period_us": "100000"})
    write(groups / "memory" / "job", memory__limit_in_bytes="2000000")
    write(groups / "memory", memory__limit_in_bytes="9223372036854771712")
    assert machine.usable_cores() == 3
    assert machine.memory_bytes() == 2_000_000


def test_without_control_groups_the_machine_counts(groups: Path) -> None:
    (groups.parent / "membership").unlink()
    assert machine.usable_cores() == 16
    assert machine.memory_bytes() > 1 << 28


def test_free_disk_is_asked_of_the_nearest_folder_there_is(tmp_path: Path) -> None:
    assert machine.free_disk_bytes(tmp_path / "a" / "b") > 0
