"""What the detector makes of photons: section `detector.response`.

It stands in the detector's section because every number is the detector's own, as its sensor's
are: a preset or a sweep over detectors carries it along, and `physics_hash` names it with them.
What the beam does from frame to frame is the beam's, and photon noise itself that of `noise`.
"""

from __future__ import annotations

from pydantic import Field

from distbragg.spec.base import NonNegative, SpecModel


class ResponseSpec(SpecModel):
    """What the detector makes of the photons that reach it. Left out, pixels hold photons."""

    pixel_flicker_fraction: NonNegative = Field(
        default=0.0,
        description="Standard deviation, as a fraction, by which the expected photons of every "
        "pixel of every frame vary on their own, before photons are counted; 0: not at all.",
    )
