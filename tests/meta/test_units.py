"""Units and constants: what names promise and what the modules hold."""

from __future__ import annotations

import dataclasses
import math
import typing

import numpy as np
import pytest
from pydantic import BaseModel

from distbragg import constants, units
from distbragg.models.build import build_experiment
from distbragg.models.identity import WHERE_GIVEN
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.load import parse_spec

SUFFIXES = (
    *(
        "_mm",
        "_um",
        "_um3",
        "_per_angstrom",
        "_m",
        "_angstrom",
        "_angstrom2",
        "_deg",
        "_mrad",
        "_percent",
        "_ev",
        "_px",
    ),
    *("_s", "_gb", "_electrons", "_photons", "_photons_per_m2", "_photons_per_s", "_g_per_cm3"),
    *("_g_per_mol", "_e_per_a3", "_adu", "_adu_per_photon", "adu_per_photon", "_fraction"),
)
DIMENSIONLESS = {
    "beam.direction",
    "beam.polarization.kahn_factor",
    "beam.polarization.axis",
    "beam.spectrum.weights",
    "crystal.cell",
    "crystal.diffuse.axes",
    "crystal.quaternion_xyzw",
    "crystal.u_matrix",
    "crystal.block_cells",
    "crystal.fudge",
    "crystal.drawn_lattices.relative_scale",
    "crystal.lattices.cell",
    "crystal.lattices.block_cells",
    "crystal.lattices.illuminated_blocks",
    "crystal.lattices.quaternion_xyzw",
    "crystal.lattices.u_matrix",
    "crystal.illuminated_blocks",
    "detector.response.dead_value",
    "detector.response.hot_value",
    "detector.response.masked_value",
    "detector.response.overload_value",
    "detector.axes.fast",
    "detector.panels.fast",
    "detector.panels.slow",
    "detector.axes.slow",
    "detector.axes.normal",
    "detector.axes.twotheta",
    "goniometer.spindle_axis",
    "goniometer.kappa.kappa_axis",
    "goniometer.kappa.phi_axis",
    "background.stol_scale",
    "background.materials.stol_scale",
    "background.materials.scale",
    "background.ice_rings.scale",
    "background.image.scale",
    "detector.beam_stop.transmission",
    "detector.point_spread.file_sum",
    "detector.panels.point_spread.file_sum",
    "structure_factors.models.weight",
    "structure_factors.channels.factor",
}
"""Fields of real numbers without a unit in the name: directions, ratios, weights, the cell."""


def number_fields(model: type[BaseModel], path: str = ""):
    """Dotted paths of the fields that hold real numbers."""
    for name, field in model.model_fields.items():
        inner = list(models_in(field.annotation))
        if inner:
            yield from number_fields(inner[0], f"{path}{name}.")
        elif holds_numbers(field.annotation):
            yield f"{path}{name}"


def holds_numbers(annotation: object) -> bool:
    return annotation is float or any(map(holds_numbers, typing.get_args(annotation)))


def models_in(annotation: object):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from models_in(part)


@pytest.mark.spec("UNI-1")
def test_every_number_of_a_specification_carries_its_unit():
    fields = list(number_fields(ExperimentSpec))
    assert {field for field in fields if not field.endswith(SUFFIXES)} == DIMENSIONLESS
    assert len(fields) > 40


@pytest.mark.spec("UNI-2")
def test_resolved_models_are_decided_read_only_float64():
    experiment = build_experiment(
        parse_spec(
            {
                "beam": {"wavelength_angstrom": 1.0},
                "structure_factors": {"default_f_electrons": 1.0},
                "crystal": {"cell": [70, 80, 90, 75, 85, 95]},
                "detector": {"curved": True},
            }
        )
    )
    arrays = 0
    for path, value in leaves(experiment, "experiment"):
        assert value is not None, path
        if isinstance(value, np.ndarray):
            arrays += 1
            assert value.dtype in (np.float64, np.bool_), path
            assert not value.flags.writeable, path
    assert arrays > 15


def leaves(value: object, path: str):
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            part = getattr(value, field.name)
            if part is None and field.metadata == WHERE_GIVEN:
                continue  # a feature that is not used
            yield from leaves(part, f"{path}.{field.name}")
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path, value


@pytest.mark.spec("UNI-2")
def test_lengths_angles_and_energies_are_resolved_to_the_units_of_models():
    experiment = build_experiment(
        parse_spec(
            {
                "beam": {"energy_ev": 12398.42, "fluence_photons_per_m2": 1e20},
                "structure_factors": {"default_f_electrons": 1.0},
                "crystal": {
                    "cell": [70, 80, 90, 75, 85, 95],
                    "mosaic": {"spread_deg": 0.5, "domains": 2},
                },
                "detector": {"distance_mm": 123, "pixel_size_mm": 0.25},
                "goniometer": {"phi_deg": 30},
            }
        )
    )
    panel = experiment.detector.panels[0]
    assert experiment.beam.wavelength == pytest.approx(1.0, rel=1e-15)
    assert panel.pixel_size == pytest.approx(0.25e-3, rel=1e-15)
    assert panel.distance == pytest.approx(0.123, rel=1e-15)
    assert experiment.crystal.cell[:3] == pytest.approx([70, 80, 90], rel=1e-12)
    assert experiment.crystal.cell[3] == pytest.approx(math.radians(75), rel=1e-12)
    assert experiment.crystal.mosaic_spread == pytest.approx(math.radians(0.5), rel=1e-15)
    assert experiment.crystal.phi[0] == pytest.approx(math.radians(30), rel=1e-15)
    assert experiment.beam.fluence == 1e20


@pytest.mark.spec("UNI-3")
def test_conversion_factors():
    assert units.mm_to_m(2.0) == 2.0e-3
    assert units.um_to_m(2.0) == 2.0e-6
    assert units.mrad_to_rad(3.0) == 3.0e-3
    assert units.percent_to_fraction(5.0) == 5.0e-2
    assert units.deg_to_rad(180.0) == math.pi
    assert units.metres_to_angstrom(1.5e-10) == pytest.approx(1.5, rel=1e-15)


@pytest.mark.spec("UNI-4")
def test_energy_and_wavelength():
    assert units.energy_ev_to_wavelength_angstrom(12398.42) == 1.0
    assert units.energy_ev_to_wavelength_angstrom(6199.21) == 2.0


@pytest.mark.spec("UNI-5")
def test_constants_are_those_of_the_c_program():
    assert constants.CLASSICAL_ELECTRON_RADIUS_SQUARED_M2 == 7.94079248018965e-30
    assert constants.AVOGADRO_PER_MOL == 6.02214179e23
    assert constants.DEFAULT_FLUENCE_PHOTONS_PER_M2 == 125932015286227086360700780544.0
    product = (
        constants.DEFAULT_FLUENCE_PHOTONS_PER_M2 * constants.CLASSICAL_ELECTRON_RADIUS_SQUARED_M2
    )
    assert product == pytest.approx(1.0, rel=1e-12)
