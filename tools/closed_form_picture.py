"""`python -m tools.closed_form_picture`: samples beside the closed form, for the page on it.

The same patch of one frame from 25, 400 and 6,000 domains and in closed form, with the time of each
on one core.
"""

from __future__ import annotations

import io
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from distbragg.run.bench import make_inputs
from tools.bench.frames import prepare_frame

TARGET: Final = Path("docs/images/closed-form.png")
DOMAINS: Final = (25, 400, 6000)
FIRST_FAST, FIRST_SLOW, EDGE = 760, 280, 120
"""The patch: spots about 2.5 Å."""

LINES: Final = 51
BANDWIDTH_PERCENT: Final = 1.0
REPEATS: Final = 2
DISPLAY_GAMMA: Final = 0.5
DOTS_PER_INCH: Final = 100
SHADES: Final = 128


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch (slow, fast), photons a pixel, with what made it and the seconds that took."""

    name: str
    image: NDArray[np.float64]
    seconds: float


def experiment(inputs: Path) -> dict[str, Any]:
    """Return the frame's specification, as plain data."""
    away = np.linspace(-3.0, 3.0, LINES)  # standard deviations of the wavelength
    wavelengths = 1.0 + away * BANDWIDTH_PERCENT / 100.0
    return {
        "beam": {
            "fluence_photons_per_m2": 1e24,
            "spectrum": {
                "wavelengths_angstrom": wavelengths.tolist(),
                "weights": np.exp(-0.5 * away**2).tolist(),
            },
        },
        "crystal": {
            "cell": [79.1, 79.1, 38.0, 90.0, 90.0, 90.0],
            "shape": "gauss",
            "block_cells": [30, 30, 60],
            "misset_deg": [10.0, 20.0, 30.0],
            "mosaic": {"spread_deg": 0.3, "distribution": "gaussian"},
        },
        "structure_factors": {"file": str(inputs)},
        "detector": {
            "distance_mm": 150.0,
            "pixel_size_mm": 0.172,
            "pixels_fast": 1024,
            "pixels_slow": 1024,
            "roi": [FIRST_FAST, FIRST_FAST + EDGE - 1, FIRST_SLOW, FIRST_SLOW + EDGE - 1],
        },
    }


def render_patches() -> list[Patch]:
    """Render the patch from every number of domains and in closed form."""
    with tempfile.TemporaryDirectory(prefix="distbragg-") as folder:
        plain = experiment(make_inputs(Path(folder)))
        patches = [
            _patch(f"{count:,} domains", plain, {"method": "sampled", "oversample": 1}, count)
            for count in DOMAINS
        ]
        return [*patches, _patch("closed form", plain, {"method": "closed_form"}, 1)]


def _patch(name: str, plain: dict[str, Any], sampling: dict[str, Any], domains: int) -> Patch:
    mosaic = {**plain["crystal"]["mosaic"], "domains": domains}
    changed = {"crystal": {**plain["crystal"], "mosaic": mosaic}, "sampling": sampling}
    frame = prepare_frame({**plain, **changed})
    seconds = min(frame.render().process for _ in range(REPEATS))
    rows = slice(FIRST_SLOW, FIRST_SLOW + EDGE)
    image = frame.image[0, rows, FIRST_FAST : FIRST_FAST + EDGE]
    return Patch(name, image.astype(np.float64), seconds)


def draw(target: Path, patches: list[Patch]) -> None:
    """Draw the patches in a row, one scale of grey for all, as a PNG of few colours."""
    figure = Figure(figsize=(10.0, 3.1), dpi=DOTS_PER_INCH, layout="constrained")
    # The scale of the closed form: brighter pixels of the samples are black.
    norm = PowerNorm(DISPLAY_GAMMA, vmin=0.0, vmax=float(patches[-1].image.max()), clip=True)
    places: list[Axes] = list(np.ravel(figure.subplots(1, len(patches))))
    for axes, patch in zip(places, patches, strict=True):
        axes.imshow(patch.image, norm=norm, cmap="gray_r", interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(patch.name)
        axes.set_xlabel(f"{patch.seconds:.2g} s on one core")
    FigureCanvasAgg(figure)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    picture = Image.open(drawn).convert("L").quantize(SHADES)
    picture.save(target, optimize=True)


def main() -> int:
    """Draw the picture of docs/explanation/closed-form.md anew."""
    patches = render_patches()
    draw(TARGET, patches)
    for patch in patches:
        brightest = patch.image.max() / patches[-1].image.max()
        sys.stdout.write(
            f"{patch.name}: {patch.seconds:.3f} s, {patch.image.sum():.4g} photons, brightest "
            f"pixel {brightest:.2f} of the closed form's\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
