"""Tables of spots beside the images: written, vouched for, verified, mended with their units."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray as xr

import distbragg as db
from distbragg.errors import EnvironmentFailure, InputError
from distbragg.run import prepare as prepare_module
from distbragg.run.repair import repair
from distbragg.run.verify import seal, verify
from distbragg.spec.sweep import SweepSpec
from distbragg.store.ledger import completed_units, done_units
from distbragg.store.run_directory import RunDirectory, open_run
from distbragg.store.spots import labels_key

from .conftest import AXES, tiny_plain


def labelled_sweep(**output: object) -> SweepSpec:
    experiment = tiny_plain(
        output={"labels": True, "label_minimum_photons": 0.0, **output},
        detector={"pixel_size_mm": 1.0},
    )
    return SweepSpec.model_validate({"experiment": experiment, "axes": list(AXES)})


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labelled") / "RUN"
    db.resume(db.create(labelled_sweep(), path), cluster="serial")
    return path


@pytest.fixture
def run(labelled: Path, tmp_path: Path) -> RunDirectory:
    return open_run(shutil.copytree(labelled, tmp_path / "RUN"))


def bytes_of(run: RunDirectory) -> list[bytes]:
    return [(run.path / labels_key(unit)).read_bytes() for unit in range(run.layout.units)]


@pytest.mark.spec("LAB-4")
def test_every_unit_has_a_table_that_its_receipt_states(run: RunDirectory) -> None:
    receipts = completed_units(run)
    assert len(receipts) == run.layout.units
    frames: list[int] = []
    for unit, receipt in receipts.items():
        table = pq.read_table(run.path / labels_key(unit))
        assert receipt.to_plain()["labels"]["size"] == (run.path / labels_key(unit)).stat().st_size
        assert receipt.to_plain()["spots"] == table.num_rows > 0
        assert table.schema.metadata[b"distbragg_run_id"].decode() == run.run_id
        frames += sorted(set(table["frame"].to_pylist()))
    assert sorted(frames) == list(range(run.layout.frames))


@pytest.mark.spec("LAB-4")
def test_tables_open_as_one_and_the_stack_opens_without_a_warning(run: RunDirectory) -> None:
    spots = db.open_labels(run.path)
    assert set(spots) >= {"frame", "panel", "h", "k", "l", "slow", "fast", "partiality", "photons"}
    assert len({len(column) for column in spots.values()}) == 1
    some = db.open_labels(run.path, ["frame", "photons"])
    np.testing.assert_array_equal(some["photons"], spots["photons"])
    assert np.isnan(spots["variance_fast"]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "images" in xr.open_zarr(run.path, consolidated=False)


@pytest.mark.spec("LAB-5")
@pytest.mark.parametrize("form", ["unit", "graph"])
def test_any_form_and_a_second_rendering_write_the_same_tables(
    run: RunDirectory, tmp_path: Path, form: str
) -> None:
    sweep = labelled_sweep()
    experiment = sweep.experiment.model_copy(
        update={"compute": sweep.experiment.compute.model_copy(update={"form": form})}
    )
    again = db.create(sweep.model_copy(update={"experiment": experiment}), tmp_path / form)
    db.resume(again, cluster="serial")
    assert bytes_of(open_run(tmp_path / form)) == bytes_of(run)


@pytest.mark.spec("LAB-5")
def test_unit_without_its_table_is_left_to_do_and_resumed(run: RunDirectory) -> None:
    before = bytes_of(run)
    (run.path / labels_key(1)).unlink()
    assert set(range(run.layout.units)) - done_units(run) == {1}
    db.resume(run, cluster="serial")
    assert bytes_of(run) == before


@pytest.mark.spec("LAB-5")
@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("damage", ["gone", "cut", "changed", "foreign"])
def test_damaged_tables_are_found_and_mended(
    run: RunDirectory, damage: str, *, sealed: bool
) -> None:
    if sealed:
        seal(run)
    before = bytes_of(run)
    path = run.path / labels_key(1)
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(before[1][:-3])
    elif damage == "changed":
        path.write_bytes(before[1][:100] + bytes([before[1][100] ^ 1]) + before[1][101:])
    else:
        path.with_name("thumbs.db").write_bytes(b"x")
    report = verify(run, level="full")
    assert not report.sound
    if damage == "foreign":
        assert [item.name for item in report.files] == ["labels/thumbs.db"]
    else:
        assert [(item.unit, item.kind) for item in report.damaged] == [(1, "labels")]
        assert report.files == ()
    assert int(repair(run, level="full", cluster="serial").status) == 0
    assert verify(run, level="deep").sound
    assert bytes_of(run) == before


@pytest.mark.spec("STK-15")
def test_a_table_in_closed_form_is_mended_by_what_predicted_it(tmp_path: Path) -> None:
    """By the compiled twin where there is one: numpy's spots have other last bits."""
    experiment = tiny_plain(
        output={"labels": True, "label_minimum_photons": 0.0},
        crystal={"shape": "gauss", "mosaic": {"distribution": "gaussian", "spread_deg": 0.3}},
        detector={"pixel_size_mm": 1.0},
        sampling={"method": "closed_form"},
    )
    sweep = SweepSpec.model_validate({"experiment": experiment, "axes": [AXES[0]]})
    run = db.create(sweep, tmp_path / "RUN")
    db.resume(run, cluster="serial")
    before = bytes_of(run)
    assert len(db.open_labels(run.path, ["h"])["h"]) > 5
    (run.path / labels_key(0)).unlink()
    assert int(repair(run, cluster="serial").status) == 0
    assert bytes_of(run) == before


def test_table_that_is_a_link_counts_as_missing(run: RunDirectory, tmp_path: Path) -> None:
    path = run.path / labels_key(0)
    path.symlink_to(path.rename(tmp_path / "elsewhere.parquet"))
    assert set(range(run.layout.units)) - done_units(run) == {0}
    assert not {0, 1} & set(db.open_labels(run.path, ["frame"])["frame"].tolist())


def test_quick_verification_sees_sizes_alone(run: RunDirectory) -> None:
    path = run.path / labels_key(0)
    data = path.read_bytes()
    path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    assert verify(run, level="quick").sound
    path.write_bytes(data[:-1])
    assert not verify(run, level="quick").sound


def test_audit_renders_tables_beside_the_run(run: RunDirectory) -> None:
    before = bytes_of(run)
    report = verify(run, audit=2)
    assert report.sound
    assert len(report.audited) == 2
    assert bytes_of(run) == before


def test_run_without_tables_says_how_to_get_them(finished: Path) -> None:
    with pytest.raises(InputError, match=r"output\.labels: true"):
        db.open_labels(finished)
    assert not (finished / "labels").exists()


def test_missing_pyarrow_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_module, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentFailure, match=r"distbragg\[tables\]"):
        db.create(labelled_sweep(), tmp_path / "RUN")
    assert list(tmp_path.iterdir()) == []


def test_frames_without_spots_have_an_empty_table(tmp_path: Path) -> None:
    run = db.create(labelled_sweep(label_minimum_photons=1e30), tmp_path / "RUN")
    db.resume(run, cluster="serial")
    assert verify(run, level="full").sound
    assert all(len(column) == 0 for column in db.open_labels(run.path).values())
