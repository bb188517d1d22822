"""How many labelled frames a second a `DataLoader` of two workers gives."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
from torch.utils.data import DataLoader

import distbragg as db
from distbragg.training import Pool, RandomCrop, Root
from tools.bench.labelled import CORES, EDGE, Kind, shots, write_reflections
from tools.bench.summary import table

BATCH: Final = 32
BAR: Final = 1000.0  # items/s on two cores
SPOTS: Final = db.SpotColumns(maximum=512, minimum_photons=5.0)
LABELS: Final = ("hit", "spots_seen", "resolution_seen")


@dataclass(frozen=True, slots=True)
class Extent:
    """Frames of each stack, and in how many turns all of them are read."""

    frames: int = 600
    turns: int = 5


QUICK: Final = Extent(frames=40, turns=1)
"""Everything once, to see that it works."""


@dataclass(frozen=True, slots=True)
class Case:
    """A stack, and what its items hold."""

    name: str
    stack: str
    options: dict[str, Any] = field(default_factory=dict)


CASES: Final = (
    Case("uint16, as stored", "uint16", {"dtype": "stored"}),
    Case("uint16, as float32", "uint16"),
    Case("float32", "float32"),
    Case("uint16, with spot_mask and recorded", "uint16",
         {"dtype": "stored", "maps": ["spot_mask", "recorded"]}),
    Case("uint16, a crop of 448 pooled by 2, root", "uint16",
         {"dtype": "stored", "transform": [RandomCrop(448, 448), Pool(2), Root()]}),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Turn:
    """All frames once: items/s by the clock, ms of all processes an item, load of the machine."""

    rate: float
    process_ms: float
    load: float


@dataclass(frozen=True, slots=True)
class Loading:
    """Turns of each case."""

    turns: dict[str, list[Turn]]

    def plain(self) -> dict[str, object]:
        """Return as JSON-able data."""
        return {name: [asdict(turn) for turn in turns] for name, turns in self.turns.items()}


def measure_loader(extent: Extent, say: Callable[[str], None]) -> Loading:
    """Store a stack of counts and one of expectations, then read both in turns."""
    turns: dict[str, list[Turn]] = {case.name: [] for case in CASES}
    with tempfile.TemporaryDirectory(prefix="distbragg-") as folder:
        reflections = write_reflections(Path(folder) / "P1.hkl")
        for stack in ("uint16", "float32"):
            say(f"store {extent.frames} frames of {stack}")
            plain = _shots(reflections, stack, extent.frames)
            sweep = db.SweepSpec.model_validate(plain)
            db.sweep(sweep, Path(folder) / stack, cluster=f"local:{CORES}", threads=1)
        loaders = {case.name: _loader(Path(folder) / case.stack, case) for case in CASES}
        for turn in range(-1, extent.turns):  # the first turn warms workers and caches
            for case in CASES:
                say(f"turn {turn + 1} of {extent.turns}: {case.name}")
                found = _turn(loaders[case.name])
                if turn >= 0:
                    turns[case.name].append(found)
    return Loading(turns)


def _shots(reflections: Path, dtype: str, frames: int) -> dict[str, Any]:
    """Return a sweep of shots, counted and recorded unless they are stored as float32."""
    plain = shots(reflections, Kind(pink=False, lattices=1), frames)
    experiment = plain["experiment"]
    experiment["output"] |= {"dtype": dtype, "maps": ["spot_mask"]}
    if dtype == "float32":
        del experiment["noise"], experiment["detector"]["response"], experiment["output"]["maps"]
    return plain


def _loader(path: Path, case: Case) -> Any:  # noqa: ANN401 a DataLoader of dicts
    data = db.StackDataset(path, spots=SPOTS, labels=LABELS, seen=db.Seen(5.0, 10), **case.options)
    return DataLoader(
        data, batch_size=BATCH, shuffle=True, num_workers=CORES, collate_fn=db.collate,
        persistent_workers=True,
    )  # fmt: skip


def _turn(loader: Any) -> Turn:  # noqa: ANN401
    items, before, started = 0, _seconds(), time.perf_counter()
    for batch in loader:
        items += len(batch["frame"])
    wall = time.perf_counter() - started
    return Turn(items / wall, 1e3 * (_seconds() - before) / items, os.getloadavg()[0])


def _seconds() -> float:
    """Return the seconds that this process and those it started have worked."""
    return sum(sum(process.cpu_times()[:2]) for process in _processes())


def _processes() -> Iterator[psutil.Process]:
    own = psutil.Process()
    yield own
    yield from own.children(recursive=True)


def summary(found: Loading) -> str:
    """Write the page."""
    rows = []
    for name, turns in found.turns.items():
        cost = sorted(turn.process_ms for turn in turns)
        rate = sorted(turn.rate for turn in turns)
        middle = cost[len(cost) // 2]
        on_cores = 1e3 * CORES / middle
        rows.append(
            (
                name,
                f"{middle:.2f} ({cost[0]:.2f} to {cost[-1]:.2f})",
                f"{on_cores:,.0f} ({'reached' if on_cores >= BAR else 'missed'})",
                f"{rate[len(rate) // 2]:,.0f} ({rate[0]:,.0f} to {rate[-1]:,.0f})",
            )
        )
    load = [turn.load for turns in found.turns.values() for turn in turns]
    return "\n\n".join(
        (
            "# Labelled frames from a DataLoader",
            f"{EDGE}² pixels, shuffled, in batches of {BATCH} from {CORES} workers, each with "
            f"{len(LABELS)} labels and up to {SPOTS.maximum} spots (place, hkl, photons, lattice), "
            "by `distbragg.collate`. Stacks lie in the page cache. Medians with the least and "
            "greatest of the turns in brackets. Process time is what all processes worked for "
            f"an item; {CORES} idle cores give as many items as the third column says (bar "
            f"{BAR:,.0f}). By the clock it is less where the machine is shared: its load was "
            f"{min(load):.1f} to {max(load):.1f}. `env.json` names the machine, `commands.txt` "
            "the command.",
            table(
                ("items", "process, ms an item", f"items/s of {CORES} cores", "by the clock"),
                rows,
            ),
        )
    )
