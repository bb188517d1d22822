"""The fused kernel on a real card: what the interpreter promised, and the same bits again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import render_tile
from distbragg.plan.frame import Tile
from tests import tolerances
from tests.unit.kernel_native import kit
from tests.unit.kernel_triton.kit import WAYS, triton_options

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

KINDS = [
    {"shape": "square", "cells": (7, 90, 30), "layers": 2, "surface": "sphere"},
    {"shape": "square", "cells": (20, 20, 20), "interpolate": True, "dmin": 2.0, "oversample": 2},
    {"shape": "round", "cells": (12, 9, 14), "point": True, "fudge": 1.7},
    {"shape": "gauss", "cells": (9, 8, 7), "background": False},
    {"shape": "tophat", "cells": (3, 4, 5), "physics": "nanobragg"},
]


@pytest.mark.parametrize(("precision", "indices"), WAYS)
@pytest.mark.parametrize("kind", KINDS, ids=[kind["shape"] for kind in KINDS])
def test_a_card_renders_what_the_cpu_renders(kind, precision, indices):
    experiment = kit.make_experiment(**{"domains": 5, "phi": (0.0, 0.2), **kind})
    tile, chunk = kit.whole(experiment)
    expected = render_tile(experiment, 0, tile, chunk, KernelOptions("float64", "model", "cpu", 1))
    options = triton_options(precision, indices, "cuda")
    found = render_tile(experiment, 0, tile, chunk, options)
    largest = expected.max()
    tolerance = (
        tolerances.KERNEL_TWIN_FLOAT64_RELATIVE
        if precision == "float64"
        else tolerances.NATIVE_MIXED_RELATIVE
    )
    assert np.abs(found - expected).max() <= tolerance * largest
    bright = expected > tolerances.GOLDEN_MIXED_FLOOR * largest
    np.testing.assert_allclose(
        found[bright], expected[bright], rtol=tolerances.GOLDEN_MIXED_RELATIVE
    )
    again = render_tile(experiment, 0, tile, chunk, options)
    assert np.array_equal(found, again)
    part = Tile(4, 19, 11, 36)
    cut = render_tile(experiment, 0, part, chunk, options).reshape(part.shape)
    assert np.array_equal(cut, found.reshape(tile.shape)[4:19, 11:36])
