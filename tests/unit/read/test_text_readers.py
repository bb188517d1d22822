"""Text readers: lists of reflections, sources, spectra, matrices, background tables."""

from __future__ import annotations

import gzip
import math

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.read.hkl import read_hkl
from distbragg.read.spectrum import read_spectrum
from distbragg.read.structure_factors import read_structure_factors
from distbragg.read.table import read_matrix, read_sources, read_stol


def put(tmp_path, content, name="input.txt"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def sources(path):
    return read_sources(path, beam_direction=(1.0, 0.0, 0.0), wavelength_m=1.5e-10)


READERS = [read_hkl, read_matrix, sources, read_spectrum, read_stol]


@pytest.mark.spec("CRY-16")
@pytest.mark.parametrize(
    "content",
    [
        "1 2 3 4.5\n-1 0 2 7\n",
        "# h k l F\r\n1 2 3 4.5\r\n\r\n-1 0 2 7",
        "1,2,3,4.5\n-1;0;2;7\n",
        "1 2 3 4.5 0.1\n-1 0 2 7\n",
        "\t1 2 3 4.5 # strong\n   \n-1 0 2 7 0.5 120\n",
    ],
)
def test_reflections_in_every_accepted_form(tmp_path, content):
    table = read_hkl(put(tmp_path, content))
    np.testing.assert_array_equal(table.indices, [[1, 2, 3], [-1, 0, 2]])
    np.testing.assert_array_equal(table.amplitude, [4.5, 7.0])


def test_compressed_reflections(tmp_path):
    path = put(tmp_path, gzip.compress(b"1 2 3 4.5\n"), "a.hkl.gz")
    assert read_hkl(path).count == 1
    broken = put(tmp_path, gzip.compress(b"1 2 3 4.5\n" * 1000)[:-9], "b.hkl.gz")
    with pytest.raises(InputError, match="truncated"):
        read_hkl(broken)


@pytest.mark.spec("SEC-10")
@pytest.mark.parametrize("name", ["a.hkl.gz", "a.cif.gz", "a.mtz.gz", "a.pdb.gz"])
def test_a_file_that_unpacks_to_far_more_than_its_size_is_refused(tmp_path, name):
    heads = {
        "a.cif.gz": b"data_x\n_cell_length_a 5\n",
        "a.mtz.gz": b"MTZ ",
        "a.pdb.gz": b"HEADER\n",
    }
    content = heads.get(name, b"") + b"1 2 3 4\n" * (5 << 20)
    with pytest.raises(InputError, match=r"unpacks to more than 33554432 bytes; unpack it"):
        read_structure_factors(put(tmp_path, gzip.compress(content, 9), name))


@pytest.mark.spec("CRY-16")
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("1 2 3 4\n1 2 3\n", ":2: 3 columns"),
        ("1 2 3 4\n\n1 2 x 4\n", ":3: l 'x' is not a number"),
        ("1 2.5 3 4\n", ":1: index k = 2.5"),
        ("1 2 3 nan\n", ":1: F 'nan'"),
        ("1 2 3 inf\n", ":1: F 'inf'"),
        ("1 2 3 4\n1000000000 0 0 5\n", ":2: index h"),
        ("0 0 0 1\n1000000 1000 1000 5\n", "grid points"),
        ("1 2 3 1_0\n", "1_0"),
        ("# nothing\n", "no reflections"),
    ],
)
def test_bad_reflections_name_their_line(tmp_path, content, problem):
    with pytest.raises(InputError) as caught:
        read_hkl(put(tmp_path, content))
    assert problem in str(caught.value)
    assert "input.txt" in str(caught.value)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("content", [b"", b"  \n\r\n", b"1 0 0\0 5\n", b"\xff\xfe\x00\x01"])
def test_empty_and_binary_files_are_refused(tmp_path, reader, content):
    with pytest.raises(InputError, match=r"input\.txt"):
        reader(put(tmp_path, content))


@pytest.mark.parametrize("reader", READERS)
def test_missing_files_and_folders_are_refused(tmp_path, reader):
    with pytest.raises(InputError, match="not found"):
        reader(str(tmp_path / "absent"))
    with pytest.raises(InputError, match="not a file"):
        reader(str(tmp_path))


@pytest.mark.spec("SRC-8")
def test_sources_with_comments_crlf_and_missing_columns(tmp_path):
    content = b"# X Y Z w lambda\r\n-10 0 0 1.0 1.00e-10\r\n\r\n-10 0.05 -0.02 0.2\r\n-9 1 2"
    table = sources(put(tmp_path, content))
    expected = [[-10, 0, 0, 1, 1e-10], [-10, 0.05, -0.02, 0.2, 1.5e-10], [-9, 1, 2, 1, 1.5e-10]]
    np.testing.assert_array_equal(table, expected)


@pytest.mark.spec("SRC-8")
def test_a_missing_coordinate_is_ten_metres_up_the_beam(tmp_path):
    np.testing.assert_array_equal(sources(put(tmp_path, "-8\n"))[0, :3], [-8, 0, 0])


@pytest.mark.spec("SRC-7")
@pytest.mark.parametrize("weight", ["-0.5", "nan", "NaN", "inf", "-inf", "1e999", "one"])
def test_bad_weights_are_refused_with_file_and_line(tmp_path, weight):
    with pytest.raises(InputError, match=r"input\.txt:3"):
        sources(put(tmp_path, f"# comment\n-10 0 0 1\n-10 0 0 {weight}\n"))


@pytest.mark.spec("SRC-9")
def test_a_wavelength_in_angstrom_is_refused_with_a_hint(tmp_path):
    with pytest.raises(InputError, match=r"input\.txt:1.*metres; did you mean ångström"):
        sources(put(tmp_path, "-10 0 0 1 0.98\n"))


@pytest.mark.parametrize(
    "line", ["0 0 0 1 1e-10", "-10 0 0 1 0", "-10 0 0 1 -1e-10", "-10 0 0 1 1e-10 7"]
)
def test_sources_that_cannot_be_are_refused(tmp_path, line):
    with pytest.raises(InputError, match=r"input\.txt:1"):
        sources(put(tmp_path, line))


@pytest.mark.spec("SRC-10")
@pytest.mark.parametrize(
    ("content", "wavelength", "weight"),
    [
        ("1.0 2\n1.1 3\n", [1.0, 1.1], [2, 3]),
        ("wavelength_angstrom,weight\n1.0,2\n1.1,0\n", [1.0, 1.1], [2, 0]),
        ("weight;wavelength_m\r\n2;1e-10\r\n3;1.1e-10", [1.0, 1.1], [2, 3]),
        ("energy_ev weight\n12398.42 1\n", [1.0], [1]),
        ("energy_kev\n12.39842\n", [1.0], [1]),
        ("12398.42\n24796.84\n", [1.0, 0.5], [1, 1]),
        ("1e-10 4\n", [1.0], [4]),
    ],
)
def test_spectra_by_name_and_by_size(tmp_path, content, wavelength, weight):
    found = read_spectrum(put(tmp_path, content))
    np.testing.assert_allclose(found.wavelength, wavelength, rtol=1e-14)
    np.testing.assert_array_equal(found.weight, weight)


@pytest.mark.spec("SRC-10")
@pytest.mark.parametrize(
    "content",
    [
        "1.0 -2\n",
        "1.0 nan\n",
        "0 1\n",
        "-1 1\n",
        "1.0 0\n1.1 0\n",
        "colour weight\n1 2\n",
        "weight\n1\n",
        "energy_ev wavelength_m\n1 2\n",
        "wavelength\n",
        "1.0 2\n1.1\n",
        "1.0 2 3\n",
    ],
)
def test_bad_spectra_are_refused(tmp_path, content):
    with pytest.raises(InputError, match=r"input\.txt"):
        read_spectrum(put(tmp_path, content))


@pytest.mark.spec("CRY-3")
def test_matrices_are_nine_leading_numbers(tmp_path):
    path = put(tmp_path, "1 2 3\n4 5 6\n7 8 9\n 0.000 0.000 0.000\nSYMM P1\n")
    np.testing.assert_array_equal(read_matrix(path), [[1, 2, 3], [4, 5, 6], [7, 8, 9]])


@pytest.mark.parametrize("content", ["1 2 3\n4 5 6\n7 8\n", "1 2 3\n4 nan 6\n7 8 9\n", "a b c\n"])
def test_bad_matrices_are_refused(tmp_path, content):
    with pytest.raises(InputError, match=r"input\.txt"):
        read_matrix(put(tmp_path, content))


@pytest.mark.spec("SCL-8")
def test_background_tables(tmp_path):
    stol, amplitude = read_stol(put(tmp_path, "# air\n0 14.0954\r\n0.5 11"))
    np.testing.assert_array_equal(stol, [0, 0.5])
    np.testing.assert_array_equal(amplitude, [14.0954, 11])


@pytest.mark.parametrize("content", ["0 1\n0 2\n", "0.5 1\n0.4 2\n", "-1 2\n", "0 nan\n", "0\n"])
def test_bad_background_tables_name_their_line(tmp_path, content):
    with pytest.raises(InputError, match=r"input\.txt:\d"):
        read_stol(put(tmp_path, content))


def test_a_large_list_is_read_in_blocks_that_keep_their_line_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr("distbragg.read.table._BLOCK_BYTES", 1000)
    lines = "".join(f"{i % 100},{i // 100};1 {i}.5 # {i}\r" for i in range(20_000))
    table = read_hkl(put(tmp_path, "# comment\r" + lines))
    assert table.count == 20_000
    assert math.isclose(table.amplitude.sum(), sum(i + 0.5 for i in range(20_000)))
    for bad in (0, 57, 58, 1000, 19_999):
        with pytest.raises(InputError, match=rf":{bad + 2}: l 'x' is not a number"):
            read_hkl(put(tmp_path, "# comment\r" + lines.replace(f";1 {bad}.5", f";x {bad}.5")))
