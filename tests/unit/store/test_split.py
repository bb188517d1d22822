"""Splits: by what a frame is, not by its number."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.run.gather import subset
from distbragg.store.open import open_stack
from distbragg.store.run_directory import RunDirectory
from distbragg.store.split import (
    Part,
    SharedCrystals,
    Split,
    refuse_empty_part,
    shared_crystals,
    split_frames,
)

from .conftest import create_tiny, tiny_sweep


def axis(name: str, path: str, values: list[Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "path": path, "values": values, **more}


def run_of(path: Path, *axes: dict[str, Any]) -> RunDirectory:
    return create_tiny(path, tiny_sweep(axes=list(axes)))


PHI = [0.5 * i for i in range(41)]
SPREAD = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]


@pytest.fixture
def stack(tmp_path: Path) -> RunDirectory:
    return run_of(
        tmp_path / "RUN",
        axis("phi", "goniometer.phi_deg", PHI),
        axis("spread", "crystal.mosaic.spread_deg", SPREAD),
    )


@pytest.mark.spec("DAT-1")
def test_shares_are_as_asked_for_and_a_seed_draws_another_split(stack: RunDirectory) -> None:
    parts = split_frames(stack, Split(validation=0.2, test=0.1))
    assert parts.shape == (41, 7)
    for part, share in (("train", 0.7), ("validation", 0.2), ("test", 0.1)):
        assert abs((parts == part).mean() - share) < 0.08
    np.testing.assert_array_equal(parts, split_frames(stack, Split(validation=0.2, test=0.1)))
    assert (parts != split_frames(stack, Split(0.2, 0.1, seed=1))).any()
    assert (split_frames(stack, Split(0.0)) == "train").all()
    assert (split_frames(stack, Split(0.0, 1.0)) == "test").all()


@pytest.mark.spec("DAT-1")
def test_frames_keep_their_part_whatever_else_is_in_the_stack(
    stack: RunDirectory, tmp_path: Path
) -> None:
    more = [-3.0, *PHI[::-1], 99.0, 100.0]
    other = run_of(
        tmp_path / "OTHER",
        axis("phi", "goniometer.phi_deg", more),
        axis("spread", "crystal.mosaic.spread_deg", SPREAD[2:]),
    )
    ours = split_frames(stack, Split(0.3, 0.3))
    theirs = split_frames(other, Split(0.3, 0.3))
    for index, value in enumerate(more):
        if value in PHI:
            np.testing.assert_array_equal(theirs[index], ours[PHI.index(value)][2:])


@pytest.mark.spec("DAT-1")
def test_the_order_of_zipped_axes_has_no_say(tmp_path: Path) -> None:
    one = axis("phi", "goniometer.phi_deg", PHI, dim="frame")
    two = axis("spread", "crystal.mosaic.spread_deg", PHI, dim="frame")
    first, second = run_of(tmp_path / "A", one, two), run_of(tmp_path / "B", two, one)
    split = Split(0.4)
    np.testing.assert_array_equal(split_frames(first, split), split_frames(second, split))


@pytest.mark.spec("DAT-2")
def test_grouped_frames_stay_together(stack: RunDirectory) -> None:
    parts = split_frames(stack, Split(0.3, 0.2, group_by=("phi",)))
    assert (parts == parts[:, :1]).all()
    assert len(set(parts[:, 0].tolist())) == 3
    parts = split_frames(stack, Split(0.5, group_by=("spread",)))
    assert (parts == parts[:1]).all()
    with pytest.raises(InputError, match="axes are phi, spread"):
        split_frames(stack, Split(group_by=("orientation",)))


@pytest.mark.spec("DAT-1")
@pytest.mark.parametrize(
    ("split", "said"),
    [
        (Split(1.0, group_by=("spread",)), "in the part train: all 3 groups by spread fell into"),
        (Split(0.0, 0.0), "no frame is in the part validation: all 6 groups fell into train"),
    ],
)
def test_a_part_without_frames_is_told_with_the_number_of_groups(
    tmp_path: Path, split: Split, said: str
) -> None:
    spread = axis("spread", "crystal.mosaic.spread_deg", [0.1, 0.2, 0.3])
    run = run_of(tmp_path / "RUN", spread, axis("phi", "goniometer.phi_deg", [0.0, 1.0]))
    empty: Part = "train" if split.validation else "validation"
    parts = split_frames(run, split)
    refuse_empty_part(run, split, "validation" if split.validation else "train", parts)
    with pytest.raises(InputError, match=said):
        refuse_empty_part(run, split, empty, parts)
    with pytest.raises(InputError, match=said):
        subset(run.path, tmp_path / "none.zarr", part=empty, split=split)


@pytest.mark.spec("DAT-1")
@pytest.mark.parametrize(
    ("split", "parts"),
    [
        (Split(), ("train", "validation")),
        (Split(1.0), ("validation",)),
        (Split(0.7 + 0.2, 0.1), ("validation", "test")),
        (Split(0.0, 0.3), ("train", "test")),
    ],
)
def test_parts_of_a_share_of_nothing_are_none(split: Split, parts: tuple[Part, ...]) -> None:
    assert split.parts == parts


ORIENTED = {"name": "orientation", "random_orientations": {"count": 30, "seed": 1}}


@pytest.mark.spec("DAT-11")
def test_crystals_that_come_apart_are_told_with_the_remedy(tmp_path: Path) -> None:
    run = run_of(tmp_path / "RUN", ORIENTED, axis("spread", "crystal.mosaic.spread_deg", SPREAD))
    with pytest.warns(SharedCrystals, match=r"group_by=\('orientation',\) keeps them together"):
        open_stack(run.path, split=Split(0.3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parts = open_stack(run.path, split=Split(0.3, group_by=("orientation",)))["split"]
        open_stack(run.path, split=Split(0.0))  # all frames are for training
    assert (parts == parts[:, :1]).all()


@pytest.mark.spec("DAT-11")
def test_crystals_of_one_frame_each_are_no_matter(tmp_path: Path) -> None:
    shot = [{**ORIENTED, "dim": "shot"}, axis("phi", "goniometer.phi_deg", PHI[:30], dim="shot")]
    run = run_of(tmp_path / "RUN", *shot)
    assert shared_crystals(run, split_frames(run, Split(0.4))) == ()
    # The same orientation twice along one dimension is one crystal.
    twice = [[1.0 * (index // 2), 2.0, 3.0] for index in range(30)]
    run = run_of(
        tmp_path / "TWICE", axis("turned", "crystal.misset_deg", twice, dim="shot"), shot[1]
    )
    assert shared_crystals(run, split_frames(run, Split(0.4))) == ("turned",)
    grouped = split_frames(run, Split(0.4, group_by=("turned",)))
    assert (grouped[::2] == grouped[1::2]).all()
    assert shared_crystals(run, grouped) == ()
    # A rotation of one crystal has nothing to be grouped by.
    run = run_of(tmp_path / "PHI", axis("phi", "goniometer.phi_deg", PHI))
    assert shared_crystals(run, split_frames(run, Split(0.4))) == ()


@pytest.mark.spec("DAT-1")
def test_alternatives_are_what_they_set_and_not_their_names(tmp_path: Path) -> None:
    def run(name: str, *alternatives: tuple[str, float]) -> RunDirectory:
        sets = {one: {"crystal.mosaic.spread_deg": spread} for one, spread in alternatives}
        kind = {"name": "kind", "alternatives": sets}
        return run_of(tmp_path / name, axis("phi", "goniometer.phi_deg", PHI), kind)

    ours = split_frames(run("A", ("soft", 0.2), ("hard", 0.1)), Split(0.4))
    theirs = split_frames(run("B", ("weak", 0.1), ("strong", 0.2), ("no", 0.3)), Split(0.4))
    np.testing.assert_array_equal(ours[:, 0], theirs[:, 1])
    np.testing.assert_array_equal(ours[:, 1], theirs[:, 0])


@pytest.mark.spec("DAT-1")
def test_opened_stack_carries_the_split(stack: RunDirectory) -> None:
    split = Split(0.3)
    opened = open_stack(stack.path, split=split)
    assert opened["split"].dims == ("phi", "spread")
    np.testing.assert_array_equal(opened["split"].values, split_frames(stack, split))


def test_single_frame_and_wrong_shares(tmp_path: Path) -> None:
    assert split_frames(run_of(tmp_path / "RUN"), Split()).shape == ()
    for shares in ((0.8, 0.3), (-0.1, 0.0), (float("nan"), 0.0)):
        with pytest.raises(InputError, match="shares"):
            Split(*shares)
