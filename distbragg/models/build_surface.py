"""Resolve how a panel is bent, and refuse what closes upon itself."""

from __future__ import annotations

import math

from distbragg.errors import InputError
from distbragg.models.detector import Panel, Surface
from distbragg.models.vectors import Physics
from distbragg.spec.detector import DetectorSpec


def surface_of(spec: DetectorSpec, physics: Physics) -> Surface:
    """Resolve `curved`: true is a sphere, which the C program bends in its own way."""
    if spec.curved is False:
        return "flat"
    if physics == "exact":
        return "sphere" if spec.curved is True else spec.curved
    if spec.curved not in {True, "sphere"}:
        raise InputError(
            f"the C program bends no panel to a {spec.curved}",
            field="detector.curved",
            remedy="use physics: exact, or curved: true",
        )
    return "nanobragg"


def check_bend(panel: Panel) -> None:
    """Refuse a panel that is bent about the sample past where it would meet itself.

    Half a turn from the foot, or along fast of a sphere its poles, where its meridians meet: of
    what lies beyond, another pixel sees the same direction.
    """
    poles = panel.surface == "sphere"
    half = 180.0
    limits = {
        "fast": 90.0 if poles else half if panel.surface == "cylinder_slow" else math.inf,
        "slow": half if panel.surface in {"sphere", "cylinder_fast"} else math.inf,
    }
    axes = {"fast": panel.fast, "slow": panel.slow}
    for (name, limit), pixels in zip(limits.items(), reversed(panel.pixels), strict=True):
        start = float((panel.origin * axes[name]).sum())
        farthest = max(abs(start), abs(start + pixels * panel.pixel_size))
        angle = math.degrees(farthest / abs(panel.close_distance))
        if angle > limit * (1.0 + 1e-9):
            where = "the poles of its sphere" if poles and name == "fast" else "half a turn"
            raise InputError(
                f"the panel is bent by {angle:.4g}° along {name}, past {where} ({limit:g}°), "
                "where it would meet itself",
                field="detector.curved",
                remedy="give fewer pixels or a greater distance",
            )
