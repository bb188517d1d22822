"""The truth a stack records, and how far a lattice found elsewhere is from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distbragg.engine.context import RunContext
from distbragg.run.frame_header import frame_geometry, header_frame
from distbragg.store.run_directory import open_run

Matrix = NDArray[np.float64]


def true_reciprocal(run: Path, frame: int = 0) -> Matrix:
    """Columns a*, b*, c* of a frame's crystal at spindle angle 0 in DIALS's frame, 1/Å."""
    spec, experiment = frame_geometry(RunContext.of(open_run(run)), frame)
    return np.asarray(
        header_frame(spec, experiment) @ np.asarray(experiment.crystal.reciprocal).T,
        dtype=np.float64,
    )


def choice_of_axes(found: Matrix, truth: Matrix) -> Matrix:
    """Whole numbers C with found ≈ truth · C: the found basis in terms of the true one."""
    return np.asarray(np.round(np.linalg.inv(truth) @ found))


def compare(found: Matrix, truth: Matrix) -> tuple[float, float, float]:
    """Errors of lengths (relative), angles and orientation (degrees) of a reciprocal basis.

    The basis may be any choice of axes of the same lattice: truth is taken in that choice.

    Parameters
    ----------
    found, truth : (3, 3) float64, 1/Å
        Columns a*, b*, c*.
    """
    expected = truth @ choice_of_axes(found, truth)
    lengths, angles = cell_of(found)
    true_lengths, true_angles = cell_of(expected)
    left, _, right = np.linalg.svd(found @ np.linalg.inv(expected))
    cosine = (float(np.trace(left @ right)) - 1.0) / 2.0
    turned = float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
    return (
        float(np.abs(lengths / true_lengths - 1.0).max()),
        float(np.abs(angles - true_angles).max()),
        turned,
    )


def cell_of(reciprocal: Matrix) -> tuple[Matrix, Matrix]:
    """Lengths (Å) and angles (degrees) of the cell of a reciprocal basis in columns."""
    real = np.linalg.inv(reciprocal)
    lengths = np.linalg.norm(real, axis=1)
    cosines = (real @ real.T) / np.outer(lengths, lengths)
    angles = np.degrees(np.arccos(cosines[[1, 0, 0], [2, 2, 1]]))
    return np.asarray(lengths), np.asarray(angles)
