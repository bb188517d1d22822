"""Words of units, in the spellings that files use."""

from __future__ import annotations

import math

import pytest

from distbragg.read.units import angle_deg, length_mm, spectral_unit, unit_attribute


@pytest.mark.spec("SRC-24")
@pytest.mark.parametrize(
    ("word", "wavelength"),
    [
        ("eV", 12398.42 / 0.5),
        ("keV", 12.39842 / 0.5),
        ("KEV", 12.39842 / 0.5),
        ("MeV", 0.01239842 / 0.5),
        ("meV", 12398420.0 / 0.5),
        ("electron volts", 12398.42 / 0.5),
        ("angstrom", 0.5),
        ("Angstroms", 0.5),
        ("ångström", 0.5),
        ("\u212b", 0.5),
        ("A", 0.5),
        ("nm", 5.0),
        ("nanometres", 5.0),
        ("nanometer", 5.0),
        ("pm", 0.005),
        ("m", 5e9),
        ("metre", 5e9),
        ("Meters", 5e9),
        ("1e-10 m", 0.5),
        ("(nm)", 5.0),
    ],
)
def test_units_of_wavelengths_and_energies_in_all_spellings(word: str, wavelength: float) -> None:
    unit = spectral_unit(word)
    assert unit is not None
    assert unit.angstrom(0.5) == pytest.approx(wavelength, rel=1e-14)


@pytest.mark.spec("SRC-24")
def test_an_energy_in_joules_is_one_of_its_quotient_with_the_elementary_charge() -> None:
    unit = spectral_unit("J")
    assert unit is not None
    assert unit.angstrom(1.602176634e-15) == pytest.approx(1.239842, rel=1e-12)


@pytest.mark.parametrize("word", ["", "arb", "counts", "Ry", "s", "1/angstrom", "deg", "3"])
def test_words_that_are_no_units_name_none(word: str) -> None:
    assert spectral_unit(word) is None


@pytest.mark.spec("GEO-19")
@pytest.mark.parametrize(
    ("word", "size"),
    [("m", 1e3), ("metre", 1e3), ("meter", 1e3), ("Metres", 1e3), ("mm", 1.0), ("millimetre", 1.0),
     ("cm", 10.0), ("um", 1e-3), ("\u00b5m", 1e-3), ("\u03bcm", 1e-3), ("micron", 1e-3),
     ("micrometers", 1e-3), ("nm", 1e-6)],
)  # fmt: skip
def test_lengths_in_all_spellings(word: str, size: float) -> None:
    assert length_mm(word) == pytest.approx(size, rel=1e-15)


@pytest.mark.spec("GEO-19")
def test_angles_in_all_spellings() -> None:
    for word in ("deg", "Degree", "degrees", "°"):
        assert angle_deg(word) == 1.0
    for word in ("rad", "radian", "Radians"):
        assert angle_deg(word) == pytest.approx(180.0 / math.pi)
    assert angle_deg("mrad") == pytest.approx(0.18 / math.pi)
    assert angle_deg("pixel") is None


def test_the_attribute_of_a_unit_is_found_by_any_of_its_names() -> None:
    assert unit_attribute({"units": b"eV"}) == "eV"
    assert unit_attribute({"Unit": " nm "}) == "nm"
    assert unit_attribute({"units": ""}) is None
    assert unit_attribute({}) is None
