"""Being told to stop: Ctrl-C, SIGTERM of a batch system, and SIGHUP of a closed terminal.

Each becomes `KeyboardInterrupt` in the main thread, so that the run is let go in order. What takes
too long is not waited for: units are whole or not there, so that nothing is lost by an end at any
moment.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from types import FrameType
from typing import ClassVar, Final, NoReturn

from distbragg.cli import INTERRUPTED, UNNAMED
from distbragg.cli.output import echo
from distbragg.errors import ExitStatus

HELPERS_S: Final = 0.25
"""Time to end in order, s; the processes that this one has started are then killed."""

END_S: Final = 1.2  # time after which this process ends at once, s
_OF_A_TERMINAL: Final = (signal.SIGINT, signal.SIGHUP)
_NOTHING: Final = b"\0"


class Interrupts:
    """Turns signals into `KeyboardInterrupt` while its block runs; only in the main thread.

    A terminal sends Ctrl-C to all processes of a command. Those that this one starts must not end
    by it, halfway and with a traceback each: they inherit that it is blocked, and one thread of
    this process waits for it.
    """

    # Path or address of the run that is worked on, which the line names; empty before there is one.
    run: ClassVar[str] = ""

    # What the line says where no run is named; empty for a command that has nothing to resume.
    hint: ClassVar[str] = UNNAMED

    def __init__(self) -> None:
        self.came = False  # Whether a signal did: the line that says so is due then.
        Interrupts.run, Interrupts.hint = "", UNNAMED
        self._over = False
        self._told = threading.Lock()

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Handle the signals in the block; those that somebody lets the process ignore stay so."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGTERM, *_OF_A_TERMINAL)
        before = {number: signal.getsignal(number) for number in numbers}
        waited = [each for each in _OF_A_TERMINAL if before[each] is not signal.SIG_IGN]
        for number in (signal.SIGTERM, *waited):
            signal.signal(number, self._handle)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, waited)
        # Python writes here as a signal comes, also where the main thread is deep in C.
        heard, written = os.pipe()
        os.set_blocking(written, False)
        wakeup = signal.set_wakeup_fd(written, warn_on_full_buffer=False)
        threads = [
            threading.Thread(target=self._wait, args=(waited,), daemon=True),
            threading.Thread(target=self._insist, args=(heard,), daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            # The process is about to end where a signal came: another changes nothing.
            if not self.came:
                signal.set_wakeup_fd(wakeup)
                os.write(written, _NOTHING)
                self._over = True
                if waited:
                    signal.pthread_kill(threads[0].ident or 0, waited[0])
                for thread in threads:
                    thread.join()
                os.close(heard)
                os.close(written)
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                for number in (signal.SIGTERM, *waited):
                    signal.signal(number, before[number] or signal.SIG_DFL)

    def tell(self) -> int:
        """Say once that the command was interrupted; return the exit status."""
        if self._told.acquire(blocking=False):
            hint = f"`distbragg resume {self.run}` continues the run" if self.run else self.hint
            echo("; ".join(part for part in (INTERRUPTED, hint) if part), err=True)
        return ExitStatus.INTERRUPTED

    def leave(self) -> NoReturn:
        """End this process, which has let go of its run.

        Python would wait for threads and processes, and take apart what it has loaded: seconds on
        a busy machine, in which no thread could end it.
        """
        self.tell()
        store = sys.modules.get("distbragg.store.local_files")
        if store is not None:
            store.settle_all()
        _kill_helpers()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):  # the reader may be gone
                stream.flush()
        os._exit(ExitStatus.INTERRUPTED)

    def _wait(self, waited: list[signal.Signals]) -> None:
        """Wait for a terminal's signal, and pass it on to the main thread, whatever that does."""
        if waited:
            signal.sigwait(waited)
            if not self._over:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.came:
            return
        self.came = True
        # What others say of an end in the middle of something helps nobody.
        logging.disable(logging.CRITICAL)
        warnings.simplefilter("ignore")  # "coroutine … was never awaited"
        threading.excepthook = lambda _: None
        sys.unraisablehook = lambda _: None
        raise KeyboardInterrupt

    def _insist(self, heard: int) -> None:
        """End helpers, and at last this process, where ending in order takes too long."""
        while (byte := os.read(heard, 1)) != _NOTHING:
            if byte[0] in (signal.SIGTERM, *_OF_A_TERMINAL):
                deadline = time.monotonic() + END_S
                time.sleep(HELPERS_S)
                _kill_helpers()
                time.sleep(max(0.0, deadline - time.monotonic()))
                _kill_helpers()
                self.tell()
                os._exit(ExitStatus.INTERRUPTED)


def _kill_helpers() -> None:
    """End the worker processes that this one has started.

    One that is being started, which multiprocessing does not list yet, would say with a traceback
    that its parent has gone.
    """
    if "multiprocessing" not in sys.modules:  # loaded wherever workers are started
        return
    from multiprocessing import active_children

    import psutil

    for known in active_children():
        known.kill()
    this = psutil.Process()
    own = this.cmdline()  # also of a child that does not run its own program yet
    for child in this.children():
        with contextlib.suppress(psutil.Error):
            command = child.cmdline()
            if command == own or any("multiprocessing.spawn" in word for word in command):
                child.kill()
