"""The common base of every specification model and the field types they share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Vector3 = tuple[float, float, float]
Auto = Literal["auto"]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class SpecModel(BaseModel):
    """Frozen, closed to unknown keys: what the user wrote, nothing more.

    A field left at None was not given; `models.build` alone decides what stands in
    for it (an image header, a convention's default, an automatic choice).
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )
