"""The crystals of a DIALS experiment list, without the panels of its detectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from distbragg.matrices import matmul3
from distbragg.read.geometry.expt import ExperimentReading
from distbragg.read.geometry.model import Triple


@dataclass(frozen=True, slots=True)
class ListedCrystal:
    """The crystal of one experiment, in the frame of the list."""

    real_space: tuple[Triple, Triple, Triple]  # a, b, c at spindle angle 0, Å
    beam: Triple  # unit vector: the way it travels
    spindle: Triple | None
    wavelength: float  # Å


def read_crystals(path: str) -> Iterator[ListedCrystal]:
    """Yield the crystal of every experiment of a list, in order."""
    number, count = 0, 1
    while number < count:
        reading = ExperimentReading(path, number)
        count = reading.count_of_experiments
        fixed, setting, spindle = reading.goniometer()
        real, (beam, _) = reading.crystal(matmul3(setting, fixed)), reading.beam()
        if real is None or beam is None:
            missing = "crystal" if real is None else "beam"
            raise reading.refusal(f"experiment {number} has no {missing}")
        model = reading.models["beam"] or {}
        wavelength = reading.positive_or_none(model.get("wavelength"), "wavelength")
        if wavelength is None:
            raise reading.refusal(f"the beam of experiment {number} has no wavelength")
        yield ListedCrystal(real, beam, spindle, wavelength)
        number += 1
