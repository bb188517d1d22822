"""Who holds the locks of a run, as far as files tell."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from distbragg.store.layout import LOCK_FILE
from distbragg.store.lock import is_alive, read_holder
from distbragg.store.remote import Remote
from distbragg.store.remote_lock import holder_of, is_held, lock_age, lock_entries
from distbragg.store.run_directory import RunDirectory


@dataclass(frozen=True, slots=True)
class Holder:
    """The holder of one lock.

    Attributes
    ----------
    part : str
        `i/N` of a job array's part; empty where the whole run is held.
    place : str
        Process and host.
    alive : bool
        Whether it still runs: by the process table on its own host, by its heartbeat
        elsewhere. A lock that is not alive is stale and will be taken over.
    heartbeat_age_s : float
        Seconds since the last heartbeat.
    """

    part: str
    place: str
    alive: bool
    heartbeat_age_s: float


def lock_holders(run: RunDirectory) -> tuple[Holder, ...]:
    """Return the holders of all locks of a run, live and stale."""
    if run.remote is not None:
        return tuple(_remote_holders(run.remote))
    found = []
    for path in sorted(run.state.glob(f"{LOCK_FILE}*")):
        holder = read_holder(path)
        if holder is None:
            continue
        part = path.name.removeprefix(f"{LOCK_FILE}.part-").replace("-of-", "/")
        try:
            age = max(0.0, time.time() - path.stat().st_mtime)
        except OSError:
            continue
        found.append(
            Holder(
                "" if path.name == LOCK_FILE else part, holder.place, is_alive(holder, path), age
            )
        )
    return tuple(found)


def _remote_holders(remote: Remote) -> Iterator[Holder]:
    for entry in lock_entries(remote):
        holder = holder_of(remote, entry)
        if holder is not None:
            name = entry.key.rpartition("/")[2]
            part = name.removeprefix(LOCK_FILE).removeprefix(".part-").replace("-of-", "/")
            yield Holder(part, holder.place, is_held(holder, entry), lock_age(entry))
