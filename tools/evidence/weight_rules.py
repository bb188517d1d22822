"""One image under every normalisation that this family of programs has used."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from distbragg.kernel.options import KernelOptions
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array
from tools.evidence.weighted import (
    SourceTable,
    largest_relative,
    lit_alone,
    render_image,
    with_sources,
)

CHUNK: Final = 4
"""Sources of a chunk where chunks are normalised one by one."""


@dataclass(frozen=True, slots=True)
class RuleImage:
    """The scene's image under one rule.

    Attributes
    ----------
    name : str
        Short name, also the figure's label.
    formula : str
    used_by : str
        Which program, and when.
    image : (slow, fast) float64
    """

    name: str
    formula: str
    used_by: str
    image: Float64Array


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules, and how far the rendered images are from the formulas.

    Attributes
    ----------
    images : tuple of RuleImage
        `sum`, the right one, first.
    rendered_sum, rendered_count : float
        Largest relative difference of the images rendered under `weighting: sum` and
        `weighting: count` from the same rules applied to single-source images.
    """

    images: tuple[RuleImage, ...]
    rendered_sum: float
    rendered_count: float


def rule_set(experiment: Experiment, table: SourceTable, options: KernelOptions) -> RuleSet:
    """Render every source alone and combine the images under each rule."""
    alone = np.stack(list(lit_alone(experiment, table, options)))
    nominal = SourceTable(
        table.direction, np.full(table.count, experiment.beam.wavelength), table.weight
    )
    without_wavelength = np.stack(list(lit_alone(experiment, nominal, options)))
    weight, count = table.weight, table.count
    total = float(weight.sum())
    weighted = np.einsum("s,sij->ij", weight, alone)
    right = weighted / total
    first = render_image(with_sources(first_polarization(experiment), table, "sum"), options)
    images = (
        RuleImage("sum", "Σ w I / Σ w", "distbragg, `weighting: sum`", right),
        RuleImage(
            "count",
            "Σ I / N",
            "nanoBragg.c; distbragg, `weighting: count`",
            alone.sum(axis=0) / count,
        ),
        RuleImage("weights over count", "Σ w I / N", "PyTorch port, 2025-09-30", weighted / count),
        RuleImage(
            "count, no wavelengths",
            "Σ I(λ₀) / N",
            "PyTorch port, 2025-10-09",
            without_wavelength.sum(axis=0) / count,
        ),
        RuleImage("weights sum to N", "N Σ w I / Σ w", "simtbx, list of beams", right * count),
        RuleImage(
            "divided twice", "Σ w I / (N Σ w)", "diffBragg after update of beams", right / count
        ),
        RuleImage(
            "each chunk by itself",
            f"mean over chunks of {CHUNK} of Σ w I / Σ w",
            "any renderer that normalises parts",
            _chunk_means(alone, weight),
        ),
        RuleImage(
            "first polarisation", "P₁ Σ w I' / Σ w", "nanoBragg.c with its weights used", first
        ),
    )
    rendered = render_image(with_sources(experiment, table, "sum"), options)
    counted = render_image(with_sources(experiment, table, "count"), options)
    return RuleSet(
        images, largest_relative(rendered, right), largest_relative(counted, images[1].image)
    )


def first_polarization(experiment: Experiment) -> Experiment:
    """Return the experiment with the C program's polarisation: the first source's for all.

    The scene has one layer and one sub-pixel and no background, so nothing else changes.
    """
    sampling = dataclasses.replace(experiment.sampling, per_sample_polarization=False)
    return dataclasses.replace(experiment, physics="nanobragg", sampling=sampling)


def _chunk_means(alone: Float64Array, weight: Float64Array) -> Float64Array:
    means = [
        np.einsum("s,sij->ij", weight[start : start + CHUNK], alone[start : start + CHUNK])
        / weight[start : start + CHUNK].sum()
        for start in range(0, weight.size, CHUNK)
    ]
    mean: Float64Array = np.mean(means, axis=0)
    return mean


@dataclass(frozen=True, slots=True)
class RuleRow:
    """Ratio of a rule's image to the right one.

    Attributes
    ----------
    name, formula, used_by : str
    total : float
        Ratio of the summed images.
    low, high : float
        1st and 99th percentile of the ratio over pixels above 1e-4 of the maximum.
    correlation : float
    """

    name: str
    formula: str
    used_by: str
    total: float
    low: float
    high: float
    correlation: float


BRIGHT: Final = 1e-4
"""Share of the maximum above which a pixel's ratio is counted."""


def rule_rows(images: Sequence[RuleImage]) -> list[RuleRow]:
    """Compare every rule with the first."""
    right = images[0].image
    bright = right > BRIGHT * right.max()
    rows: list[RuleRow] = []
    for rule in images:
        ratio = rule.image[bright] / right[bright]
        low, high = np.percentile(ratio, [1.0, 99.0]).tolist()
        rows.append(
            RuleRow(
                rule.name,
                rule.formula,
                rule.used_by,
                float(rule.image.sum() / right.sum()),
                low,
                high,
                correlation(rule.image, right),
            )
        )
    return rows


def correlation(first: Float64Array, second: Float64Array) -> float:
    """Pearson correlation of two images; NaN where one is flat."""
    if np.ptp(first) == 0.0 or np.ptp(second) == 0.0:
        return float("nan")
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])
