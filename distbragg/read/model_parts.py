"""Complex F in P1 of an atomic model, and of its anomalous scatterers by themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import gemmi
import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.notes import Note, Notes
from distbragg.read.cif import damage_is_input_error
from distbragg.read.miller import Asked
from distbragg.read.model import Request, sphere, summed, transformed
from distbragg.read.model_file import load_model
from distbragg.read.symmetry import CellSix, cell_six

_CHUNK: Final = 1 << 16
_MOST_TERMS: Final = 2_000_000_000
_FIELD: Final = "structure_factors.anomalous_elements"


@dataclass(frozen=True, slots=True)
class Choice:
    """Atoms of an element, or those of them with a label."""

    element: str
    label: str | None = None

    def __str__(self) -> str:
        return self.element if self.label is None else f"{self.element} {self.label}"


@dataclass(frozen=True, slots=True)
class ModelParts:
    """F₀ and G of `models.scattering` in P1, electrons; see there."""

    indices: NDArray[np.int64]  # (n, 3)
    normal: NDArray[np.complex128]  # (n,)
    parts: NDArray[np.complex128]  # (choices, n)
    cell: CellSix  # Å, degrees
    notes: Notes = ()


@dataclass(frozen=True, slots=True)
class _Atom:
    """An atom as G sees it."""

    element: str
    labels: tuple[str, ...]
    place: NDArray[np.float64]  # (3,), fractional
    occupancy: float
    beta: NDArray[np.float64]  # (3, 3): the temperature factor is exp(−hᵀ β h)


def model_parts(path: str, asked: Asked, choices: Sequence[Choice] = ()) -> ModelParts:
    """Compute F of a model to a resolution, and of the atoms that each choice names.

    G is summed atom by atom; the rest as `read_model` does. An atom that a choice names by its
    label does not count for one that names its element alone.
    """
    request = Request(path, asked)
    model = load_model(path)
    content, notes = model.content, list(model.notes)
    with damage_is_input_error(path, "F cannot be computed"):
        indices = sphere(content.cell, request)
        if isinstance(content, gemmi.SmallStructure):
            normal, absorbed = summed(content, indices, request)
            operations = content.spacegroup
        else:
            normal, absorbed = transformed(content, indices, request)
            operations = model.group
        chosen = _chosen(list(_atoms(content)), choices, path)
        terms = indices.shape[0] * sum(map(len, chosen)) * len(operations.operations())
        if terms > _MOST_TERMS:
            raise request.too_fine(f"{terms:.3g} terms of anomalous scatterers")
        parts = [_summed_over(atoms, operations, indices) for atoms in chosen]
    for choice, atoms in zip(choices, chosen, strict=True):
        notes.append(Note("note", _FIELD, f"{choice}: {len(atoms)} of the atoms of {path}"))
    shape = len(parts), len(indices)
    return ModelParts(
        indices,
        normal + 1j * absorbed,
        np.array(parts, dtype=np.complex128).reshape(shape),
        cell_six(content.cell, request),
        (*request.notes, *notes),
    )


def _chosen(atoms: list[_Atom], choices: Sequence[Choice], path: str) -> list[list[_Atom]]:
    """Return the atoms of each choice."""
    chosen: list[list[_Atom]] = [[] for _ in choices]
    known = {choice.element: gemmi.Element(choice.element).name for choice in choices}
    for atom in atoms:
        same = [n for n, choice in enumerate(choices) if known[choice.element] == atom.element]
        named = [n for n in same if choices[n].label in atom.labels]
        owners = named or [n for n in same if choices[n].label is None]
        if len(owners) > 1:
            problem = f"atom {atom.labels[-1]} belongs to two of its entries"
            raise InputError(problem, source=path, field=_FIELD, remedy="name it once")
        for owner in owners:
            chosen[owner].append(atom)
    for number, choice in enumerate(choices):
        if not chosen[number]:
            raise InputError(
                f"the model has no atoms {choice}",
                source=path,
                field=f"{_FIELD}.{number}",
                remedy="an element, and a label such as FE1 or A/64/FE",
            )
    return chosen


def _atoms(content: gemmi.Structure | gemmi.SmallStructure) -> Iterator[_Atom]:
    """Yield the atoms of a model."""
    cell = content.cell
    reciprocal = np.array(cell.frac.mat.tolist())  # rows a*, b*, c*
    if isinstance(content, gemmi.SmallStructure):
        scales = np.diag(np.sqrt((reciprocal**2).sum(axis=1)))
        for site in content.sites:
            # U is of unit vectors along a*, b*, c*.
            form = scales @ np.array(site.aniso.as_mat33().tolist()) @ scales
            if not site.aniso.nonzero():
                form = site.u_iso * reciprocal @ reciprocal.T
            place = np.array(site.fract.tolist())
            beta = 2.0 * math.pi**2 * form
            yield _Atom(site.element.name, (site.label,), place, site.occ, beta)
        return
    for item in content[0].all():
        atom, residue = item.atom, item.residue
        form = np.array(atom.aniso.as_mat33().tolist())
        if not atom.aniso.nonzero():
            form = atom.b_iso / (8.0 * math.pi**2) * np.eye(3)
        place = np.array(cell.fractionalize(atom.pos).tolist())
        beta = 2.0 * math.pi**2 * reciprocal @ form @ reciprocal.T
        labels = atom.name, f"{item.chain.name}/{residue.seqid}/{atom.name}"
        yield _Atom(atom.element.name, labels, place, atom.occ, beta)


def _summed_over(
    atoms: list[_Atom], group: gemmi.SpaceGroup, indices: NDArray[np.int64]
) -> NDArray[np.complex128]:
    """Σ occ exp(−hᵀ β h) exp(2πi h·x) over atoms and their images, (n,)."""
    den = float(gemmi.Op.DEN)
    images = [(np.array(op.rot) / den, np.array(op.tran) / den) for op in group.operations()]
    total = np.zeros(len(indices), dtype=np.complex128)
    for start in range(0, len(indices), _CHUNK):
        some = indices[start : start + _CHUNK].astype(np.float64)
        own = total[start : start + _CHUNK]
        for rotation, shift in images:
            turned = (some[:, :, np.newaxis] * rotation).sum(axis=1)  # h R of every h
            moved = (some * shift).sum(axis=1)
            for atom in atoms:
                phase = 2.0 * math.pi * ((turned * atom.place).sum(axis=1) + moved)
                seen = ((turned[:, :, np.newaxis] * atom.beta).sum(axis=1) * turned).sum(axis=1)
                fall = atom.occupancy * np.exp(-seen)
                own += fall * (np.cos(phase) + 1j * np.sin(phase))
    return total
