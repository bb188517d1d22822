"""Resolve what the detector makes of photons."""

from __future__ import annotations

from distbragg.models.response import Response
from distbragg.spec.experiment import ExperimentSpec


def build_response(spec: ExperimentSpec) -> Response | None:
    """Resolve `detector.response`; None where it is not given."""
    given = spec.detector.response
    if given is None:
        return None
    return Response(pixel_flicker=given.pixel_flicker_fraction)
