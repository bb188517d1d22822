"""Frames with halos in closed form: the same bytes whatever tiles, threads, forms and workers.

Their spectra, of many lines, are those of single shots; so are their turns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from distributed import Client

from distbragg.clusters.open import open_client
from distbragg.engine.dask_executor import DaskExecutor
from distbragg.engine.executor import SerialExecutor, TaskSettings
from distbragg.kernel import native
from distbragg.models.build import build_experiment
from distbragg.physics.halo_sources import few_sources
from distbragg.physics.lattices import halos_of
from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec
from distbragg.store.ledger import object_digests
from distbragg.store.run_directory import RunDirectory
from tests.invariance.runs import render_units, stored

pytestmark = pytest.mark.skipif(not native.available(), reason=native.reason())

LINES = 40
SHOTS = (4, 0, 2)


def shots(folder: Path) -> Path:
    """Spectra of five shots."""
    at = np.linspace(-1.0, 1.0, LINES)
    spikes = np.random.default_rng(3).exponential(size=(5, LINES))
    with h5py.File(folder / "shots.h5", "w") as file:
        file["spectra"] = spikes * np.exp(-0.5 * ((at - 0.1) / 0.4) ** 2)
        file["energy"] = 9500.0 * (1.0 + 0.01 * at)
        file["energy"].attrs["units"] = "eV"
    return folder / "shots.h5"


def sweep(folder: Path, *, diffuse: bool = True, **compute: Any) -> SweepSpec:
    halo = {"gamma_angstrom": 25, "sigma_angstrom": 0.3, "laue_group": "-1"}
    panel = {
        "origin_mm": [60.0, 5.0, 4.0], "fast": [0, 0, 1], "slow": [0, 1, 0],
        "pixel_size_mm": 0.8, "pixels_fast": 23, "pixels_slow": 17,
    }  # fmt: skip
    beside = {**panel, "origin_mm": [60.0, 5.0, -24.0]}
    return parse_sweep(
        {
            "experiment": {
                "beam": {
                    "spectrum": {
                        "file": str(folder / "shots.h5"),
                        "weights_dataset": "spectra",
                        "channels_dataset": "energy",
                    },
                    "fluence_photons_per_m2": 1e28,
                },
                "crystal": {
                    "cell": [40, 50, 60, 80, 95, 105],
                    "block_cells": [24, 18, 15],
                    "shape": "gauss",
                    "mosaic": {"distribution": "gaussian", "spread_deg": 0.2},
                    "lattices": [{"turned_deg": [3, 0, 5]}],
                    **({"diffuse": halo} if diffuse else {}),
                },
                "goniometer": {"oscillation_deg": 0.5},
                "structure_factors": {"default_f_electrons": 30.0},
                "detector": {"panels": [panel, beside]},
                "noise": {"photon": diffuse, "seed": 5},
                "sampling": {"method": "closed_form", "dmin_angstrom": 3.2},
                "compute": {"frames_per_unit": 2, "precision": "mixed", **compute},
            },
            "axes": [
                {
                    "name": "shot",
                    "dim": "shot",
                    "path": "beam.spectrum.shot",
                    "values": list(SHOTS),
                },
                {
                    "name": "phi",
                    "dim": "shot",
                    "path": "goniometer.phi_deg",
                    "values": [0.0, 7.5, 40.0],
                },
            ],
        }
    )


@pytest.fixture(scope="module")
def spectra(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spectra")
    shots(folder)
    return folder


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, spectra: Path) -> RunDirectory:
    folder = tmp_path_factory.mktemp("reference") / "stack.zarr"
    return render_units(sweep(spectra), folder, SerialExecutor())


@pytest.mark.spec("DIF-5", "DIF-10")
def test_every_shot_has_few_sources_of_its_own(spectra: Path, reference: RunDirectory) -> None:
    spec = sweep(spectra)
    few = []
    for frame in range(len(SHOTS)):
        view = build_experiment(spec.frame_spec(frame), frame=frame)
        assert view.sampling.method == "closed_form"
        few.append(few_sources(halos_of(view)[0].experiment, 0, view.beam.sources.count))
    assert all(1 <= one[0].count < LINES // 4 and len(one) > 2 for one in few)
    assert len({one[0].weight.tobytes() for one in few}) == len(SHOTS)
    images = stored(reference)
    assert images.shape == (3, 2, 17, 23)
    assert all(image.max() > 100 for frame in images for image in frame)


@pytest.mark.spec("DIF-5", "DIF-10")
@pytest.mark.parametrize("tile", [[17, 23], [6, 5], [8, 7]])
def test_another_tiling_changes_no_bit(
    tmp_path: Path, spectra: Path, reference: RunDirectory, tile: list[int]
) -> None:
    tiled = render_units(sweep(spectra, tile=tile), tmp_path / "a", SerialExecutor())
    assert stored(tiled).tobytes() == stored(reference).tobytes()


@pytest.mark.spec("DIF-5", "DIF-10")
@pytest.mark.parametrize("form", ["unit", "graph"])
def test_threads_and_forms_change_no_byte(
    tmp_path: Path, spectra: Path, reference: RunDirectory, form: str
) -> None:
    executor = SerialExecutor(settings=TaskSettings(threads=3))
    run = render_units(sweep(spectra), tmp_path / "a", executor, form)
    assert object_digests(run) == object_digests(reference)


@pytest.mark.spec("DIF-5", "DIF-10")
@pytest.mark.cluster
def test_two_workers_store_the_same_bytes(
    tmp_path: Path, spectra: Path, reference: RunDirectory
) -> None:
    with open_client("local:2") as opened:
        client: Client = opened.client
        run = render_units(sweep(spectra), tmp_path / "a", DaskExecutor(client))
    assert object_digests(run) == object_digests(reference)
