"""The workloads that speed is judged on, and how long the kernel takes for each."""

from __future__ import annotations

import gc
import itertools
import json
import shlex
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.kernel.options import KernelOptions, resolve_options
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array
from distbragg.plan.frame import FramePlan, plan_frame
from distbragg.rendering.frame import render_into
from distbragg.spec.nanobragg import parse_nanobragg

TABLE: Final = Path(__file__).parents[1] / "data" / "workloads.json"
INPUT_FILE: Final = "P1.hkl"

MIN_REPEATS: Final = 3
MAX_REPEATS: Final = 15
WISHED_SECONDS: Final = 3.0  # time spent on one workload where the number of repeats is left open

CARD_WARM_UP_S: Final = 1.5
"""Time that a GPU renders before it is timed: an idle card's clock takes a while to rise."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A command line of nanoBragg, input files relative to the folder of inputs."""

    name: str
    arguments: tuple[str, ...]
    steps: int  # pixels × sources × phi steps × domains × sub-pixels
    gpu_only: bool = False  # too large for a CPU's patience

    def argument(self, flag: str) -> str:
        """Return what follows `flag` last, where the last one counts."""
        places = [i for i, word in enumerate(self.arguments) if word == flag]
        return self.arguments[places[-1] + 1]

    def with_arguments(self, name: str, changes: dict[str, object], steps: int) -> Workload:
        """Return the workload with other values of some flags: of repeated ones the last counts."""
        added = [str(word) for change in changes.items() for word in change]
        return replace(self, name=name, arguments=(*self.arguments, *added), steps=steps)


def load_workloads() -> dict[str, Workload]:
    """Return every workload by name."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    return {
        name: Workload(
            name,
            tuple(shlex.split(f"{table['common']} {entry['args']}")),
            int(entry["steps"]),
            bool(entry.get("gpu_only", False)),
        )
        for name, entry in table["workloads"].items()
    }


def find_workload(name: str) -> Workload:
    """Return one workload, or refuse a name that none has."""
    known = load_workloads()
    if name not in known:
        raise InputError(
            f"there is no workload {name!r}",
            source="--workload",
            remedy=f"one of {', '.join(known)}",
        )
    return known[name]


def check_inputs(folder: Path) -> Path:
    """Return the absolute folder of inputs, or refuse one that lacks the reflection list."""
    if not (folder / INPUT_FILE).is_file():
        raise InputError(
            f"holds no {INPUT_FILE}",
            source=str(folder),
            remedy="write it with `distbragg bench --make-inputs FOLDER`",
        )
    return folder.resolve()


def make_inputs(folder: Path) -> Path:
    """Write the reflection list, the same bytes every time: synthetic and Friedel-symmetric.

    All reflections of a 79.1 × 79.1 × 38.0 Å cell, lysozyme's, to 1.9 Å; |F|² exponential (Wilson)
    about 3·10⁵ exp(−2 B s²/4) with B = 10 Å² and s = 1/d, electrons.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(1)
    amplitudes: dict[tuple[int, int, int], float] = {}
    lines: list[str] = []
    for h, k, ell in itertools.product(range(-40, 41), range(-40, 41), range(-20, 21)):
        square = (h / 79.1) ** 2 + (k / 79.1) ** 2 + (ell / 38.0) ** 2
        if square > 1 / 1.9**2:
            continue
        value = amplitudes.get((-h, -k, -ell))
        if value is None:
            mean = 3.0e5 * np.exp(-2 * 10.0 * square / 4)
            value = float(np.sqrt(generator.exponential(1.0) * mean))
        amplitudes[h, k, ell] = value
        lines.append(f"{h} {k} {ell} {value:.3f}\n")
    target = folder / INPUT_FILE
    target.write_text("".join(lines), encoding="ascii")
    return target


@dataclass(frozen=True, slots=True)
class How:
    """How a workload is rendered; empty text leaves a choice to the program."""

    threads: int
    precision: str = ""
    kernel: str = ""
    device: str = ""
    indices: str = ""  # as in `KernelOptions`
    noise: bool = False  # photon counts are drawn
    tolerance: float = 0.0

    @property
    def flags(self) -> tuple[str, ...]:
        """The choice as flags of `distbragg nanobragg`."""
        chosen = {
            "--precision": self.precision,
            "--kernel": self.kernel,
            "--device": self.device,
            "--tolerance": f"{self.tolerance:g}" if self.tolerance else "",
        }
        return tuple(word for flag, value in chosen.items() if value for word in (flag, value))


@dataclass(frozen=True, slots=True)
class Ready:
    """A workload resolved: nothing but the kernel's own work is left."""

    workload: Workload
    experiment: Experiment
    plan: FramePlan
    options: KernelOptions

    def render(self, into: NDArray[Any] | None = None) -> tuple[NDArray[Any], float]:
        """Render it once, into an image that is there or a new one; also return the time, s."""
        image = np.empty((self.plan.panels, *self.plan.shape)) if into is None else into
        facts = render_into(image, self.experiment, self.plan, self.options, frame=0)
        return image, facts.kernel_seconds

    def blank(self) -> NDArray[Any] | None:
        """Return an image for all frames on a GPU, in the type that stacks have; None on a CPU."""
        if self.options.device == "cpu":
            return None
        return np.empty((self.plan.panels, *self.plan.shape), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Timing:
    """What `distbragg bench` prints of one workload."""

    workload: str
    steps: int  # planned, those a kernel may skip included
    seconds: float  # median time inside the kernel
    spread: tuple[float, float]  # least and greatest of the repeats, s
    kernel: str
    device: str
    threads: int
    precision: str
    image: Float64Array  # (slow, fast), photons per pixel, the last rendered
    frame_seconds: float = 0.0  # median, from resolved experiment to pixels on the host
    card: dict[str, Any] = field(default_factory=dict)  # of a GPU: name, indices, peak

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
            **self.card,
        }


def prepare(workload: Workload, inputs: Path, how: How) -> Ready:
    """Resolve a workload, or refuse what its inputs or the kernel cannot give."""
    spec = parse_nanobragg([*workload.arguments, *how.flags], base_dir=inputs).spec
    experiment = build_experiment(spec)
    if how.noise:
        experiment = replace(experiment, noise=replace(experiment.noise, photon=True))
    options = resolve_options(spec.compute, how.threads)
    if how.indices and options.kernel != "triton":
        raise InputError(
            f"the {options.kernel} kernel has one way of computing indices",
            source="--indices",
            remedy="leave it out, or take kernel triton on a CUDA device",
        )
    if how.indices:
        options = replace(options, indices="split" if how.indices == "split" else "wide")
    return Ready(workload, experiment, plan_frame(experiment, spec.compute), options)


def time_workload(ready: Ready, repeats: int | None = None) -> Timing:
    """Render a workload to warm up, then again and again; take the median."""
    into = ready.blank()
    _, once = ready.render(into)
    started = time.perf_counter()
    while ready.options.device != "cpu" and time.perf_counter() - started < CARD_WARM_UP_S:
        _, once = ready.render(into)
    gc.collect()
    seconds: list[float] = []
    whole: list[float] = []
    for _ in range(repeats or repeats_for(once)):
        started = time.perf_counter()
        image, kernel_seconds = ready.render(into)
        whole.append(time.perf_counter() - started)
        seconds.append(kernel_seconds)
    timing = replace(summarize(ready, seconds, image[0]), frame_seconds=statistics.median(whole))
    return replace(timing, card=_card(timing, ready.options))


def _card(timing: Timing, options: KernelOptions) -> dict[str, Any]:
    """Measure the card's peak in the same run, so that both saw the same clocks."""
    if options.kernel != "triton":
        return {}
    from distbragg.kernel.triton.peak import OPERATIONS_PER_STEP, card_name, measure_peak

    peak = measure_peak(options.device)
    return {
        "card": card_name(options.device),
        "frame_seconds": timing.frame_seconds,
        "indices": options.indices,
        "peak_operations_per_s": peak,
        "peak_fraction": timing.steps_per_s * OPERATIONS_PER_STEP / peak,
    }


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
