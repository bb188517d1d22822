"""Tiny real sweeps: fifteen frames of 17 x 23 pixels, in ten units."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from distbragg.engine.context import RunContext
from distbragg.engine.executor import SerialExecutor
from distbragg.run.create import create
from distbragg.run.resume import resume
from distbragg.spec.sweep import SweepSpec
from distbragg.store.ledger import done_units, object_digests
from distbragg.store.run_directory import RunDirectory, open_run
from tests.buckets import make_bucket, s3_server

AXES: tuple[dict[str, Any], ...] = (
    {"name": "phi", "path": "goniometer.phi_deg", "values": [0.0, 1.0, 2.0, 3.0, 4.0]},
    {"name": "spread", "path": "crystal.mosaic.spread_deg", "values": [0.1, 0.2, 0.3]},
)


def tiny_plain(**changes: Any) -> dict[str, Any]:
    """Plain experiment; `changes` replace or extend its sections."""
    plain: dict[str, Any] = {
        "title": "tiny",
        "beam": {"wavelength_angstrom": 1.0, "fluence_photons_per_m2": 1e24},
        "crystal": {
            "cell": [50, 60, 70, 90, 90, 90],
            "block_cells": [5, 5, 5],
            "mosaic": {"spread_deg": 0.1, "domains": 2, "seed": 1},
        },
        "structure_factors": {"default_f_electrons": 100.0},
        "detector": {
            "distance_mm": 100.0,
            "pixel_size_mm": 0.1,
            "pixels_fast": 23,
            "pixels_slow": 17,
        },
        "sampling": {"oversample": 1},
        "compute": {"frames_per_unit": 2, "tile": [9, 12]},
    }
    for section, fields in changes.items():
        held = plain.get(section)
        plain[section] = {**held, **fields} if isinstance(held, dict) else fields
    return plain


def tiny_sweep(axes: Any = AXES, **changes: Any) -> SweepSpec:
    return SweepSpec.model_validate({"experiment": tiny_plain(**changes), "axes": list(axes)})


def objects_of(run: RunDirectory) -> dict[str, bytes]:
    """Return all that a run stores of its frames, by name."""
    names = [one.object_name(unit) for unit in range(run.layout.units) for one in run.arrays]
    return {name: (run.path / name).read_bytes() for name in names}


WAYS = ["graph", "tiles", "threads", "interrupted", "workers"]
"""Ways of rendering a run that must store the same bytes as any other."""

WAYS_COMPUTE: dict[str, dict[str, Any]] = {"graph": {"form": "graph"}, "tiles": {"tile": [5, 23]}}
"""What a way asks of a specification's section `compute`."""


@pytest.fixture
def render_by(request: pytest.FixtureRequest) -> Callable[[str, RunDirectory], None]:
    """Return what renders a created run in one of `WAYS`."""

    def render(way: str, run: RunDirectory) -> None:
        client = request.getfixturevalue("two_workers") if way == "workers" else None
        _render_by(way, run, client)

    return render


def _render_by(way: str, run: RunDirectory, client: Client | None) -> None:
    if way == "interrupted":
        outcomes = SerialExecutor().run_units(RunContext.of(run), range(run.layout.units))
        assert next(islice(outcomes, 1)).status == "done"
        assert len(done_units(run)) == 1
    threads = 3 if way == "threads" else None
    resume(run, cluster=None if client else "serial", client=client, threads=threads)


def digests_of(path: Path) -> dict[int, str]:
    return object_digests(open_run(path))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run done serially without interruption: what every other way must reproduce."""
    path = tmp_path_factory.mktemp("finished") / "RUN"
    resume(create(tiny_sweep(), path), cluster="serial")
    return path


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> str:
    """Address of a bucket of the test's own; the cache is the test's own too."""
    settings = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "very-secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    name = f"b{zlib.crc32(request.node.name.encode())}"
    return make_bucket(server, name)
