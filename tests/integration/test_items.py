"""Items of a labelled stack: spots, maps, masks and labels, moved with the pixels."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import distbragg as db
from distbragg.errors import InputError
from distbragg.training import Clip, Crop, Log, Normalise, Pool, RandomCrop, Root

EDGE = (121, 144)  # slow, fast: pooling by 4 drops a row
STOP_PIXELS, DEAD, HOT = 5.0, (30, 50), (45, 11)
EXPERIMENT: dict[str, Any] = {
    "beam": {"wavelength_angstrom": 1.0, "fluence_photons_per_m2": 1e28, "size_mm": 0.001},
    "crystal": {
        "cell": [16, 21, 25, 90, 90, 90],
        "block_cells": [30, 24, 20],
        "shape": "gauss",
        "mosaic": {"distribution": "gaussian", "spread_deg": 0.25},
        "drawn_lattices": {"seed": 2},
    },
    "structure_factors": {"default_f_electrons": 100.0},
    "detector": {
        "distance_mm": 60.0,
        "pixel_size_mm": 0.25,
        "pixels_fast": EDGE[1],
        "pixels_slow": EDGE[0],
        "beam_stop": {"radius_mm": STOP_PIXELS * 0.25},
        "response": {"dead_pixels": [DEAD], "hot_pixels": [HOT], "hot_value": 60000.0},
    },
    "sampling": {"method": "closed_form", "dmin_angstrom": 2.5},
    "compute": {"frames_per_unit": 3},
    "output": {
        "labels": True,
        "label_minimum_photons": 1.0,
        "maps": ["spot_mask", "hkl", "lattice", "mean_wavelength", "bragg_share", "bragg"],
    },
}
COUNTS = [1, 0, 2, 1, 1, 2, 0]
AXES = [
    {"name": "orientation", "dim": "shot", "random_orientations": {"count": 7, "seed": 4}},
    {"name": "crystals", "dim": "shot", "path": "crystal.drawn_lattices.count", "values": COUNTS},
]


def labelled_sweep(**changes: Any) -> db.SweepSpec:
    return db.SweepSpec.model_validate({"experiment": {**EXPERIMENT, **changes}, "axes": AXES})


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("items") / "RUN"
    db.sweep(labelled_sweep(), path, cluster="serial", threads=1)
    return path


def table_of(path: Path, frame: int) -> dict[str, np.ndarray[Any, Any]]:
    table = db.open_labels(path)
    chosen = (table["frame"] == frame) & table["active"]
    return {name: column[chosen] for name, column in table.items()}


@pytest.mark.spec("DAT-5")
def test_item_holds_the_spots_of_its_frame_and_the_maps(path: Path) -> None:
    names = ["position", "hkl", "photons", "lattice", "partiality", "resolution", "ellipse"]
    data = db.StackDataset(path, spots=names, maps=["hkl", "spot_mask", "bragg"], labels=[])
    stack = db.open_stack(path)
    for item in (data[2], data[0]):
        frame, spots = item["frame"], item["spots"]
        table = table_of(path, frame)
        assert set(item) == {"image", "frame", "spots", "maps"}
        assert set(spots) == set(names)
        np.testing.assert_allclose(spots["position"][:, 0], table["slow"], rtol=1e-6)
        np.testing.assert_allclose(spots["position"][:, 1], table["fast"], rtol=1e-6)
        for place, name in enumerate("hkl"):
            np.testing.assert_array_equal(spots["hkl"][:, place], table[name])
        np.testing.assert_array_equal(spots["lattice"], table["lattice"])
        for name in ("photons", "partiality", "resolution"):
            np.testing.assert_allclose(spots[name], table[name], rtol=1e-6)
        for place, name in enumerate(("variance_slow", "variance_fast", "covariance")):
            np.testing.assert_allclose(spots["ellipse"][:, place], table[name], rtol=1e-5)
        assert spots["hkl"].dtype == spots["lattice"].dtype == torch.int64
        for name, values in item["maps"].items():
            np.testing.assert_array_equal(values, stack[name][frame])
    assert len(data[1]["spots"]["position"]) == 0  # a miss


@pytest.mark.spec("DAT-5")
def test_the_strongest_are_kept_and_the_rest_counted(path: Path) -> None:
    every = db.StackDataset(path, spots=["position", "photons", "lattice"])
    few = db.StackDataset(path, spots=db.SpotColumns(("hkl", "lattice"), maximum=5))
    many = db.StackDataset(
        path, spots=db.SpotColumns(("photons", "lattice"), maximum=4000, minimum_photons=50.0)
    )
    photons = every[2]["spots"]["photons"]
    kept = few[2]["spots"]
    assert set(kept) == {"position", "hkl", "lattice", "count", "left_out"}
    assert (int(kept["count"]), int(kept["left_out"])) == (5, len(photons) - 5)
    strongest = np.sort(np.argsort(photons.numpy())[-5:])
    np.testing.assert_array_equal(kept["position"], every[2]["spots"]["position"][strongest])
    padded = many[2]["spots"]
    count = int((photons >= 50.0).sum())
    assert 5 < count < len(photons)
    assert int(padded["count"]) == count
    assert padded["photons"].shape == (4000,)
    assert float(padded["photons"][:count].min()) >= 50.0
    assert padded["photons"][count:].abs().sum() == 0
    assert set(padded["lattice"][count:].tolist()) == {-1}
    assert int(few[1]["spots"]["count"]) == 0


@pytest.mark.spec("DAT-6")
def test_recorded_leaves_out_stop_dead_and_hot_pixels(path: Path) -> None:
    item = db.StackDataset(path, maps=["recorded"])[1]
    mask = item["maps"]["recorded"].numpy()
    slow, fast = np.indices(EDGE) + 0.5
    # The beam of nanoBragg.c lies one pixel off the middle where no centre is given.
    away = np.hypot(slow - EDGE[0] / 2 - 1, fast - EDGE[1] / 2 - 1)
    expected = away > STOP_PIXELS
    expected[DEAD] = expected[HOT] = False
    unsure = np.abs(away - STOP_PIXELS) < 0.75
    np.testing.assert_array_equal(mask[~unsure], expected[~unsure])
    assert item["image"][HOT] == 60000.0


@pytest.mark.spec("DAT-7")
@pytest.mark.parametrize(
    "steps",
    [
        (Crop((7, 101), (4, 140)),),
        (Pool(2, "sum"),),
        (Crop((3, 120), (5, 144)), Pool(4)),
        (Pool(2, "mean"), RandomCrop(50, 60, seed=3)),
    ],
)
def test_spots_lie_on_the_maxima_of_the_image_after_crop_and_pool(path: Path, steps: Any) -> None:
    columns = ["position", "photons", "hkl", "lattice"]
    moved = db.StackDataset(path, spots=columns, maps=["hkl", "lattice", "spot_mask"],
                            transform=steps)  # fmt: skip
    seen = 0
    for index in (0, 2, 3, 5):
        item = moved[index]
        image, spots = item["image"].numpy(), item["spots"]
        height, width = image.shape
        strong = np.argsort(-spots["photons"].numpy())[:12]
        for place in strong:
            slow, fast = (int(value) for value in spots["position"][place])
            assert 0 <= slow < height
            assert 0 <= fast < width
            around = image[max(slow - 1, 0) : slow + 2, max(fast - 1, 0) : fast + 2]
            # A brighter neighbour may stand beside it: then the spot is not a maximum of its own.
            near = spots["position"] - spots["position"][place]
            others = spots["photons"][(near.abs().amax(dim=1) < 4) & (near.abs().amax(dim=1) > 0)]
            if others.sum() < 0.02 * spots["photons"][place]:
                seen += 1
                own = item["maps"]["hkl"][slow, fast].tolist()
                assert own == spots["hkl"][place].tolist()
                assert item["maps"]["lattice"][slow, fast] == spots["lattice"][place]
                assert item["maps"]["spot_mask"][slow, fast] == 1
                assert image[slow, fast] >= 0.5 * around.max()
    assert seen >= 10


@pytest.mark.spec("DAT-7")
@pytest.mark.parametrize("frames", [True, False])
def test_a_stored_variant_is_what_transforms_make(tmp_path: Path, frames: bool) -> None:
    variants = [
        {"name": "pooled", "crop": {"slow": [3, 120], "fast": [5, 144]}, "pool": 4, "how": "max"},
        {"name": "middle", "crop": {"slow": [20, 90], "fast": [30, 110]}},
    ]
    output = {**EXPERIMENT["output"], "variants": variants, "frames": frames}
    path = tmp_path / "RUN"
    db.sweep(labelled_sweep(output=output), path, cluster="serial", threads=1)
    whole = db.sweep(labelled_sweep(), tmp_path / "WHOLE", cluster="serial", threads=1).path
    maps = ["recorded", "spot_mask", "bragg", "bragg_share", "mean_wavelength"]
    names = ["position", "ellipse", "hkl", "photons"]
    for name, kept, steps in (
        ("pooled", maps, (Crop((3, 120), (5, 144)), Pool(4))),
        ("middle", [*maps, "hkl", "lattice"], (Crop((20, 90), (30, 110)),)),
    ):
        stored = db.StackDataset(path, variant=name, maps=kept, spots=names)
        made = db.StackDataset(whole, maps=kept, spots=names, transform=steps)
        for index in (0, 1, 5):
            ours, theirs = stored[index], made[index]
            assert torch.equal(ours["image"], theirs["image"])
            for kind in ("maps", "spots"):
                for key, values in theirs[kind].items():
                    torch.testing.assert_close(ours[kind][key], values, equal_nan=True)
    with pytest.raises(InputError, match="brightest"):
        db.StackDataset(path, variant="pooled", maps=["hkl"])
    with pytest.raises(InputError, match=r"variants are middle, pooled|stores no array"):
        db.StackDataset(path, variant="small")
    if not frames:
        with pytest.raises(InputError, match="no whole frames"):
            db.StackDataset(path)


@pytest.mark.spec("DAT-7")
def test_maps_pool_by_what_they_mean(path: Path) -> None:
    maps = ["recorded", "bragg", "bragg_share", "mean_wavelength", "spot_mask"]
    plain = db.StackDataset(path, maps=maps)[2]
    pooled = db.StackDataset(path, maps=maps, transform=Pool(3, "sum"))[2]
    assert not pooled["maps"]["recorded"][DEAD[0] // 3, DEAD[1] // 3]
    bright = np.unravel_index(pooled["maps"]["bragg"].numpy().argmax(), pooled["image"].shape)
    block = tuple(slice(3 * int(at), 3 * int(at) + 3) for at in bright)
    before = {name: values[block].numpy() for name, values in plain["maps"].items()}
    after = {name: values[bright].item() for name, values in pooled["maps"].items()}
    assert np.isnan(before["mean_wavelength"]).sum() < 9
    assert after["recorded"] == before["recorded"].all()
    assert after["bragg"] == pytest.approx(before["bragg"].sum(), rel=1e-6)
    assert after["bragg_share"] == pytest.approx(before["bragg_share"].mean(), rel=1e-6)
    assert after["mean_wavelength"] == pytest.approx(np.nanmean(before["mean_wavelength"]))
    assert after["spot_mask"] == before["spot_mask"].max()
    assert pooled["image"].shape == (40, 48)


@pytest.mark.spec("DAT-7")
def test_values_of_the_image_alone_change_by_hand() -> None:
    item = {"image": torch.tensor([[-4.0, 0.0], [9.0, 100.0]]), "frame": 0}
    kept = item["image"].clone()
    assert Root()(item)["image"].tolist() == [[0, 0], [3, 10]]
    whole = Root(whole=True, scale=2.0)(item)["image"]
    assert whole.dtype == torch.uint16
    assert whole.tolist() == [[0, 0], [6, 20]]
    np.testing.assert_allclose(Log()(item)["image"], np.log([[1, 1], [10, 101]]), rtol=1e-6)
    assert Clip(-1, 50)(item)["image"].tolist() == [[-1, 0], [9, 50]]
    assert Normalise(1.0, 2.0)(item)["image"].tolist() == [[-2.5, -0.5], [4, 49.5]]
    own = Normalise()(item)["image"]
    assert float(own.mean()) == pytest.approx(0, abs=1e-6)
    assert float(own.std(correction=0)) == pytest.approx(1)
    masked = {**item, "maps": {"recorded": torch.tensor([[True, True], [True, False]])}}
    assert Normalise()(masked)["image"][0, 1] == pytest.approx((0 - 5 / 3) / np.std([-4, 0, 9]))
    assert torch.equal(item["image"], kept)
    with pytest.raises(InputError, match="neither"):
        Normalise(mean=1.0)


@pytest.mark.spec("DAT-7")
def test_places_of_random_crops_hang_on_seed_epoch_and_frame(path: Path) -> None:
    data = db.StackDataset(path, labels=[], transform=RandomCrop(9, 8, seed=1))
    first = [data[index]["image"] for index in range(7)]
    assert set(data[0]) == {"image", "frame"}
    assert all(torch.equal(a, data[i]["image"]) for i, a in enumerate(first))
    data.set_epoch(1)
    assert any(not torch.equal(a, data[i]["image"]) for i, a in enumerate(first))
    data.set_epoch(0)
    for context, workers in (("fork", 2), ("spawn", 1)):
        loader = DataLoader(data, batch_size=2, num_workers=workers, persistent_workers=True,
                            multiprocessing_context=context)  # fmt: skip
        found = torch.cat([batch["image"] for batch in loader])
        assert torch.equal(found, torch.stack(first))
        data.set_epoch(1)
        again = torch.cat([batch["image"] for batch in loader])
        assert not torch.equal(again, found)
        data.set_epoch(0)
        del loader


@pytest.mark.spec("DAT-8")
@pytest.mark.parametrize("workers", [("fork", 0), ("fork", 2), ("spawn", 1)])
def test_batches_of_ragged_spots_tell_where_each_item_begins(path: Path, workers: Any) -> None:
    context, number = workers
    data = db.StackDataset(path, spots=["position", "hkl"], maps=["recorded"],
                           transform=[Pool(2), Root()], dtype="stored")  # fmt: skip
    loader = DataLoader(data, batch_size=4, num_workers=number, collate_fn=db.collate,
                        multiprocessing_context=context if number else None)  # fmt: skip
    place = 0
    for batch in loader:
        spots = batch["spots"]
        offsets = spots["offsets"].tolist()
        assert offsets[-1] == len(spots["hkl"])
        assert (np.diff(offsets) == spots["count"].numpy()).all()
        for row in range(len(batch["frame"])):
            alone = data[place]
            mine = slice(offsets[row], offsets[row + 1])
            assert torch.equal(spots["position"][mine], alone["spots"]["position"])
            assert torch.equal(batch["image"][row], alone["image"])
            assert torch.equal(batch["maps"]["recorded"][row], alone["maps"]["recorded"])
            place += 1
    assert place == 7
    assert len(pickle.dumps(data)) < 5000


@pytest.mark.spec("DAT-8")
def test_padded_spots_stack_by_the_default(path: Path) -> None:
    data = db.StackDataset(path, spots=db.SpotColumns(maximum=40), labels=["hit", "crystals"])
    for collate in (None, db.collate):
        batch = next(iter(DataLoader(data, batch_size=7, collate_fn=collate)))
        assert batch["spots"]["position"].shape == (7, 40, 2)
        assert batch["spots"]["count"].tolist()[1] == 0
        assert batch["crystals"].tolist() == COUNTS


@pytest.mark.spec("DAT-9")
def test_labels_of_frames_are_the_tables_by_hand(path: Path) -> None:
    seen = db.Seen(minimum_photons=40.0, minimum_spots=3)
    stack = db.open_stack(path, seen=seen)
    data = db.StackDataset(
        path,
        labels=["hit", "has_crystal", "lattices_in_beam", "lattices_seen", "spots_seen",
                "resolution_seen"],
        seen=seen,
    )  # fmt: skip
    for frame in range(7):
        table = table_of(path, frame)
        bright = table["photons"] >= 40.0
        own = [int((table["lattice"][bright] == one).sum()) for one in range(3)]
        expected = {
            "lattices_in_beam": COUNTS[frame],
            "has_crystal": COUNTS[frame] > 0,
            "spots_seen": int(bright.sum()),
            "hit": bright.sum() >= 3,
            "lattices_seen": sum(count >= 3 for count in own),
        }
        item = data[frame]
        for name, value in expected.items():
            assert stack[name].values[frame] == value
            assert int(item[name]) == value
        finest = table["resolution"][bright].min() if bright.any() else np.nan
        np.testing.assert_allclose(stack["resolution_seen"].values[frame], finest, rtol=1e-6)
        np.testing.assert_allclose(item["resolution_seen"], finest, rtol=1e-6)
    assert stack["hit"].attrs["minimum_photons"] == 40.0
    assert stack["hit"].attrs["minimum_spots"] == 3
    assert stack["resolution_seen"].attrs["units"] == "angstrom"
    part = stack.isel(shot=[5, 1, 2])
    np.testing.assert_array_equal(part["spots_seen"], stack["spots_seen"].values[[5, 1, 2]])
    assert db.open_stack(path)["hit"].attrs["minimum_photons"] == 1.0


@pytest.mark.spec("DAT-9")
def test_a_single_frame_and_a_grid_have_labels(tmp_path: Path) -> None:
    one = db.SweepSpec.model_validate({"experiment": EXPERIMENT})
    db.sweep(one, tmp_path / "ONE", cluster="serial", threads=1)
    bright = (db.open_labels(tmp_path / "ONE")["active"]).sum()
    assert int(db.open_stack(tmp_path / "ONE")["spots_seen"]) == bright > 0
    spread = {"name": "spread", "path": "crystal.mosaic.spread_deg", "values": [0.2, 0.3, 0.4]}
    sweep = db.SweepSpec.model_validate({"experiment": EXPERIMENT, "axes": [*AXES, spread]})
    db.sweep(sweep, tmp_path / "GRID", cluster="serial", threads=1)
    stack, table = db.open_stack(tmp_path / "GRID"), db.open_labels(tmp_path / "GRID")
    counts = np.bincount(table["frame"][table["active"]], minlength=21).reshape(7, 3)
    np.testing.assert_array_equal(stack["spots_seen"], counts)
    assert stack["spots_seen"][2:5, 1].values.tolist() == counts[2:5, 1].tolist()
    assert stack["lattices_in_beam"].values.tolist() == [[count] * 3 for count in COUNTS]


@pytest.mark.spec("DAT-9")
def test_an_axis_keeps_its_name(tmp_path: Path) -> None:
    axes = [AXES[0], {**AXES[1], "name": "hit"}]
    sweep = db.SweepSpec.model_validate({"experiment": EXPERIMENT, "axes": axes})
    db.create(sweep, tmp_path / "RUN")
    assert db.open_stack(tmp_path / "RUN")["hit"].values.tolist() == COUNTS


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"spots": ["place"]}, "not a column of spots"),
        ({"maps": ["background"]}, "recorded; output.maps"),
        ({"labels": ["image"]}, "key of every item"),
        ({"labels": ["hits"]}, "lattices_in_beam"),
        ({"dtype": "float64"}, "stored"),
        ({"labels": ["hit"], "seen": db.Seen(0.5)}, "label_minimum_photons"),
    ],
)
def test_what_is_not_there_is_refused(path: Path, options: Any, named: str) -> None:
    with pytest.raises(InputError, match=named):
        db.StackDataset(path, **options)


def test_a_name_alone_is_a_list_of_one(path: Path) -> None:
    item = db.StackDataset(path, labels="hit", maps="recorded")[0]
    assert set(item) == {"image", "frame", "hit", "maps"}
    assert set(item["maps"]) == {"recorded"}


def test_a_run_without_tables_is_refused_at_once(tmp_path: Path) -> None:
    output = {"output": {"labels": False}}
    db.sweep(labelled_sweep(**output), tmp_path / "RUN", cluster="serial", threads=1)
    for options in ({"spots": ["hkl"]}, {"labels": ["spots_seen"]}):
        with pytest.raises(InputError, match="keeps no tables"):
            db.StackDataset(tmp_path / "RUN", **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="keeps no tables"):
        db.open_stack(tmp_path / "RUN", seen=db.Seen())
    assert int(db.StackDataset(tmp_path / "RUN", labels=["lattices_in_beam"])[2][
        "lattices_in_beam"]) == 2  # fmt: skip


@pytest.mark.spec("DAT-9")
@pytest.mark.parametrize("seen", [10, 0, "10"])
def test_bounds_that_are_no_seen_are_refused_in_one_line(path: Path, seen: Any) -> None:
    for opened in (db.open_stack, db.StackDataset):
        with pytest.raises(InputError, match=r"seen: .*give distbragg\.Seen\(") as caught:
            opened(path, seen=seen)
        assert "\n" not in str(caught.value)
