"""Runs on an object store: a local S3 server stands for it."""

from __future__ import annotations

import json
import os
import pickle
import threading
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from moto.server import ThreadedMotoServer
from torch.utils.data import DataLoader

import distbragg as db
from distbragg.cli.main import main
from distbragg.errors import EnvironmentFailure, InputError, RefusedError
from distbragg.run.extend import extend
from distbragg.run.publish import publish
from distbragg.run.repair import repair
from distbragg.run.seal import seal
from distbragg.run.status import status
from distbragg.run.verify import verify
from distbragg.store.ledger import object_digests
from distbragg.store.lock import LockHolder, this_process
from distbragg.store.remote import Remote
from distbragg.store.remote_lock import RemoteLock, lock_entries
from distbragg.store.run_directory import RunDirectory, open_run, refresh_run

from .conftest import AXES, digests_of, tiny_sweep


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def bucket(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> str:
    """Address of a bucket of the test's own; the cache is the test's own too."""
    settings = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "very-secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    name = f"b{zlib.crc32(request.node.name.encode())}"
    with urllib.request.urlopen(urllib.request.Request(f"{server}/{name}", method="PUT")):
        return f"s3://{name}"


def forget_mirror(run: RunDirectory, monkeypatch: pytest.MonkeyPatch, cache: Path) -> RunDirectory:
    """Open the run as another machine would: nothing cached."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return refresh_run(run.place)


@pytest.mark.spec("OBJ-1")
def test_sweep_on_an_object_store_gives_the_bytes_of_one_on_disk(
    bucket: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{bucket}/deep/run.zarr"
    result = db.sweep(tiny_sweep(), url, cluster="serial")
    assert (result.done, str(result.path)) == (15, url)
    assert object_digests(open_run(url)) == digests_of(finished)
    elsewhere = forget_mirror(open_run(url), monkeypatch, tmp_path / "elsewhere")
    assert status(elsewhere).state == "finished"
    assert verify(url, level="deep", audit=2).sound
    stack, local = db.open_stack(url), db.open_stack(finished)
    np.testing.assert_array_equal(stack.images, local.images)
    assert bool(stack.rendered.all())
    assert db.resume(url, cluster="serial").nothing_to_do
    assert db.create(tiny_sweep(), url).run_id == elsewhere.run_id


@pytest.mark.spec("OBJ-2")
def test_receipts_are_objects_of_their_own_and_the_manifest_comes_last(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[str] = []
    put = Remote.put

    def noted(self: Remote, key: str, data: bytes, *, version: str | None = None) -> str:
        keys.append(key)
        return put(self, key, data, version=version)

    monkeypatch.setattr(Remote, "put", noted)
    run = db.create(tiny_sweep(), f"{bucket}/run.zarr")
    assert keys[-1] == ".distbragg/manifest.json"
    keys.clear()
    db.resume(run, cluster="serial")
    work = [key for key in keys if "lock" not in key]
    assert [key.startswith("images/c/") for key in work] == [True, False] * run.layout.units
    assert len({key for key in work if "/receipts/" in key}) == run.layout.units


@pytest.mark.spec("OBJ-2")
@pytest.mark.parametrize("after", ["object", "receipt"])
def test_run_killed_on_the_way_is_resumed_to_the_same_bytes(
    after: str, bucket: str, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{bucket}/run.zarr"
    run = db.create(tiny_sweep(), url)
    puts = iter(range(1000))
    put = Remote.put

    def stopping(self: Remote, key: str, data: bytes, *, version: str | None = None) -> str:
        done = put(self, key, data, version=version)
        wanted = "images/c/" if after == "object" else "/receipts/"
        if wanted in key and next(puts) == 3:
            raise KeyboardInterrupt
        return done

    with monkeypatch.context() as patch:
        patch.setattr(Remote, "put", stopping)
        with pytest.raises(KeyboardInterrupt):
            db.resume(run, cluster="serial")
    assert status(refresh_run(url)).frames_done < 15
    db.resume(url, cluster="serial")
    assert object_digests(open_run(url)) == digests_of(finished)


@pytest.mark.spec("LAB-5")
def test_tables_of_spots_live_beside_the_images(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = {"labels": True, "label_minimum_photons": 0.0}
    sweep = tiny_sweep(output=labels, detector={"pixel_size_mm": 1.0})
    here, url = tmp_path / "run.zarr", f"{bucket}/run.zarr"
    db.sweep(sweep, here, cluster="serial")
    db.sweep(sweep, url, cluster="serial")
    names = [f"labels/{unit:07d}.parquet" for unit in range(open_run(here).layout.units)]
    run = forget_mirror(open_run(url), monkeypatch, tmp_path / "elsewhere")
    assert run.remote is not None
    assert [run.remote.get(name) for name in names] == [
        (here / name).read_bytes() for name in names
    ]
    spots, local = db.open_labels(url), db.open_labels(here)
    assert spots["h"].size > 0
    for name, column in local.items():
        np.testing.assert_array_equal(spots[name], column)
    run.remote.delete(names[0])
    run.remote.put(names[1], b"other")
    damaged = verify(url, level="full").damaged
    assert [(item.unit, item.kind) for item in damaged] == [(0, "labels"), (1, "labels")]
    assert repair(url, cluster="serial").repaired == (0, 1)
    assert verify(url, level="deep").sound
    assert run.remote.get(names[0]) == (here / names[0]).read_bytes()


@pytest.mark.spec("OBJ-3")
def test_damage_is_found_and_repaired(bucket: str, finished: Path) -> None:
    url = f"{bucket}/run.zarr"
    publish(finished, url)
    run = open_run(url)
    remote = run.remote
    assert remote is not None
    names = [run.layout.object_name(unit) for unit in range(4)]
    data = bytearray(remote.get(names[0]))
    data[len(data) // 2] ^= 1
    remote.put(names[0], bytes(data))
    remote.delete(names[1])
    remote.put(names[2], b"")
    remote.put("images/c/9/9/9/9", b"foreign")
    found = verify(url, level="full")
    kinds = {item.unit: item.kind for item in found.damaged}
    assert kinds == {0: "changed", 1: "missing", 2: "empty"}
    assert [item.name for item in found.files] == ["images/c/9/9/9/9"]
    assert repair(url, cluster="serial").repaired == (0, 1, 2)
    assert verify(url, level="deep").sound
    assert object_digests(open_run(url)) == digests_of(finished)
    assert seal(url).already is False
    assert seal(url).already is True
    assert status(refresh_run(url)).state == "sealed"


@pytest.mark.spec("OBJ-4")
def test_published_run_can_be_brought_up_to_date_and_extended(bucket: str, tmp_path: Path) -> None:
    url, path = f"{bucket}/run.zarr", tmp_path / "RUN"
    run = db.create(tiny_sweep(), path)
    db.resume(run, cluster="serial", units=range(4))
    first = publish(path, url)
    assert (first.copied, first.units) == (4, 4)
    assert int(db.open_stack(url).rendered.sum()) == sum(map(run.layout.frame_count, range(4)))
    db.resume(path, cluster="serial")
    second = publish(path, url)
    assert (second.copied, second.units) == (run.layout.units - 4, run.layout.units)
    more = tiny_sweep(axes=[{**AXES[0], "values": [7.0, 8.0]}])
    db.resume(extend(path, more), cluster="serial")
    with pytest.raises(RefusedError, match="file system"):
        extend(url, more)
    assert publish(path, url).copied == 4
    stack = db.open_stack(url)
    np.testing.assert_array_equal(stack.images, db.open_stack(path).images)
    assert stack.sizes["phi"] == 7
    assert verify(url, level="deep").sound


@pytest.mark.spec("OBJ-4")
def test_what_is_there_is_never_overwritten(bucket: str, finished: Path) -> None:
    publish(finished, f"{bucket}/run.zarr")
    other = tiny_sweep(structure_factors={"default_f_electrons": 70.0})
    with pytest.raises(RefusedError, match="another run"):
        db.create(other, f"{bucket}/run.zarr")
    Remote(f"{bucket}/thing").put("data.bin", b"precious")
    with pytest.raises(InputError, match="no distbragg run"):
        publish(finished, f"{bucket}/thing")
    assert Remote(f"{bucket}/thing").get("data.bin") == b"precious"


@pytest.mark.spec("OBJ-5")
def test_second_driver_is_refused_and_a_stale_lock_taken_over(
    bucket: str, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{bucket}/run.zarr"
    publish(finished, url)
    remote = Remote(url)
    with RemoteLock(remote, heartbeat_s=0.05):
        with pytest.raises(RefusedError, match="in use by process"):
            db.resume(url, cluster="serial")
        assert status(open_run(url)).holders[0].alive
        with pytest.raises(RefusedError), RemoteLock(remote, part=(1, 2)):
            pass
        tag = lock_entries(remote)[0].changed
        threading.Event().wait(1.1)
        assert lock_entries(remote)[0].changed > tag
    assert lock_entries(remote) == []
    with RemoteLock(remote, part=(1, 2)), RemoteLock(remote, part=(2, 2)):
        pass
    here = this_process()
    away = LockHolder(here.token, "another-host", "boot", 1, 0.0)
    body = {name: getattr(away, name) for name in LockHolder.__slots__}
    remote.put(".distbragg/lock", json.dumps(body).encode())
    with pytest.raises(RefusedError, match="another-host"):
        db.resume(url, cluster="serial")
    with RemoteLock(remote, stale_s=0.0):
        pass
    assert lock_entries(remote) == []


@pytest.mark.spec("OBJ-5")
def test_of_two_that_take_a_lock_at_once_one_gets_it(bucket: str) -> None:
    remote = Remote(f"{bucket}/run.zarr")
    first = remote.put(".distbragg/lock", b"one", version="")
    with pytest.raises(FileExistsError):
        remote.put(".distbragg/lock", b"two", version="")
    remote.put(".distbragg/lock", b"three", version=first)
    with pytest.raises(FileExistsError):
        remote.put(".distbragg/lock", b"four", version=first)
    assert remote.get(".distbragg/lock") == b"three"


@pytest.mark.spec("OBJ-6")
def test_credentials_are_written_nowhere(bucket: str, finished: Path, tmp_path: Path) -> None:
    url = f"{bucket}/run.zarr"
    db.sweep(tiny_sweep(), url, cluster="serial")
    remote = Remote(url)
    for entry in remote.entries():
        assert b"very-secret" not in remote.get(entry.key)
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"very-secret" not in path.read_bytes()
    assert b"very-secret" not in pickle.dumps(open_run(url))
    with pytest.raises(InputError, match="environment") as caught:
        db.open_stack("s3://key:very-secret@bucket/run.zarr")
    assert "very-secret" not in str(caught.value)


@pytest.mark.spec("OBJ-1")
def test_commands_and_training_take_an_address(
    bucket: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{bucket}/run.zarr"
    assert main(["publish", str(finished), url]) == 0
    assert "10 of 10 units there, 10 copied" in capsys.readouterr().out
    for command in (["status"], ["verify", "--deep"], ["info"], ["card"], ["resume"]):
        assert main([command[0], url, *command[1:]]) == 0
        assert str(tmp_path / "cache") not in capsys.readouterr().out
    assert main(["export", url, "--format", "npy", "-o", str(tmp_path / "npy")]) == 0
    assert len(list((tmp_path / "npy").glob("*.npy"))) == 15
    frames = [item["frame"] for item in DataLoader(db.StackStream(url, shuffle=True))]
    assert sorted(int(frame) for frame in frames) == list(range(15))
    capsys.readouterr()
    assert main(["status", f"{bucket}/absent.zarr"]) == 2
    assert main(["status", "s3://bucket-that-is-not/run.zarr"]) in (2, 6)
    err = capsys.readouterr().err
    assert all(line.startswith("distbragg: error:") for line in err.splitlines())


def test_store_that_does_not_answer_is_an_environment_failure(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("distbragg.store.remote.RETRIES", 0)
    with pytest.raises(EnvironmentFailure, match="object store"):
        open_run(f"{bucket}/run.zarr")
    assert os.environ["AWS_ENDPOINT_URL"].endswith(":9")
