"""The errors a user may see, each with the exit status of its kind.

`DistbraggError` and its subclasses are turned into one clear line on standard
error by the command line; any other exception is a defect of the program.
"""

from __future__ import annotations

from enum import IntEnum
from functools import partial
from typing import Final

_LONGEST_REASON: Final = 200


class ExitStatus(IntEnum):
    """Exit statuses of the `distbragg` command."""

    DONE = 0
    BAD_INPUT = 2
    FAILED_FRAMES = 3
    REFUSED = 4
    DAMAGE = 5
    ENVIRONMENT = 6
    INTERRUPTED = 130


class DistbraggError(Exception):
    """Base of every error meant for the user."""

    exit_status: ExitStatus = ExitStatus.BAD_INPUT


class InputError(DistbraggError):
    """A file, spec field or flag that cannot be used.

    `problem` says what is wrong, without the place; `source` names the file (with line, where
    known) or flag it was found in, `field` is the dotted path of the spec field, and `remedy`
    what the user can do about it.
    """

    def __init__(
        self, problem: str, *, source: str = "", field: str = "", remedy: str = ""
    ) -> None:
        self.problem = problem
        self.source = source
        self.field = field
        self.remedy = remedy
        place = ": ".join(part for part in (source, field) if part)
        line = f"{place}: {problem}" if place else problem
        if remedy:
            line = f"{line}; {remedy}"
        super().__init__(" ".join(line.split()))

    def placed(self, *, source: str | None = None, field: str | None = None) -> InputError:
        """Return the same error with another source or field."""
        return InputError(
            self.problem,
            source=self.source if source is None else source,
            field=self.field if field is None else field,
            remedy=self.remedy,
        )

    def __reduce__(self) -> tuple[object, ...]:
        keywords = {"source": self.source, "field": self.field, "remedy": self.remedy}
        return partial(type(self), **keywords), (self.problem,)


def unreadable(error: Exception, source: str, *, field: str = "", form: str = "") -> InputError:
    """Return the refusal of a file for what was raised: not found, a folder, or not readable.

    `form` is that in which it was read, such as HDF5.
    """
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return InputError("not found", source=source, field=field, remedy="check the path")
    if isinstance(error, IsADirectoryError):
        remedy = "name a file; `distbragg info` and `status` describe the folder of a run"
        return InputError("is a folder, not a file", source=source, field=field, remedy=remedy)
    reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:_LONGEST_REASON]
    tried = f"cannot be read as {form}" if form else "cannot be read"
    return InputError(f"{tried} ({reason})", source=source, field=field)


class PlanError(InputError):
    """A plan that memory or disk cannot hold; the remedy names the number to change."""


class RefusedError(DistbraggError):
    """The run exists but belongs to another spec, kernel or device class, or is locked."""

    exit_status = ExitStatus.REFUSED


class DamageError(DistbraggError):
    """Stored data contradict the ledger."""

    exit_status = ExitStatus.DAMAGE


class EnvironmentFailure(DistbraggError):
    """No space, no cluster, no device: nothing the spec can mend."""

    exit_status = ExitStatus.ENVIRONMENT


class AccountingError(DistbraggError):
    """Partial sums that do not add up to the plan: a tile lost, doubled or of another plan."""

    exit_status = ExitStatus.DAMAGE
