"""The command line: commands by subject, nothing heavy imported before it is needed."""

import os
import signal
import sys

INTERRUPTED = "distbragg: interrupted"
UNNAMED = "`distbragg resume RUN` continues an interrupted run"


def _end(number: int, frame: object) -> None:
    """End the command while it loads: nothing has begun, and nothing is to be let go."""
    os.write(2, f"{INTERRUPTED}; {UNNAMED}\n".encode())
    os._exit(130)


# Only where this process is the command, not where its modules are used by another program.
if any(os.path.basename(word) == "distbragg" for word in sys.orig_argv[1:3]):
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, _end)
