"""Variants of frames: stored beside them, or in place of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

import distbragg as db
from distbragg.cli.main import main
from distbragg.errors import InputError
from distbragg.run.card import card
from distbragg.run.prepare import plan
from distbragg.run.publish import publish
from distbragg.run.repair import repair
from distbragg.run.report import report_html
from distbragg.run.status import read_records
from distbragg.run.verify import seal, verify
from distbragg.spec.sweep import SweepSpec
from distbragg.store.ledger import completed_units, done_units
from distbragg.store.open import FrameReader
from distbragg.store.run_directory import RunDirectory, open_run

from .conftest import WAYS, WAYS_COMPUTE, objects_of, tiny_plain

BOX = {"slow": [3, 16], "fast": [2, 22]}
VARIANTS: list[dict[str, Any]] = [
    {"name": "pooled", "pool": 4, "how": "max"},
    {"name": "root", "crop": BOX, "pool": 2, "how": "sum", "root": True},
    {"name": "box", "crop": {"slow": [3, 16]}},
    {"name": "averaged", "pool": 3, "how": "mean"},
]
NAMES = sorted(one["name"] for one in VARIANTS)
COUNTS = {"noise": {"photon": True, "seed": 5}, "output": {"dtype": "uint16"}}


def swept(values: tuple[float, ...] = (0.0, 3.0, 7.0), **changes: Any) -> SweepSpec:
    sections: dict[str, Any] = {
        "beam": {"wavelength_angstrom": 1.0, "fluence_photons_per_m2": 3e29},
        "background": {"water_um": 0.021},
        "output": {"variants": VARIANTS},
    }
    for name, fields in changes.items():
        sections[name] = {**sections.get(name, {}), **fields}
    axes = [{"name": "phi", "path": "goniometer.phi_deg", "values": list(values)}]
    return SweepSpec.model_validate({"experiment": tiny_plain(**sections), "axes": axes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("varied") / "RUN"
    db.sweep(swept(**COUNTS), path, cluster="serial")
    return path


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run without whole frames."""
    path = tmp_path_factory.mktemp("alone") / "RUN"
    output = {**COUNTS["output"], "frames": False}
    db.sweep(swept(**COUNTS | {"output": output}), path, cluster="serial")
    return path


@pytest.fixture(params=["beside", "alone"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> RunDirectory:
    source = request.getfixturevalue("finished" if request.param == "beside" else "alone")
    return open_run(shutil.copytree(source, tmp_path / "RUN"))


def blocks(images: NDArray[Any], factor: int) -> NDArray[Any]:
    """Return (…, slow, fast, pixels of a block), by indices alone."""
    slow, fast = (size // factor for size in images.shape[-2:])
    rows = np.arange(slow)[:, None] * factor + np.arange(factor)
    columns = np.arange(fast)[:, None] * factor + np.arange(factor)
    found = images[..., rows[:, None, :, None], columns[None, :, None, :]]
    return found.reshape(*found.shape[:-2], -1)


def by_hand(images: NDArray[Any]) -> dict[str, NDArray[Any]]:
    sums = blocks(images[..., 3:16, 2:22].astype(np.float64), 2).sum(axis=-1)
    return {
        "averaged": blocks(images.astype(np.float64), 3).mean(axis=-1).astype(np.float32),
        "box": images[..., 3:16, :],
        "pooled": blocks(images, 4).max(axis=-1),
        "root": np.rint(np.sqrt(sums)).astype(np.uint16),
    }


@pytest.mark.spec("VAR-1")
def test_variants_are_variables_with_pixels_of_their_own(finished: Path) -> None:
    with db.open_stack(finished) as stack:
        assert set(stack.data_vars) == {"images", *NAMES}
        assert dict(stack["pooled"].sizes) == {"phi": 3, "pooled_slow": 4, "pooled_fast": 5}
        assert dict(stack["root"].sizes) == {"phi": 3, "root_slow": 6, "root_fast": 10}
        # Middles of pixels in mm from the corner of the frame: 2 + 2 * 2.5 pixels of 0.1 mm.
        np.testing.assert_allclose(stack["root_fast"].values[2], 0.7)
        np.testing.assert_allclose(stack["pooled_slow"].values, [0.2, 0.6, 1.0, 1.4])
        for name in NAMES:
            attrs = stack[name].attrs
            assert {"units", "long_name", "steps", "made_of", "factor"} <= attrs.keys()
            assert stack[f"{name}_slow"].attrs["units"] == "mm"
        assert stack["pooled"].attrs["units"] == stack["averaged"].attrs["units"] == "photons"
        root = stack["root"].attrs
        assert (root["units"], root["frame_units"]) == ("1", "photons")
        assert root["steps"] == ("slow 3:16, fast 2:22; sum of 2 x 2 pixels; square root, rounded")
        assert stack["pooled"].chunks is not None
        assert stack["pooled"].chunks[0] == stack["images"].chunks[0]
    with xr.open_zarr(finished) as plain:
        assert set(NAMES) <= set(plain.data_vars)


@pytest.mark.spec("VAR-2")
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_variants_are_made_of_the_stored_pixels(finished: Path, tmp_path: Path, dtype: str) -> None:
    path = finished
    if dtype == "float32":
        path = tmp_path / "RUN"
        db.sweep(swept(), path, cluster="serial")
    with db.open_stack(path) as stack:
        expected = by_hand(stack["images"].values)
        assert (stack["images"].values > 0).any()
        for name in NAMES:
            found = stack[name].values
            if dtype == "uint16" or name in ("box", "pooled", "root"):
                np.testing.assert_array_equal(found, expected[name])
            else:
                np.testing.assert_allclose(found, expected[name], rtol=1e-6)
        types = [stack[name].dtype.name for name in NAMES]
    assert types == ["float32", dtype, dtype, "uint16"]


@pytest.mark.spec("VAR-2")
def test_sums_of_counts_are_wide_and_roots_stay_below_the_mark_of_missing_frames() -> None:
    from distbragg.plan.variants import variants_of
    from distbragg.spec.compute import OutputSpec

    def made(dtype: str, value: int, **steps: Any) -> Any:
        output = OutputSpec.model_validate({"dtype": dtype, "variants": [{"name": "one", **steps}]})
        (one,) = variants_of(output, (4, 6))
        return one.make(np.full((1, 4, 6), value, dtype=dtype))

    sums = made("uint16", 65534, pool=2, how="sum")
    assert (sums.dtype, sums.max()) == (np.uint32, 4 * 65534)
    assert made("uint32", 2**32 - 2, pool=2, how="sum").max() == 2**32 - 2
    assert made("int16", -5, pool=2, how="sum").min() == -20
    assert made("uint32", 2**32 - 2, root=True).max() == 65534
    assert made("int16", -5, root=True).max() == 0
    assert made("float32", 3, root=True).max() == 2


@pytest.mark.spec("VAR-3")
def test_labels_stay_where_they_are_and_attributes_say_where_they_lie(tmp_path: Path) -> None:
    path = tmp_path / "RUN"
    changes: dict[str, Any] = {
        "crystal": {"misset_deg": [5.0, 3.0, 11.0], "block_cells": [20, 20, 20]},
        "detector": {"pixel_size_mm": 1.0, "pixels_fast": 61, "pixels_slow": 53},
        "sampling": {"oversample": 4},
        "output": {
            "labels": True,
            "label_minimum_photons": 100.0,
            "variants": [
                {"name": "pooled", "pool": 4, "how": "sum"},
                {
                    "name": "box",
                    "crop": {"slow": [8, 50], "fast": [5, 60]},
                    "pool": 3,
                    "how": "sum",
                },
            ],
        },
    }
    db.sweep(swept((0.0,), **changes), path, cluster="serial")
    spots = db.open_labels(path)
    bright = np.argsort(-spots["photons"])[:8]
    with db.open_stack(path) as stack:
        whole, looked = stack["images"].values[0], 0
        for name in ("pooled", "box"):
            reader = FrameReader(path, name)
            small, variant = reader.read([0])[0], reader.variant
            attrs = stack[name].attrs
            assert variant is not None
            assert variant.offset == (attrs["offset_slow"], attrs["offset_fast"])
            assert variant.factor == attrs["factor"]
            for number in bright:
                at = np.array([spots["slow"][number], spots["fast"][number]])
                there = (at - variant.offset) / variant.factor
                if not ((there >= 0) & (there < small.shape)).all():
                    continue
                slow, fast = there.astype(int)
                first = variant.offset + there.astype(int) * variant.factor
                block = whole[first[0] : first[0] + attrs["factor"],
                              first[1] : first[1] + attrs["factor"]]  # fmt: skip
                assert small[slow, fast] == pytest.approx(block.sum())
                assert (first <= at).all()
                assert (at < first + variant.factor).all()
                looked += 1
    assert looked >= 12


@pytest.mark.spec("VAR-4")
def test_variants_alone_are_those_beside_frames(finished: Path, alone: Path) -> None:
    both, without = open_run(finished), open_run(alone)
    assert not (alone / "images").exists()
    assert [one.array for one in without.arrays] == NAMES
    for name, data in objects_of(without).items():
        assert (finished / name).read_bytes() == data
    receipts = completed_units(both), completed_units(without)
    assert [one.sum for one in receipts[0].values()] == [one.sum for one in receipts[1].values()]
    with db.open_stack(alone) as stack, db.open_stack(finished) as other:
        assert set(stack.data_vars) == set(NAMES)
        assert stack.attrs["missing_frames"] == 0
        xr.testing.assert_identical(stack["pooled"].drop_attrs(), other["pooled"].drop_attrs())
        assert stack["slow"].size == 17  # what the positions of labels are told in
    assert "pooled" in card(alone)
    assert read_records(alone).stored_bytes == sum(map(len, objects_of(without).values()))
    assert "stores no whole frames" in report_html(alone)


@pytest.mark.spec("VAR-4")
@pytest.mark.parametrize(
    "command",
    [
        ["export", "RUN", "--format", "npy"],
        ["plot", "RUN", "-o", "sheet.png"],
        ["noise", "RUN", "-o", "drawn.zarr"],
    ],
)
def test_what_needs_whole_frames_says_so_in_one_line(
    alone: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(alone, tmp_path / "RUN")
    before = {path.name for path in tmp_path.iterdir()}
    assert main(command) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "RUN" in line
    assert "no whole frames" in line or "output.dtype" in line or "noise.photon" in line
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.mark.spec("VAR-5")
@pytest.mark.parametrize(
    ("variant", "field", "problem"),
    [
        ({"pool": 18, "how": "max"}, "0.pool", "blocks of 18 pixels where there are 17 x 23"),
        ({"crop": {"slow": [0, 18]}}, "0.crop.slow", "pixels 0 to 18 of a panel of 17"),
        ({"crop": {"fast": [20, 24]}}, "0.crop.fast", "pixels 20 to 24 of a panel of 23"),
        ({"crop": {"fast": [4, 4]}}, "0.crop.fast", "are none"),
        ({"crop": {}}, "0.crop", "neither slow nor fast"),
        ({"crop": {"slow": [2, 5]}, "pool": 4, "how": "max"}, "0.pool", "where there are 3 x 23"),
        ({"pool": 4}, "0.how", "not given, where pool is"),
        ({"how": "max"}, "0.how", "given without pool"),
        ({}, "0.name", "is the frame itself"),
        ({"name": "hkl", "root": True}, "0.name", "the name of another array"),
        ({"name": "images", "root": True}, "0.name", "for something else"),
        ({"name": "one_fast", "root": True}, "0.name", "for something else"),
        ({"name": "../x", "root": True}, "0.name", "as it must be"),
    ],
)
def test_impossible_variants_are_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    variant: dict[str, Any],
    field: str,
    problem: str,
) -> None:
    import yaml

    plain = tiny_plain(output={"variants": [{"name": "one", **variant}]})
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump({"experiment": plain}))
    assert main(["sweep", str(file), "-o", str(tmp_path / "RUN")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"output.variants.{field}" in line
    assert problem in line
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.yaml"]


@pytest.mark.spec("VAR-5")
def test_names_of_variants_are_their_own(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name of another array"):
        swept(output={"variants": [VARIANTS[0], VARIANTS[0]]})
    with pytest.raises(ValueError, match="no variants to store in place"):
        swept(output={"variants": [], "frames": False})
    for name in ("pooled", "pooled_fast"):
        plain = swept().model_dump(mode="json", exclude_unset=True)
        plain["axes"][0]["name"] = name
        with pytest.raises(InputError, match="name of the variant 'pooled'"):
            db.create(SweepSpec.model_validate(plain), tmp_path / "RUN")
    assert not (tmp_path / "RUN").exists()


@pytest.mark.spec("VAR-6")
@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("damage", ["gone", "cut", "changed"])
def test_damaged_variant_is_found_and_rendered_again(
    run: RunDirectory, damage: str, *, sealed: bool
) -> None:
    if sealed:
        seal(run)
    before = objects_of(run)
    for one in run.arrays:
        path = run.path / one.object_name(1)
        data = path.read_bytes()
        if damage == "gone":
            path.unlink()
        else:
            changed = data[:40] + bytes([data[40] ^ 1]) + data[41:]
            path.write_bytes(data[:-9] if damage == "cut" else changed)
        (found,) = verify(run).findings
        assert found.unit == 1
        assert found.kind == "map" or one is run.first
        left = set(range(run.layout.units)) - done_units(run)
        assert left == (set() if damage == "changed" else {1})
        assert repair(run, cluster="serial").repaired == (1,)
        assert objects_of(run) == before
    assert verify(run, level="deep", audit=9).sound


@pytest.mark.spec("VAR-6")
def test_file_in_a_variant_that_is_no_object_is_found(run: RunDirectory) -> None:
    (run.path / "pooled" / "c" / "odd").write_bytes(b"x")
    (found,) = verify(run).files
    assert (found.name, found.kind) == ("pooled/c/odd", "foreign")


@pytest.mark.spec("VAR-6")
def test_changed_coordinates_of_a_variant_break_the_seal(run: RunDirectory) -> None:
    seal(run)
    path = run.path / "pooled_slow" / "c" / "0"
    path.write_bytes(path.read_bytes()[::-1])
    assert [item.name for item in verify(run).files] == ["pooled_slow/c/0"]


@pytest.mark.spec("VAR-6")
def test_extended_run_keeps_the_variants_of_its_old_frames(
    run: RunDirectory, tmp_path: Path
) -> None:
    output = {**COUNTS["output"], "frames": None if run.keeps_frames else False}
    changes = COUNTS | {"output": output}
    with db.open_stack(run.path) as stack:
        before = {name: stack[name].values for name in NAMES}
    more = db.extend(run, swept((9.0, 11.0), **changes))
    db.resume(more, cluster="serial")
    assert verify(more, audit=9).sound
    whole = tmp_path / "whole"
    db.sweep(swept((0.0, 3.0, 7.0, 9.0, 11.0), **changes), whole, cluster="serial")
    with db.open_stack(run.path) as stack, db.open_stack(whole) as other:
        for name in NAMES:
            np.testing.assert_array_equal(stack[name].values, other[name].values)
            np.testing.assert_array_equal(stack[name].values[:3], before[name])
            assert stack[name].attrs.keys() == other[name].attrs.keys()


@pytest.mark.spec("VAR-6")
def test_published_run_has_its_variants(run: RunDirectory, bucket: str) -> None:
    seal(run)
    url = f"{bucket}/RUN"
    publish(run, url)
    there = open_run(url)
    assert verify(there).sound
    for one in run.arrays:
        name = one.object_name(0)
        assert there.objects.get(name) == (run.path / name).read_bytes()
    with db.open_stack(url) as stack, db.open_stack(run.path) as here:
        np.testing.assert_array_equal(stack["pooled"].values, here["pooled"].values)


@pytest.mark.spec("VAR-6")
def test_frames_that_are_taken_from_other_runs_bring_their_variants(
    run: RunDirectory, tmp_path: Path
) -> None:
    output = {**COUNTS["output"], "frames": None if run.keeps_frames else False}
    other = tmp_path / "other"
    db.sweep(swept((9.0, 11.0), **COUNTS | {"output": output}), other, cluster="serial")
    part, both = tmp_path / "part", tmp_path / "both"
    assert db.subset(run.path, part, frames="1:3").cut == 1
    # Three frames in units of two: the first is copied, the frames of the others are cut anew.
    assert db.merge([run.path, other], both).copied == 1
    for path, expected in ((part, [(run.path, [1, 2])]),
                           (both, [(run.path, [0, 1, 2]), (other, [0, 1])])):  # fmt: skip
        assert verify(path, level="deep", audit=9).sound
        with db.open_stack(path) as stack:
            for name in stack.data_vars:
                values = [db.open_stack(source)[name].values[at] for source, at in expected]
                np.testing.assert_array_equal(stack[name].values, np.concatenate(values))
    assert open_run(both).arrays[0].array == run.first.array


@pytest.mark.spec("VAR-7")
def test_variants_of_a_drawn_run_are_of_what_is_drawn(tmp_path: Path) -> None:
    clean, drawn, alone = (tmp_path / f"{name}.zarr" for name in ("clean", "drawn", "alone"))
    db.sweep(swept(), clean, cluster="serial")
    assert db.noise(clean, drawn, ["output.dtype=uint16"], cluster="serial").status == 0
    with db.open_stack(drawn) as stack:
        expected = by_hand(stack["images"].values)
        assert stack["images"].dtype == np.uint16
        for name in NAMES:
            np.testing.assert_array_equal(stack[name].values, expected[name])
    overrides = ["output.dtype=uint16", "output.frames=false"]
    assert db.noise(clean, alone, overrides, cluster="serial").status == 0
    with db.open_stack(alone) as stack:
        assert "images" not in stack
        np.testing.assert_array_equal(stack["root"].values, expected["root"])
    path = alone / open_run(alone).first.object_name(0)
    before = path.read_bytes()
    path.unlink()
    assert repair(alone, cluster="serial").repaired == (0,)
    assert path.read_bytes() == before
    assert verify(alone, audit=9).sound


@pytest.mark.spec("VAR-7")
def test_noise_is_drawn_of_parts_that_stand_in_place_of_frames(tmp_path: Path) -> None:
    parts, drawn, direct = (tmp_path / f"{name}.zarr" for name in ("parts", "drawn", "direct"))
    kept = {"maps": ["bragg", "background"], "frames": False}
    db.sweep(swept(output=kept), parts, cluster="serial")
    overrides = ["output.frames=true", "output.dtype=uint16"]
    assert db.noise(parts, drawn, [*overrides, "noise.seed=5"], cluster="serial").status == 0
    db.sweep(swept(**COUNTS), direct, cluster="serial")
    with db.open_stack(drawn) as one, db.open_stack(direct) as other:
        # Rounded expectations move a count in some millions.
        np.testing.assert_array_equal(one["pooled"].values, other["pooled"].values)


@pytest.mark.spec("VAR-8")
@pytest.mark.parametrize("way", WAYS)
def test_any_way_of_rendering_stores_the_same_bytes(
    run: RunDirectory, tmp_path: Path, way: str, render_by: Callable[[str, RunDirectory], None]
) -> None:
    compute = WAYS_COMPUTE.get(way, {})
    output = {**COUNTS["output"], "frames": None if run.keeps_frames else False}
    other = db.create(swept(**COUNTS | {"output": output}, compute=compute), tmp_path / way)
    render_by(way, other)
    assert objects_of(other) == objects_of(run)


@pytest.mark.spec("VAR-9")
def test_a_run_without_variants_is_what_it_was(finished: Path, tmp_path: Path) -> None:
    plain = db.create(swept(**COUNTS | {"output": {**COUNTS["output"], "variants": []}}),
                      tmp_path / "plain")  # fmt: skip
    run = open_run(finished)
    stored = plain.manifest.sweep["experiment"]["output"]
    assert not {"variants", "frames"} & stored.keys()
    assert plain.manifest.physics_hash == run.manifest.physics_hash
    assert plain.manifest.plan_hash == run.manifest.plan_hash
    assert plain.manifest.layout == run.manifest.layout
    db.resume(plain, cluster="serial")
    assert "maps" not in completed_units(plain)[0].to_plain()
    name = run.layout.object_name(0)
    assert (plain.path / name).read_bytes() == (run.path / name).read_bytes()


@pytest.mark.spec("VAR-9")
def test_plan_counts_bytes_memory_and_names_variants() -> None:
    pixels, output = 3 * 17 * 23, COUNTS["output"]
    beside = 3 * (4 * 5 * 2 + 6 * 10 * 2 + 13 * 23 * 2 + 5 * 7 * 4)
    without, told, alone = (
        plan(swept(**COUNTS | {"output": {**output, **changes}}))
        for changes in ({"variants": None}, {}, {"frames": False})
    )
    assert without.bytes_on_disk == 2 * pixels
    assert told.bytes_on_disk == 2 * pixels + beside
    assert alone.bytes_on_disk == beside
    assert told.memory.total > without.memory.total
    assert ("variant", "pooled, 4 x 5 pixels of uint16: max of 4 x 4 pixels") in told.rows()
    assert ("whole frames", "not stored") in alone.rows()
    assert not {"variant", "whole frames"} & {name for name, _ in without.rows()}


@pytest.mark.spec("VAR-9")
def test_variants_alone_let_units_hold_more_frames() -> None:
    big: dict[str, Any] = {
        "detector": {"pixels_fast": 3840, "pixels_slow": 3840},
        "sampling": {"method": "closed_form"},
        "crystal": {"shape": "gauss", "mosaic": {"spread_deg": 0.1, "distribution": "gaussian"}},
        "compute": {"frames_per_unit": "auto", "tile": "auto"},
    }
    pooled = {"name": "pooled", "pool": 7, "how": "max", "root": True}
    axes = tuple(float(i) for i in range(1000))
    both = plan(swept(axes, **big, output={"variants": [pooled]}))
    alone = plan(swept(axes, **big, output={"variants": [pooled], "frames": False}))
    assert alone.bytes_on_disk == 1000 * 548 * 548 * 2
    assert both.bytes_on_disk == alone.bytes_on_disk + 1000 * 3840**2 * 4
    assert alone.frames_per_unit >= both.frames_per_unit
    assert alone.memory.shard_assembly < both.memory.shard_assembly


@pytest.mark.spec("VAR-10")
def test_panels_are_kept(tmp_path: Path) -> None:
    sizes = {"pixel_size_mm": 0.1, "fast": [1, 0, 0], "slow": [0, -1, 0]}
    panels = [
        {**sizes, "origin_mm": [-1.1, 0.9, 100], "pixels_slow": 17, "pixels_fast": 23},
        {**sizes, "origin_mm": [-1.1, -0.9, 100], "pixels_slow": 13, "pixels_fast": 21},
    ]
    path = tmp_path / "RUN"
    plain = tiny_plain(
        beam={"fluence_photons_per_m2": 3e29},
        output={"variants": VARIANTS},
        compute={"tile": "auto"},
    )
    plain["detector"] = {"panels": panels}
    axes = [{"name": "phi", "path": "goniometer.phi_deg", "values": [0.0, 2.0, 3.0]}]
    db.sweep(SweepSpec.model_validate({"experiment": plain, "axes": axes}), path, cluster="serial")
    with db.open_stack(path) as stack:
        assert stack["pooled"].dims == ("phi", "panel", "pooled_slow", "pooled_fast")
        assert list(stack["panel"].values) == ["panel0", "panel1"]
        expected = by_hand(stack["images"].values)
        np.testing.assert_array_equal(stack["pooled"].values, expected["pooled"])
        np.testing.assert_array_equal(stack["root"].values, expected["root"])
    assert FrameReader(path, "root").read([1])[0].shape == (2, 6, 10)


@pytest.mark.spec("VAR-11")
def test_rendered_frame_has_the_variants_of_the_stack(finished: Path) -> None:
    found = db.render(swept(**COUNTS).frame_spec(0))
    with db.open_stack(finished) as stack:
        for name in NAMES:
            one, other = found[name], stack[name].isel(phi=0)
            np.testing.assert_array_equal(one.values, other.values)
            assert one.dtype == other.dtype
            assert one.dims == other.dims
            assert one.attrs["steps"] == other.attrs["steps"]
            np.testing.assert_array_equal(one[f"{name}_slow"], other[f"{name}_slow"])


@pytest.mark.spec("VAR-11")
def test_pixels_of_a_variant_know_what_they_look_at(finished: Path) -> None:
    with db.open_stack(finished) as stack:
        q = stack["images"].bragg.q.values
        small = stack["averaged"].rename(averaged_slow="slow", averaged_fast="fast")
        middles = q[1:15:3, 1:21:3]
        np.testing.assert_allclose(small.bragg.q.values, middles, rtol=1e-9)


@pytest.mark.spec("VAR-11")
def test_reader_reads_a_variant_and_refuses_what_is_not_stored(finished: Path, alone: Path) -> None:
    reader = FrameReader(alone, "pooled")
    with db.open_stack(finished) as stack:
        for frame, image in zip((2, 0), reader.read([2, 0]), strict=True):
            np.testing.assert_array_equal(image, stack["pooled"].values[frame])
    assert (reader.layout.shape, reader.layout.dtype) == ((4, 5), "uint16")
    with pytest.raises(InputError, match="stores no whole frames, but averaged, box, pooled"):
        FrameReader(alone)
    with pytest.raises(InputError, match="stores no array 'other', but images"):
        FrameReader(finished, "other")


@pytest.mark.spec("VAR-5")
def test_names_that_a_stack_or_an_item_has_are_no_names_of_variants() -> None:
    from distbragg.spec.variants import ENDINGS, TAKEN
    from distbragg.store.frame_labels import FRAME_LABELS, HIT_SEEN, ITEM_KEYS
    from distbragg.store.layout import IMAGES, LABELS, OVERLOADS, SKIPPED
    from distbragg.store.own_arrays import PANEL_NAMES, PIXEL_NAMES
    from distbragg.training.items import RECORDED

    names = {IMAGES, LABELS, OVERLOADS, SKIPPED, RECORDED, HIT_SEEN, *PANEL_NAMES, *PIXEL_NAMES}
    names |= {*FRAME_LABELS, *ITEM_KEYS}
    assert {name for name in names if not name.endswith(ENDINGS)} <= TAKEN


@pytest.mark.spec("VAR-11")
def test_items_of_a_variant_are_those_that_transforms_make_of_frames(tmp_path: Path) -> None:
    from distbragg.training import Crop, Pool, Root

    box = {"slow": [8, 50], "fast": [5, 60]}
    changes: dict[str, Any] = {
        "crystal": {"misset_deg": [5.0, 3.0, 11.0], "block_cells": [20, 20, 20]},
        "detector": {"pixel_size_mm": 1.0, "pixels_fast": 61, "pixels_slow": 53},
        "sampling": {"oversample": 4},
        "noise": {"photon": True, "seed": 5},
        "output": {
            "dtype": "uint32",
            "labels": True,
            "variants": [{"name": "one", "crop": box, "pool": 4, "how": "max", "root": True}],
        },
    }
    path, alone = tmp_path / "RUN", tmp_path / "alone"
    db.sweep(swept(**changes), path, cluster="serial")
    output = {**changes["output"], "frames": False}
    db.sweep(swept(**changes | {"output": output}), alone, cluster="serial")
    steps = (Crop((8, 50), (5, 60)), Pool(4, "max"), Root(whole=True))
    options: dict[str, Any] = {"dtype": "stored", "spots": ["position", "hkl", "photons"]}
    wanted = db.StackDataset(path, transform=steps, **options)
    assert len(wanted) == 3
    for run in (path, alone):
        items = db.StackDataset(run, variant="one", **options)
        for one, other in zip(items, wanted, strict=True):
            assert one["image"].shape == (10, 13)
            assert one["image"].dtype == other["image"].dtype
            np.testing.assert_array_equal(one["image"].numpy(), other["image"].numpy())
            assert len(one["spots"]["hkl"]) > 10
            for name in one["spots"]:
                np.testing.assert_allclose(one["spots"][name], other["spots"][name], rtol=1e-6)
    with pytest.raises(InputError, match="stores no whole frames, but one"):
        db.StackDataset(alone)
    with pytest.raises(InputError, match="stores no array 'two', but images, one"):
        db.StackDataset(path, variant="two")
