"""The advisory lock of a run: one coordinator at a time, or one per part of a job array.

The lock file states host, process, boot and start time of its holder; its modification time
is the heartbeat. On the holder's own machine the process table decides whether it still
runs; from another machine only the heartbeat can.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from distbragg.errors import RefusedError
from distbragg.store.files import no_room, read_bounded
from distbragg.store.layout import LOCK_FILE

HEARTBEAT_S = 15.0
STALE_S = 180.0
_LOCK_BYTES = 1 << 12
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds a lock, as the lock file says."""

    token: str
    host: str
    boot: str
    pid: int
    started: float

    @property
    def place(self) -> str:
        """Readable name of the holder."""
        return f"process {self.pid} on {self.host}"


class RunLock:
    """Holds the lock of a run while its `with` block runs.

    Parameters
    ----------
    state : Path
        The run's `.distbragg` directory.
    part : (int, int), optional
        (i, n): lock only that part; parts of the same n do not exclude each other.
    heartbeat_s, stale_s : float
        Interval of the heartbeat, and the age at which a lock of another machine is stale.

    Raises
    ------
    RefusedError
        On entering: another process holds the run.
    """

    def __init__(
        self,
        state: Path,
        *,
        part: tuple[int, int] | None = None,
        heartbeat_s: float = HEARTBEAT_S,
        stale_s: float = STALE_S,
    ) -> None:
        self._state = state
        self._part = part
        self._heartbeat_s = heartbeat_s
        self._stale_s = stale_s
        self._path = state / lock_name(part)
        self._holder = this_process()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="run-lock", daemon=True)

    def __enter__(self) -> Self:
        with _guard(self._state):
            for path in sorted(self._state.glob(f"{LOCK_FILE}*")):
                if path.suffix == ".guard" or not names_exclude(self._part, path.name):
                    continue
                holder = read_holder(path)
                if holder is not None and is_alive(holder, path, self._stale_s):
                    raise RefusedError(
                        f"{self._state.parent}: the run is in use by {holder.place}; wait for it, "
                        f"or stop it, or remove {path} if that process is gone"
                    )
                path.unlink(missing_ok=True)
            self._create()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        holder = read_holder(self._path)
        if holder is not None and holder.token == self._holder.token:
            self._path.unlink(missing_ok=True)

    def _create(self) -> None:
        body = {name: getattr(self._holder, name) for name in LockHolder.__slots__}
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            raise RefusedError(f"{self._state.parent}: another process took the run") from None
        except OSError as error:
            raise no_room(error, self._path) from error
        with os.fdopen(descriptor, "w") as handle:
            json.dump(body, handle)

    def _beat(self) -> None:
        while not self._stop.wait(self._heartbeat_s):
            with contextlib.suppress(OSError):
                os.utime(self._path)


def read_holder(path: Path) -> LockHolder | None:
    """Return the holder a lock file names; None where the file is gone or torn."""
    try:
        return parse_holder(read_bounded(path, _LOCK_BYTES))
    except (OSError, ValueError):
        return None


def parse_holder(data: bytes) -> LockHolder | None:
    """Return the holder that the content of a lock names; None where it is torn."""
    try:
        body: dict[str, Any] = json.loads(data)
        return LockHolder(
            token=str(body["token"]),
            host=str(body["host"]),
            boot=str(body["boot"]),
            pid=int(body["pid"]),
            started=float(body["started"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def is_alive(holder: LockHolder, path: Path, stale_s: float = STALE_S) -> bool:
    """Whether the holder of the lock file `path` still runs, as far as can be known here."""
    known = runs_here(holder)
    if known is not None:
        return known
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return False
    return age < stale_s


def runs_here(holder: LockHolder) -> bool | None:
    """Whether a holder of this host still runs; None where only a heartbeat can tell."""
    here = this_process()
    if holder.host == here.host:
        if holder.boot == here.boot:
            return _process_start(holder.pid) == holder.started
        if holder.boot.split("/")[0] != here.boot.split("/")[0]:
            return False
    return None


def names_exclude(part: tuple[int, int] | None, name: str) -> bool:
    """Whether a lock of that name keeps one of `part` from being taken."""
    if part is None or name == LOCK_FILE:
        return True
    return not name.endswith(f"-of-{part[1]}") or name == lock_name(part)


def lock_name(part: tuple[int, int] | None) -> str:
    """Name of the lock of a run, or of one part of it."""
    return LOCK_FILE if part is None else f"{LOCK_FILE}.part-{part[0]}-of-{part[1]}"


def this_process() -> LockHolder:
    """Return what a lock says of this process."""
    pid = os.getpid()
    return LockHolder(
        token=uuid.uuid4().hex,
        host=socket.gethostname(),
        boot=_boot_identity(),
        pid=pid,
        started=_process_start(pid),
    )


def _boot_identity() -> str:
    """Boot id and process-id namespace: pids of another container mean nothing here."""
    try:
        boot = _BOOT_ID.read_text().strip()
    except OSError:
        boot = f"{psutil.boot_time():.0f}"
    try:
        namespace = str(_PID_NAMESPACE.stat().st_ino)
    except OSError:
        namespace = ""
    return f"{boot}/{namespace}"


def _process_start(pid: int) -> float:
    """Start time of a process, s since the epoch; -1 where there is none or it is a zombie."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return -1.0
        return float(process.create_time())
    except psutil.Error:
        return -1.0


@contextlib.contextmanager
def _guard(state: Path) -> Iterator[None]:
    """Keep two processes from judging the same stale lock at once, where the system can."""
    path = state / f"{LOCK_FILE}.guard"
    with path.open("a") as handle:
        # Some network file systems know no flock; O_EXCL still decides who gets the lock.
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
