"""Integration closes the circle: DIALS's intensities against the photons of the labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distbragg.run.labels import open_labels
from tools.acceptance.dials import crystals_of, run_dials
from tools.acceptance.truth import choice_of_axes, true_reciprocal
from tools.acceptance.verdict import Integration

DEBIAN_PYTHON = "/usr/bin/python3"


def judge_integration(folder: Path, run: Path) -> Integration:
    """Refine and integrate an indexed series in `folder`, and correlate with the run's labels."""
    run_dials(folder, "dials.refine", "indexed.expt", "indexed.refl")
    run_dials(folder, "dials.integrate", "refined.expt", "refined.refl", "nproc=1")
    script = str(Path(__file__).with_name("dump_reflections.py"))
    run_dials(folder, DEBIAN_PYTHON, script, "integrated.refl", "integrated.npz", log="dump")
    (found, *_) = crystals_of(folder / "integrated.expt")
    choice = choice_of_axes(found, true_reciprocal(run)).astype(np.int64)
    with np.load(folder / "integrated.npz") as table:
        columns = {name: table[name] for name in table.files}
    hkl = columns["hkl"] @ choice.T
    photons = photons_by_index(run)
    results = {}
    for kind in ("summed", "fitted"):
        ok = columns[f"{kind}_ok"]
        results[kind] = correlate(hkl[ok], columns[kind][ok], photons)
    return Integration(results["summed"][1], results["summed"][0], results["fitted"][0])


def photons_by_index(run: Path) -> dict[tuple[int, int, int], float]:
    """Add up the expected photons of every reflection over the frames of a run."""
    table = open_labels(run, ["h", "k", "l", "photons"])
    keys = np.stack([table[name] for name in "hkl"], axis=1)
    unique, inverse = np.unique(keys, axis=0, return_inverse=True)
    totals = np.bincount(inverse.ravel(), weights=table["photons"])
    return {(int(h), int(k), int(l)): float(n) for (h, k, l), n in zip(unique, totals, strict=True)}  # noqa: E741


def correlate(
    hkl: NDArray[np.int64],
    intensity: NDArray[np.float64],
    photons: dict[tuple[int, int, int], float],
) -> tuple[float, int]:
    """Return the correlation of intensities with photons, and over how many reflections.

    Observations of one reflection are added up, as the photons are.
    """
    unique, inverse = np.unique(hkl, axis=0, return_inverse=True)
    totals = np.bincount(inverse.ravel(), weights=intensity)
    pairs = np.array(
        [
            (total, photons[key])
            for (h, k, l), total in zip(unique, totals, strict=True)  # noqa: E741 the field's letter
            if (key := (int(h), int(k), int(l))) in photons
        ]
    )
    return float(np.corrcoef(pairs.T)[0, 1]), len(pairs)
