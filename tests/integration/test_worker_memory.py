"""What a worker process holds at its peak, beside what the plan predicted."""

from __future__ import annotations

from typing import Any

import pytest

import distbragg as db
from distbragg.run.prepare import plan
from distbragg.spec.load import parse_sweep
from tests.tolerances import WORKER_MEMORY_RELATIVE
from tools.bench.memory import ChildrenWatch

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.usefixtures("workers_started_anew"),
]

EXTRA_BYTES = 12_000_000
"""What 400 times as many steps of a pixel may add: tables of sources and domains, and noise."""


def spec_of(
    pixels: int,
    frames: int,
    *,
    sources: int = 1,
    domains: int = 1,
    noise: bool = False,
    counts: bool = False,
    **compute: Any,
):
    dispersion = {"dispersion": {"range_percent": 1.0, "steps": sources}} if sources > 1 else {}
    experiment = {
        "beam": {"wavelength_angstrom": 1.0, **dispersion},
        "crystal": {
            "cell": [60, 70, 80, 90, 90, 90],
            "block_cells": [5, 5, 5],
            "mosaic": {"spread_deg": 0.3 if domains > 1 else 0.0, "domains": domains},
        },
        "structure_factors": {"default_f_electrons": 100.0},
        "detector": {
            "distance_mm": 150.0,
            "pixel_size_mm": 170.0 / pixels,
            "pixels_fast": pixels,
            "pixels_slow": pixels,
        },
        "sampling": {"oversample": 1},
        "noise": {"photon": noise or counts},
        "compute": compute,
        "output": {"dtype": "uint32" if counts else "float32"},
    }
    axes = [
        {"name": "phi", "path": "goniometer.phi_deg", "values": [0.1 * i for i in range(frames)]}
    ]
    return parse_sweep(
        {"experiment": experiment, "axes": axes if frames > 1 else []}, source="test"
    )


def peak_of(spec, path) -> int:
    with ChildrenWatch() as watch:
        result = db.sweep(spec, path, cluster="local:1", threads=1)
    assert result.failed == 0
    return watch.peak


@pytest.mark.spec("ENG-16")
@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(spec_of(301, 40, frames_per_unit=20), id="small frames"),
        pytest.param(spec_of(2501, 2), id="large frames"),
        pytest.param(spec_of(701, 8, noise=True), id="photon noise"),
        pytest.param(spec_of(2203, 2, counts=True), id="counts"),
        pytest.param(
            spec_of(2003, 1, sources=6, source_chunk=2, form="graph"), id="tiles and source chunks"
        ),
    ],
)
def test_peak_of_a_worker_is_what_the_plan_predicts(spec, tmp_path):
    planned = plan(spec).memory.total
    assert peak_of(spec, tmp_path / "RUN") == pytest.approx(planned, rel=WORKER_MEMORY_RELATIVE)


@pytest.mark.spec("ENG-16")
def test_sources_and_domains_take_no_memory_per_pixel(tmp_path):
    few = spec_of(701, 1)
    many = spec_of(701, 1, sources=20, domains=20)
    difference = peak_of(many, tmp_path / "many") - peak_of(few, tmp_path / "few")
    assert difference < EXTRA_BYTES
