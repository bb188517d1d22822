"""Units that a generation left short: the last one along the dimension that grew.

Such a unit is rendered again, with its old frames and the new ones. Until then its object is the
old one, whose frames count as rendered; afterwards they are the same pixels, byte for byte.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from distbragg.errors import DamageError
from distbragg.store.home import stored_bytes, stored_digest
from distbragg.store.run_directory import RunDirectory


def held_over_units(run: RunDirectory, done: Collection[int]) -> tuple[int, ...]:
    """Return the units not done whose object may still be that of the last generation."""
    if not run.lineage:
        return ()
    last = run.lineage[0]
    return tuple(
        unit
        for unit in range(last.manifest.layout.units)
        if unit not in done and not last.settles(unit, run.layout)
    )


def is_held_over(run: RunDirectory, unit: int) -> bool:
    """Whether the object of a unit is the one that the last generation left short."""
    if not run.lineage:
        return False
    last = run.lineage[0]
    if unit >= len(last.digests) or last.settles(unit, run.layout):
        return False
    try:
        return stored_digest(run, unit) == last.digests[unit]
    except OSError:
        return False


def check_grown(run: RunDirectory, unit: int, pieces: Sequence[bytes]) -> None:
    """Compare the old frames of a unit that was left short with those rendered now.

    Parameters
    ----------
    run : RunDirectory
    unit : int
    pieces : sequence of bytes
        Encoded chunks of the object about to be stored, and its index, as long as the old one.

    Raises
    ------
    DamageError
        They differ; nothing was replaced.
    """
    if not is_held_over(run, unit):
        return
    old = stored_bytes(run, unit)
    kept = old[: len(old) - len(pieces[-1])]
    if b"".join(pieces[:-1])[: len(kept)] != kept:
        raise DamageError(
            f"{run.object_path(unit)}: frames of an earlier generation come out otherwise when "
            "rendered again; nothing was replaced; use the machine that rendered them"
        )
