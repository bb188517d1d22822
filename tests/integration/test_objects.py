"""One suite for both places where a run may lie: a folder, and a bucket of a local S3 server."""

from __future__ import annotations

import os
import pickle
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distbragg.errors import DamageError
from distbragg.store import objects as objects_module
from distbragg.store.bucket_objects import LINES_PER_OBJECT, BucketObjects
from distbragg.store.files import sha256_bytes
from distbragg.store.local_objects import LocalObjects
from distbragg.store.objects import Objects, objects_at

MANY = [bytes([number]) * (70_001 + number) for number in range(67)]
"""4.7 MB: several times what is handed to the thread together."""

GRIDS = {"prefix/": (3, 1, 1), "two/": (2, 3, 1, 1), "one/": (1, 1), "flat/": (4,)}


@pytest.fixture(params=["folder", "bucket"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "bucket":
        return objects_at(f"{request.getfixturevalue('bucket')}/deep/run.zarr")
    (tmp_path / "run.zarr").mkdir()
    return objects_at(tmp_path / "run.zarr")


def keys(objects: Objects, prefix: str = "", **options: Any) -> list[str]:
    return sorted(entry.key for entry in objects.entries(prefix, **options))


def test_object_is_put_looked_at_read_and_deleted(objects: Objects) -> None:
    assert objects.head("a/b") is None
    tag = objects.put("a/b", b"first")
    entry = objects.head("a/b")
    assert entry is not None
    assert (entry.key, entry.size, entry.tag) == ("a/b", 5, tag)
    assert objects.get("a/b") == b"first"
    assert objects.digest("a/b") == (sha256_bytes(b"first"), 5)
    assert objects.put("a/b", b"second") != tag
    assert objects.get("a/b") == b"second"
    objects.delete("a/b")
    objects.delete("a/b")
    assert objects.head("a/b") is None
    with pytest.raises(FileNotFoundError):
        objects.get("a/b")


def test_larger_object_than_allowed_is_refused(objects: Objects) -> None:
    objects.put("a", b"12345")
    assert objects.get("a", 5) == b"12345"
    with pytest.raises(DamageError, match="larger than 4 bytes"):
        objects.get("a", 4)


def test_put_can_ask_for_absence_or_for_a_version(objects: Objects) -> None:
    first = objects.put("state/lock", b"one", version="")
    with pytest.raises(FileExistsError):
        objects.put("state/lock", b"two", version="")
    second = objects.put("state/lock", b"three", version=first)
    with pytest.raises(FileExistsError):
        objects.put("state/lock", b"four", version=first)
    assert objects.get("state/lock") == b"three"
    objects.delete("state/lock")
    with pytest.raises((FileExistsError, FileNotFoundError)):
        objects.put("state/lock", b"five", version=second)
    assert objects.head("state/lock") is None


def test_of_many_that_put_where_nothing_is_one_succeeds(objects: Objects) -> None:
    won: list[int] = []

    def attempt(number: int) -> None:
        try:
            objects.put("state/lock", b"%d" % number, version="")
        except FileExistsError:
            return
        won.append(number)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [b"%d" % number for number in won] == [objects.get("state/lock")]


def test_entries_are_those_of_a_folder_or_of_all_below_it(objects: Objects) -> None:
    for key in ("a", "b/c", "b/d/e", "bc"):
        objects.put(key, key.encode())
    assert keys(objects) == ["a", "b/c", "b/d/e", "bc"]
    assert keys(objects, "b/") == ["b/c", "b/d/e"]
    assert keys(objects, "b/", deep=False) == ["b/c"]
    assert keys(objects, deep=False) == ["a", "bc"]
    assert keys(objects, "absent/") == []
    assert {entry.size for entry in objects.entries("b/d/")} == {5}
    assert all(plain for _, plain in objects.names())


@pytest.mark.parametrize("prefix", GRIDS)
def test_objects_of_a_grid_are_found_by_their_index(objects: Objects, prefix: str) -> None:
    grid = GRIDS[prefix]
    assert objects.grid_sizes(prefix, grid) == {}
    tail = (0,) * (len(grid) - 1)
    last = tuple(count - 1 for count in grid)
    for index, data in ((last, b"123"), ((0, *tail), b"")):
        objects.put(prefix + "/".join(map(str, index)), data)
    for name in ("00", "+1", "99", "x"):
        objects.put(prefix + "/".join((name, *map(str, tail))), b"foreign")
    count = 1
    for size in grid:
        count *= size
    assert objects.grid_sizes(prefix, grid) == {0: 0} | ({count - 1: 3} if count > 1 else {})


@pytest.mark.spec("STK-4")
def test_written_object_is_seen_when_it_is_finished_and_not_before(objects: Objects) -> None:
    objects.put("c/0", b"old")
    with objects.writer("c/0") as writer:
        for piece in MANY:
            writer.add([piece])
        assert objects.get("c/0") == b"old"
        done = writer.finish()
    data = b"".join(MANY)
    assert objects.get("c/0") == data
    assert (done.digest, done.size) == (sha256_bytes(data), len(data))
    assert keys(objects) == ["c/0"]


@pytest.mark.spec("STK-4")
def test_unfinished_object_leaves_nothing(objects: Objects) -> None:
    with objects.writer("c/0") as writer:
        writer.add(MANY)
    assert keys(objects) == []


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sizes=st.lists(st.integers(0, 9), max_size=30),
    cuts=st.lists(st.integers(1, 5), min_size=1, max_size=5),
    handed=st.integers(1, 40),
)
def test_order_is_that_of_the_pieces_however_they_are_handed_over(
    objects: Objects, sizes: list[int], cuts: list[int], handed: int
) -> None:
    pieces = [bytes([number]) * size for number, size in enumerate(sizes)]
    left, turn = list(pieces), 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objects_module, "_HANDED_OVER", handed)
        with objects.writer("object") as writer:
            while left:
                count = cuts[turn % len(cuts)]
                writer.add(left[:count])
                left, turn = left[count:], turn + 1
            done = writer.finish()
    assert objects.get("object") == b"".join(pieces)
    assert (done.digest, done.size) == (sha256_bytes(b"".join(pieces)), sum(sizes))


def test_appended_lines_are_read_in_order(objects: Objects) -> None:
    appender = objects.appender("records/mine.jsonl")
    for number in range(5):
        appender.append(b"%d\n" % number)
    objects.settle()
    assert objects.get("records/mine.jsonl") == b"0\n1\n2\n3\n4\n"
    assert not appender.full


def test_bucket_begins_another_object_after_many_lines(bucket: str) -> None:
    appender = objects_at(f"{bucket}/run.zarr").appender("records/mine.jsonl")
    for _ in range(LINES_PER_OBJECT):
        assert not appender.full
        appender.append(b"\n")
    assert appender.full


def test_moved_object_has_its_new_key_alone(objects: Objects) -> None:
    objects.put("a/b", b"data")
    objects.put("c", b"taken")
    with pytest.raises(FileExistsError):
        objects.move("a/b", "c")
    objects.move("a/b", "d/e")
    assert keys(objects) == ["c", "d/e"]
    assert objects.get("d/e") == b"data"
    with pytest.raises(FileNotFoundError):
        objects.move("a/b", "f")


def test_local_file_holds_what_the_object_holds_now(objects: Objects) -> None:
    objects.put("a/name.hkl", b"one")
    first = objects.local("a/name.hkl")
    assert (first.name, first.read_bytes()) == ("name.hkl", b"one")
    assert objects.local("a/name.hkl") == first
    objects.put("a/name.hkl", b"two")
    assert objects.local("a/name.hkl").read_bytes() == b"two"
    assert objects.local("a/name.hkl", sha256_bytes(b"two")).read_bytes() == b"two"
    if isinstance(objects, BucketObjects):
        with pytest.raises(DamageError, match="SHA-256"):
            objects.local("a/name.hkl", sha256_bytes(b"three"))
    with pytest.raises(FileNotFoundError):
        objects.local("absent")


def test_objects_travel_by_their_place(objects: Objects) -> None:
    objects.put("a", b"data")
    copy = pickle.loads(pickle.dumps(objects))
    assert copy == objects
    assert hash(copy) == hash(objects)
    assert copy.get("a") == b"data"


@pytest.mark.parametrize("key", ["../a", "a//b", "/a", "a/./b", "a\0b", ""])
def test_key_that_leads_elsewhere_is_refused_in_a_folder(tmp_path: Path, key: str) -> None:
    with pytest.raises(DamageError, match="not a file of a run"):
        LocalObjects(tmp_path).put(key, b"")


def written(objects: Objects, key: str) -> None:
    with objects.writer(key) as writer:
        writer.finish()


def odd(kind: str, path: Path, victim: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(victim if kind == "folder" else victim / "id_rsa")


@pytest.mark.parametrize("kind", ["folder", "file", "fifo"])
@pytest.mark.parametrize("place", ["a", "a/b", "a/b/c"])
def test_nothing_is_done_through_links_pipes_and_devices(
    tmp_path: Path, kind: str, place: str
) -> None:
    victim, root = tmp_path / "victim", tmp_path / "run.zarr"
    victim.mkdir()
    root.mkdir()
    (victim / "id_rsa").write_bytes(b"KEY")
    (victim / "0").mkdir()
    (victim / "0" / "0").write_bytes(b"KEY")
    odd(kind, root / place, victim)
    objects, key = LocalObjects(root), "a/b/c"
    (root / "x").write_bytes(b"x")
    for action in (
        lambda: objects.get(key),
        lambda: objects.put(key, b"mine"),
        lambda: objects.put(key, b"mine", version=""),
        lambda: written(objects, key),
        lambda: objects.head(key),
        lambda: objects.digest(key),
        lambda: objects.delete(key),
        lambda: objects.move(key, "elsewhere"),
        lambda: objects.local(key),
        lambda: objects.check_plain(key),
    ):
        with pytest.raises((DamageError, FileExistsError)):
            action()
    assert keys(objects) == [".distbragg/lock.guard"] * (place == "a/b/c") + ["x"]
    assert [key for key, plain in objects.names() if not plain] == [place]
    os.makedirs(root / "grid")
    odd(kind, root / "grid" / "0", victim)
    assert objects.grid_sizes("grid/", (3, 1, 1)) == {}
    (root / "grid" / "1").mkdir()
    odd(kind, root / "grid" / "1" / "0", victim)
    assert objects.grid_sizes("grid/", (3, 1, 1)) == {}
    assert (victim / "id_rsa").read_bytes() == b"KEY"
    assert sorted(item.name for item in victim.rglob("*")) == ["0", "0", "id_rsa"]
    assert not stat.S_ISREG((root / place).lstat().st_mode)


def test_only_what_killed_writers_left_is_swept(tmp_path: Path) -> None:
    objects, partial = LocalObjects(tmp_path), tmp_path / ".distbragg" / "partial"
    partial.mkdir(parents=True)
    for key in ("images/c/0/0", "images/c/1/0"):
        (partial / f"{key.replace('/', '~')}.{'a' * 32}").write_bytes(b"half")
    (partial / "notes.txt").write_text("mine")
    (partial / f"link.{'0' * 32}").symlink_to(partial / "notes.txt")
    assert objects.sweep_partial(frozenset({"images/c/1/0", "images/c/2/0"})) == 1
    assert objects.sweep_partial() == 1
    assert sorted(os.listdir(partial)) == [f"link.{'0' * 32}", "notes.txt"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".distbragg").mkdir()
    (tmp_path / "other" / ".distbragg" / "partial").symlink_to(partial)
    with pytest.raises(DamageError, match="link"):
        LocalObjects(tmp_path / "other").sweep_partial()


def test_names_and_receipts_are_durable_in_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = LocalObjects(tmp_path)
    synced: list[str] = []
    real = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    with objects.writer("images/c/0/0") as writer:
        writer.finish()
    assert [name.startswith("images~c~0~0.") for name in synced] == [True]
    appender = objects.appender("receipts/one.jsonl")
    appender.append(b"receipt\n")
    synced.clear()
    objects.settle()
    assert sorted(synced[:-1]) == sorted(
        [tmp_path.name, ".distbragg", "images", "c", "0", "receipts"]
    )
    assert synced[-1] == "one.jsonl"
    synced.clear()
    objects.settle()
    assert synced == []
