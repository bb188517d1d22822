"""Copying a run to an object store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distbragg.errors import InputError
from distbragg.store.home import run_lock
from distbragg.store.publish import publish_run
from distbragg.store.remote import Remote, is_url
from distbragg.store.remote_lock import RemoteLock
from distbragg.store.run_directory import RunDirectory, open_run, refresh_run


@dataclass(frozen=True, slots=True)
class PublishResult:
    """What was copied.

    Attributes
    ----------
    path, url : str
    copied : int
        Objects put now.
    units, all_units : int
        Units that are there, and units of the run.
    """

    path: str
    url: str
    copied: int
    units: int
    all_units: int

    def to_plain(self) -> dict[str, Any]:
        """Return as JSON-able data."""
        return {
            "path": self.path,
            "url": self.url,
            "copied": self.copied,
            "units": self.units,
            "all_units": self.all_units,
        }


def publish(
    run: RunDirectory | str | Path, url: str, *, on_unit: Callable[[int], None] | None = None
) -> PublishResult:
    """Copy a run, finished or not, to an object store, each object compared with its receipt.

    What is there already, and is what its receipt states, is passed over, so that an interrupted
    copy is gone on with and a run that has grown is brought up to date.

    Parameters
    ----------
    run : RunDirectory or path
        On a file system.
    url : str
        `s3://bucket/run.zarr`. Credentials come from the environment.
    on_unit : callable, optional
        Called with each unit that was looked at.

    Raises
    ------
    InputError
        `run` or `url` cannot be used.
    RefusedError
        Another run is there, or one of the two is in use.
    DamageError
        An object is not what its receipt states.
    EnvironmentFailure
        The store refuses.
    """
    directory = run if isinstance(run, RunDirectory) else open_run(run)
    if directory.remote is not None or not is_url(url):
        raise InputError(
            "publish copies from a file system to an object store",
            source=f"{directory.shown} {url}",
            remedy="give RUN and s3://bucket/run.zarr",
        )
    remote = Remote(url)
    with run_lock(directory), RemoteLock(remote):
        copied, units = publish_run(directory, remote, on_unit)
    refresh_run(remote.url)
    return PublishResult(str(directory.path), remote.url, copied, units, directory.layout.units)
