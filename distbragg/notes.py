"""What a resolved input needs said about it: one line each, printed and stored.

A reader or builder that chooses between meanings, leaves something out, or meets a number
that is probably a mistake says so with a `Note`. `plan`, `info` and `render` print the notes of
an experiment; a stack stores them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

LOGGED: Final = "distbragg_note"
"""Attribute of the log records that hold a note, which the command line prints as it stands."""

NoteKind = Literal["note", "warning"]


@dataclass(frozen=True, slots=True)
class Note:
    """One line about an input.

    A note tells which of several meanings was taken; a warning, that a number is probably not
    what the user meant.
    """

    kind: NoteKind
    place: str  # the field (`beam.energy_ev`) or file that the line is about
    text: str  # the number, what is odd about it or what was done with it, and what to do

    def __str__(self) -> str:
        return " ".join(f"{self.place}: {self.text}".split())

    @property
    def line(self) -> str:
        """The line as it is printed: its kind, place and text."""
        return f"{self.kind}: {self}"

    def to_plain(self) -> dict[str, str]:
        """Return the note as plain data."""
        return {"kind": self.kind, "place": self.place, "text": self.text}


Notes = tuple[Note, ...]


def distinct(*groups: Notes) -> Notes:
    """Join groups of notes, each line once, in the order of their first appearance."""
    return tuple(dict.fromkeys(note for group in groups for note in group))
