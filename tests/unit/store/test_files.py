"""What the operating system refuses is told apart: no room, which ends a run, and the rest."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from distbragg.errors import EnvironmentFailure
from distbragg.store.local_files import no_room
from distbragg.store.local_objects import LocalObjects
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
    assert isinstance(found, OSError)
    assert type(found) is type(error)
    if error.errno is None:
        assert str(found) == str(error)
    else:
        assert (found.strerror, found.filename) == (error.strerror, str(tmp_path))


def test_no_room_for_a_new_file_of_records_is_no_fault_of_the_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(EnvironmentFailure, match="no space"):
        append_record(LocalObjects(tmp_path), "receipts", {"unit": 1})
