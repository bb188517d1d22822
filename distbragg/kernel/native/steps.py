"""Formulas written down as steps, run by the native library, forwards and backwards."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.kernel.native.library import available, library
from distbragg.models.vectors import Float64Array

__all__ = ["BY_RAY", "BY_SPOT", "KINDS", "NOWHERE", "Steps", "available"]

KINDS: Final = (
    *("add", "subtract", "multiply", "divide", "root", "exp", "log", "sine", "cosine"),
    *("less", "less_equal", "equal", "where"),
)
"""`Kind` of `tape.hpp`."""

NOWHERE, BY_SPOT, BY_RAY = range(3)


class _Input(ctypes.Structure):
    """`Input` of `tape.hpp`."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("slot", "varies")),
        *((name, ctypes.c_void_p) for name in ("values", "slopes")),
    )


class _Tape(ctypes.Structure):
    """`Tape` of `tape.hpp`."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("spots", "rays", "steps", "still_steps")),
        *((name, ctypes.c_int64) for name in ("slots", "still", "constants", "inputs", "outputs")),
        *((name, ctypes.c_void_p) for name in ("step", "constant", "input", "output")),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Steps by which outputs follow from inputs.

    Attributes
    ----------
    steps : (n, 6) int32
        Kind, slots of the outcome and of up to three operands, and a bit for each operand that has
        slopes; those that no ray changes first.
    still_steps : int
        How many of them no ray changes.
    slots, still : int
        Numbers held; of the first, all rays of a spot have the same.
    constants : (m,) float64
        In the first slots.
    inputs : (i, 2) int64
        Slot of each, and where it varies: `NOWHERE`, `BY_SPOT`, `BY_RAY`.
    wanted : i bool
        Of which slopes are asked for.
    outputs : (k,) int32
        Their slots.
    """

    steps: NDArray[np.int32]
    still_steps: int
    slots: int
    still: int
    constants: Float64Array
    inputs: NDArray[np.int64]
    wanted: tuple[bool, ...]
    outputs: NDArray[np.int32]

    def run(self, values: Sequence[Float64Array], shape: tuple[int, int]) -> Float64Array:
        """Return the outputs, (k, spots, rays), of inputs of shapes (), (spots,), (spots, rays)."""
        out = np.empty((len(self.outputs), *shape))
        tape, _held = self._laid_out(values, [None] * len(values), shape)
        _done(library().distbragg_run_tape(ctypes.byref(tape), out.ctypes.data))
        return out

    def run_back(
        self, values: Sequence[Float64Array], shape: tuple[int, int], slope: Float64Array
    ) -> list[Float64Array | None]:
        """Return the slopes of Σ slope · outputs by the inputs; None where not asked for."""
        slope = np.ascontiguousarray(slope)
        slopes = [
            np.zeros(value.shape) if wanted else None
            for value, wanted in zip(values, self.wanted, strict=True)
        ]
        tape, _held = self._laid_out(values, slopes, shape)
        _done(library().distbragg_run_tape_back(ctypes.byref(tape), slope.ctypes.data))
        return slopes

    def _laid_out(
        self,
        values: Sequence[Float64Array],
        slopes: Sequence[Float64Array | None],
        shape: tuple[int, int],
    ) -> tuple[_Tape, Any]:
        """Return what the library reads, and what must be held while it does."""
        whole = [np.ascontiguousarray(value, dtype=np.float64) for value in values]
        inputs = (_Input * len(whole))()
        rows = zip(inputs, self.inputs.tolist(), whole, slopes, strict=True)
        for row, (slot, varies), value, slope in rows:
            row.slot, row.varies, row.values = slot, varies, value.ctypes.data
            row.slopes = None if slope is None else slope.ctypes.data
        tape = _Tape(
            *shape,
            len(self.steps),
            self.still_steps,
            self.slots,
            self.still,
            len(self.constants),
            len(whole),
            len(self.outputs),
            self.steps.ctypes.data,
            self.constants.ctypes.data,
            ctypes.addressof(inputs),
            self.outputs.ctypes.data,
        )
        return tape, (whole, inputs)


def _done(status: int) -> None:
    if status != 0:
        raise MemoryError("the native library could not allocate what its steps hold")
