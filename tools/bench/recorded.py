"""What an image costs that a detector would have recorded, beside the same without each part."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from tools.bench.closed_form import one_core, store
from tools.bench.closed_scenes import measured, protein, without_crystal, write_reflections
from tools.bench.frames import Taken, prepare_frame
from tools.bench.pairs import Spread
from tools.bench.recorded_scenes import (
    AIR,
    WATER,
    by_energy,
    exafel_full,
    of_one_table,
    responding,
    second_lattice,
    with_fibre,
    with_materials,
    write_model,
)
from tools.bench.summary import table

BARS: Final = {
    "response": 1.3,
    "second material": 1.3,
    "amplitude by energy": 1.2,
    "second lattice": 2.0,
}
"""Largest ratio of a frame with a part to the same without; of lattices, of their Bragg parts."""

FULL_BARS_S: Final = {"exafel_full": 1.5, "exafel_full with fibre": 3.0}


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured: interleaved pairs, and frames of each sweep."""

    pairs: int = 5
    frames: int = 5


QUICK: Final = Extent(pairs=1, frames=2)
"""Everything once, to see that it works."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Frames with a part and without, in turns, s; `blank` is taken off both where it is given."""

    with_it: list[Taken] = field(default_factory=list)
    without: list[Taken] = field(default_factory=list)
    blank: list[Taken] = field(default_factory=list)

    def ratio(self, kind: str) -> Spread:
        """Return the ratio of `process` or `wall` times."""
        blank = [getattr(row, kind) for row in self.blank] or [0.0] * len(self.with_it)
        rows = zip(self.with_it, self.without, blank, strict=True)
        return Spread.of((getattr(a, kind) - c) / (getattr(b, kind) - c) for a, b, c in rows)

    def seconds(self, kind: str) -> Spread:
        """Return what the frame with the part takes."""
        return Spread.of(getattr(row, kind) for row in self.with_it)


@dataclass(frozen=True, slots=True)
class Recorded:
    """All of it."""

    parts: dict[str, Pairs]
    full: dict[str, list[Taken]]

    def plain(self) -> dict[str, object]:
        """Return as JSON-able data."""
        return asdict(self)


def measure_recorded(extent: Extent, say: Callable[[str], None]) -> Recorded:
    """Measure everything on one core."""
    with one_core(), tempfile.TemporaryDirectory(prefix="distbragg-") as name:
        folder = Path(name)
        reflections, model = (
            write_reflections(folder / "P1.hkl"),
            write_model(folder / "P43212.pdb"),
        )
        still = protein(reflections)
        counted = with_materials(measured(still), WATER)
        both = with_materials(measured(still), WATER, AIR)
        stored = {
            "response": (responding(counted), counted),
            "second material": (both, counted),
            "amplitude by energy": (by_energy(counted, model), of_one_table(counted, model)),
        }
        parts = {}
        for part, (one, other) in stored.items():
            say(part)
            parts[part] = _stored_pairs(one, other, extent)
        say("second lattice")
        parts["second lattice"] = _bragg_pairs(second_lattice(still), still, extent)
        full = {}
        frame = exafel_full(reflections, model)
        for part, plain in zip(FULL_BARS_S, (frame, with_fibre(frame)), strict=True):
            say(part)
            full[part] = [store(plain, extent.frames) for _ in range(extent.pairs)]
    return Recorded(parts, full)


def _stored_pairs(one: dict[str, Any], other: dict[str, Any], extent: Extent) -> Pairs:
    pairs = Pairs()
    for _ in range(extent.pairs):
        pairs.with_it.append(store(one, extent.frames))
        pairs.without.append(store(other, extent.frames))
    return pairs


def _bragg_pairs(one: dict[str, Any], other: dict[str, Any], extent: Extent) -> Pairs:
    frames = [prepare_frame(plain) for plain in (one, other, without_crystal(other))]
    for frame in frames:
        frame.render()  # the warm-up
    pairs = Pairs()
    for _ in range(extent.pairs):
        taken = [frame.render() for frame in frames]
        for rows, row in zip((pairs.with_it, pairs.without, pairs.blank), taken, strict=True):
            rows.append(row)
    return pairs


def summary(found: Recorded) -> str:
    """Write the page."""
    parts = [
        (
            part,
            pairs.seconds("process").text(),
            pairs.ratio("process").text(),
            pairs.ratio("wall").text(),
            f"{BARS[part]:g}",
            _verdict(pairs.ratio("process").median <= BARS[part]),
        )
        for part, pairs in found.parts.items()
    ]
    full = [
        (
            part,
            Spread.of(row.process for row in rows).text(),
            (wall := Spread.of(row.wall for row in rows)).text(),
            f"{FULL_BARS_S[part]:g}",
            _verdict(wall.median <= FULL_BARS_S[part]),
        )
        for part, rows in found.full.items()
    ]
    ratio = ("frame with", "process, s", "times without", "by the clock", "bar", "")
    return "\n\n".join(
        (
            "# Images that a detector would have recorded",
            "All on one core, in closed form. Medians with the least and greatest in brackets; "
            "`env.json` names the machine, `commands.txt` the command. Ratios are of interleaved "
            "pairs. Process time is what the core worked; where the machine was shared, wall time "
            "is more.",
            "## What each part costs\n\n2048² pixels, 100 lines, spread 0.3°, counted, 16 bits, in "
            "a closed store; of the second lattice, the Bragg part of the frame before counting.",
            table(ratio, parts),
            "## The whole\n\n3840² pixels, 100 lines each with |F| of its own, spread 0.05°, water "
            "and air, counts, calibration, gain, offset, readout, 16 bits, in a closed store; then "
            "behind a fibre taper of 80 µm.",
            table(("", "process, s a frame", "by the clock", "bar", ""), full),
        )
    )


def _verdict(reached: bool) -> str:
    return "reached" if reached else "missed"
