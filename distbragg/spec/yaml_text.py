"""YAML 1.2 in: safe and bounded, the one reader of specifications, cluster files and `--set`."""

from __future__ import annotations

import re
import sys
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

import yaml

from distbragg.errors import InputError, unreadable
from distbragg.units import BYTES_PER_MIB

MAXIMUM_FILE_BYTES: Final = 16 * BYTES_PER_MIB
MAXIMUM_DEPTH: Final = 64

_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BASE):  # type: ignore[misc]
    """Safe loader of YAML 1.2's core schema that refuses duplicate keys.

    PyYAML alone reads YAML 1.1, where 0100 is 64, 1:30 is 90, 1e5 is text and `no` is false.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise _refused(f"the key {key!r} is not text", key_node)
            if key in seen:
                raise _refused(f"the key {key!r} is given twice", key_node)
            seen.add(key)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return mapping


def _refused(problem: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


_INT: Final = r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
_FLOAT: Final = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
_NO_NUMBER: Final = r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", _INT, list("-+0123456789")),
    ("float", f"{_FLOAT}|{_NO_NUMBER}", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first
    )


def _number(loader: Any, node: yaml.ScalarNode) -> object:  # noqa: ANN401
    """Read a number that its form or a tag makes one."""
    if re.fullmatch(_INT, node.value) and node.tag.endswith(":int"):
        return int(node.value, {"0o": 8, "0x": 16}.get(node.value[:2], 10))
    if re.fullmatch(f"{_FLOAT}|{_NO_NUMBER}", node.value) and node.tag.endswith(":float"):
        return loader.construct_yaml_float(node)
    raise _refused(f"{node.value!r} is no such number", node)


for _tag in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _number)

_OLD_NUMBER: Final = re.compile(r"[-+]?(\d[\d_]*(:[0-5]?\d)+(\.[\d_]*)?|0b[01_]+|\d+(_[\d.]+)+)")


def old_number(text: str) -> bool:
    """Whether YAML 1.1 takes text such as 1:30, 0b11 or 1_000 for a number, which 1.2 does not."""
    return _OLD_NUMBER.fullmatch(text) is not None


PLAIN_NUMBERS: Final = "write it in decimal: 1:30 and 0b11 are text in YAML 1.2"
"""What to do about an `old_number` where a number belongs."""


def parse_yaml(text: str, *, source: str = "") -> object:
    """Parse one YAML document into plain Python data."""
    try:
        _check_events(text, source)
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}:{mark.line + 1}" if source and mark is not None else source
        problem = error.problem or error.context or "not YAML"
        line = "".join(text.splitlines()[mark.line : mark.line + 1]) if mark is not None else ""
        if mark is not None and line[mark.column :].startswith("\t"):
            problem = "a tab begins the line; indent with blanks"
        raise InputError(f"cannot be read as YAML: {problem}", source=place) from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, ValueError) and "integer string conversion" in reason:
            reason = f"a number has more than {sys.get_int_max_str_digits()} digits"
        raise InputError(f"cannot be read as YAML: {reason}", source=source) from None
    except (AttributeError, IndexError, KeyError) as error:
        # PyYAML's scalar constructors leak these on malformed tagged scalars such as `!!int ""`.
        raise InputError(
            f"cannot be read as YAML: malformed tagged value ({type(error).__name__})",
            source=source,
        ) from None


def _check_events(text: str, source: str) -> None:
    """Refuse aliases and deep nesting before any object is built."""
    depth = 0
    for event in yaml.parse(text, Loader=_BASE):
        mark = event.start_mark
        line = f"{source}:{mark.line + 1 if mark is not None else 1}" if source else ""
        if isinstance(event, yaml.AliasEvent):
            raise InputError(
                f"the alias *{event.anchor} is not supported",
                source=line,
                remedy="write the value out where it is used",
            )
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAXIMUM_DEPTH:
                raise InputError(f"nested deeper than {MAXIMUM_DEPTH} levels", source=line)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def read_yaml_mapping(path: str | Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping."""
    source = str(path)
    try:
        with Path(path).open("rb") as handle:
            raw = handle.read(MAXIMUM_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise unreadable(error, source) from None
    if len(raw) > MAXIMUM_FILE_BYTES:
        raise InputError(
            f"larger than {MAXIMUM_FILE_BYTES // BYTES_PER_MIB} MiB",
            source=source,
            remedy="a specification is a short text file",
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"not a text file (byte {error.start} is not UTF-8)",
            source=source,
            remedy="a specification is YAML text in UTF-8",
        ) from None
    return as_mapping(parse_yaml(text, source=source), source=source)


def as_mapping(data: object, *, source: str = "") -> dict[str, Any]:
    """Return `data` as a mapping with text keys, or refuse it."""
    if data is None:
        raise InputError("is empty", source=source, remedy="a specification is a mapping of fields")
    if not isinstance(data, Mapping):
        kind = f"a single value ({type(data).__name__})"
        kind = "a list" if isinstance(data, list | tuple) else kind
        raise InputError(f"the top level is {kind}, not a mapping of fields", source=source)
    for key in data:
        if not isinstance(key, str):
            raise InputError(f"the key {key!r} is not text", source=source)
    return dict(data)
