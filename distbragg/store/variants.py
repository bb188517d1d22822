"""Variants of frames as arrays of a stack: how they are cut and labelled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from distbragg.plan.variants import Variant
from distbragg.spec.compute import OutputSpec
from distbragg.store.layout import IMAGES, StackLayout, inner_chunk, shuffle_of

_RECORDED: Final = frozenset(
    {"units", "gain", "adu_per_photon", "offset", "largest_value", "overload_value"}
)
"""Attributes of frames that tell what their numbers are."""


def variant_layout(layout: StackLayout, one: Variant, output: OutputSpec) -> StackLayout:
    """Return the layout of a variant of frames whose own layout is `layout`."""
    kept = layout.shuffle == "bit" and one.spec.how != "mean"
    counts = kept or np.dtype(one.dtype).kind != "f"
    return replace(
        layout,
        array=one.spec.name,
        shape=one.shape,
        inner=inner_chunk(one.shape, output.chunk),
        dtype=one.dtype,
        shuffle=shuffle_of(layout.compressor, counts=counts),
        own_pixels=True,
    )


def variant_attrs(one: Variant, image_attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a variant: those of frames, how it is made, and where it lies.

    Where its numbers are not those of frames, what tells of these has `frame_` before its name.
    """
    same = not one.spec.root and one.spec.how in (None, "max")
    frame = {
        (name if same or name not in _RECORDED else f"frame_{name}"): value
        for name, value in image_attrs.items()
    }
    slow, fast = one.offset
    return {
        **frame,
        "units": "1" if one.spec.root else image_attrs.get("units", "photons"),
        "long_name": f"{image_attrs.get('long_name', 'frame')}: {one.steps}",
        "made_of": IMAGES,
        "steps": one.steps,
        "offset_slow": slow,
        "offset_fast": fast,
        "factor": one.factor,
        "positions": "(position in the frame - offset) / factor, pixels from the outer corner",
    }
