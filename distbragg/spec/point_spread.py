"""Point spread of a panel: light that leaves the pixel where a photon was absorbed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from distbragg.spec.base import FilePath, Positive, SpecModel

MAXIMUM_RADIUS = 512


class PointSpreadSpec(SpecModel):
    """How the photons of one pixel are recorded by the pixels around it. Left out, they are not.

    `gauss` is a Gaussian; `fibre` is the light of a fibre-optic taper, g/2π·(g² + r²)^(−3/2), which
    falls off slowly; both are integrated over pixels. What goes farther than the radius is spread
    evenly over the panel. No photon passes from one panel to another.
    """

    kind: Literal["none", "gauss", "fibre", "file"] | None = None
    """Form of the spread: gauss, fibre, or a table of a file. Left out: the detector's, else none,
    which turns a panel's off too. Example: fibre"""
    fwhm_um: Positive | None = None
    """Full width at half maximum of gauss and fibre, µm. Left out: `fwhm_px`. Example: 90"""
    fwhm_px: Positive | None = None
    """Full width at half maximum of gauss and fibre, pixels. Left out: `fwhm_um`. Example: 1.5"""
    radius_px: Annotated[int | None, Field(ge=1, le=MAXIMUM_RADIUS)] = None
    """How far a photon reaches, pixels: rows and columns of gauss, a circle of fibre; time grows
    with its square. Left out: of gauss 1 + 2.74 widths, beyond which less than 1e-9 goes, of fibre
    10 widths, beyond which 6.5 % go. Example: 20"""
    file: FilePath | None = None
    """Shares of one photon by displacement, an .npy array or text with one row per line, with odd
    numbers of rows and columns; the middle is the pixel itself. Left out: it is needed only where
    kind is file. Example: psf.npy"""
    file_sum: Annotated[float | None, Field(gt=0, le=1)] = None
    """Sum to which the shares of the file are scaled. Left out: they are used unchanged, and the
    part missing to 1 is spread over the panel. Example: 1"""
    stage: Literal["expected", "counted"] | None = None
    """With noise: counted spreads the light of counted photons, as a scintillator does; expected
    spreads what is counted then. Left out: counted. Example: expected"""
    edges: Literal["kept", "lost"] | None = None
    """Light that passes an edge of the panel: kept spreads it over the panel with what goes beyond
    the radius, lost drops it. Left out: kept. Example: lost"""
