"""Formulas of arrays, written down once as steps that compiled code runs and differentiates.

A formula is called with `Symbol`s in place of its arrays. Each operation appends a step to a tape;
no step is written twice, and what is multiplied by a plain zero is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from distbragg.kernel.native.steps import BY_RAY, KINDS, NOWHERE, Steps
from distbragg.physics.arrays import Symbol

_NUMBERS: Final = {kind: number for number, kind in enumerate(KINDS)}
_UNDECIDED: Final = frozenset({"less", "less_equal", "equal"})
"""Kinds through which no slope flows."""


class Written(Symbol):
    """An outcome on a tape."""

    __slots__ = ("number", "tape")

    __array_ufunc__ = None  # numbers of numpy leave operations to it
    requires_grad = False

    def __init__(self, tape: Tape, number: int) -> None:
        self.tape, self.number = tape, number

    @property
    def module(self) -> Tape:
        """What has the functions of it."""
        return self.tape

    def detach(self) -> Written:
        """Return the same, through which no slope flows."""
        return self.tape.cut(self)

    def to(self, _kind: object) -> Written:
        """Return the same: truth is 1."""
        return self

    def __add__(self, other: Any) -> Any:  # noqa: ANN401 - an outcome or a number
        return self.tape.append("add", self, other)

    def __radd__(self, other: Any) -> Any:  # noqa: ANN401
        return self.tape.append("add", other, self)

    def __sub__(self, other: Any) -> Any:  # noqa: ANN401
        return self.tape.append("subtract", self, other)

    def __rsub__(self, other: Any) -> Any:  # noqa: ANN401
        return self.tape.append("subtract", other, self)

    def __mul__(self, other: Any) -> Any:  # noqa: ANN401
        return self.tape.append("multiply", self, other)

    def __rmul__(self, other: Any) -> Any:  # noqa: ANN401
        return self.tape.append("multiply", other, self)

    def __truediv__(self, other: Any) -> Any:  # noqa: ANN401
        return self.tape.append("divide", self, other)

    def __rtruediv__(self, other: Any) -> Any:  # noqa: ANN401
        return self.tape.append("divide", other, self)

    def __neg__(self) -> Any:  # noqa: ANN401
        return self.tape.append("subtract", 0.0, self)

    def __pow__(self, power: float) -> Any:  # noqa: ANN401
        if power == 0.5:
            return self.tape.sqrt(self)
        if power == 4:
            square = self * self
            return square * square
        raise NotImplementedError(f"no step raises to the power {power}")

    def __lt__(self, other: Any) -> Any:  # noqa: ANN401
        return self.tape.append("less", self, other)

    def __gt__(self, other: Any) -> Any:  # noqa: ANN401
        return self.tape.append("less", other, self)

    def __le__(self, other: Any) -> Any:  # noqa: ANN401
        return self.tape.append("less_equal", self, other)

    def __ge__(self, other: Any) -> Any:  # noqa: ANN401
        return self.tape.append("less_equal", other, self)

    def __eq__(self, other: object) -> Any:  # noqa: ANN401 # type: ignore[override]
        return self.tape.append("equal", self, other)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class _Step:
    kind: str
    operands: tuple[int, ...]
    varies: int
    sloped: bool


@dataclass(slots=True, eq=False)
class Tape:
    """Where steps are written down; it stands for numpy or torch in formulas."""

    steps: list[_Step] = field(default_factory=list)
    constants: dict[int, float] = field(default_factory=dict)
    known: dict[tuple[object, ...], int] = field(default_factory=dict)
    inputs: list[int] = field(default_factory=list)

    float64 = float

    def read(self, varies: int, *, sloped: bool) -> Written:
        """Return an input."""
        self.inputs.append(self._new("input", (), varies, sloped=sloped))
        return Written(self, self.inputs[-1])

    def sqrt(self, square: Any) -> Any:  # noqa: ANN401
        """Return the square root; its slope at 0 is 0."""
        return self.append("root", square)

    def exp(self, power: Any) -> Any:  # noqa: ANN401
        """Return e to a power."""
        return self.append("exp", power)

    def log(self, number: Any) -> Any:  # noqa: ANN401
        """Return the natural logarithm."""
        return self.append("log", number)

    def sin(self, angle: Any) -> Any:  # noqa: ANN401
        """Return the sine."""
        return self.append("sine", angle)

    def cos(self, angle: Any) -> Any:  # noqa: ANN401
        """Return the cosine."""
        return self.append("cosine", angle)

    def where(self, truth: Any, one: Any, other: Any) -> Any:  # noqa: ANN401
        """Return one where something is true, else the other."""
        return self.append("where", truth, one, other)

    def maximum(self, one: Any, other: Any) -> Any:  # noqa: ANN401
        """Return the greater one."""
        return self.where(self.append("less", one, other), other, one)

    def clip(self, value: Any, least: Any, most: Any) -> Any:  # noqa: ANN401
        """Return a value within bounds, None for no bound."""
        if least is not None:
            value = self.where(self.append("less", value, least), least, value)
        if most is not None:
            value = self.where(self.append("less", most, value), most, value)
        return value

    def cut(self, one: Written) -> Written:
        """Return the same number, through which no slope flows."""
        return self._append("subtract", (one, 0.0), cut=True)

    def append(self, kind: str, *operands: Any) -> Any:  # noqa: ANN401
        """Write down a step, unless it is known or no step at all."""
        same = _simpler(kind, operands)
        return self._append(kind, operands) if same is None else same

    def _append(self, kind: str, operands: tuple[Any, ...], *, cut: bool = False) -> Written:
        numbers = tuple(self._number(one) for one in operands)
        if kind in ("add", "multiply"):
            numbers = tuple(sorted(numbers))
        key = (kind, numbers, cut)
        if key not in self.known:
            before = [self.steps[number] for number in numbers]
            sloped = not cut and kind not in _UNDECIDED and any(one.sloped for one in before)
            varies = max(one.varies for one in before)
            self.known[key] = self._new(kind, numbers, varies, sloped=sloped)
        return Written(self, self.known[key])

    def _number(self, operand: Any) -> int:  # noqa: ANN401
        if isinstance(operand, Written):
            return operand.number
        key = ("constant", float(operand))
        if key not in self.known:
            self.known[key] = self._new("constant", (), NOWHERE, sloped=False)
            self.constants[self.known[key]] = float(operand)
        return self.known[key]

    def _new(self, kind: str, operands: tuple[int, ...], varies: int, *, sloped: bool) -> int:
        self.steps.append(_Step(kind, operands, varies, sloped))
        return len(self.steps) - 1

    def finish(self, outputs: Sequence[Any]) -> Steps:
        """Return the steps that outputs ask for."""
        wanted = [self._number(one) for one in outputs]
        needed = {*wanted, *self.inputs}
        for number in reversed(range(len(self.steps))):
            if number in needed:
                needed.update(self.steps[number].operands)
        order = sorted(needed, key=lambda number: (self.steps[number].varies == BY_RAY, number))
        held = [number for number in order if number in self.constants]
        held += [number for number in order if number not in self.constants]
        slots = {number: slot for slot, number in enumerate(held)}
        still = sum(self.steps[number].varies != BY_RAY for number in held)
        run = [number for number in held if self.steps[number].operands]
        return Steps(
            steps=np.array([self._row(number, slots) for number in run], dtype=np.int32),
            still_steps=sum(self.steps[number].varies != BY_RAY for number in run),
            slots=len(held),
            still=still,
            constants=np.array([self.constants[one] for one in held if one in self.constants]),
            inputs=np.array([(slots[one], self.steps[one].varies) for one in self.inputs]),
            wanted=tuple(self.steps[one].sloped for one in self.inputs),
            outputs=np.array([slots[one] for one in wanted], dtype=np.int32),
        )

    def _row(self, number: int, slots: dict[int, int]) -> tuple[int, ...]:
        step = self.steps[number]
        operands = [slots[one] for one in step.operands]
        slopes = sum(
            1 << place
            for place, one in enumerate(step.operands)
            if step.sloped and self.steps[one].sloped
        )
        spare = [0] * (3 - len(operands))
        return _NUMBERS[step.kind], slots[number], *operands, *spare, slopes


def _simpler(kind: str, operands: tuple[Any, ...]) -> Any:  # noqa: ANN401
    """Return what is the same without a step: an operand, or a number; None where it takes one."""
    plain = [None if isinstance(one, Written) else float(one) for one in operands]
    found: Any = None
    if kind == "multiply" and 0.0 in plain:
        found = 0.0
    elif kind == "multiply" and 1.0 in plain:
        found = operands[1 - plain.index(1.0)]
    elif kind == "add" and 0.0 in plain:
        found = operands[1 - plain.index(0.0)]
    elif kind == "subtract" and plain[1] == 0.0:
        found = operands[0]
    elif kind == "divide" and plain[0] == 0.0:
        found = 0.0
    elif kind == "divide" and plain[1] == 1.0:
        found = operands[0]
    return found
