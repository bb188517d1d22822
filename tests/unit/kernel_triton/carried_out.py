"""The compiled kernel's own instructions, carried out on the CPU, against the plain loops.

A program of its own, because Triton decides when it is loaded whether it compiles or interprets.
"""

from __future__ import annotations

from tests.unit.kernel_triton import standin

standin.install(execute=True)

from distbragg.kernel.triton.peak import measure_peak  # noqa: E402  after the stand-in
from distbragg.plan.frame import Tile  # noqa: E402
from tests.property.test_triton_kernel import FIXED, check  # noqa: E402
from tests.unit.kernel_triton.kit import WAYS  # noqa: E402

if __name__ == "__main__":
    # The interpreter compares every kind in every way; here each is compiled in one of them.
    for number, kind in enumerate(FIXED):
        precision, indices = WAYS[(number + 1) % len(WAYS)]
        sizes = {"domains": 2, "phi": (0.2,), "sources": 2}
        check({**sizes, **kind}, Tile(3, 6, 4, 11), precision, indices)
    assert measure_peak("cpu") > 0.0
    print(len(standin.launches))  # noqa: T201  the test reads it
