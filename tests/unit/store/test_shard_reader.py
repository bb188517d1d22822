"""Frames read from shards: what zarr reads, and damage told in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from distbragg.errors import DamageError
from distbragg.store.open import FrameReader
from distbragg.store.run_directory import RunDirectory
from tests.units import write_unit

from .conftest import create_tiny, frames_of, tiny_sweep


def made(path: Path, panels: int = 1, **output: Any) -> RunDirectory:
    counts = output.get("dtype", "float32").startswith(("u", "i"))
    sweep = tiny_sweep(output=output, noise={"photon": counts}, compute={"frames_per_unit": 6})
    run = create_tiny(path, sweep, panels=panels)
    for unit in range(run.layout.units - 1):
        frames = frames_of(run, unit)
        write_unit(run, unit, np.round(frames) if counts else frames, {})
    return run


@pytest.mark.spec("DAT-10")
@pytest.mark.parametrize(
    ("panels", "output"),
    [
        (1, {}),
        (2, {"dtype": "uint16"}),
        (1, {"dtype": "int32", "chunk": [4, 3]}),
        (3, {"chunk": [4, 7], "compressor": "zstd"}),
        (1, {"dtype": "float64", "chunk": [11, 5]}),
    ],
)
def test_frames_are_those_that_zarr_reads(tmp_path: Path, panels: int, output: Any) -> None:
    run = made(tmp_path / "RUN", panels, **output)
    every = zarr.open_array(run.path / "images", mode="r")[...].reshape(15, -1)
    reader = FrameReader(run)
    for frames in ([3], list(range(15)), [14, 0, 7, 0, 8, 14], []):
        found = reader.read(frames)
        assert len(found) == len(frames)
        for frame, image in zip(frames, found, strict=True):
            assert image.shape == reader.frame_shape
            assert image.dtype == np.dtype(run.layout.dtype)
            np.testing.assert_array_equal(image.ravel(), every[frame])
    out = np.zeros((3, *reader.frame_shape), dtype=np.float32)
    found = reader.read([5, 1, 5], out)
    assert all(np.shares_memory(one, out) for one in found)
    for frame, image in zip((5, 1, 5), out, strict=True):
        np.testing.assert_array_equal(image.ravel(), every[frame].astype(np.float32))


@pytest.mark.spec("DAT-10")
@pytest.mark.parametrize("frames", [[0], list(range(6))])
@pytest.mark.parametrize("place", ["chunk", "index", "cut", "beyond", "size"])
def test_damage_is_told_in_one_line(tmp_path: Path, place: str, frames: list[int]) -> None:
    run = made(tmp_path / "RUN")
    path = run.object_path(0)
    data = bytearray(path.read_bytes())
    if place == "chunk":
        data[40] ^= 1
    elif place == "index":
        data[-6] ^= 1
    elif place == "cut":
        del data[:100]
    elif place == "beyond":
        index = np.frombuffer(bytes(data[-100:-4]), dtype="<u8").copy()
        index[0] = 1 << 40
        data[-100:-4] = index.tobytes()
        data[-4:] = checksum_of(data[-100:-4])
    else:  # the first chunk states, with a right checksum, that it decodes to a gigabyte
        length = int(np.frombuffer(bytes(data[-100:-4]), dtype="<u8")[1])
        data[4:8] = (1 << 30).to_bytes(4, "little")
        data[length - 4 : length] = checksum_of(data[: length - 4])
    path.write_bytes(data)
    with pytest.raises(DamageError, match=r"images/c/0/0/0/0: frames cannot be read \(.*\)$"):
        FrameReader(run).read(frames)


def checksum_of(data: bytearray) -> bytes:
    import google_crc32c

    value: int = google_crc32c.value(bytes(data))
    return value.to_bytes(4, "little")


@pytest.mark.spec("DAT-10")
def test_a_link_is_not_followed(tmp_path: Path) -> None:
    run = made(tmp_path / "RUN")
    path = run.object_path(0)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DamageError, match="link"):
        FrameReader(run).read([0])
