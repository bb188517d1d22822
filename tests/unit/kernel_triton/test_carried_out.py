"""The stand-in for a card reads and writes what a launch is given, and rounds as a card does."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.kernel_triton.ptx import Program, fused


class Tensor:
    """As much of a tensor as a launch needs."""

    def __init__(self, values):
        self._values = values

    def data_ptr(self):
        return self._values.ctypes.data

    def numpy(self):
        return self._values


SUM = """
.visible .entry add(.param .u64 add_param_0, .param .u32 add_param_1)
.reqntid 32
{
    mov.u32 %r1, %tid.x;
    mul.wide.s32 %rd1, %r1, 4;
    ld.param.b64 %rd2, [add_param_0];
    ld.param.b32 %r2, [add_param_1];
    add.s64 %rd3, %rd2, %rd1;
    setp.lt.s32 %p1, %r1, %r2;
    mov.b32 %r3, 0;
    @%p1 ld.global.b32 { %r3 }, [ %rd3 + 0 ];
    fma.rn.f32 %r4, %r3, 0f40000000, 0f3F800000;
    @%p1 st.global.b32 [ %rd3 + 0 ], { %r4 };
    ret;
}
"""


def test_the_stand_in_reads_and_writes_what_is_there_and_nothing_else():
    values = np.arange(20, dtype=np.float32)
    Program(SUM).run((1,), [Tensor(values), 20])
    assert np.array_equal(values, 2.0 * np.arange(20) + 1.0)
    with pytest.raises(AssertionError, match="belongs to no argument"):
        Program(SUM).run((1,), [Tensor(values), 21])


def test_a_fused_multiply_add_of_the_stand_in_rounds_once():
    x = np.array([1.0 + 2.0**-30])
    assert fused(x, x, -np.ones(1))[0] == 2.0**-29 + 2.0**-60
    assert (x * x - 1.0)[0] != 2.0**-29 + 2.0**-60
