"""An installation without torch, which is an extra: what it renders, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from distbragg.errors import ExitStatus
from distbragg.kernel import native
from distbragg.run.create import create
from distbragg.run.resume import resume
from tests import loaded

from .conftest import digests_of, tiny_plain, tiny_sweep

needs_native = pytest.mark.skipif(not native.available(), reason=native.reason())

HIDDEN = """
import importlib.machinery
import sys

find = importlib.machinery.PathFinder.find_spec


def without_torch(name, path=None, target=None):
    return None if name.split(".")[0] == "torch" else find(name, path, target)


importlib.machinery.PathFinder.find_spec = without_torch
"""
"""Every process started in such a folder, a worker too, finds no torch."""

COMMAND = (
    HIDDEN
    + """
import runpy

assert "torch" not in sys.modules
runpy.run_module("distbragg", run_name="__main__", alter_sys=True)
"""
)
"""What a process does that has been forked off one without torch."""


def hiding(folder: Path) -> dict[str, str]:
    hidden = folder / "hidden"
    hidden.mkdir(exist_ok=True)
    (hidden / "sitecustomize.py").write_text(HIDDEN)
    path = os.pathsep.join([str(hidden), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}


def run(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=hiding(folder),
        capture_output=True,
        text=True,
        check=False,
    )


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return loaded.run(["-c", COMMAND, *words], hiding(folder), folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert run(tmp_path, "import torch").returncode == 1
    return tmp_path


SHAPES: dict[str, dict[str, Any]] = {
    "sampled": {"compute": {"kernel": "auto"}, "noise": {"photon": True, "seed": 3}},
    "closed form": {
        "crystal": {
            "shape": "gauss",
            "mosaic": {"distribution": "gaussian", "spread_deg": 0.3},
            "lattices": [{"misset_deg": [3, 4, 5]}],
        },
        # None beyond it comes near the detector, and to look for them takes most of the time.
        "sampling": {"dmin_angstrom": 10.0},
        "background": {"materials": [{"name": "water", "thickness_um": 100}]},
        "compute": {"kernel": "auto"},
        "noise": {"photon": True, "seed": 3},
    },
    "of the C program": {"physics": "nanobragg", "compute": {"kernel": "auto"}},
}


@needs_native
@pytest.mark.slow
@pytest.mark.spec("ENG-33")
@pytest.mark.parametrize("name", list(SHAPES))
def test_the_same_frames_are_rendered_without_torch(folder: Path, name: str) -> None:
    sweep = tiny_sweep(**SHAPES[name]).model_dump(mode="json", exclude_unset=True)
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    workers = ["--workers", "2"] if name == "closed form" else []
    done = command(folder, "sweep", "sweep.yaml", "-o", "bare.zarr", *workers)
    assert done.returncode == 0, done.stderr
    resume(create(tiny_sweep(**SHAPES[name]), folder / "full.zarr"), cluster="serial")
    assert digests_of(folder / "bare.zarr") == digests_of(folder / "full.zarr")


@needs_native
@pytest.mark.spec("ENG-33")
def test_labels_plans_and_the_selftest_need_no_torch(folder: Path) -> None:
    plain = tiny_plain(compute={"kernel": "auto"}, output={"labels": True})
    (folder / "e.yaml").write_text(yaml.safe_dump(plain))
    for words in (["plan", "e.yaml"], ["selftest"], ["sweep", "e.yaml", "-o", "out.zarr"]):
        done = command(folder, *words)
        assert done.returncode == 0, done.stderr


@pytest.mark.spec("ENG-33")
@pytest.mark.parametrize(
    ("compute", "what"),
    [
        ({"kernel": "model"}, "compute.kernel: the model kernel"),
        ({"device": "cuda"}, "compute.device: cuda"),
        ({"kernel": "auto"}, "output.maps, hkl or lattice of steps,"),
    ],
)
def test_what_needs_torch_names_the_extra(folder: Path, compute: dict[str, Any], what: str) -> None:
    maps = {"maps": ["hkl"]} if "maps" in what else {}
    (folder / "e.yaml").write_text(yaml.safe_dump(tiny_plain(compute=compute, output=maps)))
    command_of, out = ("sweep", "x.zarr") if maps else ("render", "x.npy")
    done = command(folder, command_of, "e.yaml", "-o", out)
    assert done.returncode == ExitStatus.ENVIRONMENT
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].endswith(
        f"{what} needs torch: pip install 'distbragg[torch]'"
    )
    assert not (folder / "x.npy").exists()


@pytest.mark.spec("ENG-33")
@pytest.mark.parametrize("name", ["StackDataset", "StackStream", "render_tensor"])
def test_public_names_of_torch_name_the_extra(folder: Path, name: str) -> None:
    done = run(folder, f"import distbragg; distbragg.{name}")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: distbragg.{name} needs torch: pip install 'distbragg[torch]'"
    )
