"""A process that has loaded distbragg once and forks for each command of a page.

What a page calls `distbragg` is a small program that hands its arguments and its standard streams
over, so that a command takes no second to start. `python -m tests.docs.server SOCKET` serves.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import socket
import sys
from pathlib import Path

CLIENT = """#!{python} -SE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    call = json.dumps([sys.argv, os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(call).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(call)
    sys.exit(int(server.recv(8) or b"70"))
"""
SMALL = "DOCS_SMALL"
"""Variable with the `--set` options of a page, one a word."""
LOADED = (
    *("distbragg.cli." + name for name in ("describing", "exchange", "finished", "rendering")),
    *("distbragg.cli." + name for name in ("explaining", "gathering", "image_files", "plotting")),
    *("distbragg.engine.unit", "distbragg.export.cxi", "distbragg.export.nxmx"),
    *("distbragg.figures.charts", "distbragg.figures.sheet", "distbragg.predict.spots"),
    *("distbragg.read.mtz", "distbragg.rendering.frame", "distbragg.store.accessor"),
    *("distbragg.run." + name for name in ("card", "create", "export", "export_sets", "gather")),
    *("distbragg.run." + name for name in ("plot", "render", "report", "resume", "status")),
    *("dask.array", "fabio", "h5py", "hdf5plugin", "jinja2", "matplotlib.backends.backend_agg"),
    *("multiprocessing.pool", "obstore", "pandas", "PIL.Image", "pint", "pyarrow.parquet"),
)
"""Modules of several commands, which take longer to load than the commands to run."""
SHRUNK = frozenset({"render", "sweep", "create", "demo", "plan"})


def shrunk(arguments: list[str]) -> list[str]:
    """Add the page's `--set` options; render here what `--workers` gives to other processes.

    Tests of clusters try workers; starting them takes seconds for each command.
    """
    if "--workers" in arguments and "--cluster" not in arguments and "plan" not in arguments:
        place = arguments.index("--workers")
        arguments = [*arguments[:place], "--cluster", "serial", *arguments[place + 2 :]]
    sets = os.environ.get(SMALL, "").split()
    if arguments[0] not in SHRUNK or "--help" in arguments:
        return arguments
    return arguments + [word for item in sets for word in ("--set", item)]


def answer(connection: socket.socket) -> int:
    """Run one command in this forked process; return its exit status."""
    head, streams, _, _ = socket.recv_fds(connection, 4, 3)
    wanted, call = int.from_bytes(head, "big"), b""
    while len(call) < wanted:
        call += connection.recv(wanted - len(call))
    argv, folder, environment = json.loads(call)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = argv
    from distbragg.cli.main import main

    return main(shrunk(argv[1:]) if argv[1:] else [])


def serve(address: str) -> None:
    """Fork for every connection until the process is ended."""
    for name in LOADED:
        with contextlib.suppress(ImportError):  # extras, which other commands do without
            importlib.import_module(name)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        while True:
            connection, _ = server.accept()
            with connection:
                if os.fork() == 0:
                    status = 70
                    try:
                        server.close()
                        status = answer(connection)
                    except SystemExit as end:
                        status = int(end.code or 0)
                    finally:
                        sys.stdout.flush()
                        sys.stderr.flush()
                        connection.sendall(str(status).encode())
                        os._exit(0)
            while True:  # commands that have ended
                try:
                    if os.waitpid(-1, os.WNOHANG)[0] == 0:
                        break
                except ChildProcessError:
                    break


def write_client(path: Path, address: str) -> None:
    """Write the program that pages call."""
    path.write_text(CLIENT.format(python=sys.executable, address=address), encoding="utf-8")
    path.chmod(0o755)


if __name__ == "__main__":
    serve(sys.argv[1])
