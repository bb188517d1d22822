"""What leaves the machine tells of nobody: every published byte is searched, decompressed."""

from __future__ import annotations

import io
import os
import platform
import socket
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr
import zarr.storage

import distbragg as db
from distbragg.cli.main import main
from distbragg.run.extend import extend
from distbragg.run.gather import subset
from distbragg.run.publish import publish
from distbragg.run.repair import repair
from distbragg.run.verify import seal, verify
from distbragg.spec.load import parse_sweep
from distbragg.store.objects import Objects
from distbragg.store.run_directory import open_run

from .conftest import tiny_plain

HOST, USER, COMMAND = "secret-host", "jane-the-user", "secret-command"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of somebody's, who works in it."""
    home = tmp_path / USER
    home.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LOGNAME", USER)
    monkeypatch.setattr(socket, "gethostname", lambda: HOST)
    monkeypatch.setattr(platform, "node", lambda: HOST)
    monkeypatch.setattr(sys, "argv", ["distbragg", COMMAND, str(home / "sweep.yaml")])
    return home


def whole_run(home: Path) -> Path:
    """A run with all that one may hold: files, notes, tables, maps, a generation, a repair."""
    files = []
    for name, folder in (("F.hkl", "one"), ("F.hkl", "two"), ("bad.hkl", "three")):
        (home / folder).mkdir()
        file = home / folder / name
        file.write_text("1 0 0 5.0\n2 0 0 6.0\n" if name == "F.hkl" else "1 0 0 nonsense\n")
        files.append(str(file))
    plain = tiny_plain(
        structure_factors={"file": files[0], "default_f_electrons": 100.0},
        detector={"pixel_size_mm": 1.0},
        output={"labels": True, "label_minimum_photons": 0.0, "maps": ["hkl"]},
    )
    axes: list[dict[str, Any]] = [
        {"name": "phi", "path": "goniometer.phi_deg", "values": [0.0, 1.0, 2.0]},
        {"name": "file", "path": "structure_factors.file", "values": files[:2]},
    ]
    path = home / "run.zarr"
    db.sweep(parse_sweep({"experiment": plain, "axes": axes}), path, cluster="serial")
    more = {"experiment": plain, "axes": [{**axes[0], "values": [7.0]}, axes[1]]}
    db.resume(extend(path, parse_sweep(more)), cluster="serial")
    run = open_run(path)
    run.objects.delete(run.layout.object_name(1))
    assert repair(path, cluster="serial").repaired == (1,)
    seal(path)
    return path


def texts_of(objects: Objects) -> Iterator[tuple[str, bytes]]:
    """Yield every key, and every object as it is stored and as it reads."""
    store = objects.zarr_store()
    for entry in objects.entries():
        key, data = entry.key, objects.get(entry.key)
        yield key, key.encode()
        yield key, data
        if key.endswith(".parquet"):
            table = pq.read_table(io.BytesIO(data))
            yield key, str(pq.read_metadata(io.BytesIO(data)).metadata).encode()
            yield key, str(table.to_pydict()).encode()
        if data.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                for name in archive.namelist():
                    yield f"{key}/{name}", name.encode() + archive.read(name)
        name, _, rest = key.partition("/")
        if rest == "zarr.json" and not name.startswith("."):
            node = zarr.open(store, path=name, mode="r", zarr_format=3)
            if isinstance(node, zarr.Array) and node.ndim == 1:
                yield key, str(np.asarray(node[...]).tolist()).encode()


def leaks(objects: Objects, words: tuple[str, ...]) -> set[tuple[str, str]]:
    return {
        (key, word) for key, data in texts_of(objects) for word in words if word.encode() in data
    }


@pytest.mark.spec("OBJ-7")
def test_no_published_byte_tells_host_user_command_or_folder(home: Path, bucket: str) -> None:
    path, url = whole_run(home), f"{bucket}/run.zarr"
    subset(path, home / "part.zarr", every=2)
    words = (HOST, USER, COMMAND, str(home), os.fspath(home.parent), "LOGNAME")
    assert leaks(open_run(path).objects, words)
    for source, target in ((path, url), (home / "part.zarr", f"{bucket}/part.zarr")):
        publish(source, target)
        assert leaks(open_run(target).objects, words) == set()
        assert verify(target, level="deep").sound
    assert open_run(url).manifest.notes
    publish(path, url, provenance=True)
    assert {word for _, word in leaks(open_run(url).objects, words)} >= {HOST, USER, COMMAND}


@pytest.mark.spec("OBJ-7")
@pytest.mark.parametrize("form", ["cbf", "smv", "nxmx", "expt", "cxi", "tiff", "npy", "zarr2"])
def test_no_exported_byte_tells_them_either(form: str, home: Path) -> None:
    path, out = whole_run(home), home / "out"
    command = ["export", str(path), "--format", form, "-o", str(out), "--compression", "none"]
    assert main([*command, "--cluster", "serial"]) == 0
    words = (HOST, USER, COMMAND, str(home.parent))
    for file in out.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert [word for word in words if word.encode() in data] == [], file.name


@pytest.mark.spec("OBJ-7")
def test_note_of_a_frame_that_cannot_be_rendered_names_no_folder(home: Path, bucket: str) -> None:
    files = [home / name for name in ("good.hkl", "bad.hkl")]
    files[0].write_text("1 0 0 5.0\n")
    files[1].write_text("1 0 0 nonsense\n")
    axis = {"name": "file", "path": "structure_factors.file", "values": list(map(str, files))}
    plain = tiny_plain(structure_factors={"file": str(files[0])})
    run = db.create(parse_sweep({"experiment": plain, "axes": [axis]}), home / "run.zarr")
    publish(run, f"{bucket}/run.zarr")
    published = open_run(f"{bucket}/run.zarr")
    assert any("bad.hkl" in note.text for note in published.manifest.notes)
    assert leaks(published.objects, (str(home), USER)) == set()
