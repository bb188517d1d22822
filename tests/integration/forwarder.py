"""A forwarded port, as `ssh -L` makes one: what comes to it goes on to another port."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

HERE = "127.0.0.1"


@contextlib.contextmanager
def forwarded(port: int) -> Iterator[int]:
    """Yield a port that leads to another one of this machine."""
    ends: list[socket.socket] = []

    def copy(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listening.accept()
                far = socket.create_connection((HERE, port))
                ends.extend((near, far))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

    listening = socket.create_server((HERE, 0))
    serving = threading.Thread(target=serve, daemon=True)
    serving.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        serving.join(5.0)
        for end in ends:
            end.close()
