"""The beam of a NeXus file: one wavelength, a spectrum, or either for every shot.

NXmx gives `incident_wavelength` four meanings by its shape and by what stands beside it: a
number; channels with `incident_wavelength_weights`; one value a shot; channels and weights a
shot. A `variant` names another field, often the spectrum from which a number was calibrated.
NXbeam's `incident_energy` is read alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.notes import Notes
from distbragg.read.geometry.model import Triple
from distbragg.read.geometry.nexus_file import NexusFile, Node, open_nexus
from distbragg.read.hdf5 import Attributes, stored_values
from distbragg.read.spectrum import Spectrum, first_of_many, unit_by_size, usable_weights
from distbragg.read.units import Quantity, SpectralUnit, spectral_unit, unit_attribute

_FIELDS: Final[tuple[tuple[str, tuple[tuple[str, Quantity], ...]], ...]] = (
    ("NXbeam", (("incident_wavelength", "wavelength"), ("incident_energy", "energy"))),
    ("NXmonochromator", (("wavelength", "wavelength"), ("energy", "energy"))),
)
_ASIDE: Final = (
    "flux", "flux_integrated", "total_flux", "total_flux_integrated", "incident_beam_size",
    "extent", "incident_beam_divergence", "profile", "pulse_energy", "incident_polarization",
)  # fmt: skip
_LONGEST_VARIANTS: Final = 8
_DISAGREE: Final = 5e-3
_STOKES: Final = ("incident_polarization_stokes", "incident_polarisation_stokes")


@dataclass(slots=True)
class NexusBeam:
    """What a file says of the beam of one shot."""

    wavelength: float | None = None  # Å
    spectrum: Spectrum | None = None
    polarization: Triple | None = None  # direction of the E-vector
    fraction: float | None = None  # of the intensity, polarised along it
    notes: Notes = ()

    def as_spectrum(self, path: str) -> Spectrum:
        """Return the spectrum; a single wavelength is one of one channel."""
        if self.spectrum is not None:
            return Spectrum(self.spectrum.wavelength, self.spectrum.weight, self.notes)
        if self.wavelength is None:
            raise InputError(
                "there is neither an NXbeam with a wavelength nor weights_dataset and "
                "channels_dataset, a file of many shots needs one of them",
                source=path,
                field="beam.spectrum",
                remedy="name the two arrays in it",
            )
        return Spectrum(np.array([self.wavelength]), np.ones(1), self.notes)


def read_nexus_beam(path: str, shot: int | None) -> NexusBeam:
    """Read the beam of a shot, from 0, of the first entry; None takes shot 0, which a note says."""
    with open_nexus(path) as file:
        if not file.of_class(file.file, "NXentry"):
            return NexusBeam()
        entry = file.first(file.file, "NXentry", "NXinstrument")
        return beam_of(file, entry, file.first(entry, "NXinstrument"), shot)


def beam_of(file: NexusFile, entry: Node, instrument: Node, shot: int | None) -> NexusBeam:
    """Read the beam of one shot of an open file; see `read_nexus_beam`."""
    reader = _Reader(file, shot)
    parents = (instrument, *(sample for _, sample in file.of_class(entry, "NXsample")))
    for nx_class, fields in _FIELDS:
        for parent in parents:
            for name, group in file.of_class(parent, nx_class):
                present = [item for item in fields if file.stored(group, item[0]) is not None]
                if not present:
                    continue
                if nx_class != "NXbeam":
                    file.note(f"the wavelength is that of {name}, an {nx_class}")
                reader.read(group, *present[0])
                reader.look_beside(group, present)
                return reader.checked()
    return reader.checked()


class _Reader:
    """Reads one NXbeam."""

    def __init__(self, file: NexusFile, shot: int | None) -> None:
        self.file, self.shot = file, shot
        self.found = NexusBeam()
        self.shots, self.varies = 1, False
        self.said_before = len(file.notes)

    def checked(self) -> NexusBeam:
        """Return what was found."""
        if self.shot is not None and self.shot >= self.shots:
            raise self._no_shot(f"the beam is given for {self.shots}")
        self.found.notes = tuple(self.file.notes[self.said_before :])
        return self.found

    def _no_shot(self, there_are: str) -> InputError:
        return self.file.refusal(
            f"there is no shot {self.shot}; {there_are}", field="beam.spectrum.shot"
        )

    def read(self, group: Node, name: str, quantity: Quantity) -> None:
        """Read wavelength and spectrum from a field and its variants."""
        values = self._dataset(group, name)
        channels, weights = self._with_weights(group, name)
        if weights is None:
            self.found.wavelength = self._single(values, name, quantity)
        else:
            label = str(channels.name).rpartition("/")[2]
            spectrum = self._spectrum(channels, weights, label, quantity)
            self.file.notes.extend(spectrum.notes)
            if channels.name == values.name:
                self.found.wavelength = _mean(spectrum)
            else:
                self.found.wavelength = self._single(values, name, quantity)
                self.file.note(
                    f"the spectrum is that of the variant {label}; {name} is its nominal one"
                )
            if spectrum.wavelength.size > 1:
                self.found.spectrum = spectrum
        if self.shot is None and self.varies:
            self.file.notes.append(first_of_many(self.file.path, self.shots))

    def look_beside(self, group: Node, present: Sequence[tuple[str, Quantity]]) -> None:
        """Read the polarisation, and say what is ignored."""
        for other, quantity in present[1:]:
            values = self._dataset(group, other)
            second, first = self._single(values, other, quantity), self.found.wavelength
            if first is None:
                self.found.wavelength = second
            elif second is not None and abs(second - first) > _DISAGREE * first:
                says = f"{other} says {second:.6g} Å, {present[0][0]} {first:.6g} Å"
                self.file.note(f"{says}: the latter is used")
        for name in _STOKES:
            values = self.file.dataset(group, name)
            if values is not None and values.size >= 4:
                self._polarization(values, name)
        spread = f"{present[0][0]}_spread"
        aside = [name for name in (spread, *_ASIDE) if self.file.stored(group, name) is not None]
        if aside:
            self.file.note(f"ignored: {', '.join(aside)}; beam gives what an image depends on")
        if self.file.text(group, "depends_on") not in ("", "."):
            self.file.note("depends_on of the beam is ignored: it travels along +z")

    def _dataset(self, group: Node, name: str) -> Node:
        found = self.file.dataset(group, name)
        if found is None:
            raise self.file.refusal(f"{name} is not a field of numbers")
        return found

    def _with_weights(self, group: Node, name: str) -> tuple[Node, Node]:
        """Return channels and their weights, of the field itself or along its variants."""
        values = self._dataset(group, name)
        for _ in range(_LONGEST_VARIANTS):
            for weights in (f"{name}_weights", f"{name}_weight"):
                if (found := self.file.stored(group, weights)) is not None:
                    return values, found
            name = self.file.attribute(values, "variant")
            if not name:
                break
            values = self._dataset(group, name)
        return values, None

    def _row(self, dataset: Node, what: str, dimensions: int) -> NDArray[np.float64]:
        """Values of the shot: a row of an array that has one dimension more than a shot's."""
        if dataset.ndim < dimensions or dataset.size == 1:
            return self.file.array(dataset, what).reshape(-1)
        if dataset.ndim > dimensions:
            raise self.file.refusal(f"{what} has {dataset.ndim} dimensions")
        self.shots = max(self.shots, dataset.shape[0])
        if dimensions > 1 or np.ptp(self.file.array(dataset, what)) != 0.0:
            self.varies = True
        chosen = self.shot or 0
        if not 0 <= chosen < dataset.shape[0]:
            raise self._no_shot(f"{what} has {dataset.shape[0]}")
        row = stored_values(dataset, self.file.path, chosen)
        if np.asarray(row).dtype.kind not in "iuf":
            raise self.file.refusal(f"{what} holds no number")
        return np.asarray(row, dtype=np.float64).reshape(-1)

    def _single(self, values: Node, name: str, quantity: Quantity) -> float | None:
        """Return the one wavelength of the shot, Å; 0 stands for one that was not told."""
        row = self._row(values, name, 1)
        if row[0] == 0.0:
            return None
        found = self._unit(values, name, quantity, row).angstrom(float(row[0]))
        if not (math.isfinite(found) and row[0] > 0.0):
            raise self.file.refusal(f"{name} is {row[0]:g}")
        return found

    def _spectrum(self, channels: Node, weights: Node, name: str, quantity: Quantity) -> Spectrum:
        values = self._row(channels, name, 2)
        if not (np.isfinite(values).all() and (values > 0.0).all()):
            raise self.file.refusal(f"{name} holds values that are not positive numbers")
        # Where the channels stay, a single shot's weights may lie in one dimension.
        weight = self._row(weights, f"{name}_weights", 2)
        if weight.shape != values.shape:
            raise self.file.refusal(f"{name} has {values.size} channels, its weights {weight.size}")
        unit = self._unit(channels, name, quantity, values)
        weight, notes = usable_weights(weight, self.file.path, f"{name} in shot {self.shot or 0}")
        return Spectrum(unit.angstroms(values.tolist()), weight, notes)

    def _unit(
        self, dataset: Node, name: str, quantity: Quantity, values: NDArray[np.float64]
    ) -> SpectralUnit:
        word = unit_attribute(Attributes(dataset))
        if word is None:
            unit = unit_by_size(values.tolist(), quantity, self.file.path, name)
            self.file.note(f"{name} has no unit: it is taken in {unit.name} by its size")
            return unit
        return self.file.unit(spectral_unit(word), name, word)

    def _polarization(self, values: Node, name: str) -> None:
        """Read the Stokes vector I, Q, U, V, with Q along the horizontal x axis."""
        row = self._row(values, name, 2)
        intensity, along, between = (float(value) for value in row[:3])
        share = math.hypot(along, between) / intensity if intensity > 0.0 else math.inf
        if share > 1.0 + 1e-6:
            self.file.note(f"{name} is no Stokes vector of a beam and is ignored")
            return
        angle = 0.5 * math.atan2(between, along)
        self.found.fraction = 0.5 * (1.0 + min(1.0, share))
        self.found.polarization = (math.cos(angle), math.sin(angle), 0.0)


def _mean(spectrum: Spectrum) -> float:
    shares = spectrum.weight / spectrum.weight.max()
    return math.fsum((spectrum.wavelength * shares).tolist()) / math.fsum(shares.tolist())
