"""Objects written while their pieces are made: whole or not there, whatever goes wrong."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distbragg.errors import EnvironmentFailure
from distbragg.store import spool as spool_module
from distbragg.store.spool import FileSpool, RemoteSpool, Spool

MANY = [bytes([number]) * (70_001 + number) for number in range(67)]
"""4.7 MB: several times what is handed to the thread together."""


class FakeRemote:
    """What an object store does of an object: it takes it."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, data: bytes) -> None:
        self.objects[key] = data


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[FileSpool]:
    with FileSpool(tmp_path / "c" / "0" / "object", tmp_path / "partial" / "0.x") as spool:
        yield spool


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def summed(pieces: list[bytes]) -> tuple[str, int]:
    data = b"".join(pieces)
    return hashlib.sha256(data).hexdigest(), len(data)


@pytest.mark.spec("STK-4")
def test_object_is_seen_when_it_is_finished_and_not_before(
    spool: FileSpool, tmp_path: Path
) -> None:
    for piece in MANY:
        spool.add([piece])
    assert not spool.path.exists()
    done = spool.finish()
    assert spool.path.read_bytes() == b"".join(MANY)
    assert (done.digest, done.size) == summed(MANY)
    spool.close()
    assert files_below(tmp_path) == [spool.path]


@given(
    sizes=st.lists(st.integers(0, 9), max_size=30),
    cuts=st.lists(st.integers(1, 5), min_size=1, max_size=5),
    handed=st.integers(1, 40),
    remote=st.booleans(),
)
def test_order_is_that_of_the_pieces_however_they_are_handed_over(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    cuts: list[int],
    handed: int,
    remote: bool,
) -> None:
    folder = tmp_path_factory.mktemp("run")
    store = FakeRemote()
    pieces = [bytes([number]) * size for number, size in enumerate(sizes)]
    left = list(pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool_module, "_HANDED_OVER", handed)
        fake: Any = store
        made: Spool = (
            RemoteSpool(fake, "key") if remote else FileSpool(folder / "object", folder / "part")
        )
        with made:
            turn = 0
            while left:
                count = cuts[turn % len(cuts)]
                made.add(left[:count])
                left, turn = left[count:], turn + 1
            done = made.finish()
    stored = store.objects["key"] if remote else (folder / "object").read_bytes()
    assert stored == b"".join(pieces)
    assert (done.digest, done.size) == summed(pieces)


@pytest.mark.spec("STK-4")
def test_unfinished_object_leaves_nothing(tmp_path: Path) -> None:
    with FileSpool(tmp_path / "object", tmp_path / "partial" / "0.x") as spool:
        spool.add(MANY)
    assert files_below(tmp_path) == []


@pytest.mark.spec("STK-4")
def test_object_that_is_there_is_replaced_only_by_a_whole_one(
    spool: FileSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.path.parent.mkdir(parents=True)
    spool.path.write_bytes(b"old")
    spool.add(MANY)
    assert spool.path.read_bytes() == b"old"
    monkeypatch.setattr(os, "fsync", refuse(errno.EIO))
    with pytest.raises(OSError, match="broken"):
        spool.finish()
    assert spool.path.read_bytes() == b"old"


def refuse(number: int) -> Any:
    def refused(*_: object) -> None:
        raise OSError(number, "broken")

    return refused


def test_full_disk_is_told_by_the_next_call(
    spool: FileSpool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def writelines(self, pieces: list[bytes]) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            pass

    monkeypatch.setattr(FileSpool, "_opened", lambda _: Full())
    spool.add(MANY)
    with pytest.raises(EnvironmentFailure, match="no space left on the file system"):
        spool.finish()
    with pytest.raises(EnvironmentFailure, match="no space left on the file system"):
        spool.add(MANY)
    spool.close()
    assert files_below(tmp_path) == []


def test_causes_of_a_failed_write_come_to_an_end(
    spool: FileSpool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", refuse(errno.EIO))
    spool.add([b"pixels"])
    with pytest.raises(OSError, match="broken") as caught:
        spool.finish()
    causes: list[BaseException] = []
    error: BaseException | None = caught.value
    while error is not None:
        assert not any(error is known for known in causes)
        causes.append(error)
        error = error.__cause__
    spool.close()
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("missing", [True, False])
def test_disk_that_takes_no_advice_gets_the_bytes_all_the_same(
    spool: FileSpool, monkeypatch: pytest.MonkeyPatch, missing: bool
) -> None:
    if missing:
        monkeypatch.delattr(os, "posix_fadvise", raising=False)
    else:
        monkeypatch.setattr(os, "posix_fadvise", refuse(errno.EINVAL), raising=False)
    spool.add(MANY)
    spool.finish()
    assert spool.path.read_bytes() == b"".join(MANY)
