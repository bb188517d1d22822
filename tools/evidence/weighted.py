"""Weighted source tables and the images they make: what the evidence on weights is built of."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from distbragg.kernel.options import KernelOptions
from distbragg.models.beam import WeightRule
from distbragg.models.build import build_experiment
from distbragg.models.build_beam import make_sources
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array
from distbragg.plan.frame import plan_frame
from distbragg.rendering.frame import render_frame
from distbragg.spec.compute import ComputeSpec
from distbragg.spec.load import parse_spec

RANDOM_CHANNELS: Final = 2_000
"""Channels of the long spectrum."""

_DETECTOR_MM: Final = 76.8
"""Length of the detector along its slow axis."""


@dataclass(frozen=True, slots=True)
class SourceTable:
    """Sources as a user lists them, zero weights included.

    Attributes
    ----------
    direction : (sources, 3) float64
        Unit vectors towards the sources.
    wavelength : (sources,) float64, Å
    weight : (sources,) float64
    """

    direction: Float64Array
    wavelength: Float64Array
    weight: Float64Array

    @property
    def count(self) -> int:
        """Number of listed sources."""
        return int(self.weight.shape[0])

    def take(self, places: NDArray[np.intp]) -> SourceTable:
        """Return the sources at `places`, in that order."""
        return SourceTable(self.direction[places], self.wavelength[places], self.weight[places])

    def with_weight(self, weight: Float64Array) -> SourceTable:
        """Return the same sources with other weights."""
        return SourceTable(self.direction, self.wavelength, weight)

    def joined(self, other: SourceTable) -> SourceTable:
        """Return both lists as one."""
        return SourceTable(
            np.concatenate([self.direction, other.direction]),
            np.concatenate([self.wavelength, other.wavelength]),
            np.concatenate([self.weight, other.weight]),
        )


def pink_beam(pixels: tuple[int, int] = (216, 224)) -> tuple[Experiment, SourceTable]:
    """Return the scene of the figures: two directions × 25 wavelengths of a lopsided spectrum.

    The two directions lie 100 mrad (5.7°) apart, far more than a real beam has: the effect
    of polarisation is then visible in a picture. Kahn factor 1.

    Parameters
    ----------
    pixels : (int, int)
        Pixels (slow, fast); the detector keeps its size.
    """
    lines = np.linspace(0.96, 1.04, 25)
    strong = np.exp(-(((lines - 0.98) / 0.008) ** 2))
    weights = strong + 0.25 * np.exp(-(((lines - 1.025) / 0.005) ** 2)) + 1e-3
    table = SourceTable(
        np.repeat(_fan(2, 0.1), lines.size, axis=0),
        np.tile(lines, 2),
        np.concatenate([weights, 0.4 * weights]),
    )
    crystal = {
        "cell": [15.0, 19.0, 22.0, 80.0, 95.0, 105.0],
        "block_cells": [9, 7, 6],
        "misset_deg": [10.0, 20.0, 30.0],
        "shape": "round",
        "mosaic": {"spread_deg": 0.6, "domains": 12},
    }
    return _scene(pixels, {"crystal": crystal}), table


def long_table(count: int, *, seed: int = 20_251_009) -> SourceTable:
    """Return `count` sources of random weight (0 to 1), wavelength (±5 %) and direction."""
    generator = np.random.default_rng(seed)
    fan = _fan(count, 0.05)
    return SourceTable(
        fan[generator.permutation(count)],
        generator.uniform(0.95, 1.05, count),
        generator.uniform(0.0, 1.0, count),
    )


def table_of(weights: tuple[float, ...]) -> SourceTable:
    """Return sources of the given weights, 0.97 to 1.03 Å and spread over 50 mrad."""
    count = len(weights)
    return SourceTable(
        _fan(count, 0.05), np.linspace(0.97, 1.03, count), np.array(weights, dtype=np.float64)
    )


def small_scene(
    physics: Literal["exact", "nanobragg"] = "exact", changes: Mapping[str, object] | None = None
) -> Experiment:
    """Return a small scene with every correction on: layers, water, sub-pixels, polarisation.

    Parameters
    ----------
    physics : {"exact", "nanobragg"}
    changes : mapping, optional
        Sections of the specification to replace, for instance `{"background": {}}`; `sensor`
        is that of the detector.
    """
    corrections = {
        "physics": physics,
        "background": {"water_um": 0.02},
        "sampling": {"oversample": 2},
        "sensor": {"thickness_um": 320.0, "attenuation_length_um": 250.0, "layers": 2},
    }
    return _scene((11, 13), {**corrections, **(changes or {})})


def _fan(count: int, angle: float) -> Float64Array:
    """Directions in a plane that holds neither the polarisation axis nor its normal."""
    angles = np.linspace(-angle / 2.0, angle / 2.0, count) if count > 1 else np.zeros(1)
    across = np.array([0.0, 0.8, 0.6])
    upstream = np.array([-1.0, 0.0, 0.0])
    fan: Float64Array = np.cos(angles)[:, None] * upstream + np.sin(angles)[:, None] * across
    return fan


def _scene(pixels: tuple[int, int], changes: Mapping[str, object]) -> Experiment:
    plain: dict[str, object] = {
        "beam": {
            "wavelength_angstrom": 1.0,
            "polarization": {"kahn_factor": 1.0},
            "fluence_photons_per_m2": 1e24,
        },
        "crystal": {
            "cell": [40.0, 52.0, 61.0, 80.0, 95.0, 105.0],
            "block_cells": [12, 10, 9],
            "misset_deg": [10.0, 20.0, 30.0],
            "mosaic": {"spread_deg": 0.3, "domains": 4},
        },
        "structure_factors": {"default_f_electrons": 100.0},
        "detector": {
            "pixels_slow": pixels[0],
            "pixels_fast": pixels[1],
            "pixel_size_mm": _DETECTOR_MM / pixels[0],
            "distance_mm": 60.0,
            "sensor": changes.get("sensor", {}),
        },
        "sampling": {"oversample": 1},
        "noise": {"photon": False},
    }
    sections = {name: value for name, value in changes.items() if name != "sensor"}
    return build_experiment(parse_spec({**plain, **sections}, source="evidence"))


def with_sources(
    experiment: Experiment,
    table: SourceTable,
    rule: WeightRule = "sum",
    *,
    fluence: float | None = None,
) -> Experiment:
    """Return the experiment lit by other sources, made by the function that makes all tables."""
    sources = make_sources(table.direction, table.wavelength, table.weight, rule)
    beam = dataclasses.replace(
        experiment.beam,
        sources=sources,
        fluence=experiment.beam.fluence if fluence is None else fluence,
    )
    return dataclasses.replace(experiment, beam=beam)


def render_image(
    experiment: Experiment, options: KernelOptions, source_chunk: int | Literal["auto"] = "auto"
) -> Float64Array:
    """Render one frame by the path of every run: plan, partial sums, merge tree, finalize.

    Returns
    -------
    (slow, fast) float64
        Photons per pixel of the first panel.
    """
    compute = ComputeSpec(precision=options.precision, source_chunk=source_chunk)
    image: Float64Array = render_frame(experiment, plan_frame(experiment, compute), options)[0]
    return image


def lit_alone(
    experiment: Experiment, table: SourceTable, options: KernelOptions
) -> Iterator[Float64Array]:
    """Yield the image each source makes alone at the whole fluence, in order."""
    for place in range(table.count):
        one = table.take(np.array([place])).with_weight(np.ones(1))
        yield render_image(with_sources(experiment, one), options)


def single_source_sum(
    experiment: Experiment, table: SourceTable, options: KernelOptions
) -> Float64Array:
    """Return Σ_s render(source s alone, fluence Φ·w_s/W): the oracle of the rule.

    The sum over sources is exactly rounded (`math.fsum`) in every pixel. Sources of weight
    zero would be lit by nothing and are left out.
    """
    total = math.fsum(table.weight.tolist())
    images: list[Float64Array] = []
    for place in np.flatnonzero(table.weight > 0.0).tolist():
        one = table.take(np.array([place])).with_weight(np.ones(1))
        share = float(table.weight[place]) / total
        lit = with_sources(experiment, one, fluence=experiment.beam.fluence * share)
        images.append(render_image(lit, options))
    stack = np.stack(images).reshape(len(images), -1)
    summed = np.array([math.fsum(column) for column in stack.T.tolist()])
    return summed.reshape(images[0].shape)


def largest_relative(found: Float64Array, expected: Float64Array) -> float:
    """Largest relative difference over the pixels that are not 0 in both images."""
    difference = np.abs(found - expected)
    lit = difference > 0.0
    scale = np.maximum(np.abs(found), np.abs(expected))
    return float((difference[lit] / scale[lit]).max(initial=0.0))
