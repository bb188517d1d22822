"""The lease of a run: one driver at a time, or one for each part of a job array.

The holder puts its lease again every few seconds, in place of its own version alone. Whether
another one still lives is never asked of a clock or a host name: on the machine and in the boot
where it was taken the process table answers, and elsewhere the lease is watched. One that does
not change for as long as it says is over, and is replaced in place of that version alone: of two
that try, one succeeds.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
import signal
import socket
import threading
import time
import uuid
from dataclasses import dataclass, replace
from typing import Annotated, Final, Self

from pydantic import Field, TypeAdapter

from distbragg.errors import DamageError, DistbraggError, EnvironmentFailure, RefusedError
from distbragg.notes import LOGGED
from distbragg.store.layout import LOCK_FILE, STATE_DIR
from distbragg.store.objects import Entry, Objects, objects_at
from distbragg.store.processes import process_start, this_machine

HEARTBEAT_S: Final = 5.0
LEASE_S: Final = 60.0  # time without a heartbeat after which a lease is over, s
_LONGEST_LEASE_S: Final = 300.0
_LOST_SHARE: Final = 0.75
"""Share of the lease after which a holder that can't renew it takes it for lost: before others."""

_BODY_BYTES: Final = 1 << 12
_JOIN_S: Final = 30.0
_log = logging.getLogger("distbragg")


@dataclass(frozen=True, slots=True)
class LeaseBody:
    """What a lease says of its holder."""

    token: str  # drawn by the holder alone
    host: str  # for people
    machine: str  # boot, namespace of process numbers, network card
    pid: int
    started: str  # start of the process, ticks since the boot
    url: str
    folder: str  # tells the run from a copy; see `Objects.identity`
    lease_s: Annotated[float, Field(allow_inf_nan=False)] = LEASE_S
    beat: int = 0  # counts heartbeats

    @property
    def place(self) -> str:
        """Readable name of the holder."""
        return f"process {self.pid} on {self.host}"

    @property
    def watched_s(self) -> float:
        """How long to watch the lease before it is taken for over, s."""
        return min(max(self.lease_s, 0.0), _LONGEST_LEASE_S)

    def to_bytes(self) -> bytes:
        """Return the content of the lease."""
        return _BODY.dump_json(self)

    def still_runs(self, objects: Objects) -> bool | None:
        """Whether the holder lives, by the process table; None where only its heartbeat tells."""
        if self.machine != this_machine():
            return None
        started = process_start(self.pid)
        if started is None:
            return None
        if started != self.started:
            return False
        # A run that was copied at work holds the lease of the one that it is a copy of.
        if self.folder == objects.identity():
            return True
        with contextlib.suppress(OSError, DistbraggError):
            if objects_at(self.url).identity() == self.folder:
                return False
        return None


_BODY: Final = TypeAdapter(LeaseBody)


@dataclass(frozen=True, slots=True)
class Holder:
    """The holder of one lease, as far as one look tells; one that is over will be taken over."""

    part: str  # `i/N` of a job array; empty where the whole run is held
    place: str
    alive: bool  # by the process table on its own machine, elsewhere by its heartbeat
    heartbeat_age_s: float  # by this machine's clock


class Lease:
    """Holds a run, or one `part` of it (i, n), while its `with` block runs.

    Parts of the same n do not exclude each other. Entering raises `RefusedError` where another
    process holds the run. A lease that is lost, because another process took it or because it
    could not be renewed for most of its time, sets `lost` and interrupts the main thread if that
    holds it; leaving the block then raises `RefusedError` in place of the interrupt.
    """

    def __init__(
        self,
        objects: Objects,
        *,
        part: tuple[int, int] | None = None,
        heartbeat_s: float = HEARTBEAT_S,
        lease_s: float = LEASE_S,
    ) -> None:
        self.lost = threading.Event()
        self._why = ""
        self._objects, self._part, self._heartbeat_s = objects, part, heartbeat_s
        self._key = lease_key(part)
        self._body = LeaseBody(
            token=uuid.uuid4().hex,
            host=socket.gethostname(),
            machine=this_machine(),
            pid=os.getpid(),
            started=process_start(os.getpid()) or "",
            url=objects.url,
            folder=objects.identity(),
            lease_s=lease_s,
        )
        self._tag, self._renewed, self._in_main = "", 0.0, False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="run-lease", daemon=True)

    def __enter__(self) -> Self:
        over = self._await_others()
        try:
            self._take(over)
        except KeyboardInterrupt:  # the block has not begun, so that nothing else lets go
            self._stop.set()
            self._let_go()
            raise
        return self

    def _take(self, over: dict[str, str]) -> None:
        """Write the lease, in place of those that are over, and begin to renew it."""
        try:
            version = over.pop(self._key, "")
            self._tag = self._objects.put(self._key, self._body.to_bytes(), version=version)
        except FileExistsError:
            raise RefusedError(f"{self._objects.url}: another process took the run") from None
        # Two that came at once with leases of different names see each other now.
        for key, tag in self._in_the_way().items():
            if key != self._key and over.get(key) != tag:
                self._objects.delete(self._key)
                raise self._refusal(key, read_lease(self._objects, key))
        for key in over:
            self._objects.delete(key)
        self._renewed = time.monotonic()
        self._in_main = threading.current_thread() is threading.main_thread()
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop.set()
        try:
            self._thread.join(_JOIN_S)
        except KeyboardInterrupt:
            self.check()
            raise
        if not self.lost.is_set():
            self._let_go()
        elif kind is KeyboardInterrupt:
            self.check()

    def _let_go(self) -> None:
        """Delete the lease if it is this one's."""
        # What the block raised says more than a store that refuses to let go; the lease ends.
        with contextlib.suppress(OSError, EnvironmentFailure):
            found = read_lease(self._objects, self._key)
            if found is not None and found.token == self._body.token:
                self._objects.delete(self._key)

    def check(self) -> None:
        """Raise `RefusedError` where the lease is lost."""
        if self.lost.is_set():
            raise RefusedError(
                f"{self._objects.url}: {self._why}; this process stopped, and what it had finished "
                "is kept"
            ) from None

    def _await_others(self) -> dict[str, str]:
        """Return the version of every lease in the way, once none of them is held."""
        found = self._in_the_way()
        watched: dict[str, LeaseBody] = {}
        for key in found:
            body = read_lease(self._objects, key)
            runs = False if body is None else body.still_runs(self._objects)
            if runs:
                raise self._refusal(key, body)
            if runs is None and body is not None:
                watched[key] = body
        if not watched:
            return found
        longest = max(body.watched_s for body in watched.values())
        names = ", ".join(body.place for body in watched.values())
        said = "%s: held by %s, which can't be asked from here; watching its lease, %.0f s at most"
        _log.info(said, self._objects.url, names, longest, extra={LOGGED: True})
        over_at = time.monotonic() + longest
        while watched and time.monotonic() < over_at:
            time.sleep(min(1.0, self._heartbeat_s / 2))
            now = self._in_the_way()
            for key, tag in now.items():
                if found.get(key) != tag:
                    raise self._refusal(key, read_lease(self._objects, key))
            for key in found.keys() - now.keys():
                del found[key]
                watched.pop(key, None)
        return found

    def _in_the_way(self) -> dict[str, str]:
        """Versions of the leases that keep this one from being taken."""
        return {
            entry.key: entry.tag
            for entry in _leases(self._objects)
            if _excludes(self._part, entry.key)
        }

    def _refusal(self, key: str, body: LeaseBody | None) -> RefusedError:
        place = "another process" if body is None else body.place
        return RefusedError(
            f"{self._objects.url}: the run is in use by {place}; wait for it, or stop it, or "
            f"remove {self._objects.url}/{key} if that process is gone"
        )

    def _beat(self) -> None:
        while not self._stop.wait(self._heartbeat_s):
            try:
                self._renew()
            except (OSError, EnvironmentFailure, DamageError) as error:
                silent = time.monotonic() - self._renewed
                if silent > _LOST_SHARE * self._body.lease_s:
                    self._lose(f"the lease could not be renewed for {silent:.0f} s ({error})")
            if self.lost.is_set():
                return

    def _renew(self) -> None:
        started = time.monotonic()
        self._body = replace(self._body, beat=self._body.beat + 1)
        try:
            tag = self._objects.put(self._key, self._body.to_bytes(), version=self._tag)
        except (FileExistsError, FileNotFoundError):
            # The store may have taken an earlier put whose answer was lost.
            entry = self._objects.head(self._key)
            found = read_lease(self._objects, self._key)
            if entry is None or found is None or found.token != self._body.token:
                what = "removed" if found is None else f"taken over by {found.place}"
                self._lose(f"its lease was {what}")
                return
            tag = self._objects.put(self._key, self._body.to_bytes(), version=entry.tag)
        self._tag, self._renewed = tag, started

    def _lose(self, why: str) -> None:
        self._why = why
        self.lost.set()
        main = threading.main_thread().ident
        if self._in_main and main is not None and callable(signal.getsignal(signal.SIGINT)):
            signal.pthread_kill(main, signal.SIGINT)


def lease_holders(objects: Objects) -> tuple[Holder, ...]:
    """Return the holders of all leases of a run, live and over."""
    now, found = datetime.datetime.now(datetime.UTC), []
    for entry in _leases(objects):
        body = read_lease(objects, entry.key)
        if body is not None:
            age, runs = (now - entry.changed).total_seconds(), body.still_runs(objects)
            alive = abs(age) < body.watched_s if runs is None else runs
            part = entry.key.rpartition("/")[2].removeprefix(LOCK_FILE).removeprefix(".part-")
            found.append(Holder(part.replace("-of-", "/"), body.place, alive, max(0.0, age)))
    return tuple(found)


def lease_key(part: tuple[int, int] | None) -> str:
    """Key of the lease of a run, or of one part of it."""
    name = LOCK_FILE if part is None else f"{LOCK_FILE}.part-{part[0]}-of-{part[1]}"
    return f"{STATE_DIR}/{name}"


def read_lease(objects: Objects, key: str) -> LeaseBody | None:
    """Return what a lease says; None where it is gone, or is none."""
    try:
        return _BODY.validate_json(objects.get(key, _BODY_BYTES))
    except (FileNotFoundError, DamageError, ValueError):
        return None


def _leases(objects: Objects) -> list[Entry]:
    first = f"{STATE_DIR}/{LOCK_FILE}"
    return [
        entry
        for entry in objects.entries(f"{STATE_DIR}/", deep=False)
        if entry.key == first or entry.key.startswith(f"{first}.part-")
    ]


def _excludes(part: tuple[int, int] | None, key: str) -> bool:
    """Whether a lease of that key keeps one of `part` from being taken."""
    if part is None or key == lease_key(None):
        return True
    return not key.endswith(f"-of-{part[1]}") or key == lease_key(part)
