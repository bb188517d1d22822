"""|F| in P1 of an atomic model: PDB, mmCIF, or small-molecule CIF."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import gemmi
import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.notes import Note, Notes
from distbragg.read.cif import damage_is_input_error
from distbragg.read.miller import MAXIMUM_BOX_POINTS, Asked, MillerTable
from distbragg.read.model_file import load_model
from distbragg.read.symmetry import CellSix, cell_six, expand_to_p1, inverse_d_squared
from distbragg.read.text import Reading
from distbragg.units import wavelength_angstrom_to_energy_ev

_DMIN: Final = "structure_factors.dmin_angstrom"

DEFAULT_DMIN: Final = 2.0  # resolution, Å, to which |F| is computed where none is asked for
MAXIMUM_DENSITY_POINTS: Final = 1 << 28

_SAMPLING_RATE: Final = 1.5
_FFT_MARGIN: Final = 2.0
_DIRECT_TERMS: Final = 2_000_000_000

_FINEST, _LONGEST = 0.1, 6.0
"""Å (2 to 124 keV), where the tables of Cromer and Liberman are meant to be used."""

_HEAVIEST: Final = 92  # the tables of f′ and f″ end at uranium

_Parts = tuple[NDArray[np.complex128], NDArray[np.complex128]]
"""F without and of f″ (n,), each of a real density."""


class Request(Reading):
    """A model that is read: resolution (Å), flat solvent (e/Å³, Å²) or none, wavelength (Å)."""

    def __init__(self, path: str, asked: Asked) -> None:
        super().__init__(path)
        self.dmin = DEFAULT_DMIN if asked.dmin is None else asked.dmin
        if asked.dmin is None:
            text = f"not given; |F| of the model reaches {self.dmin:g} Å"
            self.notes.append(Note("note", _DMIN, text))
        if not 0.0 < self.dmin < math.inf:
            raise InputError(f"a resolution of {self.dmin:g} Å", field=_DMIN)
        self.wavelength = asked.wavelength
        if self.wavelength is not None and not _FINEST <= self.wavelength <= _LONGEST:
            problem = f"no f′ and f″ at {self.wavelength:g} Å"
            remedy = f"{_FINEST:g} to {_LONGEST:g} Å, or leave them out"
            raise InputError(problem, field="wavelength", remedy=remedy)
        flooded = asked.bulk_solvent and asked.solvent_k > 0.0
        self.solvent = (asked.solvent_k, asked.solvent_b) if flooded else None

    def too_fine(self, what: str) -> InputError:
        """Build the error for a resolution that asks for too much."""
        return self.refusal(f"{what} to {self.dmin:g} Å", "ask for a lower resolution", _DMIN)


@dataclass(frozen=True, slots=True)
class ModelFactors:
    """Complex structure factors (electrons) of one asymmetric part of reciprocal space."""

    indices: NDArray[np.int64]  # (n, 3), (0, 0, 0) first, without systematic absences
    values: NDArray[np.complex128]  # (n,): F(h k l)
    mates: NDArray[np.complex128]  # (n,): F(−h −k −l); conjugate without anomalous scattering
    cell: CellSix  # Å, degrees
    spacegroup: str  # extended Hermann-Mauguin symbol
    notes: Notes = ()


def read_model(path: str, asked: Asked) -> MillerTable:
    """Compute |F| of the P1 cell, F(000) included, of a PDB, mmCIF or CIF (also `.gz`), by gemmi.

    Macromolecules: X-ray density of every atom with its occupancy and B factor on a grid,
    a Fourier transform, and (where asked for) a flat bulk solvent k·exp(−B s²/4)·F_mask
    between the molecules. Small-molecule CIF: direct summation. The symmetry is that of the
    file, strict non-crystallographic symmetry included; the first model of several; dummy and
    unknown atoms are left out. A wavelength adds f′ and f″ of every element (Cromer and
    Liberman), which makes the two of a Friedel pair differ.
    """
    request = Request(path, asked)
    model = load_model(path)
    atoms = model.content
    with damage_is_input_error(path, "|F| cannot be computed"):
        if isinstance(atoms, gemmi.SmallStructure):
            table = _direct(atoms, request)
        else:
            _check_grid(atoms.cell, request)
            indices = sphere(atoms.cell, request)
            normal, absorbed = transformed(atoms, indices, request)
            table = _finite(MillerTable(indices, np.abs(normal + 1j * absorbed)), path)
    return replace(table, notes=(*request.notes, *model.notes))


def model_factors(path: str, asked: Asked) -> ModelFactors:
    """Compute complex F with its phase, F(000) included, of what `read_model` takes to |F|."""
    request = Request(path, asked)
    model = load_model(path)
    atoms = model.content
    with damage_is_input_error(path, "F cannot be computed"):
        _check_box_of(atoms.cell, request)
        listed = gemmi.make_miller_array(atoms.cell, model.group, request.dmin)
        indices = np.array([(0, 0, 0), *listed], dtype=np.int64)
        if isinstance(atoms, gemmi.SmallStructure):
            normal, absorbed = summed(atoms, indices, request)
        else:
            normal, absorbed = transformed(atoms, indices, request)
    _finite(MillerTable(indices, np.abs(normal) + np.abs(absorbed)), path)
    return ModelFactors(
        indices=indices,
        values=normal + 1j * absorbed,
        mates=np.conj(normal - 1j * absorbed),
        cell=cell_six(atoms.cell, request),
        spacegroup=model.group.xhm(),
        notes=model.notes,
    )


def model_cell(path: str, _asked: Asked) -> CellSix:
    """Return the unit cell (Å, degrees) of a model."""
    return cell_six(load_model(path).content.cell, Reading(path))


def model_group(path: str, _asked: Asked) -> gemmi.SpaceGroup:
    """Return the space group of a model."""
    return load_model(path).group


def sphere(cell: gemmi.UnitCell, asked: Request) -> NDArray[np.int64]:
    """All Miller indices (n, 3) to a resolution, (0, 0, 0) included."""
    axes = [np.arange(-limit, limit + 1) for limit in _check_box_of(cell, asked)]
    every = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return every[inverse_d_squared(every, cell) <= 1.0 / (asked.dmin * asked.dmin)]


def _check_box_of(cell: gemmi.UnitCell, asked: Request) -> list[int]:
    """Return the largest |h|, |k|, |l| to a resolution; refuse a box too large to hold."""
    limits = [int(limit) for limit in cell.get_hkl_limits(asked.dmin)]
    points = math.prod(2 * limit + 1 for limit in limits)
    if points > MAXIMUM_BOX_POINTS:
        raise asked.too_fine(f"{points} Miller indices")
    return limits


def _direct(small: gemmi.SmallStructure, asked: Request) -> MillerTable:
    """Direct sum over sites and symmetry on one asymmetric part, then expanded."""
    asu = gemmi.ReciprocalAsu(small.spacegroup)
    rows = [row for row in sphere(small.cell, asked).tolist() if asu.is_in(row)]
    indices = np.array(rows, dtype=np.int64).reshape(-1, 3)
    normal, absorbed = summed(small, indices, asked)
    mates = None if asked.wavelength is None else _modulus(normal - 1j * absorbed)
    values = _modulus(normal + 1j * absorbed)
    table = expand_to_p1(indices, values, small.spacegroup, asked, mates=mates)
    return _finite(table, asked.path)


def _modulus(values: NDArray[np.complex128]) -> NDArray[np.float64]:
    """|F| by the C library: the vectorised one of numpy rounds otherwise on other processors."""
    return np.array([abs(value) for value in values.tolist()], dtype=np.float64)


def summed(small: gemmi.SmallStructure, indices: NDArray[np.int64], asked: Request) -> _Parts:
    """Sum over sites and their images."""
    images = len(small.spacegroup.operations())
    passes = 1 if asked.wavelength is None else 2
    if passes * indices.shape[0] * len(small.sites) * images > _DIRECT_TERMS:
        raise asked.too_fine(f"{indices.shape[0]} reflections of {len(small.sites)} sites")
    calculator = gemmi.StructureFactorCalculatorX(small.cell)
    elements = {site.element.atomic_number for site in small.sites}

    def at_every_index() -> NDArray[np.complex128]:
        rows = indices.tolist()
        values = [calculator.calculate_sf_from_small_structure(small, row) for row in rows]
        return np.array(values, dtype=np.complex128)

    return _with_dispersion(calculator.addends, elements, asked, at_every_index)


def _with_dispersion(
    addends: gemmi.Addends,
    elements: set[int],
    asked: Request,
    compute: Callable[[], NDArray[np.complex128]],
) -> _Parts:
    """Run `compute` with f′ added, and with f″ added too: their difference is the F of f″.

    gemmi adds real numbers to form factors only. F(±h) = N(±h) + i A(±h) with N and A the
    transforms of real densities.
    """
    if asked.wavelength is None:
        normal = compute()
        return normal, np.zeros_like(normal)
    heavy = sorted(number for number in elements if number > _HEAVIEST)
    if heavy:
        name = gemmi.Element(heavy[0]).name
        raise asked.refusal(f"no f′ and f″ are known for {name}", field="wavelength")
    energy = wavelength_angstrom_to_energy_ev(asked.wavelength)
    parts = {number: gemmi.cromer_liberman(number, energy) for number in elements}
    for number, (real, _) in parts.items():
        addends.set(gemmi.Element(number), real)
    normal = compute()
    for number, (real, imaginary) in parts.items():
        addends.set(gemmi.Element(number), real + imaginary)
    return normal, compute() - normal


def transformed(structure: gemmi.Structure, indices: NDArray[np.int64], asked: Request) -> _Parts:
    """Transform density maps."""
    _check_grid(structure.cell, asked)
    structure.setup_cell_images()
    inverse = inverse_d_squared(indices, structure.cell)
    calculator = gemmi.DensityCalculatorX()
    calculator.d_min = asked.dmin
    calculator.rate = _SAMPLING_RATE * _FFT_MARGIN / 2.0
    calculator.set_refmac_compatible_blur(structure[0])
    calculator.set_grid_cell_and_spacegroup(structure)
    elements = {item.atom.element.atomic_number for item in structure[0].all()}

    def of_the_density() -> NDArray[np.complex128]:
        calculator.put_model_density_on_grid(structure[0])
        values = _transform_at(calculator.grid, indices)
        return np.asarray(values * np.exp(calculator.blur * inverse / 4.0))

    values, absorbed = _with_dispersion(calculator.addends, elements, asked, of_the_density)
    if asked.solvent is not None:
        density, smearing = asked.solvent
        masker = gemmi.SolventMasker(gemmi.AtomicRadiiSet.VanDerWaals)
        grid = gemmi.FloatGrid(calculator.grid.nu, calculator.grid.nv, calculator.grid.nw)
        grid.set_unit_cell(structure.cell)
        grid.spacegroup = structure.find_spacegroup()
        masker.put_mask_on_float_grid(grid, structure[0])
        smear = np.exp(-smearing * inverse / 4.0)
        values = values + density * smear * _transform_at(grid, indices)
    return values, absorbed


def _check_grid(cell: gemmi.UnitCell, asked: Request) -> None:
    points = float(cell.volume) / (asked.dmin / (2.0 * _SAMPLING_RATE)) ** 3
    if not points <= MAXIMUM_DENSITY_POINTS:
        raise asked.too_fine(f"a density map of {points:.3g} points")


def _transform_at(grid: gemmi.FloatGrid, indices: NDArray[np.int64]) -> NDArray[np.complex128]:
    """Fourier coefficients of a map at Miller indices (n, 3)."""
    found = gemmi.transform_map_to_f_phi(grid, half_l=False)
    array = np.array(found.array, copy=False)
    wrapped = indices % np.array(array.shape, dtype=np.int64)
    return np.asarray(array[wrapped[:, 0], wrapped[:, 1], wrapped[:, 2]], dtype=np.complex128)


def _finite(table: MillerTable, path: str) -> MillerTable:
    if table.count == 0 or not np.isfinite(table.amplitude).all():
        raise InputError("|F| of the model is not finite", source=path)
    return table
