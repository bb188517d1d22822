"""Structure factors of any format: one door for the readers of each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal

from distbragg.errors import InputError
from distbragg.read.miller import Asked, IntensityRule, MillerTable
from distbragg.read.recognise import Kind, detect_format
from distbragg.read.text import remembered

if TYPE_CHECKING:
    from distbragg.read.groups import Group
    from distbragg.read.symmetry import CellSix

__all__ = ["detect_format", "file_cell", "file_group", "read_structure_factors"]

Format = Literal["auto"] | Kind


@dataclass(frozen=True, slots=True)
class _Row:
    """A format: its reader, those of its cell and symmetry, if any, and what it has a use for."""

    module: str
    reader: str
    cell: str = ""
    symmetry: str = ""
    takes: tuple[str, ...] = ("space_group",)

    def call(self, name: str, path: str, asked: Asked) -> Any:  # noqa: ANN401
        """Call a reader; what gemmi raises on damaged content becomes one error."""
        from distbragg.read.cif import damage_is_input_error

        with damage_is_input_error(path):
            return getattr(import_module(f"distbragg.read.{self.module}"), name)(path, asked)


_TAGGED: Final = ("column", "space_group")
_FORMATS: Final[dict[str, _Row]] = {
    "hkl": _Row("hkl", "read_hkl", takes=_TAGGED),
    "hklf4": _Row("program_lists", "read_hklf4"),
    "hklf3": _Row("program_lists", "read_hklf3"),
    "crystfel": _Row("program_lists", "read_crystfel_list"),
    "xds": _Row("program_lists", "read_xds_ascii", "xds_ascii_cell", "xds_ascii_group"),
    "mtz": _Row("mtz", "read_mtz", "mtz_cell", "mtz_group", _TAGGED),
    "sf-mmcif": _Row("sfcif", "read_sfcif", "sfcif_cell", "sfcif_group", _TAGGED),
    "model": _Row("model", "read_model", "model_cell", "model_group", ()),
}
WITHOUT_CELL: Final = tuple(name for name, row in _FORMATS.items() if not row.cell)
"""Formats that name no unit cell."""


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

    The format is told by content and name where it is "auto". `column` names that of |F| in an
    MTZ or CIF file, or in a text list that names its columns; it is detected where not given.
    `dmin` (Å) bounds what is computed from a model (2 Å where not given) or kept of a list that
    names its cell. `intensities` says whether |F| may be the root of an intensity, and
    `space_group` gives a list's symmetry in place of what the file says: a Hermann-Mauguin or
    Hall symbol, or a number. Flat solvent (e/Å³, Å²) lies between the molecules of a
    macromolecule; a wavelength (Å) adds f′ and f″ to the atoms of a model.
    """
    kind = detect_format(path) if format == "auto" else format
    if format == "auto" and kind == "hkl":
        from distbragg.read.program_lists import holds_shelx

        kind = "hklf4" if holds_shelx(path, intensities) else "hkl"
    row = _FORMATS[kind]
    _refuse_unused(row, kind, path, column=column, space_group=space_group)
    group = None if space_group is None else _named(space_group)
    solvent = bulk_solvent, solvent_k, solvent_b
    asked = Asked(column, dmin, intensities, group, *solvent, wavelength)
    found: MillerTable = row.call(row.reader, path, asked)
    return found


def _refuse_unused(row: _Row, kind: str, path: str, **given: str | None) -> None:
    """Refuse a column or a space group that the format has no use for."""
    problem = f"a list of this format ({kind}) has one column of amplitudes or intensities"
    remedy = "leave it out"
    if kind == "model":
        problem = "the file is an atomic model, no list of reflections"
        remedy = "leave it out, or write the symmetry into the model"
    for name, value in given.items():
        if value is not None and name not in row.takes:
            raise InputError(problem, source=path, field=f"structure_factors.{name}", remedy=remedy)


def _named(space_group: str) -> Group:
    from distbragg.read.groups import named_group

    found = named_group(space_group)
    if found is None:
        raise InputError(
            f"unknown space group '{space_group}'",
            field="structure_factors.space_group",
            remedy="give a Hermann-Mauguin symbol such as 'P 43 21 2' or 'R 3 :R', a Hall "
            "symbol, or a number",
        )
    return found


@remembered(32)
def file_cell(path: str, format: Format = "auto", column: str | None = None) -> CellSix | None:
    """Return the cell (Å, degrees) that a file, of MTZ its column's dataset, names, or None."""
    kind = detect_format(path) if format == "auto" else format
    row = _FORMATS[kind]
    if not row.cell:
        return None
    found: CellSix = row.call(row.cell, path, Asked(column))
    return found


@remembered(32)
def file_group(path: str, format: Format = "auto", column: str | None = None) -> Group | None:
    """Return the space group that a file names, or None."""
    kind = detect_format(path) if format == "auto" else format
    row = _FORMATS[kind]
    return row.call(row.symmetry, path, Asked(column)) if row.symmetry else None
