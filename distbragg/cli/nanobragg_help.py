"""The listing of nanoBragg's flags, made from the parser's own table."""

from __future__ import annotations

import textwrap
from typing import Final

from distbragg.spec.nanobragg_flags import GROUPS, Flag

WIDTH: Final = 96
INDENT: Final = 4
HELP_COLUMN: Final = 34

INTRODUCTION = """Usage: distbragg nanobragg [FLAGS]

nanoBragg's own command line: every flag it parses is honoured, or named with the reason why
not. Physics is nanoBragg's (--physics nanobragg) unless --physics exact is given. No file is
written that is not named.

  distbragg nanobragg -hkl P1.hkl -cell 79 79 38 90 90 90 -misset 10 20 30 -lambda 1 \\
      -distance 100 -detpixels 1024 -N 12 -floatfile out.bin -intfile out.img
"""


def listing() -> str:
    """Return the whole help text."""
    parts = [INTRODUCTION]
    for title, flags in GROUPS.items():
        parts.append(f"{title}:")
        parts.extend(flag_lines(flag) for flag in flags)
        parts.append("")
    return "\n".join(parts).rstrip()


def flag_lines(flag: Flag) -> str:
    """Return the lines of one flag: its names and arguments, what it does, what becomes of it."""
    left = " ".join((flag.name, *flag.arguments))
    text = flag.help
    if flag.unit:
        text += f" ({flag.unit})"
    if len(flag.names) > 1:
        text += f"; also {', '.join(flag.names[1:])}"
    if flag.kind in ("ignored", "refused"):
        text += f" [{flag.kind}: {flag.reason}]"
    elif flag.kind == "exact only":
        text += f" [only with --physics exact: {flag.reason}]"
    head = " " * INDENT + left
    body = textwrap.wrap(text, WIDTH - HELP_COLUMN)
    if len(head) + 2 <= HELP_COLUMN:
        head = head.ljust(HELP_COLUMN) + body.pop(0)
    return "\n".join([head, *(" " * HELP_COLUMN + line for line in body)])
