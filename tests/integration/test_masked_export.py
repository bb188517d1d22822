"""Masked and overloaded pixels of exported files, judged by DIALS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import distbragg as db
from distbragg.spec.load import parse_sweep
from tests.dials import dxtbx, needs_dials

PIXELS = """
import numpy as np
from dials.array_family import flex
from dxtbx.model.experiment_list import ExperimentListFactory
(one,) = ExperimentListFactory.from_json_file("imported.expt", check_format=True)
raw, mask = (part[0] for part in (one.imageset.get_raw_data(0), one.imageset.get_mask(0)))
raw, mask = (np.array(part).reshape(part.focus()) for part in (raw, mask))
panel = one.detector[0]
found = [
    raw.tolist(), mask.tolist(), panel.get_gain(), panel.get_pedestal(),
    [list(part) for part in flex.reflection_table.from_file("strong.refl")
     ["xyzobs.px.value"].parts()[:2]],
]
"""
SHAPE = (300, 340)
GAPS = (slice(140, 150), slice(200, 216))
"""Rows and columns that are masked."""

SATURATION = 150
RESPONSE = {
    "gain_adu_per_photon": 1.8,
    "offset_adu": 40,
    "readout_adu": 4.0,
    "saturation_adu": SATURATION,
    "dead_pixels": [[2, 3]],
    "hot_pixels": [[4, 5]],
}


def render(folder: Path, *, recorded: bool) -> Path:
    mask = np.ones(SHAPE, dtype=np.uint8)
    mask[GAPS[0]], mask[:, GAPS[1]] = 0, 0
    np.save(folder / "mask.npy", mask)
    detector: dict[str, Any] = {
        "distance_mm": 150,
        "pixel_size_mm": 0.2,
        "pixels_fast": SHAPE[1],
        "pixels_slow": SHAPE[0],
        "mask_file": str(folder / "mask.npy"),
    }
    if recorded:
        detector["response"] = RESPONSE
    plain = {
        "experiment": {
            "beam": {"wavelength_angstrom": 1.0, "fluence_photons_per_m2": 2e14},
            "crystal": {
                "cell": [60, 70, 80, 90, 90, 90],
                "block_cells": [40, 40, 40],
                "shape": "gauss",
                "misset_deg": [10, 20, 30],
                "illuminated_blocks": 2e11,
                "mosaic": {"distribution": "gaussian", "spread_deg": 0.2},
            },
            "structure_factors": {"default_f_electrons": 100},
            "goniometer": {"oscillation_deg": 0.5},
            "detector": detector,
            "background": {"water_um": 1000},
            "noise": {"photon": True},
            "output": {"dtype": "uint16"},
        },
        "axes": [{"name": "phi", "path": "goniometer.phi_deg", "values": [0]}],
    }
    path = folder / "run.zarr"
    db.sweep(parse_sweep(plain), path, cluster="serial")
    return path


def measured(run: Path, *, recorded: bool) -> np.ndarray:
    """Pixels of the frame that are measurements; those at the saturation are none."""
    good = np.ones(SHAPE, dtype=bool)
    good[GAPS[0]], good[:, GAPS[1]] = False, False
    if recorded:
        good[2, 3] = good[4, 5] = False
        good &= np.asarray(db.open_stack(run).images.values[0]) < SATURATION
    return good


@needs_dials
@pytest.mark.spec("EXP-10")
@pytest.mark.parametrize(
    ("form", "recorded"), [("cbf", True), ("nxmx", True), ("smv", True), ("smv", False)]
)
def test_dials_takes_no_masked_or_overloaded_pixel_for_a_measurement(
    form: str, recorded: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run, out = render(tmp_path, recorded=recorded), tmp_path / "out"
    name = db.export_run(run, form, out=out, compression="gzip").opens.name  # type: ignore[arg-type]
    words = [word for word in caplog.text.split() if word.startswith("panel.")]
    assert words
    files = name if form == "nxmx" else f"template={name.replace('0001', '####')}"
    find = ["find_spots", "imported.expt", "nproc=1", "spotfinder.filter.min_spot_size=3"]
    raw, mask, gain, pedestal, spots = dxtbx(
        out, PIXELS, programs=[["import", files, *words], find]
    )
    good, stack = measured(run, recorded=recorded), np.asarray(db.open_stack(run).images.values[0])
    added = 40 if form == "smv" and not recorded else 0
    assert (np.array(raw)[good] == stack[good].astype(int) + added).all()
    # Debian's DIALS ends the trusted range below its upper limit, newer ones at it.
    below = good & (stack < SATURATION - 1) if recorded else good
    assert not (np.array(mask) & ~good).any()
    assert np.array(mask)[below].all()
    assert (gain, pedestal) == ((1.8, 40) if recorded else (1.0, added))
    fast, slow = (np.array(part) for part in spots)
    assert len(fast) > 20
    # No more spots than elsewhere stand by the gaps, which a pixel's kernel reaches.
    near = np.zeros(SHAPE, dtype=bool)
    near[130:160], near[:, 190:226] = True, True
    share = near[slow.astype(int), fast.astype(int)].mean()
    expected = (near & good).sum() / good.sum()
    assert share < expected + 3.0 * np.sqrt(expected / len(fast))
