"""Rendering some units again, beside the run, to see whether the same bytes come out."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

from distbragg.graph.tasks import render_unit
from distbragg.graph.work import TaskSettings
from distbragg.graph.worker import prepare_run
from distbragg.run.machine import usable_cores
from distbragg.run.resume import check_version
from distbragg.store.ledger import fold_receipts
from distbragg.store.run_directory import RunDirectory
from distbragg.store.verify import Damage
from distbragg.store.verify_clone import empty_copy


def audit_units(
    run: RunDirectory,
    count: int,
    *,
    seed: int = 0,
    threads: int | None = None,
    skip: Collection[int] = (),
    on_unit: Callable[[int], None] | None = None,
) -> tuple[tuple[int, ...], tuple[Damage, ...]]:
    """Render units drawn at random again and compare the digests of their objects.

    It is done in a temporary directory, by the tasks that rendered the run; the run itself is
    only read. Units of another numeric class (`--allow-mixed`) are not drawn.

    Parameters
    ----------
    run : RunDirectory
    count : int
        Units to draw; all where there are fewer.
    seed : int
        The same seed draws the same units.
    threads : int, optional
        Kernel threads; default: all cores. No bit depends on it.
    skip : collection of int
        Units known to be damaged.
    on_unit : callable, optional
        Called with each unit rendered.

    Returns
    -------
    (units, damaged)
        The units drawn, in order, and those that came out otherwise.

    Raises
    ------
    RefusedError
        The run belongs to another version or numeric class, which would give other bits.
    EnvironmentFailure
        There is no room in the temporary directory.
    """
    check_version(run)
    settings = TaskSettings(threads or usable_cores())
    prepare_run(run.place, settings)
    own = run.manifest.class_id
    stated = {
        unit: receipt.digest
        for unit, receipts in fold_receipts(run).items()
        for receipt in receipts
        if receipt.numeric_class == own and unit not in skip
    }
    drawn = sorted(random.Random(seed).sample(sorted(stated), min(count, len(stated))))
    damaged = []
    with tempfile.TemporaryDirectory(prefix="distbragg-audit-") as folder:
        copy = empty_copy(run, Path(folder) / "RUN")
        for unit in drawn:
            digest = str(render_unit(str(copy.path), unit, 1, settings)["digest"])
            copy.object_path(unit).unlink()
            if digest != stated[unit]:
                problem = f"rendered again it has digest {digest[:12]}, not {stated[unit][:12]}"
                damaged.append(Damage(unit, problem, "unreproduced"))
            if on_unit is not None:
                on_unit(unit)
    return tuple(drawn), tuple(damaged)
