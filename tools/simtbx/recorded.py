"""Cases of simtbx that start from an image: point spread (formula P1).

Images are recorded by the detector of a specification: `record_frame` is the last step of every
frame that distbragg renders. simtbx's defects are taken out by functions of this module, never by
the package.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np

from distbragg.kernel.finalize import draw_counts
from distbragg.kernel.response import record_frame
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.physics.point_spread import (
    FIBRE_LENGTH,
    even_photons,
    gauss_shares,
    spread_kernels,
)
from distbragg.spec.load import parse_spec
from tools.simtbx.optics import Array, Json

KINDS: Final = {"gauss": "gauss", "fiber": "fibre"}


def detector_of(shape: tuple[int, int], detector: Json, *, photon: bool = False) -> Experiment:
    """Build an experiment of one panel (slow, fast) whose crystal does not matter."""
    spec: dict[str, Any] = {
        "beam": {"wavelength_angstrom": 1.0},
        "crystal": {"cell": [50, 50, 50, 90, 90, 90], "block_cells": [1, 1, 1]},
        "structure_factors": {"default_f_electrons": 0.0},
        "detector": {
            "pixels_slow": shape[0],
            "pixels_fast": shape[1],
            "pixel_size_mm": 0.1,
            "distance_mm": 100.0,
            **detector,
        },
        "noise": {"photon": photon, "seed": 2},
    }
    return build_experiment(parse_spec(spec))


def recorded(photons: Array, experiment: Experiment, frame: int = 0) -> Array:
    """Return what the detector of an experiment records of photons, (slow, fast)."""
    pixels = np.array(photons[np.newaxis], dtype=np.float64)
    if experiment.counted_in_kernel:
        numbers = np.arange(pixels.size, dtype=np.int64)
        seed = experiment.noise.seed
        counts = draw_counts(pixels.reshape(-1), numbers, seed=seed, frame=frame)
        pixels = counts.reshape(pixels.shape)
    record_frame(pixels, experiment, frame)
    return np.asarray(pixels[0])


def point_spread(case: Json, folder: Path, scratch: Path) -> Array:
    """Return the image of a case of formula P1.

    Of defect B2 it has the radius by the photons of each pixel, and the share beyond it, that of
    the circle rather than of its pixels; of B1 the column beyond the last, which wraps to the next
    row.
    """
    photons = np.load(folder / case["input"])
    bright = np.where(photons > 0.0, photons, 0.0)
    psf: Json = case["psf"]
    radii = _radii(bright, psf)
    found = np.zeros_like(bright)
    for radius in np.unique(radii[bright > 0.0]).astype(int).tolist():
        found += _of_radius(np.where(radii == radius, bright, 0.0), psf, radius, scratch)
    return found


def _radii(photons: Array, psf: Json) -> Array:
    """Return the radius of each pixel, as given or by its photons v: 1 + what l = √v/10 reaches."""
    width, most = psf["fwhm_pixels"], max(photons.shape)
    if psf["radius_pixels"] > 0:
        return np.full(photons.shape, float(psf["radius_pixels"]))
    least = np.where(photons > 0.0, 0.1 / np.sqrt(np.maximum(photons, 1e-300)), 1.0)  # l/v
    if psf["type"] == "gauss":
        reach = width * np.sqrt(np.maximum(-np.log(least), 0.0) / math.log(16.0))
    else:
        reach = FIBRE_LENGTH * width / least
    radii: Array = np.minimum(1.0 + np.ceil(reach), most)
    return radii


def _of_radius(photons: Array, psf: Json, radius: int, scratch: Path) -> Array:
    """Spread pixels of one radius as simtbx does."""
    width = psf["fwhm_pixels"]
    section = {"kind": KINDS[psf["type"]], "fwhm_px": width, "radius_px": radius}
    if psf["type"] == "gauss":
        found = _within(photons, section) - _corners(photons, width, radius, scratch)
        beyond = math.exp(-math.log(16.0) * (radius / width) ** 2)
    else:
        found = _within(photons, section)
        length = FIBRE_LENGTH * width
        beyond = length / math.hypot(length, radius)
    return np.asarray(found + beyond * float(photons.sum()) / photons.size)


def _corners(photons: Array, width: float, radius: int, scratch: Path) -> Array:
    """Return what a Gaussian of all rows and columns has beyond the circle, which simtbx cuts."""
    line = gauss_shares(np.float64(width), radius)
    away = np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1])
    shares = np.where(away > radius, line * line[:, np.newaxis], 0.0)
    if not shares.any():
        return np.zeros_like(photons)
    file = scratch / "corners.npy"
    np.save(file, shares)
    return _within(photons, {"kind": "file", "file": str(file)})


def _within(photons: Array, section: Json) -> Array:
    """Return what the pixels of a kernel get, without the even part; with defect B1."""
    # One column more catches what passes the right edge.
    wider = np.pad(photons, ((0, 0), (0, 1)))
    shape = wider.shape[0], wider.shape[1]
    experiment = detector_of(shape, {"point_spread": {**section, "edges": "lost"}})
    own = experiment.detector.panels[0].point_spread
    kernels = spread_kernels(own) if own is not None else ()
    even = even_photons(float(photons.sum()), 0.0, wider.size, kernels, edges_lost=True)
    found = recorded(wider, experiment) - even
    found[1:, 0] += found[:-1, -1]
    return np.asarray(found[:, :-1])
