"""The server of the pages: on the loopback interface alone, behind a secret in the address."""

from __future__ import annotations

import asyncio
import errno
import secrets
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from bokeh.application import Application
from bokeh.application.handlers import FunctionHandler
from bokeh.document import Document
from bokeh.resources import Resources
from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop

from distbragg.errors import EnvironmentFailure, InputError
from distbragg.viewer.frames import Source, Viewable, Watcher, open_source
from distbragg.viewer.page import Page

LOOPBACK: Final = "127.0.0.1"
_ORIGINS: Final = ("127.0.0.1", "localhost")
"""Hosts whose pages may speak to the server, with any port: through `ssh -L` it is another one.
What a page must know is the secret."""

_START_S: Final = 60.0  # longest time that the server takes to listen


class _Application(BokehTornado):
    """Loads what the page needs: MathJax alone is more than all the rest."""

    def resources(self, absolute_url: str | bool | None = None) -> Resources:
        """Return where pages load BokehJS from: this server."""
        found = super().resources(absolute_url)
        found.components = ["bokeh", "bokeh-widgets"]
        return found


class Viewer:
    """A server that shows frames, in a thread of its own; a cell of a notebook shows it in place.

    A context manager; it ends with the process, or by `close`.
    """

    def __init__(self, sources: Sequence[Source], *, port: int = 0, frame: int = 0) -> None:
        self._sources = tuple(sources)
        self._watcher = Watcher(self._sources)
        self._workers = ThreadPoolExecutor(1, "distbragg-view")
        self._secret, self._frame = secrets.token_urlsafe(24), frame
        self._started = threading.Event()
        self._loop: IOLoop | None = None
        self._error: Exception | None = None
        self.port = port
        self._thread = threading.Thread(target=self._serve, daemon=True, name="distbragg-view")
        self._thread.start()
        self._started.wait(_START_S)
        if self._error is not None:
            self._watcher.close()
            raise self._error

    def _serve(self) -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        loop = IOLoop.current()
        try:
            bound = _bound(self.port)
            self.port = int(bound.getsockname()[1])
            # `bokeh.server.Server` takes no origins without a port.
            application = _Application(
                {"/": Application(FunctionHandler(self.make))},
                prefix=self._secret,
                extra_websocket_origins=_ORIGINS,
                # One frame may be a few megabytes; nothing a browser sends is.
                websocket_max_message_size_bytes=1 << 20,
            )
            http = HTTPServer(application)
            http.add_sockets([bound])
            server = BaseServer(loop, application, http)
            server.start()
        except OSError as error:
            self._error = _not_bound(error, self.port)
            return
        except Exception as error:  # told in the thread that waits
            self._error = error
            return
        else:
            self._loop = loop
        finally:
            self._started.set()
        loop.start()
        server.stop()
        loop.close()

    def make(self, document: Document) -> None:
        """Fill the document of one browser."""
        Page(document, self._sources, self._watcher, self._workers, self._frame)

    @property
    def url(self) -> str:
        """Address of the page; whoever knows it sees the frames."""
        return f"http://{LOOPBACK}:{self.port}/{self._secret}/"

    @property
    def tunnel(self) -> str:
        """Return the command that makes the address reachable from another machine."""
        return f"ssh -N -L {self.port}:{LOOPBACK}:{self.port} {socket.gethostname()}"

    def close(self) -> None:
        """Stop serving."""
        self._watcher.close()
        if self._loop is not None:
            self._loop.add_callback(self._loop.stop)
            self._thread.join(5.0)
            self._loop = None
        self._workers.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Viewer({self.url})"

    def _repr_html_(self) -> str:
        address = escape(self.url, quote=True)
        return (
            f'<iframe src="{address}" width="100%" height="820" style="border:0"></iframe>'
            f'<p><a href="{address}" target="_blank">in a window of its own</a></p>'
        )


def _bound(port: int) -> socket.socket:
    """Return a socket that listens on the loopback interface."""
    bound = socket.socket()
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setblocking(False)
        bound.bind((LOOPBACK, port))
        bound.listen(128)
    except OSError:
        bound.close()
        raise
    return bound


def _not_bound(error: OSError, port: int) -> EnvironmentFailure:
    if error.errno == errno.EADDRINUSE:
        return EnvironmentFailure(
            f"port {port} is taken by another program; give another --port, or none"
        )
    return EnvironmentFailure(f"port {port} cannot be used ({error.strerror or error})")


def view(
    target: Viewable,
    other: Viewable | None = None,
    *,
    overrides: Sequence[str] = (),
    root: str | Path | None = None,
    port: int = 0,
    frame: int = 0,
    threads: int | None = None,
) -> Viewer:
    """Show the frames of a run or a specification in a browser or a notebook.

    Parameters
    ----------
    target : path, URL, RunDirectory, RunResult, SweepSpec or ExperimentSpec
        A run, also while it grows, or a specification, whose frames are rendered as they are
        looked at.
    other : same, optional
        Shown beside it, or as difference or ratio; its frames have the same shape.
    overrides : sequence of "dotted.path=value"
        For specification files.
    root : path, optional
        Refuse files outside of this folder that a specification file names.
    port : int
        Port on 127.0.0.1; 0: any that is free.
    frame : int
        Flat number of the frame that is shown first.
    threads : int, optional
        Kernel threads that render frames of a specification; default: all cores.

    Returns
    -------
    Viewer
        At the end of a cell of a notebook it shows the page; `url` is its address.

    Raises
    ------
    InputError
        There is no such run or frame, the specification cannot be used, or shapes differ.
    DamageError
        The run's manifest is damaged.
    EnvironmentFailure
        The port cannot be used.
    """
    opened = partial(open_source, overrides=overrides, root=root, threads=threads)
    sources: list[Any] = [opened(each) for each in (target, other) if each is not None]
    if not 0 <= frame < sources[0].frames:
        raise InputError(
            f"there is no frame {frame}; {sources[0].name} has {sources[0].frames:,}",
            source="--frame",
        )
    if len(sources) > 1 and sources[0].shape != sources[1].shape:
        shapes = [" x ".join(map(str, source.shape)) for source in sources]
        raise InputError(
            f"has frames of {shapes[1]} pixels (panels x slow x fast), {sources[0].name} of "
            f"{shapes[0]}",
            source=sources[1].name,
            remedy="compare runs of one detector",
        )
    return Viewer(sources, port=port, frame=frame)
