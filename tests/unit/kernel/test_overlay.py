"""Images that are added, and the shadow of a beam stop: numbers by hand, every way of finishing."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import fabio
import h5py
import numpy as np
import pytest
import torch
import zarr

import distbragg as db
from distbragg.errors import InputError
from distbragg.kernel import native
from distbragg.kernel.finalize import finalize_into, finalize_tile
from distbragg.kernel.native import render_photons
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import TilePhotons, render_tile
from distbragg.kernel.tile import DeviceSum
from distbragg.models.beam_spot import spot_in_plane
from distbragg.models.beam_stop import BeamStop
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment, physics_hash
from distbragg.models.vectors import components
from distbragg.physics import shadow
from distbragg.physics.shadow import panel_transmission, transmission
from distbragg.plan.frame import SourceChunk, Tile, plan_frame
from distbragg.plan.memory import predict_peak_bytes
from distbragg.plan.sweep import plan_sweep
from distbragg.predict.spots import predict_spots
from distbragg.run.verify import verify
from distbragg.spec.compute import ComputeSpec, OutputSpec
from distbragg.spec.load import parse_spec, parse_sweep

SHAPE = (31, 41)
STOP = {"radius_mm": 2.0, "edge_mm": 1.0, "arm_width_mm": 1.5, "arm_angle_deg": 90}
PICTURE = np.arange(math.prod(SHAPE), dtype=np.float64).reshape(SHAPE) / 100.0


def spec(noise: bool = False, **changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "beam": {"wavelength_angstrom": 1.0, "flux_photons_per_s": 1e12, "size_mm": 0.01},
        "crystal": {
            "cell": [40, 50, 60, 90, 90, 90],
            "block_cells": [12, 12, 12],
            "shape": "gauss",
            "misset_deg": [10, 20, 30],
            "mosaic": {"distribution": "gaussian", "spread_deg": 0.6},
            "illuminated_blocks": 1e3,
        },
        "structure_factors": {"default_f_electrons": 60},
        "detector": {
            "distance_mm": 60,
            "pixel_size_mm": 0.5,
            "pixels_fast": SHAPE[1],
            "pixels_slow": SHAPE[0],
        },
        "background": {"materials": [{"name": "water", "thickness_um": 50}]},
        "sampling": {"oversample": 1, "dmin_angstrom": 4.0},
        "noise": {"photon": noise, "seed": 5},
    }
    for name, value in changes.items():
        plain[name] = {**plain[name], **value}
    return plain


def built(noise: bool = False, **changes: Any) -> Experiment:
    return build_experiment(parse_spec(spec(noise, **changes)))


def finished(experiment: Experiment, kernel: str = "native") -> np.ndarray:
    """Render whole and finish in Python."""
    tile, chunk = Tile(0, SHAPE[0], 0, SHAPE[1]), SourceChunk(0, 1)
    options = KernelOptions("float64", kernel, "cpu", 1)
    numerator = render_tile(experiment, 0, tile, chunk, options)
    return finalize_tile(experiment, 0, tile, numerator, frame=3).reshape(SHAPE)


def in_kernel(experiment: Experiment, *tiles: Tile, threads: int = 1) -> np.ndarray:
    out = np.full(SHAPE, np.nan)
    options = KernelOptions("float64", "native", "cpu", threads)
    jobs = []
    for tile in tiles or (Tile(0, SHAPE[0], 0, SHAPE[1]),):
        window = out[tile.slow_start : tile.slow_stop, tile.fast_start : tile.fast_stop]
        jobs.append(TilePhotons(experiment, 0, tile, SourceChunk(0, 1), window, 3))
    render_photons(jobs, options)
    return out


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "photons.npy"
    np.save(path, PICTURE)
    return str(path)


def both(picture: str, noise: bool = False) -> Experiment:
    image = {"image": {"file": picture, "scale": 2.5}}
    return built(noise, background=image, detector={"beam_stop": STOP})


@pytest.mark.spec("SCL-17")
def test_a_shadow_by_hand() -> None:
    stop = BeamStop(2.0, (), (1.0, 0.0), 0.5, 0.1, 1.0, math.pi / 2)
    # Inside; on the outline of the disc; at a quarter of the edge outside; beyond.
    x = np.array([1.0, 3.0, 3.125, 3.3])
    shares = transmission(stop, x, np.zeros(4))
    assert shares.tolist() == pytest.approx([0.1, 0.55, 0.1 + 0.9 * 0.75, 1.0])
    # The arm leads along y from the centre, ±0.5 wide, and not the other way.
    assert transmission(stop, np.array([1.4, 1.5, 1.8]), np.full(3, 9.0)).tolist() == pytest.approx(
        [0.1 + 0.9 * 0.3, 0.55, 1.0]
    )
    assert transmission(stop, np.array([1.0]), np.array([-9.0])).tolist() == [1.0]


@pytest.mark.spec("SCL-17")
def test_a_polygon_by_hand() -> None:
    square = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))
    stop = BeamStop(0.0, square, (0.0, 0.0), 0.4, 0.0, 0.0, 0.0)
    x, y = np.array([0.0, 0.9, 1.0, 1.1, 1.1, 2.0]), np.array([0.0, 0.0, 0.5, 0.0, 1.1, 2.0])
    corner = 0.5 + math.hypot(0.1, 0.1) / 0.4
    expected = [0.0, 0.25, 0.5, 0.75, corner, 1.0]
    assert transmission(stop, x, y).tolist() == pytest.approx(expected)
    hard = replace(stop, edge=0.0)
    assert transmission(hard, x, y).tolist() == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]


@pytest.mark.spec("SCL-17")
@pytest.mark.parametrize("curved", [False, "sphere"])
@pytest.mark.parametrize("polygon", [None, [[0, 0], [5, 0.5], [4, 6]]], ids=["disc", "polygon"])
@pytest.mark.parametrize(
    "arm", [{}, {"arm_width_mm": 1.5, "arm_angle_deg": 200.0}], ids=["", "arm"]
)
def test_no_share_depends_on_the_blocks_that_are_followed(
    curved: Any, polygon: Any, arm: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    outline = {"radius_mm": 2.0} if polygon is None else {"polygon_mm": polygon}
    stop = {**outline, **arm, "edge_mm": 0.7, "transmission": 0.3, "centre_mm": [1.0, -2.0]}
    tilted = {"rotation_deg": [3.0, -20.0, 11.0], "curved": curved, "beam_stop": stop}
    detector = built(detector=tilted).detector
    (panel,), given = detector.panels, detector.beam_stop
    assert given is not None
    beam = built().beam.direction
    found = []
    for edge in (10**6, 64, 7, 1):
        monkeypatch.setattr(shadow, "_BLOCK_EDGE", edge)
        found.append(panel_transmission(given, panel, panel, beam))
    assert found[0].min() < 0.5 < found[0].max()
    for shares in found[1:]:
        np.testing.assert_array_equal(shares, found[0])


@pytest.mark.spec("SCL-17")
def test_the_shadow_lies_about_the_beam() -> None:
    experiment = built(detector={"beam_stop": {"radius_mm": 3.0}})
    image, plain = finished(experiment), finished(built())
    slow, fast = (np.indices(SHAPE) + 0.5) * 0.5
    panel, beam = experiment.detector.panels[0], experiment.beam.direction
    spot = spot_in_plane(panel, panel.pixels, components(beam))
    assert spot is not None
    away = np.hypot(slow - 1e3 * spot.slow, fast - 1e3 * spot.fast)
    assert (image[away < 2.99] == 0.0).all()
    np.testing.assert_array_equal(image[away > 3.01], plain[away > 3.01])


@pytest.mark.spec("SCL-16", "SCL-17")
def test_photons_are_the_sum_plus_the_image_times_the_share(picture: str) -> None:
    experiment = both(picture)
    share = finished(built(detector={"beam_stop": STOP})) / finished(built())
    expected = (finished(built()) + 2.5 * PICTURE) * share
    np.testing.assert_allclose(finished(experiment), expected, rtol=1e-12, atol=1e-12)
    assert share.min() == 0.0
    assert share.max() == 1.0


@pytest.mark.spec("SCL-16")
def test_the_image_follows_the_energy_of_the_pulse(picture: str) -> None:
    given = built(background={"image": {"file": picture, "scale": 2.0}})
    strong = replace(given, beam=replace(given.beam, pulse_energy=1.5))
    np.testing.assert_allclose(finished(strong), 1.5 * finished(given), rtol=1e-14)


@pytest.mark.spec("SCL-16", "SCL-17")
@pytest.mark.skipif(not native.available(), reason=native.reason())
@pytest.mark.parametrize("noise", [False, True])
def test_the_kernel_finishes_as_python_does_in_any_tiles(picture: str, noise: bool) -> None:
    experiment = both(picture, noise)
    expected = finished(experiment)
    tiles = (Tile(0, 17, 0, 23), Tile(0, 17, 23, 41), Tile(17, 31, 0, 23), Tile(17, 31, 23, 41))
    for image in (
        in_kernel(experiment),
        in_kernel(experiment, *tiles),
        in_kernel(experiment, threads=3),
    ):
        np.testing.assert_array_equal(image, expected)


@pytest.mark.spec("SCL-16", "SCL-17")
def test_tensors_are_finished_as_arrays_are(picture: str) -> None:
    experiment = both(picture)
    tile = Tile(0, SHAPE[0], 0, SHAPE[1])
    options = KernelOptions("float64", "model", "cpu", 1)
    numerator = render_tile(experiment, 0, tile, SourceChunk(0, 1), options)
    out = np.empty(SHAPE)
    device = DeviceSum(torch.from_numpy(numerator.copy()))
    finalize_into(out, experiment, 0, tile, device, frame=3)
    np.testing.assert_allclose(out, finished(experiment, "model"), rtol=1e-14)
    found = db.render_tensor(experiment).numpy()
    np.testing.assert_allclose(found, out, rtol=1e-9, atol=1e-9 * out.max())


@pytest.mark.spec("SCL-17", "LAB-2")
def test_labels_count_what_passes_the_stop() -> None:
    plain = predict_spots(built())
    shaded = predict_spots(built(detector={"beam_stop": {"radius_mm": 6.0, "transmission": 0.25}}))
    np.testing.assert_array_equal((plain.h, plain.k, plain.l), (shaded.h, shaded.k, shaded.l))
    share = shaded.photons / plain.photons
    assert share.min() == pytest.approx(0.25)
    assert share.max() == 1.0
    gone = predict_spots(built(detector={"beam_stop": {"radius_mm": 6.0}}))
    assert 0 < len(gone) < len(plain)


@pytest.mark.spec("SCL-16")
def test_an_image_of_another_program_is_read(tmp_path: Path) -> None:
    path = tmp_path / "photons.tif"
    fabio.tifimage.TifImage(data=PICTURE.astype(np.float32) - 1.0).write(str(path))
    experiment = built(background={"image": {"file": str(path)}})
    image = experiment.background.image
    assert image is not None
    np.testing.assert_allclose(
        image.photons[0], np.maximum(PICTURE.astype(np.float32) - 1.0, 0.0), rtol=1e-6
    )


@pytest.mark.spec("SCL-16", "SCL-17")
def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "small.npy"
    np.save(path, np.ones((3, 4)))
    with pytest.raises(InputError, match=r"background\.image\.file"):
        built(background={"image": {"file": str(path)}})
    with pytest.raises(InputError, match=r"detector\.beam_stop"):
        built(detector={"beam_stop": {"edge_mm": 1.0}})
    along = [{"origin_mm": [60, -8, -10], "fast": [1, 0, 0], "slow": [0, 0, 1]}]
    across = {"distance_mm": None, "panels": along, "beam_stop": {"radius_mm": 2.0}}
    with pytest.raises(InputError, match="one of which is the beam's"):
        built(detector=across)
    with pytest.raises(InputError, match="corners on one line"):
        built(detector={"beam_stop": {"polygon_mm": [[0, 0], [1, 1], [2, 2]]}})


@pytest.mark.spec("SCL-16", "SCL-17")
def test_without_them_the_experiment_is_the_old_one(picture: str) -> None:
    assert physics_hash(both(picture)) != physics_hash(built())
    nothing = built(background={"image": {"file": picture, "scale": 0.0}})
    np.testing.assert_array_equal(finished(nothing), finished(built()))


@pytest.mark.spec("SCL-16", "SCL-17")
def test_the_plan_counts_the_memory_of_image_and_shadow(picture: str) -> None:
    compute, output = ComputeSpec(), OutputSpec()
    bare, more = (
        predict_peak_bytes(
            plan_sweep([("frame", 1)], plan_frame(experiment, compute), compute, output),
            grid_points=0,
        ).frame_sums
        for experiment in (built(), both(picture))
    )
    assert more - bare == 2 * 16 * math.prod(SHAPE)


@pytest.mark.spec("SCL-16")
@pytest.mark.parametrize("shards", [None, (4, *SHAPE)], ids=["chunks", "shards"])
def test_one_image_of_a_zarr_store_or_array_is_read(tmp_path: Path, shards: Any) -> None:
    several = np.arange(6.0).reshape(2, 3, 1, 1) * 10.0 + PICTURE
    store = zarr.open_group(tmp_path / "several.zarr", mode="w")
    flat = several.reshape(6, *SHAPE)
    store.create_array("water", data=flat, chunks=(1, *SHAPE), shards=shards)
    zarr.save_array(tmp_path / "alone.zarr", PICTURE)
    np.save(tmp_path / "several.npy", several)
    for name, frame, dataset in (
        ("several.zarr", 4, "water"),
        ("several.npy", 4, "images"),
        ("alone.zarr", 0, "images"),
    ):
        given = {"file": str(tmp_path / name), "frame": frame, "dataset": dataset}
        image = built(background={"image": given}).background.image
        assert image is not None
        np.testing.assert_array_equal(image.photons[0], flat[frame])
        for wrong in ({"frame": 6}, {"frame": 1} if name == "alone.zarr" else {"frame": 9}):
            with pytest.raises(InputError, match=r"background\.image\.frame: there is no image"):
                built(background={"image": given | wrong})
    with pytest.raises(InputError, match="there is no dataset 'images'"):
        built(background={"image": {"file": str(tmp_path / "several.zarr")}})


@pytest.mark.spec("SCL-16")
def test_one_image_of_an_hdf5_file_is_read(tmp_path: Path) -> None:
    counts = (np.arange(6).reshape(2, 3, 1, 1) * 10 + PICTURE).astype(np.uint32)
    counts[1, 1, 0, :2] = 2**32 - 1, 2**32 - 2  # a gap and a bad pixel
    path = tmp_path / "empty.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("entry/data/data", data=counts.reshape(6, *SHAPE), chunks=(1, *SHAPE))
        file.create_dataset("grid", data=counts, compression="gzip")
        file["alone"] = PICTURE
        file["names"] = ["a", "b"]
        file["elsewhere"] = h5py.ExternalLink("other.h5", "images")
    for dataset in ("entry/data/data", "grid"):
        given = {"file": str(path), "dataset": dataset, "frame": 4}
        image = built(background={"image": given}).background.image
        assert image is not None
        expected = counts[1, 1].astype(np.float64)
        expected[0, :2] = 0.0
        np.testing.assert_array_equal(image.photons[0], expected)
    alone = built(background={"image": {"file": str(path), "dataset": "alone"}}).background.image
    assert alone is not None
    np.testing.assert_array_equal(alone.photons[0], PICTURE)
    for dataset, told in (
        ("images", "'images' is not a dataset of images"),
        ("names", "'names' is not a dataset of images"),
        ("entry", "'entry' is not a dataset of images"),
        ("elsewhere", "is a link to another file"),
    ):
        with pytest.raises(InputError, match=told):
            built(background={"image": {"file": str(path), "dataset": dataset}})
    with pytest.raises(InputError, match=r"frame: there is no image 6: it holds 6"):
        built(background={"image": {"file": str(path), "dataset": "grid", "frame": 6}})
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(InputError, match="cannot be read as HDF5"):
        built(background={"image": {"file": str(path), "dataset": "grid"}})


@pytest.mark.spec("SCL-16")
def test_frames_of_a_sweep_take_images_of_files(tmp_path: Path) -> None:
    """Of an array, an HDF5 file and a run that is not called .zarr, whatever their order."""
    dark = spec(crystal={"present": False}) | {"output": {"dtype": "float64"}}
    db.sweep(parse_sweep({"experiment": dark}), tmp_path / "dark", cluster="serial")
    with db.open_stack(tmp_path / "dark") as stack:
        picture = stack["images"].values.reshape(SHAPE)
    np.save(tmp_path / "twice.npy", 2.0 * picture)
    with h5py.File(tmp_path / "thrice.h5", "w") as file:
        file["images"] = 3.0 * picture
    files = [str(tmp_path / name) for name in ("thrice.h5", "dark", "twice.npy")]
    base = spec(background={"image": {"file": files[0]}}) | {"output": {"dtype": "float64"}}
    axis = {"name": "picture", "path": "background.image.file", "values": files}
    sweep = parse_sweep({"experiment": base, "axes": [axis]})
    db.sweep(sweep, tmp_path / "s", cluster="serial")
    plain = spec() | {"output": {"dtype": "float64"}}
    db.sweep(parse_sweep({"experiment": plain}), tmp_path / "p", cluster="serial")
    with db.open_stack(tmp_path / "s") as stack, db.open_stack(tmp_path / "p") as bare:
        expected = bare["images"].values + np.array([3, 1, 2])[:, None, None] * picture
        np.testing.assert_allclose(stack["images"].values, expected, rtol=1e-6)
    assert verify(tmp_path / "s", level="deep", audit=3).sound
    run = zarr.open_group(tmp_path / "dark", mode="r+")
    run["images"].attrs["units"] = "ADU"
    with pytest.raises(InputError, match=r"image\.file: 'images' is in 'ADU', not in photons"):
        built(background={"image": {"file": files[1]}})


@pytest.mark.spec("SCL-16")
def test_frames_of_a_sweep_take_images_of_another_run(tmp_path: Path) -> None:
    dark = spec(crystal={"present": False}) | {"output": {"dtype": "float64"}}
    axis = {"name": "flux", "path": "beam.flux_photons_per_s", "values": [1e12, 2e12, 4e12]}
    db.sweep(parse_sweep({"experiment": dark, "axes": [axis]}), tmp_path / "w", cluster="serial")
    (tmp_path / "w").rename(tmp_path / "water.zarr")
    with db.open_stack(tmp_path / "water.zarr") as stack:
        pictures = stack["images"].values
    lit = spec(background={"image": {"file": str(tmp_path / "water.zarr")}})
    lit["output"] = {"dtype": "float64"}
    axis = {"name": "picture", "path": "background.image.frame", "values": [2, 0, 1]}
    db.sweep(parse_sweep({"experiment": lit, "axes": [axis]}), tmp_path / "s", cluster="serial")
    plain = spec()
    plain["output"] = {"dtype": "float64"}
    db.sweep(parse_sweep({"experiment": plain}), tmp_path / "p", cluster="serial")
    with db.open_stack(tmp_path / "s") as stack, db.open_stack(tmp_path / "p") as bare:
        expected = bare["images"].values + pictures[[2, 0, 1]]
        np.testing.assert_allclose(stack["images"].values, expected, rtol=1e-6)
        assert stack["picture"].values.tolist() == [2, 0, 1]


@pytest.mark.spec("SCL-16")
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_frame_that_is_not_rendered_is_refused(tmp_path: Path, dtype: str) -> None:
    """Frames of an unfinished run and of one whose parts are rendered, of counts and of floats."""
    dark = spec(noise=True, crystal={"present": False}) | {"output": {"dtype": dtype}}
    dark["compute"] = {"frames_per_unit": 1}
    axis = {"name": "flux", "path": "beam.flux_photons_per_s", "values": [1e12, 2e12]}
    sweep = parse_sweep({"experiment": dark, "axes": [axis]})
    run = tmp_path / "dark.zarr"
    db.sweep(sweep, run, cluster="serial", part=(1, 2))
    for given in ({"file": str(run)}, {"file": str(run), "frame": 0}):
        image = built(background={"image": given}).background.image
        assert image is not None
        assert image.photons.max() > 0.0
    told = r"background\.image\.frame: image 1 was never written; finish the run"
    with pytest.raises(InputError, match=told):
        built(background={"image": {"file": str(run), "frame": 1}})


@pytest.mark.spec("SCL-16")
@pytest.mark.parametrize("shards", [None, (2, *SHAPE)], ids=["chunks", "shards"])
def test_an_image_that_no_chunk_is_stored_of_is_refused(tmp_path: Path, shards: Any) -> None:
    """Of a Zarr array and an HDF5 dataset, which read as zeros there."""
    store = zarr.open_group(tmp_path / "some.zarr", mode="w")
    each = {"shape": (4, *SHAPE), "chunks": (1, *SHAPE), "dtype": "int32"}
    store.create_array("images", shards=shards, fill_value=0, **each)[1] = 3
    with h5py.File(tmp_path / "some.h5", "w") as file:
        file.create_dataset("images", **each)[1] = 3
        gaps = {**each, "dtype": "uint16"}
        file.create_dataset("masked", data=np.full(gaps["shape"], 65535, np.uint16))
        file.create_dataset("nothing", shape=SHAPE, dtype="int32")
    for name in ("some.zarr", "some.h5"):
        given = {"file": str(tmp_path / name), "dataset": "images"}
        image = built(background={"image": given | {"frame": 1}}).background.image
        assert image is not None
        assert (image.photons == 3.0).all()
        with pytest.raises(InputError, match="image 3 was never written"):
            built(background={"image": given | {"frame": 3}})
    for name in ("masked", "nothing"):
        with pytest.raises(InputError, match="image 0 was never written"):
            built(background={"image": {"file": str(tmp_path / "some.h5"), "dataset": name}})
