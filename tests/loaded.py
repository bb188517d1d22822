"""Processes that are forked from one which has loaded the package: a start takes no second.

What is given is what `python` would be given: `-m MODULE …` or `-c CODE …`. Each is a process of
its own, which ends by itself, by a signal or by a kill, as one that was started afresh does. Only
what is loaded, and what the libraries have read of the environment while they were, is there
before it begins: where that matters, start a fresh one.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType, TracebackType
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[1]
ADDRESS = "DISTBRAGG_TESTS_LOADED"
"""Variable with the place at which the process answers that forks others."""
LARGEST = 1 << 17
"""Bytes of a request, of which code and environment are most."""
LOADED = (
    *("distbragg.cli." + name for name in ("describing", "exchange", "finished", "main")),
    *("distbragg.cli." + name for name in ("explaining", "gathering", "image_files", "plotting")),
    *("distbragg.cli.rendering", "distbragg.clusters.open", "distbragg.engine.unit"),
    *("distbragg.export.cxi", "distbragg.export.nxmx", "distbragg.figures.charts"),
    *("distbragg.figures.sheet", "distbragg.predict.spots", "distbragg.read.mtz"),
    *("distbragg.rendering.frame", "distbragg.store.accessor"),
    *("distbragg.run." + name for name in ("card", "create", "export", "export_sets", "extend")),
    *("distbragg.run." + name for name in ("gather", "plot", "render", "repair", "report")),
    *("distbragg.run." + name for name in ("resume", "status", "verify")),
    *("dask.array", "distributed", "fabio", "h5py", "hdf5plugin", "jinja2", "obstore", "pandas"),
    *("matplotlib.backends.backend_agg", "multiprocessing.pool", "PIL.Image", "pint"),
    *("pyarrow.parquet", "rich.table"),
)
"""What commands need, which takes longer to load than they take to run."""
CLIENT = """#!{python} -SE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect({address!r})
    arguments = [*{arguments!r}, *sys.argv[1:]]
    asked = dict(arguments=arguments, environment=dict(os.environ), folder=os.getcwd())
    socket.send_fds(server, [json.dumps(asked).encode()], [0, 1, 2])
    server.recv(16)
    sys.exit(int(server.recv(16) or b"70"))
"""


class Started:
    """A process at work; it is used as one of `subprocess` is.

    What it writes goes into files, and is there as a whole once it has ended.
    """

    def __init__(self, pid: int, ended: socket.socket, out: IO[str], err: IO[str]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended, self._out, self._err = ended, out, err
        for each in (ended, out, err):
            weakref.finalize(self, each.close)

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._ended.settimeout(timeout)
            try:
                answer = self._ended.recv(16)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0) from None
            if not answer:
                raise AssertionError("the process that forks others has died")
            self.returncode = int(answer)
        return self.returncode

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        self.wait(timeout)
        texts = []
        for stream in (self._out, self._err):
            stream.seek(0)
            texts.append(stream.read())
        return texts[0], texts[1]

    def wait_for(self, part: str, count: int = 1) -> None:
        """Wait until it has written so many times what is given."""
        ended = False
        while os.pread(self._out.fileno(), 1 << 20, 0).decode().count(part) < count:
            assert not ended, "ended before it has written that"
            time.sleep(0.01)
            ended = self.poll() is not None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Started:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.kill()
        self.wait()


def start(
    arguments: Sequence[str | Path],
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    stdin: int = 0,
) -> Started:
    """Start a process with the arguments of `python`."""
    out, err = (tempfile.TemporaryFile("w+", errors="replace") for _ in range(2))  # noqa: SIM115
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(address())
    request = {
        "arguments": [str(one) for one in arguments],
        "environment": dict(os.environ if environment is None else environment),
        "folder": str(folder or Path.cwd()),
    }
    streams = [stdin, out.fileno(), err.fileno()]
    socket.send_fds(connection, [json.dumps(request).encode()], streams)
    return Started(int(connection.recv(16)), connection, out, err)


def run(
    arguments: Sequence[str | Path],
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Start a process and wait for its end; it is killed where that takes too long."""
    process = start(arguments, environment, folder)
    try:
        out, err = process.communicate(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
    return subprocess.CompletedProcess(list(arguments), process.returncode or 0, out, err)


def write_client(path: Path, address: str, *arguments: str) -> None:
    """Write a program that has a process forked for these arguments and its own.

    It hands its standard streams over, and ends as that process does.
    """
    text = CLIENT.format(python=sys.executable, address=address, arguments=arguments)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def address() -> str:
    """Return where the process answers that forks others; started by the first that asks.

    Processes that this one starts then, as those of xdist, ask the same.
    """
    if ADDRESS not in os.environ:
        os.environ[ADDRESS] = _started()
    return os.environ[ADDRESS]


def _started() -> str:
    folder = tempfile.mkdtemp(prefix="loaded-")
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"{folder}/socket")
        listener.listen(64)
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.loaded", str(listener.fileno())],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
        )

    @atexit.register
    def end() -> None:
        server.communicate()  # its input ends, and so does it
        shutil.rmtree(folder)

    return f"{folder}/socket"


def _load() -> None:
    """Load what commands need, of which nothing starts a thread: they would not be forked."""
    for name in LOADED:
        with contextlib.suppress(ImportError):  # extras, which other commands do without
            import_module(name)


def _serve(listener: socket.socket) -> Callable[[], Any] | None:
    """Fork what is asked for; only the forked processes get something to do back."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: for the tests to answer
    signal.set_wakeup_fd(wake)
    running: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([listener, woken, 0], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _tell(running)
        if 0 in ready:
            return None
        if listener not in ready:
            continue
        connection, _ = listener.accept()
        data, streams, _, _ = socket.recv_fds(connection, LARGEST, 3)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            for descriptor in (woken, wake):
                os.close(descriptor)
            for other in (listener, connection, *running.values()):
                other.close()
            return _become(json.loads(data), streams)
        for descriptor in streams:
            os.close(descriptor)
        running[pid] = connection
        _send(connection, pid)


def _tell(running: dict[int, socket.socket]) -> None:
    """Tell of all processes that have ended how they did."""
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with running.pop(pid) as connection:
            _send(connection, os.waitstatus_to_exitcode(status))


def _send(connection: socket.socket, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
        connection.send(str(number).encode())


def _become(request: dict[str, Any], streams: Sequence[int]) -> Callable[[], Any]:
    """Make this process what was asked for; return what it then has to run."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.path[0] = request["folder"]
    kind, what, *rest = (one for one in request["arguments"] if one != "-u")
    sys.argv = [kind, *rest]
    if kind == "-c":
        main = sys.modules["__main__"] = ModuleType("__main__")
        return lambda: exec(what, main.__dict__)
    sys.modules.pop(what, None)
    return lambda: runpy.run_module(what, run_name="__main__", alter_sys=True)


def _end(status: int) -> None:
    """End as Python does, but leave what is loaded: to take it apart takes longer than to work."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def serve(listener: socket.socket) -> None:
    """Fork what is asked for until the input ends; returns in the forked processes never."""
    gc.freeze()  # what is shared stays so
    # Runs in the frame of the interpreter's own end: what is raised ends a process as ever.
    if job := _serve(listener):
        status = 0
        try:
            job()
        except SystemExit as ended:
            if not isinstance(ended.code, int | None):
                raise
            status = ended.code or 0
        _end(status)


if __name__ == "__main__":
    _load()
    serve(socket.socket(fileno=int(sys.argv[1])))
