"""Draw the figure of `docs/explanation/physics/point-spread.md`.

python -m tools.figures.point_spread
"""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from distbragg.kernel.point_spread import spread_panel
from distbragg.models.point_spread import PointSpread, SpreadKind
from tools.figures.drawing import save

WIDTH: Final = 1.5  # pixels, full at half maximum
REACH: Final = 24
EDGE: Final = 61
SPOT: Final = (1.0, 2.2)  # standard deviations, slow and fast, pixels
PHOTONS: Final = 1e5
LEVEL: Final = 0.3


def spread_of(kind: SpreadKind, radius: int) -> PointSpread:
    """Return a point spread of the figure's width."""
    return PointSpread(kind, WIDTH, radius, np.empty((0, 0)), counted=True, edges_lost=True)


def profile(kind: SpreadKind) -> np.ndarray:
    """Shares of a photon along a row, to the right of its pixel."""
    photons = np.zeros((2 * REACH + 1, 2 * REACH + 1))
    photons[REACH, REACH] = 1.0
    return spread_panel(photons, spread_of(kind, REACH))[REACH, REACH:]


def spot() -> np.ndarray:
    """Photons of a spot on an even level."""
    slow, fast = np.mgrid[:EDGE, :EDGE] - EDGE // 2
    shape = np.exp(-0.5 * ((slow / SPOT[0]) ** 2 + (fast / SPOT[1]) ** 2))
    return np.asarray(LEVEL + PHOTONS * shape / shape.sum())


def main() -> None:
    """Draw the profiles and the spot."""
    figure = Figure(figsize=(10.5, 3.6), layout="constrained")
    left, before, behind = figure.subplots(1, 3, width_ratios=[1.25, 1, 1])
    distance = np.arange(REACH + 1)
    kinds: tuple[SpreadKind, ...] = ("gauss", "fibre")
    for kind in kinds:
        left.semilogy(distance, profile(kind), "o-", markersize=3, label=kind)
    left.set_ylim(1e-8, 1.0)
    left.set_xlabel("pixels from the photon's own")
    left.set_ylabel("share of the photon")
    left.legend(frameon=False)
    photons = spot()
    recorded = spread_panel(photons, spread_of("fibre", REACH))
    norm = LogNorm(LEVEL, photons.max())
    for axis, image, title in (
        (before, photons, "a spot"),
        (behind, recorded, "recorded behind a fibre"),
    ):
        shown = axis.imshow(image, cmap="magma", norm=norm)
        axis.set_title(title, fontsize=9)
        axis.set_axis_off()
    figure.colorbar(shown, ax=[before, behind], shrink=0.85, label="photons per pixel")
    save(figure, "point-spread")


if __name__ == "__main__":
    main()
