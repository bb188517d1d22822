"""Hashes, positions and images do not depend on which kernels a BLAS library picks.

OpenBLAS takes the kernels of the processor that it finds, or of OPENBLAS_CORETYPE, and they
round their products differently. Run as a program, this file prints the digests of what it
makes, by name; the tests compare those of processes that were given different core types.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
CORE_TYPES = ("Prescott", "Haswell", "SkylakeX")
"""Kernels for SSE3, AVX2 and AVX-512."""

NEEDS = {"Prescott": "pni", "Haswell": "avx2", "SkylakeX": "avx512f"}
"""Flag of /proc/cpuinfo without which the kernels stop at an illegal instruction."""

SEEDS = 3
WITNESS = "witness"
"""A library product, which is expected to differ: without it the tests would show nothing."""


def _digest(*arrays: Any) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _experiment(random: np.random.Generator, **changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "beam": {"wavelength_angstrom": 1.0},
        "detector": {
            "distance_mm": 60.0,
            "pixels_slow": 24,
            "pixels_fast": 24,
            "pixel_size_mm": 4.0,
        },
        "crystal": {
            "cell": [40 + random.random(), 50, 60, 80, 95 + random.random(), 105],
            "block_cells": [4, 5, 6],
        },
        "structure_factors": {"default_f_electrons": 10.0},
        # Of predictions, which look at every reflection up to there.
        "sampling": {"oversample": 1, "dmin_angstrom": 2.2},
    }
    for name, value in changes.items():
        plain[name] = {**plain.get(name, {}), **value}
    return plain


def _orientations(random: np.random.Generator, folder: Path) -> dict[str, dict[str, Any]]:
    """Specifications whose crystals are set in every way there is."""
    angles = (random.uniform(-180, 180, 3)).tolist()
    quaternion = random.normal(size=4)
    x, y, z, w = quaternion / np.sqrt((quaternion**2).sum())
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    columns = np.round(turn, 5) / 40.0
    matrix = folder / "a.mat"
    matrix.write_text("\n".join(" ".join(f"{v:.8f}" for v in row) for row in columns))
    ways: dict[str, dict[str, Any]] = {
        "u_matrix": {"u_matrix": np.round(turn, 6).ravel().tolist()},
        "euler intrinsic": {"euler_deg": angles, "euler_axes": "ZXZ"},
        "euler extrinsic": {"euler_deg": angles, "euler_axes": "xyz"},
        "misset": {"misset_deg": angles},
        "quaternion": {"quaternion_xyzw": quaternion.tolist()},
        "matrix file": {"matrix_file": str(matrix), "cell": None},
        "gaussian domains": {
            "u_matrix": turn.ravel().tolist(),
            "mosaic": {"spread_deg": 0.5, "domains": 6, "distribution": "gaussian"},
        },
        "gauss": {"shape": "gauss", "misset_deg": angles},
        "tophat": {"shape": "tophat", "misset_deg": angles},
    }
    made = {name: _experiment(random, crystal=crystal) for name, crystal in ways.items()}
    for scan in ("omega", "phi"):
        kappa = {"scan": scan, "kappa_deg": angles[0], "fixed_deg": angles[1], "alpha_deg": 50}
        goniometer = {"phi_deg": angles[2], "oscillation_deg": 1, "steps": 3, "kappa": kappa}
        made[f"kappa {scan}"] = _experiment(random, goniometer=goniometer)
    return made


def _goniometer_files(random: np.random.Generator, folder: Path) -> dict[str, str]:
    """What a list of crystals on a goniometer of three axes becomes."""
    from distbragg.models.rotations import orientation_of
    from distbragg.read.geometry.expt import read_expt
    from tests.geometry_files import expt

    axes = (random.normal(size=(3, 3))).tolist()
    goniometer = {"axes": axes, "angles": [11.0, 23.0, 37.0], "scan_axis": 1, "names": ["a"] * 3}
    crystal = {
        "__id__": "crystal",
        "real_space_a": [40.1, 0.3, 0.7],
        "real_space_b": [-2.3, 50.7, 1.1],
        "real_space_c": [3.1, -4.7, 60.3],
        "space_group_hall_symbol": "P 1",
    }
    path = folder / "list.expt"
    path.write_text(json.dumps(expt(goniometer=[goniometer], crystal=[crystal])))
    geometry = read_expt(str(path))
    assert geometry.real_space is not None
    return {
        "expt axes": _digest(geometry.real_space, geometry.spindle),
        "expt orientation": _digest(orientation_of(np.array(geometry.real_space))),
    }


def numbers(folder: Path) -> dict[str, str]:
    """Digests of everything made, by name."""
    from distbragg.models.build import build_experiment
    from distbragg.models.experiment import physics_hash
    from distbragg.predict.spots import predict_spots
    from distbragg.run.render import render_image
    from distbragg.spec.load import parse_spec

    random = np.random.default_rng(5)
    found = {WITNESS: _digest(*(part @ part.T for part in random.normal(size=(9, 150, 151))))}
    for seed in range(SEEDS):
        random = np.random.default_rng(seed)
        for name, plain in _orientations(random, folder).items():
            spec = parse_spec(plain)
            experiment = build_experiment(spec)
            found[f"{name} {seed}"] = physics_hash(experiment)
            if seed == 0:
                brightest = 0.0
                spots = predict_spots(experiment)
                found[f"{name} {seed} spots"] = _digest(*spots.columns().values())
                for precision, share in (("mixed", 0.0), ("float64", 0.0), ("mixed", 1e-3)):
                    sampling = {"oversample": 1, "tolerance_photons": share * brightest}
                    chosen = {"compute": {"precision": precision}, "sampling": sampling}
                    image = render_image(parse_spec({**plain, **chosen}), threads=1)
                    assert image.max() > 0.0, name
                    brightest = float(image.max())
                    found[f"{name} {seed} image, {precision} {share}"] = _digest(image)
        found |= {f"{k} {seed}": v for k, v in _goniometer_files(random, folder).items()}
    return found


def _oldest_and_newest() -> set[str]:
    """The core types furthest apart of those that run here: each takes a process of seconds."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="ascii").split())
    except OSError:
        return set()
    supported = [name for name in CORE_TYPES if NEEDS[name] in flags]
    return {*supported[:1], *supported[-1:]}


@pytest.fixture(scope="module")
def by_core_type() -> dict[str, dict[str, str]]:
    found = {}
    for core_type in _oldest_and_newest():
        done = subprocess.run(
            [sys.executable, __file__],
            env={**os.environ, "OPENBLAS_CORETYPE": core_type, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found[core_type] = json.loads(done.stdout)
    if len({numbers[WITNESS] for numbers in found.values()}) < 2:
        pytest.skip("numpy's linear algebra does not follow OPENBLAS_CORETYPE here")
    return found


@pytest.mark.spec("ENG-22")
def test_the_bits_are_the_same_under_every_core_type(
    by_core_type: dict[str, dict[str, str]],
) -> None:
    first, *others = by_core_type
    for other in others:
        differing = [
            name
            for name, digest in by_core_type[first].items()
            if name != WITNESS and digest != by_core_type[other][name]
        ]
        assert not differing, f"{first} against {other}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        sys.stdout.write(json.dumps(numbers(Path(scratch))))
