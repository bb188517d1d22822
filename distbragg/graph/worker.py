"""Setting up the process a task runs in: kernel options, numeric class, caches.

Everything comes from the run's manifest and the task's settings, never from a process-wide
configuration that a worker elsewhere would not have.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from distbragg.errors import InputError, RefusedError
from distbragg.graph.work import TaskSettings
from distbragg.kernel.options import (
    KernelOptions,
    cuda_available,
    numeric_class,
    resolve_options,
)
from distbragg.models.build import Resolved, build_experiment, reflections_key
from distbragg.models.crystal import Reflections
from distbragg.models.experiment import Experiment
from distbragg.plan.frame import FramePlan, plan_frame, shares_plan
from distbragg.spec.compute import ComputeSpec
from distbragg.spec.experiment import ExperimentSpec
from distbragg.store.grids import load_grid, save_grid
from distbragg.store.run_directory import RunDirectory, open_run

K = TypeVar("K")
V = TypeVar("V")

EXPERIMENTS_KEPT = 8
"""Resolved experiments a process keeps: the graph form uses one frame's many times."""

GRIDS_KEPT = 2
"""|F| grids a process keeps."""


class ProcessCache(Generic[K, V]):
    """The last few values made in this process; safe under threads, made once each."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.RLock()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the value of `key`, calling `make` where it is not kept."""
        with self._lock:
            if key not in self._values:
                value = make()
                while len(self._values) >= self._size:
                    self._values.popitem(last=False)
                self._values[key] = value
            self._values.move_to_end(key)
            return self._values[key]


@dataclass(frozen=True, slots=True)
class PreparedFrame:
    """A frame ready to render: its specification, experiment and plan."""

    spec: ExperimentSpec
    experiment: Experiment
    plan: FramePlan


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """A run opened by this process: directory, kernel options, and this process's class."""

    directory: RunDirectory
    options: KernelOptions
    numeric_class: Mapping[str, str]


_runs: ProcessCache[tuple[str, str, int], tuple[KernelOptions, Mapping[str, str]]]
_runs = ProcessCache(8)
_frames: ProcessCache[tuple[str, str, int], PreparedFrame] = ProcessCache(EXPERIMENTS_KEPT)
_ids: ProcessCache[int, tuple[RunDirectory, str]] = ProcessCache(8)
_latest: dict[tuple[str, str], PreparedFrame] = {}
_grids: ProcessCache[tuple[str, str], Reflections] = ProcessCache(GRIDS_KEPT)


def run_id_of(directory: RunDirectory) -> str:
    """Return the run's identity, hashed once per opened run rather than once per task."""
    # The directory is kept beside its id: an address is only unique among living objects.
    return _ids.get(id(directory), lambda: (directory, directory.run_id))[1]


def prepare_run(run: str, settings: TaskSettings) -> PreparedRun:
    """Open a run in this process and check that this process may render for it.

    Raises
    ------
    RefusedError
        This process's numeric class is not the run's, and `settings` do not allow it.
    """
    directory = open_run(run)
    compute = directory.sweep.experiment.compute

    def resolve() -> tuple[KernelOptions, Mapping[str, str]]:
        options = resolve_options(_compute_here(compute, settings), settings.threads)
        return options, numeric_class(options)

    options, ours = _runs.get((run, run_id_of(directory), settings.threads), resolve)
    check_class(directory.manifest.numeric_class, ours, settings.allow_mixed)
    return PreparedRun(directory, options, ours)


def _compute_here(compute: ComputeSpec, settings: TaskSettings) -> ComputeSpec:
    """Let a process without a GPU help a GPU run on its CPU, where classes may be mixed."""
    if compute.device == "cpu" or not settings.allow_mixed or cuda_available():
        return compute
    kernel = "auto" if compute.kernel == "triton" else compute.kernel
    return compute.model_copy(update={"device": "cpu", "kernel": kernel})


def prepare_frame(directory: RunDirectory, frame: int) -> PreparedFrame:
    """Return a frame's experiment and plan, made once per process; needs no kernel.

    Raises
    ------
    InputError
        Its specification cannot be used, or its shape is not the stack's.
    """
    key = (str(directory.path), run_id_of(directory), frame)
    return _frames.get(key, lambda: _prepare_frame(directory, frame))


def check_class(theirs: Mapping[str, str], ours: Mapping[str, str], allow_mixed: bool) -> None:
    """Refuse to mix numeric classes: bits agree within one class only.

    Raises
    ------
    RefusedError
        The classes differ and mixing is not allowed.
    """
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


def reflections_of(directory: RunDirectory, spec: ExperimentSpec) -> Reflections | None:
    """Return the run's |F| grid of `spec`, loaded once per process; None where not saved yet."""
    key = reflections_key(spec)
    saved = (str(directory.grids), key)
    if not (directory.grids / key).is_dir():
        return None

    def load() -> Reflections:
        reflections = load_grid(directory.grids, key)
        if reflections is None:
            raise RefusedError(f"{directory.grids / key}: |F| grid was removed during the run")
        return reflections

    return _grids.get(saved, load)


def _prepare_frame(directory: RunDirectory, frame: int) -> PreparedFrame:
    spec = directory.frame_spec(frame)
    run = str(directory.path), run_id_of(directory)
    latest = _latest.get(run)
    if latest is not None and _same_table(spec, latest.spec):
        reflections: Reflections | None = latest.experiment.reflections
    else:
        reflections = reflections_of(directory, spec)
    like = None if latest is None else Resolved(latest.spec, latest.experiment)
    experiment = build_experiment(spec, reflections=reflections, frame=frame, like=like)
    if reflections is None:
        save_grid(directory.grids, reflections_key(spec), experiment.reflections)
    if latest is not None and shares_plan(experiment, latest.experiment):
        plan = latest.plan
    else:
        plan = plan_frame(experiment, directory.sweep.experiment.compute)
        _check_shape(plan, directory, frame)
    ready = PreparedFrame(spec, experiment, plan)
    if run not in _latest:
        _latest.clear()  # one run is at work in a process, at most two for a while
    _latest[run] = ready
    return ready


def _same_table(spec: ExperimentSpec, other: ExperimentSpec) -> bool:
    """Whether all that decides the table of |F| is the very same in both specifications."""
    return (
        spec.structure_factors is other.structure_factors
        and spec.beam is other.beam
        and spec.sampling is other.sampling
        and spec.detector is other.detector
        and spec.header_files is other.header_files
    )


def _check_shape(plan: FramePlan, directory: RunDirectory, frame: int) -> None:
    layout = directory.layout
    if (plan.panels, plan.shape) != (layout.panels, layout.shape):
        raise InputError(
            f"frame {frame} has {plan.panels} panels of {plan.shape} pixels, the stack "
            f"{layout.panels} of {layout.shape}",
            field="axes",
            remedy="leave the size of the detector out of the sweep",
        )
