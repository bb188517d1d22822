"""All launches without a card: what Triton compiles, hands over, and what that computes.

A program of its own, because Triton decides when it is loaded whether it compiles or interprets.
It prints a line on whether the instructions of each kind compute what the plain loops compute,
one on what was launched, and one on the resources of each of the `CARD_CASES`, which it is given
with the folder of the cache.
"""

from __future__ import annotations

import json
import sys

from tests.unit.kernel_triton import standin

standin.install(carried_out=True)

from distbragg.kernel.render_tile import render_tile  # noqa: E402  after the stand-in
from distbragg.kernel.triton import render  # noqa: E402
from distbragg.kernel.triton.device.fused import render_block  # noqa: E402
from distbragg.kernel.triton.device.peak import multiply_add  # noqa: E402
from distbragg.kernel.triton.peak import measure_peak  # noqa: E402
from distbragg.plan.frame import SourceChunk, Tile  # noqa: E402
from tests.property.test_triton_kernel import FIXED, check  # noqa: E402
from tests.unit.kernel_native import kit  # noqa: E402
from tests.unit.kernel_triton.kit import WAYS, triton_options  # noqa: E402

SIZES = {"domains": 2, "phi": (0.2,), "sources": 2}


def computed():
    """Tell of every kind whether its instructions compute what the plain loops compute.

    The interpreter compares every kind in every way; here each is compiled in one of them.
    """
    equal = []
    for number, kind in enumerate(FIXED):
        precision, indices = WAYS[(number + 1) % len(WAYS)]
        try:
            check({**SIZES, **kind}, Tile(3, 6, 4, 11), precision, indices)
        except AssertionError:
            equal.append(False)
        else:
            equal.append(True)
    return equal


def done():
    """What was compiled and launched so far."""
    kernels = standin.compiled(render_block) + standin.compiled(multiply_add)
    return {
        "compiled": len(kernels),
        "parameters": [standin.parameters(kernel) for kernel in kernels],
        "launches": list(standin.launches),
    }


def launch_other_sizes():
    """One pixel, one source, odd places, ranges cut at any pixel: no other kernel is needed."""
    experiment = kit.make_experiment(**{**SIZES, **FIXED[0], "domains": 3})
    whole, chunk = kit.whole(experiment)
    for tile in (Tile(3, 4, 5, 6), Tile(0, 7, 1, 12)):
        render_tile(experiment, 0, tile, SourceChunk(1, 2), triton_options())
    real = render.in_batches
    render.in_batches = lambda total, size, work, **more: real(total, 101, work, **more)
    render_tile(experiment, 0, whole, chunk, triton_options())
    render.in_batches = real
    most, render.MOST_STEPS = render.MOST_STEPS, whole.pixels * 3
    render_tile(experiment, 0, whole, chunk, triton_options())
    render.MOST_STEPS = most


def used(cases, folder):
    """Resources of the kernel of each case."""
    for capability, kind, way in cases:
        render_block.device_caches.clear()
        standin.Card.capability = capability
        standin.install()
        experiment = kit.make_experiment(domains=3, **kind)
        whole, chunk = kit.whole(experiment)
        render_tile(experiment, 0, whole, chunk, triton_options(*way))
        (kernel,) = render_block.device_caches[0][0].values()
        yield standin.resources(kernel, folder)


def tell(what):
    sys.stdout.write(json.dumps(what) + "\n")


if __name__ == "__main__":
    tell(computed())
    standin.execute = False
    reports = [done()]
    launch_other_sizes()
    reports.append(done())
    standin.execute = True
    assert measure_peak("cpu") > 0.0
    standin.execute = False
    reports.append(done())
    tell(reports)
    for each in used(json.loads(sys.argv[1]), sys.argv[2]):
        tell(each)
