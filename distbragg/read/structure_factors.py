"""Structure factors of any format: one door for the readers of each."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

from distbragg.errors import InputError
from distbragg.read.hkl import read_hkl
from distbragg.read.miller import MillerTable

Format = Literal["auto", "hkl", "mtz", "sf-mmcif", "model"]
CellSix = tuple[float, float, float, float, float, float]

_MODEL_SUFFIXES: Final = (".pdb", ".ent")


def detect_format(path: str) -> Literal["hkl", "mtz", "sf-mmcif", "model"]:
    """Tell the format of a file by its extension, a CIF's by its content.

    An extension that says nothing means a text list.

    Raises
    ------
    InputError
        A CIF that cannot be read.
    """
    name = path.lower().removesuffix(".gz")
    if name.endswith(".mtz"):
        return "mtz"
    if name.endswith(_MODEL_SUFFIXES):
        return "model"
    if name.endswith((".cif", ".mmcif")):
        from distbragg.read.sfcif import holds_reflections

        return "sf-mmcif" if holds_reflections(path) else "model"
    return "hkl"


def read_structure_factors(
    path: str,
    *,
    format: Format = "auto",
    column: str | None = None,
    dmin: float | None = None,
    bulk_solvent: bool = True,
    solvent_k: float = 0.35,
    solvent_b: float = 46.0,
    wavelength: float | None = None,
) -> MillerTable:
    """Read or compute |F| of the P1 cell.

    Parameters
    ----------
    path : str
    format : {"auto", "hkl", "mtz", "sf-mmcif", "model"}
    column : str, optional
        Amplitude column of an MTZ or SF-mmCIF file; detected where not given.
    dmin : float, optional
        Å. Bounds what is computed from a model (2 Å where not given) or kept of a list.
    bulk_solvent : bool
        Flat solvent between the molecules of a macromolecular model.
    solvent_k, solvent_b : float
        e/Å³ and Å².
    wavelength : float, optional
        Å; adds f′ and f″ to the atoms of a model. Nothing of a list depends on it.

    Raises
    ------
    InputError
        Names the file and what is wrong with it.
    """
    kind = detect_format(path) if format == "auto" else format
    if kind == "hkl":
        return read_hkl(path)
    from distbragg.read.cif import damage_is_input_error

    with damage_is_input_error(path):
        return _read_with_gemmi(
            path,
            kind,
            column=column,
            dmin=dmin,
            bulk_solvent=bulk_solvent,
            solvent_k=solvent_k,
            solvent_b=solvent_b,
            wavelength=wavelength,
        )


def _read_with_gemmi(
    path: str,
    kind: str,
    *,
    column: str | None,
    dmin: float | None,
    bulk_solvent: bool,
    solvent_k: float,
    solvent_b: float,
    wavelength: float | None,
) -> MillerTable:
    if kind == "mtz":
        from distbragg.read.mtz import read_mtz

        return read_mtz(path, column=column, dmin=dmin)
    if kind == "sf-mmcif":
        from distbragg.read.sfcif import read_sfcif

        return read_sfcif(path, column=column, dmin=dmin)
    from distbragg.read.model import read_model

    return read_model(
        path,
        dmin=dmin,
        bulk_solvent=bulk_solvent,
        solvent_k=solvent_k,
        solvent_b=solvent_b,
        wavelength=wavelength,
    )


def file_cell(path: str, format: Format = "auto") -> CellSix | None:
    """Return the unit cell (Å, degrees) that a file names, or None for a text list.

    Remembered while the file keeps its size and time: a sweep asks once per frame.

    Raises
    ------
    InputError
        An unreadable file.
    """
    try:
        status = Path(path).stat()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", source=path) from error
    return _file_cell(path, format, (status.st_size, status.st_mtime_ns, status.st_ino))


@lru_cache(maxsize=32)
def _file_cell(path: str, format: Format, _identity: tuple[int, int, int]) -> CellSix | None:
    kind = detect_format(path) if format == "auto" else format
    if kind == "hkl":
        return None
    from distbragg.read.cif import damage_is_input_error

    with damage_is_input_error(path):
        return _cell_with_gemmi(path, kind)


def _cell_with_gemmi(path: str, kind: str) -> CellSix:
    if kind == "mtz":
        from distbragg.read.mtz import mtz_cell

        return mtz_cell(path)
    if kind == "sf-mmcif":
        from distbragg.read.sfcif import sfcif_cell

        return sfcif_cell(path)
    from distbragg.read.model import model_cell

    return model_cell(path)
