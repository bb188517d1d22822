"""Spectra of single shots from Zarr stores of either version, in folders and ZIP files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from distbragg.errors import InputError
from distbragg.read.shots import read_shot

ENERGIES = np.linspace(8990.0, 9010.0, 11)
WEIGHTS = np.random.default_rng(0).random((7, 11))


def write_store(path: Path, version: int = 3, **weights: Any) -> Path:
    group = zarr.open_group(str(path), mode="w", zarr_format=version)  # type: ignore[arg-type]
    array = group.create_array(
        "run/spectra", shape=WEIGHTS.shape, **{"chunks": (3, 4), "dtype": "f8", **weights}
    )
    array[:] = WEIGHTS
    energy = group.create_array("run/energy", shape=ENERGIES.shape, chunks=(4,), dtype="f8")
    energy[:] = ENERGIES
    energy.attrs["units"] = "eV"
    return path


def read(path: Path, shot: int = 4, **names: str) -> tuple[np.ndarray, np.ndarray]:
    found = read_shot(
        str(path), shot, **{"weights": "run/spectra", "channels": "/run/energy", **names}
    )
    return found.wavelength, found.weight


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write_store(tmp_path / "shots.zarr")


def edit(path: Path, **changes: Any) -> None:
    body = json.loads(path.read_text())
    path.write_text(json.dumps(body | changes))


@pytest.mark.spec("SRC-23")
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("codec", ["auto", None, "zstd", "gzip", "blosc", "big-endian"])
def test_every_row_is_read_as_it_was_written(tmp_path: Path, version: int, codec: Any) -> None:
    made: dict[Any, Any] = {
        "zstd": (zarr.codecs.ZstdCodec() if version == 3 else {"id": "zstd", "level": 1}),
        "gzip": (zarr.codecs.GzipCodec() if version == 3 else {"id": "gzip", "level": 1}),
        "blosc": (zarr.codecs.BloscCodec() if version == 3 else {"id": "blosc", "cname": "lz4"}),
    }
    chosen = {"dtype": ">f4"} if codec == "big-endian" else {"compressors": made.get(codec, codec)}
    path = write_store(tmp_path / "shots.zarr", version, **chosen)
    kind = "f4" if codec == "big-endian" else "f8"
    for shot in range(7):
        wavelength, weight = read(path, shot)
        np.testing.assert_array_equal(weight, WEIGHTS[shot].astype(kind))
        np.testing.assert_allclose(wavelength, 12398.42 / ENERGIES, rtol=1e-9)


@pytest.mark.spec("SRC-23")
def test_a_zip_file_of_a_store_reads_as_the_store(store: Path, tmp_path: Path) -> None:
    shutil.make_archive(str(store), "zip", store)
    for found, expected in zip(read(tmp_path / "shots.zarr.zip"), read(store), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_chunks_that_were_never_written_hold_the_fill_value(tmp_path: Path) -> None:
    path = write_store(tmp_path / "shots.zarr", fill_value=2.5)
    (path / "run/spectra/c/1/1").unlink()
    np.testing.assert_array_equal(read(path)[1][4:8], 2.5)
    np.testing.assert_array_equal(read(path)[1][:4], WEIGHTS[4, :4])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codecs": [{"name": "bytes"}, {"name": "pickle"}]}, "pickle"),
        ({"codecs": [{"name": "sharding_indexed"}]}, "cannot be read as Zarr"),
        ({"data_type": "string"}, "VLenUTF8Codec"),
        ({"shape": [7, 11, 2]}, "cannot be read as Zarr"),
        ({"shape": [7, -1]}, "cannot be read as Zarr"),
        ({"storage_transformers": [{}]}, "storage transformers"),
        ({"node_type": "group"}, "cannot be read as Zarr|no dataset"),
        (
            {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [10**6, 10**6]}}},
            "chunks of 8000000000000 bytes",
        ),
        ({"chunk_key_encoding": {"name": "odd"}}, "odd"),
    ],
)
def test_foreign_metadata_are_refused_before_anything_is_decoded(
    store: Path, changes: dict[str, Any], message: str
) -> None:
    edit(store / "run/spectra/zarr.json", **changes)
    for chunk in (store / "run/spectra/c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"not to be looked at")
    with pytest.raises(InputError, match=message):
        read(store)


@pytest.mark.parametrize("codec", ["zstd", "blosc", "gzip"])
def test_a_chunk_that_promises_more_than_its_place_is_refused(tmp_path: Path, codec: str) -> None:
    make = {"zstd": zarr.codecs.ZstdCodec, "blosc": zarr.codecs.BloscCodec}
    compressors = make.get(codec, zarr.codecs.GzipCodec)()
    path = write_store(tmp_path / "shots.zarr", compressors=compressors)
    large = zarr.open_group(str(tmp_path / "large.zarr"), mode="w").create_array(
        "a", shape=(1 << 22,), chunks=(1 << 22,), dtype="f8", compressors=compressors
    )
    large[:] = 1.0
    shutil.copyfile(tmp_path / "large.zarr/a/c/0", path / "run/spectra/c/1/1")
    with pytest.raises(InputError, match=r"cannot be read as Zarr|not 96|more than"):
        read(path)


@pytest.mark.spec("SEC-10")
def test_shards_and_codecs_that_run_code_are_refused_with_the_way_out(tmp_path: Path) -> None:
    path = write_store(tmp_path / "shards.zarr", chunks=(1, 4), shards=(2, 4))
    with pytest.raises(InputError, match=r"encoded by sharding_indexed.*without shards"):
        read(path)
    path = write_store(tmp_path / "pickle.zarr", version=2)
    edit(path / "run/spectra/.zarray", filters=[{"id": "pickle", "protocol": 5}])
    with pytest.raises(InputError, match="pickle"):
        read(path)


@pytest.mark.spec("SEC-10")
def test_member_of_an_archive_that_promises_more_than_its_place_is_refused(
    store: Path, tmp_path: Path
) -> None:
    (store / "run/spectra/c/1/1").write_bytes(bytes(1 << 24))
    shutil.make_archive(str(store), "zip", store)
    with pytest.raises(InputError, match="holds or makes more than"):
        read(tmp_path / "shots.zarr.zip")


@pytest.mark.spec("SEC-7")
def test_names_and_links_lead_nowhere_else(store: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a name of an array"):
        read(store, weights="../shots.zarr/run/spectra")
    (tmp_path / "elsewhere").write_bytes(b"\0" * 96)
    chunk = store / "run/spectra/c/1/1"
    chunk.unlink()
    chunk.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="leads out of the store"):
        read(store)


def test_what_is_no_store_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "text.zarr").write_text("no store")
    for name, message in (("text.zarr", "as a Zarr folder"), ("no.zarr.zip", "not found")):
        with pytest.raises(InputError, match=message):
            read(tmp_path / name)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("damaged") / "shots.zarr")


@settings(max_examples=100, deadline=None)
@given(
    name=st.sampled_from(["zarr.json", "c/0/0"]),
    position=st.integers(0, 4000),
    flip=st.integers(1, 255),
)
def test_damaged_stores_are_refused_or_read(
    damaged: Path, name: str, position: int, flip: int
) -> None:
    path = damaged / "run/spectra" / name
    whole = path.read_bytes()
    data = bytearray(whole)
    data[position % len(data)] ^= flip
    path.write_bytes(bytes(data))
    try:
        wavelength, weight = read(damaged, 1)
    except InputError:
        return
    finally:
        path.write_bytes(whole)
    assert wavelength.shape == weight.shape
