"""What a plan says of wall time, against every recipe rendered serially and on two workers."""

from __future__ import annotations

import os
import resource
import runpy
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from distbragg.errors import EnvironmentFailure
from distbragg.models.tables import load_any
from distbragg.run.prepare import plan
from tools.evidence.bundle import Bundle, markdown_table

RECIPES: Final = Path(__file__).parents[2] / "workflows"
PLACES: Final = (("serial", 1), ("local:2", 2))
BAR: Final = 2.0
"""Greatest ratio of expected and measured time, either way round."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One recipe, rendered at one place.

    Attributes
    ----------
    recipe, place : str
    workers : int
    expected : float
        Wall time as the plan says, s.
    wall, processor : float
        Of the whole command, s; processor time of all its processes.
    load : float
        Processes that wanted a core when it ended, the command's own among them.
    """

    recipe: str
    place: str
    workers: int
    expected: float
    wall: float
    processor: float
    load: float

    @property
    def alone(self) -> float:
        """Wall time, s; of a machine that others used too, the processor time of each worker.

        Where more processes than cores wanted to run, the wall time is that of the others' work.
        """
        busy = self.load > (os.cpu_count() or 1)
        return self.processor / self.workers if busy else self.wall

    @property
    def ratio(self) -> float:
        """Expected over measured time."""
        return self.expected / self.alone


def write_bundle(root: Path, *, recipes: Sequence[str] = ()) -> Path:
    """Render recipes, all where none is named, and write a bundle under `root`."""
    bundle = Bundle.create(root, "plan-times")
    names = recipes or sorted(path.stem for path in RECIPES.glob("*.yaml"))
    with tempfile.TemporaryDirectory(prefix="distbragg-plan-times-") as scratch:
        copies = [with_inputs(RECIPES / f"{name}.yaml", Path(scratch)) for name in names]
        found = [each for copy in copies for each in measure(copy, scratch)]
    bundle.write_json("times.json", [asdict(each) for each in found])
    bundle.write_text("summary.md", summary(found))
    return bundle.path


def with_inputs(recipe: Path, folder: Path) -> Path:
    """Return the recipe, or a copy of it beside the molecules that its script writes."""
    script = recipe.with_suffix(".py")
    if not script.exists():
        return recipe
    runpy.run_path(str(script))["write_molecules"](folder)
    return Path(shutil.copy(recipe, folder))


def measure(recipe: Path, scratch: str) -> Iterator[Measured]:
    """Render one recipe at every place.

    Raises
    ------
    EnvironmentFailure
        It was not rendered.
    """
    sweep = load_any(str(recipe))
    for place, workers in PLACES:
        out = Path(scratch) / f"{recipe.stem}-{workers}.zarr"
        command = [sys.executable, "-m", "distbragg.cli.main", "sweep", str(recipe), "--no-watch"]
        command += ["-o", str(out), "--cluster", place, "--threads", "1"]
        before, began = _processor_seconds(), time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wall = time.perf_counter() - began
        if done.returncode:
            raise EnvironmentFailure(f"{recipe.name} on {place}: {done.stderr.strip()}")
        yield Measured(
            recipe.stem,
            place,
            workers,
            plan(sweep, workers=workers).wall_seconds,
            wall,
            _processor_seconds() - before,
            os.getloadavg()[0],
        )


def summary(found: Sequence[Measured]) -> str:
    """Write the table and whether every recipe is within the bar."""
    rows = [
        (
            each.recipe,
            each.place,
            f"{each.expected:.1f}",
            f"{each.wall:.1f}",
            f"{each.processor:.1f}",
            f"{each.load:.1f}",
            f"{each.ratio:.2f}",
        )
        for each in found
    ]
    outside = [each for each in found if not 1 / BAR <= each.ratio <= BAR]
    verdict = "held" if not outside else f"missed by {len(outside)} of {len(found)}"
    head = ("recipe", "place", "plan, s", "wall, s", "processor, s", "load", "plan / measured")
    return (
        f"# Wall times of plans\n\nPlans within a factor of {BAR:g} of what is measured: {verdict}."
        "\n\nMeasured is the wall time of the whole command; where the load was above the number "
        "of cores,\nthe processor time of all its processes divided by the workers.\n\n"
        + markdown_table(head, rows)
    )


def _processor_seconds() -> float:
    """Processor time of the children that ended, s."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
