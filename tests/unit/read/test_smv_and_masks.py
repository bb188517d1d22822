"""SMV images and masks."""

from __future__ import annotations

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.read.smv import read_mask, read_smv_header, read_smv_pixels

HEADER = "{\nHEADER_BYTES=  512;\nDIM=2;\nTYPE=unsigned_short;\nSIZE1=5;\nSIZE2=3;\n"


def put(tmp_path, header, pixels=b"", size=512, name="a.img"):
    path = tmp_path / name
    path.write_bytes(header.encode().ljust(size) + pixels)
    return str(path)


@pytest.mark.parametrize("order", ["little_endian", "big_endian"])
def test_pixels_in_both_byte_orders(tmp_path, order):
    values = np.arange(15, dtype="<u2" if order == "little_endian" else ">u2").reshape(3, 5)
    path = put(tmp_path, f"{HEADER}BYTE_ORDER={order};\n}}\f", values.tobytes())
    header = read_smv_header(path)
    assert header.shape == (3, 5)
    np.testing.assert_array_equal(read_smv_pixels(header), np.arange(15).reshape(3, 5))


def test_the_last_of_a_repeated_keyword_counts_and_names_match_exactly(tmp_path):
    path = put(
        tmp_path,
        HEADER + "DISTANCE=100;\nDISTANCE=120;\nCLOSE_DISTANCE=90;\nPHI=1.5;\n}\fPHI=9;",
        bytes(30),
    )
    header = read_smv_header(path)
    assert header.number("DISTANCE") == 120.0
    assert header.number("PHI") == 1.5
    assert header.number("WAVELENGTH") is None
    assert header.number("WAVELENGTH", "CLOSE_DISTANCE") == 90.0


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("not an image", "not an SMV image"),
        ("{\nDIM=2;\n}", "HEADER_BYTES"),
        ("{\nHEADER_BYTES=99999999;\n}", "HEADER_BYTES is 99999999"),
        ("{\nHEADER_BYTES=512;\nSIZE2=3;\n}", "SIZE1"),
        ("{\nHEADER_BYTES=512;\nSIZE1=5.5;\nSIZE2=3;\n}", "SIZE1"),
        ("{\nHEADER_BYTES=512;\nSIZE1=nan;\nSIZE2=3;\n}", "SIZE1"),
        ("{\nHEADER_BYTES=512;\nSIZE1=-5;\nSIZE2=3;\n}", "SIZE1"),
        ("{\nHEADER_BYTES=512;\nSIZE1=2000000000;\nSIZE2=2000000000;\n}", "claims"),
        ("{\nHEADER_BYTES=512;\nSIZE1=50;\nSIZE2=30;\n}", "truncated"),
        ("{\nHEADER_BYTES=512;\nTYPE=long_integer;\nSIZE1=5;\nSIZE2=3;\n}", "promises 572"),
        (HEADER + "BYTE_ORDER=middle;\n}", "BYTE_ORDER"),
        ("{\nHEADER_BYTES=4096;\nSIZE1=5;\nSIZE2=3;\n}", "ends inside its header"),
    ],
)
def test_bad_headers_are_refused(tmp_path, header, problem):
    with pytest.raises(InputError, match=problem):
        read_smv_header(put(tmp_path, header, bytes(30)))


def test_a_value_that_is_no_number_is_refused_when_it_is_asked_for(tmp_path):
    header = read_smv_header(put(tmp_path, HEADER + "PHI=inf;\nDISTANCE=x;\n}", bytes(30)))
    for key in ("PHI", "DISTANCE"):
        with pytest.raises(InputError, match=key):
            header.number(key)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("long_integer", "<i4"), ("unsigned_long", "<u4"), ("float", "<f4"), ("unsigned_char", "u1")],
)
def test_pixels_of_other_kinds(tmp_path, kind, dtype):
    values = np.arange(15, dtype=dtype).reshape(3, 5) * 100
    text = HEADER.replace("unsigned_short", kind) + "}\f"
    header = read_smv_header(put(tmp_path, text, values.tobytes()))
    np.testing.assert_array_equal(read_smv_pixels(header), values)
    np.testing.assert_array_equal(read_mask(header.source), values != 0)


@pytest.mark.parametrize("kind", ["long_integer", "unsigned_long", "float", "mad_pixels"])
def test_a_header_is_read_whatever_the_type_of_the_pixels(tmp_path, kind):
    path = put(tmp_path, HEADER.replace("unsigned_short", kind) + "PHI=2;\n}", bytes(60))
    header = read_smv_header(path)
    assert (header.shape, header.number("PHI")) == ((3, 5), 2.0)
    if kind == "mad_pixels":
        with pytest.raises(InputError, match=f"TYPE '{kind}'"):
            read_smv_pixels(header)


def test_a_mask_that_is_a_picture_is_refused_with_the_way_out(tmp_path):
    path = tmp_path / "mask.png"
    path.write_bytes(b"\x89PNG\r\n")
    with pytest.raises(InputError, match=r"numpy\.save"):
        read_mask(str(path))


def test_masks_of_both_kinds(tmp_path):
    pixels = np.array([[0, 1, 2, 0, 9]] * 3, dtype="<u2")
    image = put(tmp_path, HEADER + "}", pixels.tobytes())
    array = tmp_path / "m.npy"
    np.save(array, pixels)
    for path in (image, str(array)):
        np.testing.assert_array_equal(read_mask(path), pixels != 0)


@pytest.mark.parametrize(
    "array", [np.zeros(3), np.zeros((0, 3)), np.array([["a"]]), np.array([[np.nan]])]
)
def test_arrays_that_are_no_masks_are_refused(tmp_path, array):
    path = tmp_path / "m.npy"
    np.save(path, array)
    with pytest.raises(InputError, match=r"m\.npy"):
        read_mask(str(path))


def test_pickles_and_missing_files_are_refused(tmp_path):
    path = tmp_path / "m.npy"
    np.save(path, np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"m\.npy"):
        read_mask(str(path))
    with pytest.raises(InputError, match=r"absent"):
        read_mask(str(tmp_path / "absent"))


def test_an_array_header_that_promises_too_much_allocates_nothing(tmp_path):
    path = tmp_path / "m.npy"
    np.save(path, np.zeros((2, 2)))
    path.write_bytes(path.read_bytes().replace(b"(2, 2)", b"(99999999, 99999999)"))
    with pytest.raises(InputError, match=r"m\.npy"):
        read_mask(str(path))
