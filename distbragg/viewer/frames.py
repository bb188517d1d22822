"""Frames to look at: those of a run, on disk or on an object store, or of a specification.

Nothing here writes: a run that others fill, or that is sealed, is only read.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from distbragg.engine.context import SweepFrames
from distbragg.errors import DistbraggError, InputError
from distbragg.kernel.native.moments import compiled_twin
from distbragg.models.build import build_reflections
from distbragg.models.crystal import NO_TABLE, Reflections
from distbragg.models.experiment import Experiment
from distbragg.predict.spots import visible_spots
from distbragg.read.columns import Column
from distbragg.run.frame_header import blind_pixels
from distbragg.run.frames import frame_columns, frame_rows
from distbragg.run.prepare import as_sweep
from distbragg.run.render import render_image, render_maps
from distbragg.run.result import RunResult
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.sweep import SweepSpec
from distbragg.store.grids import load_grid
from distbragg.store.layout import FAILURES_DIR, IMAGES, RECEIPTS_DIR, STATE_DIR
from distbragg.store.ledger import done_units, failures
from distbragg.store.objects import is_url
from distbragg.store.open import FrameReader, array_of
from distbragg.store.run_directory import RunDirectory, open_run
from distbragg.store.spots import has_labels, labels_key, labels_of
from distbragg.viewer.kinds import kinds_in, over_frame

Viewable = RunDirectory | RunResult | SweepSpec | ExperimentSpec | str | Path
"""A run, or its path or URL; or a specification, or the path of its file."""

LOOK_S: Final = 2.0  # seconds between two looks at a run that grows, at least
KEPT: Final = 4  # frames, tables of spots and masks that are kept of each source

T = TypeVar("T")


class Source(ABC):
    """Frames of one shape by their flat number, with what is known of each."""

    stored_spots = False  # whether spots lie beside the frames, and need not be predicted
    grows = False  # whether frames may come while they are looked at
    kinds: tuple[str, ...] = (IMAGES,)  # arrays of a frame that can be shown

    def __init__(self, name: str, sweep: SweepSpec) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._kept: dict[str, OrderedDict[int, Any]] = {}
        self.take(sweep)

    def take(self, sweep: SweepSpec) -> None:
        """Take the sweep the frames are of; a run that was extended has another."""
        self.sweep, self.title = sweep, sweep.experiment.title
        self.frames, self.dims = sweep.frames, sweep.dims
        compute = sweep.experiment.compute
        self._geometry = SweepFrames(sweep, compute, lambda *_: NO_TABLE)
        self._full = SweepFrames(sweep, compute, self._reflections)
        panels = self.experiment(0).detector.panels
        self.shape = (len(panels), *panels[0].shape)

    def experiment(self, frame: int) -> Experiment:
        """Resolve a frame, but for its |F|."""
        return self._geometry.frame(frame).experiment

    def values(self, frame: int, kind: str = IMAGES) -> NDArray[Any] | None:
        """Return the pixels of a frame, (panels, slow, fast[, numbers]); None: not there yet."""
        return self._keep(kind, frame, lambda frame: self._values(frame, kind))

    def masked(self, frame: int) -> NDArray[np.bool_] | None:
        """Return which pixels measure nothing, (panels, slow, fast); None where all do."""
        experiment = self.experiment(frame)
        panels = experiment.detector.panels
        if experiment.response is None and all(panel.fully_active for panel in panels):
            return None
        blind = self._keep("masked", frame, lambda _: blind_pixels(experiment) != 0)
        return blind if blind is not None and blind.any() else None

    def spots(self, frame: int) -> dict[str, Column]:
        """Predict the spots of a frame: the columns of `predict.table.Spots`."""
        found = self._keep("spots", frame, self._spots)
        return found or {}

    def labels(self, frame: int) -> list[tuple[str, str]]:
        """Return what each axis sets in a frame, name and text."""
        names, (row,) = frame_columns(self.sweep), frame_rows(self.sweep, [frame])
        shown = (f"{cell:.7g}" if isinstance(cell, float) else str(cell) for cell in row)
        return list(zip(names, shown, strict=True))[1:]

    def why_missing(self, frame: int) -> str:
        """Say why a frame is not there."""
        del frame
        return "not rendered yet"

    def news(self) -> bool:
        """Look for new frames; True where there are any."""
        return False

    @property
    def done(self) -> int | None:
        """Frames that are rendered; None where that is not known."""
        return None

    @property
    def newest(self) -> int | None:
        """Return the frame that was rendered last; None where that is not known."""
        return None

    def _keep(self, kind: str, frame: int, make: Callable[[int], T | None]) -> T | None:
        """Return what is kept of a frame, made the first time; None is not kept."""
        with self._lock:
            kept = self._kept.setdefault(kind, OrderedDict())
            if frame not in kept:
                value = make(frame)
                if value is None:
                    return None
                kept[frame] = value
                while len(kept) > KEPT:
                    kept.popitem(last=False)
            kept.move_to_end(frame)
            found: T = kept[frame]
            return found

    def _spots(self, frame: int) -> dict[str, Column] | None:
        return visible_spots(self._full.frame(frame).experiment, compiled_twin()).columns()

    def _reflections(self, key: str, spec: ExperimentSpec) -> Reflections:
        del key
        return build_reflections(spec)

    @abstractmethod
    def _values(self, frame: int, kind: str) -> NDArray[Any] | None:
        """Read or render an array of a frame."""


class SpecSource(Source):
    """Frames of a specification, each rendered when it is looked at."""

    def __init__(self, name: str, sweep: SweepSpec, threads: int | None = None) -> None:
        self._threads = threads
        super().__init__(name, sweep)
        self.kinds = kinds_in([IMAGES, *(sweep.experiment.output.maps or ())])
        self._maps: tuple[int, dict[str, NDArray[Any]]] = -1, {}  # of the frame rendered last

    def _values(self, frame: int, kind: str) -> NDArray[Any]:
        spec = self.sweep.frame_spec(frame)
        if kind == IMAGES:
            return render_image(spec, threads=self._threads, progress=False).reshape(self.shape)
        if self._maps[0] != frame:  # all are made together
            self._maps = frame, render_maps(spec, threads=self._threads)
        return self._maps[1][kind]


class RunSource(Source):
    """Frames of a run, those that come while it is looked at included."""

    grows = True

    def __init__(self, run: RunDirectory) -> None:
        self._open(run)
        super().__init__(run.url, run.sweep)
        self._seen: dict[str, tuple[int, str]] = {}
        self._done: frozenset[int] | None = None
        self._newest: int | None = None

    def _open(self, run: RunDirectory) -> None:
        self.run = run
        self._variants = {one.spec.name: one for one in run.variants}
        self.kinds = kinds_in((one.array for one in run.arrays), self._variants)
        if not self.kinds:
            array_of(run)  # says what there is instead
        self._readers: dict[str, FrameReader] = {}
        self.stored_spots = has_labels(run)

    def _values(self, frame: int, kind: str) -> NDArray[Any] | None:
        if kind not in self._readers:
            self._readers[kind] = FrameReader(self.run, kind)
        reader = self._readers[kind]
        unit = reader.layout.unit_of(frame)
        if self.run.objects.head(reader.layout.object_name(unit)) is None:
            return None
        if (variant := self._variants.get(kind)) is not None:
            stored = reader.read([frame])[0].reshape(self.shape[0], *variant.shape)
            return over_frame(variant, stored, self.shape)
        numbers = [reader.layout.components] if reader.layout.components else []
        return reader.read([frame])[0].reshape(*self.shape, *numbers)

    def _spots(self, frame: int) -> dict[str, Column] | None:
        key = labels_key(self.run.layout.unit_of(frame))
        if not self.stored_spots or self.run.objects.head(key) is None:
            return super()._spots(frame)
        return labels_of(self.run, [frame])

    def _reflections(self, key: str, spec: ExperimentSpec) -> Reflections:
        found = load_grid(self.run.objects, key)
        return build_reflections(spec) if found is None else found

    def why_missing(self, frame: int) -> str:
        """Say why a frame is not there: with the reason where its unit was set aside."""
        failed = failures(self.run).get(self.run.layout.unit_of(frame))
        return f"set aside: {failed.reason}" if failed else "not rendered yet"

    def news(self) -> bool:
        """Look for new receipts: a list of a few files where there are none."""
        run = open_run(self.name)
        if run.run_id != self.run.run_id:
            if run.layout.dimension_names != self.run.layout.dimension_names:
                raise InputError(f"{self.name}: holds another run now; start the viewer again")
            self._open(run)
            self._seen = {}
            with self._lock:
                self._kept.clear()
            self.take(run.sweep)
        seen = {
            entry.key: (entry.size, entry.tag)
            for folder in (RECEIPTS_DIR, FAILURES_DIR)
            for entry in run.objects.entries(f"{STATE_DIR}/{folder}/")
        }
        if seen == self._seen and self._done is not None:
            return False
        self._seen = seen
        done = done_units(run)
        if done == self._done:
            return False
        if self._done is not None and (fresh := done - self._done):
            self._newest = self.run.layout.unit_frames(max(fresh))[-1]
        self._done = done
        return True

    @property
    def done(self) -> int | None:
        """Frames that are rendered; None before the receipts were read."""
        if self._done is None:
            return None
        if len(self._done) == self.run.layout.units:
            return self.frames
        return sum(map(self.run.layout.frame_count, self._done))

    @property
    def newest(self) -> int | None:
        """Return the last frame of those that came latest."""
        return self._newest


class Watcher:
    """Looks for new frames of sources in a thread of its own, for all pages together.

    Looking takes a tenth of its time at most, however many receipts a run has.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self.version = 0  # grows with every new frame
        self.problem = ""
        self._sources = [source for source in sources if source.grows]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="distbragg-view")
        if self._sources:
            self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._over.set()

    def _watch(self) -> None:
        pause = 0.0
        while not self._over.wait(pause):
            began = time.monotonic()
            try:
                for source in self._sources:
                    self.version += source.news()
                self.problem = ""
            except (DistbraggError, OSError) as error:
                self.problem = " ".join(str(error).split())
            pause = max(LOOK_S, 10.0 * (time.monotonic() - began))


def open_source(
    target: Viewable,
    overrides: Sequence[str] = (),
    *,
    root: str | Path | None = None,
    threads: int | None = None,
) -> Source:
    """Return the frames of a run or a specification; `overrides` and `root` as in `as_sweep`."""
    if isinstance(target, RunResult):
        target = target.path
    if isinstance(target, RunDirectory):
        return RunSource(target)
    if isinstance(target, SweepSpec | ExperimentSpec):
        sweep = as_sweep(target, overrides)
        return SpecSource(sweep.experiment.title or "specification", sweep, threads)
    if is_url(target) or Path(target).is_dir():
        if overrides:
            raise InputError("changes a specification, not a run", source="--set")
        return RunSource(open_run(target))
    return SpecSource(str(target), as_sweep(target, overrides, root=root), threads)
