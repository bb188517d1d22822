"""What a task knows of its run, and what a process keeps of the runs it works on.

A task carries a `RunContext`, two strings. What it needs of the run is opened, checked and kept
in one cache of the process, keyed by the run's identity: a run that was deleted and created anew
at the same address is another run, whatever else this process has seen there.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from distbragg.engine.work import TaskSettings
from distbragg.errors import InputError, RefusedError
from distbragg.kernel.options import (
    KernelOptions,
    cuda_available,
    numeric_class,
    resolve_options,
)
from distbragg.models.build import Resolved, build_reflections, reflections_key, resolve
from distbragg.models.crystal import Reflections
from distbragg.models.experiment import Experiment
from distbragg.plan.frame import FramePlan, plan_frame, shares_plan
from distbragg.spec.compute import ComputeSpec
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.sweep import SweepSpec
from distbragg.store.grids import ensure_grid
from distbragg.store.manifest import class_id
from distbragg.store.run_directory import RunDirectory, open_run
from distbragg.store.spots import has_labels

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

SWEEPS_KEPT: Final = 4  # runs and lazy arrays that a process keeps open

FRAMES_KEPT: Final = 8
"""Frames that a process keeps of each: the graph form uses one frame many times."""

VALUES_KEPT: Final = 8  # other values, such as the survey of the run, that a process keeps of each
GRIDS_KEPT: Final = 2  # |F| grids that a process keeps of each, however large
GRID_BYTES_KEPT: Final = 1 << 28
"""More grids are kept while all together are smaller: frames of several proteins take turns."""

_MOST_KEPT: Final = 64  # values of a cache that counts bytes


class ProcessCache(Generic[K, V]):
    """The last few values made in this process, each made once, different ones side by side.

    They are `size`, and more while `bytes_of` them all together are no more than `spare_bytes`.
    """

    def __init__(
        self, size: int, bytes_of: Callable[[V], int] | None = None, spare_bytes: int = 0
    ) -> None:
        self._size, self._bytes_of, self._spare = size, bytes_of, spare_bytes
        self._values: OrderedDict[K, Future[V]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the value of `key`, calling `make` where it is not kept."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            else:
                ours: Future[V] = Future()
                while len(self._values) >= self._size and not self._has_room():
                    self._values.popitem(last=False)
                self._values[key] = ours
        if value is not None:
            return value.result()
        try:
            ours.set_result(make())
        except BaseException as error:
            with self._lock:
                if self._values.get(key) is ours:
                    del self._values[key]
            ours.set_exception(error)
            raise
        return ours.result()

    def _has_room(self) -> bool:
        """Whether one more than `size` may be kept; the lock is held."""
        if self._bytes_of is None or len(self._values) >= _MOST_KEPT:
            return False
        made = [value for value in self._values.values() if value.done()]
        sizes = (self._bytes_of(value.result()) for value in made if value.exception() is None)
        return len(made) == len(self._values) and sum(sizes) <= self._spare


@dataclass(frozen=True, slots=True)
class PreparedFrame:
    """A frame ready to render: its specification, experiment and plan."""

    spec: ExperimentSpec
    experiment: Experiment
    plan: FramePlan


class SweepFrames:
    """The frames of a sweep as this process has prepared them, cut as `compute` says.

    `read(key, spec)` finds the table of |F| that `spec` needs, whose `reflections_key` is `key`.
    """

    def __init__(
        self,
        sweep: SweepSpec,
        compute: ComputeSpec,
        read: Callable[[str, ExperimentSpec], Reflections],
    ) -> None:
        self.sweep = sweep
        self._compute = compute
        self._read = read
        self._frames: ProcessCache[int, PreparedFrame] = ProcessCache(FRAMES_KEPT)
        self._grids: ProcessCache[str, Reflections] = ProcessCache(
            GRIDS_KEPT, lambda grid: grid.amplitude.nbytes, GRID_BYTES_KEPT
        )
        self._latest: PreparedFrame | None = None
        self._like: Resolved | None = None

    def frame(self, frame: int) -> PreparedFrame:
        """Return a frame's experiment and plan; needs no kernel."""
        return self._frames.get(frame, lambda: self._prepare(frame))

    def _prepare(self, frame: int) -> PreparedFrame:
        """Resolve a frame; what nothing that differs decides is taken from the one before."""
        spec, latest = self.sweep.frame_spec(frame), self._latest
        like = self._like
        # Sections that no axis touches are the very same in all frames.
        if (
            like is not None
            and like.table is not None
            and spec.structure_factors is like.spec.structure_factors
            and spec.beam is like.spec.beam
            and spec.sampling is like.spec.sampling
            and spec.detector is like.spec.detector
            and spec.header_files is like.spec.header_files
        ):
            reflections = like.table
        else:
            key = reflections_key(spec)
            reflections = self._grids.get(key, lambda: self._read(key, spec))
        found = resolve(spec, reflections=reflections, frame=frame, like=self._like)
        experiment, self._like = found.experiment, found
        if latest is not None and shares_plan(experiment, latest.experiment):
            plan = latest.plan
        else:
            plan = plan_frame(experiment, self._compute)
        self._latest = ready = PreparedFrame(spec, experiment, plan)
        return ready


@dataclass(frozen=True, slots=True)
class Kernel:
    """The kernel as this process computes with it, its numeric class, and the name of that."""

    options: KernelOptions
    numeric_class: Mapping[str, str]
    class_id: str


class OpenRun:
    """A run as this process has opened it, and what it has `kept` of it beside its frames."""

    def __init__(self, directory: RunDirectory) -> None:
        self.directory, self.layout = directory, directory.layout
        self.labelled = has_labels(directory)
        self.compute = directory.sweep.experiment.compute
        self.output = directory.sweep.experiment.output
        self._frames = SweepFrames(directory.sweep, self.compute, self._reflections)
        self._kernels: ProcessCache[TaskSettings, Kernel] = ProcessCache(4)
        self.kept: ProcessCache[Hashable, Any] = ProcessCache(VALUES_KEPT)

    def frame(self, frame: int) -> PreparedFrame:
        """Return a frame (flat C-order index) ready to render; needs no kernel."""
        ready, layout = self._frames.frame(frame), self.layout
        if (ready.plan.panels, ready.plan.shape) != (layout.panels, layout.shape):
            raise InputError(
                f"frame {frame} has {ready.plan.panels} panels of {ready.plan.shape} pixels, the "
                f"stack {layout.panels} of {layout.shape}",
                field="axes",
                remedy="leave the size of the detector out of the sweep",
            )
        return ready

    def kernel(self, settings: TaskSettings) -> Kernel:
        """Choose this process's kernel, and check that it may render for the run."""

        def choose() -> Kernel:
            options = resolve_options(_compute_here(self.compute, settings), settings.threads)
            ours = numeric_class(options)
            check_class(self.directory.manifest.numeric_class, ours, settings.allow_mixed)
            return Kernel(options, ours, class_id(ours))

        return self._kernels.get(settings, choose)

    def _reflections(self, key: str, spec: ExperimentSpec) -> Reflections:
        """Map the run's grid into memory, made and saved first where there is none yet."""
        return ensure_grid(self.directory.objects, key, lambda: build_reflections(spec))


@dataclass(frozen=True, slots=True)
class RunContext:
    """What tasks carry in place of a run: where any process opens it, and its identity, hex."""

    url: str
    run_id: str

    @classmethod
    def of(cls, run: RunDirectory) -> RunContext:
        """Return the context of an opened run, which stays open in this process."""
        context = cls(run.url, run.run_id)
        _runs.get(context, lambda: OpenRun(run))
        return context

    def __str__(self) -> str:
        return self.url

    @property
    def opened(self) -> OpenRun:
        """The run, opened once in each process; refused where another run is there now."""
        return _runs.get(self, lambda: OpenRun(open_run(self.url, self.run_id)))

    @property
    def directory(self) -> RunDirectory:
        """The directory of the run; see `opened`."""
        return self.opened.directory

    def kept(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what this process keeps of the run under `key`, calling `make` the first time."""
        value: T = self.opened.kept.get(key, make)
        return value


_runs: Final[ProcessCache[RunContext, OpenRun]] = ProcessCache(SWEEPS_KEPT)


def check_class(theirs: Mapping[str, str], ours: Mapping[str, str], allow_mixed: bool) -> None:
    """Refuse to mix numeric classes where that is not allowed: bits agree within one class only."""
    if allow_mixed or dict(theirs) == dict(ours):
        return
    parts = [
        f"{name} is {ours.get(name, 'absent')} here and {theirs.get(name, 'absent')} in the run"
        for name in sorted({*theirs, *ours})
        if theirs.get(name) != ours.get(name)
    ]
    raise RefusedError(
        "this process computes in another numeric class than the run: "
        + "; ".join(parts)
        + "; use a worker of the run's class, or --allow-mixed to compare by tolerance"
    )


def _compute_here(compute: ComputeSpec, settings: TaskSettings) -> ComputeSpec:
    """Let a process without a GPU help a GPU run on its CPU, where classes may be mixed."""
    if compute.device == "cpu" or not settings.allow_mixed or cuda_available():
        return compute
    kernel = "auto" if compute.kernel == "triton" else compute.kernel
    return compute.model_copy(update={"device": "cpu", "kernel": kernel})
