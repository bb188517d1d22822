"""Tokens of a command line, and their reading as numbers, text and shapes."""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass, field
from typing import Literal

from distbragg.errors import InputError
from distbragg.spec.nanobragg_flags import FLAGS, GROUPS, OWN, Flag

_LARGEST_INTEGER = 2**63

_WHOLE_ONLY = frozenset(
    {"-N", "-MW", "-Q", "-detsize", "-detpixels", "-detector_thick", "-polar", "-mosaic", "-phi"}
    | {"-phistep", "-hdivstep", "-vdivstep", "-stol", "-4stol"}
)
"""Names that nanoBragg compares with their length: it finds them in no longer token."""

_FOUND_WITHIN = tuple(
    name
    for flags in GROUPS.values()
    if flags is not OWN
    for flag in flags
    for name in flag.names
    if name not in _WHOLE_ONLY
)

_AXES = {"_x": "_f", "_y": "_s"}
"""Ends of names by which users mean the fast and the slow axis, and nanoBragg's own."""


@dataclass(slots=True)
class Reader:
    """The tokens left to read."""

    tokens: tuple[str, ...]
    position: int = 0
    pushed: list[str] = field(default_factory=list)

    def more(self) -> bool:
        """Whether any token is left."""
        return bool(self.pushed) or self.position < len(self.tokens)

    def peek(self) -> str:
        """Return the next token without taking it."""
        return self.pushed[-1] if self.pushed else self.tokens[self.position]

    def next(self) -> str:
        """Take the next token."""
        if self.pushed:
            return self.pushed.pop()
        self.position += 1
        return self.tokens[self.position - 1]

    def ahead(self, count: int) -> tuple[str, ...]:
        """Return the next `count` tokens without taking them; fewer at the end."""
        return self.tokens[self.position : self.position + count]

    def push(self, token: str) -> None:
        """Put a token before the rest, as the value of `--option=value`."""
        self.pushed.append(token)

    def text(self, flag: str) -> str:
        """Take a word or file name; another flag in its place means it was forgotten."""
        if not self.more() or (self.peek() in FLAGS and not self.pushed) or not self.peek():
            raise InputError("its argument is missing", source=flag)
        return self.next()

    def number(self, flag: str, kind: Literal["float", "int"]) -> float:
        """Take a finite number; `int` refuses fractions."""
        token = self.text(flag)
        try:
            value: float = int(token) if re.fullmatch(r"[-+]?\d{1,19}", token) else float(token)
        except ValueError:
            raise InputError(f"{token!r} is not a number", source=flag) from None
        if not math.isfinite(value):
            raise InputError(f"{token!r} is not a finite number", source=flag)
        if kind == "float":
            return float(value)
        if value != int(value) or abs(value) >= _LARGEST_INTEGER:
            raise InputError(f"{token!r} is not a whole number", source=flag)
        return int(value)


def parse_numbers(flag: Flag, token: str, reader: Reader) -> object:
    """Take a flag's arguments: one value, or a list where it has several."""
    if flag.convert == "text":
        return reader.text(token)
    values = [reader.number(token, flag.convert) for _ in flag.arguments]
    return values[0] if len(values) == 1 else values


def leading_number(text: str) -> float:
    """Read the number that `text` begins with, 0 where it begins with none, as C's atof does."""
    match = re.match(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text)
    return float(match[0]) if match else 0.0


def parse_tile(text: str, flag: str) -> list[int]:
    """Read `HxW` as (slow, fast) pixels."""
    match = re.fullmatch(r"(\d{1,9})[xX](\d{1,9})", text)
    if match is None:
        raise InputError(f"{text!r} is no shape", source=flag, remedy="write it as 256x512")
    return [int(match[1]), int(match[2])]


def found_within(token: str) -> str:
    """Return the name that nanoBragg finds within an unknown token, or an empty string.

    The program looks for most names anywhere in a token: `-adc_level` is `-adc` to it. Where a
    token holds several names the longest one is returned.
    """
    return max((name for name in _FOUND_WITHIN if name in token), key=len, default="")


def nearest_flag(token: str) -> str:
    """Return the known flag most like `token`, or an empty string; x is fast and y is slow."""
    known = (name for name, flag in FLAGS.items() if flag.kind != "ignored")
    lowered = {name.lower(): name for name in known}
    meant = token.lower()
    meant = meant[:-2] + _AXES.get(meant[-2:], meant[-2:])
    match = difflib.get_close_matches(meant, lowered, n=1, cutoff=0.6)
    return lowered[match[0]] if match else ""
