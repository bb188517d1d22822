"""`.bragg` on stacks, rendered frames and lazy frames: lazy, and right for the parts they hold."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import distbragg as db
from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.physics.pixels import coordinates_of_detector
from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec
from distbragg.store.open import OPENED


def sweep(*axes: dict[str, Any], **detector: Any) -> SweepSpec:
    own = {"convention": "xds", "distance_mm": 60, "pixel_size_mm": 2.0}
    return parse_sweep(
        {
            "experiment": {
                "title": "small",
                "beam": {"wavelength_angstrom": 1.0},
                "crystal": {"cell": [31, 37, 41, 90, 90, 90], "block_cells": [5, 6, 7]},
                "structure_factors": {"default_f_electrons": 10.0},
                "detector": {**own, "pixels_fast": 13, "pixels_slow": 11, **detector},
                "sampling": {"oversample": 1},
                "compute": {"frames_per_unit": 1},
                "output": {"labels": True, "label_minimum_photons": 0.0},
            },
            "axes": list(axes),
        }
    )


PHI = {"name": "phi", "path": "goniometer.phi_deg", "values": [0.0, 0.1, 0.2]}
DISTANCE = {"name": "distance", "path": "detector.distance_mm", "values": [50.0, 60.0, 80.0]}


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over phi and distance: pixels look elsewhere along the second alone."""
    path = tmp_path_factory.mktemp("moved") / "RUN"
    db.resume(db.create(sweep(PHI, DISTANCE), path), cluster="serial")
    return path


def expected(distance: float) -> Any:
    """What pixels look at at a distance."""
    spec = sweep(distance_mm=distance).experiment
    return coordinates_of_detector(build_experiment(spec))


@pytest.mark.spec("FIG-7")
def test_coordinates_have_a_dimension_where_the_geometry_is_swept(moved: Path) -> None:
    stack = db.open_stack(moved)
    for given in (stack, stack.images, stack.images * 2.0):
        q = given.bragg.q
        assert q.dims == ("distance", "slow", "fast")
        assert isinstance(q.data, da.Array)
        assert q.attrs["units"] == "1/angstrom"
        for index, distance in enumerate((50.0, 60.0, 80.0)):
            np.testing.assert_allclose(q[index], expected(distance).q[0], rtol=1e-12)
    one = expected(80.0)
    part = stack.sel(distance=80.0, phi=0.1).isel(slow=slice(2, 7), fast=[3, 12])
    assert part.bragg.two_theta.dims == ("slow", "fast")
    for name in ("resolution", "two_theta", "azimuth"):
        found = getattr(part.bragg, name).values
        np.testing.assert_allclose(found, getattr(one, name)[0, 2:7][:, [3, 12]], rtol=1e-9)
    backwards = stack.isel(distance=[2, 0]).bragg.two_theta
    np.testing.assert_allclose(backwards[1], expected(50.0).two_theta[0], rtol=1e-9)


@pytest.mark.spec("FIG-7")
def test_a_known_pixel_of_a_rendered_frame() -> None:
    """60 mm away and 12 mm beside the beam, which meets the middle of the panel."""
    frame = db.render(sweep().experiment, progress=False)
    assert frame.bragg.q.dims == ("slow", "fast")
    angle = math.atan(12 / 60)
    assert float(frame.bragg.two_theta[5, 12]) == pytest.approx(math.degrees(angle))
    assert float(frame.bragg.resolution[5, 12]) == pytest.approx(0.5 / math.sin(angle / 2))
    assert float(frame.bragg.azimuth[5, 12]) == pytest.approx(0.0, abs=1e-9)
    assert float(frame.bragg.azimuth[0, 6]) == pytest.approx(90.0)
    assert bool(frame.bragg.active.all())


@pytest.mark.spec("FIG-7")
def test_nothing_is_rendered_or_computed_before_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lazy = db.render(sweep(PHI, DISTANCE), lazy=True)

    def refuse(*args: object, **named: object) -> None:
        raise AssertionError("computed")

    with monkeypatch.context() as patch:
        patch.setattr("distbragg.store.pixel_arrays.coordinates_of_pixels", refuse)
        patch.setattr("distbragg.engine.lazy._frames", refuse)
        ratio = lazy * lazy.bragg.q**2
        profile = lazy.bragg.radial(np.linspace(0.0, 2.0, 6))
        assert profile["mean"].dims == ("phi", "distance", "q")
        with pytest.raises(AssertionError, match="computed"):
            ratio.compute(scheduler="synchronous")
    found = profile.compute(scheduler="synchronous")
    image = lazy.sel(phi=0.2, distance=50.0).values
    at = expected(50.0).q[0]
    inside = (at >= 0.4) & (at < 0.8)
    one = found.sel(phi=0.2, distance=50.0).isel(q=1)
    assert int(one["count"]) == inside.sum() > 10
    assert float(one["mean"]) == pytest.approx(image[inside].mean(), rel=1e-6)
    assert float(one["variance"]) == pytest.approx(image[inside].var(), rel=1e-5)
    assert found.resolution.values == pytest.approx(2 * np.pi / found.q.values)


@pytest.mark.spec("FIG-7")
def test_profiles_leave_masked_pixels_and_missing_frames_out(tmp_path: Path) -> None:
    path = tmp_path / "RUN"
    db.resume(db.create(sweep(PHI, roi=[0, 12, 0, 5]), path), cluster="serial", part=(1, 3))
    stack = db.open_stack(path)
    assert int(stack.bragg.active.sum()) == 6 * 13
    found = stack.bragg.radial(4)
    assert found["count"].sum("q").values.tolist() == [6 * 13, 0, 0]
    assert np.isnan(found["mean"].isel(phi=1)).all()
    fewer = stack.bragg.radial(4, mask=stack.bragg.azimuth > 0)
    assert fewer["count"].sum("q").values.tolist() == [
        int((stack.bragg.azimuth > 0)[:6].sum()),
        0,
        0,
    ]
    with pytest.raises(InputError, match="must increase"):
        stack.bragg.radial([1.0, 1.0])
    named = db.open_stack(db.create(sweep(PHI | {"name": "q"}), tmp_path / "Q").path)
    with pytest.raises(InputError, match="an axis of the run has the name 'q'"):
        named.bragg.radial(4)


@pytest.mark.spec("FIG-7")
def test_spots_are_those_beside_the_frame_or_the_predicted_ones(moved: Path) -> None:
    stack = db.open_stack(moved)
    table = db.open_labels(moved)
    own = table["frame"] == 7
    found = stack.bragg.spots(7)
    np.testing.assert_array_equal(found["slow"], table["slow"][own])
    part = stack.sel(phi=0.2, distance=60.0)
    np.testing.assert_array_equal(part.bragg.spots()["fast"], found["fast"])
    frame = db.render(sweep(distance_mm=60).experiment, progress=False)
    first = db.open_stack(moved).sel(phi=0.0, distance=60.0).bragg.spots()
    np.testing.assert_allclose(frame.bragg.spots()["photons"], first["photons"], rtol=1e-9)
    bright = float(found["photons"].median())
    assert (stack.bragg.spots(7, bright)["photons"] >= bright).all()


@pytest.mark.spec("FIG-7")
def test_plot_draws_one_frame_or_a_sheet_the_right_way_up(moved: Path) -> None:
    from matplotlib import pyplot as plt

    stack = db.open_stack(moved)
    try:
        axes = stack.bragg.plot(4, spots=True)
        assert axes.get_title() == "phi 0.1, distance 60"
        assert axes.get_ylim() == (10.5, -0.5)
        np.testing.assert_array_equal(axes.images[0].get_array(), stack.images[1, 1])
        sheet = stack.bragg.plot()
        assert sheet.shape == (9,)
        assert all(len(axes.images) == 1 for axes in sheet)
        with pytest.raises(InputError, match="a part of a frame"):
            stack.isel(slow=slice(0, 4)).bragg.plot(0)
        with pytest.raises(InputError, match="there is no frame 9"):
            stack.bragg.plot(9)
    finally:
        plt.close("all")


@pytest.mark.spec("FIG-7")
def test_images_that_do_not_tell_what_they_are_of_are_refused(moved: Path) -> None:
    stack = db.open_stack(moved)  # which registers the accessor
    with pytest.raises(InputError, match="lack the attributes that say what they show"):
        _ = xr.DataArray(np.zeros((2, 3)), dims=("slow", "fast")).bragg.q
    with pytest.raises(InputError, match="not slow and fast"):
        _ = xr.DataArray(np.zeros((2, 3)), dims=("x", "y")).bragg.q
    averaged = stack.drop_vars("distance").isel(distance=0)
    with pytest.raises(InputError, match="no coordinate 'distance' that numbers"):
        _ = averaged.bragg.q


@pytest.mark.spec("FIG-7")
def test_a_stack_that_xarray_opened_has_it_too(moved: Path) -> None:
    OPENED.clear()
    program = (
        "import xarray, distbragg.accessor\n"
        f"stack = xarray.open_zarr({str(moved)!r})\n"
        "print(float(stack.bragg.two_theta.sel(distance=50.0)[5, 6]))\n"
        "print(stack.bragg.spots(2).sizes['spot'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    angle, spots = done.stdout.split()
    assert float(angle) == pytest.approx(0.0, abs=1e-5)
    assert int(spots) == int((db.open_labels(moved)["frame"] == 2).sum()) > 0
