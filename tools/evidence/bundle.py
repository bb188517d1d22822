"""A timestamped folder of evidence that never overwrites an earlier one."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from distbragg.errors import EnvironmentFailure

STAMP_FORMAT = "%Y%m%dT%H%M%SZ"
PACKAGES = ("numpy", "dask", "distributed", "xarray", "zarr", "numcodecs", "pydantic", "scipy")


@dataclass(frozen=True, slots=True)
class Bundle:
    """One bundle: `root/topic/<UTC stamp>/`.

    Attributes
    ----------
    path : Path
        The folder; it did not exist before.
    """

    path: Path

    @classmethod
    def create(cls, root: Path, topic: str, *, now: datetime | None = None) -> Bundle:
        """Make the folder and record the command line and the environment in it.

        Parameters
        ----------
        root : Path
            Folder that holds all topics, usually `reports`.
        topic : str
            `parity`, `reproducibility`, …
        now : datetime, optional
            Time of the bundle; the present by default.

        Raises
        ------
        EnvironmentFailure
            The folder exists already or cannot be made.
        """
        moment = now or datetime.now(UTC)
        path = root / topic / moment.strftime(STAMP_FORMAT)
        try:
            path.mkdir(parents=True, exist_ok=False)
        except FileExistsError:
            raise EnvironmentFailure(
                f"{path}: a bundle of this second exists; run the command again"
            ) from None
        except OSError as error:
            raise EnvironmentFailure(f"{path}: cannot be made ({error.strerror})") from None
        bundle = cls(path)
        bundle.record_command(["python", *sys.orig_argv[1:]], moment)
        bundle.write_json("env.json", environment())
        return bundle

    def record_command(self, command: Sequence[str], moment: datetime | None = None) -> None:
        """Append an ISO time and the literal command to `commands.txt`."""
        when = (moment or datetime.now(UTC)).isoformat(timespec="seconds")
        with (self.path / "commands.txt").open("a", encoding="utf-8") as stream:
            stream.write(f"{when} {shlex.join(command)}\n")

    def write_text(self, name: str, text: str) -> Path:
        """Write one file of the bundle and return its path."""
        target = self.path / name
        target.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
        return target

    def write_json(self, name: str, value: object) -> Path:
        """Write one ASCII JSON file of the bundle."""
        return self.write_text(name, json.dumps(value, indent=2, ensure_ascii=True))


def environment() -> dict[str, object]:
    """Say what a figure was measured with: Python, torch, device, commit, machine, packages."""
    from distbragg.kernel.options import cuda_available

    facts: dict[str, object] = {
        "python": platform.python_version(),
        "torch": _version("torch"),
        "cuda_available": cuda_available(),
        "git_head": git_head(),
        "nb_c_bin": "set" if os.environ.get("NB_C_BIN") else "",
    }
    facts.update({name: _version(name) for name in PACKAGES})
    facts["machine"] = f"{platform.machine()} {platform.system()}, {os.cpu_count()} cores"
    return facts


def git_head() -> str:
    """Commit of the checkout that holds the package, with `+` when it has changes; else ``""``."""
    folder = Path(__file__).resolve().parent
    head = _git(folder, "rev-parse", "HEAD")
    return f"{head}+" if head and _git(folder, "status", "--porcelain", "-uno") else head


def _git(folder: Path, *arguments: str) -> str:
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Format rows as a Markdown table."""
    lines = [" | ".join(("", *header, "")).strip(), "|" + " --- |" * len(header)]
    lines += [" | ".join(("", *(str(cell) for cell in row), "")).strip() for row in rows]
    return "\n".join(lines)
