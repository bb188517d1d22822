"""What a frame makes of |F|: its sources' energies, and how much its crystal is disordered."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from distbragg.constants import ENERGY_WAVELENGTH_PRODUCT_EV_ANGSTROM
from distbragg.errors import InputError
from distbragg.models.beam import Beam, Sources
from distbragg.models.crystal import Crystal, Reflections, Spectral
from distbragg.models.scattering import attenuation, coefficients, stol_squared
from distbragg.models.setting import Resolved
from distbragg.models.vectors import Float64Array, frozen_float64
from distbragg.notes import Note
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.structure_factors import AnomalousSpec, ChannelSpec

_CHANNELS: Final = "structure_factors.channels"
_ANOMALOUS: Final = "structure_factors.anomalous_elements"

_LARGEST_RISE: Final = 1e100
"""Of |F| by a negative ΔB: beyond it |F|² is soon no number, and no measurement."""


def in_frame(
    table: Reflections,
    spec: ExperimentSpec,
    beam: Beam,
    crystal: Crystal,
    like: Resolved | None = None,
) -> Reflections:
    """Return |F| of a frame: the table itself where neither energy nor ΔB changes it.

    It is taken from another frame where nothing differs that decides it.
    """
    factors = spec.structure_factors
    delta_b = factors.delta_b_angstrom2
    if table.spectral is None and delta_b == 0.0:
        return table
    if (
        like is not None
        and like.table is table
        and like.experiment.beam is beam
        and like.spec.structure_factors is factors
        and (delta_b == 0.0 or np.array_equal(like.experiment.crystal.cell, crystal.cell))
    ):
        return like.experiment.reflections
    spectral, notes = table.spectral, table.notes
    amplitude = table.amplitude
    if spectral is not None:
        spectral = _of_beam(spectral, spec, beam.sources)
        if beam.sources.bandwidth > 0.0:
            text = "|F| of each line is that of its middle energy"
            notes = (*notes, Note("note", "beam.bandwidth_percent", text))
    if delta_b != 0.0:
        fall = _fall(delta_b, table, crystal)
        if not float(fall.max(initial=0.0)) <= _LARGEST_RISE:
            raise InputError(
                f"ΔB of {delta_b:g} Å² makes |F| grow {fall.max():.3g}-fold within the list",
                field="structure_factors.delta_b_angstrom2",
                remedy="check its sign and unit: a positive ΔB is of more disorder",
            )
        amplitude = _frozen(amplitude * fall)
        if spectral is not None:
            spectral = replace(spectral, tables=_frozen(spectral.tables * (fall * fall)))
    if spectral is not None:
        amplitude = _frozen(np.sqrt(mean_squared(spectral, beam.sources)))
    return replace(table, amplitude=amplitude, spectral=spectral, delta_b=delta_b, notes=notes)


def _fall(delta_b: float, table: Reflections, crystal: Crystal) -> Float64Array:
    """Return what |F| of a table falls by; of a box about 0 half is that of the other half."""
    h, k, l = box_indices(table)  # noqa: E741 - Miller indices
    sides = zip(table.origin, table.amplitude.shape, strict=True)
    is_even = all(2 * low + size == 1 for low, size in sides)
    middle = len(h) // 2 if is_even else 0
    half = stol_squared((h[middle:], k, l), crystal.reciprocal)
    with np.errstate(over="ignore"):
        found: Float64Array = np.exp(attenuation(delta_b, half))
    if middle == 0:
        return found
    return np.concatenate([found[:0:-1, ::-1, ::-1], found])


def box_indices(table: Reflections) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return h, k, l of a table's box as (nh, 1, 1), (nk, 1) and (nl,)."""
    h, k, l = (  # noqa: E741 - Miller indices
        np.arange(low, low + size, dtype=np.float64)
        for low, size in zip(table.origin, table.amplitude.shape, strict=True)
    )
    return h[:, np.newaxis, np.newaxis], k[:, np.newaxis], l


def _frozen(array: Float64Array) -> Float64Array:
    array.setflags(write=False)
    return array


def mean_squared(spectral: Spectral, sources: Sources) -> Float64Array:
    """Return the mean of |F|² over the sources by their weights, (nh, nk, nl)."""
    return combined(spectral, mean_coefficients(spectral, sources.weight))


def mean_coefficients(spectral: Spectral, weights: Float64Array) -> Float64Array:
    """Return the mean of the coefficients by weights, (tables,)."""
    mean: Float64Array = (spectral.coefficients * weights[:, np.newaxis]).sum(axis=0)
    mean /= weights.sum()
    return mean


def combined(spectral: Spectral, share: Float64Array) -> Float64Array:
    """Return Σ_m c_m B_m for coefficients (tables,), (nh, nk, nl); rounding leaves none below 0."""
    total = np.zeros(spectral.tables.shape[1:])
    for factor, part in zip(share.tolist(), spectral.tables, strict=True):
        if factor != 0.0:
            total += factor * part
    return np.maximum(total, 0.0, out=total)


def _of_beam(spectral: Spectral, spec: ExperimentSpec, sources: Sources) -> Spectral:
    """Fill in the coefficients of the sources."""
    energies = ENERGY_WAVELENGTH_PRODUCT_EV_ANGSTROM / sources.wavelength
    factors = spec.structure_factors
    if spectral.kind == "channels":
        found = _memberships(factors.channels or (), energies)
        return replace(spectral, coefficients=frozen_float64(found))
    entries = factors.anomalous_elements or ()
    scattering = np.stack([_scattering(n, one, energies) for n, one in enumerate(entries)], axis=1)
    found = np.stack(coefficients(scattering[0], scattering[1]), axis=1)
    return replace(
        spectral, coefficients=frozen_float64(found), scattering=frozen_float64(scattering)
    )


def _scattering(number: int, entry: AnomalousSpec, energies: Float64Array) -> Float64Array:
    """Return f′ and f″ of an entry at energies (n,), eV, (2, n), electrons."""
    from distbragg.read.dispersion import by_gemmi, from_table

    field = f"{_ANOMALOUS}.{number}"
    if entry.table_file is not None:
        return from_table(entry.table_file, energies, f"{field}.table_file")
    return by_gemmi(entry.element, energies, f"{field}.element")


def _memberships(channels: tuple[ChannelSpec, ...], energies: Float64Array) -> Float64Array:
    """Return which channel each source belongs to, (sources, channels): 1 or 0."""
    found = np.zeros((len(energies), len(channels)))
    for number, channel in enumerate(channels):
        if channel.sources is not None:
            if max(channel.sources) >= len(energies):
                raise InputError(
                    f"there is no source {max(channel.sources)}: there are {len(energies)}",
                    field=f"{_CHANNELS}.{number}.sources",
                    remedy="sources of weight 0 are left out, and the rest counted from 0",
                )
            found[list(channel.sources), number] = 1.0
        elif channel.energy_ev is not None:
            low, high = channel.energy_ev
            found[(energies >= low) & (energies <= high), number] = 1.0
    count = found.sum(axis=1)
    for source in np.flatnonzero(count != 1.0)[:1].tolist():
        energy = f"source {source} of {energies[source]:.6g} eV"
        raise InputError(
            f"{energy} belongs to {'no channel' if count[source] == 0 else 'several channels'}",
            field=_CHANNELS,
            remedy="let the channels share out all sources",
        )
    return found
