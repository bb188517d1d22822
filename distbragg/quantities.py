"""Numbers and the text of others as people read them."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from typing import Final

_PREFIXES: Final = ("", "k", "M", "G", "T", "P")


def duration(seconds: float) -> str:
    """Seconds as people say them: `4.2 s`, `3 min 20 s`, `2 h 5 min`; unknown as `?`."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def scaled(value: float) -> str:
    """Three digits and a decimal prefix, for a unit to follow: `1.23 G`, `45 k`, `7 `."""
    power = 0
    while abs(value) >= 999.5 and power < len(_PREFIXES) - 1:
        value /= 1000.0
        power += 1
    return f"{value:.3g} {_PREFIXES[power]}"


def counted(number: int, word: str, plural: str = "") -> str:
    """Count things: `1 worker`, `2 workers`, `2 retries`."""
    return f"{number:,} {word if number == 1 else plural or word + 's'}"


def first_of(parts: Sequence[str], most: int, more: int = 0) -> str:
    """Join the first parts, and say how many others there are: `a 1, b 2, and 5 more`.

    `more` are others that are in no part.
    """
    left = max(len(parts) - most, 0) + more
    return ", ".join([*parts[:most], *([f"and {left} more"] if left and parts else [])])


def moment(seconds: float) -> str:
    """Write a time since the epoch as date and time, UTC; a time that no calendar has as `?`."""
    try:
        when = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OSError, OverflowError, ValueError):
        return "?"
    return when.isoformat(sep=" ", timespec="seconds")


def quoted(text: str) -> str:
    r"""Write characters that a terminal obeys, or that hide others, as escapes such as `\x1b`.

    They are control characters, line breaks, marks of direction and format, blanks other than
    the space, and bytes of a file's name that are not text. A title that comes from a file can then
    neither clear the screen nor pass for another line.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
