"""Which frames belong together, and selections of frames."""

from __future__ import annotations

from typing import Any

import pytest

from distbragg.errors import InputError
from distbragg.run.frames import parse_frames, selection_of, series_of, stem
from distbragg.spec.sweep import SweepSpec


def sweep(*axes: dict[str, Any], width: float | None = 1.0) -> SweepSpec:
    goniometer = {} if width is None else {"oscillation_deg": width}
    return SweepSpec.model_validate({"experiment": {"goniometer": goniometer}, "axes": list(axes)})


def axis(path: str, *values: float) -> dict[str, Any]:
    return {"name": path.split(".")[-1], "path": path, "values": list(values)}


PHI = "goniometer.phi_deg"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (0, 1, 2, 3, 4, 5)),
        ("1:3", (1, 2)),
        (":2,5", (0, 1, 5)),
        ("4:", (4, 5)),
        ("5,0:6:2,4", (0, 2, 4, 5)),
    ],
)
def test_selections(text: str, expected: tuple[int, ...]) -> None:
    assert parse_frames(text, 6) == expected


@pytest.mark.parametrize("text", ["0:6", "0,2:4,5", "3", "0:2,4:6"])
def test_a_selection_is_written_as_it_is_read(text: str) -> None:
    assert selection_of(parse_frames(text, 6)) == text
    assert selection_of(()) == ""


@pytest.mark.parametrize("text", ["a", "1-3", "0:7", "6", "3:3", "0:6:0", "-1", "1,,2"])
def test_selections_of_nothing_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--frames"):
        parse_frames(text, 6)


@pytest.mark.spec("EXP-2")
def test_a_rotation_is_one_series() -> None:
    assert series_of(sweep(axis(PHI, 0, 1, 2, 3)), range(4)) == ((0, 1, 2, 3),)


def test_interleaved_rotations_come_apart() -> None:
    grid = sweep(axis(PHI, 0, 1, 2), axis("detector.distance_mm", 100, 200))
    assert series_of(grid, range(6)) == ((0, 2, 4), (1, 3, 5))


def test_a_gap_begins_a_new_series() -> None:
    assert series_of(sweep(axis(PHI, 0, 1, 5, 6, 0)), range(5)) == ((0, 1), (2, 3), (4,))
    assert series_of(sweep(axis(PHI, 0, 1, 2, 3)), (0, 1, 3)) == ((0, 1), (3,))


def test_stills_stay_together_while_the_geometry_does() -> None:
    crystal = axis("crystal.mosaic.spread_deg", 0.1, 0.2, 0.3)
    assert series_of(sweep(crystal, width=None), range(3)) == ((0, 1, 2),)
    distance = axis("detector.distance_mm", 100, 200)
    assert series_of(sweep(crystal, distance, width=None), range(6)) == ((0, 2, 4), (1, 3, 5))


def test_names_carry_the_series_only_where_there_are_several() -> None:
    assert stem("a", (1, 1), 2) == "a_2_0002"
    assert stem("a", (1, 1), 1) == "a_0002"
