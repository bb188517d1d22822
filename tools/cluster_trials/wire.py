"""Hosts on one machine: network namespaces on a wire that delays, loses and parts.

Each namespace holds one TAP device; what they send passes through a switch in this process.
That needs root and `/dev/net/tun` alone, while the kernel's own emulator (netem) is a module
that many kernels lack. No namespace has a way to any address but those of the others.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tools.cluster_trials.trial import SkippedError

_TUNSETIFF: Final = 0x400454CA
_TAP_WITHOUT_HEADER: Final = 0x0002 | 0x1000
_FRAME_BYTES: Final = 2048
_BROADCAST: Final = b"\xff" * 6
_SUBNET: Final = "10.203.7"


@dataclass(frozen=True, slots=True)
class Host:
    """A network namespace with one address, and a folder for its temporary files."""

    namespace: str
    address: str
    tap: int
    folder: Path

    def command(self, *words: str) -> list[str]:
        """Return a command line that runs inside."""
        return ["ip", "netns", "exec", self.namespace, *words]


@dataclass
class Wire:
    """The switch: forwards Ethernet frames between hosts as a slow and lossy network would.

    Attributes
    ----------
    delay_s : float
        Of each frame, one way, s.
    loss : float
        Share of frames dropped.
    cut : set of int
        Numbers of hosts that are parted from the others.
    passed, lost, refused : int
        Frames forwarded, dropped by chance, and dropped at a parted host.
    """

    taps: Sequence[int]
    delay_s: float
    loss: float
    seed: int = 1
    cut: set[int] = field(default_factory=set)
    passed: int = 0
    lost: int = 0
    refused: int = 0
    _stop: bool = False

    def forward(self) -> None:
        """Pass frames on until stopped."""
        chance = random.Random(self.seed)  # of a network, not of a cipher
        waiting: list[tuple[float, int, int, bytes]] = []
        homes: dict[bytes, int] = {}
        count = 0
        while not self._stop:
            now = time.monotonic()
            while waiting and waiting[0][0] <= now:
                _, _, port, frame = heapq.heappop(waiting)
                self._deliver(port, frame)
            pause = min(0.02, waiting[0][0] - now) if waiting else 0.02
            for tap in select.select(self.taps, [], [], max(0.0, pause))[0]:
                source = self.taps.index(tap)
                frame = os.read(tap, _FRAME_BYTES)
                homes[frame[6:12]] = source
                known = homes.get(frame[:6])
                ports = range(len(self.taps)) if known is None else (known,)
                for port in ports:
                    if port == source:
                        continue
                    if source in self.cut or port in self.cut:
                        self.refused += 1
                    elif chance.random() < self.loss:
                        self.lost += 1
                    else:
                        count += 1
                        due = time.monotonic() + self.delay_s
                        heapq.heappush(waiting, (due, count, port, frame))

    def stop(self) -> None:
        """End `forward`."""
        self._stop = True

    def _deliver(self, port: int, frame: bytes) -> None:
        if port in self.cut:
            self.refused += 1
            return
        os.write(self.taps[port], frame)
        self.passed += 1


@contextmanager
def hosts(
    folder: Path, names: Sequence[str], *, delay_s: float, loss: float
) -> Iterator[tuple[list[Host], Wire]]:
    """Yield namespaces on one wire; they are gone afterwards.

    Raises
    ------
    SkippedError
        This machine does not allow it; says why.
    """
    if os.geteuid() != 0:
        raise SkippedError("network namespaces need root")
    if shutil.which("ip") is None:
        raise SkippedError("ip is not installed: apt-get install --no-install-recommends iproute2")
    with ExitStack() as stack:
        made = [stack.enter_context(_host(folder, name, i)) for i, name in enumerate(names)]
        wire = Wire([host.tap for host in made], delay_s, loss)
        thread = threading.Thread(target=wire.forward, name="wire", daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(wire.stop)
        yield made, wire


@contextmanager
def _host(folder: Path, name: str, number: int) -> Iterator[Host]:
    namespace = f"distbragg-{os.getpid()}-{name}"
    device = f"dbt{os.getpid()}.{number}"[:15]
    address = f"{_SUBNET}.{number + 1}"
    inside = ("ip", "netns", "exec", namespace, "ip")
    temporary = folder / f"tmp-{name}"
    temporary.mkdir(parents=True)
    try:
        tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise SkippedError(f"/dev/net/tun cannot be opened: {error.strerror}") from None
    try:
        request = struct.pack("16sH", device.encode(), _TAP_WITHOUT_HEADER)
        fcntl.ioctl(tap, _TUNSETIFF, request)
        _ip("ip", "netns", "add", namespace)
        try:
            _ip("ip", "link", "set", device, "netns", namespace)
            _ip(*inside, "link", "set", "lo", "up")
            _ip(*inside, "address", "add", f"{address}/24", "dev", device)
            _ip(*inside, "link", "set", device, "up")
            yield Host(namespace, address, tap, temporary)
        finally:
            _ip("ip", "netns", "delete", namespace)
    except OSError as error:
        raise SkippedError(f"a TAP device cannot be made: {error.strerror}") from None
    finally:
        os.close(tap)


def _ip(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SkippedError(f"{' '.join(command)}: {done.stderr.strip()}")
