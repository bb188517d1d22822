"""What a run in one process loads: start-up is most of the time of a small image."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from distbragg.kernel import native

pytestmark = pytest.mark.skipif(not native.available(), reason=native.reason())

EXPERIMENT = {
    "beam": {"wavelength_angstrom": 1.0},
    "crystal": {"cell": [31, 37, 41, 90, 90, 90], "block_cells": [5, 6, 7]},
    "structure_factors": {"default_f_electrons": 10.0},
    "detector": {"distance_mm": 60, "pixel_size_mm": 2.0, "pixels_fast": 13, "pixels_slow": 11},
}
LIBRARIES = (
    "torch",
    "dask",
    "distributed",
    "xarray",
    "pandas",
    "scipy",
    "gemmi",
    "fabio",
    "h5py",
    "pyarrow",
    "matplotlib",
    "obstore",
    "triton",
)
OURS = (
    "distbragg.clusters.open",
    "distbragg.engine.dask_executor",
    "distbragg.predict.spots",
    "distbragg.read.geometry.crystfel",
    "distbragg.read.geometry.expt",
    "distbragg.read.geometry.image_header",
    "distbragg.read.geometry.xds",
    "distbragg.read.model",
    "distbragg.read.zarr_array",
    "distbragg.spec.cluster",
    "distbragg.spec.descriptions",
    "distbragg.spec.nanobragg",
)


@pytest.mark.parametrize("out", ["out.zarr", "out.npy"])
def test_rendering_in_this_process_loads_no_more_than_it_needs(tmp_path: Path, out: str) -> None:
    (tmp_path / "experiment.yaml").write_text(json.dumps(EXPERIMENT))
    command = ["render", "experiment.yaml", "-o", out, "--threads", "1"]
    program = (
        "import sys\nfrom distbragg.cli.main import main\n"
        f"status = main({command!r})\n"
        f"loaded = [name for name in {LIBRARIES + OURS!r} if name in sys.modules]\n"
        "sys.exit(f'loaded {loaded}' if loaded else status)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / out).exists()
