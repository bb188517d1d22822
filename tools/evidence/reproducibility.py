"""Measure that a stack's bytes do not depend on who rendered it, and how it was cut."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from distbragg.clusters.open import open_client
from distbragg.run.resume import sweep
from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec
from distbragg.store.ledger import object_digests
from distbragg.store.open import open_stack
from distbragg.store.run_directory import open_run
from tools.evidence.bundle import Bundle, markdown_table

Form = Literal["unit", "graph"]
Tiling = tuple[int, int] | Literal["auto"]
Chunking = int | Literal["auto"]

WORKERS = (0, 1, 2, 4)
"""Dask workers; 0 is the serial executor in this process."""
FORMS: tuple[Form, ...] = ("unit", "graph")
CUTS: tuple[tuple[Tiling, Chunking], ...] = (
    ("auto", "auto"),
    ("auto", 2),
    ((17, 23), "auto"),
    ((17, 23), 3),
    ((31, 83), 2),
)
"""Tilings and source chunkings rendered in every place and form."""
FINE_CUTS: tuple[tuple[Tiling, Chunking], ...] = (((7, 5), 1), ((1, 83), 2), ((61, 1), 3))
"""Further ones, of too many tasks for a scheduler, rendered in this process alone."""
PRECISIONS = ("mixed", "float64")


@dataclass(frozen=True, slots=True)
class Row:
    """One rendering of the sweep.

    Attributes
    ----------
    precision : str
    workers : int
        Dask workers; 0: in this process.
    form : str
    tiling, chunking : str
    digest : str
        SHA-256 over the digests of the stored objects in unit order.
    max_ulp : int
        Largest distance from the uncut serial stack, in units in the last place of float32.
    """

    precision: str
    workers: int
    form: str
    tiling: str
    chunking: str
    digest: str
    max_ulp: int


def write_bundle(root: Path) -> Path:
    """Render every combination and write the table as a bundle under `root`; return its folder."""
    bundle = Bundle.create(root, "reproducibility")
    with tempfile.TemporaryDirectory(prefix="distbragg-") as scratch:
        rows = list(rows_of(Path(scratch)))
    bundle.write_json("experiment.json", experiment_plain())
    bundle.write_json("rows.json", [asdict(row) for row in rows])
    bundle.write_text("summary.md", summary(rows))
    return bundle.path


def experiment_plain(precision: str = "mixed", **compute: object) -> dict[str, Any]:
    """Return the sweep that is rendered: every correction on, sizes that nothing divides."""
    return {
        "experiment": {
            "beam": {
                "spectrum": {
                    "wavelengths_angstrom": [0.98, 0.99, 1.0, 1.01, 1.02, 1.03, 1.04],
                    "weights": [0.1, 1.0, 2.5, 1e-6, 0.7, 3.0, 0.2],
                },
                "polarization": {"kahn_factor": 0.9},
                "fluence_photons_per_m2": 1e24,
            },
            "crystal": {
                "cell": [25.0, 31.0, 35.0, 80.0, 85.0, 75.0],
                "block_cells": [9, 7, 8],
                "misset_deg": [10.0, 20.0, 30.0],
                "mosaic": {"spread_deg": 0.4, "domains": 5},
            },
            "structure_factors": {"default_f_electrons": 100.0},
            "detector": {
                "pixels_fast": 83,
                "pixels_slow": 61,
                "pixel_size_mm": 0.5,
                "distance_mm": 80.0,
                "sensor": {"thickness_um": 320.0, "attenuation_length_um": 250.0, "layers": 2},
            },
            "goniometer": {"oscillation_deg": 0.4, "steps": 2},
            "sampling": {"oversample": 2},
            "background": {"water_um": 0.02},
            "noise": {"photon": False},
            "compute": {"precision": precision, "frames_per_unit": 2, **compute},
        },
        "axes": [
            {"name": "orientation", "path": "crystal.misset_deg", "values": _MISSETS},
            {"name": "spread", "path": "crystal.mosaic.spread_deg", "values": [0.1, 0.4, 0.8]},
        ],
    }


_MISSETS = [[10.0, 20.0, 30.0], [40.0, -5.0, 77.0]]


def rows_of(scratch: Path) -> Iterator[Row]:
    """Render the sweep in every place, form and cut, each into a stack of its own."""
    wholes: dict[str, NDArray[np.float32]] = {}
    for workers in WORKERS:
        cuts = CUTS if workers else (*CUTS, *FINE_CUTS)
        with ExitStack() as stack:
            place = "serial"
            if workers:
                client = stack.enter_context(open_client(f"local:{workers}")).client
                place = str(client.scheduler_info()["address"])
            for precision in PRECISIONS:
                for number, (tiling, chunking) in enumerate(cuts):
                    for form in FORMS:
                        target = scratch / f"{workers}-{precision}-{number}-{form}.zarr"
                        plain = experiment_plain(precision, tile=tiling, source_chunk=chunking)
                        sweep(_spec(plain), target, cluster=place, form=form)
                        images = open_stack(target)["images"].to_numpy()
                        distance = max_ulp(wholes.setdefault(precision, images), images)
                        yield Row(
                            precision,
                            workers,
                            form,
                            _name(tiling),
                            str(chunking),
                            stack_digest(target),
                            distance,
                        )


def stack_digest(run: Path) -> str:
    """SHA-256 over the digests of a run's stored objects, in unit order."""
    text = "\n".join(object_digests(open_run(run)).values())
    return hashlib.sha256(text.encode()).hexdigest()


def max_ulp(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> int:
    """Largest distance of two non-negative float32 arrays, in units in the last place.

    The bit patterns of non-negative floats are ordered as the floats are, so the distance
    is the difference of the patterns as integers.
    """
    left = np.ascontiguousarray(expected, np.float32).view(np.int32).astype(np.int64)
    right = np.ascontiguousarray(actual, np.float32).view(np.int32).astype(np.int64)
    return int(np.abs(left - right).max(initial=0))


def summary(rows: list[Row]) -> str:
    """Write the tables with the verdicts that follow from them."""
    plans: dict[tuple[str, str, str], set[str]] = {}
    for row in rows:
        plans.setdefault((row.precision, row.tiling, row.chunking), set()).add(row.digest)
    same = all(len(digests) == 1 for digests in plans.values())
    worst = max(row.max_ulp for row in rows)
    tables = "\n\n".join(
        f"### {precision}\n\n{_table([row for row in rows if row.precision == precision])}"
        for precision in PRECISIONS
    )
    return f"""# Reproducibility

The sweep of `experiment.json` (6 frames of 61 × 83 pixels, 7 weighted wavelengths, 5 mosaic
domains, 2 spindle steps, 2 × 2 sub-pixels, 2 sensor layers) was rendered in this process (serial)
and by 1, 2 and 4 Dask workers, in both forms, with every cut listed: {len(rows)} stacks.
`env.json` says on what, `commands.txt` how, `rows.json` holds the whole digests.

- One plan stores the same bytes in every place and form: **{"yes" if same else "NO"}**.
- Largest distance of any cut from the uncut serial stack: **{worst} ulp** of the stored float32.

The cells are the first eight hexadecimal digits of the SHA-256 over the digests of all stored
objects.

{tables}
"""


def _table(rows: list[Row]) -> str:
    """Cuts down, places and forms across."""
    columns = list(dict.fromkeys((row.workers, row.form) for row in rows))
    cuts: dict[tuple[str, str], dict[tuple[int, str], Row]] = {}
    for row in rows:
        cuts.setdefault((row.tiling, row.chunking), {})[(row.workers, row.form)] = row
    lines = []
    for (tiling, chunking), found in cuts.items():
        cells = [f"`{found[c].digest[:8]}`" if c in found else "–" for c in columns]
        ulp = max(row.max_ulp for row in found.values())
        lines.append((tiling, chunking, ulp, *cells))
    heads = [f"{workers or 'serial'} {form}" for workers, form in columns]
    return markdown_table(("tile", "chunk", "max ulp", *heads), lines)


def _spec(plain: dict[str, Any]) -> SweepSpec:
    return parse_sweep(plain, source="reproducibility")


def _name(tile: Tiling) -> str:
    return tile if isinstance(tile, str) else f"{tile[0]} × {tile[1]}"
