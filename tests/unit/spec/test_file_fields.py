"""Fields that name files: found by their type, confined by --root, shown by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from distbragg.cli.main import main
from distbragg.errors import InputError
from distbragg.models.tables import load_any
from distbragg.spec.files import file_fields
from distbragg.spec.paths import field_paths, file_labels, file_paths, names_file

PANEL = {"origin_mm": [50, 5, -10], "fast": [0, 0, 1], "slow": [0, -1, 0]}
LISTS = {
    "background.materials": {"file": "first.txt", "thickness_um": 1},
    "crystal.lattices": {},
    "detector.panels": PANEL,
    "structure_factors.anomalous_elements": {"element": "Fe"},
    "structure_factors.models": {"file": "first.txt"},
    "structure_factors.channels": {"file": "first.txt", "sources": [0]},
}
FIXED = {("header_files", "path")}
"""Files that no axis can set: a header may change the shape of a frame."""


def plain(names: tuple[str, ...]) -> dict[str, Any]:
    """An experiment in which the section of a file field stands."""
    spec: dict[str, Any] = {
        "beam": {"wavelength_angstrom": 1.0},
        "crystal": {"cell": [40, 50, 60, 90, 90, 90]},
        "structure_factors": {"default_f_electrons": 10},
        "detector": {"pixels_fast": 9, "pixels_slow": 7, "pixel_size_mm": 1},
        "sampling": {"oversample": 1},
    }
    if names == ("detector", "geometry_file"):
        spec["detector"] = {}
    if (first := LISTS.get(".".join(names[:2]))) is not None:
        spec.setdefault(names[0], {})[names[1]] = [dict(first)]
    if names[0] == "structure_factors" and len(names) > 2:
        spec["structure_factors"].pop("default_f_electrons")
    if names[:2] == ("beam", "spectrum"):
        spec["beam"] = {"spectrum": {"file": "first.txt"}}
    return spec


def path_of(names: tuple[str, ...]) -> str:
    path = ".".join(names)
    for section in LISTS:
        path = path.replace(f"{section}.", f"{section}.0.")
    return path


def write(folder: Path, document: dict[str, Any]) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(document))
    return str(path)


@pytest.mark.spec("SEC-7")
def test_every_field_that_is_named_like_a_file_is_marked_as_one() -> None:
    named = {path for path in field_paths() if path.endswith(("file", "file.path"))}
    assert named
    assert all(names_file(path) for path in named)
    assert names_file("detector.panels.3.mask_file")
    assert names_file("header_files.0.path")
    in_lists = {"path", "table_file"}
    assert {names[-1] for names in file_paths()} == {
        path.rpartition(".")[2] for path in named
    } | in_lists


@pytest.mark.spec("SEC-7")
@pytest.mark.parametrize("names", sorted(file_paths() - FIXED))
@pytest.mark.parametrize("name", ["../outside.txt", "link.txt"])
def test_no_axis_leads_out_of_the_root(
    names: tuple[str, ...], name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "outside.txt").write_text("1 2 3 4 5\n")
    (home / "link.txt").symlink_to(tmp_path / "outside.txt")
    axis = {"name": "swept", "path": path_of(names), "values": [name, name]}
    document = {"experiment": plain(names), "axes": [axis]}
    assert main(["plan", write(home, document), "--root", str(home)]) == 2
    message = capsys.readouterr().err
    assert "lies outside of" in message
    assert message.count("\n") == 1


@pytest.mark.spec("SEC-7")
@pytest.mark.parametrize("names", sorted(file_paths()))
def test_no_field_leads_out_of_the_root(names: tuple[str, ...], tmp_path: Path) -> None:
    spec = plain(names)
    if names in FIXED:
        spec["header_files"] = [{"path": "../outside.txt", "role": "image"}]
    else:
        node: Any = spec
        for part in path_of(names).split(".")[:-1]:
            node = node[int(part)] if part.isdecimal() else node.setdefault(part, {})
        node[names[-1]] = "../outside.txt"
    home = tmp_path / "home"
    path = write(home, spec)
    with pytest.raises(InputError, match="lies outside of"):
        load_any(path, root=home)


@pytest.mark.spec("SEC-7")
@pytest.mark.parametrize("names", sorted(file_paths() - FIXED))
def test_relative_names_of_an_axis_are_taken_from_the_folder_of_the_file(
    names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    axis = {"name": "swept", "path": path_of(names), "values": ["a.txt", "b.txt"]}
    path = write(tmp_path / "home", {"experiment": plain(names), "axes": [axis]})
    monkeypatch.chdir(tmp_path)
    sweep = load_any(path)
    found = [name for field, name in file_fields(sweep) if field.startswith("axes.")]
    assert found == [str(tmp_path / "home" / name) for name in ("a.txt", "b.txt")]


@pytest.mark.spec("SWP-5")
def test_files_are_labelled_by_name_and_by_folder_where_names_repeat() -> None:
    assert file_labels(["/x/a.pdb", "/y/b.pdb", "/x/a.pdb"]) == ["a.pdb", "b.pdb", "a.pdb"]
    assert file_labels(["/x/q/a.pdb", "/y/q/a.pdb", "/x/b.pdb"]) == [
        "x/q/a.pdb",
        "y/q/a.pdb",
        "b.pdb",
    ]
    stored = [f"input:{digit * 64}/a.pdb" for digit in "12"]
    assert file_labels(stored) == ["11111111/a.pdb", "22222222/a.pdb"]
    moved = [name.replace("input:", "/run/.distbragg/inputs/") for name in stored]
    assert file_labels(moved) == file_labels(stored)
