"""The experiment as the model's loops want it: numbers and tensors on one device."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from distbragg.kernel.amorphous import summed_curve
from distbragg.models.crystal import Crystal, Reflections
from distbragg.models.experiment import Experiment, Sampling
from distbragg.models.vectors import Float64Array, components
from distbragg.physics.amorphous import AmorphousTable, SummedTable
from distbragg.physics.amplitude import AmplitudeTable
from distbragg.physics.arrays import Array, Triple
from distbragg.physics.closed_form import Incidence
from distbragg.physics.diffuse import DiffuseTerms, diffuse_of
from distbragg.physics.factors import PolarizationFrame, polarization_frame
from distbragg.physics.halos import Spread
from distbragg.physics.near_sphere import gaussian_crystal, incidence_of, symmetric
from distbragg.physics.orientation import domain_vectors
from distbragg.physics.rays import Placement, placement_of
from distbragg.physics.transform import Spot

_KEPT_TABLES: Final = 4
_tables: OrderedDict[
    tuple[int, str, float], tuple[weakref.ref[Any], tuple[Tensor, Tensor | None]]
] = OrderedDict()
_tables_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Source:
    """One source of the beam."""

    incident: Triple  # unit vector along its beam
    wavelength: Array  # Å
    weight: Array
    frame: PolarizationFrame
    coefficients: Array | None = None  # (tables,), where |F| follows the energy
    incidence: Incidence | None = None  # how it spreads, where halos alone are summed


@dataclass(frozen=True, slots=True)
class Scene:
    """One panel under all its sources; numbers may be tensors that carry gradients."""

    placement: Placement
    sampling: Sampling
    kahn_factor: float | None  # None where the polarisation factor is not inside the sum
    spot: Spot
    vectors: Tensor  # (orientations, 9), Å: a, b, c of every spindle step and domain
    blocks: Array  # of the crystal that the beam illuminates
    table: AmplitudeTable
    background: AmorphousTable | SummedTable | None  # None where no background is inside the sum
    sources: tuple[Source, ...]
    diffuse: DiffuseTerms | None = None
    spread: Spread | None = None  # where halos alone are summed


def make_scene(experiment: Experiment, panel: int, sources: slice, device: torch.device) -> Scene:
    """Return the scene of a panel under some of its sources, with the experiment's own numbers."""
    beam, sampling = experiment.beam, experiment.sampling
    exact = experiment.physics == "exact"
    inside = beam.polarized and sampling.per_sample_polarization
    return Scene(
        placement=placement_of(experiment.detector.panels[panel], beam.direction),
        sampling=sampling,
        kahn_factor=beam.kahn_factor if inside else None,
        spot=spot_of(experiment.crystal),
        vectors=torch.from_numpy(domain_vectors(experiment.crystal)).to(device),
        blocks=experiment.crystal.scale,
        table=amplitude_table(experiment.reflections, device),
        background=_background(experiment, device) if exact else None,
        sources=_sources(experiment, sources),
        diffuse=diffuse_of(experiment.crystal),
        spread=spread_of(experiment.crystal) if sampling.method == "halos" else None,
    )


def spread_of(crystal: Crystal) -> Spread:
    """Return how the domains of a crystal differ from its mean, as floats."""
    own = gaussian_crystal(crystal)
    return Spread.of(symmetric(own.mosaic), own.spindle, own.strains)


def spot_of(crystal: Crystal) -> Spot:
    """Return what the transform needs of a crystal, as floats."""
    rows = [components(row) for row in crystal.spot_form]
    return Spot(
        crystal.shape, (*crystal.cells.tolist(), *crystal.cells_beside), (rows[0], rows[1], rows[2])
    )


def _background(
    experiment: Experiment, device: torch.device
) -> AmorphousTable | SummedTable | None:
    background = experiment.background
    if not background.scatters:
        return None

    def tensor(values: Float64Array) -> Tensor:
        return torch.tensor(values.tolist(), dtype=torch.float64, device=device)

    if background.others:
        stol, curve = summed_curve(background)
        return SummedTable(tensor(stol), tensor(curve))
    return AmorphousTable(
        background.molecules, tensor(background.stol), tensor(background.amplitude)
    )


def _sources(experiment: Experiment, chosen: slice) -> tuple[Source, ...]:
    beam, spectral = experiment.beam, experiment.reflections.spectral
    table = beam.sources
    numbers_of = range(table.count)[chosen]
    count = len(numbers_of)
    spread: list[Incidence | None] = [None] * count
    if experiment.sampling.method == "halos":
        spread = [incidence_of(beam, number) for number in numbers_of]
    shares = [None] * count if spectral is None else spectral.coefficients[chosen].tolist()
    x, y, z = -table.direction[chosen].T
    frames = polarization_frame((x, y, z), components(beam.polarization_axis))
    rows = [frames.incident, frames.electric, frames.magnetic]
    numbers = np.stack([x, y, z, *(part for row in rows for part in row), frames.planeless])
    return tuple(
        Source(
            (at[0], at[1], at[2]),
            wavelength,
            weight,
            PolarizationFrame((*at[3:6],), (*at[6:9],), (*at[9:12],), at[12]),
            share,
            incidence,
        )
        for at, wavelength, weight, share, incidence in zip(
            numbers.T.tolist(),
            table.wavelength[chosen].tolist(),
            table.weight[chosen].tolist(),
            shares,
            spread,
            strict=True,
        )
    )


def amplitude_table(reflections: Reflections, device: torch.device) -> AmplitudeTable:
    """Return the table of |F|; the last few made are kept, by identity of the array."""
    amplitude = reflections.amplitude
    shape = (int(amplitude.shape[0]), int(amplitude.shape[1]), int(amplitude.shape[2]))
    key = (id(amplitude), str(device), reflections.default_amplitude)
    with _tables_lock:
        kept = _tables.get(key)
    if kept is not None and kept[0]() is amplitude:
        values, squares = kept[1]
    else:
        flat = np.append(amplitude.ravel(), reflections.default_amplitude)
        values, squares = torch.from_numpy(flat).to(device), _squares(reflections, device)
        with _tables_lock:
            for stale in [name for name, (owner, _) in _tables.items() if owner() is None]:
                del _tables[stale]
            _tables[key] = (weakref.ref(amplitude), (values, squares))
            while len(_tables) > _KEPT_TABLES:
                _tables.popitem(last=False)
    interpolate = reflections.interpolate and amplitude.size > 0
    return AmplitudeTable(values, shape, reflections.origin, interpolate, squares)


def _squares(reflections: Reflections, device: torch.device) -> Tensor | None:
    """Return the tables of |F|² by energy with the default, which is 0, behind each."""
    if reflections.spectral is None:
        return None
    tables = reflections.spectral.tables
    flat = tables.reshape(len(tables), -1)
    return torch.from_numpy(np.pad(flat, ((0, 0), (0, 1)))).to(device)
