"""`distbragg noise`: drawing a detector's noise again from stored expectations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import distbragg as db
from distbragg.cli.main import main
from distbragg.errors import InputError, RefusedError
from distbragg.run.create import create
from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec
from distbragg.store.run_directory import open_run
from tests.invariance.test_executors_bits import odd_sweep

RESPONSE = {"calibration_fraction": 0.02, "gain_adu_per_photon": 1.8, "offset_adu": 40,
            "readout_adu": 4.1}  # fmt: skip


def swept(dtype: str, **detector: Any) -> SweepSpec:
    plain = odd_sweep(tile=[4, 5]).model_dump(mode="json")
    plain["experiment"]["beam"]["fluence_photons_per_m2"] = 3e25
    plain["experiment"]["noise"] = {"photon": bool(detector), "seed": 5}
    plain["experiment"]["detector"] |= detector
    plain["experiment"]["output"] = {"dtype": dtype}
    return parse_sweep(plain)


def images(path: Path) -> np.ndarray:
    with db.open_stack(path) as stack:
        return np.asarray(stack["images"].values)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clean") / "clean.zarr"
    db.sweep(swept("float64"), path, cluster="serial")
    return path


@pytest.mark.spec("RSP-14")
@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32"])
@pytest.mark.parametrize("flicker", [0.0, 0.1])
def test_noise_drawn_again_has_the_bits_of_a_run_that_renders(
    tmp_path: Path, clean: Path, dtype: str, flicker: float
) -> None:
    response = {**RESPONSE, "pixel_flicker_fraction": flicker}
    db.sweep(swept(dtype, response=response), tmp_path / "a.zarr", cluster="serial")
    given = [f"detector.response={response}", f"output.dtype={dtype}"]
    result = db.noise(clean, tmp_path / "b.zarr", given, cluster="serial")
    assert result.status == 0
    assert images(tmp_path / "b.zarr").tobytes() == images(tmp_path / "a.zarr").tobytes()


@pytest.mark.spec("RSP-14")
def test_the_command_draws_and_another_seed_draws_otherwise(tmp_path: Path, clean: Path) -> None:
    for seed in ("5", "6"):
        out = str(tmp_path / f"{seed}.zarr")
        assert main(["noise", str(clean), "-o", out, "--set", f"noise.seed={seed}"]) == 0
    one, two, means = images(tmp_path / "5.zarr"), images(tmp_path / "6.zarr"), images(clean)
    assert (one != two).any()
    shot = (one - means) / np.sqrt(np.maximum(means, 1e-9))
    assert abs(shot[means > 5].mean()) < 4.0 / np.sqrt((means > 5).sum())


@pytest.mark.spec("RSP-14")
def test_drawing_is_continued_and_verified(tmp_path: Path, clean: Path) -> None:
    first = db.noise(clean, tmp_path / "n.zarr", cluster="serial")
    second = db.noise(clean, tmp_path / "n.zarr", cluster="serial")
    assert (first.rendered, second.rendered) == (3, 0)
    assert not db.verify(tmp_path / "n.zarr").findings


def drawn_of_rounded(tmp_path: Path) -> tuple[Path, Path]:
    """Draw from a run that stores expectations as float32, so bright that rounding shows."""
    plain = swept("float32").model_dump(mode="json")
    plain["experiment"]["beam"]["fluence_photons_per_m2"] = 3e33
    source, drawn = tmp_path / "rounded.zarr", tmp_path / "drawn.zarr"
    db.sweep(parse_sweep(plain), source, cluster="serial")
    db.noise(source, drawn, ["output.dtype=float64"], cluster="serial")
    return source, drawn


@pytest.mark.spec("RSP-14")
def test_what_was_drawn_from_float32_is_drawn_again(tmp_path: Path) -> None:
    _, drawn = drawn_of_rounded(tmp_path)
    before = images(drawn)
    rendered = tmp_path / "rendered.zarr"
    db.sweep(open_run(drawn).sweep, rendered, cluster="serial")
    assert (images(rendered) != before).any()
    assert not db.verify(drawn, audit=9).damaged
    for name in open_run(drawn).layout.object_name(0), open_run(drawn).layout.object_name(1):
        (drawn / name).unlink()
    assert db.repair(drawn, cluster="serial").status == 0
    assert images(drawn).tobytes() == before.tobytes()
    with pytest.raises(RefusedError, match="not drawn from"):
        db.noise(tmp_path / "rounded.zarr", rendered, ["output.dtype=float64"])


@pytest.mark.spec("RSP-14")
def test_without_its_source_a_drawn_run_is_neither_mended_nor_extended(tmp_path: Path) -> None:
    source, drawn = drawn_of_rounded(tmp_path)
    with pytest.raises(RefusedError, match="drawn from expected photons of float32"):
        db.extend(drawn, tmp_path / "no.yaml")
    source.rename(tmp_path / "elsewhere.zarr")
    (drawn / open_run(drawn).layout.object_name(0)).unlink()
    with pytest.raises(RefusedError, match="which is missing or has changed"):
        db.verify(drawn, audit=9)
    with pytest.raises(RefusedError, match="which is missing or has changed"):
        db.repair(drawn, cluster="serial")


@pytest.mark.spec("RSP-14")
@pytest.mark.parametrize(
    ("given", "field"),
    [("crystal.block_cells=[4,4,4]", "crystal.block_cells"), ("noises.seed=1", "noises.seed")],
)
def test_what_expectations_depend_on_is_refused(
    tmp_path: Path, clean: Path, given: str, field: str
) -> None:
    with pytest.raises(InputError) as raised:
        db.noise(clean, tmp_path / "n.zarr", [given])
    assert raised.value.field == field


@pytest.mark.spec("RSP-14")
def test_a_run_with_noise_or_without_all_its_frames_is_refused(tmp_path: Path) -> None:
    noisy = create(swept("uint16", response={}), tmp_path / "noisy.zarr")
    with pytest.raises(InputError, match="not expected photons"):
        db.noise(noisy, tmp_path / "n.zarr")
    with pytest.raises(RefusedError, match="2 of 2 units are missing"):
        db.noise(create(swept("float32"), tmp_path / "empty.zarr"), tmp_path / "n.zarr")


@pytest.mark.spec("RSP-14")
def test_what_was_drawn_is_mended_after_its_source_was_extended(tmp_path: Path) -> None:
    source, drawn = drawn_of_rounded(tmp_path)
    before, means = images(drawn), images(source)
    plain = open_run(source).sweep.model_dump(mode="json")
    plain["axes"][0]["values"] = [12.0, 13.0, 14.0]
    for lost in (0, 1):
        if lost:  # the last unit of the source has grown: it holds old frames and new ones
            db.resume(db.extend(source, parse_sweep(plain)), cluster="serial")
            assert images(source)[:3].tobytes() == means.tobytes()
        (drawn / open_run(drawn).layout.object_name(lost)).unlink()
        assert db.repair(drawn, cluster="serial").status == 0
        assert images(drawn).tobytes() == before.tobytes()
    assert not db.verify(drawn, audit=9).damaged
    grown = tmp_path / "grown.zarr"
    db.noise(source, grown, ["output.dtype=float64"], cluster="serial")
    assert images(grown)[:3].tobytes() == before.tobytes()


@pytest.mark.spec("RSP-14")
def test_a_refusal_leaves_no_run_behind(tmp_path: Path, clean: Path) -> None:
    for options in ({"cluster": "nonsense"}, {"overrides": ["output.maps=[bragg]"]}):
        with pytest.raises(InputError):
            db.noise(clean, tmp_path / "noisy.zarr", **options)
        assert not (tmp_path / "noisy.zarr").exists()
