"""Recover cell, orientation, spread and size of a crystal from one noisy still, in closed form.

A 1024 × 1024 still of a mosaic crystal is drawn with photon noise. The search starts a fraction
of a degree away, with a wrong cell, size, spread and scale, and refines all fourteen numbers at
once, by the gradient of `distbragg.render_tensor`. See `refine_orientation.md`.
"""

from __future__ import annotations

import argparse
import logging
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from distbragg.fit import Parameters, render_tensor
from distbragg.models.build import build_experiment
from distbragg.models.crystal import Reflections
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import frozen_float64
from distbragg.plan.frame import Tile
from distbragg.spec.load import parse_spec

logger = logging.getLogger("refine_orientation")

CELL = (27.07, 31.25, 33.76, 87.98, 108.0, 112.11)
"""The truth: triclinic lysozyme, Å and degrees."""

MISSET_DEG = (10.0, 20.0, 30.0)
CELLS = (20.0, 19.0, 18.0)
SPREAD_DEG = 0.2
BACKGROUND = 0.5
"""Photons beside the spots in each of 1024² pixels, taken as known."""

PIXELS = 1024
WIDTH_MM = 160.0
STEPS = 30
"""Of the descent."""

SHIFT = 1e-4
"""Step of the derivatives for the Fisher matrix, in `UNIT`."""

NAMES = (
    *("a", "b", "c", "alpha", "beta", "gamma"),
    *("turn x", "turn y", "turn z"),
    *("Na", "Nb", "Nc", "spread", "scale"),
)
UNIT = torch.tensor(
    [*(1e-3 * value for value in CELL), *(0.05,) * 3, *(0.1 * count for count in CELLS), 0.02, 0.1],
    dtype=torch.float64,
)
"""By about how much each of the numbers is wrong at first."""


@dataclass(frozen=True)
class Refined:
    """What was found, (14,) each in the order of `NAMES`, and what it took."""

    start: Tensor
    found: Tensor
    deviation: Tensor  # one standard deviation, from the Fisher matrix
    photons: int
    seconds: float


def make_experiment(
    pixels: int = PIXELS, method: str = "closed_form", domains: int | None = None
) -> Experiment:
    """Resolve the still of a crystal with known |F|."""
    mosaic = {"distribution": "gaussian", "spread_deg": SPREAD_DEG, "domains": domains}
    spec = parse_spec(
        {
            "beam": {
                "wavelength_angstrom": 1.0,
                "flux_photons_per_s": 1e12,
                "exposure_s": 0.1,
                "size_mm": 0.01,
            },
            "crystal": {
                "cell": CELL,
                "block_cells": CELLS,
                "illuminated_blocks": 1e6,
                "misset_deg": MISSET_DEG,
                "shape": "gauss",
                "mosaic": mosaic,
            },
            "structure_factors": {"default_f_electrons": 0.0, "interpolate": False},
            "detector": {
                "distance_mm": 100.0,
                "pixel_size_mm": WIDTH_MM / pixels,
                "pixels_fast": pixels,
                "pixels_slow": pixels,
            },
            "sampling": {"method": method, "oversample": "auto"},
        }
    )
    return build_experiment(spec, reflections=wilson_amplitudes())


def wilson_amplitudes(limit: int = 22) -> Reflections:
    """Draw |F| of an acentric crystal (Wilson's statistics) with a B factor of 20 Å²."""
    index = np.arange(-limit, limit + 1)
    lengths = np.array(CELL[:3])
    h, k, l = np.meshgrid(index, index, index, indexing="ij")  # noqa: E741 - Miller indices
    stol_squared = ((h / lengths[0]) ** 2 + (k / lengths[1]) ** 2 + (l / lengths[2]) ** 2) / 4.0
    intensity = np.random.default_rng(0).exponential(size=h.shape)
    amplitude = 100.0 * np.sqrt(intensity) * np.exp(-20.0 / 2.0 * stol_squared)
    return Reflections(frozen_float64(amplitude), (-limit, -limit, -limit), 0.0, False)


def true_numbers() -> Tensor:
    """Return the fourteen numbers that the still is drawn with."""
    numbers = [*CELL, 0.0, 0.0, 0.0, *CELLS, SPREAD_DEG, 1.0]
    return torch.tensor(numbers, dtype=torch.float64)


def first_guess(seed: int) -> Tensor:
    """Every cell parameter 0.3 % off, 0.25° off about a random axis, the rest 30 %."""
    generator = np.random.default_rng(seed)
    signs = torch.from_numpy(generator.choice([-1.0, 1.0], 14))
    axis = torch.from_numpy(generator.standard_normal(3))
    guess = true_numbers()
    guess[:6] *= 1.0 + 0.003 * signs[:6]
    guess[6:9] = 0.25 * axis / axis.norm()
    guess[9:] *= 1.0 + 0.3 * signs[9:]
    return guess


def expected(experiment: Experiment, numbers: Tensor) -> Tensor:
    """Return the photons that every pixel is expected to hold, (slow, fast)."""
    given = Parameters(
        cell=numbers[:6],
        misset_deg=numbers[6:9],
        cells=numbers[9:12],
        mosaic_spread_deg=numbers[12],
    )
    image = numbers[13] * render_tensor(experiment, given)
    return image + BACKGROUND * PIXELS**2 / image.numel()


def observe(experiment: Experiment, seed: int) -> Tensor:
    """Draw counts of the whole panel, (slow, fast)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.poisson(expected(experiment, true_numbers()), generator=generator)


def misfit(image: Tensor, counts: Tensor) -> Tensor:
    """Return minus the logarithm of the probability of Poisson counts, but for a constant."""
    return (image - counts * torch.log(image)).sum()


def descend(experiment: Experiment, counts: Tensor, start: Tensor) -> Tensor:
    """Follow the gradient of the misfit, in numbers of order 1; return the last numbers."""
    step = torch.zeros(len(start), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [step], max_iter=STEPS, max_eval=2 * STEPS, history_size=14, line_search_fn="strong_wolfe"
    )

    def numbers() -> Tensor:
        # Sizes, spread and scale stay positive.
        grown = start[9:] * torch.exp(UNIT[9:] / true_numbers()[9:] * step[9:])
        return torch.cat([start[:9] + UNIT[:9] * step[:9], grown])

    def closure() -> float:
        optimiser.zero_grad()
        value = misfit(expected(experiment, numbers()), counts)
        value.backward()
        return float(value.detach())

    optimiser.step(closure)
    return numbers().detach()


def newton_step(experiment: Experiment, counts: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Return the numbers after one step of Gauss and Newton, and their standard deviations.

    The Fisher matrix Σ ∂I ∂I / I is that of Poisson counts.
    """
    with torch.no_grad():
        image = expected(experiment, numbers).flatten()
        moved = [expected(experiment, numbers + row).flatten() for row in torch.diag(SHIFT * UNIT)]
        slopes = (torch.stack(moved) - image) / (SHIFT * UNIT)[:, None]
        covariance = torch.linalg.inv((slopes / image) @ slopes.T)
        step = covariance @ (slopes @ (counts.flatten() / image - 1.0))
    return numbers + step, covariance.diagonal().sqrt()


def refine(seed: int = 1, pixels: int = PIXELS) -> Refined:
    """Draw a still and refine it: down the gradient, then one step of Gauss and Newton."""
    began = time.process_time()
    experiment = make_experiment(pixels)
    counts, start = observe(experiment, seed), first_guess(seed)
    found, deviation = newton_step(experiment, counts, descend(experiment, counts, start))
    return Refined(start, found, deviation, int(counts.sum()), time.process_time() - began)


def seconds_of(method: str, tile: Tile, domains: int = 25) -> tuple[float, Tensor]:
    """Return the time of an image of a tile with its gradient by cell and spread, and the image."""
    experiment = make_experiment(method=method, domains=domains)
    numbers = true_numbers().requires_grad_()
    began = time.process_time()
    given = Parameters(cell=numbers[:6], misset_deg=numbers[6:9], mosaic_spread_deg=numbers[12])
    image = render_tensor(experiment, given, tile=tile)
    image.sum().backward()
    return time.process_time() - began, image.detach()


def compare(domains: int = 25) -> None:
    """Print what an image with its gradient takes by samples and in closed form."""
    tile = Tile(256, 320, 640, 704)
    seconds, smooth = seconds_of("closed_form", tile)
    logger.info("closed form        %6.2f s", seconds)
    seconds, image = seconds_of("sampled", tile, domains)
    off = 100.0 * float((image - smooth).abs().max() / smooth.max())
    text = "%4d random domains %6.2f s, off by up to %.0f %% of the maximum"
    logger.info(text, domains, seconds, off)


def main() -> None:
    """Refine a still, then set both renderers side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pixels", type=int, default=PIXELS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    logging.basicConfig(format="%(message)s")
    logger.setLevel(logging.INFO)
    result = refine(given.seed, given.pixels)
    logger.info("%d photons, %.1f s of processor time", result.photons, result.seconds)
    logger.info("          first guess      found   +/-        truth")
    rows = zip(NAMES, result.start, result.found, result.deviation, true_numbers(), strict=True)
    for name, *values in rows:
        logger.info("%-8s %11.4f %11.4f %8.4f %10.4f", name, *(float(value) for value in values))
    logger.info("\nAn image of 64 x 64 pixels with its gradient:")
    compare()


if __name__ == "__main__":
    main()
