"""Structure factors of an atomic model, computed once and kept in a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from distbragg.errors import InputError
from distbragg.notes import Notes


@dataclass(frozen=True, slots=True)
class FmodelResult:
    """What was written."""

    path: Path
    reflections: int  # of the asymmetric part, F(000) included
    spacegroup: str
    f000: float  # |F(000)|, the bulk solvent included, electrons
    notes: Notes = ()  # what was left out of the model, added to it or chosen


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
    """Compute F of a model (PDB, mmCIF, small-molecule CIF) to `dmin`, Å, and write them as MTZ.

    A `wavelength`, Å, adds f′ and f″, and Friedel mates are written as a pair of columns then.
    `bulk_solvent` lies flat between the molecules of a macromolecule; `solvent_k` is in e/Å³,
    `solvent_b` in Å².
    """
    from distbragg.export.mtz import write_mtz
    from distbragg.read.miller import Asked
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
    asked = Asked(
        dmin=dmin,
        bulk_solvent=bulk_solvent,
        solvent_k=solvent_k,
        solvent_b=solvent_b,
        wavelength=wavelength,
    )
    factors = model_factors(str(model), asked)
    write_mtz(target, factors, wavelength=wavelength)
    return FmodelResult(
        target,
        factors.indices.shape[0],
        factors.spacegroup,
        float(abs(factors.values[0])),
        factors.notes,
    )
