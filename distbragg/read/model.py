"""|F| in P1 of an atomic model: PDB, mmCIF, or small-molecule CIF."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Final

import gemmi
import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.read.cif import PARSER_ERRORS, open_cif
from distbragg.read.miller import MAXIMUM_BOX_POINTS, MillerTable
from distbragg.read.symmetry import CellSix, cell_six, expand_to_p1, inverse_d_squared
from distbragg.read.text import read_text, shown

logger = logging.getLogger("distbragg")

DEFAULT_DMIN: Final = 2.0
"""Resolution, Å, to which |F| is computed where none is asked for."""

MAXIMUM_DENSITY_POINTS: Final = 1 << 28

_SAMPLING_RATE: Final = 1.5
_FFT_MARGIN: Final = 2.0
_DIRECT_TERMS: Final = 2_000_000_000


@dataclass(frozen=True, slots=True)
class _Solvent:
    """Flat bulk solvent: density k (e/Å³) and smearing B (Å²)."""

    density: float
    smearing: float


def read_model(
    path: str, *, dmin: float | None, bulk_solvent: bool, solvent_k: float, solvent_b: float
) -> MillerTable:
    """Compute |F| of the P1 cell, F(000) included, from an atomic model.

    Macromolecules: X-ray density of every atom with its occupancy and B factor on a grid,
    a Fourier transform, and (where asked for) a flat bulk solvent k·exp(−B s²/4)·F_mask
    between the molecules. Small-molecule CIF: direct summation. All by gemmi, with the
    symmetry of the file; the first model of several.

    Parameters
    ----------
    path : str
        `.pdb`, `.ent`, `.cif`, `.mmcif`, each also compressed (`.gz`).
    dmin : float, optional
        Resolution, Å; 2 Å where not given, which is logged.
    bulk_solvent : bool
    solvent_k, solvent_b : float
        e/Å³ and Å².

    Returns
    -------
    MillerTable

    Raises
    ------
    InputError
        Not a readable model, no unit cell, space group or atoms, unknown elements, or a
        resolution too fine to compute.
    """
    if dmin is None:
        dmin = DEFAULT_DMIN
        logger.warning(
            "structure_factors.dmin_angstrom: not given; |F| of the model reaches %g Å", dmin
        )
    if not 0.0 < dmin < math.inf:
        raise InputError(f"a resolution of {dmin:g} Å", field="structure_factors.dmin_angstrom")
    loaded = _load(path)
    solvent = _Solvent(solvent_k, solvent_b) if bulk_solvent and solvent_k > 0.0 else None
    try:
        if isinstance(loaded, gemmi.SmallStructure):
            return _direct(loaded, dmin, path)
        return _by_transform(loaded, dmin, solvent, path)
    except PARSER_ERRORS as error:
        raise InputError(f"|F| cannot be computed ({shown(str(error))})", source=path) from error


def model_cell(path: str) -> CellSix:
    """Return the unit cell (Å, degrees) of a model.

    Raises
    ------
    InputError
    """
    return cell_six(_load(path).cell, path)


def _load(path: str) -> gemmi.Structure | gemmi.SmallStructure:
    name = path.lower().removesuffix(".gz")
    if name.endswith((".cif", ".mmcif")):
        loaded = _load_cif(path)
    else:
        try:
            loaded = gemmi.read_pdb_string(read_text(path))
        except PARSER_ERRORS as error:
            raise InputError(
                f"not a readable PDB file ({shown(str(error))})", source=path
            ) from error
    cell_six(loaded.cell, path)
    if isinstance(loaded, gemmi.Structure):
        _check_structure(loaded, path)
    else:
        _check_small(loaded, path)
    return loaded


def _load_cif(path: str) -> gemmi.Structure | gemmi.SmallStructure:
    document = open_cif(path)
    try:
        for block in document:
            if block.find_loop("_atom_site.Cartn_x"):
                return gemmi.make_structure_from_block(block)
            if block.find_loop("_atom_site_fract_x"):
                return gemmi.make_small_structure_from_block(block)
    except PARSER_ERRORS as error:
        raise InputError(f"a damaged model ({shown(str(error))})", source=path) from error
    raise InputError(
        "the CIF holds no atoms", source=path, remedy="expected _atom_site records of a model"
    )


def _check_structure(structure: gemmi.Structure, path: str) -> None:
    if len(structure) == 0 or structure[0].count_atom_sites() == 0:
        raise InputError("the file holds no atoms", source=path)
    if structure.find_spacegroup() is None:
        raise InputError(f"unknown space group '{shown(structure.spacegroup_hm)}'", source=path)
    if len(structure) > 1:
        logger.warning("%s: the first of %d models is used", path, len(structure))
    for count, item in enumerate(structure[0].all(), start=1):
        atom = item.atom
        numbers = (atom.pos.x, atom.pos.y, atom.pos.z, atom.b_iso, atom.occ)
        if not all(math.isfinite(value) for value in numbers):
            raise InputError(f"atom {count} is not at a finite place", source=path)
        if atom.element.atomic_number == 0:
            raise InputError(
                f"atom {count} has no known element",
                source=path,
                remedy="fill in the element column",
            )


def _check_small(small: gemmi.SmallStructure, path: str) -> None:
    if len(small.sites) == 0:
        raise InputError("the file holds no atoms", source=path)
    if small.spacegroup is None:
        raise InputError(f"unknown space group '{shown(small.spacegroup_hm)}'", source=path)
    for count, site in enumerate(small.sites, start=1):
        numbers = (site.fract.x, site.fract.y, site.fract.z, site.u_iso, site.occ)
        if not all(math.isfinite(value) for value in numbers):
            raise InputError(
                f"atom {count} lacks coordinates", source=path,
                remedy="remove atoms without a place",
            )  # fmt: skip
        if site.element.atomic_number == 0:
            raise InputError(f"atom {count} has no known element", source=path)


def _sphere(cell: gemmi.UnitCell, dmin: float, path: str) -> NDArray[np.int64]:
    """All Miller indices (n, 3) to a resolution, (0, 0, 0) included."""
    limits = [int(limit) for limit in cell.get_hkl_limits(dmin)]
    points = math.prod(2 * limit + 1 for limit in limits)
    if points > MAXIMUM_BOX_POINTS:
        raise InputError(
            f"{points} Miller indices to {dmin:g} Å",
            source=path,
            field="structure_factors.dmin_angstrom",
            remedy="ask for a lower resolution",
        )
    axes = [np.arange(-limit, limit + 1, dtype=np.int64) for limit in limits]
    every = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return every[inverse_d_squared(every, cell) <= 1.0 / (dmin * dmin)]


def _direct(small: gemmi.SmallStructure, dmin: float, path: str) -> MillerTable:
    """Direct sum over sites and symmetry on one asymmetric part, then expanded."""
    small.setup_cell_images()
    small.change_occupancies_to_crystallographic()
    everything = _sphere(small.cell, dmin, path)
    asu = gemmi.ReciprocalAsu(small.spacegroup)
    rows = [row for row in everything.tolist() if asu.is_in(row)]
    images = len(small.spacegroup.operations())
    if len(rows) * len(small.sites) * images > _DIRECT_TERMS:
        raise InputError(
            f"{len(rows)} reflections of {len(small.sites)} sites to {dmin:g} Å are too many",
            source=path,
            field="structure_factors.dmin_angstrom",
            remedy="ask for a lower resolution",
        )
    calculator = gemmi.StructureFactorCalculatorX(small.cell)
    values = [abs(calculator.calculate_sf_from_small_structure(small, row)) for row in rows]
    return _finite(
        expand_to_p1(
            np.array(rows, dtype=np.int64).reshape(-1, 3),
            np.array(values, dtype=np.float64),
            small.spacegroup,
            path,
        ),
        path,
    )


def _by_transform(
    structure: gemmi.Structure, dmin: float, solvent: _Solvent | None, path: str
) -> MillerTable:
    _check_grid(structure.cell, dmin, path)
    structure.setup_cell_images()
    indices = _sphere(structure.cell, dmin, path)
    inverse = inverse_d_squared(indices, structure.cell)
    calculator = gemmi.DensityCalculatorX()
    calculator.d_min = dmin
    calculator.rate = _SAMPLING_RATE * _FFT_MARGIN / 2.0
    calculator.set_refmac_compatible_blur(structure[0])
    calculator.set_grid_cell_and_spacegroup(structure)
    calculator.put_model_density_on_grid(structure[0])
    values = _transform_at(calculator.grid, indices)
    values = values * np.exp(calculator.blur * inverse / 4.0)
    if solvent is not None:
        masker = gemmi.SolventMasker(gemmi.AtomicRadiiSet.VanDerWaals)
        grid = gemmi.FloatGrid(calculator.grid.nu, calculator.grid.nv, calculator.grid.nw)
        grid.set_unit_cell(structure.cell)
        grid.spacegroup = structure.find_spacegroup()
        masker.put_mask_on_float_grid(grid, structure[0])
        smear = np.exp(-solvent.smearing * inverse / 4.0)
        values = values + solvent.density * smear * _transform_at(grid, indices)
    return _finite(MillerTable(indices, np.abs(values).astype(np.float64)), path)


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
