"""`distbragg` as pages call it: `tests.loaded` forks a process for each command.

What a page calls is a small program that hands its arguments and its standard streams over, so
that a command takes no second to start.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests import loaded

SMALL = "DOCS_SMALL"
"""Variable with the `--set` options of a page, one a word."""
SHRUNK = frozenset({"render", "sweep", "create", "demo", "plan"})


def write_client(path: Path) -> None:
    """Write the program that pages call."""
    loaded.write_client(path, loaded.address(), "-m", "tests.docs.command")


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
