"""Named alternatives: several fields that an axis sets at once, by one name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, model_validator

from distbragg.spec.base import SpecModel, refusal
from distbragg.spec.paths import file_paths, overlap, path_of_today


class SetFieldSpec(SpecModel):
    """A field, and what it is set to."""

    path: Annotated[str, AfterValidator(path_of_today)]
    """Dotted path of the field. Example: structure_factors.file"""
    value: Any = None
    """Its value, as in the experiment. Left out: null, as if the field were not given. Example:
    1lyz.pdb"""


class AlternativeSpec(SpecModel):
    """One alternative: a name, and the fields it sets."""

    name: str
    """Its name, which labels the frames. Example: lysozyme"""
    sets: tuple[SetFieldSpec, ...] = ()
    """Fields that it sets; all others are as in the experiment."""

    @model_validator(mode="after")
    def _check_sets(self) -> Self:
        for first, second in combinations([field.path for field in self.sets], 2):
            if overlap(first, second):
                problem = f"{self.name!r} sets {first} and {second}, which are of one field"
                raise refusal(problem, remedy="keep one of the two")
        return self

    def values(self) -> dict[str, Any]:
        """Return what it sets, by path."""
        return {field.path: field.value for field in self.sets}


def _by_name(value: object) -> object:
    """Take alternatives as a mapping: name to a mapping of paths to values."""
    if not isinstance(value, Mapping):
        return value
    found = []
    for name, fields in value.items():
        if not isinstance(fields, Mapping):
            problem = "needs a mapping of fields to values"
            raise refusal(problem, field=name, remedy="{} leaves the experiment as it is")
        sets = [{"path": path, "value": set_to} for path, set_to in fields.items()]
        found.append({"name": name, "sets": sets})
    return found


def _check_names(alternatives: tuple[AlternativeSpec, ...]) -> tuple[AlternativeSpec, ...]:
    names = [alternative.name for alternative in alternatives]
    for name in names:
        if names.count(name) > 1 or not name:
            raise refusal(f"the name {name!r} is used twice" if name else "a name is empty")
    if not any(alternative.sets for alternative in alternatives):
        raise refusal("set no field", remedy="write name: {path: value}")
    return alternatives


Alternatives = Annotated[
    tuple[AlternativeSpec, ...],
    BeforeValidator(_by_name, json_schema_input_type=dict[str, dict[str, Any]]),
    AfterValidator(_check_names),
]


def files_of(alternatives: tuple[AlternativeSpec, ...]) -> Iterator[tuple[str, str]]:
    """Yield the place (`alternative.sets.field.value…`) and name of every file that they name."""
    for position, alternative in enumerate(alternatives):
        for number, field in enumerate(alternative.sets):
            names = tuple(part for part in field.path.split(".") if not part.isdecimal())
            place = f"{position}.sets.{number}.value"
            yield from _files_in(field.value, names, place)


def _files_in(value: Any, names: tuple[str, ...], place: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401
    """Walk through plain data that is set at the names of a path."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _files_in(inner, (*names, key), f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _files_in(inner, names, f"{place}.{index}")
    elif value is not None and names in file_paths():
        yield place, str(value)
