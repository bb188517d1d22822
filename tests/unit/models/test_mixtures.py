"""|F| that follows the energy, is a mean over models, or falls with ΔB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest

import distbragg as db
from distbragg.errors import InputError
from distbragg.models.build import build_experiment, build_reflections, resolve
from distbragg.models.build_spectral import box_indices, combined, in_frame
from distbragg.models.crystal import Reflections
from distbragg.models.experiment import Experiment, physics_hash
from distbragg.models.scattering import stol_squared
from distbragg.models.vectors import frozen_float64
from distbragg.read.structure_factors import read_structure_factors
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.load import parse_spec, parse_sweep
from distbragg.spec.structure_factors import StructureFactorsSpec
from tests.tolerances import DENSITY_TRANSFORM_OF_MAXIMUM

IRON = """\
CRYST1   10.000   10.000   10.000  90.00  90.00  90.00 P 1
ATOM      1 FE   HEM A   1       0.000   0.000   0.000  1.00  0.00          FE
END
"""
MIXED = """\
CRYST1   12.000   13.000   14.000  90.00 100.00  90.00 P 1 21 1
ATOM      1 FE1  FES A  64       1.000   2.000   3.000  1.00 10.00          FE
ANISOU    1 FE1  FES A  64     1200   1300   1500    100   -200    150      FE
ATOM      2 FE2  FES A  64       4.000   3.000   2.000  0.50 12.00          FE
ATOM      3  S   CYS A   2       2.500   6.000   7.000  1.00  9.00           S
ATOM      4  O   CYS A   2       5.500   1.000   6.000  1.00 10.00           O
END
"""
TABLE = "7100 -8 0.5\n7130 -6 3.9\n"
ENERGIES = (7100.0, 7130.0)


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def spec_of(folder: Path, lines: tuple[float, ...] = ENERGIES, **factors: Any):
    """Lines of weights 1, 2, … and the structure factors of a model without solvent."""
    rows = "".join(f"{energy} {n}\n" for n, energy in enumerate(lines, start=1))
    given = {"dmin_angstrom": 2.0, "bulk_solvent": False, **factors}
    # A list names no cell.
    cell = {"cell": [10, 11, 12, 90, 90, 90]} if ".hkl" in str(factors) else {}
    return parse_spec(
        {
            "beam": {
                "wavelength_angstrom": 1.74,
                "spectrum": {"file": write(folder, "lines.txt", rows)},
            },
            "crystal": {"block_cells": [5, 5, 5], "shape": "gauss", **cell},
            "detector": {
                "distance_mm": 30,
                "pixels_fast": 12,
                "pixels_slow": 11,
                "pixel_size_mm": 3,
            },
            "structure_factors": given,
        }
    )


def built(folder: Path, lines: tuple[float, ...] = ENERGIES, **factors: Any) -> Experiment:
    return build_experiment(spec_of(folder, lines, **factors))


def squared(table: Reflections, source: int) -> np.ndarray:
    """|F|² of a source over the box."""
    assert table.spectral is not None
    return combined(table.spectral, table.spectral.coefficients[source])


def at(table: Reflections, values: np.ndarray, hkl: tuple[int, int, int]) -> float:
    return float(values[tuple(np.array(hkl) - table.origin)])


@pytest.mark.spec("AMP-2")
def test_iron_below_and_above_its_edge_by_hand(tmp_path: Path) -> None:
    """One atom at rest in a cell: |F(000)|² = (26 + f′)² + f″²."""
    entry = {"element": "Fe", "table_file": write(tmp_path, "fe.txt", TABLE)}
    file = write(tmp_path, "iron.pdb", IRON)
    table = built(tmp_path, file=file, anomalous_elements=[entry]).reflections
    below, above = (at(table, squared(table, n), (0, 0, 0)) for n in (0, 1))
    # 18² + 0.5² and 20² + 3.9²; the form factor of the tables is 26 to 0.01 on the grid.
    assert below == pytest.approx(324.25, rel=2e-3)
    assert above == pytest.approx(415.21, rel=2e-3)
    # Weights 1 and 2: the mean that labels tell.
    mean = at(table, table.amplitude, (0, 0, 0)) ** 2
    assert mean == pytest.approx((below + 2.0 * above) / 3.0, rel=1e-12)


@pytest.mark.spec("AMP-2")
def test_two_elements_give_the_amplitude_of_the_complex_sum(tmp_path: Path) -> None:
    from distbragg.read.miller import Asked
    from distbragg.read.model_parts import Choice, model_parts

    file = write(tmp_path, "mixed.pdb", MIXED)
    entries = [{"element": "S"}, {"element": "Fe"}]
    table = built(tmp_path, file=file, anomalous_elements=entries).reflections
    parts = model_parts(file, Asked(dmin=2.0, bulk_solvent=False), [Choice("S"), Choice("Fe")])
    places = tuple((parts.indices - np.array(table.origin)).T)
    for source, energy in enumerate(ENERGIES):
        shares = [complex(*gemmi.cromer_liberman(number, energy)) for number in (16, 26)]
        whole = parts.normal + shares[0] * parts.parts[0] + shares[1] * parts.parts[1]
        np.testing.assert_allclose(
            squared(table, source)[places], np.abs(whole) ** 2, rtol=1e-10, atol=1e-8
        )


@pytest.mark.spec("AMP-2")
def test_amplitudes_are_those_of_the_model_with_all_its_atoms(tmp_path: Path) -> None:
    """Every element named: what gemmi makes of the model at that energy."""
    file = write(tmp_path, "mixed.pdb", MIXED)
    entries = [{"element": name} for name in ("Fe", "S", "O")]
    table = built(tmp_path, file=file, anomalous_elements=entries).reflections
    for source, energy in enumerate(ENERGIES):
        wavelength = 12398.419843320026 / energy
        whole = read_structure_factors(file, dmin=2.0, bulk_solvent=False, wavelength=wavelength)
        places = tuple((whole.indices - np.array(table.origin)).T)
        found = np.sqrt(squared(table, source)[places])
        most = DENSITY_TRANSFORM_OF_MAXIMUM * whole.amplitude.max()
        np.testing.assert_allclose(found, whole.amplitude, atol=most)


@pytest.mark.spec("AMP-2")
def test_small_molecules_have_their_anomalous_atoms_too(tmp_path: Path) -> None:
    file = write(tmp_path, "small.cif", SMALL)
    entries = [{"element": "Fe"}, {"element": "S"}, {"element": "O"}]
    table = built(tmp_path, file=file, anomalous_elements=entries).reflections
    for source, energy in enumerate(ENERGIES):
        whole = read_structure_factors(file, dmin=2.0, wavelength=12398.419843320026 / energy)
        places = tuple((whole.indices - np.array(table.origin)).T)
        found = np.sqrt(squared(table, source)[places])
        np.testing.assert_allclose(found, whole.amplitude, atol=1e-6 * whole.amplitude.max())


SMALL = """\
data_small
_cell_length_a 8.0
_cell_length_b 9.0
_cell_length_c 10.0
_cell_angle_alpha 90
_cell_angle_beta 105
_cell_angle_gamma 90
_space_group_name_H-M_alt 'P 21'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_U_iso_or_equiv
_atom_site_occupancy
FE1 Fe 0.1 0.2 0.3 0.02 1
S1 S 0.4 0.25 0.6 0.03 0.5
O1 O 0.7 0.6 0.15 0.04 1
loop_
_atom_site_aniso_label
_atom_site_aniso_U_11
_atom_site_aniso_U_22
_atom_site_aniso_U_33
_atom_site_aniso_U_12
_atom_site_aniso_U_13
_atom_site_aniso_U_23
FE1 0.02 0.03 0.025 0.004 -0.003 0.002
"""


@pytest.mark.spec("AMP-2")
def test_mates_differ_by_f_double_prime_alone(tmp_path: Path) -> None:
    file = write(tmp_path, "mixed.pdb", MIXED)
    text = "7100 -8 0\n7130 -6 3.9\n"
    entry = {"element": "Fe", "table_file": write(tmp_path, "fe.txt", text)}
    table = built(tmp_path, file=file, anomalous_elements=[entry]).reflections
    without, with_it = (
        np.abs(values - values[::-1, ::-1, ::-1]).max() / values.max()
        for values in (squared(table, 0), squared(table, 1))
    )
    assert without < 1e-6
    assert with_it > 0.01


@pytest.mark.spec("AMP-2")
def test_a_label_takes_its_atoms_from_the_element(tmp_path: Path) -> None:
    """Two irons with f′ of their own: where both have the same, it is as if both were one entry."""
    file = write(tmp_path, "mixed.pdb", MIXED)
    one, two = (write(tmp_path, name, text) for name, text in (("1", TABLE), ("2", TABLE)))
    both = [{"element": "Fe", "label": "A/64/FE1", "table_file": one}]
    both.append({"element": "Fe", "table_file": two})
    parted = built(tmp_path, file=file, anomalous_elements=both).reflections
    entry = [{"element": "Fe", "table_file": one}]
    together = built(tmp_path, file=file, anomalous_elements=entry).reflections
    np.testing.assert_allclose(squared(parted, 1), squared(together, 1), rtol=1e-9, atol=1e-8)
    other = [{**both[0], "label": "FE1"}, both[1]]
    named = built(tmp_path, file=file, anomalous_elements=other).reflections
    np.testing.assert_array_equal(squared(parted, 1), squared(named, 1))


@pytest.mark.spec("AMP-3")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"anomalous_elements": [{"element": "Zn"}]}, "no atoms Zn"),
        ({"anomalous_elements": [{"element": "Xq"}]}, "no atoms Xq"),
        ({"anomalous_elements": [{"element": "Fe", "table_file": "short.txt"}]}, "7130 eV"),
        ({"file": "list.hkl", "anomalous_elements": [{"element": "Fe"}]}, "need atoms"),
        (
            {"anomalous_elements": [{"element": "Fe", "label": x} for x in ("FE1", "A/64/FE1")]},
            "two of its entries",
        ),
        ({"anomalous_elements": [{"element": "Fe"}], "anomalous": True}, "says otherwise"),
        ({"anomalous_elements": [{"element": "Fe"}], "default_f_electrons": 1.0}, "is listed"),
        ({"anomalous_elements": [{"element": "Fe"}], "interpolate": True}, "interpolated"),
    ],
)
def test_what_cannot_follow_the_energy_is_refused(
    changes: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "mixed.pdb", MIXED)
    write(tmp_path, "list.hkl", "1 2 3 4\n")
    write(tmp_path, "short.txt", "7000 -8 0.5\n7110 -7 0.6\n")
    with pytest.raises(InputError, match=words):
        built(tmp_path, **{"file": "mixed.pdb", **changes})


@pytest.mark.spec("AMP-3")
def test_a_table_is_read_as_straight_lines(tmp_path: Path) -> None:
    entry = {"element": "Fe", "table_file": write(tmp_path, "fe.txt", TABLE)}
    file = write(tmp_path, "iron.pdb", IRON)
    spectral = built(
        tmp_path, (7115.0,), file=file, anomalous_elements=[entry]
    ).reflections.spectral
    assert spectral is not None
    np.testing.assert_allclose(spectral.scattering[:, 0, 0], [-7.0, 2.2], rtol=1e-9)
    told = build_reflections(
        spec_of(tmp_path, file=file, anomalous_elements=[{"element": "Fe"}])
    ).notes
    assert any("Cromer and Liberman" in note.text for note in told)


@pytest.mark.spec("AMP-4")
def test_channels_have_their_own_lists(tmp_path: Path) -> None:
    files = [write(tmp_path, f"{n}.hkl", f"1 2 3 {n}\n{n} 0 0 7\n") for n in (2, 3)]
    channels = [
        {"file": files[0], "energy_ev": [7000, 7110]},
        {"file": files[1], "sources": [1], "factor": 0.5},
    ]
    table = built(tmp_path, channels=channels).reflections
    assert at(table, squared(table, 0), (1, 2, 3)) == 4.0
    assert at(table, squared(table, 0), (3, 0, 0)) == 0.0
    assert at(table, squared(table, 1), (1, 2, 3)) == 4.5
    assert at(table, squared(table, 1), (3, 0, 0)) == 24.5
    assert at(table, table.amplitude, (1, 2, 3)) ** 2 == pytest.approx((4.0 + 2 * 4.5) / 3)


@pytest.mark.spec("AMP-4")
@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({"sources": [0, 1]}, "several channels"),
        ({"energy_ev": [7125, 7129]}, "no channel"),
        ({"sources": [2]}, "no source 2"),
        ({"sources": [1], "energy_ev": [1, 2]}, "energy_ev"),
        ({}, "which sources"),
    ],
)
def test_sources_without_one_channel_are_refused(
    second: dict[str, Any], words: str, tmp_path: Path
) -> None:
    file = write(tmp_path, "iron.pdb", IRON)
    channels = [{"file": file, "sources": [0]}, {"file": file, **second}]
    with pytest.raises(InputError, match=words):
        built(tmp_path, channels=channels)


@pytest.mark.spec("AMP-5")
def test_means_over_models_by_hand(tmp_path: Path) -> None:
    """An iron at 0 and one at ½ along a, of weights 3 and 1: F(h) of f is f (3 ± 1)/4."""
    first = write(tmp_path, "one.pdb", IRON)
    second = write(
        tmp_path, "two.pdb", IRON.replace("       0.000   0.000", "       5.000   0.000", 1)
    )
    models = [{"file": first, "weight": 3.0}, {"file": second, "weight": 1.0}]
    alone = built(tmp_path, file=first).reflections
    coherent = built(tmp_path, models=models).reflections
    mixed = built(tmp_path, models=models, average="intensities").reflections
    for h in (1, 2):
        form = at(alone, alone.amplitude, (h, 0, 0))
        share = 1.0 if h == 2 else 0.5
        assert at(coherent, coherent.amplitude, (h, 0, 0)) == pytest.approx(share * form, rel=1e-5)
        assert at(mixed, mixed.amplitude, (h, 0, 0)) == pytest.approx(form, rel=1e-5)
    same = built(tmp_path, models=[{"file": first}]).reflections
    np.testing.assert_allclose(same.amplitude, alone.amplitude, rtol=1e-12)
    large = write(tmp_path, "large.pdb", IRON.replace("10.000", "12.000"))
    with pytest.raises(InputError, match="not that of the first"):
        built(tmp_path, models=[{"file": first}, {"file": large}])


@pytest.mark.spec("AMP-6")
def test_delta_b_by_hand(tmp_path: Path) -> None:
    """At d = 2 Å (sin θ/λ)² is 1/16: ΔB of 8 Å² takes |F|² by e⁻¹."""
    file = write(tmp_path, "iron.pdb", IRON)
    plain = built(tmp_path, file=file).reflections
    worse = built(tmp_path, file=file, delta_b_angstrom2=8.0).reflections
    ratio = at(worse, worse.amplitude, (5, 0, 0)) / at(plain, plain.amplitude, (5, 0, 0))
    assert ratio**2 == pytest.approx(np.exp(-1.0), rel=1e-12)
    entry = [{"element": "Fe"}]
    one = built(tmp_path, file=file, anomalous_elements=entry).reflections
    two = built(tmp_path, file=file, anomalous_elements=entry, delta_b_angstrom2=8.0).reflections
    ratio = at(two, squared(two, 1), (5, 0, 0)) / at(one, squared(one, 1), (5, 0, 0))
    assert ratio == pytest.approx(np.exp(-1.0), rel=1e-9)
    with pytest.raises(InputError, match="beyond the list"):
        built(tmp_path, file=file, delta_b_angstrom2=8.0, default_f_electrons=1.0)


@pytest.mark.spec("AMP-6")
@pytest.mark.parametrize("origin", [(-3, -2, -4), (-2, -2, -4)], ids=["about 0", "beside 0"])
def test_delta_b_falls_alike_wherever_the_list_lies(
    tmp_path: Path, origin: tuple[int, int, int]
) -> None:
    given = built(tmp_path, file=write(tmp_path, "iron.pdb", IRON), delta_b_angstrom2=8.0)
    amplitude = np.random.default_rng(1).random((7, 5, 9)) + 1.0
    table = Reflections(frozen_float64(amplitude), origin, 0.0, interpolate=False)
    factors = StructureFactorsSpec(delta_b_angstrom2=8.0, default_f_electrons=0.0)
    spec = ExperimentSpec(structure_factors=factors)
    found = in_frame(table, spec, given.beam, given.crystal).amplitude
    square = stol_squared(box_indices(table), given.crystal.reciprocal)
    np.testing.assert_array_equal(found, amplitude * np.exp(-8.0 * square))


@pytest.mark.spec("AMP-6")
def test_a_delta_b_that_makes_no_number_of_an_amplitude_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, "iron.pdb", IRON)
    for number in (-1e4, -1e9):
        with pytest.raises(InputError, match=r"makes \|F\| grow") as caught:
            built(tmp_path, file=file, delta_b_angstrom2=number)
        assert caught.value.field == "structure_factors.delta_b_angstrom2"
    assert built(tmp_path, file=file, delta_b_angstrom2=1e9).reflections.amplitude.max() < 1e9


@pytest.mark.spec("AMP-6")
def test_delta_b_of_zero_is_none(tmp_path: Path) -> None:
    file = write(tmp_path, "iron.pdb", IRON)
    spec = spec_of(tmp_path, file=file, delta_b_angstrom2=0.0)
    table = build_reflections(spec)
    assert resolve(spec, reflections=table).experiment.reflections is table
    plain = build_experiment(spec_of(tmp_path, file=file))
    assert physics_hash(plain) == physics_hash(build_experiment(spec))


@pytest.mark.spec("AMP-6")
def test_frames_of_a_sweep_have_their_own_delta_b(tmp_path: Path) -> None:
    entry = {"element": "Fe"}
    file = write(tmp_path, "iron.pdb", IRON)
    spec = spec_of(tmp_path, file=file, anomalous_elements=[entry])
    axis = {"name": "worse", "path": "structure_factors.delta_b_angstrom2", "values": [0, 20, 5, 0]}
    sweep = parse_sweep({"experiment": spec.model_dump(exclude_unset=True), "axes": [axis]})
    db.sweep(sweep, tmp_path / "run.zarr", cluster="serial")
    found = db.open_stack(tmp_path / "run.zarr")["images"].to_numpy().reshape(4, 11, 12)
    np.testing.assert_array_equal(found[0], found[3])
    assert found[0].sum() > found[2].sum() > found[1].sum() > 0.0
    for frame, delta_b in ((1, 20.0), (2, 5.0)):
        factors = spec.structure_factors.model_copy(update={"delta_b_angstrom2": delta_b})
        alone = db.render(spec.model_copy(update={"structure_factors": factors}))
        np.testing.assert_array_equal(found[frame], alone["images"].to_numpy().reshape(11, 12))
