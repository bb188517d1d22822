"""Drawing the noise of a detector again, from the expected photons that a run stores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, Unpack

from distbragg.engine.context import RunContext
from distbragg.engine.work import UnitFunctions
from distbragg.errors import InputError, RefusedError
from distbragg.run.create import create
from distbragg.run.drawn import (
    RECORDING,
    decides_recording,
    drawing,
    drawn_record,
    expected_in,
    rounded_source,
)
from distbragg.run.place import choose_cluster
from distbragg.run.result import RunResult
from distbragg.run.resume import ResumeOptions, resume
from distbragg.spec.canonical import to_plain
from distbragg.spec.load import apply_overrides, parse_sweep
from distbragg.spec.paths import split_path
from distbragg.spec.sweep import SweepSpec
from distbragg.store.ledger import completed_units
from distbragg.store.run_directory import RunDirectory, RunLike, open_run


def noise(
    run: RunLike,
    out: str | Path,
    overrides: Sequence[str] = (),
    *,
    force: bool = False,
    **options: Unpack[ResumeOptions],
) -> RunResult:
    """Create a run at `out` whose frames are drawn from the expected photons that `run` stores.

    Nothing is rendered: noise and the detector's response are drawn once the stored frames are
    read. Where `run` stores float64 the result has the bits of a run that renders with that
    response; float32 expectations are rounded, which moves one count in some millions: `resume`,
    `repair` and `verify` of such a run draw from `run` again, and refuse where it is gone.

    Parameters
    ----------
    run : RunDirectory or path
        A finished run without photon noise, response and point spread, of float32 or float64; or
        any that keeps its parts, `output.maps: [bragg, background]`.
    out : path
        The new run. One that is there already is continued.
    overrides : sequence of "dotted.path=value"
        Fields of `noise`, `detector.response`, `detector.point_spread` and `output`. Photon noise
        is on unless `noise.photon=false`.
    force : bool
        Create the run even if the disk cannot hold its frames uncompressed.
    **options
        Those of `resume`.

    Returns
    -------
    RunResult
        That of `resume`, of the new run.

    Raises
    ------
    InputError
        The run stores no expectations, or an override changes what they depend on.
    RefusedError
        Frames of the run are missing.
    PlanError, DamageError, EnvironmentFailure
        See `create` and `resume`.
    """
    # A cluster that cannot be is refused before there is a run.
    choose_cluster(options.get("cluster"), options.get("client"), options.get("workers"), 1, 0.0)
    fresh, options["work"] = begin_noise(run, out, overrides, force=force)
    return resume(fresh, **options)


def begin_noise(
    run: RunLike, out: str | Path, overrides: Sequence[str] = (), *, force: bool = False
) -> tuple[RunDirectory, UnitFunctions]:
    """Create the run of `noise`; return it, and the work by which `resume` does it."""
    source = open_run(run)
    _check_source(source)
    record = drawn_record(source)
    fresh = create(_with_noise(source.sweep, overrides), out, force=force, provenance=record)
    # Of float64 a run that renders has the same bits; of float32 frames must not be mixed.
    if rounded_source(fresh.manifest.provenance) != rounded_source(record):
        raise RefusedError(
            f"{fresh.url}: holds frames that were not drawn from {source.url}; give another path"
        )
    return fresh, drawing(RunContext.of(source))


def _check_source(run: RunDirectory) -> None:
    """Refuse a run whose pixels are not expected photons, or are not all there."""
    if not expected_in(run):
        _refuse(run)
    missing = run.layout.units - len(completed_units(run))
    if missing:
        raise RefusedError(
            f"{run.url}: {missing} of {run.layout.units} units are missing; "
            f"`distbragg resume {run.url}` finishes the run"
        )


def _refuse(run: RunDirectory) -> NoReturn:
    """Say why the pixels of a run are not expected photons."""
    first = RunContext.of(run).opened.frame(0).experiment
    changed = ["noise.photon"] if first.noise.photon else []
    if first.recorded:
        changed.append(f"detector.{'point_spread' if first.response is None else 'response'}")
    if run.layout.dtype not in ("float32", "float64"):
        changed.append("output.dtype")
    if not run.keeps_frames:
        changed.append("output.frames")
    changed += [path for path in run.sweep.swept if decides_recording(path)]
    raise InputError(
        "its pixels are not expected photons, and it keeps no parts",
        source=run.url,
        field=changed[0],
        remedy="render a run without it, as float32 or float64, or with output.maps: [bragg, "
        "background], and draw from that",
    )


def _with_noise(sweep: SweepSpec, overrides: Sequence[str]) -> SweepSpec:
    """Return the sweep with photon noise and the overrides; other fields are refused."""
    for item in overrides:
        path = item.partition("=")[0].strip().removeprefix("experiment.")
        if not any(path == name or path.startswith(f"{name}.") for name in RECORDING):
            raise InputError(
                "the stored expectations depend on it",
                source="--set",
                field=path,
                remedy=f"change fields of {', '.join(RECORDING[:-1])} alone, or render again",
            )
    plain = to_plain(sweep)
    # Maps stay with the expectations; variants are made anew, of what is drawn.
    plain["experiment"]["output"].pop("maps", None)
    plain["experiment"] = apply_overrides(
        plain["experiment"], ["noise.photon=true", *overrides], split_path
    )
    found = parse_sweep(plain)
    if found.experiment.output.maps:
        raise InputError(
            "a run that is drawn has no maps",
            source="--set",
            field="output.maps",
            remedy="leave it out: those of the run that is drawn from hold",
        )
    seed = sweep.experiment.noise.seed
    if sweep.experiment.beam.pulse_energy_fraction and found.experiment.noise.seed != seed:
        raise InputError(
            "the energies of the pulses were drawn from it when the expectations were rendered",
            source="--set",
            field="noise.seed",
            remedy=f"keep it at {seed}",
        )
    return found
