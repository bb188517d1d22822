"""Blocks in the beam, from the sizes of crystal, beam and block; all numbers by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.kernel.finalize import finalize_tile
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import render_tile
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.plan.frame import SourceChunk, Tile
from distbragg.spec.load import parse_spec
from tests.clauses import scene

BEAM = {"flux_photons_per_s": 1e12, "exposure_s": 1.0, "size_mm": 0.003}


def built(specimen: object = None, beam: object = None, **crystal: object) -> Experiment:
    return build_experiment(
        parse_spec(
            {
                "beam": {"wavelength_angstrom": 1.0, **(BEAM if beam is None else beam)},
                "crystal": {
                    "cell": [52, 52, 52, 90, 90, 90],
                    "block_cells": [30, 30, 30],
                    **crystal,
                    **({} if specimen is None else {"specimen": specimen}),
                },
                "structure_factors": {"default_f_electrons": 100},
                "detector": {"pixels_fast": 9, "pixels_slow": 7},
            }
        )
    )


BLOCK_UM3 = 0.156**3
"""30 cells of 52 Å are 0.156 µm."""


@pytest.mark.spec("SCL-13")
@pytest.mark.parametrize(
    ("specimen", "seen_um3"),
    [
        ({"edges_um": [1.856, 10, 10]}, 1.856 * 3 * 3),
        ({"edges_um": [5, 2, 10]}, 5 * 2 * 3),
        ({"edges_um": [1, 1, 1]}, 1.0),
        ({"volume_um3": 8}, 8.0),
        ({"volume_um3": 125}, 5 * 3 * 3),
        ({"diameter_um": 2, "length_um": 10}, math.pi * 3),
        ({"diameter_um": 2, "length_um": 1}, math.pi),
        # A circle of radius 3 less two segments beyond ±1.5: 9 (π/3 + √3/2) µm² in section.
        ({"diameter_um": 6, "length_um": 10}, 3 * 9 * (math.pi / 3 + math.sqrt(3) / 2)),
    ],
)
def test_blocks_fill_what_the_beam_sees_of_the_crystal(specimen, seen_um3: float) -> None:
    assert built(specimen).crystal.scale == pytest.approx(seen_um3 / BLOCK_UM3, rel=1e-12)


@pytest.mark.spec("SCL-13")
def test_a_fluence_without_a_size_lights_the_whole_crystal() -> None:
    fluence = {"fluence_photons_per_m2": 1e23}
    specimen = {"edges_um": [200, 200, 300]}
    assert built(specimen, fluence).crystal.scale == pytest.approx(1.2e7 / BLOCK_UM3, rel=1e-12)
    sized = {"fluence_photons_per_m2": 1e23, "size_mm": 0.1}
    assert built(specimen, sized).crystal.scale == pytest.approx(2e6 / BLOCK_UM3, rel=1e-12)


@pytest.mark.spec("SCL-13")
@pytest.mark.parametrize(
    ("specimen", "crystal", "field"),
    [
        ({"edges_um": [1, 1, 1]}, {"illuminated_blocks": 10}, "crystal.specimen"),
        ({"edges_um": [1, 1, 1], "volume_um3": 1}, {}, "crystal.specimen.volume_um3"),
        ({"volume_um3": 1, "diameter_um": 1, "length_um": 2}, {}, "crystal.specimen.diameter_um"),
        ({"diameter_um": 1}, {}, "crystal.specimen.length_um"),
        ({}, {}, "crystal.specimen"),
        # A block of 0.0038 µm³.
        ({"volume_um3": 0.0037}, {}, "crystal.specimen"),
    ],
)
def test_what_contradicts_itself_is_refused(specimen, crystal, field: str) -> None:
    with pytest.raises(InputError) as caught:
        built(specimen, **crystal)
    assert caught.value.field == field


@pytest.mark.spec("SCL-13")
def test_what_follows_is_told() -> None:
    told = {note.place: note.text for note in built({"volume_um3": 1}).notes}
    assert told["crystal.specimen"] == "the beam illuminates 263.4 blocks of 30 x 30 x 30 cells"
    assert told["beam.flux_photons_per_s"] == "1.111e+23 photons/m² at the sample"
    assert "crystal.illuminated_blocks = 1" in str(built().notes)


@pytest.mark.spec("SCL-13")
def test_a_beam_of_no_size_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        built({"volume_um3": 1}, {"fluence_photons_per_m2": 1e20, "size_mm": 0})
    assert caught.value.field == "beam.size_mm"


@pytest.mark.spec("SCL-13")
def test_a_real_beam_on_a_real_crystal_is_seen_above_its_water() -> None:
    # 10¹² photons through (3 µm)² are 1.111e23 m⁻², r_e² Φ = 8.8231e-7. The reflection 12 16 -4
    # of |F| = 213, 30³ cells of (52 Å)³, in a pixel of 135 µm at 130 mm and cos = 12/13,
    # 9.954e-7 sr: 8.8231e-7 · 213² · 30⁶ · 9.954e-7 = 29.05 photons of one block. A plate of
    # 1.856 µm holds 1.856 · 9 / 0.156³ = 4,400 blocks of them, 127,800 photons, on 55 µm of water
    # of F = 7.32: 9e-12 · 55e-6 · 3.3456e28 = 1.656e13 molecules, 779 photons.
    experiment = built({"edges_um": [1.856, 10, 10]})
    pixel = 1.35e-4
    origin = (0.03 - pixel / 2, 0.04 - pixel / 2, 0.12)

    def photons(scale: float) -> float:
        view = scene.scene(
            view=scene.panel(pixel_size=pixel, origin=origin),
            beam_of=scene.beam(fluence=experiment.beam.fluence),
            table=scene.no_reflections(213.0),
            edges=52.0 * np.eye(3),
            cells=(30.0,) * 3,
            shape="gauss",
            molecules=1.656e13,
            background=(7.32,),
        )
        view = replace(view, crystal=replace(view.crystal, scale=scale))
        tile = Tile(0, 1, 0, 1)
        options = KernelOptions("float64", "model", "cpu", 1)
        numerator = render_tile(view, 0, tile, SourceChunk(0, 1), options)
        return float(finalize_tile(view, 0, tile, numerator, frame=0)[0])

    assert experiment.beam.fluence == pytest.approx(1.1111e23, rel=1e-4)
    assert experiment.crystal.scale == pytest.approx(4400, rel=1e-3)
    assert photons(1.0) == pytest.approx(29.05 + 779, rel=2e-3)
    assert photons(experiment.crystal.scale) == pytest.approx(127_800 + 779, rel=2e-3)
