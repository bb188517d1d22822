"""Structure factors of any format: one door for the readers of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from distbragg.errors import InputError
from distbragg.read.intensities import IntensityRule
from distbragg.read.miller import MillerTable
from distbragg.read.recognise import Kind, detect_format

if TYPE_CHECKING:
    from distbragg.read.groups import Group

__all__ = ["detect_format", "file_cell", "read_structure_factors"]

Format = Literal["auto"] | Kind
CellSix = tuple[float, float, float, float, float, float]

WITHOUT_CELL: Final = ("hkl", "hklf4", "hklf3", "crystfel")
"""Formats that name no unit cell."""

_ONE_COLUMN: Final = ("hklf4", "hklf3", "crystfel", "xds")


@dataclass(frozen=True, slots=True)
class _Options:
    """What the specification says of the file, as `read_structure_factors` takes it."""

    column: str | None
    dmin: float | None
    intensities: IntensityRule
    space_group: str | None
    bulk_solvent: bool
    solvent_k: float
    solvent_b: float
    wavelength: float | None

    def group(self) -> Group | None:
        """Symmetry that is given in place of the file's."""
        if self.space_group is None:
            return None
        from distbragg.read.groups import named_group

        found = named_group(self.space_group)
        if found is None:
            raise InputError(
                f"unknown space group '{self.space_group}'",
                field="structure_factors.space_group",
                remedy="give a Hermann-Mauguin symbol such as 'P 43 21 2' or 'R 3 :R', a Hall "
                "symbol, or a number",
            )
        return found


def read_structure_factors(
    path: str,
    *,
    format: Format = "auto",
    column: str | None = None,
    dmin: float | None = None,
    intensities: IntensityRule = "refuse",
    space_group: str | None = None,
    bulk_solvent: bool = True,
    solvent_k: float = 0.35,
    solvent_b: float = 46.0,
    wavelength: float | None = None,
) -> MillerTable:
    """Read or compute |F| of the P1 cell.

    Parameters
    ----------
    path : str
    format : {"auto", "hkl", "hklf4", "hklf3", "crystfel", "xds", "mtz", "sf-mmcif", "model"}
        Told by content and name where "auto".
    column : str, optional
        Amplitude column of an MTZ or CIF file, or of a text list that names its columns; detected
        where not given.
    dmin : float, optional
        Å. Bounds what is computed from a model (2 Å where not given) or kept of a list that
        names its cell.
    intensities : {"refuse", "root"}
        Whether |F| may be the root of an intensity.
    space_group : str, optional
        Symmetry of a list, in place of what the file says: Hermann-Mauguin or Hall symbol, or
        number.
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
    options = _Options(
        column, dmin, intensities, space_group, bulk_solvent, solvent_k, solvent_b, wavelength
    )
    kind = detect_format(path) if format == "auto" else format
    if column is not None and kind in _ONE_COLUMN:
        raise InputError(
            f"a list of this format ({kind}) has one column of amplitudes or intensities",
            source=path,
            field="structure_factors.column",
            remedy="leave it out",
        )
    if kind in ("hkl", "hklf4", "hklf3"):
        return _read_text(path, kind, options, decided=format != "auto")
    from distbragg.read.cif import damage_is_input_error

    with damage_is_input_error(path):
        return _read_with_gemmi(path, kind, options)


def _read_text(path: str, kind: str, options: _Options, *, decided: bool) -> MillerTable:
    """Read a list of columns; where the format is not given, one of SHELX must be told first."""
    from distbragg.read.hkl import read_hkl
    from distbragg.read.shelx import evidence_of_shelx, read_shelx, undecided
    from distbragg.read.text import read_bytes

    if not decided:
        evidence = evidence_of_shelx(read_bytes(path))
        if evidence and options.intensities == "refuse":
            raise undecided(path, evidence)
        kind = "hklf4" if evidence else kind
    group = options.group()
    if kind != "hkl":
        return read_shelx(path, "hklf3" if kind == "hklf3" else "hklf4", group)
    return read_hkl(path, column=options.column, intensities=options.intensities, group=group)


def _read_with_gemmi(path: str, kind: str, options: _Options) -> MillerTable:
    if kind == "model":
        return _read_model(path, options)
    group = options.group()
    if kind == "crystfel":
        from distbragg.read.crystfel_list import read_crystfel_list

        return read_crystfel_list(path, intensities=options.intensities, group=group)
    if kind == "xds":
        from distbragg.read.xds_ascii import read_xds_ascii

        return read_xds_ascii(path, intensities=options.intensities, dmin=options.dmin, group=group)
    if kind == "mtz":
        from distbragg.read.mtz import read_mtz as read
    else:
        from distbragg.read.sfcif import read_sfcif as read
    return read(
        path,
        column=options.column,
        dmin=options.dmin,
        intensities=options.intensities,
        group=group,
    )


def _read_model(path: str, options: _Options) -> MillerTable:
    from distbragg.read.model import read_model

    for field, given in (("column", options.column), ("space_group", options.space_group)):
        if given is not None:
            raise InputError(
                "the file is an atomic model, no list of reflections",
                source=path,
                field=f"structure_factors.{field}",
                remedy="leave it out, or write the symmetry into the model",
            )
    return read_model(
        path,
        dmin=options.dmin,
        bulk_solvent=options.bulk_solvent,
        solvent_k=options.solvent_k,
        solvent_b=options.solvent_b,
        wavelength=options.wavelength,
    )


def file_cell(path: str, format: Format = "auto", column: str | None = None) -> CellSix | None:
    """Return the unit cell (Å, degrees) that a file names, or None for a list without one.

    Remembered while the file keeps its size and time: a sweep asks once per frame.

    Parameters
    ----------
    path : str
    format : as of `read_structure_factors`
    column : str, optional
        Of an MTZ file, whose datasets have cells of their own.

    Raises
    ------
    InputError
        An unreadable file.
    """
    try:
        status = Path(path).stat()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", source=path) from error
    return _file_cell(path, format, column, (status.st_size, status.st_mtime_ns, status.st_ino))


@lru_cache(maxsize=32)
def _file_cell(
    path: str, format: Format, column: str | None, _identity: tuple[int, int, int]
) -> CellSix | None:
    kind = detect_format(path) if format == "auto" else format
    if kind in WITHOUT_CELL:
        return None
    from distbragg.read.cif import damage_is_input_error

    with damage_is_input_error(path):
        return _cell_with_gemmi(path, kind, column)


def _cell_with_gemmi(path: str, kind: str, column: str | None) -> CellSix:
    if kind == "mtz":
        from distbragg.read.mtz import mtz_cell

        return mtz_cell(path, column)
    if kind == "sf-mmcif":
        from distbragg.read.sfcif import sfcif_cell

        return sfcif_cell(path)
    if kind == "xds":
        from distbragg.read.xds_ascii import xds_ascii_cell

        return xds_ascii_cell(path)
    from distbragg.read.model import model_cell

    return model_cell(path)
