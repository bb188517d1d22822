"""Plain data of a specification: its one canonical text, and what it says beyond the defaults."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from distbragg.spec.base import SpecModel


def to_plain(spec: SpecModel, *, unset: bool = True) -> dict[str, Any]:
    """Return a specification as dicts, lists, text and numbers; fields not given are left out.

    `unset`: whether fields are kept that hold their default because nobody wrote them.

    Infinity is written as the text "inf", which reads back as the same number, so that the
    result is JSON as it stands.
    """
    plain: dict[str, Any] = _plain(spec.model_dump(exclude_none=True, exclude_unset=not unset))
    return plain


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        number = float(value)
        return number if math.isfinite(number) else repr(number)
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    raise TypeError(f"{type(value).__name__} has no plain form")


def canonical_json(obj: object) -> str:
    """Text of plain data that depends on its content alone.

    Keys are sorted, floats are written as the shortest text that reads back to the same bits,
    no space is added. Two equal specifications give the same text in every process.
    """
    plain = to_plain(obj) if isinstance(obj, SpecModel) else _plain(obj)
    return json.dumps(
        plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def changed_fields(model: SpecModel) -> dict[str, str]:
    """Fields that differ from their defaults, by dotted path."""
    defaults = dict(_leaves(to_plain(type(model).model_construct())))
    return {name: text for name, text in _leaves(to_plain(model)) if defaults.get(name) != text}


def _leaves(plain: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every given field of a plain specification as (dotted path, value)."""
    for name, value in plain.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", f"{value:.6g}" if isinstance(value, float) else str(value)
