"""The shard format: what zarr itself would have written, and reads back."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from numcodecs import blosc

from distbragg.store.shard import checksum
from tests.units import write_unit

from .conftest import create_tiny, frames_of, tiny_sweep

LAYOUTS = [
    ({}, 1),
    ({}, 3),
    ({"chunk": [4, 5]}, 2),
    ({"dtype": "float64", "compressor": "zstd", "compression_level": 5}, 1),
    ({"dtype": "uint16"}, 1),
    ({"dtype": "uint16", "compressor": "zstd"}, 1),
    ({"dtype": "uint32", "chunk": [3, 7]}, 2),
    ({"compression_level": 0}, 1),
]


def chunks_of(path):
    """Encoded chunks of a shard by their position in its index, and the bytes of the index."""
    array = zarr.open_array(path, path="images", mode="r")
    found = {}
    for file in sorted((path / "images" / "c").rglob("*")):
        if not file.is_file():
            continue
        data = file.read_bytes()
        grid = [s // c for s, c in zip(array.shards, array.chunks, strict=True)]
        size = 16 * int(np.prod(grid)) + 4
        assert checksum(data[-size:-4]) == data[-4:]
        index = np.frombuffer(data[-size:-4], dtype="<u8").reshape(-1, 2)
        present = index[index[:, 0] != 2**64 - 1]
        assert present[:, 1].sum() == len(data) - size, "no byte lies between chunks"
        for place, (start, length) in enumerate(index.tolist()):
            if start != 2**64 - 1:
                key = (*file.relative_to(path / "images" / "c").parts, place)
                found[key] = data[start : start + length]
    return found


@pytest.mark.parametrize(("output", "panels"), LAYOUTS)
@pytest.mark.spec("STK-4")
def test_every_chunk_has_the_bytes_that_zarr_would_have_written(tmp_path, output, panels):
    sweep = tiny_sweep(output=output, noise={"photon": "uint" in output.get("dtype", "")})
    run = create_tiny(tmp_path / "ours", sweep, panels=panels)
    theirs = create_tiny(tmp_path / "theirs", sweep, panels=panels)
    array = zarr.open_array(theirs.path, path="images", mode="r+")
    array = array.with_config({"write_empty_chunks": True})
    threads, blosc.use_threads = blosc.use_threads, False
    try:
        for unit in range(run.layout.units):
            frames = np.floor(frames_of(run, unit))
            frames[0] = 0.0
            write_unit(run, unit, frames, {})
            region = run.layout.unit_region(unit)
            array[region] = frames.reshape(array[region].shape).astype(array.dtype)
    finally:
        blosc.use_threads = threads
    ours = chunks_of(run.path)
    assert ours == chunks_of(theirs.path)
    assert len(ours) > run.layout.units
    read = zarr.open_array(run.path, path="images", mode="r")
    np.testing.assert_array_equal(read[...], array[...])


def test_checksum_is_crc32c_least_significant_byte_first():
    assert checksum(b"123456789").hex() == "839206e3"
