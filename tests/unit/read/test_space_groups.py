"""|F| in P1 for every space group, judged by plain summation over symmetry operations.

The judge knows rotations, translations and atoms only: no asymmetric unit, no extinction
rule, no multiplicity table.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import gemmi
import numpy as np
import pytest

from distbragg.read.structure_factors import file_cell, read_structure_factors
from distbragg.run.fmodel import fmodel
from tests.tolerances import (
    DENSITY_TRANSFORM_OF_MAXIMUM,
    DIRECT_SUMMATION_OF_MAXIMUM,
    MTZ_FLOAT32_OF_MAXIMUM,
)

DMIN = 2.4
WAVELENGTH = 1.2
B_FACTORS = {"S": 18.0, "Se": 25.0, "O": 30.0}

REFERENCE_SETTINGS = [g for g in gemmi.spacegroup_table() if g.is_reference_setting()]


def symbol(group):
    return f"{group.number}-{group.xhm().replace(' ', '')}"


every_space_group = pytest.mark.parametrize("group", REFERENCE_SETTINGS, ids=symbol)


def cell_of(group):
    system = group.crystal_system_str()
    a, b, c = 9.1, 10.3, 11.7
    return {
        "triclinic": (a, b, c, 81.0, 97.0, 103.0),
        "monoclinic": (a, b, c, 90.0, 104.0, 90.0),
        "orthorhombic": (a, b, c, 90.0, 90.0, 90.0),
        "tetragonal": (b, b, c, 90.0, 90.0, 90.0),
        "trigonal": (c, c, b, 90.0, 90.0, 120.0),
        "hexagonal": (c, c, b, 90.0, 90.0, 120.0),
        "cubic": (17.3, 17.3, 17.3, 90.0, 90.0, 90.0),
    }[system]


def images_of(group, place):
    """Places (n, 3) in [0, 1) onto which every operation takes a place, each once."""
    rotations, shifts = operations_of(group.number)
    images = (rotations @ place + shifts) % 1.0
    apart = images[:, None, :] - images[None, :, :]
    same = np.abs(np.rint(apart) - apart).max(axis=-1) <= 1e-6
    return images[~np.tril(same, -1).any(axis=1)]


@cache
def operations_of(number):
    """Rotations (n, 3, 3) and translations (n, 3) of a group in its reference setting."""
    operations = list(REFERENCE_SETTINGS[number - 1].operations())
    return (
        np.array([op.rot for op in operations]) / gemmi.Op.DEN,
        np.array([op.tran for op in operations]) / gemmi.Op.DEN,
    )


def closest(images, orth):
    """Shortest distance, Å, between images of one atom, across cell borders too."""
    apart = images[:, None, :] - images[None, :, :]
    apart -= np.rint(apart)
    lengths = np.linalg.norm(apart @ orth.T, axis=-1)
    return lengths[~np.eye(len(images), dtype=bool)].min(initial=np.inf)


@dataclass
class Crystal:
    group: gemmi.SpaceGroup
    cell: gemmi.UnitCell
    atoms: list  # of (element, fractional place, all its images)

    def sum_directly(self, indices, wavelength=None):
        """F (n,) by summation over operations and atoms."""
        reciprocal = np.array(self.cell.frac.mat.tolist())
        stol2 = ((indices @ reciprocal) ** 2).sum(axis=1) / 4.0
        total = np.zeros(len(indices), dtype=complex)
        for name, _, images in self.atoms:
            element = gemmi.Element(name)
            table = element.it92
            factor = table.c + sum(
                a * np.exp(-b * stol2) for a, b in zip(table.a, table.b, strict=True)
            )
            if wavelength is not None:
                real, imaginary = gemmi.cromer_liberman(
                    element.atomic_number, 12398.42 / wavelength
                )
                factor = factor + real + 1j * imaginary
            phases = np.exp(2j * np.pi * (indices @ images.T)).sum(axis=1)
            total += factor * np.exp(-B_FACTORS[name] * stol2) * phases
        return total

    def electrons(self):
        return sum(gemmi.Element(name).atomic_number * len(i) for name, _, i in self.atoms)


def random_crystal(group, *, special):
    """Two atoms at general places and, where asked for, one at the origin."""
    cell = gemmi.UnitCell(*cell_of(group))
    orth = np.array(cell.orth.mat.tolist())
    random = np.random.default_rng(group.number)
    order = len(group.operations())
    atoms = [("O", np.zeros(3), images_of(group, np.zeros(3)))] if special else []
    while len(atoms) < 2 + special:
        place = random.random(3)
        images = images_of(group, place)
        # Closer images would be one atom on a symmetry element to gemmi.
        if len(images) == order and closest(images, orth) > 0.6:
            atoms.append((("S", "Se")[len(atoms) - special], place, images))
    return Crystal(group, cell, atoms)


def write_small_cif(path, crystal):
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = ["data_random"]
    lines += [f"_cell_{n} {v}" for n, v in zip(names, crystal.cell.parameters, strict=True)]
    lines += [f"_space_group_name_H-M_alt '{crystal.group.xhm()}'", "loop_"]
    lines += [f"_atom_site_{n}" for n in ("label", "type_symbol", "fract_x", "fract_y", "fract_z")]
    lines += ["_atom_site_occupancy", "_atom_site_U_iso_or_equiv"]
    for name, place, _ in crystal.atoms:
        u_iso = B_FACTORS[name] / (8.0 * np.pi**2)
        where = " ".join(f"{x:.17g}" for x in place)
        lines.append(f"{name}1 {name} {where} 1 {u_iso:.17g}")
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def write_mmcif(path, crystal):
    structure = gemmi.Structure()
    structure.cell = crystal.cell
    structure.spacegroup_hm = crystal.group.xhm()
    residue = gemmi.Residue()
    residue.name, residue.seqid = "UNK", gemmi.SeqId("1")
    for name, place, _ in crystal.atoms:
        atom = gemmi.Atom()
        atom.name, atom.element = name, gemmi.Element(name)
        atom.pos = crystal.cell.orthogonalize(gemmi.Fractional(*place))
        atom.b_iso = B_FACTORS[name]
        residue.add_atom(atom)
    chain = gemmi.Chain("A")
    chain.add_residue(residue)
    model = gemmi.Model(1)
    model.add_chain(chain)
    structure.add_model(model)
    structure.setup_entities()
    structure.make_mmcif_document().write_file(str(path))
    return str(path)


def check_whole_sphere(table, cell):
    """Each reflection once, none missing."""
    limits = cell.get_hkl_limits(DMIN)
    grid = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in limits]), axis=-1).reshape(-1, 3)
    inside = ((grid @ np.array(cell.frac.mat.tolist())) ** 2).sum(axis=1) <= DMIN**-2
    assert set(map(tuple, grid[inside].tolist())) == set(map(tuple, table.indices.tolist()))
    assert table.count == inside.sum()


def test_the_table_holds_all_230():
    assert [group.number for group in REFERENCE_SETTINGS] == list(range(1, 231))


@pytest.mark.spec("CRY-16")
@every_space_group
def test_a_small_molecule_is_the_sum_over_operations(group, tmp_path):
    crystal = random_crystal(group, special=True)
    path = write_small_cif(tmp_path / "x.cif", crystal)
    table = read_structure_factors(path, dmin=DMIN)
    check_whole_sphere(table, crystal.cell)
    direct = np.abs(crystal.sum_directly(table.indices))
    scale = direct.max()
    assert np.abs(table.amplitude - direct).max() < DIRECT_SUMMATION_OF_MAXIMUM * scale
    origin = (table.indices == 0).all(axis=1)
    assert table.amplitude[origin] == pytest.approx(crystal.electrons(), rel=1e-3)
    absent = group.operations().systematic_absences(table.indices.astype(np.int32))
    assert np.all(table.amplitude[absent] < DIRECT_SUMMATION_OF_MAXIMUM * scale)


@pytest.mark.spec("CRY-16")
@every_space_group
def test_a_macromolecule_is_the_sum_over_operations(group, tmp_path):
    crystal = random_crystal(group, special=False)
    path = write_mmcif(tmp_path / "x.cif", crystal)
    table = read_structure_factors(path, dmin=DMIN, bulk_solvent=False)
    check_whole_sphere(table, crystal.cell)
    direct = np.abs(crystal.sum_directly(table.indices))
    error = np.abs(table.amplitude - direct).max()
    assert error < DENSITY_TRANSFORM_OF_MAXIMUM * direct.max()


@pytest.mark.spec("CRY-16")
@every_space_group
def test_a_merged_file_with_anomalous_pairs_is_the_sum_over_operations(group, tmp_path):
    crystal = random_crystal(group, special=True)
    path = str(tmp_path / "f.mtz")
    model = write_small_cif(tmp_path / "x.cif", crystal)
    fmodel(model, path, dmin=DMIN, wavelength=WAVELENGTH)
    assert file_cell(path) == pytest.approx(crystal.cell.parameters)

    pairs = read_structure_factors(path)
    direct = np.abs(crystal.sum_directly(pairs.indices, WAVELENGTH))
    tolerance = MTZ_FLOAT32_OF_MAXIMUM * direct.max()
    assert np.abs(pairs.amplitude - direct).max() < tolerance

    mean = read_structure_factors(path, column="FC")
    plus = crystal.sum_directly(mean.indices, WAVELENGTH)
    minus = crystal.sum_directly(-mean.indices, WAVELENGTH)
    assert np.abs(mean.amplitude - np.abs(plus + minus.conj()) / 2).max() < tolerance

    if not group.is_centrosymmetric():
        assert np.abs(np.abs(plus) - np.abs(minus)).max() > 5 * tolerance
    absent = group.operations().systematic_absences
    assert not absent(pairs.indices.astype(np.int32)).any()
