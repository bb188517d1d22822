"""YAML in: safe, bounded, and stricter than YAML where YAML is easily misread."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from distbragg.errors import InputError
from distbragg.units import BYTES_PER_MIB

MAXIMUM_FILE_BYTES: Final = 16 * BYTES_PER_MIB
MAXIMUM_DEPTH: Final = 64

_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BASE):  # type: ignore[misc]
    """Safe loader that refuses duplicate keys and reads 1e5 as the number it is."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is not text", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return mapping


class Base60(str):
    """Text such as 1:30, which YAML 1.1 takes for the number 90: no number is written so."""

    __slots__ = ()


def _number(loader: Any, node: yaml.ScalarNode) -> object:  # noqa: ANN401
    """Read a number; one to base 60 stays text, and 010 is ten, not the octal eight."""
    if ":" in node.value:
        return Base60(node.value)
    if node.tag.endswith(":float"):
        return loader.construct_yaml_float(node)
    return int(node.value) if _DECIMAL.match(node.value) else loader.construct_yaml_int(node)


_DECIMAL: Final = re.compile(r"^[-+]?\d+$")
for _kind_of_number in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind_of_number}", _number)

# YAML 1.1 takes 1e5 and 1.0e5 for text because the exponent has no sign.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def parse_yaml(text: str, *, source: str = "") -> object:
    """Parse one YAML document into plain Python data.

    Raises
    ------
    InputError
        Not YAML, an alias, a key given twice, or nesting beyond `MAXIMUM_DEPTH`.
    """
    try:
        _check_events(text, source)
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}:{mark.line + 1}" if source and mark is not None else source
        problem = error.problem or error.context or "not YAML"
        raise InputError(f"cannot be read as YAML: {problem}", source=place) from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
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
        line = f"{source}:{_line_of(event)}" if source else ""
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


def _line_of(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1


def read_yaml_mapping(path: str | Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping.

    Raises
    ------
    InputError
        The file is missing, unreadable, too large, binary, not YAML, or no mapping.
    """
    source = str(path)
    try:
        with Path(path).open("rb") as handle:
            raw = handle.read(MAXIMUM_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot be read: {reason}", source=source) from None
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
        raise InputError(f"the top level is {_kind(data)}, not a mapping of fields", source=source)
    for key in data:
        if not isinstance(key, str):
            raise InputError(f"the key {key!r} is not text", source=source)
    return dict(data)


def _kind(data: object) -> str:
    if isinstance(data, list | tuple):
        return "a list"
    return f"a single value ({type(data).__name__})"
