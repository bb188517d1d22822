"""HDF5 files made to do harm: links out of the file, bombs, attributes that crash libhdf5."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.read.geometry.nexus_beam import read_nexus_beam
from distbragg.read.hdf5 import Attributes, Elsewhere, open_hdf5, open_member
from distbragg.read.shots import read_shot


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.h5"
    with h5py.File(path, "w") as file:
        file["deep/w"] = np.array([11.0, 22.0])
    return path


@pytest.fixture
def path(tmp_path: Path, secret: Path) -> Path:
    path = tmp_path / "shots.h5"
    raw = tmp_path / "raw.bin"
    raw.write_bytes(np.array([11.0, 22.0]).tobytes())
    layout = h5py.VirtualLayout(shape=(2,), dtype=float)
    layout[...] = h5py.VirtualSource(str(secret), "deep/w", shape=(2,))
    with h5py.File(path, "w") as file:
        file["wavelength_nm"] = [0.1, 0.2]
        file["own/w"] = [1.0, 2.0]
        file["ext"] = h5py.ExternalLink(str(secret), "/deep")
        file["direct"] = h5py.ExternalLink(str(secret), "/deep/w")
        file["soft"] = h5py.SoftLink("/ext/w")
        file["softer"] = h5py.SoftLink("soft")
        file["folder/up"] = h5py.SoftLink("/ext")
        file["inside"] = h5py.SoftLink("/hop/w")
        file["hop"] = h5py.SoftLink("own")
        file["round"] = h5py.SoftLink("/trip")
        file["trip"] = h5py.SoftLink("round")
        file.create_dataset("raw", (2,), "f8", external=[(str(raw), 0, 16)])
        file.create_virtual_dataset("virtual", layout)
        file["soft_virtual"] = h5py.SoftLink("virtual")
    return path


@pytest.mark.spec("SEC-7")
@pytest.mark.parametrize(
    "name",
    ["direct", "ext/w", "soft", "softer", "folder/up/w", "raw", "virtual", "soft_virtual"],
)
def test_nothing_of_another_file_is_read_by_any_chain_of_links(path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"another file|other files"):
        read_shot(str(path), None, weights=name, channels="wavelength_nm")
    with open_hdf5(str(path)) as file, pytest.raises(Elsewhere):
        open_member(file["own"], f"/{name}", str(path))


@pytest.mark.spec("SEC-7")
def test_links_inside_the_file_are_followed(path: Path) -> None:
    found = read_shot(str(path), None, weights="inside", channels="./wavelength_nm")
    np.testing.assert_array_equal(found.weight, [1.0, 2.0])
    with pytest.raises(InputError, match="circle"):
        read_shot(str(path), None, weights="round", channels="wavelength_nm")


@pytest.mark.spec("SEC-7")
@pytest.mark.parametrize("through", ["direct", "soft"])
def test_a_master_takes_no_wavelength_from_another_file(tmp_path: Path, through: str) -> None:
    with h5py.File(tmp_path / "beam.h5", "w") as file:
        file["beam/incident_wavelength"] = 3.0
        file["beam/incident_wavelength"].attrs["units"] = "angstrom"
        file["beam"].attrs["NX_class"] = "NXbeam"
    with h5py.File(tmp_path / "master.h5", "w") as file:
        for name, kind in (("entry", "NXentry"), ("entry/instrument", "NXinstrument")):
            file.create_group(name).attrs["NX_class"] = kind
        outside = h5py.ExternalLink(str(tmp_path / "beam.h5"), "/beam")
        if through == "soft":
            file["hop"] = outside
        place = h5py.SoftLink("/hop") if through == "soft" else outside
        file["entry/instrument/beam"] = place
    found = read_nexus_beam(str(tmp_path / "master.h5"), None)
    assert found.wavelength is None


def bomb_of_a_large_chunk(file: h5py.File) -> None:
    data = file.create_dataset("w", (1000, 100_000), "f8", chunks=(1000, 100_000), compression=1)
    coder = zlib.compressobj(1)
    piece = bytes(1 << 20)
    data.id.write_direct_chunk((0, 0), b"".join(coder.compress(piece) for _ in range(700)))


def bomb_in_a_small_chunk(file: h5py.File) -> None:
    data = file.create_dataset("w", (4, 100_000), "f8", chunks=(1, 100_000), compression=1)
    coder = zlib.compressobj(9)
    piece = bytes(1 << 20)
    stream = b"".join(coder.compress(piece) for _ in range(400)) + coder.flush()
    for row in range(4):
        data.id.write_direct_chunk((row, 0), stream)


def size_of_a_frame(code: int, frame: bytes) -> Callable[[h5py.File], None]:
    def make(file: h5py.File) -> None:
        hdf5plugin = pytest.importorskip("hdf5plugin")
        options = {32001: hdf5plugin.Blosc(), 32008: hdf5plugin.Bitshuffle(),
                   32015: hdf5plugin.Zstd()}[code]  # fmt: skip
        data = file.create_dataset("w", (4, 100_000), "f8", chunks=(1, 100_000), **options)
        data.id.write_direct_chunk((0, 0), frame.ljust(64, b"\0"))

    return make


@pytest.mark.spec("SEC-10")
@pytest.mark.parametrize(
    "make",
    [
        bomb_of_a_large_chunk,
        bomb_in_a_small_chunk,
        size_of_a_frame(32001, b"\x02\x01\x21\x08" + (1 << 30).to_bytes(4, "little")),
        size_of_a_frame(32008, (1 << 33).to_bytes(8, "big")),
        size_of_a_frame(32015, b"\x28\xb5\x2f\xfd\xe0" + (1 << 33).to_bytes(8, "little")),
    ],
)
def test_a_chunk_that_decodes_to_more_than_its_place_is_not_decoded(
    tmp_path: Path, make: Callable[[h5py.File], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.h5"
    with h5py.File(path, "w") as file:
        make(file)
        file["energy_ev"] = np.full(100_000, 9000.0)
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda *_: pytest.fail("decoded"))
    with pytest.raises(InputError, match=r"chunks of \d+ bytes|more than its place"):
        read_shot(str(path), 0, weights="w", channels="energy_ev")


@pytest.mark.spec("SEC-10")
def test_unknown_filters_are_refused_by_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "odd.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("w", (4, 4), "i4", chunks=(1, 4), scaleoffset=0)
        file["energy_ev"] = np.full(4, 9000.0)
    with pytest.raises(InputError, match=r"filters that are not read \(6\).*h5repack"):
        read_shot(str(path), 0, weights="w", channels="energy_ev")


@pytest.mark.spec("SEC-10")
def test_an_attribute_whose_damaged_type_crashes_the_library_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "damaged.h5"
    with h5py.File(path, "w") as file:
        file["w"] = np.ones(3)
        file["w"].attrs["units"] = "eV"
    data = bytearray(path.read_bytes())
    # The type that follows the name: class 9 (variable length), of text; then of neither kind.
    at = data.index(b"\x19\x01", data.index(b"units\0"))
    data[at + 1] = 0x77
    path.write_bytes(bytes(data))
    with open_hdf5(str(path)) as file, pytest.raises(InputError, match="units of /w is neither"):
        Attributes(file["w"]).get("units")
