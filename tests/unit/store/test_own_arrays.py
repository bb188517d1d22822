"""Stacks from elsewhere: what the run wrote is judged before zarr opens it, and then bounded."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import zarr
from numcodecs.zstd import Zstd

from distbragg.errors import DamageError
from distbragg.read.bounds import decoded_bytes
from distbragg.spec.canonical import canonical_json
from distbragg.store.files import sha256_bytes
from distbragg.store.ledger import repairs
from distbragg.store.local_objects import LocalObjects
from distbragg.store.open import open_stack
from distbragg.store.records import MAX_LINE_BYTES, encode_record, read_records
from distbragg.store.run_directory import RunDirectory, open_run
from distbragg.store.verify import verify_run
from tests.units import write_unit

from .conftest import create_tiny, frames_of

Change = Callable[[dict[str, Any]], None]


def put(*path: str | int, value: object) -> Change:
    def change(body: Any) -> None:
        for part in path[:-1]:
            body = body[part]
        body[path[-1]] = value

    return change


SHARDING = ("codecs", 0, "configuration")
PICKLE = {"name": "numcodecs.pickle", "configuration": {}}
HOSTILE: dict[str, Change] = {
    "pickle codec": put("codecs", value=[PICKLE]),
    "pickle inside a shard": put(*SHARDING, "codecs", 1, value=PICKLE),
    "pickle as index codec": put(*SHARDING, "index_codecs", value=[PICKLE]),
    "harmless codec first": put("codecs", value=[{"name": "bytes"}, {"name": "zstd"}, PICKLE]),
    "object dtype": put("data_type", value="object"),
    "extension dtype": put("data_type", value={"name": "numpy.datetime64"}),
    "another shape": put("shape", value=[5, 3, 11, 2**62]),
    "shorter": put("shape", value=[4, 3, 11, 7]),
    "negative shape": put("shape", value=[-1, 3, 11, 7]),
    "true as a size": put("shape", value=[True, 3, 11, 7]),
    "many axes": put("shape", value=[1] * 40),
    "chunk of terabytes": put("chunk_grid", "configuration", "chunk_shape", value=[2**38, 2, 2, 2]),
    "zip-bomb inner chunk": put(*SHARDING, "chunk_shape", value=[2**34, 1, 11, 7]),
    "storage transformer": put("storage_transformers", value=[{"name": "anything"}]),
    "irregular grid": put("chunk_grid", "name", value="rectilinear"),
    "keys of version 2": put("chunk_key_encoding", value={"name": "v2"}),
    "keys with dots": put("chunk_key_encoding", "configuration", value={"separator": "."}),
    "no checksum": lambda body: body["codecs"][0]["configuration"]["codecs"].pop(),
    "no codecs": put("codecs", value=None),
}


@pytest.mark.spec("SEC-1")
@pytest.mark.parametrize("where", ["array", "group"])
@pytest.mark.parametrize("case", HOSTILE)
def test_images_of_another_form_are_refused_before_zarr_sees_them(
    run: RunDirectory, case: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = run.path / ("images/zarr.json" if where == "array" else "zarr.json")
    body = json.loads(path.read_text())
    HOSTILE[case](body if where == "array" else body["consolidated_metadata"]["metadata"]["images"])
    path.write_text(json.dumps(body))

    def opened(*_: object, **__: object) -> None:
        raise AssertionError("zarr was asked to open it")

    monkeypatch.setattr(zarr, "open_array", opened)
    monkeypatch.setattr("xarray.open_dataset", opened)
    for look in (open_stack, lambda path: verify_run(open_run(path), "deep")):
        with pytest.raises(DamageError, match="images"):
            look(run.path)


COORDINATE: dict[str, Change] = {
    "pickle": put("codecs", value=[{"name": "bytes"}, PICKLE]),
    "gzip, which does not state its size": put("codecs", value=[{"name": "gzip"}]),
    "terabytes": put("shape", value=[2**40]),
    "chunk of terabytes": put("chunk_grid", "configuration", "chunk_shape", value=[2**40]),
    "object dtype": put("data_type", value="object"),
}


@pytest.mark.spec("SEC-1")
@pytest.mark.parametrize("where", ["array", "group"])
@pytest.mark.parametrize("case", COORDINATE)
def test_coordinates_that_the_run_did_not_write_so_are_refused(
    run: RunDirectory, case: str, where: str
) -> None:
    path = run.path / ("phi/zarr.json" if where == "array" else "zarr.json")
    body = json.loads(path.read_text())
    COORDINATE[case](body if where == "array" else body["consolidated_metadata"]["metadata"]["phi"])
    path.write_text(json.dumps(body))
    with pytest.raises(DamageError, match="phi"):
        open_stack(run.path)


@pytest.mark.spec("SEC-1")
@pytest.mark.parametrize("text", ['{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "\xff\xfe", "3"])
def test_metadata_that_are_deep_or_no_json_are_refused(run: RunDirectory, text: str) -> None:
    (run.path / "images" / "zarr.json").write_text(text, encoding="latin-1")
    with pytest.raises(DamageError, match="images"):
        open_stack(run.path)


def lie_about_size(path: Path, size: int) -> None:
    """Let the first chunk of a shard promise `size` bytes, checksums put right."""
    data = bytearray(path.read_bytes())
    start = len(data) - 4 - 16 * 2
    offset, length = struct.unpack_from("<QQ", data, start)
    struct.pack_into("<I", data, offset + 4, size)
    body = bytes(data[offset : offset + length - 4])
    struct.pack_into("<I", data, offset + length - 4, google_crc32c.value(body))
    path.write_bytes(data)


@pytest.mark.spec("SEC-2")
@pytest.mark.parametrize("whole", [True, False])
def test_chunk_that_promises_gigabytes_is_not_decoded(run: RunDirectory, whole: bool) -> None:
    write_unit(run, 0, frames_of(run, 0), {})
    lie_about_size(run.object_path(0), 2**31 - 1)
    images = open_stack(run.path).images
    part = images[0, :2] if whole else images[0, 0]
    with pytest.raises(DamageError, match="states 2147483647 bytes"):
        part.load()


@pytest.mark.spec("SEC-2")
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.parametrize("entry", [(0, 2**62), (2**62, 10), (2**63, 2**63)])
def test_index_that_points_beyond_its_object_is_refused(
    run: RunDirectory, entry: tuple[int, int]
) -> None:
    write_unit(run, 0, frames_of(run, 0), {})
    data = bytearray(run.object_path(0).read_bytes())
    start = len(data) - 4 - 32
    struct.pack_into("<QQ", data, start, *entry)
    struct.pack_into("<I", data, len(data) - 4, google_crc32c.value(bytes(data[start:-4])))
    run.object_path(0).write_bytes(data)
    images = open_stack(run.path).images
    with pytest.raises(DamageError, match="beyond"):
        images[0, :2].load()
    with pytest.raises((DamageError, ValueError, RuntimeError, OSError)):
        images[0, 0].load()


@pytest.mark.spec("SEC-2")
def test_coordinate_that_decompresses_to_more_than_its_shape_is_refused(run: RunDirectory) -> None:
    bomb = Zstd().encode(bytes(1 << 26))
    assert len(bomb) < 10_000
    assert decoded_bytes("zstd", bomb[:18], 0) == 1 << 26
    (run.path / "phi" / "c" / "0").write_bytes(bomb)
    with pytest.raises(DamageError, match="states 67108864 bytes"):
        open_stack(run.path)


@pytest.mark.spec("SEC-2")
@pytest.mark.parametrize("size", [0, 1, 255, 256, 300, 65_535, 65_536, 70_000, 1 << 20])
def test_size_of_a_zstandard_frame_is_read_as_its_encoder_wrote_it(size: int) -> None:
    assert decoded_bytes("zstd", Zstd().encode(np.zeros(size, np.uint8))[:18], 0) == size


@pytest.mark.spec("SEC-3")
@pytest.mark.parametrize("what", ["images", "phi", "zarr.json", ".distbragg/inputs"])
def test_link_that_leads_out_of_the_run_is_refused(tmp_path: Path, what: str) -> None:
    sha = sha256_bytes(b"secret")
    run = create_tiny(tmp_path / "RUN")
    outside = tmp_path / "outside"
    if what == ".distbragg/inputs":
        (outside / sha).mkdir(parents=True)
        (outside / sha / "F.hkl").write_bytes(b"secret")
        rename_input(run, f"input:{sha}/F.hkl")
        (run.path / what).symlink_to(outside)
    else:
        (run.path / what).rename(outside)
        (run.path / what).symlink_to(outside)
    with pytest.raises(DamageError, match="is a link"):
        open_stack(run.path)


@pytest.mark.spec("SEC-3")
def test_object_that_is_a_link_out_of_the_run_is_not_read(run: RunDirectory) -> None:
    write_unit(run, 0, frames_of(run, 0), {})
    outside = run.path.parent / "object"
    run.object_path(0).rename(outside)
    run.object_path(0).symlink_to(outside)
    stack = open_stack(run.path)
    assert not stack.rendered.any()
    with pytest.raises(DamageError, match="is a link"):
        stack.images[0, 0].load()


@pytest.mark.spec("SEC-3")
def test_link_to_the_run_is_followed_and_none_inside_it(run: RunDirectory) -> None:
    write_unit(run, 0, frames_of(run, 0), {})
    link = run.path.parent / "LINK"
    link.symlink_to(run.path)
    assert int(open_stack(link).rendered.sum()) == 2
    (run.path / "phi").rename(run.path / ".distbragg" / "phi")
    (run.path / "phi").symlink_to(Path(".distbragg") / "phi")
    with pytest.raises(DamageError, match="is a link"):
        open_stack(link)


def rename_input(run: RunDirectory, name: str) -> None:
    """Let the manifest name `name` as its reflection list, hashes put right."""
    path = run.state / "manifest.json"
    body = json.loads(path.read_text())
    body["identity"]["sweep"]["experiment"].setdefault("structure_factors", {})["file"] = name
    body.pop("content_hash")
    body["run_id"] = sha256_bytes(canonical_json(body["identity"]).encode())
    body["content_hash"] = sha256_bytes(canonical_json(body).encode())
    path.write_text(canonical_json(body))


@pytest.mark.spec("SEC-3")
@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../../F.hkl", "F.hkl", f"input:{'a' * 64}/..", "input:short/F.hkl"]
)
def test_manifest_that_names_files_outside_of_the_run_is_refused(
    run: RunDirectory, name: str
) -> None:
    rename_input(run, name)
    with pytest.raises(DamageError, match="outside of the run"):
        open_run(run.path)


@pytest.mark.spec("SEC-4")
@pytest.mark.parametrize(
    "record",
    [
        {},
        {"unit": "0"},
        {"unit": 0},
        {"unit": 10**30},
        {"unit": -1},
        {"unit": True},
        {"unit": 0, "digest": "x", "size": 3, "class": "c"},
        {"unit": 0, "digest": 5, "size": None},
    ],
)
def test_record_of_another_form_counts_for_nothing(
    run: RunDirectory, record: dict[str, Any]
) -> None:
    (run.state / "repairs").mkdir()
    (run.state / "repairs" / "x.jsonl").write_bytes(encode_record({"run": run.run_id, **record}))
    assert repairs(run) == ()


@pytest.mark.spec("SEC-4")
def test_endless_and_deep_lines_are_passed_over(tmp_path: Path) -> None:
    good = encode_record({"unit": 1})
    deep = encode_record({"unit": 2}).replace(b'{"unit":2}', b"[" * 50_000 + b"]" * 50_000)
    folder = tmp_path / ".distbragg" / "notes"
    folder.mkdir(parents=True)
    (folder / "a.jsonl").write_bytes(b"x" * (3 * MAX_LINE_BYTES) + b"\n" + deep + good)
    found = list(read_records(LocalObjects(tmp_path), "notes"))
    assert found == [(".distbragg/notes/a.jsonl", {"unit": 1})]


@pytest.mark.spec("SEC-4")
@pytest.mark.parametrize("sizes", [[["phi", 10**12], ["spread", 3]], [["d", 2]] * 20])
def test_manifest_of_absurd_sizes_is_refused_before_anything_is_allocated(
    run: RunDirectory, sizes: list[list[Any]]
) -> None:
    path = run.state / "manifest.json"
    body = json.loads(path.read_text())
    body["identity"]["layout"].update(dims=sizes, unit_shape=[1] * len(sizes))
    body.pop("content_hash")
    body["run_id"] = sha256_bytes(canonical_json(body["identity"]).encode())
    body["content_hash"] = sha256_bytes(canonical_json(body).encode())
    path.write_text(canonical_json(body))
    with pytest.raises(DamageError, match="more than a stack can have"):
        open_run(run.path)


def test_a_fifo_in_the_place_of_metadata_is_refused(run: RunDirectory) -> None:
    path = run.path / "images" / "zarr.json"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DamageError, match="a pipe or a device"):
        open_stack(run.path)


@pytest.mark.spec("SEC-2")
@pytest.mark.parametrize("data", [b"", b"\x02\x01\x21\x04", b"\x28\xb5\x2f\xfd\x00\x00\x00"])
def test_chunk_that_does_not_state_its_size_is_refused(run: RunDirectory, data: bytes) -> None:
    write_unit(run, 0, frames_of(run, 0), {})
    whole = bytearray(run.object_path(0).read_bytes())
    start = len(whole) - 4 - 32
    offset, _ = struct.unpack_from("<QQ", whole, start)
    struct.pack_into("<QQ", whole, start, offset, len(data))
    struct.pack_into("<I", whole, len(whole) - 4, google_crc32c.value(bytes(whole[start:-4])))
    run.object_path(0).write_bytes(whole)
    with pytest.raises(DamageError, match="does not state its size"):
        open_stack(run.path).images[0, 0].load()
    (run.path / "phi" / "c" / "0").write_bytes(data)
    with pytest.raises(DamageError, match="does not state its size"):
        open_stack(run.path)
