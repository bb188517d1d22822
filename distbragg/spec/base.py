"""The common base of every specification model and the field types they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

Vector3 = tuple[float, float, float]
Auto = Literal["auto"]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class FileField:
    """Marks a field that names an input file: `spec.files` finds the fields by it."""


FilePath = Annotated[str, FileField()]

MAXIMUM_COUNT = 1_000_000
"""Largest number of steps, domains, layers or pixels along one axis: beyond it lies a typing
error, and every list that long must still fit a worker before the plan can refuse it."""

MAXIMUM_SEED = 2**31 - 1
"""Seeds of nanoBragg's generator are 32-bit integers."""

Count = Annotated[int, Field(ge=1, le=MAXIMUM_COUNT)]
Steps = Annotated[int, Field(ge=-MAXIMUM_COUNT, le=MAXIMUM_COUNT)]
GeneratorSeed = Annotated[int, Field(ge=-MAXIMUM_SEED, le=MAXIMUM_SEED)]


def refusal(problem: str, *, field: str = "", remedy: str = "") -> PydanticCustomError:
    """Build the error a validator raises: the loaders turn it into one `InputError`.

    Parameters
    ----------
    problem : str
        What is wrong.
    field : str
        Path of the guilty field relative to the model that raises.
    remedy : str
        What the user can do.
    """
    text = "{problem}; {remedy}" if remedy else "{problem}"
    return PydanticCustomError(
        "distbragg_refusal", text, {"problem": problem, "field": field, "remedy": remedy}
    )


def require_direction(vector: Vector3 | None, field: str) -> None:
    """Refuse a vector of zero length, which points nowhere."""
    if vector is not None and not any(vector):
        raise refusal("a direction cannot be 0 0 0", field=field)


def _accepts_bool(annotation: Any) -> bool:  # noqa: ANN401
    return annotation in (bool, Any) or any(_accepts_bool(part) for part in get_args(annotation))


_NEVER_LISTS = (int, float, str, BaseModel)
"""What nearly every field holds: told from a list at once, for every field of every frame."""


def _holds_bool(value: object) -> bool:
    if isinstance(value, bool):
        return True
    if value is None or isinstance(value, _NEVER_LISTS):
        return False
    is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return is_list and any(isinstance(item, bool) for item in value)  # type: ignore[attr-defined]


class SpecModel(BaseModel):
    """Frozen, closed to unknown keys: what the user wrote, nothing more.

    A field left at None was not given; `models.build` alone decides what stands in
    for it (an image header, a convention's default, an automatic choice).
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_numbers(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401
        """Refuse `true` for a number, which Python takes for 1."""
        if info.field_name is not None:
            cls.check_no_boolean(info.field_name, value)
        return value

    @classmethod
    def check_no_boolean(cls, field: str, value: object) -> None:
        """Refuse a boolean, alone or in a list, for a field that takes none."""
        if _holds_bool(value) and not _accepts_bool(cls.model_fields[field].annotation):
            raise refusal("true/false is not a number")
