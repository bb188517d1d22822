"""|F| in P1 of an atomic model: PDB, mmCIF, or small-molecule CIF."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import gemmi
import numpy as np
from numpy.typing import NDArray

from distbragg.constants import ENERGY_WAVELENGTH_PRODUCT_EV_ANGSTROM
from distbragg.errors import InputError
from distbragg.notes import Note, Notes
from distbragg.read.cif import PARSER_ERRORS
from distbragg.read.miller import MAXIMUM_BOX_POINTS, MillerTable
from distbragg.read.model_file import load_model
from distbragg.read.symmetry import CellSix, cell_six, expand_to_p1, inverse_d_squared
from distbragg.read.text import shown

DEFAULT_DMIN: Final = 2.0
"""Resolution, Å, to which |F| is computed where none is asked for."""

MAXIMUM_DENSITY_POINTS: Final = 1 << 28

_SAMPLING_RATE: Final = 1.5
_FFT_MARGIN: Final = 2.0
_DIRECT_TERMS: Final = 2_000_000_000

_WAVELENGTHS: Final = (0.1, 6.0)
"""Å (2 to 124 keV), where the tables of Cromer and Liberman are meant to be used."""

_HEAVIEST: Final = 92
"""The tables of f′ and f″ end at uranium."""


@dataclass(frozen=True, slots=True)
class _Solvent:
    """Flat bulk solvent: density k (e/Å³) and smearing B (Å²)."""

    density: float
    smearing: float


@dataclass(frozen=True, slots=True)
class ModelFactors:
    """Complex structure factors of a model on one asymmetric part of reciprocal space.

    Attributes
    ----------
    indices : (n, 3) int64
        (0, 0, 0) first; systematic absences are left out.
    values : (n,) complex128, electrons
        F(h k l).
    mates : (n,) complex128, electrons
        F(−h −k −l), the complex conjugate of `values` without anomalous scattering.
    cell : tuple of float
        a, b, c (Å), α, β, γ (degrees).
    spacegroup : str
        Extended Hermann-Mauguin symbol.
    notes : tuple of Note
        What was left out of the model, added to it or chosen.
    """

    indices: NDArray[np.int64]
    values: NDArray[np.complex128]
    mates: NDArray[np.complex128]
    cell: CellSix
    spacegroup: str
    notes: Notes = ()


def read_model(
    path: str,
    *,
    dmin: float | None,
    bulk_solvent: bool,
    solvent_k: float,
    solvent_b: float,
    wavelength: float | None = None,
) -> MillerTable:
    """Compute |F| of the P1 cell, F(000) included, from an atomic model.

    Macromolecules: X-ray density of every atom with its occupancy and B factor on a grid,
    a Fourier transform, and (where asked for) a flat bulk solvent k·exp(−B s²/4)·F_mask
    between the molecules. Small-molecule CIF: direct summation. All by gemmi, with the
    symmetry of the file, strict non-crystallographic symmetry included; the first model of
    several. Dummy and unknown atoms are left out.

    Parameters
    ----------
    path : str
        `.pdb`, `.ent`, `.cif`, `.mmcif`, each also compressed (`.gz`).
    dmin : float, optional
        Resolution, Å; 2 Å where not given, which is logged.
    bulk_solvent : bool
    solvent_k, solvent_b : float
        e/Å³ and Å².
    wavelength : float, optional
        Å; adds f′ and f″ of every element (Cromer and Liberman, by gemmi), which makes the
        two of a Friedel pair differ.

    Returns
    -------
    MillerTable

    Raises
    ------
    InputError
        Not a readable model, no unit cell, space group or atoms, unknown elements, or a
        resolution too fine to compute.
    """
    notes: Notes = ()
    if dmin is None:
        dmin = DEFAULT_DMIN
        text = f"not given; |F| of the model reaches {dmin:g} Å"
        notes = (Note("note", "structure_factors.dmin_angstrom", text),)
    _check_range(dmin, wavelength)
    model = load_model(path)
    loaded = model.content
    solvent = _Solvent(solvent_k, solvent_b) if bulk_solvent and solvent_k > 0.0 else None
    try:
        if isinstance(loaded, gemmi.SmallStructure):
            table = _direct(loaded, dmin, wavelength, path)
        else:
            table = _by_transform(loaded, dmin, solvent, wavelength=wavelength, path=path)
    except PARSER_ERRORS as error:
        raise InputError(f"|F| cannot be computed ({shown(str(error))})", source=path) from error
    return replace(table, notes=(*notes, *model.notes))


def model_factors(
    path: str,
    *,
    dmin: float,
    bulk_solvent: bool = True,
    solvent_k: float = 0.35,
    solvent_b: float = 46.0,
    wavelength: float | None = None,
) -> ModelFactors:
    """Compute complex F with its phase, F(000) included, as `read_model` computes |F|.

    Parameters
    ----------
    path : str
    dmin : float
        Resolution, Å.
    bulk_solvent : bool
    solvent_k, solvent_b : float
        e/Å³ and Å².
    wavelength : float, optional
        Å, for f′ and f″.

    Raises
    ------
    InputError
        As of `read_model`.
    """
    _check_range(dmin, wavelength)
    model = load_model(path)
    loaded = model.content
    solvent = _Solvent(solvent_k, solvent_b) if bulk_solvent and solvent_k > 0.0 else None
    try:
        indices = _asymmetric_part(loaded.cell, model.group, dmin, path)
        if isinstance(loaded, gemmi.SmallStructure):
            normal, absorbed = _summed(loaded, indices, dmin, wavelength, path)
        else:
            normal, absorbed = _transformed(
                loaded, indices, dmin, solvent, wavelength=wavelength, path=path
            )
    except PARSER_ERRORS as error:
        raise InputError(f"F cannot be computed ({shown(str(error))})", source=path) from error
    _finite(MillerTable(indices, np.abs(normal) + np.abs(absorbed)), path)
    return ModelFactors(
        indices=indices,
        values=normal + 1j * absorbed,
        mates=np.conj(normal - 1j * absorbed),
        cell=cell_six(loaded.cell, path),
        spacegroup=model.group.xhm(),
        notes=model.notes,
    )


def _asymmetric_part(
    cell: gemmi.UnitCell, group: gemmi.SpaceGroup, dmin: float, path: str
) -> NDArray[np.int64]:
    _check_box_of(cell, dmin, path)
    listed = gemmi.make_miller_array(cell, group, dmin)
    indices = np.array(listed, dtype=np.int64).reshape(-1, 3)
    return np.concatenate([np.zeros((1, 3), dtype=np.int64), indices])


def _check_range(dmin: float, wavelength: float | None) -> None:
    if not 0.0 < dmin < math.inf:
        raise InputError(f"a resolution of {dmin:g} Å", field="structure_factors.dmin_angstrom")
    if wavelength is not None and not _WAVELENGTHS[0] <= wavelength <= _WAVELENGTHS[1]:
        raise InputError(
            f"no f′ and f″ at {wavelength:g} Å",
            field="wavelength",
            remedy=f"{_WAVELENGTHS[0]:g} to {_WAVELENGTHS[1]:g} Å, or leave them out",
        )


def model_cell(path: str) -> CellSix:
    """Return the unit cell (Å, degrees) of a model.

    Raises
    ------
    InputError
    """
    return cell_six(load_model(path).content.cell, path)


def _sphere(cell: gemmi.UnitCell, dmin: float, path: str) -> NDArray[np.int64]:
    """All Miller indices (n, 3) to a resolution, (0, 0, 0) included."""
    limits = _check_box_of(cell, dmin, path)
    axes = [np.arange(-limit, limit + 1, dtype=np.int64) for limit in limits]
    every = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return every[inverse_d_squared(every, cell) <= 1.0 / (dmin * dmin)]


def _check_box_of(cell: gemmi.UnitCell, dmin: float, path: str) -> list[int]:
    """Return the largest |h|, |k|, |l| to a resolution; refuse a box too large to hold."""
    limits = [int(limit) for limit in cell.get_hkl_limits(dmin)]
    points = math.prod(2 * limit + 1 for limit in limits)
    if points > MAXIMUM_BOX_POINTS:
        raise InputError(
            f"{points} Miller indices to {dmin:g} Å",
            source=path,
            field="structure_factors.dmin_angstrom",
            remedy="ask for a lower resolution",
        )
    return limits


def _direct(
    small: gemmi.SmallStructure, dmin: float, wavelength: float | None, path: str
) -> MillerTable:
    """Direct sum over sites and symmetry on one asymmetric part, then expanded."""
    everything = _sphere(small.cell, dmin, path)
    asu = gemmi.ReciprocalAsu(small.spacegroup)
    rows = [row for row in everything.tolist() if asu.is_in(row)]
    indices = np.array(rows, dtype=np.int64).reshape(-1, 3)
    normal, absorbed = _summed(small, indices, dmin, wavelength, path)
    mates = None if wavelength is None else _modulus(normal - 1j * absorbed)
    values = _modulus(normal + 1j * absorbed)
    return _finite(expand_to_p1(indices, values, small.spacegroup, path, mates=mates), path)


def _modulus(values: NDArray[np.complex128]) -> NDArray[np.float64]:
    """|F| by the C library: the vectorised one of numpy rounds otherwise on other processors."""
    return np.array([abs(value) for value in values.tolist()], dtype=np.float64)


def _summed(
    small: gemmi.SmallStructure,
    indices: NDArray[np.int64],
    dmin: float,
    wavelength: float | None,
    path: str,
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Sum over sites and their images: F without and of f″ (n,), each of a real density."""
    images = len(small.spacegroup.operations())
    passes = 1 if wavelength is None else 2
    if passes * indices.shape[0] * len(small.sites) * images > _DIRECT_TERMS:
        raise InputError(
            f"{indices.shape[0]} reflections of {len(small.sites)} sites to {dmin:g} Å "
            "are too many",
            source=path,
            field="structure_factors.dmin_angstrom",
            remedy="ask for a lower resolution",
        )
    calculator = gemmi.StructureFactorCalculatorX(small.cell)
    elements = {site.element.atomic_number for site in small.sites}

    def at_every_index() -> NDArray[np.complex128]:
        rows = indices.tolist()
        values = [calculator.calculate_sf_from_small_structure(small, row) for row in rows]
        return np.array(values, dtype=np.complex128)

    return _with_dispersion(calculator.addends, elements, wavelength, path, at_every_index)


def _with_dispersion(
    addends: gemmi.Addends,
    elements: set[int],
    wavelength: float | None,
    path: str,
    compute: Callable[[], NDArray[np.complex128]],
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Run `compute` with f′ added, and with f″ added too: their difference is the F of f″.

    gemmi adds real numbers to form factors only. F(±h) = N(±h) + i A(±h) with N and A the
    transforms of real densities.
    """
    if wavelength is None:
        normal = compute()
        return normal, np.zeros_like(normal)
    heavy = sorted(number for number in elements if number > _HEAVIEST)
    if heavy:
        name = gemmi.Element(heavy[0]).name
        raise InputError(f"no f′ and f″ are known for {name}", source=path, field="wavelength")
    energy = ENERGY_WAVELENGTH_PRODUCT_EV_ANGSTROM / wavelength
    parts = {number: gemmi.cromer_liberman(number, energy) for number in elements}
    for number, (real, _) in parts.items():
        addends.set(gemmi.Element(number), real)
    normal = compute()
    for number, (real, imaginary) in parts.items():
        addends.set(gemmi.Element(number), real + imaginary)
    return normal, compute() - normal


def _by_transform(
    structure: gemmi.Structure,
    dmin: float,
    solvent: _Solvent | None,
    *,
    wavelength: float | None,
    path: str,
) -> MillerTable:
    _check_grid(structure.cell, dmin, path)
    indices = _sphere(structure.cell, dmin, path)
    normal, absorbed = _transformed(
        structure, indices, dmin, solvent, wavelength=wavelength, path=path
    )
    values = normal if wavelength is None else normal + 1j * absorbed
    return _finite(MillerTable(indices, np.abs(values).astype(np.float64)), path)


def _transformed(
    structure: gemmi.Structure,
    indices: NDArray[np.int64],
    dmin: float,
    solvent: _Solvent | None,
    *,
    wavelength: float | None,
    path: str,
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Transform density maps: F without and of f″ (n,), each of a real density."""
    _check_grid(structure.cell, dmin, path)
    structure.setup_cell_images()
    inverse = inverse_d_squared(indices, structure.cell)
    calculator = gemmi.DensityCalculatorX()
    calculator.d_min = dmin
    calculator.rate = _SAMPLING_RATE * _FFT_MARGIN / 2.0
    calculator.set_refmac_compatible_blur(structure[0])
    calculator.set_grid_cell_and_spacegroup(structure)
    elements = {item.atom.element.atomic_number for item in structure[0].all()}

    def of_the_density() -> NDArray[np.complex128]:
        calculator.put_model_density_on_grid(structure[0])
        values = _transform_at(calculator.grid, indices)
        return np.asarray(values * np.exp(calculator.blur * inverse / 4.0))

    values, absorbed = _with_dispersion(
        calculator.addends, elements, wavelength, path, of_the_density
    )
    if solvent is not None:
        masker = gemmi.SolventMasker(gemmi.AtomicRadiiSet.VanDerWaals)
        grid = gemmi.FloatGrid(calculator.grid.nu, calculator.grid.nv, calculator.grid.nw)
        grid.set_unit_cell(structure.cell)
        grid.spacegroup = structure.find_spacegroup()
        masker.put_mask_on_float_grid(grid, structure[0])
        smear = np.exp(-solvent.smearing * inverse / 4.0)
        values = values + solvent.density * smear * _transform_at(grid, indices)
    return values, absorbed


def _check_grid(cell: gemmi.UnitCell, dmin: float, path: str) -> None:
    spacing = dmin / (2.0 * _SAMPLING_RATE)
    points = float(cell.volume) / spacing**3
    if not points <= MAXIMUM_DENSITY_POINTS:
        raise InputError(
            f"a density map of {points:.3g} points at {dmin:g} Å",
            source=path,
            field="structure_factors.dmin_angstrom",
            remedy="ask for a lower resolution",
        )


def _transform_at(grid: gemmi.FloatGrid, indices: NDArray[np.int64]) -> NDArray[np.complex128]:
    """Fourier coefficients of a map at Miller indices (n, 3)."""
    transformed = gemmi.transform_map_to_f_phi(grid, half_l=False)
    array = np.array(transformed.array, copy=False)
    wrapped = indices % np.array(array.shape, dtype=np.int64)
    return np.asarray(array[wrapped[:, 0], wrapped[:, 1], wrapped[:, 2]], dtype=np.complex128)


def _finite(table: MillerTable, path: str) -> MillerTable:
    if table.count == 0 or not np.isfinite(table.amplitude).all():
        raise InputError("|F| of the model is not finite", source=path)
    return table
