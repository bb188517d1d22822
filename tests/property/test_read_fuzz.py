"""Damaged files: whatever the bytes, a reader returns or raises `InputError`, nothing else."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import gemmi
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distbragg.errors import InputError
from distbragg.read.geometry.read import read_geometry
from distbragg.read.hkl import read_hkl
from distbragg.read.rotations import read_rotations
from distbragg.read.smv import read_mask, read_smv_header
from distbragg.read.spectrum import read_spectrum
from distbragg.read.structure_factors import file_cell, read_structure_factors
from distbragg.read.table import read_matrix, read_sources, read_stol
from tests.geometry_files import CRYSTFEL, MINI_CBF, XDS_SEGMENTS, XPARM, expt, write_nexus
from tests.geometry_files import SMV as GEOMETRY_SMV

SMV = (
    b"{\nHEADER_BYTES=512;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\nSIZE1=4;\nSIZE2=3;\n"
    b"PIXEL_SIZE=0.1;\n}\f"
).ljust(512) + bytes(24)

CIF = b"""data_x
_cell_length_a 5.4
_cell_length_b 5.4
_cell_length_c 5.4
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_U_iso_or_equiv
Ca1 Ca 0 0 0 0.005
F1 F 0.25 0.25 0.25 0.007
"""

PDB = b"""CRYST1   12.000   15.000   17.000  90.00 101.00  90.00 P 1 21 1      2
ATOM      1  N   GLY A   1       1.000   2.000   3.000  1.00 12.00           N
ATOM      2  CA  GLY A   1       2.200   2.500   3.700  1.00 11.00           C
END
"""

SF_CIF = b"""data_r
_cell.length_a 20
_cell.length_b 30
_cell.length_c 40
_cell.angle_alpha 90
_cell.angle_beta 90
_cell.angle_gamma 90
_symmetry.space_group_name_H-M 'P 1 2 1'
loop_
_refln.index_h
_refln.index_k
_refln.index_l
_refln.F_meas_au
1 2 3 10.5
0 1 0 3
"""


SHELX = b"""\
   1   0   0  400.00    1.20   1
   0   1   0  -10.00    1.20   1
   0   0   0    0.00    0.00
"""

CRYSTFEL_LIST = b"""CrystFEL reflection list version 2.0
Symmetry: 4/m_uab
   h    k    l          I    phase   sigma(I)   nmeas
   0    0    4     144.00        -      10.19      17
   1    0    4      25.00        -       1.19      17
End of reflections
"""

XDS_LIST = b"""!FORMAT=XDS_ASCII    MERGE=TRUE    FRIEDEL'S_LAW=FALSE
!SPACE_GROUP_NUMBER=   96
!UNIT_CELL_CONSTANTS=    78.500    78.500    37.800  90.000  90.000  90.000
!ITEM_H=1
!ITEM_K=2
!ITEM_L=3
!ITEM_IOBS=4
!ITEM_SIGMA(IOBS)=5
!END_OF_HEADER
     1     2     4  1.600E+01  3.1E+00
     2     1     5  2.500E+01 -3.1E+00
!END_OF_DATA
"""

FCF = b"""data_t
_cell_length_a 5.1
_cell_length_b 6.2
_cell_length_c 7.3
_cell_angle_alpha 90
_cell_angle_beta 101.5
_cell_angle_gamma 90
loop_
_space_group_symop_operation_xyz
'x, y, z'
'-x, y+1/2, -z+1/2'
loop_
_refln_index_h
_refln_index_k
_refln_index_l
_refln_F_squared_calc
_refln_observed_status
1 1 0 10.1 o
0 1 1 7.2 x
"""

STRICT = PDB.replace(
    b"ATOM      1",
    b"MTRIX1   2 -1.000000  0.000000  0.000000        5.00000\n"
    b"MTRIX2   2  0.000000 -1.000000  0.000000        6.00000\n"
    b"MTRIX3   2  0.000000  0.000000  1.000000        3.00000\n"
    b"SCALE1      0.083333  0.000000  0.016199        0.10000\n"
    b"SCALE2      0.000000  0.066667  0.000000        0.00000\n"
    b"SCALE3      0.000000  0.000000  0.059925        0.00000\n"
    b"HETATM    9  UNK UNX A   9       3.000   3.000   3.000  1.00 30.00           X\n"
    b"ATOM      1",
    1,
)


def read_source_table(path):
    return read_sources(path, beam_direction=(1.0, 0.0, 0.0), wavelength_m=1e-10)


def read_factors(path):
    file_cell(path)
    return read_structure_factors(path, dmin=4.0)


def read_roots(path):
    file_cell(path)
    return read_structure_factors(path, intensities="root")


CASES = {
    "hkl": (read_hkl, "a.hkl", b"1 2 3 4.5\n-1 0 2 7\n# end\n"),
    "sources": (read_source_table, "a.txt", b"-10 0 0 1 1e-10\n-10 0.1 0 3 1.1e-10\n"),
    "spectrum": (read_spectrum, "a.csv", b"energy_ev,weight\n12000,1\n12100,2\n"),
    "matrix": (read_matrix, "a.mat", b"0.02 0 0\n0 0.04 0\n0 0 0.05\n"),
    "rotations": (read_rotations, "a.txt", b"1 0 0 0 1 0 0 0 1\n0 1 0 -1 0 0 0 0 1\n"),
    "stol": (read_stol, "a.stol", b"0 14\n0.5 9\n1 3\n"),
    "smv": (read_smv_header, "a.img", SMV),
    "mask": (read_mask, "a.img", SMV),
    "small": (read_factors, "a.cif", CIF),
    "pdb": (read_factors, "a.pdb", PDB),
    "sf-cif": (read_factors, "a.cif", SF_CIF),
    "fcf": (read_roots, "a.fcf", FCF),
    "strict": (read_factors, "a.pdb", STRICT),
    "shelx": (partial(read_structure_factors, format="hklf4", space_group="P 2"), "a.hkl", SHELX),
    "crystfel-list": (read_roots, "a.hkl", CRYSTFEL_LIST),
    "xds-list": (read_roots, "a.hkl", XDS_LIST),
    "expt": (partial(read_geometry, format="expt"), "a.expt", json.dumps(expt()).encode()),
    "xds": (partial(read_geometry, format="xds"), "XDS.INP", XDS_SEGMENTS),
    "xparm": (partial(read_geometry, format="xparm"), "XPARM.XDS", XPARM),
    "crystfel": (partial(read_geometry, format="crystfel"), "a.geom", CRYSTFEL),
    "cbf": (partial(read_geometry, format="cbf"), "a.cbf", MINI_CBF),
    "smv-geometry": (read_geometry, "a.img", GEOMETRY_SMV),
}

FUZZ_EXAMPLES = int(os.environ.get("DISTBRAGG_FUZZ_EXAMPLES", "60"))
"""Damaged inputs drawn for each reader; `make fuzz` draws 2,000."""

edits = st.lists(
    st.tuples(
        st.integers(0, 1_000_000),
        st.sampled_from(["replace", "insert", "delete", "cut", "double"]),
        st.binary(min_size=1, max_size=6) | st.sampled_from([b"nan", b"-1", b"1e999", b"\0", b"9"]),
    ),
    min_size=1,
    max_size=4,
)


def mutate(data: bytes, changes: list[tuple[int, str, bytes]]) -> bytes:
    for position, kind, piece in changes:
        at = position % (len(data) + 1)
        if kind == "replace":
            data = data[:at] + piece + data[at + len(piece) :]
        elif kind == "insert":
            data = data[:at] + piece + data[at:]
        elif kind == "delete":
            data = data[:at] + data[at + len(piece) :]
        elif kind == "cut":
            data = data[:at]
        else:
            data = data[:at] + data[at:] + data[at:]
    return data


def survive(reader, path: Path, data: bytes) -> None:
    path.write_bytes(data)
    message = path.name
    try:
        reader(str(path))
    except InputError as error:
        message = str(error)
    assert path.name in message
    assert "\n" not in message


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_undamaged_file_is_read(name, tmp_path):
    reader, filename, data = CASES[name]
    path = tmp_path / filename
    path.write_bytes(data)
    reader(str(path))


@pytest.mark.parametrize("name", sorted(CASES))
@settings(
    max_examples=FUZZ_EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(changes=edits)
def test_damaged_files_raise_nothing_but_input_errors(name, changes, tmp_path):
    reader, filename, data = CASES[name]
    survive(reader, tmp_path / filename, mutate(data, changes))


@settings(
    max_examples=FUZZ_EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(changes=edits)
def test_damaged_mtz_files_raise_nothing_but_input_errors(changes, tmp_path):
    whole = tmp_path / "whole.mtz"
    if not whole.exists():
        mtz = gemmi.Mtz(with_base=True)
        mtz.spacegroup = gemmi.SpaceGroup("P 21 21 21")
        mtz.set_cell_for_all(gemmi.UnitCell(20, 30, 40, 90, 90, 90))
        mtz.add_dataset("d")
        mtz.add_column("F", "F")
        mtz.set_data(np.array([[1, 2, 3, 10], [2, 0, 0, 20]], dtype=np.float32))
        mtz.write_to_file(str(whole))
    survive(read_factors, tmp_path / "a.mtz", mutate(whole.read_bytes(), changes))


@settings(
    max_examples=FUZZ_EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(changes=edits)
def test_damaged_nexus_files_raise_nothing_but_input_errors(changes, tmp_path):
    whole = tmp_path / "whole.h5"
    if not whole.exists():
        write_nexus(str(whole))
    survive(read_geometry, tmp_path / "a.h5", mutate(whole.read_bytes(), changes))
