"""Runs on an object store: a local S3 server stands for it."""

from __future__ import annotations

import contextlib
import os
import pickle
import platform
import re
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.utils.data import DataLoader

import distbragg as db
from distbragg.cli.main import main
from distbragg.errors import EnvironmentFailure, InputError, RefusedError
from distbragg.run.card import card
from distbragg.run.extend import extend
from distbragg.run.publish import publish
from distbragg.run.repair import repair
from distbragg.run.status import status
from distbragg.run.verify import seal, verify
from distbragg.store.bucket_objects import BucketObjects
from distbragg.store.lease import Lease, lease_holders
from distbragg.store.ledger import object_digests
from distbragg.store.run_directory import open_run

from .conftest import AXES, digests_of, tiny_sweep


@pytest.mark.spec("OBJ-1")
def test_sweep_on_an_object_store_gives_the_bytes_of_one_on_disk(
    bucket: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{bucket}/deep/run.zarr"
    result = db.sweep(tiny_sweep(), url, cluster="serial")
    assert (result.done, str(result.path)) == (15, url)
    assert object_digests(open_run(url)) == digests_of(finished)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    elsewhere = open_run(url)
    assert status(elsewhere).state == "finished"
    assert verify(url, level="deep", audit=2).sound
    stack, local = db.open_stack(url), db.open_stack(finished)
    np.testing.assert_array_equal(stack.images, local.images)
    assert bool(stack.rendered.all())
    assert db.resume(url, cluster="serial").nothing_to_do
    assert db.create(tiny_sweep(), url).run_id == elsewhere.run_id


def test_card_of_a_run_in_a_bucket_tells_its_address(bucket: str) -> None:
    url = f"{bucket}/run.zarr"
    text = card(db.create(tiny_sweep(), url))
    assert f'db.open_stack("{url}")' in text
    assert "# tiny" in text


@pytest.mark.spec("OBJ-10")
def test_lines_of_the_card_open_the_run_by_xarray_alone(
    bucket: str, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{bucket}/run.zarr"
    publish(finished, url)
    text = card(url)
    # The test's server speaks plain HTTP, which obstore takes on request alone.
    assert "`AWS_ALLOW_HTTP=true`" in text
    (lines,) = re.findall(r"```python\n(import xarray.*?)```", text, re.DOTALL)
    assert "distbragg" not in lines
    made: dict[str, Any] = {}
    exec(lines, made)
    np.testing.assert_array_equal(made["stack"].images, db.open_stack(finished).images)
    assert made["stack"]["phi"].values.tolist() == AXES[0]["values"]
    plain = BucketObjects(url).plain_http
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://s3.example.org")
    assert (plain, BucketObjects(url).plain_http) == (True, False)


@pytest.mark.spec("OBJ-2")
def test_a_writer_has_one_object_of_receipts_and_the_manifest_comes_last(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[str] = []
    put = BucketObjects.put

    def noted(self: BucketObjects, key: str, data: bytes, *, version: str | None = None) -> str:
        keys.append(key)
        return put(self, key, data, version=version)

    monkeypatch.setattr(BucketObjects, "put", noted)
    run = db.create(tiny_sweep(), f"{bucket}/run.zarr")
    assert keys[-2:] == [".distbragg/manifest.json", keys[-1]]
    assert keys[-1].startswith(".distbragg/grids/")
    keys.clear()
    db.resume(run, cluster="serial")
    work = [key for key in keys if "lock" not in key]
    assert [key.startswith("images/c/") for key in work] == [True, False] * run.layout.units
    assert len({key for key in work if "/receipts/" in key}) == 1


@pytest.mark.spec("OBJ-2")
@pytest.mark.parametrize("after", ["object", "receipt"])
def test_run_killed_on_the_way_is_resumed_to_the_same_bytes(
    after: str, bucket: str, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{bucket}/run.zarr"
    run = db.create(tiny_sweep(), url)
    puts = iter(range(1000))
    put = BucketObjects.put

    def stopping(self: BucketObjects, key: str, data: bytes, *, version: str | None = None) -> str:
        done = put(self, key, data, version=version)
        wanted = "images/c/" if after == "object" else "/receipts/"
        if wanted in key and next(puts) == 3:
            raise KeyboardInterrupt
        return done

    with monkeypatch.context() as patch:
        patch.setattr(BucketObjects, "put", stopping)
        with pytest.raises(KeyboardInterrupt):
            db.resume(run, cluster="serial")
    assert status(open_run(url)).frames_done < 15
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
    run = open_run(url)
    assert [run.objects.get(name) for name in names] == [
        (here / name).read_bytes() for name in names
    ]
    spots, local = db.open_labels(url), db.open_labels(here)
    assert spots["h"].size > 0
    for name, column in local.items():
        np.testing.assert_array_equal(spots[name], column)
    run.objects.delete(names[0])
    run.objects.put(names[1], b"other")
    damaged = verify(url, level="full").damaged
    assert [(item.unit, item.kind) for item in damaged] == [(0, "labels"), (1, "labels")]
    assert repair(url, cluster="serial").repaired == (0, 1)
    assert verify(url, level="deep").sound
    assert run.objects.get(names[0]) == (here / names[0]).read_bytes()


@pytest.mark.spec("OBJ-3")
def test_damage_is_found_and_repaired(bucket: str, finished: Path) -> None:
    url = f"{bucket}/run.zarr"
    publish(finished, url)
    run = open_run(url)
    remote = run.objects
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
    assert status(open_run(url)).state == "sealed"


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
    assert publish(path, url).copied == 4
    stack = db.open_stack(url)
    np.testing.assert_array_equal(stack.images, db.open_stack(path).images)
    assert stack.sizes["phi"] == 7
    assert verify(url, level="deep").sound


@pytest.fixture(scope="module")
def small_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run in two units, and the same once it has grown by one."""
    folder = tmp_path_factory.mktemp("grown")
    old = tiny_sweep([{**AXES[0], "values": [0.0, 1.0]}, AXES[1]], compute={"frames_per_unit": 3})
    for name in ("old", "grown"):
        db.sweep(old, folder / name, cluster="serial")
    db.resume(extend(folder / "grown", MORE), cluster="serial")
    return folder / "old", folder / "grown"


@pytest.fixture(scope="module")
def old_images(small_runs: tuple[Path, Path]) -> np.ndarray[Any, Any]:
    return db.open_stack(small_runs[0]).images.values


GROWING = 11  # puts and deletes of an extension on a store, the lease left out
MORE = tiny_sweep([{**AXES[0], "values": [7.0]}], compute={"frames_per_unit": 3})


@pytest.mark.spec("OBJ-9")
@pytest.mark.parametrize("step", range(GROWING + 1))
def test_extension_cut_short_anywhere_leaves_the_old_run_and_is_finished_by_the_same_call(
    step: int,
    bucket: str,
    small_runs: tuple[Path, Path],
    old_images: np.ndarray[Any, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stop before every put and delete that an extension makes; at the last step none is left."""
    url = f"{bucket}/run.zarr"
    before, grown = small_runs
    publish(before, url)
    steps = iter(range(1000))
    with monkeypatch.context() as patch:
        for name in ("put", "delete"):
            real = getattr(BucketObjects, name)

            def change(
                objects: BucketObjects, key: str, *given: Any, real: Any = real, **named: Any
            ) -> Any:
                if "lock" not in key and next(steps) == step:
                    raise KeyboardInterrupt
                return real(objects, key, *given, **named)

            patch.setattr(BucketObjects, name, change)
        stopped = step < GROWING
        with pytest.raises(KeyboardInterrupt) if stopped else contextlib.nullcontext():
            extend(url, MORE)
    seen = db.open_stack(url)
    np.testing.assert_array_equal(seen.images.values[:2], old_images)
    assert int(seen.rendered.sum()) == 6
    assert verify(url).sound
    db.resume(extend(url, MORE), cluster="serial")
    assert object_digests(open_run(url)) == digests_of(grown)
    assert not any("extension" in entry.key for entry in BucketObjects(url).entries())
    assert verify(url, level="deep").sound


@pytest.mark.spec("OBJ-4")
def test_what_is_there_is_never_overwritten(bucket: str, finished: Path) -> None:
    publish(finished, f"{bucket}/run.zarr")
    other = tiny_sweep(structure_factors={"default_f_electrons": 70.0})
    with pytest.raises(RefusedError, match="another run"):
        db.create(other, f"{bucket}/run.zarr")
    BucketObjects(f"{bucket}/thing").put("data.bin", b"precious")
    with pytest.raises(InputError, match="not a distbragg run"):
        publish(finished, f"{bucket}/thing")
    assert BucketObjects(f"{bucket}/thing").get("data.bin") == b"precious"


@pytest.mark.spec("OBJ-5")
def test_second_driver_is_refused(bucket: str, finished: Path) -> None:
    url = f"{bucket}/run.zarr"
    publish(finished, url)
    objects = BucketObjects(url)
    with Lease(objects):
        with pytest.raises(RefusedError, match="in use by process"):
            db.resume(url, cluster="serial")
        assert status(open_run(url)).holders[0].alive
        with pytest.raises(RefusedError), Lease(objects, part=(1, 2)):
            pass
    with Lease(objects, part=(1, 2)), Lease(objects, part=(2, 2)):
        assert len(lease_holders(objects)) == 2
    assert lease_holders(objects) == ()


@pytest.mark.spec("OBJ-6")
def test_credentials_are_written_nowhere(bucket: str, finished: Path, tmp_path: Path) -> None:
    url = f"{bucket}/run.zarr"
    db.sweep(tiny_sweep(), url, cluster="serial")
    remote = BucketObjects(url)
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
    assert "10 of 10 units present, 10 copied" in capsys.readouterr().out
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


def test_options_of_the_store_and_of_its_client_stand_in_for_the_environment(
    bucket: str, server: str, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(finished, f"{bucket}/run.zarr")
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(name)
    options = {
        "endpoint_url": server,
        "access_key_id": "key",
        "secret_access_key": "very-secret",
        "region": "us-east-1",
    }
    for more in ({}, {"allow_http": "true", "timeout": "20s"}):
        stack = db.open_stack(f"{bucket}/run.zarr", storage_options={**options, **more})
        assert bool(stack.rendered.all())
        assert float(stack.images.sum()) == float(db.open_stack(finished).images.sum())
    with pytest.raises(InputError, match=r"storage_options: .*'key'.*access_key_id"):
        db.open_stack(f"{bucket}/run.zarr", storage_options={"key": "a", "secret": "b"})


def test_store_that_does_not_answer_is_an_environment_failure(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("distbragg.store.bucket_objects.RETRIES", 0)
    with pytest.raises(EnvironmentFailure, match="object store"):
        open_run(f"{bucket}/run.zarr")
    assert os.environ["AWS_ENDPOINT_URL"].endswith(":9")


@pytest.mark.spec("OBJ-7")
def test_published_run_tells_nobody_who_made_it_unless_asked(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "jane-the-user")
    monkeypatch.setattr(socket, "gethostname", lambda: "secret-host")
    monkeypatch.setattr(platform, "node", lambda: "secret-host")
    monkeypatch.setattr(sys, "argv", ["distbragg", "sweep", "jane-the-user/secret.yaml"])
    (tmp_path / "jane-the-user").mkdir()
    table = tmp_path / "jane-the-user" / "F.hkl"
    table.write_text("1 0 0 5.0\n2 0 0 6.0\n")
    sweep = tiny_sweep(structure_factors={"file": str(table)})
    path, url = tmp_path / "RUN", f"{bucket}/run.zarr"
    db.sweep(sweep, path, cluster="serial")
    more = tiny_sweep(axes=[{**AXES[0], "values": [7.0]}], structure_factors={"file": str(table)})
    db.resume(extend(path, more), cluster="serial")
    seal(path)
    publish(path, url)
    found = {
        entry.key: open_run(url).objects.get(entry.key) for entry in BucketObjects(url).entries()
    }
    assert any(b"host-1" in data for data in found.values())
    for key, data in found.items():
        assert b"secret" not in data, key
        assert b"jane-the-user" not in data, key
        assert b"secret" not in key.encode()
    assert verify(url, level="deep").sound
    assert status(open_run(url)).state == "sealed"
    publish(path, url, provenance=True)
    manifest = BucketObjects(url).get(".distbragg/manifest.json")
    assert b"secret-host" in manifest
    assert b"jane-the-user" in manifest
    assert verify(url, level="deep").sound


@pytest.mark.spec("CLI-2")
def test_an_address_of_nothing_is_said_to_be_not_found(
    bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", f"{bucket}/absent.zarr"]) == 2
    said = "absent.zarr: not found; give the path or address of a run\n"
    assert capsys.readouterr().err.endswith(said)


@pytest.mark.spec("OBJ-1")
def test_missing_bucket_is_told_in_one_line(bucket: str) -> None:
    url = f"{bucket}-missing/run.zarr"
    for action in (lambda: db.create(tiny_sweep(), url), lambda: db.open_stack(url)):
        with pytest.raises(EnvironmentFailure) as caught:
            action()
        assert "NoSuchBucket: The specified bucket does not exist" in str(caught.value)
        assert not set("<>\n") & set(str(caught.value))
