"""The response of the detector: from what is written, and from typical figures, to numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment, physics_hash
from distbragg.models.response import GainZone, Response
from distbragg.physics.factors import intensity_scale
from distbragg.read.typical_response import typical_response
from distbragg.spec.load import parse_spec, parse_sweep

ENERGY_KEV = 12.39842  # of 1 Å


def resolved(response: Any, dtype: str = "float32", **sections: Any) -> Experiment:
    plain: dict[str, Any] = {
        "beam": {"wavelength_angstrom": 1.0},
        "crystal": {"cell": [31, 37, 41, 90, 90, 90], "block_cells": [5, 6, 7]},
        "structure_factors": {"default_f_electrons": 10.0},
        "detector": {"distance_mm": 60, "pixels_fast": 13, "pixels_slow": 11, "pixel_size_mm": 1.0},
        "output": {"dtype": dtype},
    }
    for name, fields in sections.items():
        plain[name] = {**plain.get(name, {}), **fields}
    if response is not None:
        plain["detector"]["response"] = response
    return build_experiment(parse_spec(plain))


def response_of(response: Any, dtype: str = "float32", **sections: Any) -> Response:
    found = resolved(response, dtype, **sections).response
    assert found is not None
    return found


@pytest.mark.spec("RSP-10")
def test_without_the_section_there_is_none_and_the_identity_is_what_it_was() -> None:
    bare = resolved(None)
    assert bare.response is None
    assert physics_hash(bare) == physics_hash(resolved(None, dtype="float64"))
    assert physics_hash(bare) != physics_hash(resolved({}))


@pytest.mark.spec("RSP-4")
def test_an_empty_section_counts_one_for_one() -> None:
    found = response_of({})
    assert found == Response(overload=math.inf, hot_value=math.inf)
    assert (found.unit, found.gain, found.offset) == ("ADU", 1.0, 0.0)


@pytest.mark.spec("RSP-8")
@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("uint16", 0, 65534), ("int16", -32768, 32766), ("int32", -(2**31), 2**31 - 2),
     ("uint32", 0, 2**32 - 2)],
)  # fmt: skip
def test_integer_types_bound_what_is_recorded(dtype: str, low: int, high: int) -> None:
    found = response_of({}, dtype)
    assert found.rounded
    assert (found.lowest, found.highest, found.overload) == (low, high, high)
    assert response_of({"saturation_adu": 1000}, dtype).overload == 1000
    assert response_of({"saturation_photons": 400.25, "gain_adu_per_photon": 2, "offset_adu": 10},
                       dtype).overload == 810  # fmt: skip


@pytest.mark.spec("RSP-11")
@pytest.mark.parametrize(
    ("preset", "family"),
    [("rayonix_mx340hs", "rayonix"), ("pilatus3_6m", "pilatus"), ("eiger2_16m", "eiger"),
     ("jungfrau_4m", "jungfrau"), ("agipd_1m", "agipd")],
)  # fmt: skip
def test_typical_figures_are_those_of_the_preset_and_name_their_source(
    preset: str, family: Any
) -> None:
    detector = {"preset": preset, "distance_mm": 300, "pixels_fast": None, "pixels_slow": None,
                "pixel_size_mm": None}  # fmt: skip
    experiment = resolved("typical", detector=detector)
    assert experiment.response == response_of({"typical": family})
    lines = [note.line for note in experiment.notes]
    assert any(typical_response(family).source in line for line in lines)


@pytest.mark.spec("RSP-11")
def test_typical_figures_of_charge_go_by_the_energy_of_a_photon() -> None:
    found = response_of({"typical": "jungfrau", "stored_as": "adu"}, "uint16")
    first, second, third = found.zones
    assert first == GainZone(0.0, 41.0 * ENERGY_KEV, 2500.0, 12.3)
    assert second.start == pytest.approx(338 / ENERGY_KEV, rel=1e-12)
    assert (third.code, found.highest, found.overload) == (3 * 2**14, 2**14 - 1, 65534)
    assert found.saturation == pytest.approx(120000 / ENERGY_KEV, rel=1e-12)
    assert response_of({"typical": "epix10ka"}).in_photons
    own = response_of({"typical": "rayonix", "offset_adu": 10})
    assert own.zones == (GainZone(0.0, 0.147 * ENERGY_KEV, 10.0, 4.1),)


@pytest.mark.spec("RSP-9")
def test_bad_pixels_come_from_lists_and_from_a_file(tmp_path: Path) -> None:
    listed = tmp_path / "bad.txt"
    listed.write_text("# panel slow fast\n0 1 0 dead\n0 0 7 hot\n")
    found = response_of(
        {"dead_pixels": [[0, 3], [0, 10, 12]], "bad_pixel_file": str(listed)}, "uint16"
    )
    assert found.dead == (3, 13, 142)
    assert found.hot == (7,)
    assert found.hot_value == 65534


@pytest.mark.spec("RSP-12")
@pytest.mark.parametrize(
    ("response", "field"),
    [
        ("typical", "detector.response.typical"),
        ({"hot_pixels": [[0, 0]]}, "detector.response.hot_value"),
        ({"dead_pixels": [[11, 0]]}, "detector.response.dead_pixels"),
        ({"typical": "agipd", "offset_adu": 3}, "detector.response.typical"),
        ({"gain_adu_per_photon": 0}, "detector.response.gain_adu_per_photon"),
        ({"zones": [{"adu_per_photon": 1, "from_photons": 4}]}, "detector.response.zones"),
        ({"zones": [{"adu_per_photon": 1}], "readout_adu": 2}, "detector.response.readout_adu"),
        ({"dead_fraction": 0.6, "hot_fraction": 0.5}, "detector.response.hot_fraction"),
        ({"offset_adu": 100, "saturation_adu": 50}, "detector.response.saturation_adu"),
        (
            {"typical": "jungfrau", "saturation_adu": 50, "stored_as": "photons"},
            "detector.response.saturation_adu",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(response: Any, field: str) -> None:
    with pytest.raises(InputError) as raised:
        resolved(response)
    assert raised.value.field == field


@pytest.mark.spec("RSP-8")
def test_saturation_in_adu_bounds_the_photons_that_are_made_of_them() -> None:
    # (40 000 - 100) / 10 photons fill the converter.
    response = {"gain_adu_per_photon": 10, "offset_adu": 100, "saturation_adu": 40000,
                "stored_as": "photons"}  # fmt: skip
    assert response_of(response).highest == 3990.0
    assert response_of({**response, "saturation_adu": 40005}, "uint16").overload == 3990.0


@pytest.mark.spec("RSP-12")
def test_a_value_that_the_type_does_not_hold_is_refused() -> None:
    with pytest.raises(InputError) as raised:
        resolved({"offset_adu": 70000}, "uint16")
    assert raised.value.field == "detector.response.offset_adu"
    with pytest.raises(InputError, match="-1 is not a value that uint16 stores"):
        resolved({"masked_value": -1}, "uint16")
    assert response_of({"masked_value": -1}, "int16").masked_value == -1.0


@pytest.mark.spec("RSP-12")
def test_a_bad_line_of_a_bad_pixel_file_is_named(tmp_path: Path) -> None:
    listed = tmp_path / "bad.txt"
    listed.write_text("0 1 0 dead\n0 0 warm\n")
    with pytest.raises(InputError, match=r"bad.txt:2"):
        resolved({"bad_pixel_file": str(listed)})


@pytest.mark.spec("RSP-13")
def test_the_energy_of_the_pulse_is_drawn_for_each_frame_and_scales_it() -> None:
    plain = {
        "beam": {"wavelength_angstrom": 1.0, "pulse_energy_fraction": 0.2},
        "crystal": {"cell": [31, 37, 41, 90, 90, 90], "block_cells": [5, 6, 7]},
        "structure_factors": {"default_f_electrons": 10.0},
        "detector": {"distance_mm": 60, "pixels_fast": 3, "pixels_slow": 3, "pixel_size_mm": 1.0},
    }
    spec = parse_spec(plain)
    frames = [build_experiment(spec, frame=frame) for frame in range(400)]
    drawn = np.array([frame.beam.pulse_energy for frame in frames])
    assert abs(drawn.mean() - 1.0) < 4 * 0.2 / 20
    assert drawn.std() == pytest.approx(0.2, rel=4 / math.sqrt(800))
    assert build_experiment(spec, frame=7).beam.pulse_energy == drawn[7]
    still = build_experiment(parse_spec({**plain, "beam": {"wavelength_angstrom": 1.0}}))
    assert intensity_scale(frames[3]) == pytest.approx(intensity_scale(still) * drawn[3], rel=1e-15)


@pytest.mark.spec("RSP-16")
def test_sweeps_reach_every_field() -> None:
    base = {
        "beam": {"wavelength_angstrom": 1.0},
        "crystal": {"cell": [31, 37, 41, 90, 90, 90], "block_cells": [5, 6, 7]},
        "structure_factors": {"default_f_electrons": 10.0},
        "detector": {"response": {"zones": [{"adu_per_photon": 1.0}]}},
    }
    axes = [
        {"name": "noise", "path": "detector.response.zones.0.readout_adu", "values": [1.0, 2.0]},
        {"name": "spread", "path": "detector.response.calibration_fraction", "values": [0.0, 0.1]},
        {"name": "pulse", "path": "beam.pulse_energy_fraction", "values": [0.0, 0.5]},
    ]
    sweep = parse_sweep({"experiment": base, "axes": axes})
    units = {axis.name: axis.unit for axis in sweep.coordinates()}
    assert units == {"noise": "ADU", "spread": "1", "pulse": "1"}
    last = build_experiment(sweep.frame_spec(7), frame=7)
    assert last.response is not None
    assert (last.response.zones[0].readout, last.response.calibration) == (2.0, 0.1)
    assert last.beam.pulse_energy != 1.0
