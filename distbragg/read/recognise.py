"""What a file is, by its content: formats that are read, and those refused by their name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from distbragg.errors import InputError
from distbragg.read.text import read_head, read_text

Kind = Literal["hkl", "mtz", "sf-mmcif", "model", "hklf4", "hklf3", "crystfel", "xds"]

HEAD_BYTES: Final = 1 << 16  # what patterns look at
_MODEL_SUFFIXES: Final = (".pdb", ".ent", ".pdb1")
_CIF_SUFFIXES: Final = (".cif", ".mmcif", ".fcf")
_REFLECTIONS: Final = re.compile(r"(?mi)^[ \t]*_(?:diffrn_)?refln[._]index_[hkl]\b")
_MACROMOLECULAR_REFLECTIONS: Final = re.compile(r"(?mi)^[ \t]*_refln\.index_[hkl]\b")
_ATOMS: Final = re.compile(r"(?mi)^[ \t]*_atom_site(?:_fract_x|\.Cartn_x)\b")

_INTO_MTZ: Final = (
    "convert it, e.g. phenix.reflection_file_converter FILE --mtz=FILE.mtz, and give the MTZ"
)
_INTO_CIF: Final = "convert it, e.g. gemmi convert FILE FILE.cif, and give the mmCIF"
_UNPACK: Final = "unpack it; gzip is read, by the suffix .gz"
_IMPORT: Final = "use `dials.import` and its imported.expt"
_XPARM: Final = "give GXPARM.XDS, XPARM.XDS or XDS.INP"


@dataclass(frozen=True, slots=True)
class Foreign:
    """A file that is not read, and what to do about it; empty where it cannot be mistaken so."""

    pattern: bytes  # how its content shows
    name: str
    for_list: str = ""  # where it was given for structure factors
    for_geometry: str = ""


FOREIGN: Final = (
    Foreign(rb"\A\s*BZh", "compressed by bzip2", _UNPACK, "unpack it first"),
    Foreign(rb"\A\s*\xfd7zXZ", "compressed by xz", _UNPACK, "unpack it first"),
    Foreign(rb"\A\s*\x28\xb5\x2f\xfd", "compressed by zstd", _UNPACK, "unpack it first"),
    Foreign(rb"\A\s*PK\x03\x04", "a zip archive", _UNPACK, "unpack it first"),
    Foreign(rb"\A\s*\x1f\x8b", "compressed by gzip", "name it .gz", "unpack it first"),
    Foreign(rb"(?i)\A\s*<(?:!DOCTYPE|html)", "a web page", "fetch the file itself",
            "fetch the file itself"),
    Foreign(rb"\A\s*\x89HDF", "HDF5", "export merged amplitudes as MTZ, or a text list 'h k l F'"),
    Foreign(rb"(?s)\A.{208,216}MAP ", "a map of CCP4", "gemmi map2sf writes its F as MTZ"),
    Foreign(rb"(?s)\A.{1,9}(?:\xa7encoder|\xa7version|\xaadata)", "BinaryCIF", _INTO_CIF),
    Foreign(rb"(?s)\A.{0,64}dials::af::reflection_table",
            "a reflection table of DIALS: unmerged intensities",
            "dials.merge writes merged and truncated amplitudes as MTZ", "give its .expt"),
    Foreign(rb"\*{5}\s+(?:XYCORR|INIT|COLSPOT|IDXREF|DEFPIX|INTEGRATE|CORRECT)\s+\*{5}",
            "a report of XDS",
            for_geometry="give GXPARM.XDS (refined by CORRECT), XPARM.XDS or XDS.INP"),
    Foreign(rb"!OUTPUT_FILE=INTEGRATE\.HKL",
            "INTEGRATE.HKL of XDS: unmerged intensities before scaling",
            "run CORRECT (and XSCALE), then XDSCONV with OUTPUT_FILE=x.hkl CCP4_I+F and f2mtz",
            _XPARM),
    Foreign(rb"\A!FORMAT=XDS_ASCII", "a list of reflections of XDS", for_geometry=_XPARM),
    Foreign(rb"CrystFEL stream format", "a stream of CrystFEL: unmerged intensities",
            "merge it with partialator or process_hkl, and give the merged list",
            "give the geometry between its lines 'Begin geometry file' and 'End geometry file'"),
    Foreign(rb"\A(?:II\*\0|MM\0\*)", "a TIFF image (MarCCD, Rayonix, Pilatus)",
            for_geometry=_IMPORT),
    Foreign(rb"(?im)^poni1\s*:", "a PONI file of pyFAI",
            for_geometry="give detector.panels, or distance and beam centre"),
    Foreign(rb"\AFORMAT\s*:", "a Bruker image", for_geometry=_IMPORT),
    Foreign(rb'\A\s*\[\s*\{\s*"__id__"\s*:\s*"DataBlock"', "a datablock of an older DIALS",
            for_geometry="import the images again: `dials.import` writes imported.expt"),
    Foreign(rb"\A\s*\d+(?: +[-\d.]+){5} *\n *[\d.]+(?: +[-\d.]+){3} *\n",
            "an XPARM.XDS of a version before 2010, which does not name itself",
            for_geometry="run IDXREF of a newer XDS, or give XDS.INP"),
    Foreign(rb"\A(?:\xff\xfe|\xfe\xff)", "text in UTF-16", for_geometry="save it as UTF-8"),
    Foreign(rb"\A<\?xml", "a file of XML",
            for_geometry="give detector.panels, or a geometry file of a known format"),
)  # fmt: skip
"""Told before all else, in this order."""

FOREIGN_LISTS: Final = (
    Foreign(rb"(?mi)^[ \t]*(?:NREF(?:lections?)?=|DECLare\s+NAME=|INDEx?\s+-?\d)",
            "a reflection file of CNS or X-PLOR",
            "convert it to MTZ with the cell and space group, e.g. cns2mtz, or "
            "phenix.reflection_file_converter FILE --symmetry=MODEL.pdb --mtz=FILE.mtz"),
    Foreign(rb"\A\s*\d+\s*\n\s*-9\d\d\s*\n", "a merged list of SCALEPACK: intensities",
            "convert and truncate it: scalepack2mtz and ctruncate, and give the MTZ"),
    Foreign(rb"\A\s*\d{1,3}[ \t]+[PCIFRHABpcifrhab]\S*\s*\n",
            "an unmerged list of SCALEPACK: intensities",
            "merge and truncate them first, e.g. aimless and ctruncate, and give the MTZ"),
    Foreign(rb"(?m)^nH\s*\n\s*nK\s*\n\s*nL\s*$", "a list of d*TREK", _INTO_MTZ),
    Foreign(rb"(?mi)\A(?:REM[^\n]*\n)*\s*TITL\b[\s\S]*?^CELL\s",
            "instructions of SHELX (.ins or .res), not a list",
            "give the .fcf that SHELXL writes (LIST 6), or the .cif for F of its atoms"),
    Foreign(rb'\A\s*\{\s*"data_', "mmJSON", _INTO_CIF),
    Foreign(rb"(?m)@<TRIPOS>MOLECULE|^.*V[23]000\s*$"
            rb"|\A\s*\d+\s*\n[^\n]*\n\s*[A-Z][a-z]?(?:\s+-?\d*\.?\d+){3}",
            "a molecule without a crystal (.mol2, .sdf, .xyz)",
            "give a CIF or PDB that names the unit cell and the space group"),
)  # fmt: skip
"""Told where nothing that is read was found: their signs are weak."""


def plain_head(head: bytes) -> bytes:
    """Return the beginning of a file with ends of lines as LF and without a byte order mark."""
    return head.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removeprefix(b"\xef\xbb\xbf")


def refuse_foreign(
    table: tuple[Foreign, ...], head: bytes, source: str, role: Literal["list", "geometry"]
) -> None:
    """Refuse a file by its name where a row of a table fits its head."""
    field = "structure_factors.file" if role == "list" else "detector.geometry_file"
    for row in table:
        remedy = row.for_list if role == "list" else row.for_geometry
        if remedy and re.search(row.pattern, head):
            raise InputError(f"this is {row.name}", source=source, field=field, remedy=remedy)


def detect_format(path: str) -> Kind:
    """Tell the format of structure factors by content, else by name, else `h k l F` text."""
    head = plain_head(read_head(path, HEAD_BYTES))
    name = path.lower().removesuffix(".gz")
    refuse_foreign(FOREIGN, head, path, "list")
    if head.startswith(b"MTZ ") or name.endswith(".mtz"):
        return "mtz"
    if looks_like_cif(path, head.decode("latin-1")):
        # Atoms win where small-molecule tags list both.
        text = read_text(path)
        reflections = _REFLECTIONS.search(text) and not _ATOMS.search(text)
        listed = reflections or _MACROMOLECULAR_REFLECTIONS.search(text)
        return "sf-mmcif" if listed else "model"
    if name.endswith(_MODEL_SUFFIXES) or re.search(
        rb"(?m)^(?:HEADER    |CRYST1 |ATOM  .{24,}|HETATM.{24,})", head
    ):
        return "model"
    first = head.lstrip()
    if first.startswith(b"CrystFEL reflection list"):
        return "crystfel"
    if first.startswith(b"!FORMAT=XDS_ASCII"):
        return "xds"
    refuse_foreign(FOREIGN_LISTS, head, path, "list")
    return "hkl"


def looks_like_cif(path: str, text: str) -> bool:
    """Tell a CIF by its name, or by a line that opens a data block."""
    named = path.lower().removesuffix(".gz").endswith(_CIF_SUFFIXES)
    return named or re.search(r"(?mi)^data_\S*\s*$", text[:HEAD_BYTES]) is not None
