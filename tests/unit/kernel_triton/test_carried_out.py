"""What the compiler made of the fused kernel computes what the plain loops compute.

The interpreter runs the source; this runs the PTX, the last form before machine code, and finds
reads and writes beyond the arguments.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import util
from pathlib import Path

import numpy as np
import pytest

from tests.unit.kernel_triton.ptx import Program, fused

compiled = pytest.mark.skipif(util.find_spec("triton") is None, reason="Triton is not installed")


def run_carried_out(cache):
    """Run the program where Triton compiles; return what it prints."""
    ours = ("TRITON_INTERPRET", "TRITON_CACHE_DIR")
    environment = {k: v for k, v in os.environ.items() if k not in ours}
    environment["DISTBRAGG_CACHE_DIR"] = str(cache)
    answer = subprocess.run(
        [sys.executable, "-m", "tests.unit.kernel_triton.carried_out"], check=False,
        cwd=Path(__file__).parents[3], capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@compiled
@pytest.mark.slow
@pytest.mark.spec("ENG-17")
def test_the_compiled_kernel_computes_what_the_plain_loops_compute(tmp_path):
    assert int(run_carried_out(tmp_path)) > 8


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
