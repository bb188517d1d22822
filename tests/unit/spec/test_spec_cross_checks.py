"""Fields that do not go together are refused, in files and in Python alike."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from distbragg.errors import InputError
from distbragg.models.vectors import cell_parameters
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.load import parse_spec

LINES = {"wavelengths_angstrom": [1.0, 1.1, 1.2]}


@pytest.mark.spec("CRY-2")
@pytest.mark.spec("SRC-7")
@pytest.mark.spec("SRC-10")
@pytest.mark.parametrize(
    ("data", "field", "words"),
    [
        ({"beam": {"wavelength_angstrom": 1, "energy_ev": 9000}}, "beam.energy_ev", "one of the"),
        (
            {"beam": {"fluence_photons_per_m2": 1, "flux_photons_per_s": 1}},
            "beam.flux_photons_per_s",
            "keep one",
        ),
        ({"beam": {"exposure_s": 1}}, "beam.exposure_s", "no effect"),
        ({"beam": {"flux_photons_per_s": 1, "size_mm": 0}}, "beam.size_mm", "infinite"),
        ({"beam": {"direction": [0, 0, 0]}}, "beam.direction", "0 0 0"),
        ({"beam": {"polarization": {"axis": [0, 0, 0]}}}, "beam.polarization.axis", "0 0 0"),
        ({"beam": {"polarization": {"kahn_factor": 1.5}}}, "beam.polarization.kahn_factor", "1"),
        ({"beam": {"spectrum": LINES, "source_file": "a"}}, "beam.spectrum", "keep one"),
        (
            {"beam": {"spectrum": LINES, "dispersion": {"range_percent": 1}}},
            "beam.dispersion",
            "keep one",
        ),
        (
            {"beam": {"source_file": "a", "divergence": {"vertical": {"steps": 3}}}},
            "beam.divergence.vertical",
            "stands in place",
        ),
        ({"beam": {"spectrum": {}}}, "beam.spectrum", "exactly one"),
        ({"beam": {"spectrum": {**LINES, "energies_ev": [1]}}}, "beam.spectrum", "exactly one"),
        ({"beam": {"spectrum": {"file": "a", **LINES}}}, "beam.spectrum.wavelengths_angstrom", ""),
        ({"beam": {"spectrum": {"energies_ev": []}}}, "beam.spectrum", "empty"),
        (
            {"beam": {"spectrum": {**LINES, "weights": [1, 2]}}},
            "beam.spectrum.weights",
            "2 weights",
        ),
        (
            {"beam": {"spectrum": {**LINES, "weights": [1, float("nan"), 1]}}},
            "beam.spectrum.weights.1",
            "finite",
        ),
        (
            {"beam": {"spectrum": {**LINES, "weights": [0, -1, 0.0]}}},
            "beam.spectrum.weights",
            "no weight is positive",
        ),
        ({"crystal": {"cell": [10, 0, 10, 90, 90, 90]}}, "crystal.cell.1", "b = 0 must be"),
        ({"crystal": {"cell": [10, 9, 10, 90, 180, 90]}}, "crystal.cell.4", "beta = 180"),
        (
            {"crystal": {"cell": [10, 10, 10, 120, 120, 120]}},
            "crystal.cell",
            "alpha + beta + gamma = 360 must be below 360",
        ),
        (
            {"crystal": {"cell": [10, 10, 10, 30, 40, 80]}},
            "crystal.cell",
            "gamma = 80 must be below alpha + beta = 70",
        ),
        ({"crystal": {"cell": [1e300, 1e300, 10, 90, 90, 90]}}, "crystal.cell.0", "beyond 1e+100"),
        ({"crystal": {"quaternion_xyzw": [0, 0, 0, 0]}}, "crystal.quaternion_xyzw", "0 0 0 0"),
        (
            {"crystal": {"quaternion_xyzw": [0, 0, 0, 1], "misset_deg": [1, 2, 3]}},
            "crystal.quaternion_xyzw",
            "keep one",
        ),
        ({"detector": {"close_distance_mm": 0}}, "detector.close_distance_mm", "sits on"),
        (
            {"detector": {"close_distance_mm": 5, "distance_mm": 5}},
            "detector.close_distance_mm",
            "keep one",
        ),
        ({"detector": {"pixels_fast": 5, "size_fast_mm": 5}}, "detector.size_fast_mm", "keep one"),
        (
            {"detector": {"convention": "xds", "axes": {"slow": [0, 1, 0]}}},
            "detector.axes.slow",
            "custom",
        ),
        ({"detector": {"axes": {"slow": [0, 0, 0]}}}, "detector.axes.slow", "0 0 0"),
        ({"detector": {"roi": [5, 4, 0, 1]}}, "detector.roi.1", "comes before the first"),
        ({"detector": {"roi": [0, 4, -1, 1]}}, "detector.roi.2", "negative"),
        ({"detector": {"roi": [7, 9, 0, 1], "pixels_fast": 7}}, "detector.roi.0", "outside the 7"),
        ({"goniometer": {"spindle_axis": [0, 0, 0]}}, "goniometer.spindle_axis", "0 0 0"),
        ({"background": {"water_um": 1, "stol_file": "a"}}, "background.stol_file", "keep one"),
        ({"output": {"dtype": "uint16"}}, "output.dtype", "noise.photon: true"),
    ],
)
def test_a_contradiction_is_refused_where_it_stands(data, field, words):
    with pytest.raises(InputError) as caught:
        parse_spec(data)
    assert caught.value.field == field
    assert words in str(caught.value)
    with pytest.raises(ValidationError):
        ExperimentSpec(**data)


@pytest.mark.parametrize(
    "data",
    [
        {"beam": {"spectrum": {**LINES, "weights": [0, 1, 0]}, "divergence": {"horizontal": {
            "range_mrad": 1, "steps": 3}}}},
        {"beam": {"source_file": "a", "dispersion": {"range_percent": 0, "steps": 1}}},
        {"beam": {"flux_photons_per_s": 1e12, "exposure_s": 0.1, "size_mm": 0.02}},
        {"crystal": {"cell": [10, 10, 10, 119, 120, 120]}},
        {"crystal": {"misset_deg": "random", "misset_seed": -4}},
        {"detector": {"sensor": {"attenuation_length_um": float("inf"), "thickness_um": 0}}},
        {"detector": {"close_distance_mm": -5, "roi": [3, 3, 2, 2_000_000]}},
        {"detector": {"convention": "custom", "axes": {"slow": [0, 1, 0]}}},
        {"output": {"dtype": "uint32"}, "noise": {"photon": True}},
        {"sampling": {"oversample": 3}, "compute": {"tile": [17, 23], "source_chunk": 1}},
    ],
)  # fmt: skip
def test_what_goes_together_is_accepted(data):
    parse_spec(data)


def test_a_nan_attenuation_length_is_refused_although_infinity_is_meant():
    with pytest.raises(InputError, match="attenuation_length_um"):
        parse_spec({"detector": {"sensor": {"attenuation_length_um": float("nan")}}})


def test_the_cell_volume_is_that_of_the_international_tables():
    assert cell_parameters((2, 3, 4, 90, 90, 90)).volume == pytest.approx(24, rel=1e-15)
    assert cell_parameters((1, 1, 1, 60, 60, 60)).volume == pytest.approx(0.5**0.5, rel=1e-14)


def test_specifications_are_frozen_and_hashable():
    spec = ExperimentSpec()
    with pytest.raises(ValidationError):
        spec.title = "other"
    assert hash(spec) == hash(ExperimentSpec())
