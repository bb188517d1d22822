"""The common base of every specification model and the field types they share."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import CoreSchema, no_info_wrap_validator_function

from distbragg.notes import LOGGED
from distbragg.templates import facts_html

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue  # which takes as long to import as pydantic

Auto = Literal["auto"]

_FARTHEST: Final = 1e100
"""No unit and no unusual instrument makes a number larger, or its inverse: beyond lie typing
errors, whose squares and products float64 cannot hold."""


def within_reach(value: float) -> float:
    """Refuse numbers that arithmetic would turn into 0 or infinity; infinity itself is a choice."""
    if abs(value) > _FARTHEST and math.isfinite(value):
        raise refusal(f"{value:g} is beyond {_FARTHEST:g}", remedy="check the number and its unit")
    return value


def not_vanishing(value: float) -> float:
    """Refuse numbers that are not 0 and whose inverse arithmetic would turn into infinity."""
    if 0.0 < value < 1.0 / _FARTHEST:
        raise refusal(
            f"{value:g} is nearer to 0 than {1 / _FARTHEST:g}",
            remedy="check the number and its unit",
        )
    return within_reach(value)


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), AfterValidator(not_vanishing)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), AfterValidator(not_vanishing)]
Finite = Annotated[float, Field(allow_inf_nan=False), AfterValidator(within_reach)]
Vector3 = tuple[Finite, Finite, Finite]


def possible(lowest: float, highest: float, unit: str) -> AfterValidator:
    """Refuse numbers that no frame ever had, however unusual: typing errors and wrong units."""

    def check(value: float) -> float:
        if not lowest <= value <= highest:
            raise refusal(
                f"{value:g} {unit} is no value of any frame: those are {lowest:g} to {highest:g}",
                remedy="check the number and its unit",
            )
        return value

    return AfterValidator(check)


Wavelength = Annotated[Positive, possible(1e-5, 1e6, "Å")]
"""Far beyond electrons of 100 MeV and light that any eye sees."""

Energy = Annotated[Positive, possible(1e-2, 1.3e9, "eV")]  # of photons of these wavelengths
Degrees = Annotated[Finite, possible(-1e6, 1e6, "degrees")]
"""Many turns; of more float64 keeps too few digits of the angle."""

Degrees3 = tuple[Degrees, Degrees, Degrees]
_Misset = Annotated[Finite, possible(-1e15, 1e15, "degrees")]
Misset = tuple[_Misset, _Misset, _Misset]
"""The C program reads `-misset_seed 5 -flux 1e12` as missets too; float64 keeps an angle of it."""

Millimetres = Annotated[Finite, possible(-1e7, 1e7, "mm")]
Millimetres3 = tuple[Millimetres, Millimetres, Millimetres]
Distance = Annotated[Positive, possible(1e-3, 1e7, "mm")]  # of a panel, at most 10 km
PixelSize = Annotated[Positive, possible(1e-5, 1e4, "mm")]
Micrometres = Annotated[NonNegative, possible(0.0, 1e9, "µm")]


def _points_somewhere(vector: Vector3) -> Vector3:
    if not any(vector):
        raise refusal("a direction cannot be 0 0 0")
    return vector


Direction = Annotated[Vector3, AfterValidator(_points_somewhere)]


@dataclass(frozen=True, slots=True)
class FileField:
    """Marks a field that names an input file: `spec.files` finds the fields by it."""


FilePath = Annotated[str, FileField()]

MAXIMUM_COUNT = 1_000_000
"""Largest number of steps, domains, layers or pixels along one axis: beyond it lies a typing
error, and every list that long must still fit a worker before the plan can refuse it."""

MAXIMUM_SEED = 2**31 - 1  # seeds of nanoBragg's generator are 32-bit integers
Count = Annotated[int, Field(ge=1, le=MAXIMUM_COUNT)]
GeneratorSeed = Annotated[int, Field(ge=-MAXIMUM_SEED, le=MAXIMUM_SEED)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


_KEPT: Final = "the former way is read for the last time in this version"
_tells: ContextVar[bool] = ContextVar("former names are told", default=True)


def tell_former(old: str, new: str) -> None:
    """Log that a field or value has another name now, once a process."""
    if _tells.get():
        _log_once(f"warning: {old} is now written {new}; {_KEPT}")


@cache
def _log_once(text: str) -> None:
    logging.getLogger("distbragg").warning(text, extra={LOGGED: True})


@contextmanager
def former_names() -> Iterator[None]:
    """Read former names without a word: of a run that an earlier version stored."""
    token = _tells.set(False)
    try:
        yield
    finally:
        _tells.reset(token)


def _without_sentinels(data: Mapping[str, Any], counts: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain data without numbers that are not counts."""
    found = dict(data)
    for name, inner in counts.items():
        value = data.get(name)
        if isinstance(value, Mapping):
            found[name] = _without_sentinels(value, inner)
        elif type(value) is int and value < 1:
            found[name] = inner if value == 0 else None
            tell_former(f"{name}: {value}", f"{name}: {found[name] or 'null'}")
    return found


def refusal(problem: str, *, field: str = "", remedy: str = "") -> PydanticCustomError:
    """Build the error a validator raises; `field` is relative to the model that raises it."""
    text = "{problem}; {remedy}" if remedy else "{problem}"
    return PydanticCustomError(
        "distbragg_refusal", text, {"problem": problem, "field": field, "remedy": remedy}
    )


def annotation_parts(annotation: Any) -> Iterator[Any]:  # noqa: ANN401
    """Yield an annotation and all that it is made of: of unions, tuples and `Annotated`."""
    yield annotation
    for part in get_args(annotation):
        yield from annotation_parts(part)


_LISTS = (list, tuple)


@cache
def _takes_boolean(model: type[BaseModel], field: str) -> bool:
    info = model.model_fields.get(field)
    if info is None:
        return True
    taken = [getattr(item, "json_schema_input_type", None) for item in info.metadata]
    return any(part in (bool, Any) for kind in (info.annotation, *taken)
               for part in annotation_parts(kind))  # fmt: skip


class SpecModel(BaseModel):
    """Frozen, closed to unknown keys: what the user wrote, nothing more.

    A field left at None was not given; `models.build` alone decides what stands in
    for it (an image header, a convention's default, an automatic choice).
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
        coerce_numbers_to_str=True,
    )

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Take a model as it stands, as those of a frame: it was checked when it was made."""

        def take(value: object, check: Callable[[object], object]) -> object:
            return value if type(value) is cls else check(value)

        schema = handler(source)
        checked = handler.resolve_ref_schema(schema)
        if checked["type"] == "function-wrap":
            return schema  # another model has this one too
        name = checked.pop("ref", None)  # type: ignore[attr-defined]
        return no_info_wrap_validator_function(take, checked, ref=name)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Say in a JSON Schema what fields mean, as editors show it."""
        from distbragg.spec.descriptions import described  # which reads source, for this alone
        from distbragg.spec.yaml_text import parse_yaml

        made = handler(schema)
        for name, part in handler.resolve_ref_schema(made)["properties"].items():
            said = described(cls, name)
            filled = f" Left out: {said.left_out}." if said.left_out else ""
            part["description"] = f"{said.meaning}{filled}"
            part.pop("title", None)  # the name with blanks
            if part.get("default") is None or isinstance(part["default"], dict):
                part.pop("default", None)  # which nobody would write
            if said.example:
                part["examples"] = [parse_yaml(said.example)]
        return made

    def rows(self) -> list[tuple[str, str]]:
        """Rows (name, value) that a notebook shows: the fields that differ from their defaults."""
        from distbragg.spec.canonical import changed_fields  # which is made of these models

        return list(changed_fields(self).items())

    def _repr_html_(self) -> str:
        return facts_html(type(self).__name__, self.rows())

    def __dask_tokenize__(self) -> tuple[str, str]:
        """Name the model in Dask's keys: equal models have one name in every process."""
        from distbragg.spec.canonical import canonical_json  # which is made of these models

        return type(self).__name__, canonical_json(self)

    former: ClassVar[Mapping[str, str]] = {}
    """Names that fields had in the version before, by which they may still be given."""

    former_counts: ClassVar[Mapping[str, Any]] = {}
    """Counts that might be below 1 under `physics: nanobragg`, and what 0 of them stood for."""

    @model_validator(mode="before")
    @classmethod
    def _plain_names_and_numbers(cls, data: Any) -> Any:  # noqa: ANN401
        """Give fields their names of today; refuse `true`, which Python takes for 1, for a number.

        `true` may be alone or in a list.
        """
        for old in cls.former.keys() & data.keys() if isinstance(data, Mapping) else ():
            if (new := cls.former[old]) in data:
                raise refusal(f"is the former name of {new}", field=old, remedy="keep one of them")
            tell_former(old, new)
            data = {(new if name == old else name): value for name, value in data.items()}
        if cls.former_counts and isinstance(data, Mapping) and data.get("physics") == "nanobragg":
            data = _without_sentinels(data, cls.former_counts)
        for name, value in data.items() if isinstance(data, Mapping) else ():
            stray = type(value) is bool or (isinstance(value, _LISTS) and bool in map(type, value))
            if stray and not _takes_boolean(cls, name):
                raise refusal("true/false is not allowed here", field=name)
        return data

    def refuse_given(self, problem: str, *fields: str, remedy: str = "") -> None:
        """Refuse the first of these fields that is given."""
        for field in fields:
            if getattr(self, field) is not None:
                raise refusal(problem, field=field, remedy=remedy)

    def keep_one(self, first: str, *others: str) -> None:
        """Refuse any of the other fields beside the first."""
        if getattr(self, first) is not None:
            self.refuse_given(f"given together with {first}", *others, remedy="keep one of the two")
