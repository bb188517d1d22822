"""Specifications out: YAML with a comment beside each field, to be read by people."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from distbragg.spec.yaml_text import parse_yaml

Comment = Callable[[str], str]
"""What is said of the field at a dotted path; nothing where the text is empty."""

_WIDTH: Final = 100
_INDENT: Final = "  "


def commented_yaml(plain: Mapping[str, Any], comment: Comment, *, head: str = "") -> str:
    """Write plain data as YAML 1.2 in block style, lists of plain values within one line.

    A comment stands at the end of its line where there is room, else above it. `head`: text that
    stands above all, as comments.
    """
    above = [f"# {line}".rstrip() for line in head.splitlines()]
    return "\n".join([*above, *_lines(plain, comment, "", "")]) + "\n"


def _lines(node: Mapping[str, Any], comment: Comment, path: str, indent: str) -> Iterator[str]:
    for name, value in node.items():
        own = f"{path}.{name}" if path else name
        said = comment(own)
        if isinstance(value, Mapping):
            yield from _with_comment(f"{indent}{name}:", said, indent)
            yield from _lines(value, comment, own, indent + _INDENT)
        else:
            yield from _with_comment(f"{indent}{name}: {_flow(value)}", said, indent)


def _with_comment(line: str, said: str, indent: str) -> Iterator[str]:
    if said and len(line) + len(said) + 3 > _WIDTH:
        wrapped = textwrap.wrap(said, _WIDTH - len(indent) - 2, break_on_hyphens=False)
        yield from (f"{indent}# {part}" for part in wrapped)
        said = ""
    yield f"{line} # {said}" if said else line


def _flow(value: object) -> str:
    """Return a value within one line; text is quoted where YAML would read something else."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_flow(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, str):
        plain = re.sub(r"[ _/.]", "", value).isalnum()
        return value if plain and parse_yaml(value) == value else _quoted(value)
    text = json.dumps(value)
    if isinstance(value, float) and "e" in (short := f"{value:g}") and float(short) == value:
        return short  # 1e+12, not 1000000000000.0
    return text


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
