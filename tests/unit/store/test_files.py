"""What the operating system refuses is told apart: no room, which ends a run, and the rest."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from distbragg.errors import EnvironmentFailure
from distbragg.store import records
from distbragg.store.files import no_room
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
