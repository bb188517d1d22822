"""Point spread of a panel: light that leaves the pixel where a photon was absorbed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from distbragg.spec.base import FilePath, Positive, SpecModel

MAXIMUM_RADIUS = 512


class PointSpreadSpec(SpecModel):
    """How the photons of one pixel are recorded by the pixels around it. Left out, they are not.

    `gauss` is a Gaussian; `fibre` is the light of a fibre-optic taper, g/2π·(g² + r²)^(−3/2), which
    falls off slowly; both are integrated over pixels and have one full width at half maximum,
    `fwhm_um` or `fwhm_px`. `file` is a table of shares. What goes farther than the radius is spread
    evenly over the panel. No photon passes from one panel to another.
    """

    kind: Annotated[
        Literal["none", "gauss", "fibre", "file"] | None,
        Field(
            description="`none` (the default), gauss, fibre or file; a panel's own `none` turns "
            "that of the detector off."
        ),
    ] = None
    fwhm_um: Annotated[
        Positive | None, Field(description="Full width at half maximum, micrometres.")
    ] = None
    fwhm_px: Annotated[Positive | None, Field(description="The same in pixels.")] = None
    radius_px: Annotated[
        int | None,
        Field(
            ge=1,
            le=MAXIMUM_RADIUS,
            description="Pixels that a photon reaches: rows and columns of gauss, a circle of "
            "fibre; default: of gauss 1 + 2.74 widths, beyond which less than 1e-9 goes, of fibre "
            "10 widths, beyond which 6.5 % go. Time grows with its square.",
        ),
    ] = None
    file: Annotated[
        FilePath | None,
        Field(
            description="Shares of one photon by displacement: an .npy array (slow, fast) or a "
            "text of one row a line, of odd numbers of rows and columns; the middle is the pixel "
            "itself."
        ),
    ] = None
    file_sum: Annotated[
        float | None,
        Field(
            gt=0,
            le=1,
            description="What the shares of the file are scaled to add up to, at most 1; default: "
            "they count as they are, and what they lack of 1 is spread evenly over the panel.",
        ),
    ] = None
    stage: Annotated[
        Literal["expected", "counted"] | None,
        Field(
            description="With noise: counted (the default) spreads the light of photons that were "
            "counted, as a scintillator does, so that pixels hold fractions of photons; expected "
            "spreads what is counted then, photon by photon."
        ),
    ] = None
    edges: Annotated[
        Literal["kept", "lost"] | None,
        Field(
            description="What passes an edge of the panel: kept (the default) spreads it evenly "
            "over the panel with what goes beyond the radius, so that no photon is lost; lost "
            "drops it."
        ),
    ] = None
