"""The compiled kernel's own instructions, carried out on the CPU, against the plain loops.

A program of its own, because Triton decides when it is loaded whether it compiles or interprets.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.unit.kernel_triton import standin

standin.install(execute=True)

from distbragg.kernel.render_tile import render_tile  # noqa: E402  after the stand-in
from distbragg.kernel.triton import pack, reach, render  # noqa: E402
from distbragg.kernel.triton.peak import measure_peak  # noqa: E402
from distbragg.plan.keys import Tile  # noqa: E402
from tests.property.test_triton_kernel import FIXED, check  # noqa: E402
from tests.unit.kernel_native import kit  # noqa: E402
from tests.unit.kernel_triton.kit import WAYS, triton_options  # noqa: E402


def compare_with_the_plain_loops():
    """Every shape, look-up and correction."""
    for kind in FIXED:
        for precision, indices in WAYS:
            sizes = {"domains": 2, "phi": (0.2,), "sources": 2}
            check({**sizes, **kind}, Tile(3, 6, 4, 11), precision, indices)


def change_what_may_change_no_bit():
    """Programs of other sizes, ranges of pixels, clamped places."""
    experiment = kit.make_experiment(
        shape="square", domains=19, phi=(0.1,), cells=(7, 5, 3), sources=2, one_way=True
    )
    tile, chunk = kit.whole(experiment)
    usual = render_tile(experiment, 0, tile, chunk, triton_options())
    assert usual.max() > 0.0
    assert render.launch_form(
        pack.make_scene(experiment, 0, "mixed", "cpu", split=False).flags
    ) == (render.SHORT_STEP)
    for form in ((64, 1, None), (512, 4, None), (128, 4, 64)):
        with render.launched_as(render.LaunchForm(*form)):
            assert np.array_equal(render_tile(experiment, 0, tile, chunk, triton_options()), usual)
    real = render.in_batches
    render.in_batches = lambda total, size, work, **more: real(total, 157, work, **more)
    assert np.array_equal(render_tile(experiment, 0, tile, chunk, triton_options()), usual)
    render.in_batches = real
    reach.MOST_ENTRIES = 1
    again = replace(experiment)
    assert np.array_equal(render_tile(again, 0, tile, chunk, triton_options()), usual)


if __name__ == "__main__":
    compare_with_the_plain_loops()
    change_what_may_change_no_bit()
    assert measure_peak("cpu") > 0.0
    print(len(standin.launches))  # noqa: T201  the test reads it
