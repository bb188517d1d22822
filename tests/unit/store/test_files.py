"""What the operating system refuses is told apart: no room, which ends a run, and the rest."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from distbragg.errors import EnvironmentFailure
from distbragg.store import records
from distbragg.store.files import PiecesHash, no_room, replace_file, sha256_bytes
from distbragg.store.records import append_record


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "broken", "a/b"),
        PermissionError(errno.EACCES, "no", "c"),
        TimeoutError("long"),
    ],
)
def test_another_error_is_never_its_own_cause(error: OSError, tmp_path: Path) -> None:
    found = no_room(error, tmp_path)
    assert found is not error
    assert type(found) is type(error)
    assert str(found) == str(error)


def test_causes_of_a_failed_write_come_to_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="broken") as caught:
        replace_file(tmp_path / "object", [b"pixels"])
    causes: list[BaseException] = []
    error: BaseException | None = caught.value
    while error is not None:
        assert not any(error is known for known in causes)
        causes.append(error)
        error = error.__cause__
    assert list(tmp_path.iterdir()) == []


def test_no_room_for_a_new_file_of_records_is_no_fault_of_the_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

        def open(self, *_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(records, "os", Full())
    with pytest.raises(EnvironmentFailure, match="no space"):
        append_record(tmp_path / "receipts", {"unit": 1})


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("size", [5, 1 << 17])
def test_hashing_beside_the_wait_for_the_disk_gives_the_hash(
    size: int, begun: bool, tmp_path: Path
) -> None:
    pieces = [bytes([number]) * size for number in range(11)]
    with PiecesHash(pieces) as hashed:
        replace_file(tmp_path / "object", pieces, hashed.start if begun else None)
        found = hashed.result()
    data = b"".join(pieces)
    assert (tmp_path / "object").read_bytes() == data
    assert found == (sha256_bytes(data), len(data))
