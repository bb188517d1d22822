"""The lock of a run on an object store: a key that the store hands out once.

The holder puts its lock again every few seconds, in place of its own version alone. A lock that
was not put for `STALE_S` may be taken over, again in place of that version alone: of two that
try, the store lets one.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import threading
from dataclasses import asdict
from types import TracebackType
from typing import Final, Self

from distbragg.errors import EnvironmentFailure, RefusedError
from distbragg.store.layout import STATE_DIR
from distbragg.store.lock import (
    HEARTBEAT_S,
    STALE_S,
    LockHolder,
    lock_name,
    names_exclude,
    parse_holder,
    runs_here,
    this_process,
)
from distbragg.store.remote import LOCKS, Entry, Remote

_JOIN_S: Final = 30.0


class RemoteLock:
    """Holds the lock of a run on an object store while its `with` block runs.

    Parameters
    ----------
    remote : Remote
    part : (int, int), optional
        (i, n): lock only that part; parts of the same n do not exclude each other.
    heartbeat_s, stale_s : float

    Raises
    ------
    RefusedError
        On entering: another process holds the run.
    """

    def __init__(
        self,
        remote: Remote,
        *,
        part: tuple[int, int] | None = None,
        heartbeat_s: float = HEARTBEAT_S,
        stale_s: float = STALE_S,
    ) -> None:
        self._remote = remote
        self._part = part
        self._key = f"{STATE_DIR}/{lock_name(part)}"
        self._heartbeat_s, self._stale_s = heartbeat_s, stale_s
        self._holder = this_process()
        self._tag = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="run-lock", daemon=True)

    def __enter__(self) -> Self:
        found = {entry.key: entry for entry in lock_entries(self._remote)}
        for entry in found.values():
            if names_exclude(self._part, entry.key.rpartition("/")[2]):
                self._refuse_if_alive(entry)
        version = found[self._key].tag if self._key in found else ""
        try:
            self._tag = self._remote.put(self._key, self._body(), version=version)
        except FileExistsError:
            raise RefusedError(f"{self._remote.url}: another process took the run") from None
        # Two that came at once with locks of different names see each other now.
        for entry in lock_entries(self._remote):
            if entry.key != self._key and names_exclude(self._part, entry.key.rpartition("/")[2]):
                try:
                    self._refuse_if_alive(entry)
                except RefusedError:
                    self._remote.delete(self._key)
                    raise
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(_JOIN_S)
        with contextlib.suppress(FileNotFoundError, EnvironmentFailure):
            holder = parse_holder(self._remote.get(self._key))
            if holder is not None and holder.token == self._holder.token:
                self._remote.delete(self._key)

    def _refuse_if_alive(self, entry: Entry) -> None:
        holder = holder_of(self._remote, entry)
        if holder is not None and is_held(holder, entry, self._stale_s):
            raise RefusedError(
                f"{self._remote.url}: the run is in use by {holder.place}; wait for it, or stop "
                f"it, or delete {entry.key} if that process is gone"
            )

    def _body(self) -> bytes:
        return json.dumps(asdict(self._holder)).encode()

    def _beat(self) -> None:
        while not self._stop.wait(self._heartbeat_s):
            # A store that does not answer now may answer at the next beat.
            with contextlib.suppress(FileExistsError, EnvironmentFailure):
                self._tag = self._remote.put(self._key, self._body(), version=self._tag)


def lock_entries(remote: Remote) -> list[Entry]:
    """All lock objects of a run."""
    return [entry for entry in remote.entries_of(STATE_DIR) if entry.key.startswith(LOCKS)]


def holder_of(remote: Remote, entry: Entry) -> LockHolder | None:
    """Return the holder that a lock object names; None where it is gone or torn."""
    try:
        return parse_holder(remote.get(entry.key))
    except FileNotFoundError:
        return None


def is_held(holder: LockHolder, entry: Entry, stale_s: float = STALE_S) -> bool:
    """Whether the holder of a lock object still runs, as far as can be known here."""
    known = runs_here(holder)
    if known is not None:
        return known
    return lock_age(entry) < stale_s


def lock_age(entry: Entry) -> float:
    """Seconds since a lock object was put, by this machine's clock."""
    now = datetime.datetime.now(datetime.UTC)
    return max(0.0, (now - entry.changed).total_seconds())
