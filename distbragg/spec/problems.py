"""Pydantic's list of complaints, turned into one line for the user."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from distbragg.errors import InputError
from distbragg.quantities import counted
from distbragg.spec.base import SpecModel
from distbragg.spec.paths import submodel, suggestion, unit_of
from distbragg.spec.yaml_text import PLAIN_NUMBERS, old_number

_LONGEST_VALUE = 40
_NUMBER: Final = re.compile(r"\s*[-+]?[\d.]+([eE][-+]?\d+)?\s*(?P<rest>.*)")
_LENGTHS = {"too_short": ("least", "min_length"), "too_long": ("most", "max_length")}
_WORDING = {
    "missing": "is missing",
    "model_type": "needs a mapping of fields",
    "dict_type": "needs a mapping of fields",
    "tuple_type": "needs a list",
    "finite_number": "must be a finite number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_parsing_size": "is too large a number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "string_pattern_mismatch": "is not written as it must be",
    "recursion_loop": "refers to itself",
}


def input_error(error: ValidationError, model: type[SpecModel], source: str = "") -> InputError:
    """Name the first problem of a validation of `model`, and count the others."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for item in error.errors(include_url=False):
        groups.setdefault(_group_of(item, model), []).append(item)
    # A key that is missing was perhaps misspelt: what is wrong with the others leads on.
    first = min(groups.values(), key=lambda items: items[0]["type"] == "missing")
    field, problem, remedy = _describe(first, model)
    others = len(groups) - 1
    if others:
        more = counted(others, "more problem")
        remedy = f"{remedy}; {more}" if remedy else more
    return InputError(problem, source=source, field=field, remedy=remedy)


def _group_of(item: Mapping[str, Any], model: type[SpecModel]) -> str:
    """Path up to a union's tag, so that the branches of one union count as one problem."""
    known = list(_path(item["loc"], model))
    names = [str(kept) for kept, part in zip(known, item["loc"], strict=False) if kept == part]
    detail = item["ctx"]["problem"] if item["type"] == "distbragg_refusal" else ""
    return ".".join(names) + detail


def _path(loc: tuple[str | int, ...], model: type[SpecModel]) -> Iterator[str | int]:
    """Keep the field names and indices of a location; drop the tags of union branches."""
    current: type[SpecModel] | None = model
    for part in loc:
        if isinstance(part, int):
            yield part
        elif current is not None:
            yield part
            current = submodel(current, part)


def _describe(items: list[Mapping[str, Any]], model: type[SpecModel]) -> tuple[str, str, str]:
    item = items[0]
    path = [str(part) for part in _path(item["loc"], model)]
    if item["type"] == "distbragg_refusal":
        context = item["ctx"]
        path += [context["field"]] if context["field"] else []
        return ".".join(path), context["problem"], context["remedy"]
    if item["type"] == "extra_forbidden":
        owner = model
        for part in path[:-1]:
            owner = submodel(owner, part) or owner
        prefix = "".join(f"{part}." for part in path[:-1])
        return ".".join(path), "unknown key", suggestion(path[-1], owner, prefix)
    wordings = list(dict.fromkeys(_wording(branch) for branch in items))
    problem = " or ".join(wordings)
    if item["type"] != "missing":
        problem = f"{problem}, got {_shown(item['input'])}"
    return ".".join(path), problem, _remedy(items, path, model)


def _remedy(items: list[Mapping[str, Any]], path: list[str], model: type[SpecModel]) -> str:
    """Say what to write in place of a text that is not a value of a field."""
    text, kinds = items[0]["input"], {item["type"]: item for item in items}
    if "string_pattern_mismatch" in kinds:
        from distbragg.spec.descriptions import field_at  # which reads source, for this alone

        said = field_at(model, path)
        return f"{said.meaning.rstrip('.')}, such as {said.example}"
    if not isinstance(text, str):
        return ""
    if "literal_error" in kinds:
        choices = re.findall(r"'([^']+)'", kinds["literal_error"]["ctx"]["expected"])
        by_case = {choice.lower(): choice for choice in choices}
        near = difflib.get_close_matches(text.lower(), by_case, n=1, cutoff=0.6)
        if near:
            return f"did you mean {by_case[near[0]]}?"
    number = any(kind.startswith(("float", "int")) for kind in kinds) and _NUMBER.match(text)
    if old_number(text) or not number:
        return PLAIN_NUMBERS if old_number(text) else ""
    unit = unit_of(".".join(path))
    alone = "write the number alone" + ("" if unit == "1" else f"; its unit is {unit}")
    return "a decimal fraction has a point" if number["rest"].startswith(",") else alone


def _wording(item: Mapping[str, Any]) -> str:
    known = _WORDING.get(item["type"])
    if known:
        return known
    if item["type"] in _LENGTHS:
        bound, name = _LENGTHS[item["type"]]
        number = item["ctx"][name]
        return f"must have at {bound} {counted(number, 'item')}"
    message = str(item["msg"]).removeprefix("Input ").replace("should ", "must ", 1)
    return message[:1].lower() + message[1:]


def _shown(value: object) -> str:
    """Represent a value in a few characters, whatever its size."""
    if isinstance(value, Mapping):
        return f"a mapping of {len(value)} keys"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 128:
        return "a huge integer"
    if isinstance(value, list | tuple) and len(value) > 8:
        return f"a list of {len(value)}"
    text = repr(value[:_LONGEST_VALUE] if isinstance(value, str) else value)
    return text if len(text) <= 2 * _LONGEST_VALUE else f"{text[: 2 * _LONGEST_VALUE]}…"
