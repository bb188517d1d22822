"""What point spread costs: whole panels on one core, beside the times known of simtbx."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import numpy as np

from distbragg.kernel import native
from distbragg.kernel.point_spread import spread_panel
from distbragg.models.point_spread import PointSpread, SpreadKind
from tools.bench.pairs import Spread
from tools.evidence.bundle import markdown_table

BAR_S: Final = 0.3
"""2048² pixels, a fibre of radius 10, one core."""

KNOWN: Final = "simtbx (CPU time): 8.1 s at radius 10; 67 s at its default, an automatic radius"
LEVEL: Final = 5.0  # photons a pixel
WIDTH: Final = 1.5


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured."""

    edges: tuple[int, ...] = (2048, 3840)
    repeats: int = 9


QUICK: Final = Extent(edges=(128,), repeats=1)
CASES: Final[tuple[tuple[SpreadKind, int], ...]] = (
    ("gauss", 6),
    ("gauss", 10),
    ("fibre", 5),
    ("fibre", 10),
    ("fibre", 20),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One kind of point spread on one size of panel, s."""

    edge: int
    kind: SpreadKind
    radius: int
    process: Spread
    wall: Spread

    def plain(self) -> dict[str, object]:
        """Return as JSON-able data."""
        return {
            "edge": self.edge,
            "kind": self.kind,
            "radius_px": self.radius,
            "process_s": self.process.plain(),
            "wall_s": self.wall.plain(),
        }


def measure(extent: Extent) -> list[Measured]:
    """Spread counts of float32 on one core, all cases in turns."""
    random = np.random.default_rng(1)
    found = []
    for edge in extent.edges:
        photons = random.poisson(LEVEL, (edge, edge)).astype(np.float32)
        process: dict[tuple[SpreadKind, int], list[float]] = {case: [] for case in CASES}
        wall: dict[tuple[SpreadKind, int], list[float]] = {case: [] for case in CASES}
        for _ in range(extent.repeats):
            for case in CASES:
                started, begun = time.process_time(), time.perf_counter()
                spread_panel(photons, _spread(*case), threads=1)
                process[case].append(time.process_time() - started)
                wall[case].append(time.perf_counter() - begun)
        found += [
            Measured(edge, *case, Spread.of(process[case]), Spread.of(wall[case])) for case in CASES
        ]
    return found


def _spread(kind: SpreadKind, radius: int) -> PointSpread:
    return PointSpread(kind, WIDTH, radius, np.empty((0, 0)), counted=True, edges_lost=False)


def summary(found: list[Measured]) -> str:
    """Return the page of a bundle."""
    rows = [
        (f"{one.edge}²", one.kind, str(one.radius), one.process.text(), one.wall.text())
        for one in found
    ]
    table = markdown_table(("pixels", "kind", "radius", "process time, s", "wall time, s"), rows)
    barred = [one for one in found if (one.edge, one.kind, one.radius) == (2048, "fibre", 10)]
    said = [
        f"2048², fibre of radius 10: {one.process.text()} s; bar {BAR_S} s: "
        f"{'reached' if one.process.median <= BAR_S else 'missed'}. {KNOWN}."
        for one in barred
    ]
    return "\n\n".join(
        [
            "# Point spread",
            "One panel of float32 counts, one core, the kernel's level "
            f"{native.isa() or 'none: numpy'}. Medians with the least and greatest in brackets; "
            "`env.json` names the machine, `commands.txt` the command. Process time is what the "
            "core worked; where the machine was shared, wall time is more.",
            table,
            *said,
        ]
    )
