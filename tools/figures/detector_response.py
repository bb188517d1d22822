"""Draw the figure of `docs/explanation/physics/detector-response.md`.

python -m tools.figures.detector_response
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from distbragg.kernel.response import record_frame
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.models.response import Response
from distbragg.physics.response import moments
from distbragg.spec.load import parse_spec
from tools.figures.drawing import save

LEVELS: Final = np.logspace(-1.0, 4.5, 34)  # photons
EDGE: Final = 256
DETECTORS: Final = (("rayonix", "adu"), ("pilatus", "adu"), ("jungfrau", "photons"))


def experiment_of(family: str, stored_as: str) -> Experiment:
    """Return an experiment whose detector has the typical figures of a family."""
    return build_experiment(
        parse_spec(
            {
                "beam": {"wavelength_angstrom": 1.0},
                "crystal": {"cell": [31, 37, 41, 90, 90, 90], "block_cells": [5, 6, 7]},
                "structure_factors": {"default_f_electrons": 1.0},
                "detector": {
                    "pixels_fast": EDGE,
                    "pixels_slow": EDGE,
                    "pixel_size_mm": 0.1,
                    "response": {"typical": family, "stored_as": stored_as},
                },
                "noise": {"photon": True, "seed": 3},
            }
        )
    )


def measured(experiment: Experiment) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance over the pixels of frames that are lit evenly, by level."""
    response = experiment.response
    assert response is not None
    # The flicker of 1e-12 has counts drawn here, where no kernel renders.
    drawn = replace(experiment, response=replace(response, pixel_flicker=1e-12))
    found = []
    for frame, level in enumerate(LEVELS[0.9 * response.saturation > LEVELS]):
        image = np.full((1, EDGE, EDGE), level)
        record_frame(image, drawn, frame)
        found.append((image.mean() - response.offset, image.var()))
    means, variances = np.array(found).T
    return means, variances


def transfer(axis: Axes, experiment: Experiment, response: Response, name: str) -> None:
    """Draw measured variances as dots over the formula's line, in photons."""
    means, variances = measured(experiment)
    expected_mean, expected = moments(LEVELS, response)
    gain = response.gain
    (line,) = axis.loglog((expected_mean - response.offset) / gain, expected / gain**2, lw=1.2)
    axis.loglog(means / gain, variances / gain**2, "o", ms=3, color=line.get_color(), label=name)


def main() -> None:
    """Draw the photon transfer curves, and the zones of a detector that changes its gain."""
    figure = Figure(figsize=(10.5, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.2, 1])
    for family, stored_as in DETECTORS:
        experiment = experiment_of(family, stored_as)
        assert experiment.response is not None
        transfer(left, experiment, experiment.response, family)
    left.loglog(LEVELS, LEVELS, ":", color="0.4", lw=1.0, label="Poisson alone")
    left.set_ylim(0.03, 3e6)
    left.set_xlabel("mean of the pixels, photons")
    left.set_ylabel("variance of the pixels, photons²")
    left.legend(frameon=False)
    raw = experiment_of("jungfrau", "adu").response
    assert raw is not None
    photons = np.logspace(-1.0, 4.0, 2000)
    for number, zone in enumerate(raw.zones):
        ends = [other.start for other in raw.zones[number + 1 : number + 2]] or [raw.saturation]
        inside = (photons >= zone.start) & (photons < ends[0])
        right.semilogx(
            photons[inside], zone.gain * photons[inside] + zone.offset, label=f"gain {number}"
        )
    right.axhline(2**14 - 1, color="0.4", ls=":", lw=1.0)
    right.set_xlabel("photons in a pixel")
    right.set_ylabel("ADU of 14 bits")
    right.set_title("jungfrau, before gains are taken out", fontsize=10)
    right.legend(frameon=False)
    save(figure, "detector-response")


if __name__ == "__main__":
    main()
