"""Maps beside the images: of each pixel what its expected photons are made of."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import distbragg as db
from distbragg.errors import InputError
from distbragg.run.prepare import plan
from distbragg.run.publish import publish
from distbragg.run.render import render_image
from distbragg.run.repair import repair
from distbragg.run.verify import seal, verify
from distbragg.spec.compute import MapName
from distbragg.spec.sweep import SweepSpec
from distbragg.store.ledger import completed_units, done_units
from distbragg.store.run_directory import RunDirectory, open_run

from .conftest import WAYS, WAYS_COMPUTE, objects_of, tiny_plain

ALL: list[MapName] = [
    "bragg",
    "background",
    "mean_wavelength",
    "bragg_share",
    "spot_mask",
    "hkl",
    "lattice",
]
LINES = {"wavelengths_angstrom": [1.0, 1.01, 0.99], "weights": [1.0, 0.3, 0.7]}


def mapped_sweep(values: tuple[float, ...] = (0.0, 3.0, 7.0), **changes: Any) -> SweepSpec:
    sections: dict[str, Any] = {
        "beam": {"spectrum": LINES, "fluence_photons_per_m2": 3e29},
        "background": {"water_um": 0.021},
        "output": {"maps": ALL},
    }
    sections = {
        name: {**sections.get(name, {}), **changes.get(name, {})}
        for name in sections.keys() | changes.keys()
    }
    axes = [{"name": "phi", "path": "goniometer.phi_deg", "values": list(values)}]
    return SweepSpec.model_validate({"experiment": tiny_plain(**sections), "axes": axes})


def noisy_sweep(**changes: Any) -> SweepSpec:
    response = {"gain_adu_per_photon": 2.0, "offset_adu": 10, "readout_adu": 1.0}
    return mapped_sweep(
        noise={"photon": True, "seed": 5}, detector={"response": response}, **changes
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mapped") / "RUN"
    db.sweep(mapped_sweep(), path, cluster="serial")
    return path


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> RunDirectory:
    return open_run(shutil.copytree(finished, tmp_path / "RUN"))


@pytest.mark.spec("MAP-1")
def test_maps_are_variables_of_the_stack_with_units(run: RunDirectory) -> None:
    with db.open_stack(run.path) as stack:
        assert set(stack.data_vars) == {"images", *ALL}
        for name in ALL:
            assert stack[name].dims[:3] == stack["images"].dims
            assert stack[name].chunks[:3] == stack["images"].chunks
            assert {"units", "long_name"} <= stack[name].attrs.keys()
        assert stack["spot_mask"].dtype == np.uint8
        assert stack["hkl"].dtype == stack["lattice"].dtype == np.int16
        assert stack["hkl"].sizes["hkl_component"] == 3
        assert stack["mean_wavelength"].attrs["units"] == "angstrom"
    with xr.open_zarr(run.path) as plain:
        assert set(ALL) <= set(plain.data_vars)


@pytest.mark.spec("MAP-2")
def test_parts_add_up_to_what_is_expected(run: RunDirectory) -> None:
    with db.open_stack(run.path) as stack:
        parts = stack["bragg"].values.astype(np.float64) + stack["background"].values
        np.testing.assert_allclose(parts, stack["images"].values, rtol=2**-22)
        share = stack["bragg"].values / parts
        np.testing.assert_allclose(stack["bragg_share"].values, share, rtol=2**-21)
        assert 0.0 < share.min() < 0.1 < 0.9 < share.max() < 1.0


@pytest.mark.spec("MAP-3")
def test_mean_wavelength_is_that_of_the_lines_rendered_one_by_one(run: RunDirectory) -> None:
    plain = mapped_sweep().frame_spec(1).model_dump(mode="json")
    weighted = total = np.zeros(run.layout.shape)
    for wavelength, weight in zip(*LINES.values(), strict=True):
        plain["beam"]["spectrum"] = {"wavelengths_angstrom": [wavelength], "weights": [1.0]}
        one = plain | {"background": {}, "output": {}}
        image = weight * render_image(SweepSpec.model_validate({"experiment": one}))
        weighted, total = weighted + wavelength * image, total + image
    with db.open_stack(run.path) as stack:
        found = stack["mean_wavelength"].values[1]
    np.testing.assert_allclose(found, weighted / total, atol=3e-7)
    assert found.min() < 0.995 < 1.0005 < found.max()


@pytest.mark.spec("MAP-4")
def test_mask_asks_for_photons_and_for_their_share(run: RunDirectory, tmp_path: Path) -> None:
    bounds = {"maps": ALL, "mask_minimum_photons": 3.0, "mask_minimum_fraction": 0.4}
    db.sweep(mapped_sweep(output=bounds), tmp_path / "M", cluster="serial")
    for path, photons, least in ((run.path, 1.0, 0.0), (tmp_path / "M", 3.0, 0.4)):
        with db.open_stack(path) as stack:
            wanted = (stack["bragg"].values >= photons) & (stack["bragg_share"].values >= least)
            np.testing.assert_array_equal(stack["spot_mask"].values, wanted)
            assert 0 < wanted.sum() < wanted.size
            attrs = stack["spot_mask"].attrs
            assert (attrs["minimum_photons"], attrs["minimum_fraction"]) == (photons, least)


@pytest.mark.spec("MAP-5")
def test_a_miss_and_a_frame_without_background(tmp_path: Path) -> None:
    miss = mapped_sweep(crystal={"present": False}).frame_spec(0)
    found = db.render(miss)
    for name in ("bragg", "bragg_share", "spot_mask"):
        assert not found[name].any()
    assert np.isnan(found["mean_wavelength"]).all()
    assert (found["hkl"] == -32768).all()
    assert (found["lattice"] == -1).all()
    np.testing.assert_array_equal(found["background"], found["images"])
    bare = mapped_sweep(background={"water_um": 0.0}).frame_spec(0)
    found = db.render(bare)
    assert not found["background"].any()
    np.testing.assert_array_equal(found["bragg"], found["images"])
    np.testing.assert_array_equal(found["bragg_share"], found["bragg"] > 0.0)


@pytest.mark.spec("MAP-6")
@pytest.mark.parametrize("way", WAYS)
def test_any_way_of_rendering_stores_the_same_bytes(
    run: RunDirectory, tmp_path: Path, way: str, render_by: Callable[[str, RunDirectory], None]
) -> None:
    compute = WAYS_COMPUTE.get(way, {})
    other = db.create(mapped_sweep(compute=compute), tmp_path / way)
    render_by(way, other)
    assert objects_of(other) == objects_of(run)


@pytest.mark.spec("MAP-7")
@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("damage", ["gone", "cut", "changed"])
def test_damaged_map_is_found_and_rendered_again(
    run: RunDirectory, damage: str, *, sealed: bool
) -> None:
    if sealed:
        seal(run)
    before = objects_of(run)
    path = run.path / run.beside[1].object_name(1)
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        changed = data[:40] + bytes([data[40] ^ 1]) + data[41:]
        path.write_bytes(data[:-9] if damage == "cut" else changed)
    (found,) = verify(run).findings
    assert (found.unit, found.kind) == (1, "map")
    assert run.beside[1].array in found.problem
    left = set(range(run.layout.units)) - done_units(run)
    assert left == (set() if damage == "changed" else {1})
    assert repair(run, cluster="serial").repaired == (1,)
    assert objects_of(run) == before
    assert verify(run, audit=9).sound


@pytest.mark.spec("MAP-7")
def test_map_and_receipt_changed_together_break_the_seal(run: RunDirectory) -> None:
    digest = completed_units(run)[0].content
    seal(run)
    one = run.beside[0]
    first, second = (run.path / one.object_name(unit) for unit in (0, 1))
    stated = completed_units(run)[1].to_plain()["maps"][one.array]
    for path in (run.path / ".distbragg" / "receipts").iterdir():
        assert digest not in path.read_text()
    first.write_bytes(second.read_bytes())
    assert stated["size"] == first.stat().st_size
    assert [item.kind for item in verify(run).findings] == ["map"]


@pytest.mark.spec("MAP-7")
def test_file_in_a_map_that_is_no_object_is_found(run: RunDirectory) -> None:
    (run.path / "bragg" / "c" / "odd").write_bytes(b"x")
    (found,) = verify(run).files
    assert (found.name, found.kind) == ("bragg/c/odd", "foreign")


@pytest.mark.spec("MAP-7")
def test_extended_run_keeps_the_maps_of_its_old_frames(run: RunDirectory, tmp_path: Path) -> None:
    before = {name: db.open_stack(run.path)[name].values for name in ALL}
    more = db.extend(run, mapped_sweep(values=(9.0, 11.0)))
    db.resume(more, cluster="serial")
    assert verify(more, audit=9).sound
    whole = tmp_path / "whole"
    db.sweep(mapped_sweep(values=(0.0, 3.0, 7.0, 9.0, 11.0)), whole, cluster="serial")
    with db.open_stack(run.path) as stack, db.open_stack(whole) as other:
        for name in ALL:
            np.testing.assert_array_equal(stack[name].values, other[name].values)
            np.testing.assert_array_equal(stack[name].values[:3], before[name])


@pytest.mark.spec("MAP-7")
def test_published_run_has_its_maps(run: RunDirectory, bucket: str) -> None:
    url = f"{bucket}/RUN"
    publish(run, url)
    there = open_run(url)
    assert verify(there).sound
    for one in run.beside:
        name = one.object_name(0)
        assert there.objects.get(name) == (run.path / name).read_bytes()


@pytest.mark.spec("MAP-8")
def test_noise_is_drawn_again_of_the_parts_of_a_noisy_run(tmp_path: Path) -> None:
    noisy, drawn = tmp_path / "noisy.zarr", tmp_path / "drawn.zarr"
    db.sweep(noisy_sweep(), noisy, cluster="serial")
    assert db.noise(noisy, drawn, cluster="serial").status == 0
    with db.open_stack(noisy) as one, db.open_stack(drawn) as other:
        assert "bragg" not in other
        # Rounded expectations move a count in some millions.
        np.testing.assert_array_equal(one["images"].values, other["images"].values)
        means = one["bragg"].values.astype(np.float64) + one["background"].values
        again = tmp_path / "again.zarr"
        db.noise(noisy, again, ["noise.seed=6", "detector.response.readout_adu=0"])
        photons = (db.open_stack(again)["images"].values - 10.0) / 2.0
    off = (photons - means) / np.sqrt(np.maximum(means, 1e-9))
    bright = off[means > 5]
    assert abs(bright.mean()) < 4.0 / np.sqrt(bright.size)
    assert bright.std() == pytest.approx(1.0, abs=4.0 / np.sqrt(2.0 * bright.size))
    before = (drawn / open_run(drawn).layout.object_name(0)).read_bytes()
    (drawn / open_run(drawn).layout.object_name(0)).unlink()
    assert repair(drawn, cluster="serial").repaired == (0,)
    assert (drawn / open_run(drawn).layout.object_name(0)).read_bytes() == before


@pytest.mark.spec("MAP-8")
def test_counts_are_drawn_again_from_the_parts(tmp_path: Path) -> None:
    noisy, drawn, other = (tmp_path / f"{name}.zarr" for name in ("noisy", "drawn", "other"))
    counts = mapped_sweep(noise={"photon": True, "seed": 5}, output={"dtype": "uint32"})
    db.sweep(counts, noisy, cluster="serial")
    assert db.noise(noisy, drawn, cluster="serial").status == 0
    assert db.noise(noisy, other, ["noise.seed=6"], cluster="serial").status == 0
    first, again, otherwise = (
        db.open_stack(path)["images"].values for path in (noisy, drawn, other)
    )
    assert first.dtype == np.uint32
    np.testing.assert_array_equal(first, again)
    assert (first != otherwise).mean() > 0.3


@pytest.mark.spec("MAP-8")
def test_noise_is_refused_without_parts_and_with_maps(tmp_path: Path) -> None:
    noisy = tmp_path / "noisy.zarr"
    db.sweep(noisy_sweep(output={"maps": ["bragg"]}), noisy, cluster="serial")
    with pytest.raises(InputError, match="keeps no parts"):
        db.noise(noisy, tmp_path / "drawn.zarr")
    db.sweep(mapped_sweep(), tmp_path / "clean.zarr", cluster="serial")
    with pytest.raises(InputError, match="drawn has no maps"):
        db.noise(tmp_path / "clean.zarr", tmp_path / "b.zarr", ["output.maps=[bragg]"])


@pytest.mark.spec("MAP-9")
def test_plan_counts_bytes_and_passes() -> None:
    without, with_maps = (
        plan(mapped_sweep(output={"maps": maps})) for maps in (None, ["bragg", "spot_mask"])
    )
    pixels = 3 * 17 * 23
    assert without.bytes_on_disk == 4 * pixels
    assert with_maps.bytes_on_disk == 9 * pixels
    assert with_maps.nominal_seconds == pytest.approx(2 * without.nominal_seconds)
    assert with_maps.memory.total > without.memory.total


@pytest.mark.spec("MAP-9")
def test_a_run_without_maps_is_what_it_was(tmp_path: Path, run: RunDirectory) -> None:
    plain = db.create(mapped_sweep(output={"maps": []}), tmp_path / "plain")
    assert "maps" not in plain.manifest.sweep["experiment"]["output"]
    assert plain.manifest.physics_hash == run.manifest.physics_hash
    db.resume(plain, cluster="serial")
    assert "maps" not in completed_units(plain)[0].to_plain()
    name = run.layout.object_name(0)
    assert (plain.path / name).read_bytes() == (run.path / name).read_bytes()


@pytest.mark.spec("MAP-1")
def test_names_are_given_once_and_taken_by_no_axis(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="names an array twice"):
        mapped_sweep(output={"maps": ["bragg", "bragg"]})
    sweep = mapped_sweep()
    named = sweep.model_copy(
        update={"axes": tuple(a.model_copy(update={"name": "bragg"}) for a in sweep.axes)}
    )
    with pytest.raises(InputError, match="an axis has the name of the map"):
        db.create(named, tmp_path / "RUN")
    assert not (tmp_path / "RUN").exists()


@pytest.mark.spec("MAP-1")
def test_no_axis_has_the_name_of_the_numbers_of_a_map(tmp_path: Path) -> None:
    plain = mapped_sweep().model_dump(mode="json", exclude_unset=True)
    plain["axes"][0]["name"] = "hkl_component"
    with pytest.raises(InputError, match="name of the map 'hkl' or of its numbers"):
        db.create(SweepSpec.model_validate(plain), tmp_path / "RUN")
    assert not (tmp_path / "RUN").exists()


@pytest.mark.spec("MAP-2")
def test_parts_of_several_steps_of_the_c_program_add_up() -> None:
    sweep = mapped_sweep(
        crystal={"mosaic": {"spread_deg": 0.5, "domains": 3}},
        goniometer={"oscillation_deg": 2.0, "steps": 2},
    )
    found = db.render(sweep.frame_spec(0).model_copy(update={"physics": "nanobragg"}))
    parts = found["bragg"].values.astype(np.float64) + found["background"].values
    np.testing.assert_allclose(parts, found["images"].values, rtol=2**-22)
    assert found["background"].values.min() > 0.4


FEW = list(product((0, 1), (-2, -1, 1, 2), (-2, 0, 1)))
MANY = {"mosaic": {"spread_deg": 25.0, "domains": 40, "seed": 3}}
CLOSED = {
    "shape": "gauss",
    "block_cells": [3, 3, 3],
    "mosaic": {"spread_deg": 1.5, "distribution": "gaussian"},
}


def of_few(folder: Path, listed: list[tuple[int, int, int]], **changes: Any) -> Any:
    """One frame of reflections that overlap, of some of those listed alone."""
    amplitude = {hkl: 60.0 + 7.0 * (number % 5) for number, hkl in enumerate(FEW)}
    path = folder / "few.hkl"
    lines = (" ".join(map(str, (*hkl, amplitude[hkl]))) for hkl in listed)
    path.write_text("\n".join(lines) + "\n")
    sections: dict[str, Any] = {
        "structure_factors": {"file": str(path), "default_f_electrons": 0.0},
        "detector": {"pixel_size_mm": 0.45},
        "sampling": {"oversample": 2},
        "compute": {"precision": "float64"},
        "output": {"maps": ["hkl", "lattice"]},
    }
    sections = {
        name: {**sections.get(name, {}), **changes.get(name, {})}
        for name in sections.keys() | changes.keys()
    }
    return mapped_sweep(**sections).frame_spec(0)


@pytest.mark.spec("MAP-10")
@pytest.mark.parametrize("method", ["sampled", "closed_form"])
def test_strongest_is_the_brightest_of_reflections_rendered_alone(
    tmp_path: Path, method: str
) -> None:
    crystal = {"misset_deg": [5.0, 3.0, 11.0], **(CLOSED if method == "closed_form" else MANY)}
    changes: dict[str, Any] = {"crystal": crystal, "sampling": {"method": method, "oversample": 2}}
    found = db.render(of_few(tmp_path, FEW, **changes))
    alone = []
    for hkl in FEW:
        bare = of_few(tmp_path, [hkl], **changes, output={"maps": None})
        alone.append(render_image(bare.model_copy(update={"background": type(bare.background)()})))
    images = np.stack(alone)
    told = np.array(FEW)[images.argmax(axis=0)]
    lit = images.max(axis=0) > 0.0
    hkl = found["hkl"].values
    assert found["hkl"].dims == ("slow", "fast", "hkl_component")
    np.testing.assert_array_equal(hkl[lit], told[lit])
    assert (hkl[~lit] == found["hkl"].attrs["no_reflection"]).all()
    np.testing.assert_array_equal(found["lattice"].values, np.where(lit, 0, -1))
    assert len(np.unique(told[lit], axis=0)) >= 6
    second = np.sort(images, axis=0)[-2]
    assert (second[lit] > 0.2 * images.max(axis=0)[lit]).any()


@pytest.mark.spec("MAP-10")
@pytest.mark.parametrize("method", ["sampled", "closed_form"])
def test_strongest_says_which_lattice_it_belongs_to(tmp_path: Path, method: str) -> None:
    others = [
        {"misset_deg": [40.0, 3.0, 71.0], "illuminated_blocks": blocks} for blocks in (1e-9, 3)
    ]
    crystal: dict[str, Any] = {"misset_deg": [5.0, 3.0, 11.0], "illuminated_blocks": 2}
    crystal |= CLOSED if method == "closed_form" else {}
    sampling = {"method": method}
    both = db.render(
        of_few(tmp_path, FEW, crystal=crystal | {"lattices": others}, sampling=sampling)
    )
    images, names = [], []
    for one in (crystal, crystal | others[1]):
        maps = {"maps": ["bragg", "hkl"]}
        alone = db.render(of_few(tmp_path, FEW, crystal=one, sampling=sampling, output=maps))
        images.append(alone["bragg"].values)
        names.append(alone["hkl"].values)
    far = np.abs(images[0] - images[1]) > 0.9 * np.maximum(images[0], images[1])
    second = images[1] > images[0]
    np.testing.assert_array_equal(both["lattice"].values[far], np.where(second, 2, 0)[far])
    wanted = np.where(second[..., None], names[1], names[0])
    np.testing.assert_array_equal(both["hkl"].values[far], wanted[far])
    assert 10 < second[far].sum() < far.sum() - 10


@pytest.mark.spec("MAP-10")
@pytest.mark.parametrize("method", ["sampled", "closed_form"])
def test_strongest_is_the_label_where_a_spot_is(tmp_path: Path, method: str) -> None:
    crystal: dict[str, Any] = {"misset_deg": [5.0, 3.0, 11.0], "block_cells": [20, 20, 20]}
    if method == "closed_form":
        crystal |= {"shape": "gauss", "mosaic": {"spread_deg": 0.2, "distribution": "gaussian"}}
    changes = {
        "crystal": crystal,
        "detector": {"pixel_size_mm": 1.0},
        "sampling": {"method": method, "oversample": 4, "dmin_angstrom": 5.0},
        "output": {"maps": ["hkl", "bragg"], "labels": True, "label_minimum_photons": 1.0},
    }
    run = tmp_path / "RUN"
    assert db.sweep(mapped_sweep(values=(0.0,), **changes), run, cluster="serial").failures == {}
    spots = db.open_labels(run)
    with db.open_stack(run) as stack:
        hkl, bragg = stack["hkl"].values[0], stack["bragg"].values[0]
    places = list(zip(spots["slow"].astype(int), spots["fast"].astype(int), strict=True))
    bright = np.flatnonzero(spots["photons"] > 0.05 * spots["photons"].max())
    assert len(bright) >= 10
    same = sum(
        (hkl[places[n]] == [spots["h"][n], spots["k"][n], spots["l"][n]]).all() for n in bright
    )
    assert same >= 0.95 * len(bright)
    assert (bragg[hkl[..., 0] == -32768] == 0.0).all()


@pytest.mark.spec("MAP-6")
@pytest.mark.parametrize("precision", ["mixed", "float64"])
def test_strongest_in_closed_form_depends_on_no_tile_or_thread(
    tmp_path: Path, precision: str
) -> None:
    changes = {"crystal": {"misset_deg": [5.0, 3.0, 11.0], **CLOSED}}
    one, other = (
        db.render(of_few(tmp_path, FEW, compute={"precision": precision, "tile": tile}, **changes),
                  threads=threads)
        for tile, threads in (([17, 23], 1), ([5, 7], 3))
    )  # fmt: skip
    np.testing.assert_array_equal(one["hkl"].values, other["hkl"].values)
    assert len(np.unique(one["hkl"].values.reshape(-1, 3), axis=0)) > 8
