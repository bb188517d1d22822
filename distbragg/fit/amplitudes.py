"""|F| as a function of the parameters: reflection by reflection, by energy, by ΔB."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from distbragg.errors import InputError
from distbragg.fit.parameters import Parameters
from distbragg.kernel.scene import Source, amplitude_table
from distbragg.models.build_spectral import box_indices
from distbragg.models.experiment import Experiment
from distbragg.models.scattering import attenuation, coefficients, stol_squared
from distbragg.physics.amplitude import AmplitudeTable


def table_of(experiment: Experiment, parameters: Parameters, real: Tensor) -> AmplitudeTable:
    """Return |F| of the parameters; rows of `real` (3, 3) are a, b, c, Å."""
    reflections = experiment.reflections
    table = amplitude_table(reflections, real.device)
    if parameters.amplitude_electrons is not None:
        if reflections.spectral is not None:
            raise InputError(
                "|F| follows the energy of each source",
                field="parameters.amplitude_electrons",
                remedy="give f_prime_electrons and f_double_prime_electrons",
            )
        default = real.new_tensor([reflections.default_amplitude])
        table = replace(table, values=torch.cat([parameters.amplitude_electrons.ravel(), default]))
    given = parameters.delta_b_angstrom2
    if given is None and (reflections.delta_b == 0.0 or parameters.cell is None):
        return table
    if reflections.default_amplitude != 0.0:
        raise InputError(
            "a reflection beyond the list has no ΔB",
            field="parameters.delta_b_angstrom2",
            remedy="give an experiment without structure_factors.default_f_electrons",
        )
    fall = _fall(experiment, reflections.delta_b if given is None else given, real)
    squares = None if table.squares is None else table.squares * (fall * fall)
    return replace(table, values=table.values * fall, squares=squares)


def _fall(experiment: Experiment, delta_b: float | Tensor, real: Tensor) -> Tensor:
    """Return what |F| is to be multiplied with, (table,): its own ΔB is taken out of it."""
    reflections = experiment.reflections
    h, k, l = (torch.from_numpy(part).to(real.device) for part in box_indices(reflections))  # noqa: E741
    reciprocal = torch.linalg.inv(real).T
    exponent = attenuation(delta_b, stol_squared((h, k, l), reciprocal))
    if reflections.delta_b != 0.0:
        before = torch.from_numpy(np.array(experiment.crystal.reciprocal)).to(real.device)
        exponent = exponent - attenuation(reflections.delta_b, stol_squared((h, k, l), before))
    return torch.cat([torch.exp(exponent).ravel(), real.new_ones(1)])


def with_scattering(
    sources: tuple[Source, ...], experiment: Experiment, parameters: Parameters
) -> tuple[Source, ...]:
    """Put the parameters' f′ and f″ into the sources."""
    spectral = experiment.reflections.spectral
    given = parameters.f_prime_electrons, parameters.f_double_prime_electrons
    if given == (None, None):
        return sources
    if spectral is None or spectral.kind != "anomalous":
        raise InputError(
            "the experiment has no anomalous elements",
            field="parameters.f_prime_electrons",
            remedy="name them in structure_factors.anomalous_elements",
        )
    device = next(value.device for value in given if value is not None)
    own = torch.from_numpy(np.array(spectral.scattering)).to(device)
    real, imaginary = (old if new is None else new for old, new in zip(own, given, strict=True))
    shares = torch.stack(coefficients(real, imaginary), 1)
    return tuple(
        replace(source, coefficients=share) for source, share in zip(sources, shares, strict=True)
    )
