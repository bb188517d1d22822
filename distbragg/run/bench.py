"""Rendering one workload in memory, and how long its kernel takes."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.graph.frame import RenderedFrame, render_into, render_timed
from distbragg.kernel.options import KernelOptions, resolve_options
from distbragg.kernel.triton import Indices
from distbragg.models.arrays import Float64Array
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.plan.frame import FramePlan, plan_frame
from distbragg.run.workloads import Workload
from distbragg.spec.nanobragg import parse_nanobragg

MIN_REPEATS: Final = 3
MAX_REPEATS: Final = 15
WISHED_SECONDS: Final = 3.0
"""Time spent on one workload where the number of repeats is left open."""

CARD_WARM_UP_S: Final = 1.5
"""Time that a GPU renders before it is timed: an idle card's clock takes a while to rise."""


@dataclass(frozen=True, slots=True)
class How:
    """How a workload is rendered; empty text leaves a choice to the program.

    `indices` is that of `KernelOptions`; `noise` draws photon counts.
    """

    threads: int
    precision: str = ""
    kernel: str = ""
    device: str = ""
    indices: str = ""
    noise: bool = False
    tolerance: float = 0.0

    @property
    def flags(self) -> tuple[str, ...]:
        """The choice as flags of `distbragg nanobragg`."""
        chosen = (
            ("--precision", self.precision),
            ("--kernel", self.kernel),
            ("--device", self.device),
            ("--tolerance", f"{self.tolerance:g}" if self.tolerance else ""),
        )
        return tuple(word for flag, value in chosen if value for word in (flag, value))


@dataclass(frozen=True, slots=True)
class Ready:
    """A workload resolved: nothing but the kernel's own work is left."""

    workload: Workload
    experiment: Experiment
    plan: FramePlan
    options: KernelOptions

    def render(self, into: NDArray[Any] | None = None) -> RenderedFrame:
        """Render it once, into an image (panels, slow, fast) that is there, or a new one."""
        if into is None:
            return render_timed(self.experiment, self.plan, self.options, 0)
        facts = render_into(into, self.experiment, self.plan, self.options, frame=0)
        return RenderedFrame(into, facts.kernel_seconds, facts.skipped)

    def blank(self) -> NDArray[Any] | None:
        """Return an image for all frames on a GPU, in the type that stacks have; None on a CPU."""
        if self.options.device == "cpu":
            return None
        return np.empty((self.plan.panels, *self.plan.shape), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Timing:
    """What `distbragg bench` prints of one workload.

    Attributes
    ----------
    workload : str
    steps : int
        Steps planned, those a kernel may skip included.
    seconds : float
        Median time inside the kernel, s.
    spread : (float, float)
        Least and greatest of the repeats, s.
    frame_seconds : float
        Median time of a whole frame, from the resolved experiment to finished pixels on the
        host, s.
    kernel, device, precision, indices : str
    threads : int
    image : (slow, fast) float64
        The last rendered frame, photons per pixel.
    peak : float
        float32 operations per second that the card was measured to do; 0 on a CPU.
    card : str
        Its name; empty on a CPU.
    """

    workload: str
    steps: int
    seconds: float
    spread: tuple[float, float]
    kernel: str
    device: str
    threads: int
    precision: str
    image: Float64Array
    frame_seconds: float = 0.0
    indices: str = ""
    peak: float = 0.0
    card: str = ""

    @property
    def steps_per_s(self) -> float:
        """Steps per second."""
        return self.steps / self.seconds

    def plain(self) -> dict[str, object]:
        """Return the figures as JSON-able data."""
        return {
            "workload": self.workload,
            "steps": self.steps,
            "seconds": self.seconds,
            "steps_per_s": self.steps_per_s,
            "kernel": self.kernel,
            "device": self.device,
            "threads": self.threads,
            "precision": self.precision,
            **self._of_card(),
        }

    @property
    def peak_fraction(self) -> float:
        """Share of the card's peak, counting `OPERATIONS_PER_STEP` a step; 0 on a CPU."""
        if not self.peak:
            return 0.0
        from distbragg.kernel.triton.peak import OPERATIONS_PER_STEP

        return self.steps_per_s * OPERATIONS_PER_STEP / self.peak

    def _of_card(self) -> dict[str, object]:
        if not self.peak:
            return {}
        return {
            "card": self.card,
            "frame_seconds": self.frame_seconds,
            "indices": self.indices,
            "peak_operations_per_s": self.peak,
            "peak_fraction": self.peak_fraction,
        }


def prepare(workload: Workload, inputs: Path, how: How) -> Ready:
    """Resolve a workload.

    Raises
    ------
    InputError, EnvironmentFailure
        Its inputs are not there, or what is asked of the kernel is.
    """
    command = parse_nanobragg([*workload.arguments, *how.flags], base_dir=inputs)
    compute = command.spec.compute
    experiment = build_experiment(command.spec)
    if how.noise:
        experiment = replace(experiment, noise=replace(experiment.noise, photon=True))
    plan = plan_frame(experiment, compute)
    options = resolve_options(compute, how.threads)
    if how.indices:
        options = replace(options, indices=_indices(how.indices, options))
    return Ready(workload, experiment, plan, options)


def _indices(wished: str, options: KernelOptions) -> Indices:
    if options.kernel != "triton":
        raise InputError(
            f"the {options.kernel} kernel has one way of computing indices",
            source="--indices",
            remedy="leave it out, or take kernel triton on a CUDA device",
        )
    return "split" if wished == "split" else "wide"


def time_workload(ready: Ready, repeats: int | None = None) -> Timing:
    """Render a workload to warm up, then again and again; take the median.

    Parameters
    ----------
    ready : Ready
    repeats : int, optional
        Default: as many as take about `WISHED_SECONDS`.
    """
    into = ready.blank()
    image = _warm_up(ready, into)
    count = repeats or repeats_for(image.kernel_seconds)
    gc.collect()
    seconds: list[float] = []
    whole: list[float] = []
    for _ in range(count):
        started = time.perf_counter()
        image = ready.render(into)
        whole.append(time.perf_counter() - started)
        seconds.append(image.kernel_seconds)
    timing = summarize(ready, seconds, image.image[0])
    return _with_card(replace(timing, frame_seconds=statistics.median(whole)), ready.options)


def _warm_up(ready: Ready, into: NDArray[Any] | None) -> RenderedFrame:
    """Render until compilers have run and, on a GPU, clocks have risen."""
    image = ready.render(into)
    if ready.options.device != "cpu":
        started = time.perf_counter()
        while time.perf_counter() - started < CARD_WARM_UP_S:
            image = ready.render(into)
    return image


def _with_card(timing: Timing, options: KernelOptions) -> Timing:
    """Measure the card's peak in the same run, so that both saw the same clocks."""
    if options.kernel != "triton":
        return timing
    from distbragg.kernel.triton.peak import card_name, measure_peak

    peak, card = measure_peak(options.device), card_name(options.device)
    return replace(timing, indices=options.indices, peak=peak, card=card)


def summarize(ready: Ready, seconds: Sequence[float], image: Float64Array) -> Timing:
    """Make the result of repeated timings of one workload."""
    options = ready.options
    return Timing(
        workload=ready.workload.name,
        steps=ready.plan.steps,
        seconds=statistics.median(seconds),
        spread=(min(seconds), max(seconds)),
        kernel=options.kernel,
        device=options.device,
        threads=options.threads,
        precision=options.precision,
        image=image,
    )


def repeats_for(seconds: float) -> int:
    """Return how often a workload that takes `seconds` is timed."""
    return max(MIN_REPEATS, min(MAX_REPEATS, int(WISHED_SECONDS / max(seconds, 1e-6))))
