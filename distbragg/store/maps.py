"""The arrays of a stack: frames, their variants, and maps, which tell what no detector records.

Each is cut like `images`: one object a unit, of which the unit's receipt states size and digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from distbragg.plan.maps import COMPONENTS, MAP_TYPES, NO_LATTICE, NO_REFLECTION, mask_bounds
from distbragg.plan.variants import variants_of
from distbragg.spec.compute import OutputSpec
from distbragg.store.files import sha256_bytes
from distbragg.store.layout import StackLayout
from distbragg.store.variants import variant_attrs, variant_layout

_SAID: Final[Mapping[str, Mapping[str, Any]]] = {
    "bragg": {"long_name": "photons expected of the crystal", "units": "photons"},
    "background": {"long_name": "photons expected of all else", "units": "photons"},
    "mean_wavelength": {
        "long_name": "wavelength of the Bragg photons, mean; no number where there are none",
        "units": "angstrom",
    },
    "bragg_share": {"long_name": "Bragg photons over all that are expected", "units": "1"},
    "spot_mask": {
        "long_name": "pixel belongs to a spot",
        "units": "1",
        "flag_values": [0, 1],
        "flag_meanings": "beside_spots in_a_spot",
    },
    "hkl": {
        "long_name": "h, k, l of the reflection that gives most photons",
        "units": "1",
        "no_reflection": NO_REFLECTION,
    },
    "lattice": {
        "long_name": "number of the lattice of that reflection, from 0",
        "units": "1",
        "no_reflection": NO_LATTICE,
    },
}


def stored_arrays(layout: StackLayout, output: OutputSpec) -> tuple[StackLayout, ...]:
    """Return the layouts of all that a stack stores of frames of `layout`.

    The first stands for its unit: the frames, or the first variant where they are not stored.
    """
    frames = (layout,) if output.keeps_frames else ()
    variants = (variant_layout(layout, one, output) for one in variants_of(output, layout.shape))
    return (*frames, *variants, *_map_layouts(layout, output))


def _map_layouts(layout: StackLayout, output: OutputSpec) -> tuple[StackLayout, ...]:
    return tuple(
        replace(
            layout,
            array=name,
            dtype=MAP_TYPES[name],
            shuffle="byte",
            components=COMPONENTS.get(name, 0),
        )
        for name in sorted(output.maps or ())
    )


def array_attrs(
    layout: StackLayout, output: OutputSpec, image_attrs: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return the attributes of each of `stored_arrays`, those of frames being `image_attrs`."""
    variants = variants_of(output, layout.shape)
    said = {one.spec.name: variant_attrs(one, image_attrs) for one in variants}
    return {layout.array: dict(image_attrs), **said, **map_attrs(output)}


def map_attrs(output: OutputSpec) -> dict[str, dict[str, Any]]:
    """Return the attributes of each map that `output` asks for."""
    said: dict[str, dict[str, Any]] = {
        name: dict(_SAID[name]) for name in sorted(output.maps or ())
    }
    if "spot_mask" in said:
        photons, share = mask_bounds(output)
        said["spot_mask"] |= {"minimum_photons": photons, "minimum_fraction": share}
    return said


def content_digest(first: str, beside: Mapping[str, str]) -> str:
    """Return the digest of all that is stored of a unit's pixels: that of the first array if alone.

    `beside` are those of the other arrays by name.
    """
    if not beside:
        return first
    return sha256_bytes("\n".join([first, *(beside[name] for name in sorted(beside))]).encode())
