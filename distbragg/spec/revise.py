"""Changing a few fields of a validated specification, validated as if it were written anew.

A sweep makes every frame's specification from one base. What no axis touches was validated with
the base; only the fields that change, and the checks of the models they are part of, are left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter

from distbragg.spec.base import SpecModel
from distbragg.spec.paths import submodel

Changes = Mapping[str, Any]
"""Field name → new value, or the changes of the model that the field holds."""

Model = TypeVar("Model", bound=SpecModel)


class NotRevisableError(Exception):
    """The change reaches into something that is not given, or a list: validate it whole."""


def changes_of(values: Mapping[tuple[str | int, ...], object]) -> Changes:
    """Arrange values by their paths (`paths.split_path`) as nested changes.

    Raises
    ------
    NotRevisableError
        A path leads through a list.
    """
    changes: dict[str, Any] = {}
    for parts, value in values.items():
        node = changes
        for part in parts[:-1]:
            node = node.setdefault(_name(part), _Branch())
        node[_name(parts[-1])] = value
    return changes


def revised(model: Model, changes: Changes) -> Model:
    """Return `model` with `changes`; equal to validating all of it with them.

    Parameters
    ----------
    model : SpecModel
        Validated.
    changes : mapping
        From `changes_of`.

    Raises
    ------
    NotRevisableError
    pydantic.ValidationError, pydantic_core.PydanticCustomError, InputError
        A value, or what the fields say together, is refused. The error names its place from
        the model that raised it; validate all to have it named from the top.
    """
    kind = type(model)
    update: dict[str, Any] = {}
    for name, change in changes.items():
        if not isinstance(change, _Branch):
            update[name] = _validate(kind, name, change)
            continue
        inner = getattr(model, name)
        if not isinstance(inner, SpecModel):
            raise NotRevisableError(name)
        update[name] = revised(inner, change)
    made = model.model_copy(update=update)
    for check in _checks(kind):
        check(made)
    return made


class _Branch(dict[str, Any]):
    """Changes within a field, where a plain mapping would be a value."""


def _name(part: str | int) -> str:
    if isinstance(part, int):
        raise NotRevisableError(str(part))
    return part


def _validate(kind: type[SpecModel], name: str, value: object) -> object:
    kind.check_no_boolean(name, value)
    return _adapter(kind, name).validate_python(value)


@cache
def _adapter(kind: type[SpecModel], name: str) -> TypeAdapter[Any]:
    """Validate one field alone; fields that hold models have no such adapter."""
    if submodel(kind, name) is not None:
        raise NotRevisableError(name)
    rules = ConfigDict(allow_inf_nan=kind.model_config["allow_inf_nan"])
    return TypeAdapter(kind.model_fields[name].rebuild_annotation(), config=rules)


@cache
def _checks(kind: type[SpecModel]) -> tuple[Callable[[Any], Any], ...]:
    """List the checks that a model makes of its fields together, in their order."""
    found = kind.__pydantic_decorators__.model_validators.values()
    return tuple(decorator.func for decorator in found)
