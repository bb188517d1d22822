"""Structure factors of an atomic model, computed once and kept in a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from distbragg.errors import InputError
from distbragg.notes import Notes


@dataclass(frozen=True, slots=True)
class FmodelResult:
    """What was written.

    Attributes
    ----------
    path : Path
    reflections : int
        Of the asymmetric part, F(000) included.
    spacegroup : str
    f000 : float, electrons
        |F(000)|, the bulk solvent included.
    notes : tuple of Note
        What was left out of the model, added to it or chosen.
    """

    path: Path
    reflections: int
    spacegroup: str
    f000: float
    notes: Notes = ()


def fmodel(
    model: str | Path,
    output: str | Path,
    *,
    dmin: float,
    wavelength: float | None = None,
    bulk_solvent: bool = True,
    solvent_k: float = 0.35,
    solvent_b: float = 46.0,
) -> FmodelResult:
    """Compute F of a model and write them as MTZ.

    Parameters
    ----------
    model : path
        PDB, mmCIF or small-molecule CIF.
    output : path
        `.mtz`; written whole or not at all.
    dmin : float
        Resolution, Å.
    wavelength : float, optional
        Å; adds f′ and f″, and writes Friedel mates as a pair of columns.
    bulk_solvent : bool
        Flat solvent between the molecules of a macromolecular model.
    solvent_k, solvent_b : float
        e/Å³ and Å².

    Raises
    ------
    InputError
        An unusable model, an output of another kind, or the folder is not there.
    """
    from distbragg.export.mtz import write_mtz
    from distbragg.read.model import model_factors
    from distbragg.read.structure_factors import detect_format

    target = Path(output)
    if target.suffix.lower() != ".mtz":
        raise InputError(
            "structure factors are written as MTZ", source=str(output), remedy="name it .mtz"
        )
    if not target.parent.is_dir() or target.is_dir():
        problem = "is a folder" if target.is_dir() else "its folder does not exist"
        raise InputError(problem, source=str(output), remedy="check the path of -o")
    kind = detect_format(str(model))
    if kind != "model":
        raise InputError(
            "no atomic model" if kind == "hkl" else "holds reflections, no atomic model",
            source=str(model),
            remedy="expected .pdb, .ent, .cif or .mmcif, also .gz",
        )
    factors = model_factors(
        str(model),
        dmin=dmin,
        bulk_solvent=bulk_solvent,
        solvent_k=solvent_k,
        solvent_b=solvent_b,
        wavelength=wavelength,
    )
    write_mtz(target, factors, wavelength=wavelength)
    return FmodelResult(
        target,
        factors.indices.shape[0],
        factors.spacegroup,
        float(abs(factors.values[0])),
        factors.notes,
    )
