"""What a resolved input needs said about it: one line each, printed and stored.

A reader or builder that chooses between meanings, leaves something out, or meets a number
that is probably a mistake says so with a `Note`. `plan`, `info` and `render` print the notes of
an experiment; a stack stores them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

LOGGED: Final = "distbragg_note"
"""Attribute of the log records that hold a note, which the command line prints as it stands."""

NoteKind = Literal["note", "warning"]


@dataclass(frozen=True, slots=True)
class Note:
    """One line about an input.

    Attributes
    ----------
    kind : {"note", "warning"}
        A note tells which of several meanings was taken; a warning, that a number is probably
        not what the user meant.
    place : str
        The field (`beam.energy_ev`) or file that the line is about.
    text : str
        The number, what is odd about it or what was done with it, and what to do.
    """

    kind: NoteKind
    place: str
    text: str

    def __str__(self) -> str:
        return " ".join(f"{self.place}: {self.text}".split())

    @property
    def line(self) -> str:
        """The line as it is printed: its kind, place and text."""
        return f"{self.kind}: {self}"

    def to_plain(self) -> dict[str, str]:
        """Return the note as plain data."""
        return {"kind": self.kind, "place": self.place, "text": self.text}


class Logged(Note):
    """A warning that was logged when it arose: it is stored, and not said again."""

    __slots__ = ()


Notes = tuple[Note, ...]


@contextmanager
def logged_warnings() -> Iterator[list[Note]]:
    """Collect the warnings that this thread logs meanwhile, as notes."""
    logger, ear = logging.getLogger("distbragg"), _Ear()
    logger.addFilter(ear)
    try:
        yield ear.notes
    finally:
        logger.removeFilter(ear)


class _Ear(logging.Filter):
    """Keeps the warnings of one thread, all of which pass; their place stands before a colon."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[Note] = []
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        place, _, text = record.getMessage().partition(": ")
        if record.thread == self._thread and record.levelno >= logging.WARNING and text:
            self.notes.append(Logged("warning", place, text))
        return True


def distinct(*groups: Notes) -> Notes:
    """Join groups of notes, each line once, in the order of their first appearance."""
    return tuple(dict.fromkeys(note for group in groups for note in group))
