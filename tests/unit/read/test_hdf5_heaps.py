"""Damaged heaps of text in HDF5 files, at which libhdf5 does not end."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest

from distbragg.errors import InputError
from distbragg.read import hdf5_heaps
from distbragg.read.geometry.read import read_geometry
from distbragg.read.hdf5 import Attributes, open_hdf5, open_member, stored_values
from distbragg.read.hdf5_heaps import check_heaps, check_texts

MARK = b"GCOL"


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.h5"
    with h5py.File(path, "w") as file:
        for number in range(40):
            group = file.create_group(f"entry{number}")
            group.attrs["NX_class"] = "NXentry" * (number % 7 + 1)
    return path


def with_free_end_of(data: bytes, size: int) -> bytes:
    """Give the free end of the first heap, the object without an index, another size."""
    start = data.index(MARK)
    at = start + 16
    while int.from_bytes(data[at : at + 2], "little"):
        length = int.from_bytes(data[at + 8 : at + 16], "little")
        at += 16 + -(-length // 8) * 8
    return data[: at + 8] + size.to_bytes(8, "little") + data[at + 16 :]


def test_a_sound_file_passes(texts):
    assert MARK in texts.read_bytes()
    check_heaps(str(texts))


@pytest.mark.parametrize("size", [0, 1, 15])
def test_a_heap_that_does_not_end_is_refused_before_the_library_reads_it(texts, size):
    texts.write_bytes(with_free_end_of(texts.read_bytes(), size))
    with pytest.raises(InputError, match=r"texts\.h5: a heap of text in it is damaged"):
        read_geometry(str(texts))


def test_a_heap_that_says_to_reach_beyond_the_file_is_left_to_the_library(texts):
    data = texts.read_bytes()
    at = data.index(MARK) + 8
    texts.write_bytes(data[:at] + (2**62).to_bytes(8, "little") + data[at + 8 :])
    check_heaps(str(texts))


def test_a_file_of_nothing_but_heaps_is_refused_in_good_time(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5_heaps, "MOST_OBJECTS", 1000)
    path = tmp_path / "heaps.h5"
    path.write_bytes((MARK + b"\x01\x00\x00\x00" + bytes(8)) * 1001)
    with pytest.raises(InputError, match="more pieces of text than are read"):
        check_heaps(str(path))


@pytest.mark.parametrize("data", [b"", b"GCOL", b"GCOL\x01\x00\x00\x00"])
def test_what_is_too_short_to_hold_a_heap_passes(tmp_path, data):
    path = tmp_path / "short.h5"
    path.write_bytes(data)
    check_heaps(str(path))


@pytest.mark.spec("SEC-10")
@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("many", [False, True])
def test_a_text_of_an_attribute_that_claims_gigabytes_is_not_read(tmp_path, libver, many):
    path = tmp_path / "long.h5"
    with h5py.File(path, "w", libver=libver) as file:
        group = file.create_group("g")
        group.attrs["units"] = ["eV", "keV"] if many else "eV"
        for number in range(20):  # Many attributes are kept in a heap of their own.
            group.attrs[f"a{number}"] = "text"
    with open_hdf5(str(path)) as file:
        assert "eV" in Attributes(file["g"])["units"]
    data = path.read_bytes()
    at = data.index((3 if many else 2).to_bytes(4, "little"), data.index(b"units\0") + 28)
    path.write_bytes(data[: at + 3] + b"\x70" + data[at + 4 :])
    with pytest.raises(InputError, match="units claims to be a text"):
        check_texts(str(path), "units")
    # Newer files have checksums, which damage breaks and malice does not.
    said = "units claims to be a text" if libver == "earliest" else "checksum"
    with pytest.raises(InputError, match=said), open_hdf5(str(path)) as file:
        Attributes(file["g"]).get("units")


@pytest.mark.spec("SEC-10")
@pytest.mark.parametrize("chunks", [None, (1,)])
def test_a_text_of_a_dataset_that_claims_gigabytes_is_not_read(tmp_path, chunks):
    path = tmp_path / "long.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("axis", data=["/entry/x"], dtype=h5py.string_dtype(), chunks=chunks)
    with open_hdf5(str(path)) as file:
        assert stored_values(open_member(file, "axis", "x"), str(path))[0] == b"/entry/x"
        places = file["axis"].id
        at = places.get_offset() or places.get_chunk_info(0).byte_offset
    data = path.read_bytes()
    assert data[at] == 8
    path.write_bytes(data[: at + 3] + b"\x70" + data[at + 4 :])
    with open_hdf5(str(path)) as file, pytest.raises(InputError, match="claims to be a text of"):
        stored_values(open_member(file, "axis", str(path)), str(path))
