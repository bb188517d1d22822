"""Numbers as people read them."""

from __future__ import annotations

import math
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
