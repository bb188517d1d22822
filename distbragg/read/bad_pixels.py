"""Lists of dead and hot pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from distbragg.errors import InputError
from distbragg.read.table import head_lines
from distbragg.read.text import check_text, read_bytes, remembered

_MOST_BYTES: Final = 1 << 26
_STATES: Final = ("dead", "hot")

PanelPixel = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class BadPixels:
    """Pixels (panel, slow, fast) that see nothing, and those that are always bright."""

    dead: tuple[PanelPixel, ...]
    hot: tuple[PanelPixel, ...]


@remembered(2)
def read_bad_pixels(path: str) -> BadPixels:
    """Read lines `panel slow fast dead` or `panel slow fast hot`; # begins a comment."""
    content = read_bytes(path, _MOST_BYTES)
    check_text(content, path)
    found: dict[str, list[PanelPixel]] = {state: [] for state in _STATES}
    for number, line in enumerate(head_lines(content, _MOST_BYTES), start=1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        whole = len(words) == 4 and all(word.isdecimal() for word in words[:3])
        if not whole or words[3] not in found:
            raise InputError(
                f"{line.strip()[:40]!r} is not a bad pixel",
                source=f"{path}:{number}",
                remedy="a line is: panel slow fast dead, or panel slow fast hot",
            )
        panel, slow, fast = (int(word) for word in words[:3])
        found[words[3]].append((panel, slow, fast))
    return BadPixels(*(tuple(found[state]) for state in _STATES))
