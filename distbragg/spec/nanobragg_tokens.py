"""Tokens of a command line, and their reading as numbers, text and shapes."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Literal

from distbragg.errors import InputError
from distbragg.spec.nanobragg_flags import FLAGS, Flag

_LARGEST_INTEGER = 2**63


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
