"""Units that are drawn from the expected photons which another run stores.

Expectations of float32 are rounded: what is drawn from them can be drawn again, not rendered. The
manifest of such a run says what it was drawn from, and whatever makes its units again looks there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.engine.context import PreparedFrame, RunContext
from distbragg.engine.unit import UnitInHand
from distbragg.engine.work import TaskSettings, UnitFunctions
from distbragg.errors import DistbraggError, RefusedError
from distbragg.kernel.response import record_again
from distbragg.rendering.frame import FrameFacts, FrameJob
from distbragg.spec.compute import PARTS
from distbragg.spec.continued import FRAME_SHIFT
from distbragg.store.layout import IMAGES
from distbragg.store.manifest import DRAWN_FROM, DRAWN_OF
from distbragg.store.open import FrameReader
from distbragg.store.run_directory import RunDirectory, open_run
from distbragg.store.write import UnitWriter

RECORDING: Final = ("noise", "detector.response", "detector.point_spread", "output", "title")
"""What may differ from the run whose expectations are taken: nothing that they depend on."""


def decides_recording(path: str) -> bool:
    """Whether a field changes what is recorded of a frame; by which number it is drawn does not."""
    return path.startswith(RECORDING) and path != FRAME_SHIFT


def expected_in(run: RunDirectory) -> tuple[str, ...]:
    """Return the arrays of a run whose sum is its expected photons; none where it keeps none."""
    first = RunContext.of(run).opened.frame(0).experiment
    swept = any(map(decides_recording, run.sweep.swept))
    floats = run.layout.dtype in ("float32", "float64")
    if run.keeps_frames and floats and not (first.noise.photon or first.recorded or swept):
        return (IMAGES,)
    kept = run.sweep.experiment.output.maps or ()
    return PARTS if set(PARTS) <= set(kept) else ()


def drawn_record(source: RunDirectory) -> dict[str, Any]:
    """Return what the manifest of a run says that is drawn from `source`."""
    dtype = source.layout.dtype if expected_in(source) == (IMAGES,) else "float32"
    stated = {"run_id": source.run_id, "dtype": dtype}
    return {DRAWN_FROM: source.url, DRAWN_OF: stated}


def rounded_source(provenance: Mapping[str, Any]) -> str:
    """Return the id of the run whose rounded expectations a run was drawn from, or nothing."""
    stated = provenance.get(DRAWN_OF)
    if not isinstance(stated, dict) or stated.get("dtype") != "float32":
        return ""
    return str(stated.get("run_id", ""))


def source_of(run: RunDirectory) -> RunContext | None:
    """Return the run that units are to be drawn from; None where rendering gives the same bits.

    Refused where it is not what it was.
    """
    identity = rounded_source(run.manifest.provenance)
    if not identity:
        return None
    place = str(run.manifest.provenance.get(DRAWN_FROM, ""))
    try:
        source = open_run(place)
        # A run that was extended since holds the frames that were drawn from, as they were.
        if identity not in (source.run_id, *(former.run_id for former in source.lineage)):
            raise RefusedError(f"{place}: holds another run")
    except (DistbraggError, OSError) as error:
        raise RefusedError(
            f"{run.url}: was drawn from the expected photons of {place or 'another run'}, "
            "which is missing or has changed; restore it, or draw a new run with `distbragg noise`"
        ) from error
    return RunContext.of(source)


def drawing(source: RunContext) -> UnitFunctions:
    """Return the work of drawing units from a run."""
    return UnitFunctions(partial(draw_unit, source))


def draw_frame(
    source: RunContext, image: NDArray[Any], ready: PreparedFrame, frame: int, threads: int
) -> int:
    """Write to `image` what a detector records of a stored frame; return its overloads."""

    def readers() -> list[FrameReader]:
        run = source.directory
        return [FrameReader(run, name) for name in expected_in(run)]

    means = [reader.read([frame])[0] for reader in source.kept(expected_in, readers)]
    # Parts are of float32, and their sum is that of float64.
    stored = means[0] if len(means) == 1 else means[0].astype(np.float64) + means[1]
    stored = stored.reshape(image.shape)
    return record_again(image, stored, ready.experiment, frame, threads=threads)


def draw_unit(
    source: RunContext, run: RunContext, unit: int, attempt: int, settings: TaskSettings
) -> dict[str, Any]:
    """Draw the frames of a unit, store them as one shard, and return the receipt."""
    started = time.perf_counter()
    opened = run.opened
    kernel = opened.kernel(settings)
    with UnitWriter(opened.directory, unit, threads=settings.threads) as writer:
        made = UnitInHand(opened, writer, kernel, settings)
        for frame in opened.layout.unit_frames(unit):
            began, ready = time.perf_counter(), opened.frame(frame)
            image = writer.blank()
            over = draw_frame(source, image, ready, frame, settings.threads)
            seconds = time.perf_counter() - began
            job = FrameJob(image, ready.experiment, ready.plan, frame)
            made.add(job, FrameFacts(seconds, overloads=over))
        return made.finish(attempt, time.perf_counter() - started)
