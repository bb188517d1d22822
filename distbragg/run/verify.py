"""Verifying a run against receipts, seal and specification, and sealing one that is finished."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from distbragg.engine.context import Kernel, RunContext, SweepFrames
from distbragg.engine.work import TaskSettings
from distbragg.errors import DamageError, RefusedError
from distbragg.models.build import build_reflections
from distbragg.plan.frame import held_bytes
from distbragg.rendering.frame import render_into
from distbragg.rendering.maps import MapMaker
from distbragg.run.drawn import draw_frame, source_of
from distbragg.run.machine import usable_cores
from distbragg.run.resume import check_version, finish_extension
from distbragg.store.lease import Lease, lease_holders
from distbragg.store.ledger import fold_receipts
from distbragg.store.maps import content_digest
from distbragg.store.run_directory import RunDirectory, RunLike, open_run
from distbragg.store.seal import Seal, is_sealed, read_seal, write_seal
from distbragg.store.shard import EncodedShard
from distbragg.store.verify import Damage, Level, VerifyReport, verify_run
from distbragg.store.write import arrays_of, to_stored

SHOWN: Final = 5  # damaged units and files that a refusal to seal names


def verify(
    run: RunLike,
    *,
    level: Level = "full",
    audit: int = 0,
    seed: int = 0,
    threads: int | None = None,
    on_unit: Callable[[int], None] | None = None,
) -> VerifyReport:
    """Check a run's stored objects against its receipts, and against its seal if it has one.

    Nothing is changed.

    Parameters
    ----------
    run : RunDirectory or path
    level : {"quick", "full", "deep"}
        Sizes; digests of all bytes; or also decode every pixel.
    audit : int
        Also render so many units again and compare their bytes; all where there are fewer.
    seed : int
        The same seed draws the same units for the audit.
    threads : int, optional
        Kernel threads of the audit; default: all cores. No bit depends on it.
    on_unit : callable, optional
        Called with each unit checked, and again with each unit rendered.

    Returns
    -------
    VerifyReport
        `sound` where all is well.

    Raises
    ------
    InputError
        `run` is not a run.
    DamageError
        Its manifest or metadata are damaged beyond what rendering again mends.
    RefusedError
        `audit`, and this program or machine would give other bits, or the run that this one was
        drawn from is gone.
    """
    directory = open_run(run)
    in_use = any(holder.alive for holder in lease_holders(directory.objects))
    report = verify_run(directory, level, on_unit, in_use=in_use)
    if not audit:
        return report
    settings = TaskSettings(threads or usable_cores())
    damaged_units = {item.unit for item in report.findings}
    # Of sound units, and of the run's own class: others come with `--allow-mixed`.
    stated = {
        unit: receipt.content
        for unit, receipts in fold_receipts(directory).items()
        for receipt in receipts
        if receipt.numeric_class == directory.manifest.class_id and unit not in damaged_units
    }
    drawn = sorted(random.Random(seed).sample(sorted(stated), min(audit, len(stated))))
    damaged = _audit(directory, {unit: stated[unit] for unit in drawn}, settings, on_unit)
    return replace(report, audited=tuple(drawn), damaged=(*report.damaged, *damaged))


def _audit(
    run: RunDirectory,
    stated: dict[int, str],
    settings: TaskSettings,
    on_unit: Callable[[int], None] | None,
) -> list[Damage]:
    """Render units again in memory, |F| too; return those that come out otherwise than stated."""
    check_version(run)
    kernel = RunContext.of(run).opened.kernel(settings)
    frames = SweepFrames(
        run.sweep, run.sweep.experiment.compute, lambda _, spec: build_reflections(spec)
    )
    damaged, source = [], source_of(run)
    for unit, expected in stated.items():
        digest = _rendered_digest(run, frames, kernel, unit, source)
        if digest != expected:
            problem = f"rendered again it has digest {digest[:12]}, not {expected[:12]}"
            damaged.append(Damage(unit, problem, "unreproduced"))
        if on_unit is not None:
            on_unit(unit)
    return damaged


def _rendered_digest(
    run: RunDirectory, frames: SweepFrames, kernel: Kernel, unit: int, source: RunContext | None
) -> str:
    """Digest of the objects that rendering a unit gives, or drawing it from `source`."""
    layout, options = run.layout, kernel.options
    shards = {one.array: EncodedShard(one, unit) for one in run.arrays}
    digests = {name: hashlib.sha256() for name in shards}
    shape, kind = (layout.panels, *layout.shape), f"f{held_bytes(layout.dtype)}"
    experiment = run.sweep.experiment
    output = experiment.output
    maker = MapMaker(output, experiment.compute, options) if output.maps else None
    for frame in layout.unit_frames(unit):
        ready, image = frames.frame(frame), np.empty(shape, dtype=kind)
        if source is None:
            render_into(image, ready.experiment, ready.plan, options, frame=frame)
        else:
            draw_frame(source, image, ready, frame, options.threads)
        stored, *_ = to_stored(image, layout.dtype)
        maps = {} if maker is None else maker.maps(ready.experiment, frame)
        for name, pixels in {**arrays_of(run, stored), **maps}.items():
            shard = shards[name]
            for piece in shard.taken(map(shard.encode, shard.tiles(pixels))):
                digests[name].update(piece)
    for name, shard in shards.items():
        digests[name].update(shard.index())
    first, *others = (digest.hexdigest() for digest in digests.values())
    names = [one.array for one in run.beside]
    return content_digest(first, dict(zip(names, others, strict=True)))


@dataclass(frozen=True, slots=True)
class SealResult:
    """A run's seal, and whether it was there before (and still holds)."""

    path: Path | str
    seal: Seal
    already: bool

    def to_plain(self) -> dict[str, Any]:
        """Return as JSON-able data."""
        return {
            "path": str(self.path),
            "already_sealed": self.already,
            "objects": self.seal.objects,
            "units": len(self.seal.digests),
            "sealed": self.seal.sealed,
            "version": self.seal.version,
        }


def seal(run: RunLike) -> SealResult:
    """Declare a run finished, or verify its seal; one in use or incomplete is refused."""
    directory = open_run(run)
    with Lease(directory.objects):
        directory = finish_extension(directory)
        already = is_sealed(directory)
        report = verify_run(directory, "full")
        if not report.sound:
            raise DamageError(
                f"{directory.url}: {_describe(report)}; "
                f"`distbragg repair {directory.url}` repairs what can be rendered again"
            )
        missing = [unit for unit in range(report.units) if unit not in report.digests]
        if missing:
            frames = sum(map(directory.layout.frame_count, missing))
            raise RefusedError(
                f"{directory.url}: {frames} of {directory.layout.frames} frames are missing; "
                f"`distbragg resume {directory.url}` renders them, then seal"
            )
        present = read_seal(directory)
        if present is None:
            present = write_seal(directory, [report.digests[u] for u in range(report.units)])
    return SealResult(directory.url, present, already)


def _describe(report: VerifyReport) -> str:
    """One line on what a verification found."""
    told = [f"unit {item.unit}: {item.problem}" for item in report.findings]
    told += [f"{item.name}: {item.problem}" for item in report.files]
    more = f" and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
    return "damage found: " + "; ".join(told[:SHOWN]) + more
