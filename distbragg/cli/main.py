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
    "render": ("rendering", "one experiment file to images"),
    "sweep": ("rendering", "many frames to one stack, on local or cluster workers"),
    "init": ("explaining", "a commented specification to begin with"),
    "explain": ("explaining", "every number of a spec, where it comes from, what follows"),
    "plan": ("describing", "what a sweep would cost, without doing it"),
    "create": ("rendering", "the metadata of a run, nothing rendered"),
    "resume": ("rendering", "render what a run still lacks"),
    "run": ("rendering", "one part of a run, for job arrays"),
    "view": ("viewing", "look at frames in a browser, also while they are rendered"),
    "info": ("describing", "what a run says; of a spec, what explain says"),
    "status": ("describing", "how far a run is, from its files alone"),
    "verify": ("finished", "is what is stored what was rendered"),
    "repair": ("finished", "render what is damaged again, nothing else"),
    "seal": ("finished", "declare a run finished and write down what it holds"),
    "report": ("finished", "one HTML page on how a run went"),
    "cluster": ("machine", "job scripts and certificates of clusters"),
    "publish": ("finished", "copy a run to an object store"),
    "extend": ("rendering", "append frames to a finished run, and render them"),
    "subset": ("gathering", "some frames of a run, as a run of their own"),
    "merge": ("gathering", "several runs as one"),
    "noise": ("rendering", "draw a detector's noise again from the expected photons of a run"),
    "card": ("finished", "a run described as a data set, for people and hubs"),
    "plot": ("plotting", "pictures of a run or of one experiment, as PNG, PDF or SVG"),
    "export": ("exchange", "a run's frames as files of other programs, or a training set"),
    "geometry": ("exchange", "what a geometry file of another program was understood to say"),
    "presets": ("exchange", "the detectors that detector.preset may name"),
    "fmodel": ("exchange", "structure factors of an atomic model, as an MTZ file"),
    "nanobragg": ("nanobragg", "nanoBragg's own command line"),
    "bench": ("machine", "the speed of one workload in memory"),
    "selftest": ("machine", "does this machine render what the C program renders"),
    "demo": ("rendering", "a garnet in 36 frames, to see that everything works"),
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
Next: `distbragg COMMAND --help`, then workflows/ and docs/ of the source tree.
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
    """Render X-ray diffraction images with nanoBragg's physics, in batches, on Dask.

    \b
    What you write:
      spec     one experiment in YAML: beam, crystal, detector, sampling
      sweep    a spec plus axes: each axis varies one field over many frames
    What comes out:
      stack    one Zarr store of labelled frames; xarray.open_zarr opens it
      run      the stack while it grows: interrupted, it resumes

    \b
    Try it:
      distbragg demo                                     see it work
      distbragg render experiment.yaml -o frame.zarr     one frame
      distbragg plan sweep.yaml                          the cost, before paying it
      distbragg sweep sweep.yaml -o out.zarr --workers 4
      distbragg resume out.zarr                          go on after an interruption
      distbragg nanobragg -hkl P1.hkl -mat A.mat -lambda 1 -distance 100 -floatfile out.bin

    Any field of a spec can be changed for one call: --set crystal.mosaic.spread_deg=0.3
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
