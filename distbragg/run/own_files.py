"""Which files a command may write over: those that distbragg wrote, known by what they hold."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from distbragg.errors import InputError

_HEAD: Final = 1 << 16  # bytes of a file that are looked at

Known = Callable[[bytes], bool]


def is_card(head: bytes) -> bool:
    """Whether a file begins as a data set card of distbragg: its tags name the program."""
    return head.startswith(b"---\npretty_name: ") and b"\n- distbragg\n" in head


def is_report(head: bytes) -> bool:
    """Whether a file begins as the page on a run, whose title says so."""
    return b": distbragg run</title>" in head


def is_picture(head: bytes) -> bool:
    """Whether a file is a PNG that distbragg drew."""
    return head.startswith(b"\x89PNG\r\n") and b"Software\x00distbragg" in head


def is_frames_table(head: bytes) -> bool:
    """Whether a file begins as the table of frames that goes with a card."""
    first = head.partition(b"\n")[0]
    return first.startswith(b"frame,") and first.endswith(b",split,rendered")


def is_croissant(head: bytes) -> bool:
    """Whether a file begins as metadata of a run."""
    return b"http://mlcommons.org/croissant/" in head and b"simulated by distbragg " in head


def check_suffix(path: Path, suffixes: tuple[str, ...], what: str) -> None:
    """Refuse a name that is not one of a card, a page: it may be that of an input."""
    if path.suffix.lower() not in suffixes:
        raise InputError(
            f"{what} has no suffix {path.suffix!r}",
            source=str(path),
            remedy=f"name it {path.with_suffix(suffixes[0]).name}",
        )


def check_own(files: Mapping[Path, Known]) -> None:
    """Refuse to write over a file that distbragg did not write; an empty one holds nothing.

    Parameters
    ----------
    files : mapping of Path to callable
        For each file what tells by its first bytes whether it is one of ours.
    """
    for path, known in files.items():
        if path.is_dir():
            raise InputError("is a folder", source=str(path), remedy="give another name")
        if not os.path.lexists(path):
            continue
        if not path.is_file():
            raise InputError("is not a plain file", source=str(path), remedy="give another name")
        with path.open("rb") as handle:
            head = handle.read(_HEAD)
        if head and not known(head):
            raise InputError(
                "exists and was not written by this command",
                source=str(path),
                remedy="give another name, or remove it",
            )
