"""Integration closes the circle: DIALS's intensities against the photons of the labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distbragg.store.spots import open_labels
from tools.acceptance.dials import crystals_of, read_table, run_dials
from tools.acceptance.pictures import draw_correlation
from tools.acceptance.truth import choice_of_axes, true_reciprocal
from tools.acceptance.verdict import Integration


def judge_integration(folder: Path, run: Path, picture: Path) -> Integration:
    """Refine and integrate an indexed series in `folder`, and correlate with the run's labels."""
    run_dials(folder, "dials.refine", "indexed.expt", "indexed.refl")
    run_dials(folder, "dials.integrate", "refined.expt", "refined.refl", "nproc=1")
    (found, *_) = crystals_of(folder / "integrated.expt")
    choice = choice_of_axes(found, true_reciprocal(run)).astype(np.int64)
    columns = read_table(folder / "integrated.refl")
    hkl = columns["hkl"] @ choice.T
    photons = photons_by_index(run)
    results = {}
    for kind in ("summed", "fitted"):
        ok = columns[f"{kind}_ok"]
        results[kind] = pair(hkl[ok], columns[kind][ok], photons)
    draw_correlation(picture, *results["summed"].T)
    return Integration(
        len(results["summed"]), correlation(results["summed"]), correlation(results["fitted"])
    )


def correlation(pairs: NDArray[np.float64]) -> float:
    """Return Pearson's coefficient of rows of two numbers."""
    return float(np.corrcoef(pairs[:, 0], pairs[:, 1])[0, 1])


def photons_by_index(run: Path) -> dict[tuple[int, int, int], float]:
    """Add up the expected photons of every reflection over the frames of a run."""
    table = open_labels(run, ["h", "k", "l", "photons"])
    keys = np.stack([table[name] for name in "hkl"], axis=1)
    unique, inverse = np.unique(keys, axis=0, return_inverse=True)
    totals = np.bincount(inverse.ravel(), weights=table["photons"])
    return {(int(h), int(k), int(l)): float(n) for (h, k, l), n in zip(unique, totals, strict=True)}  # noqa: E741


def pair(
    hkl: NDArray[np.int64],
    intensity: NDArray[np.float64],
    photons: dict[tuple[int, int, int], float],
) -> NDArray[np.float64]:
    """Return rows (photons, intensity) of the reflections that have both.

    Observations of one reflection are added up, as the photons are.

    Parameters
    ----------
    hkl : (n, 3) int64
    intensity : (n,) float64
    photons : dict from hkl to float

    Returns
    -------
    (m, 2) float64
    """
    unique, inverse = np.unique(hkl, axis=0, return_inverse=True)
    totals = np.bincount(inverse.ravel(), weights=intensity)
    rows = [
        (photons[key], total)
        for (h, k, l), total in zip(unique, totals, strict=True)  # noqa: E741 the field's letter
        if (key := (int(h), int(k), int(l))) in photons
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 2)
