"""Recover a crystal's cell and orientation from one still by gradient descent, coarse to fine.

A still of a triclinic crystal is rendered with photon noise by the ordinary kernel. The search
starts 0.5° and 0.5 % away and follows the gradient of `distbragg.fit.render_tensor` for six
cell parameters and three rotations at once. See `refine_by_samples.md`.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from distbragg.fit import Parameters, parameters_of, render_tensor
from distbragg.fit.orientation import cell_vectors, misorientation_deg
from distbragg.kernel.finalize import finalize_tile
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import render_tile
from distbragg.models.build import build_experiment
from distbragg.models.crystal import Reflections
from distbragg.models.experiment import Experiment
from distbragg.models.rotations import misset_angles
from distbragg.models.vectors import frozen_float64, rotate_xyz, rotation_about, unit
from distbragg.plan.frame import SourceChunk, Tile
from distbragg.spec.load import parse_spec

logger = logging.getLogger("refine_by_samples")

CELL = (27.07, 31.25, 33.76, 87.98, 108.0, 112.11)
"""The truth: triclinic lysozyme, Å and degrees."""

MISSET_DEG = (10.0, 20.0, 30.0)
CELLS = (20, 19, 18)
ERROR_SHARE = 0.005
ERROR_DEG = 0.5
STAGES = (0.2, 0.35, 0.6, 1.0)
"""Size of the model crystal in each stage, as a share of the real one."""

PIXELS = 256
PIXEL_MM = 40.0 / PIXELS
DISTANCE_MM = 40.0
WAVELENGTH_ANGSTROM = 1.0
LOBE_SIGMA = 0.37
"""Standard deviation of the Gaussian as wide as the main lobe of (sin πNδ/sin πδ)², times N."""


@dataclass(frozen=True)
class Refined:
    """How far the found crystal is from the truth, and what finding it took."""

    start_rotation_deg: float
    start_cell_percent: float
    rotation_deg: float
    cell_percent: float
    evaluations: int
    seconds: float


def make_experiment(
    cell: tuple[float, ...], misset_deg: tuple[float, ...], seed: int
) -> Experiment:
    """Resolve the still of a crystal with known |F|."""
    spec = parse_spec(
        {
            "beam": {
                "wavelength_angstrom": WAVELENGTH_ANGSTROM,
                "flux_photons_per_s": 1e12,
                "exposure_s": 0.01,
                "size_mm": 0.01,
            },
            "crystal": {
                "cell": cell,
                "block_cells": CELLS,
                "illuminated_blocks": 1.1e6,
                "misset_deg": misset_deg,
            },
            "structure_factors": {"default_f_electrons": 1.0, "interpolate": False},
            "detector": {
                "distance_mm": DISTANCE_MM,
                "pixel_size_mm": PIXEL_MM,
                "pixels_fast": PIXELS,
                "pixels_slow": PIXELS,
            },
            "sampling": {"oversample": 1},
            "noise": {"photon": True, "seed": seed},
        }
    )
    return build_experiment(spec, reflections=wilson_amplitudes())


def wilson_amplitudes(limit: int = 25) -> Reflections:
    """Draw |F| of an acentric crystal (Wilson's statistics) with a B factor of 20 Å²."""
    index = np.arange(-limit, limit + 1)
    lengths = np.array(CELL[:3])
    h, k, l = np.meshgrid(index, index, index, indexing="ij")  # noqa: E741 - Miller indices
    stol_squared = ((h / lengths[0]) ** 2 + (k / lengths[1]) ** 2 + (l / lengths[2]) ** 2) / 4.0
    intensity = np.random.default_rng(0).exponential(size=h.shape)
    amplitude = 100.0 * np.sqrt(intensity) * np.exp(-20.0 / 2.0 * stol_squared)
    return Reflections(frozen_float64(amplitude), (-limit, -limit, -limit), 0.0, False)


def observe(experiment: Experiment) -> Tensor:
    """Render counts of the whole panel with the ordinary kernel, (slow, fast)."""
    tile = Tile(0, PIXELS, 0, PIXELS)
    options = KernelOptions("float64", "model", "cpu", 1)
    numerator = render_tile(experiment, 0, tile, SourceChunk(0, 1), options)
    counts = finalize_tile(experiment, 0, tile, numerator, frame=0)
    return torch.from_numpy(counts).reshape(tile.shape)


def first_guess(seed: int) -> Experiment:
    """Every cell parameter 0.5 % off, up or down, and 0.5° off about a random axis."""
    generator = np.random.default_rng(seed)
    signs = generator.choice([-1.0, 1.0], 6)
    cell = tuple(
        value * (1.0 + ERROR_SHARE * sign) for value, sign in zip(CELL, signs, strict=True)
    )
    x, y, z = generator.standard_normal(3)
    turn = rotation_about(unit((float(x), float(y), float(z))), math.radians(ERROR_DEG))
    alpha, beta, gamma = (math.radians(angle) for angle in MISSET_DEG)
    axes = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    misset = np.array([rotate_xyz(axis, (alpha, beta, gamma)) for axis in axes]).T
    angles = misset_angles(turn @ misset)
    return make_experiment(cell, tuple(math.degrees(angle) for angle in angles), seed)


def blur(image: Tensor, sigma: float) -> Tensor:
    """Convolve with a Gaussian of `sigma` pixels."""
    if sigma == 0.0:
        return image
    reach = math.ceil(4.0 * sigma)
    place = torch.arange(-reach, reach + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (place / sigma) ** 2)
    kernel = kernel / kernel.sum()
    wide = torch.nn.functional.conv2d(
        image[None, None], kernel[None, None, :, None], padding=(reach, 0)
    )
    return torch.nn.functional.conv2d(wide, kernel[None, None, None, :], padding=(0, reach))[0, 0]


def blur_of(share: float) -> float:
    """Pixels by which spots must be blurred to be as wide as those of a smaller crystal."""
    cells, edge = sum(CELLS) / 3.0, sum(CELL[:3]) / 3.0
    index = LOBE_SIGMA / cells * math.sqrt(1.0 / share**2 - 1.0)
    return index / edge * WAVELENGTH_ANGSTROM * DISTANCE_MM / PIXEL_MM


def misfit(model: Tensor, target: Tensor) -> Tensor:
    """1 − cos² of the angle between the images' square roots, which Poisson noise blurs evenly.

    The images are brought to one scale first: a smaller crystal scatters less.
    """
    scale = ((model * target).sum() / (model * model).sum()).detach()
    floor = 1e-3 * target.max()
    first = torch.sqrt(model * scale + floor) - torch.sqrt(floor)
    second = torch.sqrt(target + floor) - torch.sqrt(floor)
    return 1.0 - (first * second).sum() ** 2 / ((first**2).sum() * (second**2).sum())


class Search:
    """Nine numbers of order 1: errors of the cell in 0.5 % and of the orientation in 0.5°."""

    def __init__(self, guess: Experiment, truth: Experiment, counts: Tensor) -> None:
        cell = parameters_of(guess).cell
        if cell is None:
            raise ValueError("the guess has no cell")
        self.guess, self.truth, self.counts, self.cell = guess, truth, counts, cell
        self.step = torch.zeros(9, dtype=torch.float64, requires_grad=True)
        self.evaluations = 0

    def parameters(self, step: Tensor, share: float = 1.0) -> Parameters:
        """Return the parameters that a step stands for."""
        return Parameters(
            cell=self.cell * (1.0 + ERROR_SHARE * step[:6]),
            misset_deg=ERROR_DEG * step[6:],
            cells=share * torch.tensor(CELLS, dtype=torch.float64),
        )

    def descend(self, share: float) -> float:
        """Minimise the misfit of a crystal of a share of the size; return the last misfit."""
        target = blur(self.counts, blur_of(share))
        optimiser = torch.optim.LBFGS(
            [self.step], max_iter=40, history_size=12, line_search_fn="strong_wolfe"
        )

        def closure() -> float:
            optimiser.zero_grad()
            self.evaluations += 1
            value = misfit(render_tensor(self.guess, self.parameters(self.step, share)), target)
            value.backward()
            return float(value.detach())

        optimiser.step(closure)
        return closure()

    def errors(self) -> tuple[float, float]:
        """Angle to the true orientation (degrees), and the largest error of the cell (%)."""
        now = self.parameters(self.step.detach())
        real = cell_vectors(self.guess, now, torch.device("cpu")).numpy()
        cell = self.cell.numpy() * (1.0 + ERROR_SHARE * self.step.detach().numpy()[:6])
        angle = misorientation_deg(self.truth.crystal.real_space, real)
        return angle, 100.0 * float(np.abs(cell / CELL - 1.0).max())


def refine(seed: int = 1, stages: tuple[float, ...] = STAGES) -> Refined:
    """Run the whole example; `seed` draws the noise and the error of the first guess."""
    began = time.monotonic()
    observed = make_experiment(CELL, MISSET_DEG, seed)
    counts = observe(observed)
    search = Search(first_guess(seed), observed, counts)
    start = search.errors()
    logger.info("%d photons, %d in the brightest pixel", int(counts.sum()), int(counts.max()))
    logger.info("start          %7.4f deg %8.4f %%", *start)
    for share in stages:
        value = search.descend(share)
        logger.info(
            "%3.0f %% of cells %7.4f deg %8.4f %%   misfit %.4f",
            100.0 * share,
            *search.errors(),
            value,
        )
    return Refined(*start, *search.errors(), search.evaluations, time.monotonic() - began)


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    logger.setLevel(logging.INFO)
    result = refine()
    logger.info("%d evaluations in %.1f s", result.evaluations, result.seconds)
