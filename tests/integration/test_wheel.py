"""The wheel and the source distribution: what they hold, and what an installed wheel renders."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
import yaml

from distbragg.kernel import native
from distbragg.kernel.native.record import SOURCES, read_record

from .conftest import tiny_plain

ROOT = Path(__file__).parent.parent.parent
TEMPLATES = ROOT / "distbragg" / "templates"
STAND_IN = """#!/bin/sh
case "$1" in
  --version) echo stand-in; exit;;
  -dumpmachine) echo x86_64-linux-gnu; exit;;
esac
for word; do last=$word; done
echo object > "$last"
"""
PROBE = """
import json, distbragg, distbragg.kernel.native as native
facts = distbragg.__file__, native.available(), native.reason(), native.build_id(), native.isa()
print(json.dumps(facts))
"""


def run(command: list[str], cwd: Path, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        command, cwd=cwd, env=kept | environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def build(source: Path, kind: str, folder: Path, **environment: str) -> Path:
    """Build a distribution, as pip has it built: of four processes the one that does the work."""
    hatchling = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
    run(hatchling, source, **environment)
    (made,) = folder.iterdir()
    return made


def members(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def record_in(wheel: Path) -> dict[str, Any]:
    with zipfile.ZipFile(wheel) as archive:
        found: dict[str, Any] = json.loads(
            archive.read("distbragg/kernel/native/objects/record.json")
        )
    return found


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    archive = build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))
    with tarfile.open(archive) as file:
        file.extractall(archive.parent, filter="data")
    return archive.with_name(archive.name.removesuffix(".tar.gz"))


@pytest.fixture
def source(unpacked: Path, tmp_path: Path) -> Path:
    """The source distribution, unpacked; what is compiled goes into it."""
    return Path(shutil.copytree(unpacked, tmp_path / "source"))


@pytest.mark.spec("ENG-23")
def test_a_source_distribution_compiles_into_a_wheel_of_its_platform(
    source: Path, tmp_path: Path
) -> None:
    here = source / SOURCES.relative_to(ROOT)
    assert {path.name for path in here.iterdir()} == {path.name for path in SOURCES.iterdir()}
    compiler = tmp_path / "compiler"
    compiler.write_text(STAND_IN)
    compiler.chmod(0o755)
    wheel = build(source, "wheel", tmp_path / "wheel", CXX=str(compiler))
    assert re.search(r"-py3-none-(?!any)\w+\.whl$", wheel.name)
    objects = {each["file"] for each in record_in(wheel)["objects"]}
    assert len(objects) == 3
    held = members(wheel)
    assert {f"distbragg/kernel/native/objects/{name}" for name in objects} < held
    assert not [name for name in held if "native/src" in name]
    templates = {f"distbragg/templates/{path.name}" for path in TEMPLATES.glob("*.*")}
    assert {"distbragg/templates/report.html", "distbragg/templates/style.css"} < templates < held


@pytest.mark.spec("ENG-23")
def test_without_a_compiler_the_wheel_is_for_every_platform_and_says_why(
    source: Path, tmp_path: Path
) -> None:
    wheel = build(source, "wheel", tmp_path / "wheel", CXX="no-such-compiler")
    assert wheel.name.endswith("-py3-none-any.whl")
    record = record_in(wheel)
    assert "no-such-compiler" in record["missing"]
    assert not [name for name in members(wheel) if name.endswith(".so")]


@pytest.mark.slow
@pytest.mark.skipif(not native.available(), reason=native.reason())
@pytest.mark.spec("ENG-23")
def test_an_installed_wheel_renders_with_its_kernel_where_there_is_no_compiler(
    tmp_path: Path,
) -> None:
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    made = tmp_path / "made"
    # From what this environment has: nothing is fetched.
    run([*pip, "--no-build-isolation", "--no-cache-dir", "-w", str(made), str(ROOT)], tmp_path)
    (wheel,) = made.iterdir()
    environment = tmp_path / "environment"
    run([sys.executable, "-m", "venv", "--without-pip", str(environment)], tmp_path)
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python")]
    run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], tmp_path)
    # What distbragg needs comes from the environment of the tests, distbragg itself does not:
    # a folder named in a .pth file has its own .pth files left alone.
    (site,) = environment.glob("lib/python*/site-packages")
    needed = [path for path in sys.path if path.endswith("site-packages")]
    (site / "needed.pth").write_text("".join(f"{path}\n" for path in needed))

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    bare = {"PATH": str(environment / "bin"), "HOME": str(elsewhere), "CXX": ""}
    probe = run([str(environment / "bin" / "python"), "-c", PROBE], elsewhere, **bare)
    where, usable, reason, build, isa = json.loads(probe)
    assert Path(where).is_relative_to(site)
    ours = read_record()
    assert ours is not None
    assert (usable, reason, build, isa) == (True, "", ours.build, native.isa())

    plain = tiny_plain(compute={"kernel": "auto"})
    (elsewhere / "experiment.yaml").write_text(yaml.safe_dump(plain))
    command = [
        str(environment / "bin" / "distbragg"),
        "render",
        "experiment.yaml",
        "-o",
        "out.zarr",
    ]
    run(command, elsewhere, **bare)
    stack = xr.open_zarr(elsewhere / "out.zarr")
    assert float(stack["images"].max()) > 0.0
    numeric = json.loads(stack.attrs["distbragg_numeric_class"])
    assert (numeric["kernel"], numeric["build"], numeric["isa"]) == ("native", build, isa)
    left = {path.name for path in elsewhere.rglob("*") if path.suffix in (".so", ".partial")}
    assert left == set()
