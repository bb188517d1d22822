"""Identities of pieces of work, and the pieces themselves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """A rectangle of detector pixels, half-open in both directions."""

    slow_start: int
    slow_stop: int
    fast_start: int
    fast_stop: int

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels (slow, fast)."""
        return self.slow_stop - self.slow_start, self.fast_stop - self.fast_start

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        slow, fast = self.shape
        return slow * fast


@dataclass(frozen=True, slots=True, order=True)
class SourceChunk:
    """A half-open slice of the source table."""

    start: int
    stop: int

    @property
    def count(self) -> int:
        """Number of sources."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True, order=True)
class TileKey:
    """Names one partial sum: frame, panel, tile and source-chunk indices of the plan."""

    frame: int
    panel: int
    tile: int
    source_chunk: int

    def __str__(self) -> str:
        return f"f{self.frame}-p{self.panel}-t{self.tile}-s{self.source_chunk}"


@dataclass(frozen=True, slots=True, order=True)
class UnitKey:
    """Names one work unit (one Zarr shard) of a run."""

    unit: int

    def __str__(self) -> str:
        return f"u{self.unit}"
