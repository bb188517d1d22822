"""The headers' common frame, and photons rounded to counts."""

from __future__ import annotations

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.export.scaling import COUNT_CUTOFF, whole_counts
from distbragg.models.file_frames import imgcif_frame

X, Y, Z = np.eye(3)


@pytest.mark.parametrize(
    ("beam", "spindle", "fast"),
    [(X, Z, Z), (Z, X, X), (Z, Y, X), (Z, (X + Z) / np.sqrt(2), X), (Z, Z, X)],
)
def test_the_frame_has_the_beam_along_minus_z_and_is_right_handed(beam, spindle, fast) -> None:
    turn = imgcif_frame(beam, spindle, fast)
    np.testing.assert_allclose(turn @ beam, -Z, atol=1e-15)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-15)
    assert np.linalg.det(turn) == pytest.approx(1.0)
    if abs(beam @ spindle) < 0.9:
        assert (turn @ spindle)[0] > 0
        assert (turn @ spindle)[1] == pytest.approx(0.0, abs=1e-15)


def test_a_beam_along_both_axes_is_refused() -> None:
    with pytest.raises(InputError, match="along the beam"):
        imgcif_frame(Z, Z, -Z)


@pytest.mark.spec("EXP-3")
def test_photons_are_rounded_half_up_and_held_within_range_and_counted() -> None:
    image = np.array([[0.0, 0.4, 0.5], [1.49, -3.0, 5e9]])
    counts, outside = whole_counts(image)
    assert counts.tolist() == [[0, 0, 1], [1, 0, COUNT_CUTOFF]]
    assert outside == 2
    scaled, outside = whole_counts(np.array([[2.0, 7.0]]), scale=10.0, maximum=50)
    assert scaled.tolist() == [[20, 50]]
    assert outside == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_frames_that_are_not_numbers_are_refused(bad: float) -> None:
    with pytest.raises(InputError, match="NaN or infinite"):
        whole_counts(np.array([[bad]]))
