"""A unit's numbers as Dask's fine performance metrics, beside the same numbers in its receipt."""

# distributed has no type hints on most of its methods.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

KERNEL: Final = "render-kernel"
SECONDS: Final = (KERNEL, "render-other", "encode", "write", "verify")
"""Labels of times, as the dashboard shows them: a unit's time but for what Dask adds."""

COUNTS: Final = ("frames", "pixel-steps")
BYTES: Final = ("bytes-raw", "bytes-stored")


def unit_numbers(receipt: Mapping[str, Any], raw_bytes: int) -> dict[str, float]:
    """Split a unit's time and sizes by what they were spent on.

    Parameters
    ----------
    receipt : mapping
        Of a stored unit.
    raw_bytes : int
        Its pixels before compression.

    Returns
    -------
    dict
        Label → seconds, count or bytes; the labels are those of `SECONDS`, `COUNTS`, `BYTES`.
    """
    kernel = float(receipt["kernel_seconds"])
    encode, verify = float(receipt["encode_seconds"]), float(receipt["verify_seconds"])
    return {
        KERNEL: kernel,
        "render-other": max(0.0, float(receipt["render_seconds"]) - kernel),
        "encode": encode,
        "write": max(0.0, float(receipt["write_seconds"]) - encode - verify),
        "verify": verify,
        "frames": int(receipt["frames"]),
        "pixel-steps": int(receipt["steps"]),
        "bytes-raw": raw_bytes,
        "bytes-stored": int(receipt["size"]),
    }


def meter(numbers: Mapping[str, float]) -> None:
    """Hand numbers to Dask's meters, by the labels above; nothing happens outside a Dask task."""
    # A process without Dask has no meters, and must not load Dask to find that out.
    metrics = sys.modules.get("distributed.metrics")
    if metrics is None:
        return
    for label, value in numbers.items():
        unit = "seconds" if label in SECONDS else "bytes" if label in BYTES else "count"
        metrics.context_meter.digest_metric(label, value, unit)
