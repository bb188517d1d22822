"""What the native library records: the numbers of the model, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from distbragg.kernel import native, philox
from distbragg.kernel.native.response import draw_normals, record
from distbragg.models.response import GainZone, Response
from distbragg.physics.response import recorded

pytestmark = pytest.mark.skipif(not native.available(), reason=native.reason() or "no compiler")

ZONES = (
    GainZone(0.0, 41.0, 250.0, 12.3),
    GainZone(30.0, -1.44, 14500.0, 4.0, 16384.0),
    GainZone(800.0, -0.11, 14500.0, 4.0, 49152.0),
)
RESPONSES = (
    Response(zones=(GainZone(gain=1.8, offset=40.0, readout=4.1),)),
    Response(zones=(GainZone(gain=0.7, readout=2.0),), rounded=True, lowest=0.0, highest=900.0,
             overload=901.0),
    Response(zones=ZONES, rounded=True, lowest=0.0, highest=16383.0, overload=65534.0),
    Response(zones=ZONES, in_photons=True, saturation=9000.0, overload=9000.0),
    Response(zones=(GainZone(gain=3.0, offset=-2.0),), in_photons=True, rounded=True),
)  # fmt: skip


@pytest.mark.spec("RSP-1")
@pytest.mark.parametrize(("seed", "frame"), [(0, 0), (2**63 + 12_345, 2**33 + 5)])
@pytest.mark.parametrize(("first", "count"), [(0, 1000), (77, 3), (63, 2050), (2**35 + 200, 700)])
def test_deviates_are_those_of_the_model(seed: int, frame: int, first: int, count: int) -> None:
    key = {"seed": seed, "frame": frame, "stream": philox.CALIBRATION}
    found = draw_normals(first, count, **key)
    assert found.tobytes() == philox.normals(first, count, **key).tobytes()


@pytest.mark.spec("RSP-2")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("response", RESPONSES)
def test_values_are_those_of_the_model(
    response: Response, calibrated: bool, dtype: type[np.floating]
) -> None:
    random = np.random.default_rng(2)
    photons = np.concatenate([random.poisson(10.0 ** random.uniform(-1, 4.5, 5001)), [0.0, np.inf]])
    pixels = photons.astype(dtype)
    factors = random.normal(1.0, 0.1, pixels.size).astype(np.float32) if calibrated else None
    key = {"seed": 3, "frame": 8, "stream": philox.READOUT}
    drawn = philox.normals(123, pixels.size, **key)
    started = pixels.astype(np.float64)
    if factors is not None:
        started = started * factors.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        values, over = recorded(started, drawn, response)
        expected = values.astype(dtype)
    found = record(pixels, factors, response, first=123, **key)
    assert pixels.tobytes() == expected.tobytes()
    assert found == np.count_nonzero(over)
