"""The bars, and whether a result reaches them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

MINIMUM_SPOTS: Final = 2000
MINIMUM_INDEXED: Final = 0.90
CELL_LENGTH_RELATIVE: Final = 1e-3
CELL_ANGLE_DEG: Final = 0.05
ORIENTATION_DEG: Final = 0.05
MINIMUM_CORRELATION: Final = 0.95
CLOSED_INDEXED: Final = 0.95
CLOSED_CORRELATION: Final = 0.99
"""Bars of a series in closed form, whose spots are whole."""

RECORDED_INDEXED: Final = 0.95
RECORDED_CORRELATION: Final = 0.97
"""Bars of the same with materials, beam stop, point spread, gain and readout noise."""

MINIMUM_STILLS: Final = 15
STILL_ORIENTATION_DEG: Final = 0.2
"""How far the orientation of a still may be off to count as indexed: a still with a bandwidth of
1 % fixes the rotation about axes across the beam less well than a series does."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What DIALS made of a rotation series.

    Attributes
    ----------
    spots : int
        Strong spots.
    indexed : float
        Share of the spots given to indexing that were indexed.
    length_error : float
        Largest relative error of a cell length.
    angle_error, orientation_error : float, degrees
    least_indexed : float
        The bar of `indexed`.
    """

    spots: int
    indexed: float
    length_error: float
    angle_error: float
    orientation_error: float
    least_indexed: float = MINIMUM_INDEXED

    def failures(self) -> list[str]:
        """Return the bars that are missed."""
        bars = {
            f"fewer than {MINIMUM_SPOTS} strong spots": self.spots < MINIMUM_SPOTS,
            f"less than {self.least_indexed:.0%} indexed": self.indexed < self.least_indexed,
            "cell lengths": self.length_error > CELL_LENGTH_RELATIVE,
            "cell angles": self.angle_error > CELL_ANGLE_DEG,
            "orientation": self.orientation_error > ORIENTATION_DEG,
        }
        return [name for name, missed in bars.items() if missed]

    def line(self) -> str:
        """Say it in one line."""
        return (
            f"{self.spots} strong spots, {self.indexed:.1%} indexed, cell lengths within "
            f"{self.length_error:.3%}, angles within {self.angle_error:.3f}°, orientation within "
            f"{self.orientation_error:.3f}°"
        )

    def to_plain(self) -> dict[str, Any]:
        """Return as JSON-able data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Integration:
    """Correlation of integrated intensities with the photons of the labels."""

    reflections: int
    summed: float
    fitted: float
    least_summed: float = MINIMUM_CORRELATION
    """The bar of `summed`; `fitted` has one bar, since DIALS's own profiles limit it."""

    def failures(self) -> list[str]:
        """Return the bars that are missed."""
        if self.summed < self.least_summed:
            return [f"correlation below {self.least_summed}"]
        missed = self.fitted < MINIMUM_CORRELATION
        return [f"correlation below {MINIMUM_CORRELATION}"] if missed else []

    def line(self) -> str:
        """Say it in one line."""
        return (
            f"{self.reflections} reflections, correlation {self.summed:.4f} (summed), "
            f"{self.fitted:.4f} (profile-fitted)"
        )

    def to_plain(self) -> dict[str, Any]:
        """Return as JSON-able data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Stills:
    """Stills that were indexed with the right orientation, of so many."""

    indexed: int
    right: int
    shots: int

    def failures(self) -> list[str]:
        """Return the bars that are missed."""
        short = self.right < MINIMUM_STILLS
        return [f"fewer than {MINIMUM_STILLS} stills"] if short else []

    def line(self) -> str:
        """Say it in one line."""
        return (
            f"{self.indexed} of {self.shots} stills indexed, {self.right} of them within "
            f"{STILL_ORIENTATION_DEG}° of the truth"
        )

    def to_plain(self) -> dict[str, Any]:
        """Return as JSON-able data."""
        return asdict(self)


Result = Verdict | Integration | Stills
