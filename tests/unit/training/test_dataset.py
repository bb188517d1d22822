"""torch data sets: every frame once, right, and from any number of workers."""

from __future__ import annotations

import pickle
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from distbragg.errors import DamageError, InputError, RefusedError
from distbragg.store import shard_reader
from distbragg.store.open import open_stack
from distbragg.store.run_directory import RunDirectory, open_run
from distbragg.store.split import Split, split_frames
from distbragg.training.dataset import StackDataset, StackStream
from distbragg.training.items import SpotColumns
from distbragg.training.transforms import Clip, RandomCrop
from tests.unit.store.conftest import create_tiny, frames_of, tiny_sweep
from tests.units import write_unit

pytestmark = pytest.mark.filterwarnings("ignore::distbragg.store.split.SharedCrystals")

SPLIT = Split(validation=0.4, seed=3)
AXES: list[dict[str, Any]] = [
    {"name": "phi", "path": "goniometer.phi_deg", "values": [0.0, 1.0, 2.0, 3.0, 4.0]},
    {"name": "orientation", "random_orientations": {"count": 7, "seed": 1}},
    {
        "name": "shape",
        "path": "crystal.shape",
        "values": ["square", "gauss", "round", "tophat", "square", "gauss", "round"],
        "dim": "orientation",
    },
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """35 frames in units of 3, the last one never rendered."""
    run = create_tiny(
        tmp_path_factory.mktemp("training") / "RUN",
        tiny_sweep(axes=AXES, compute={"frames_per_unit": 3}),
    )
    for unit in range(run.layout.units - 1):
        write_unit(run, unit, frames_of(run, unit), {})
    return run.path


@pytest.fixture
def run(path: Path) -> RunDirectory:
    return open_run(path)


def flat_images(path: Path) -> np.ndarray[Any, Any]:
    return open_stack(path).images.values.reshape(-1, 11, 7)


@pytest.mark.spec("DAT-3")
def test_items_hold_the_stacks_pixels_and_coordinates(run: RunDirectory) -> None:
    stack, images = open_stack(run.path), flat_images(run.path)
    data = StackDataset(run)
    assert len(data) == int(stack.rendered.sum()) < 35
    for index in (0, len(data) // 2, -1):
        item = data[index]
        phi, number = divmod(item["frame"], 7)
        np.testing.assert_array_equal(item["image"].numpy(), images[item["frame"]])
        assert item["image"].dtype == torch.float32
        assert float(item["phi"]) == phi
        assert item["shape"] == AXES[2]["values"][number]
        np.testing.assert_allclose(
            item["orientation_quaternion_xyzw"].numpy(),
            stack["orientation_quaternion_xyzw"][number].values.astype(np.float32),
        )
    with pytest.raises(IndexError):
        data[len(data)]


@pytest.mark.spec("DAT-3")
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("kind", [StackDataset, StackStream])
def test_every_frame_of_a_part_comes_once_from_any_number_of_workers(
    run: RunDirectory, part: Any, workers: int, kind: Any
) -> None:
    images = flat_images(run.path)
    wanted = np.flatnonzero(
        (split_frames(run, SPLIT).reshape(-1) == part) & np.isfinite(images).all((1, 2))
    )
    data = kind(run, part, split=SPLIT, **({"shuffle": True} if kind is StackStream else {}))
    seen: Counter[int] = Counter()
    context = {"multiprocessing_context": "fork"} if workers else {}
    for batch in DataLoader(data, batch_size=4, num_workers=workers, **context):
        for frame, image in zip(batch["frame"].tolist(), batch["image"].numpy(), strict=True):
            np.testing.assert_array_equal(image, images[frame])
            seen[frame] += 1
    assert seen == Counter(wanted.tolist())
    assert len(data) == len(wanted)


@pytest.mark.spec("DAT-3")
def test_spawned_workers_open_the_stack_for_themselves(run: RunDirectory) -> None:
    data = StackDataset(run, "train", split=SPLIT, transform=halved)
    loader = DataLoader(data, batch_size=5, num_workers=1, multiprocessing_context="spawn")
    images = flat_images(run.path)
    for batch in loader:
        np.testing.assert_array_equal(batch["image"].numpy(), images[batch["frame"]] / 2)
    assert len(pickle.dumps(data)) < 10_000


def halved(item: dict[str, Any]) -> dict[str, Any]:
    return {**item, "image": item["image"] / 2}


@pytest.mark.spec("DAT-3")
def test_stream_reads_each_shard_once_and_mixes_them(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    whole = shard_reader.ShardReader._whole
    monkeypatch.setattr(
        shard_reader.ShardReader, "_whole", lambda self, key: read.append(key) or whole(self, key)
    )
    monkeypatch.setattr(shard_reader.ShardReader, "_parts", None)
    stream = StackStream(run, shuffle=True, seed=5, mix=3)
    first = [item["frame"] for item in stream]
    assert len(read) == len(set(read)) == run.layout.units - 1
    units = [stream._reader.run.layout.unit_of(frame) for frame in first]
    assert sum(a != b for a, b in pairwise(units)) > run.layout.units
    assert first == [item["frame"] for item in stream]
    stream.set_epoch(1)
    second = [item["frame"] for item in stream]
    assert second != first
    assert sorted(second) == sorted(first)
    assert [item["frame"] for item in StackStream(run)] == sorted(first)


@pytest.mark.spec("DAT-3")
def test_ranks_share_the_frames_out(run: RunDirectory) -> None:
    streams = [StackStream(run, shuffle=True, rank=rank, world_size=3) for rank in range(3)]
    frames = [item["frame"] for stream in streams for item in stream]
    assert sorted(frames) == list(StackDataset(run).frames)
    assert sum(map(len, streams)) == len(frames)


def test_several_panels_and_counts_come_as_floats(tmp_path: Path) -> None:
    sweep = tiny_sweep(output={"dtype": "uint16"}, noise={"photon": True})
    run = create_tiny(tmp_path / "RUN", sweep, panels=2)
    write_unit(run, 0, np.round(frames_of(run, 0)), {})
    item = StackDataset(run, labels=["spread"])[0]
    assert item["image"].shape == (2, 11, 7)
    assert item["image"].dtype == torch.float32
    assert set(item) == {"image", "frame", "spread"}


def test_refusals_are_one_line(run: RunDirectory, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="frames are missing"):
        StackDataset(run, missing="refuse")
    with pytest.raises(InputError, match="not a coordinate"):
        StackDataset(run, labels=["absent"])
    with pytest.raises(InputError, match="5 turns nothing; give callables"):
        StackDataset(run, transform=[5])  # type: ignore[list-item]
    with pytest.raises(InputError, match=r"split: is given, and no part of it; one of train"):
        StackDataset(run, split=Split())
    with pytest.raises(InputError, match="not a part"):
        StackDataset(run, "training")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no frame is rendered"):
        StackDataset(create_tiny(tmp_path / "NEW"))
    with pytest.raises(InputError, match="rank"):
        StackStream(run, rank=2, world_size=2)


@pytest.mark.parametrize(
    "call",
    [
        lambda: SpotColumns(maximum=2.5),
        lambda: SpotColumns(maximum="3"),
        lambda: SpotColumns(minimum_photons=float("nan")),
        lambda: Clip(5, 1),
        lambda: Clip(float("nan"), 1),
        lambda: RandomCrop(2.5, 2)({"image": torch.zeros(4, 4), "frame": 0}),
    ],
)
def test_numbers_that_say_nothing_are_refused(call: Any) -> None:
    with pytest.raises(InputError):
        call()


def test_damaged_object_is_named(tmp_path: Path) -> None:
    run = create_tiny(tmp_path / "RUN")
    write_unit(run, 0, frames_of(run, 0), {})
    data = bytearray(run.object_path(0).read_bytes())
    data[40] ^= 1
    run.object_path(0).write_bytes(data)
    with pytest.raises(DamageError, match="cannot be read"):
        StackDataset(run)[0]
