"""`distbragg` as pages call it: `tests.loaded` forks a process for each command.

What a page calls is a small program that hands its arguments and its standard streams over, so
that a command takes no second to start.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests import loaded

CLIENT = """#!{python} -SE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect({address!r})
    arguments = ["-m", "tests.docs.command", *sys.argv[1:]]
    asked = dict(arguments=arguments, environment=dict(os.environ), folder=os.getcwd())
    socket.send_fds(server, [json.dumps(asked).encode()], [0, 1, 2])
    server.recv(16)
    sys.exit(int(server.recv(16) or b"70"))
"""
SMALL = "DOCS_SMALL"
"""Variable with the `--set` options of a page, one a word."""
SHRUNK = frozenset({"render", "sweep", "create", "demo", "plan"})


def write_client(path: Path) -> None:
    """Write the program that pages call."""
    path.write_text(
        CLIENT.format(python=sys.executable, address=loaded.address()), encoding="utf-8"
    )
    path.chmod(0o755)


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


if __name__ == "__main__":
    from distbragg.cli.main import main

    sys.argv[0] = "distbragg"
    sys.exit(main(shrunk(sys.argv[1:]) if sys.argv[1:] else []))
