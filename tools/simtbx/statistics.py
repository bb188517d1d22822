"""Statistics of noise: what a detector records, against simtbx's formula N2 and its images.

No realisation of simtbx's generator can be met, and none is tried: means and variances are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from tools.simtbx.optics import Array, Json
from tools.simtbx.recorded import detector_of, recorded

SIGMAS: Final = 4.0
"""Standard errors within which a mean or a variance is held to be that of the formula."""


@dataclass(frozen=True, slots=True)
class Noise:
    """The numbers of formula N2."""

    flicker: float
    calibration: float
    readout: float  # ADU
    gain: float
    offset: float  # ADU

    def mean(self, photons: Array) -> Array:
        """Return what pixels read on average, ADU."""
        return np.asarray(self.gain * photons + self.offset)

    def variance(self, photons: Array) -> Array:
        """Return their variance, ADU²."""
        c, f = self.calibration**2, self.flicker**2
        counted = (1.0 + c) * (photons + f * photons**2) + c * photons**2
        return np.asarray(self.gain**2 * counted + self.readout**2)

    def detector(self) -> Json:
        """Return the section of the detector that has this noise."""
        return {
            "response": {
                "pixel_flicker_fraction": self.flicker,
                "calibration_fraction": self.calibration,
                "readout_adu": self.readout,
                "gain_adu_per_photon": self.gain,
                "offset_adu": self.offset,
                "seed": 5,
            }
        }

    @classmethod
    def of_case(cls, noise: Json) -> Noise:
        """Return the noise of a case of formula N1."""
        return cls(
            noise["flicker_pct"] / 100.0,
            noise["calibration_pct"] / 100.0,
            noise["readout_adu"],
            noise["gain"],
            noise["offset_adu"],
        )

    @classmethod
    def of_levels(cls, levels: list[Json]) -> Noise:
        """Return the noise whose formula gives the means and variances that are written down."""
        photons = np.array([level["expected_photons"] for level in levels])
        means = np.array([level["mean_by_formula"] for level in levels])
        variances = np.array([level["variance_by_formula"] for level in levels])
        gain, offset = np.polyfit(photons, means, 1)
        gain, offset = round(float(gain), 9), round(float(offset), 6)
        # Weighted, so that no level is lost beside the brightest.
        weight = 1.0 / np.maximum(variances, 1e-12)
        terms = np.stack([photons**2, photons, np.ones_like(photons)], axis=1)
        used = variances > 0.0
        quadratic, linear, constant = np.linalg.lstsq(
            (terms * weight[:, None])[used], (variances * weight)[used], rcond=None
        )[0] / [gain**2, gain**2, 1.0]
        calibration = max(float(linear) - 1.0, 0.0)
        flicker = max((float(quadratic) - calibration) / (1.0 + calibration), 0.0)
        readout = math.sqrt(max(float(constant), 0.0))
        one, other = (round(math.sqrt(square), 6) for square in (flicker, calibration))
        return cls(one, other, round(readout, 6), gain, offset)


def of_image(case: Json, folder: Path) -> Iterator[float]:
    """Yield, in standard errors, how far the case's image and ours are from formula N2.

    Means and variances of all pixels, each by its own. Pixels below 0, which simtbx leaves as they
    are, are left out.
    """
    photons = np.load(folder / case["input"])
    noise = Noise.of_case(case["noise"])
    used = photons >= 0.0
    ours = recorded(photons, detector_of(photons.shape, noise.detector(), photon=True))
    theirs = np.load(folder / case["results"]["image"]["file"])
    means, variances = noise.mean(photons), noise.variance(photons)
    for image in (ours, theirs):
        away, spread = (image - means)[used], variances[used]
        if (away[spread == 0.0] != 0.0).any():
            yield math.inf
        scores = away[spread > 0.0] / np.sqrt(spread[spread > 0.0])
        squares = scores**2
        for values, expected in ((scores, 0.0), (squares, 1.0)):
            yield abs(float(values.mean()) - expected) / _error(values)


def of_levels(case: Json, _: Path) -> Iterator[float]:
    """Yield, in standard errors, how far our levels are from formula N2 and from simtbx's."""
    for levels in case["levels"].values():
        noise = Noise.of_levels(levels)
        edge = math.ceil(math.sqrt(max(level["pixels"] for level in levels)))
        experiment = detector_of((edge, edge), noise.detector(), photon=True)
        for frame, level in enumerate(levels):
            photons = np.full((edge, edge), level["expected_photons"])
            image = recorded(photons, experiment, frame)
            own = ((image - level["mean_by_formula"]) ** 2).reshape(-1)
            for values, name in ((image.reshape(-1), "mean"), (own, "variance")):
                found, error = float(values.mean()), _error(values)
                wanted, theirs = level[f"{name}_by_formula"], level[name]
                if level["variance_by_formula"] == 0.0:
                    yield 0.0 if found == wanted else math.inf
                    continue
                yield abs(found - wanted) / error
                yield abs(found - theirs) / (error * math.sqrt(1.0 + values.size / level["pixels"]))


def _error(values: Array) -> float:
    """Return the standard error of a mean."""
    return float(values.std()) / math.sqrt(values.size)
