"""Input that was made to do harm: refused in one line, early, with nothing left behind."""

from __future__ import annotations

import os
import pickle
import pickletools
import re
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from distbragg.cli.main import main
from distbragg.engine.unit import RENDERING
from distbragg.engine.work import TaskSettings
from distbragg.errors import InputError, PlanError
from distbragg.models.tables import load_any
from distbragg.read import recognise
from distbragg.read.columns import read_table
from distbragg.read.hkl import read_hkl
from distbragg.read.miller import Asked
from distbragg.read.mtz import read_mtz
from distbragg.read.smv import read_mask, read_smv_header
from distbragg.run.create import create
from distbragg.run.prepare import prepare
from distbragg.spec.sweep import SweepSpec

from .conftest import tiny_plain

MEMORY = 64 << 20
"""Bytes that reading a small hostile file may take."""


def refused_cheaply(read: Callable[[], object], match: str | None = None) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=match) as caught:
            read()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert peak < MEMORY


LAUGHS = "a0: &a0 [lol, lol]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
YAML_CASES = {
    "alias bomb": (LAUGHS, "alias"),
    "deep lists": ("a: " + "[" * 100_000 + "]" * 100_000, "nested deeper"),
    "deep mappings": ("".join(" " * i + "a:\n" for i in range(200)), "nested deeper"),
    "NaN as a key": (".nan: 1\n", "not text"),
    "NaN as a value": ("beam:\n  wavelength_angstrom: .nan\n", "finite"),
    "Python object": ("a: !!python/object/apply:os.system ['true']\n", "YAML"),
    "key twice": ("beam: {}\nbeam: {}\n", "given twice"),
    "endless number": ("beam:\n  wavelength_angstrom: " + "9" * 5000 + "\n", "YAML"),
    "merge key": ("beam: {<<: {polarized: true}}\n", None),
}


@pytest.mark.spec("SEC-5")
@pytest.mark.parametrize("case", YAML_CASES)
def test_hostile_yaml_is_refused_before_it_grows(case: str, tmp_path: Path) -> None:
    text, match = YAML_CASES[case]
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    refused_cheaply(lambda: load_any(path), match)


def smv(size1: object, size2: object, header: int = 512, body: int = 8) -> bytes:
    text = (
        f"{{\nHEADER_BYTES={header:5d};\nSIZE1={size1};\nSIZE2={size2};\nTYPE=unsigned_short;\n}}"
    )
    return text.encode().ljust(512) + bytes(body)


SMV_CASES = {
    "size beyond the file": smv(60_000, 60_000),
    "size of exabytes": smv(10**9, 10**9),
    "size beyond number": smv("9" * 400, 4),
    "negative size": smv(-4, 4),
    "size that is not a number": smv("nan", 4),
    "header of megabytes": smv(2, 2, header=99_999_999),
    "header beyond the file": smv(2, 2, header=60_000),
}


@pytest.mark.spec("SEC-6")
@pytest.mark.parametrize("case", SMV_CASES)
def test_image_header_that_lies_about_sizes_allocates_nothing(case: str, tmp_path: Path) -> None:
    path = tmp_path / "image.img"
    path.write_bytes(SMV_CASES[case])
    refused_cheaply(lambda: read_smv_header(str(path)))


def mtz(columns: int, rows: int) -> bytes:
    lines = [f"NCOL {columns:8d} {rows:12d}        0", "CELL 50 60 70 90 90 90", "END"]
    header = "".join(line.ljust(80) for line in [*lines, "MTZENDOFHEADERS"]).encode()
    return b"MTZ " + struct.pack("<i", 22) + b"\x44\x41\0\0" + bytes(72) + b"\0\0\0\0" + header


@pytest.mark.spec("SEC-6")
@pytest.mark.parametrize("sizes", [(4, 10**9), (10**8, 10**8), (9, 999_999_999_999), (0, 0)])
def test_mtz_header_that_promises_more_rows_than_the_file_has_is_refused(
    sizes: tuple[int, int], tmp_path: Path
) -> None:
    path = tmp_path / "F.mtz"
    path.write_bytes(mtz(*sizes))
    refused_cheaply(lambda: read_mtz(str(path), Asked()))


@pytest.mark.spec("SEC-6")
def test_reflection_list_beyond_its_cap_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distbragg.read.hkl.MAXIMUM_REFLECTIONS", 100)
    path = tmp_path / "F.hkl"
    path.write_text("".join(f"{h} 0 0 1.0\n" for h in range(101)))
    refused_cheaply(lambda: read_hkl(str(path)), "more than 100 reflections")


@pytest.mark.spec("SEC-6")
@pytest.mark.parametrize(
    "content", [b"1" * (2 << 20), b"1 " * (1 << 20), b"1\n" + b"\r1" * 9 + b"7" * (2 << 20)]
)
def test_line_that_no_table_has_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "F.hkl"
    path.write_bytes(content)
    refused_cheaply(lambda: read_hkl(str(path)), "holds a line of more than")


@pytest.mark.spec("SEC-6")
def test_parquet_that_repeats_a_long_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"v": pa.array(["x" * 1_000_000] * 100)}), path, compression="zstd")
    assert path.stat().st_size < 10_000
    refused_cheaply(lambda: read_table(str(path)), "too much text")


@pytest.mark.spec("SEC-6")
@pytest.mark.parametrize("letter", ["\n", " ", "\t", "#", "0"])
def test_patterns_of_readers_take_no_quadratic_time(letter: str) -> None:
    text = letter * 20_000
    patterns: list[re.Pattern[Any]] = [
        *(recognise._REFLECTIONS, recognise._MACROMOLECULAR_REFLECTIONS, recognise._ATOMS),
        *(re.compile(foreign.pattern) for foreign in recognise.FOREIGN_LISTS if foreign.pattern),
    ]
    for pattern in patterns:
        # Where each start of a line looked through all lines below, this would end in hours.
        long = text * 50
        found = pattern.search(long.encode() if isinstance(pattern.pattern, bytes) else long)
        assert found is None, pattern.pattern


@pytest.mark.spec("SEC-6")
def test_two_reflections_that_span_a_huge_box_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "F.hkl"
    path.write_text("-30000 -30000 -30000 1\n30000 30000 30000 1\n")
    refused_cheaply(lambda: read_hkl(str(path)))


@pytest.mark.spec("SEC-6")
@pytest.mark.parametrize("kind", ["pickle", "huge"])
def test_mask_that_is_a_pickle_or_promises_a_huge_array_is_refused(
    kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "mask.npy"
    if kind == "pickle":
        np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    else:
        header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999, 99999999), }"
        header = header.ljust(117) + b"\n"
        path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    refused_cheaply(lambda: read_mask(str(path)))


def spec_file(folder: Path, name: str, plain: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(yaml.safe_dump(plain))
    return path


@pytest.mark.spec("SEC-7")
@pytest.mark.parametrize("how", ["absolute", "climbing", "link", "axis", "experiment"])
@pytest.mark.parametrize("command", ["create", "sweep", "plan"])
def test_files_outside_of_the_root_are_refused(
    how: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret, home = tmp_path / "secret.hkl", tmp_path / "home"
    secret.write_text("0 0 1 5.0\n")
    home.mkdir()
    plain = tiny_plain(structure_factors={"file": "F.hkl"})
    (home / "F.hkl").write_text("0 0 1 5.0\n")
    if how == "link":
        (home / "F.hkl").unlink()
        (home / "F.hkl").symlink_to(secret)
    elif how in ("absolute", "climbing"):
        plain["structure_factors"]["file"] = str(secret) if how == "absolute" else "../secret.hkl"
    axes = [{"name": "F", "path": "structure_factors.file", "values": ["F.hkl", "../secret.hkl"]}]
    sweep = {"experiment": plain, **({"axes": axes} if how == "axis" else {"axes": []})}
    if how == "experiment":
        spec_file(tmp_path, "other.yaml", plain)
        sweep["experiment"] = "../other.yaml"
    path = spec_file(home, "sweep.yaml", sweep)
    arguments = [command, str(path), "--root", str(home)]
    arguments += [] if command == "plan" else ["-o", str(tmp_path / "RUN")]
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert "lies outside of" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "RUN").exists()


@pytest.mark.spec("SEC-7")
@pytest.mark.parametrize("name", ["direct", "ext/w", "soft"])
def test_links_of_hdf5_do_not_lead_around_the_root(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["w"] = [11.0, 22.0]
    (tmp_path / "home").mkdir()
    with h5py.File(tmp_path / "home/shots.h5", "w") as file:
        file["wavelength_nm"] = [0.1, 0.2]
        file["ext"] = h5py.ExternalLink("../secret.h5", "/")
        file["direct"] = h5py.ExternalLink("../secret.h5", "/w")
        file["soft"] = h5py.SoftLink("/ext/w")
    spectrum = {
        "file": "shots.h5", "shot": 0, "weights_dataset": name, "channels_dataset": "wavelength_nm"
    }  # fmt: skip
    plain = tiny_plain(beam={"spectrum": spectrum})
    path = spec_file(tmp_path / "home", "experiment.yaml", plain)
    assert main(["plan", str(path), "--root", str(tmp_path / "home")]) == 2
    err = capsys.readouterr().err
    assert "is a link to another file" in err
    assert err.count("\n") == 1


@pytest.mark.spec("SEC-7")
def test_a_wider_root_and_no_root_let_a_user_name_any_file(tmp_path: Path) -> None:
    (tmp_path / "F.hkl").write_text("0 0 1 5.0\n")
    plain = tiny_plain(structure_factors={"file": "../F.hkl"})
    path = spec_file(tmp_path / "home", "experiment.yaml", plain)
    assert load_any(path) == load_any(path, root=tmp_path)


@pytest.mark.spec("SEC-7")
@pytest.mark.parametrize("kind", ["fifo", "device", "folder"])
def test_input_that_is_no_regular_file_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "F.hkl"
    if kind == "fifo":
        os.mkfifo(path)
    name = {"fifo": str(path), "device": os.devnull, "folder": str(tmp_path)}[kind]
    axes = [{"name": "F", "path": "structure_factors.file", "values": [str(tmp_path / "G"), name]}]
    (tmp_path / "G").write_text("0 0 1 5.0\n")
    plain = tiny_plain(structure_factors={"file": name})
    for sweep in ({"experiment": plain, "axes": []}, {"experiment": tiny_plain(), "axes": axes}):
        file = spec_file(tmp_path, "sweep.yaml", sweep)
        assert main(["sweep", str(file), "-o", str(tmp_path / "RUN"), "--cluster", "serial"]) == 2
        assert not (tmp_path / "RUN").exists()


BOMBS: dict[str, list[dict[str, Any]]] = {
    "frames beyond number": [
        {"name": f"a{i}", "path": path, "linspace": {"start": 1, "stop": 2, "count": 10**5}}
        for i, path in enumerate(
            ("beam.wavelength_angstrom", "goniometer.phi_deg", "detector.distance_mm")
        )
    ],
    "sources beyond memory": [
        {"name": name, "path": f"beam.divergence.{name}.steps", "values": [1, 10**6], "dim": "all"}
        for name in ("horizontal", "vertical")
    ],
}


@pytest.mark.spec("SEC-8")
@pytest.mark.parametrize("case", BOMBS)
def test_sweep_that_no_machine_holds_is_refused_by_arithmetic(case: str, tmp_path: Path) -> None:
    divergence = {name: {"range_mrad": 1.0} for name in ("horizontal", "vertical")}
    plain = tiny_plain(beam={"divergence": divergence})
    sweep = SweepSpec.model_validate({"experiment": plain, "axes": BOMBS[case]})
    out = tmp_path / "RUN"
    with pytest.raises(PlanError):
        create(sweep, out)
    assert not out.exists()


@pytest.mark.spec("SEC-8")
def test_disk_that_is_too_small_is_refused_unless_forced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = spec_file(tmp_path, "sweep.yaml", {"experiment": tiny_plain(), "axes": []})
    frame = prepare(path).plan.frame_bytes
    command = ["create", str(path), "-o", str(tmp_path / "RUN")]
    monkeypatch.setattr("distbragg.run.prepare.free_disk_bytes", lambda _: int(frame / 0.9) - 1)
    assert main(command) == 2
    assert "--force" in capsys.readouterr().err
    assert not (tmp_path / "RUN").exists()
    monkeypatch.setattr("distbragg.run.prepare.free_disk_bytes", lambda _: int(frame / 0.9) + 2)
    assert main(command) == 0
    monkeypatch.setattr("distbragg.run.prepare.free_disk_bytes", lambda _: 0)
    assert main(["create", str(path), "-o", str(tmp_path / "OTHER"), "--force"]) == 0


@pytest.mark.spec("SEC-9")
def test_tasks_travel_as_names_and_plain_data() -> None:
    tasks = [
        (RENDERING.render_unit, ("RUN", 3, 1, TaskSettings())),
        (RENDERING.expand_unit, ("RUN", 3)),
        (RENDERING.write_unit, ("RUN", 3, 1, [], TaskSettings())),
    ]
    for function, arguments in tasks:
        names = [
            arg
            for code, arg, _ in pickletools.genops(pickle.dumps((function, arguments), protocol=2))
            if code.name == "GLOBAL"
        ]
        homes = {name.split()[0] for name in names}
        assert function.__module__ == "distbragg.engine.unit"
        own = {"distbragg.engine.unit", "distbragg.engine.work"}
        assert homes <= own | {"copyreg", "builtins", "copy_reg", "__builtin__"}
