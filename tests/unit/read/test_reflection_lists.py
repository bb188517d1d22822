"""Text lists of other programs: read rightly where the file decides, else refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.models.build import build_reflections
from distbragg.read.groups import point_group
from distbragg.read.miller import MillerTable
from distbragg.read.structure_factors import detect_format, file_cell, read_structure_factors
from distbragg.spec.load import parse_spec

HKLF4 = """\
   1   0   0  400.00    1.20   1
   0   1   0  100.00    1.20   1
   0   0   1   25.00    1.20   1
  -1   1   0   -9.00    1.20   1
   0   0   0    0.00    0.00   0
"""
CRYSTFEL = """\
CrystFEL reflection list version 2.0
Symmetry: 4/mmm
   h    k    l          I    phase   sigma(I)   nmeas
   0    0    4     144.00        -      10.19      17
   1    0    4      25.00        -       1.19      17
   1    1    4      -1.00        -       1.19      17
End of reflections
"""
XDS = """\
!FORMAT=XDS_ASCII    MERGE=TRUE    FRIEDEL'S_LAW=TRUE
!OUTPUT_FILE=XSCALE.HKL        DATE= 1-Jan-2024
!SPACE_GROUP_NUMBER=   96
!UNIT_CELL_CONSTANTS=    78.500    78.500    37.800  90.000  90.000  90.000
!X-RAY_WAVELENGTH=  0.976250
!NUMBER_OF_ITEMS_IN_EACH_DATA_RECORD=5
!ITEM_H=1
!ITEM_K=2
!ITEM_L=3
!ITEM_IOBS=4
!ITEM_SIGMA(IOBS)=5
!END_OF_HEADER
     1     2     4  1.600E+01  3.1E+00
     2     1     5  2.500E+01 -3.1E+00
     2     2     6 -2.500E+00  3.1E+00
!END_OF_DATA
"""
CNS = """\
 NREFlection=         1
 ANOMalous=FALSE { equiv. to HERMitian=TRUE}
 DECLare NAME=FOBS   DOMAin=RECIprocal   TYPE=COMP END
 INDE   1   2   3 FOBS=   523.4   0.000 SIGMA=  4.1 TEST= 0
"""
SCALEPACK = """\
    1
 -987
    78.500    78.500    37.800    90.000    90.000    90.000 p43212
   0   0   4   1234.0     31.0
"""
SCALEPACK_UNMERGED = "    8 P43212\n  1  0  0  0  1  0  0  0  1\n  0  0  0\n"


def put(folder: Path, content: str | bytes, name: str = "list.hkl") -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def as_dict(table: MillerTable) -> dict[tuple[int, ...], float]:
    return {tuple(i): a for i, a in zip(table.indices.tolist(), table.amplitude, strict=True)}


def told(table: MillerTable) -> str:
    return " ".join(f"[{note.kind}] {note.text}" for note in table.notes)


def read(folder: Path, content: str, name: str = "list.hkl", **options: Any) -> MillerTable:
    return read_structure_factors(put(folder, content, name), **options)


# SHELX


@pytest.mark.spec("CRY-40")
@pytest.mark.parametrize(
    "content",
    [
        HKLF4,
        HKLF4.replace("\n", "\r\n"),
        HKLF4.rsplit("\n", 2)[0] + "\n",
        "1 0 0 400 1.2\n0 1 0 100 1.2\n0 0 0 0 0\n",
        HKLF4 + "\n_exptl_crystal 1\n",
        "# from SADABS\n   1   0   0  400.00    1.20   1 0.12345-0.23456\n",
        "   1   0   0  400.00    1.20   1  1.5418\n",
        "-100 -12-130 9999.99 1234.56\n  -1   0   0    4.00    1.00\n",
    ],
)
def test_list_of_shelx_is_refused_until_it_is_said_what_it_holds(tmp_path, content):
    with pytest.raises(InputError, match=r"list of SHELX.*hklf4.*hklf3"):
        read(tmp_path, content)


@pytest.mark.spec("CRY-40")
@pytest.mark.parametrize("options", [{"format": "hklf4"}, {"intensities": "root"}])
def test_hklf4_is_the_root_of_f_squared(tmp_path, options):
    table = read(tmp_path, HKLF4, **options)
    assert as_dict(table) == {(1, 0, 0): 20.0, (0, 1, 0): 10.0, (0, 0, 1): 5.0, (-1, 1, 0): 0.0}
    text = told(table)
    assert "root of F²" in text
    assert "1 of 4 are negative and taken as 0" in text
    assert "names no symmetry" in text
    assert "scale is arbitrary" in text
    assert file_cell(put(tmp_path, HKLF4), "hklf4") is None


@pytest.mark.spec("CRY-40")
def test_hklf3_holds_amplitudes(tmp_path):
    found = as_dict(read(tmp_path, HKLF4, format="hklf3"))
    assert found[1, 0, 0] == 400.0
    assert found[-1, 1, 0] == 9.0


@pytest.mark.spec("CRY-40")
def test_shelx_fields_are_columns_of_characters(tmp_path):
    content = "-100 -12-130 9999.99 1234.56  -1\n  -1   0   0    4.00    1.00   1\n"
    found = as_dict(read(tmp_path, content, format="hklf4"))
    assert found == {(-100, -12, -130): pytest.approx(9999.99**0.5), (-1, 0, 0): 2.0}


@pytest.mark.spec("CRY-40")
def test_shelx_digits_without_a_point_are_hundredths(tmp_path):
    content = "   1   0   0  400.00    1.20   1\n   0   1   0   10000     120   1\n"
    assert as_dict(read(tmp_path, content, format="hklf4"))[0, 1, 0] == 10.0


@pytest.mark.spec("CRY-40")
def test_list_of_shelx_ends_at_its_line_of_zeros(tmp_path):
    content = HKLF4 + "  TITL something else\n   9   9   9    1.00    1.00\n"
    assert (9, 9, 9) not in as_dict(read(tmp_path, content, format="hklf4"))


@pytest.mark.spec("CRY-40")
def test_shelx_list_is_expanded_by_a_space_group_that_is_given(tmp_path):
    table = read(tmp_path, HKLF4, format="hklf4", space_group="P 2/m")
    found = as_dict(table)
    assert found[-1, 0, 0] == 20.0
    assert found[1, -1, 0] == found[-1, -1, 0] == 0.0
    assert "expanded by P 1 2/m 1" in told(table)
    with pytest.raises(InputError, match=r"space_group.*unknown space group 'P 7'"):
        read(tmp_path, HKLF4, format="hklf4", space_group="P 7")


@pytest.mark.spec("CRY-40")
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (HKLF4.replace("   0   1   0", "   1   0   0"), "not merged: 1 reflections"),
        (HKLF4.replace("1.20   1\n   0   1", "1.20  -2\n   0   1"), "HKLF 5"),
        ("1 0 0 400.00 1.20\n1 0 x 400.00 1.20\n", ":2: l 'x' is not a number"),
        ("   0   0   0    0.00    0.00   0\n", "no reflections"),
    ],
)
def test_unusable_lists_of_shelx_are_refused(tmp_path, content, problem):
    with pytest.raises(InputError) as caught:
        read(tmp_path, content, format="hklf4")
    assert problem in str(caught.value)


@pytest.mark.spec("CRY-40")
@pytest.mark.parametrize(
    "content",
    ["1 0 0 400 1.2\n0 1 0 100 1.2\n", "   1   0   0  400.00\n   0   1   0  100.00\n"],
)
def test_a_plain_list_is_no_list_of_shelx(tmp_path, content):
    assert as_dict(read(tmp_path, content))[1, 0, 0] == 400.0


# Plain text


@pytest.mark.spec("CRY-40")
def test_fourth_of_five_columns_is_taken_with_a_warning(tmp_path):
    assert told(read(tmp_path, "1 0 0 400\n")) == ""
    assert "[warning] the fourth of more than four" in told(read(tmp_path, "1 0 0 400 1.2\n"))


@pytest.mark.spec("CRY-40")
@pytest.mark.parametrize(
    "first",
    ["# h k l phi F sigF", "h k l phi F sigF", "H,K,L,PHI,F,SIGF", "\ufeffH K L PHI FOBS SIGF"],
)
def test_names_of_the_columns_are_believed(tmp_path, first):
    table = read(tmp_path, f"{first}\n1 0 0 90 20 1\n0 1 0 0 10 1\n")
    assert as_dict(table) == {(1, 0, 0): 20.0, (0, 1, 0): 10.0}
    assert "is |F|" in told(table)
    assert as_dict(read(tmp_path, f"{first}\n1 0 0 90 20 1\n", column="phi")) == {(1, 0, 0): 90.0}


@pytest.mark.spec("CRY-40")
def test_columns_named_intensity_are_refused_or_their_root(tmp_path):
    content = "# h k l I sigI\n1 0 0 16 1\n2 0 0 -3 1\n"
    with pytest.raises(InputError, match=r"'I' holds intensities.*truncation"):
        read(tmp_path, content)
    table = read(tmp_path, content, intensities="root")
    assert as_dict(table) == {(1, 0, 0): 4.0, (2, 0, 0): 0.0}
    assert "[warning] |F| is the root of I; 1 of 2 are negative" in told(table)


@pytest.mark.spec("CRY-40")
def test_column_of_a_list_without_names_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not name its columns"):
        read(tmp_path, "1 0 0 5\n", column="FC")
    with pytest.raises(InputError, match=r"no column 'FX'; it has F SIGF"):
        read(tmp_path, "# h k l F SIGF\n1 0 0 5 1\n", column="FX")


@pytest.mark.spec("CRY-40")
@pytest.mark.parametrize(
    ("names", "taken"),
    [
        ("h k l m d F(electrons)", 3.0),
        ("h k l mult |F| sigma", 2.0),
        ("h k l value", 1.0),
        ("columns: h k l sigma F", 2.0),
        ("written for h k l of P1", 1.0),
        ("h k l Fcalc Fobs phi", 1.0),
    ],
)
def test_column_is_found_by_its_name(tmp_path, names, taken):
    row = " ".join(["1 0 0", *"123"[: max(1, len(names.split("h k l")[1].split()))]])
    row = "1 0 0 1" if "of P1" in names else row
    assert as_dict(read(tmp_path, f"# {names}\n{row}\n"))[1, 0, 0] == taken


@pytest.mark.spec("CRY-40")
def test_names_without_an_amplitude_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"none of its columns is named \|F\|: mult d_spacing"):
        read(tmp_path, "h k l mult d_spacing\n1 0 0 8 2.5\n")
    with pytest.raises(InputError, match="'I' holds intensities"):
        read(tmp_path, "h k l mult d_spacing I\n1 0 0 8 2.5 100\n")


@pytest.mark.spec("CRY-40")
@pytest.mark.parametrize("comment", ["# merged intensities", "# F^2 of shelx", "1 0 0 5 # F**2"])
def test_a_comment_that_speaks_of_intensities_is_told(tmp_path, comment):
    table = read(tmp_path, f"{comment}\n2 0 0 4\n")
    assert "[warning] a comment speaks of intensities" in told(table)


@pytest.mark.spec("CRY-40")
def test_column_of_a_format_that_has_one_is_refused(tmp_path):
    for content, format in ((HKLF4, "hklf4"), (CRYSTFEL, "auto"), (XDS, "auto")):
        with pytest.raises(InputError, match=r"column: a list of this format"):
            read(tmp_path, content, format=format, column="I", intensities="root")


@pytest.mark.spec("CRY-40")
def test_negative_amplitudes_of_a_plain_list_are_told(tmp_path):
    table = read(tmp_path, "1 0 0 -5\n2 0 0 5\n")
    assert as_dict(table)[1, 0, 0] == -5.0
    assert "[warning] 1 amplitudes are negative" in told(table)


@pytest.mark.spec("CRY-40")
def test_plain_list_is_expanded_by_a_space_group_that_is_given(tmp_path):
    found = as_dict(read(tmp_path, "1 2 3 7\n", space_group="P 21 21 21"))
    assert len(found) == 8
    assert set(found.values()) == {7.0}
    spec = {"file": put(tmp_path, "1 2 3 7\n"), "space_group": "19", "dmin_angstrom": 2.0}
    built = build_reflections(parse_spec({"structure_factors": spec}))
    assert np.count_nonzero(built.amplitude) == 8
    assert "names no cell" in " ".join(note.text for note in built.notes)


# CrystFEL


@pytest.mark.spec("CRY-40")
def test_crystfel_intensities_are_refused_or_their_root(tmp_path):
    path = put(tmp_path, CRYSTFEL)
    assert detect_format(path) == "crystfel"
    with pytest.raises(InputError, match=r"merged list of CrystFEL.*get_hkl"):
        read_structure_factors(path)
    table = read_structure_factors(path, intensities="root")
    found = as_dict(table)
    assert found[0, 0, 4] == found[0, 0, -4] == 12.0
    assert [found[i] for i in ((1, 0, 4), (0, -1, 4), (-1, 0, -4))] == [5.0] * 3
    assert found[1, -1, 4] == 0.0
    assert len(found) == 2 + 8 + 8
    assert "point group 4/mmm" in told(table)
    assert file_cell(path) is None


@pytest.mark.spec("CRY-40")
def test_crystfel_mates_of_a_chiral_point_group_keep_their_own(tmp_path):
    content = CRYSTFEL.replace("4/mmm", "2_uab").replace(
        "   1    1    4      -1.00", "  -1    0   -4      36.00"
    )
    found = as_dict(read(tmp_path, content, intensities="root"))
    assert found[1, 0, 4] == found[-1, 0, -4] == pytest.approx((25 * 0 + 5 + 6) / 2)
    content = content.replace("2_uab", "2_uac")
    found = as_dict(read(tmp_path, content, intensities="root"))
    assert found[1, 0, 4] == found[-1, 0, 4] == 5.0
    assert found[-1, 0, -4] == found[1, 0, -4] == 6.0


@pytest.mark.spec("CRY-40")
@pytest.mark.parametrize(
    ("symbol", "order", "image"),
    [
        ("1", 1, (1, 2, 3)),
        ("-1", 2, (-1, -2, -3)),
        ("2/m", 4, (-1, -2, 3)),
        ("2/m_uab", 4, (-1, 2, -3)),
        ("2/m_uaa", 4, (1, -2, -3)),
        ("mmm", 8, (-1, -2, 3)),
        ("4/mmm", 16, (-2, 1, 3)),
        ("4/m_uaa", 8, (1, -3, 2)),
        ("-3m1_H", 12, (2, -3, 3)),
        ("3_R", 3, (3, 1, 2)),
        ("321_H", 6, (2, 1, -3)),
        ("312_H", 6, (-2, -1, -3)),
        ("6/mmm", 24, (-2, 3, 3)),
        ("m-3m", 48, (2, 3, 1)),
    ],
)
def test_point_groups_as_crystfel_writes_them(symbol, order, image):
    group = point_group(symbol)
    images = {tuple(op.apply_to_hkl([1, 2, 3])) for op in group.sym_ops}
    assert len(images) == order
    assert image in images


@pytest.mark.spec("CRY-40")
@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("4/mmm", "4/xyz", "unknown point group '4/xyz'"),
        ("End of reflections\n", "", "truncated"),
        ("Symmetry: 4/mmm\n", "", "without 'Symmetry:'"),
        ("25.00        -       1.19      17", "25.00        -", ":5: 5 columns"),
        ("25.00", "2x.00", ":5: I '2x.00' is not a number"),
        ("   1    0    4", "  1.5   0    4", ":5: index h = 1.5"),
    ],
)
def test_damaged_lists_of_crystfel_name_their_place(tmp_path, old, new, problem):
    with pytest.raises(InputError) as caught:
        read(tmp_path, CRYSTFEL.replace(old, new), intensities="root")
    assert problem in str(caught.value)


# XDS


@pytest.mark.spec("CRY-40")
def test_merged_xds_intensities_are_refused_or_their_root(tmp_path):
    path = put(tmp_path, XDS, "XSCALE.HKL")
    assert detect_format(path) == "xds"
    assert file_cell(path) == (78.5, 78.5, 37.8, 90, 90, 90)
    with pytest.raises(InputError, match=r"IOBS of this merged list of XDS.*XDSCONV"):
        read_structure_factors(path)
    table = read_structure_factors(path, intensities="root")
    found = as_dict(table)
    assert found[1, 2, 4] == found[-2, 1, 4] == found[-1, -2, -4] == 4.0
    assert found[2, 2, 6] == 0.0
    assert (2, 1, 5) not in found
    assert "1 misfits (negative σ) are left out" in told(table)
    assert "expanded by P 43 21 2" in told(table)
    assert set(as_dict(read_structure_factors(path, intensities="root", dmin=7.0))) < set(found)


@pytest.mark.spec("CRY-40")
@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("MERGE=TRUE", "MERGE=FALSE", "unmerged list of XDS"),
        ("!END_OF_DATA\n", "", "truncated"),
        ("!UNIT_CELL_CONSTANTS", "!NOTHING", "without UNIT_CELL_CONSTANTS"),
        ("!ITEM_IOBS=4\n", "", "without ITEM_H to ITEM_IOBS"),
        ("1.600E+01  3.1E+00", "1.600E+01", ":13: 4 columns"),
        ("1.600E+01", "1.6x", ":13: value '1.6x'"),
    ],
)
def test_unusable_lists_of_xds_are_refused(tmp_path, old, new, problem):
    with pytest.raises(InputError) as caught:
        read(tmp_path, XDS.replace(old, new), "XDS_ASCII.HKL", intensities="root")
    assert problem in str(caught.value)


# Lists that are not read


@pytest.mark.spec("CRY-40")
@pytest.mark.parametrize(
    ("content", "name", "problem"),
    [
        (XDS.replace("MERGE=TRUE", "MERGE=FALSE"), "XDS_ASCII.HKL", "XDSCONV"),
        ("!OUTPUT_FILE=INTEGRATE.HKL\n!END_OF_HEADER\n", "INTEGRATE.HKL", "run CORRECT"),
        ("CrystFEL stream format 2.3\n", "run.stream", "partialator"),
        (CNS, "data.hkl", "reflection file of CNS or X-PLOR.*--symmetry"),
        (CNS, "data.fobs", "cns2mtz"),
        (SCALEPACK, "data.sca", "SCALEPACK.*scalepack2mtz and ctruncate"),
        (SCALEPACK_UNMERGED, "data.sca", "unmerged list of SCALEPACK"),
        ("3 4 1\nnH\nnK\nnL\nfIntensity\n", "data.ref", "d\\*TREK"),
        ("TITL x in P1\nCELL 0.71 5 6 7 90 90 90\n", "x.ins", "instructions of SHELX"),
        ("\x89HDF\r\n\x1a\n", "x.h5", "HDF5"),
        ("\0" * 208 + "MAP ", "x.mrc", "map of CCP4"),
        ("BZh91AY", "x.mtz.bz2", "bzip2; unpack it"),
        ("PK\x03\x04", "x.zip", "zip archive"),
        ("\x1f\x8b\x08", "x.hkl", r"gzip; name it \.gz"),
        ("<!doctype html><html>", "1abc.pdb", "a web page"),
        ("<html>", "1abc.cif", "a web page"),
        ("\x84dials::af::reflection_table", "x.refl", "dials.merge"),
    ],
)
def test_lists_of_other_programs_are_refused_by_name(tmp_path, content, name, problem):
    path = put(tmp_path, content.encode("latin-1"), name)
    with pytest.raises(InputError, match=problem):
        read_structure_factors(path)
    with pytest.raises(InputError, match=problem):
        build_reflections(parse_spec({"structure_factors": {"file": path}}))


@pytest.mark.spec("CRY-42")
@pytest.mark.parametrize(
    ("names", "measured"),
    [("h k l FP SIGFP FC", True), ("h k l Fobs sigma", True), ("h k l F sigma", False),
     ("h k l FC PHIC", False), ("h k l FMODEL PHIFMODEL", False)],
)  # fmt: skip
def test_measured_amplitudes_of_a_text_list_are_told(tmp_path, names, measured):
    path = tmp_path / "a.hkl"
    path.write_text(f"{names}\n1 2 3 " + " ".join("5" for _ in names.split()[3:]) + "\n")
    told = " ".join(note.text for note in read_structure_factors(str(path)).notes)
    assert ("its scale is arbitrary" in told) == measured
    assert ("structure_factors.column: FC" in told) == (names.endswith("FC"))
