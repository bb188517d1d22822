"""Zarr folders as single input files."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from distbragg.errors import InputError
from distbragg.store import inputs as inputs_module
from distbragg.store.inputs import copy_inputs, identify_input
from distbragg.store.local_objects import LocalObjects


def make_folder(
    path: Path, names: tuple[str, ...] = ("b/zarr.json", "a/c/0/1", "zarr.json")
) -> Path:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(name.encode() * 101)
    return path


@pytest.mark.spec("SRC-23")
def test_a_folder_becomes_one_file_of_the_same_content(tmp_path: Path) -> None:
    item = identify_input(make_folder(tmp_path / "shots.zarr"))
    assert item.name == "shots.zarr.zip"
    copy_inputs({"x": item}, LocalObjects(tmp_path))
    with zipfile.ZipFile(tmp_path / ".distbragg" / "inputs" / item.sha256 / item.name) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a/c/0/1", "b/zarr.json", "zarr.json"]
        assert archive.read("a/c/0/1") == b"a/c/0/1" * 101


def test_its_hash_depends_on_names_and_contents_alone(tmp_path: Path) -> None:
    first = make_folder(tmp_path / "one" / "shots.zarr")
    second = make_folder(tmp_path / "two" / "shots.zarr", ("zarr.json", "a/c/0/1", "b/zarr.json"))
    os.utime(second / "zarr.json", (0, 0))
    assert identify_input(first).sha256 == identify_input(second).sha256
    (second / "zarr.json").write_bytes(b"other")
    assert identify_input(first).sha256 != identify_input(second).sha256


def test_links_and_folders_that_are_too_large_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(tmp_path / "shots.zarr")
    monkeypatch.setattr(inputs_module, "MAXIMUM_BYTES", 1000)
    with pytest.raises(InputError, match="holds more than 1000 bytes"):
        identify_input(folder)
    monkeypatch.undo()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match="link is a link"):
        identify_input(folder)


def test_other_folders_are_no_files(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "folder")
    # A Zarr folder is one whatever it is called, as runs are.
    assert identify_input(folder).name == "folder.zarr.zip"
    (folder / "zarr.json").unlink()
    with pytest.raises(InputError, match="is not a file"):
        identify_input(folder)
