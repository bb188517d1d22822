"""Processor and wall time of what stands beside the kernel: reading an MTZ, drawing noise."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import gemmi
import numpy as np

from distbragg.kernel.finalize import draw_counts
from distbragg.kernel.native import available
from distbragg.read.structure_factors import read_structure_factors
from tools.evidence.bundle import Bundle, markdown_table

REFLECTIONS: Final = 1_000_000
READING_BAR_S: Final = 3.0
"""Wall time of reading so many reflections and expanding them to P1."""

SPACE_GROUPS: Final = ("P 1 21 1", "P 21 21 21", "P 43 21 2")
_CELL: Final = (120.0, 120.0, 140.0)
MEANS: Final = (1.0, 10.0, 1000.0)
NOISE_PIXELS: Final = 1 << 20
_NOISE_BLOCK: Final = 65_536


@dataclass(frozen=True, slots=True)
class Rate:
    """One kind of work, timed several times.

    Attributes
    ----------
    what : str
    wall, cpu : tuple of float, s
        Of every repeat; processor time of all threads.
    """

    what: str
    wall: tuple[float, ...]
    cpu: tuple[float, ...]

    def row(self) -> tuple[str, ...]:
        """Return medians and least times as a row of the table."""
        times = (self.wall, self.cpu)
        return (self.what, *(f"{pick(t):.3f}" for t in times for pick in (statistics.median, min)))


def write_bundle(root: Path, *, repeats: int = 9, reflections: int = REFLECTIONS) -> Path:
    """Measure and write a bundle under `root`; return its folder.

    Parameters
    ----------
    root : Path
    repeats : int
    reflections : int
        Of the MTZ files, each a list of unique reflections.
    """
    bundle = Bundle.create(root, "rates")
    with tempfile.TemporaryDirectory(prefix="distbragg-rates-") as scratch:
        rates = measure(Path(scratch), repeats, reflections)
    bundle.write_json("rates.json", [asdict(rate) for rate in rates])
    bundle.write_text("summary.md", _summary(rates, repeats, reflections))
    return bundle.path


def measure(scratch: Path, repeats: int, reflections: int) -> list[Rate]:
    """Time reading in several space groups, and noise of several means."""
    rates = []
    for number, name in enumerate(SPACE_GROUPS):
        path = scratch / f"{number}.mtz"
        write_unique(path, name, reflections)
        what = f"MTZ, {name}, {reflections:,} unique reflections, read and expanded to P1"
        rates.append(timed(what, repeats, lambda path=path: read_structure_factors(str(path))))  # type: ignore[misc]
    random, pixels = np.random.default_rng(0), np.arange(NOISE_PIXELS)
    for mean in MEANS:
        means = mean * random.uniform(0.99, 1.01, NOISE_PIXELS)
        what = f"photon noise, {NOISE_PIXELS:,} pixels of {mean:g} photons"
        rates.append(timed(what, repeats, lambda means=means: _draw(means, pixels)))  # type: ignore[misc]
    return rates


def timed(what: str, repeats: int, work: Callable[[], object]) -> Rate:
    """Do the work once uncounted, then so many times."""
    work()
    wall, cpu = [], []
    for _ in range(repeats):
        started = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - started[0])
        cpu.append(time.process_time() - started[1])
    return Rate(what, tuple(wall), tuple(cpu))


def write_unique(path: Path, spacegroup: str, count: int) -> None:
    """Write an MTZ file of the `count` unique reflections of largest spacing, |F| at random."""
    group = gemmi.SpaceGroup(spacegroup)
    order = len(list(group.operations()))
    # A sphere that surely holds so many; 1/d³ grows as the number of reflections.
    volume = float(np.prod(_CELL))
    dmin = (4.0 / 3.0 * np.pi * volume / (2.0 * order * count * 1.2)) ** (1.0 / 3.0)
    cell = gemmi.UnitCell(*_CELL, 90.0, 90.0, 90.0)
    indices = gemmi.make_miller_array(cell, group, dmin, 0.0, True)
    spacing = cell.calculate_d_array(indices)
    indices = indices[np.argsort(-spacing, kind="stable")[:count]]
    amplitude = np.random.default_rng(0).exponential(100.0, len(indices))
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = group
    mtz.set_cell_for_all(cell)
    mtz.add_dataset("synthetic")
    mtz.add_column("F", "F")
    mtz.set_data(np.column_stack([indices, amplitude]).astype(np.float32))
    mtz.write_to_file(str(path))


def _draw(means: np.ndarray, pixels: np.ndarray) -> None:
    for start in range(0, means.size, _NOISE_BLOCK):
        part = slice(start, start + _NOISE_BLOCK)
        draw_counts(means[part], pixels[part], seed=1, frame=2)


def _summary(rates: list[Rate], repeats: int, reflections: int) -> str:
    header = ("what", "wall, median (s)", "least", "CPU, median (s)", "least")
    slowest = max(statistics.median(rate.wall) for rate in rates[: len(SPACE_GROUPS)])
    judged = reflections >= REFLECTIONS
    verdict = "within" if slowest <= READING_BAR_S else "beyond"
    return (
        "# Beside the kernel\n\n"
        f"{markdown_table(header, [rate.row() for rate in rates])}\n\n"
        f"{repeats} repeats after one that is not counted; wall times hold what else the machine "
        f"did. Noise: {'native' if available() else 'tensors (no compiler)'}, one core."
        + (
            f"\n\nReading and expanding {reflections:,} reflections takes {slowest:.2f} s (median "
            f"of the slowest group): {verdict} the bar of {READING_BAR_S:g} s."
            if judged
            else ""
        )
    )
