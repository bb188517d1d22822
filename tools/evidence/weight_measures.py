"""Measurements of what the rule of weights promises, one row each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from distbragg.kernel import native
from distbragg.kernel.options import KernelOptions, Precision, cuda_available
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array
from tools.evidence.reproducibility import max_ulp
from tools.evidence.weighted import (
    RANDOM_CHANNELS,
    SourceTable,
    largest_relative,
    long_table,
    render_image,
    single_source_sum,
    small_scene,
    table_of,
    with_sources,
)

RELATIVE_BAR: Final = 1e-12
"""Relative error asked of float64 against the sum of single-source images."""

ULP_BAR: Final = 1
"""Distance asked of any chunking, in float32 ulp."""

WEIGHT_SETS: Final[dict[str, tuple[float, ...]]] = {
    "1.0, 0.2": (1.0, 0.2),
    "1e-6, 1, 1e6": (1e-6, 1.0, 1e6),
    "one source": (3.7,),
    "0, 2, 0, 1": (0.0, 2.0, 0.0, 1.0),
    "five equal": (0.3,) * 5,
    "1e-300, 3e-300": (1e-300, 3e-300),
}

CHUNK_SIZES: Final = (1, 2, 3, 5, 8, 13, 21)

_SIMPLE: Final[dict[str, object]] = {"sampling": {"oversample": 1}, "sensor": {}}


@dataclass(frozen=True, slots=True)
class OracleRow:
    """A weighted image against Σ_s render(s alone, Φ w_s/W)."""

    weights: str
    kernel: str
    sources: int
    relative: float


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """One chunking against the whole list in one chunk: float32 ulp, and relative in float64."""

    kernel: str
    precision: str
    chunk: int
    chunks: int
    ulp: int
    relative: float


@dataclass(frozen=True, slots=True)
class PropertyRow:
    """One invariance: what was changed, what it may change, what it changed."""

    name: str
    allowed: str
    measured: str
    holds: bool


def available_options(precision: Precision) -> tuple[KernelOptions, ...]:
    """Every kernel and device of this machine, the fastest on the CPU first."""
    found = [KernelOptions(precision, "model", "cpu", 1)]
    if native.available():
        found.insert(0, KernelOptions(precision, "native", "cpu", 1))
    if cuda_available():
        found.append(KernelOptions(precision, "model", "cuda", 1))
    return tuple(found)


def label(options: KernelOptions) -> str:
    """Name a kernel and its device."""
    return options.kernel if options.device == "cpu" else f"{options.kernel}, {options.device}"


def oracle_rows() -> Iterator[OracleRow]:
    """Compare weighted images with their sources rendered one by one, in float64."""
    for options in available_options("float64"):
        for name, weights in WEIGHT_SETS.items():
            yield _oracle(small_scene(), name, table_of(weights), options)
        # A thousand launches a pixel count little: one sample a pixel keeps this short.
        table = long_table(RANDOM_CHANNELS)
        yield _oracle(small_scene(changes=_SIMPLE), f"{table.count:,} random", table, options)


def _oracle(scene: Experiment, name: str, table: SourceTable, options: KernelOptions) -> OracleRow:
    found = render_image(with_sources(scene, table), options)
    expected = single_source_sum(scene, table, options)
    return OracleRow(name, label(options), table.count, largest_relative(found, expected))


def wide_table(count: int = 55) -> SourceTable:
    """Return sources whose weights span twelve orders of magnitude."""
    table = long_table(count)
    exponents = np.random.default_rng(12).uniform(-6.0, 6.0, count)
    return table.with_weight(10.0**exponents)


def chunk_rows() -> Iterator[ChunkRow]:
    """Render the same table cut in every way."""
    table = wide_table()
    lit = with_sources(small_scene(), table)
    precisions: tuple[Precision, ...] = ("mixed", "float64")
    for precision in precisions:
        for options in available_options(precision):
            whole = render_image(lit, options, table.count)
            for size in CHUNK_SIZES:
                image = render_image(lit, options, size)
                yield ChunkRow(
                    label(options),
                    precision,
                    size,
                    -(-table.count // size),
                    _ulp(whole, image),
                    largest_relative(image, whole),
                )


def _ulp(first: Float64Array, second: Float64Array) -> int:
    return max_ulp(first.astype(np.float32), second.astype(np.float32))


def property_rows() -> list[PropertyRow]:
    """Measure every invariance with the first kernel of this machine, in float64."""
    options = available_options("float64")[0]
    scene, table = small_scene(), long_table(23)

    def image(changed: SourceTable) -> Float64Array:
        return render_image(with_sources(scene, changed), options)

    plain = image(table)

    def relative(name: str, changed: SourceTable) -> PropertyRow:
        value = largest_relative(image(changed), plain)
        return PropertyRow(
            name, f"≤ {RELATIVE_BAR:.0e} relative", f"{value:.1e}", value <= RELATIVE_BAR
        )

    doubled = table.weight.copy()
    doubled[4] *= 2.0
    fourth = table.take(np.array([4]))
    twice = largest_relative(image(table.joined(fourth)), image(table.with_weight(doubled)))
    return [
        _power_of_two(table, image, plain),
        _any_factor(table, image, plain),
        relative("sources in another order", _shuffled(table)),
        relative("one source split 0.3 : 0.7", _split(table)),
        PropertyRow(
            "a source listed twice against its weight doubled",
            f"≤ {RELATIVE_BAR:.0e} relative",
            f"{twice:.1e}",
            twice <= RELATIVE_BAR,
        ),
        _zeros(table, image, plain),
        _merged(table, image, plain),
    ]


_Image = Callable[[SourceTable], Float64Array]


def _power_of_two(table: SourceTable, image: _Image, plain: Float64Array) -> PropertyRow:
    factors = [2.0**power for power in (-1000, -3, 7, 900)]
    changed = sum(
        int(np.count_nonzero(image(table.with_weight(table.weight * factor)) != plain))
        for factor in factors
    )
    name = "all weights times 2⁻¹⁰⁰⁰, 2⁻³, 2⁷, 2⁹⁰⁰"
    return PropertyRow(name, "no bit", f"{changed} pixels", changed == 0)


def _any_factor(table: SourceTable, image: _Image, plain: Float64Array) -> PropertyRow:
    factors = (0.3377, math.pi, 1e-9)
    ulp = max(_ulp(image(table.with_weight(table.weight * factor)), plain) for factor in factors)
    return PropertyRow(
        "all weights times 0.3377, π, 1e-9", f"≤ {ULP_BAR} ulp", f"{ulp} ulp", ulp <= ULP_BAR
    )


def _zeros(table: SourceTable, image: _Image, plain: Float64Array) -> PropertyRow:
    dark = long_table(5, seed=1).with_weight(np.zeros(5))
    changed = int(np.count_nonzero(image(table.joined(dark)) != plain))
    return PropertyRow(
        "five sources of weight 0 appended", "no bit", f"{changed} pixels", changed == 0
    )


def _merged(table: SourceTable, image: _Image, plain: Float64Array) -> PropertyRow:
    parts = [table.take(np.arange(0, 9)), table.take(np.arange(9, table.count))]
    weights = [math.fsum(part.weight.tolist()) for part in parts]
    merged = (weights[0] * image(parts[0]) + weights[1] * image(parts[1])) / math.fsum(weights)
    value = largest_relative(merged, plain)
    return PropertyRow(
        "two renders of parts of the list, merged by their Σw",
        f"≤ {RELATIVE_BAR:.0e} relative",
        f"{value:.1e}",
        value <= RELATIVE_BAR,
    )


def _shuffled(table: SourceTable) -> SourceTable:
    return table.take(np.random.default_rng(3).permutation(table.count))


def _split(table: SourceTable) -> SourceTable:
    weight = table.weight.copy()
    weight[4] *= 0.3
    rest = table.take(np.array([4])).with_weight(table.weight[4:5] * 0.7)
    return table.with_weight(weight).joined(rest)
