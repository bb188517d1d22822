"""The processes that xdist shares tests out to, forked from one which has loaded all tests.

Each would load libraries and tests for itself, which takes it seconds.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import pytest

from tests import loaded


def forking_program(tests: Iterable[str]) -> str:
    """Start what forks them; return the program that does as Python, and is forked.

    `tests` are files and folders as pytest is given them.
    """
    folder = Path(tempfile.mkdtemp(prefix="processes-"))
    place, program = folder / "socket", folder / "python"
    stdin, ending = os.pipe()
    server = loaded.start(["-m", "tests.processes", place, *tests], stdin=stdin)
    os.close(stdin)

    @atexit.register
    def end() -> None:
        os.close(ending)
        server.wait()
        shutil.rmtree(folder)

    server.wait_for("listening")
    loaded.write_client(program, str(place))
    return str(program)


class Loader:
    """Loads tests in the place of collecting them, with their asserts written anew by pytest."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> bool:
        root = session.config.rootpath
        for given in session.config.args:
            one = Path(session.config.invocation_params.dir, given.partition("::")[0])
            for path in sorted([one] if one.is_file() else one.rglob("test_*.py")):
                # What fails, or is skipped, does so once more where pytest tells of it.
                with contextlib.suppress(Exception, pytest.skip.Exception):
                    import_module(".".join(path.relative_to(root).with_suffix("").parts))
        return True


if __name__ == "__main__":
    _, place, *tests = sys.argv
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(place)
    listener.listen(64)
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    pytest.main(["-n0", "-s", "-p", "no:cacheprovider", *tests], plugins=[Loader()])
    loaded.serve(listener)
