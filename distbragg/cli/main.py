"""The `distbragg` command: its group, and the one place where errors become exit statuses."""

from __future__ import annotations

import errno
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from distbragg._version import __version__
from distbragg.cli.interrupt import Interrupts
from distbragg.cli.output import echo
from distbragg.errors import DistbraggError, ExitStatus
from distbragg.notes import LOGGED

COMMANDS: Final = {
    "render": ("rendering", "render one experiment and write its image"),
    "sweep": ("rendering", "render many frames into one stack, on local or cluster workers"),
    "init": ("explaining", "write a commented specification to start from"),
    "explain": ("explaining", "show every number of a spec, its origin and what follows from it"),
    "plan": ("describing", "show what a sweep would cost, without rendering it"),
    "create": ("rendering", "write the metadata of a run; render nothing"),
    "resume": ("rendering", "render the missing frames of a run"),
    "run": ("rendering", "render one part of a run, for job arrays"),
    "view": ("viewing", "show frames in a browser, also while a run grows"),
    "info": ("describing", "describe a run; explain a spec"),
    "status": ("describing", "show the progress of a run, from its files alone"),
    "verify": ("finished", "check that the stored frames are what was rendered"),
    "repair": ("finished", "render damaged frames again, and mend metadata"),
    "seal": ("finished", "declare a run finished and record the digests of its files"),
    "report": ("finished", "write an HTML page on how a run went"),
    "cluster": ("machine", "print job scripts and make certificates for clusters"),
    "publish": ("finished", "copy a run to an object store"),
    "extend": ("rendering", "append frames to a finished run and render them"),
    "subset": ("gathering", "copy some frames of a run into a new run"),
    "merge": ("gathering", "join several runs into one"),
    "noise": ("rendering", "draw the noise of a run again, without rendering"),
    "card": ("finished", "describe a run as a data set, for readers and data hubs"),
    "plot": ("plotting", "draw a run or one experiment as PNG, PDF or SVG"),
    "export": ("exchange", "write frames for other programs or for training"),
    "geometry": ("exchange", "show what distbragg reads from another program's geometry file"),
    "presets": ("exchange", "list the detectors that detector.preset can name"),
    "fmodel": ("exchange", "compute structure factors of an atomic model, as MTZ"),
    "nanobragg": ("nanobragg", "run nanoBragg's own command line"),
    "bench": ("machine", "measure the speed of one workload in memory"),
    "selftest": ("machine", "compare this machine's images with those of the C program"),
    "demo": ("rendering", "render 36 frames of a garnet, to see that everything works"),
}
"""Command name → module of `distbragg.cli` that has it as `<name>_command`, and its purpose.

In the order a new user meets them.
"""

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NAMED_PATH: Final = (
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    FileExistsError,
)

EPILOG = """\b
Exit status:
  0 done   2 bad input   3 done, some frames failed   4 refused or locked
  5 damage found   6 no space, no cluster   130 interrupted: resume continues

\b
More: `distbragg COMMAND --help`, and docs/ and workflows/ in the source tree.
"""

DASK_LOGGING = str(
    dict.fromkeys(("distributed", "distributed.client", "tornado.application"), "critical")
)
"""What Dask may log in a process of the command line and in the workers that it starts."""


class LazyGroup(click.Group):
    """Imports a command's module when the command is asked for, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"distbragg.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, so that help imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, purpose) for name, (_, purpose) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    epilog=EPILOG,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="distbragg", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """Simulate X-ray diffraction images with the physics of nanoBragg, in batches, on Dask.

    \b
    What you write:
      spec     one experiment in YAML: beam, crystal, detector, sampling
      sweep    a spec plus axes: each axis varies one field over many frames
    What comes out:
      stack    one Zarr store of labelled frames; xarray.open_zarr opens it
      run      the folder of a stack; an interrupted run can be resumed

    \b
    Try it:
      distbragg demo                                     an example
      distbragg render experiment.yaml -o frame.zarr     one frame
      distbragg plan sweep.yaml                          time, memory and disk
      distbragg sweep sweep.yaml -o out.zarr --workers 4 many frames
      distbragg resume out.zarr                          continue after an interruption
      distbragg nanobragg -hkl P1.hkl -mat A.mat -lambda 1 -distance 100 -floatfile out.bin

    --set crystal.mosaic.spread_deg=0.3 changes any field of a spec for one call.
    """
    context.ensure_object(dict)["debug"] = debug
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


class WarningLines(logging.Handler):
    """Writes each distinct warning, and each note of an experiment, as one line on stderr."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._seen: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Write `distbragg: warning: …`, or a note as it stands, unless written before."""
        text = " ".join(record.getMessage().split())
        note = hasattr(record, LOGGED)
        if text not in self._seen and (note or record.levelno >= logging.WARNING):
            self._seen.add(text)
            echo(text if note else f"distbragg: warning: {text}", err=True)


def main(
    arguments: Sequence[str] | None = None, *, command: click.Command = cli, name: str = "distbragg"
) -> int:
    """Run the command line and return its exit status.

    Every error meant for the user becomes one line on standard error; any other exception
    is a defect of the program and shows its traceback. `arguments` are by default those of the
    process; the tools of the source tree have a `command` and a `name` of their own.
    """
    if arguments is None:  # this process is ours: a lost cluster is said in one line, not by Dask
        os.environ.setdefault("DASK_LOGGING", DASK_LOGGING)
        # multiprocessing's helper tidies up after an end in the middle of something: no news.
        sys.warnoptions.append("ignore:resource_tracker:UserWarning")
    state: dict[str, bool] = {}
    interrupts = Interrupts()
    handler = WarningLines()
    logger = logging.getLogger("distbragg")
    logger.addHandler(handler)
    propagate, logger.propagate = logger.propagate, False
    level = logger.level
    logger.setLevel(min(logger.getEffectiveLevel(), logging.INFO))
    try:
        with interrupts.watch():
            status = command.main(
                args=None if arguments is None else list(arguments),
                prog_name=name,
                obj=state,
                standalone_mode=False,
            )
        return int(status) if isinstance(status, int) else ExitStatus.DONE
    except Exception as error:
        # Click makes an error of its own of an interrupt, and others fail for its sake.
        if interrupts.came or isinstance(error, click.exceptions.Abort):
            return interrupts.tell()
        if state.get("debug"):
            raise
        line, code = explain(error)
        if line:
            echo(f"distbragg: error: {line}", err=True)
        return code
    except KeyboardInterrupt:
        return interrupts.tell()
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
        if interrupts.came and arguments is None:
            interrupts.leave()


def explain(error: Exception) -> tuple[str, int]:
    """One line and the exit status for an error meant for the user; others are raised again."""
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "distbragg"
        message = " ".join(error.format_message().split()).rstrip(".")
        return f"{message}; see `{command} --help`", ExitStatus.BAD_INPUT
    if isinstance(error, DistbraggError):
        return " ".join(str(error).split()), error.exit_status
    if isinstance(error, OSError):
        return _system_line(error)
    if isinstance(error, MemoryError):
        line = "out of memory; `distbragg plan` shows what the sweep needs"
        return line, ExitStatus.ENVIRONMENT
    raise error


def _system_line(error: OSError) -> tuple[str, int]:
    """Explain what the operating system refused: a named path is bad input, the rest not."""
    if isinstance(error, BrokenPipeError):
        # The interpreter would complain about a pipe whose reader has gone.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return "", ExitStatus.DONE
    named = f"{os.fspath(error.filename)!s}: " if error.filename else ""
    line = named + (error.strerror or str(error))
    if error.errno in _NO_ROOM:
        return f"{line}; free some space and continue", ExitStatus.ENVIRONMENT
    if isinstance(error, _NAMED_PATH) and error.filename:
        return line, ExitStatus.BAD_INPUT
    return line, ExitStatus.ENVIRONMENT


def entry() -> None:
    """Entry point for `python -m distbragg.cli.main`."""
    sys.exit(main())


if __name__ == "__main__":
    entry()
