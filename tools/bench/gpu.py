"""Everything that is claimed of a GPU, measured on the card that is here, part by part.

A part that fails is told and the others go on; what was found is written after every part, so
that a run that is cut short leaves what it had.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol
from unittest import mock

import numpy as np

from distbragg.kernel.options import resolve_options
from distbragg.run.bench import How, Ready, Workload, load_workloads, prepare, time_workload
from distbragg.spec.compute import ComputeSpec
from tools.bench.gpu_scenes import compare_scenes
from tools.bench.gpu_sweep import measure_sweep

FORMS: Final = (
    (256, 4, 80), (256, 4, None), (256, 4, 72), (256, 4, 64), (128, 2, 80), (128, 4, None),
    (256, 2, None), (512, 4, None), (512, 8, 80),
)  # fmt: skip
"""Pixels, warps and registers of a program that are tried."""

_SHORT_BYTES_PER_PIXEL: Final = 60
"""Memory that a frame with noise is left, where finishing it in one piece takes about 160."""


class BundleLike(Protocol):
    """Where results go."""

    def write_json(self, name: str, value: object) -> Path:
        """Write one JSON file."""


@dataclass(frozen=True, slots=True)
class GpuExtent:
    """How much is measured; the defaults take five minutes on an H100, by estimate.

    Attributes
    ----------
    workloads : tuple of Workload
        The last one also draws noise, and runs short of memory.
    turning : Workload
        Of the sweep.
    trial : Workload
        Of the launch forms.
    frames, compared : int
        Of the sweep, and how many of them the CPU renders too.
    edge, domains, sources : int
        Of the scenes for accuracy.
    repeats : int, optional
        Timed renders.
    """

    workloads: tuple[Workload, ...]
    turning: Workload
    trial: Workload
    frames: int = 16
    compared: int = 1
    edge: int = 256
    domains: int = 10
    sources: int = 3
    repeats: int | None = None


@dataclass
class Measured:
    """What was found so far.

    Attributes
    ----------
    parts : dict
        Results by part, plain data.
    failed : dict
        What went wrong, by part.
    seconds : dict
        Time of each part, s.
    """

    parts: dict[str, Any] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def full_extent() -> GpuExtent:
    """Return what is measured unless asked otherwise."""
    known = load_workloads()
    exafel = known["exafel"]
    trial = exafel.with_arguments("exafel, 10 sources", {"-dispsteps": 10}, exafel.steps // 10)
    return GpuExtent((known["big_detector"], exafel), exafel, trial)


def quick_extent() -> GpuExtent:
    """Return the same in miniature, for the interpreter: to see that everything works."""
    still = load_workloads()["mosaic_still"]

    def small(name: str, edge: int, sources: int) -> Workload:
        changes = {
            "-detpixels": edge, "-pixel": f"{174.08 / edge:.4f}", "-mosaic_domains": 1,
            "-dispersion": 1, "-dispsteps": sources,
        }  # fmt: skip
        return still.with_arguments(name, changes, edge * edge * sources)

    pair = (small("big_detector", 16, 1), small("exafel", 16, 2))
    return GpuExtent(
        pair, small("exafel", 16, 1), pair[0], frames=5, edge=16, domains=1, sources=1, repeats=1
    )


def check_card(device: str) -> None:
    """Refuse to measure where the fused kernel cannot run.

    Raises
    ------
    EnvironmentFailure
        There is no such card, or no Triton for it.
    """
    resolve_options(ComputeSpec(device=device, kernel="triton"), 1)


def measure_gpu(
    bundle: BundleLike,
    inputs: Path,
    device: str,
    extent: GpuExtent,
    say: Callable[[str], None],
) -> Measured:
    """Measure every part in turn and write `results.json` after each.

    Parameters
    ----------
    bundle : BundleLike
    inputs : Path
        Folder of the reflection list.
    device : str
    extent : GpuExtent
    say : callable(text)
        Told when a part ends.
    """
    measured = Measured()
    parts: dict[str, Callable[[], object]] = {
        "card": lambda: _card(device),
        "speed": lambda: _speeds(inputs, device, extent),
        "noise": lambda: _noise(inputs, device, extent),
        "accuracy": lambda: _accuracy(inputs, device, extent),
        "sweep": lambda: _sweep(inputs, device, extent),
        "memory": lambda: _memory(inputs, device, extent),
        "forms": lambda: _forms(inputs, device, extent),
    }
    for name, part in parts.items():
        started = time.perf_counter()
        try:
            measured.parts[name] = part()
        except Exception as error:  # a card is seldom there: the other parts must not be lost
            measured.failed[name] = f"{type(error).__name__}: {' '.join(str(error).split())}"
            logging.getLogger("distbragg").debug("part %s failed", name, exc_info=True)
        measured.seconds[name] = time.perf_counter() - started
        bundle.write_json("results.json", asdict(measured))
        what = measured.failed.get(name, "measured")
        say(f"{name}: {what} ({measured.seconds[name]:.1f} s)")
    return measured


def _card(device: str) -> dict[str, object]:
    from tools.bench.card import card_facts, card_state

    return {**card_facts(device), "before": card_state()}


def _speeds(inputs: Path, device: str, extent: GpuExtent) -> list[dict[str, object]]:
    from tools.bench.card import card_state

    found = []
    for workload in extent.workloads:
        for indices in ("wide", "split"):
            how = How(1, "mixed", "triton", device, indices)
            timing = time_workload(prepare(workload, inputs, how), extent.repeats)
            found.append({**timing.plain(), "spread": timing.spread, "after": card_state()})
    return found


def _noisy(inputs: Path, device: str, extent: GpuExtent) -> Ready:
    return prepare(extent.workloads[-1], inputs, How(1, "mixed", "triton", device, noise=True))


def _noise(inputs: Path, device: str, extent: GpuExtent) -> dict[str, object]:
    timing = time_workload(_noisy(inputs, device, extent), extent.repeats)
    return {**timing.plain(), "photons": float(timing.image.sum(dtype=np.float64))}


def _accuracy(inputs: Path, device: str, extent: GpuExtent) -> list[dict[str, object]]:
    sizes = {"edge": extent.edge, "domains": extent.domains, "sources": extent.sources}
    return [
        {**asdict(found), "held": found.held} for found in compare_scenes(inputs, device, **sizes)
    ]


def _sweep(inputs: Path, device: str, extent: GpuExtent) -> dict[str, object]:
    found = measure_sweep(
        extent.turning, inputs, device, frames=extent.frames, compared=extent.compared
    )
    return {
        **asdict(found),
        "kernel_share": found.kernel_share,
        "at_once": found.at_once,
        "held": found.compared is not None and found.compared.held,
    }


def _memory(inputs: Path, device: str, extent: GpuExtent) -> dict[str, object]:
    """Finish a frame with noise where its memory does not suffice, and compare the bits."""
    ready = _noisy(inputs, device, extent)
    expected = ready.render(ready.blank())[0]
    with _short_of_memory(device, ready.plan.pixels * _SHORT_BYTES_PER_PIXEL), _told() as lines:
        found = ready.render(ready.blank())[0]
    return {
        "limited": device != "cpu",
        "shrunk": [line for line in lines if "out of memory" in line],
        "same_bits": bool(np.array_equal(expected, found)),
    }


@contextmanager
def _short_of_memory(device: str, more: int) -> Iterator[None]:
    """Let this process take `more` bytes of a GPU's memory beyond what it has, and no more."""
    if device == "cpu":
        yield
        return
    import torch

    from distbragg.kernel.triton.memory import release_memory

    place = torch.device(device)
    index = torch.cuda.current_device() if place.index is None else place.index
    release_memory()
    total = torch.cuda.get_device_properties(index).total_memory
    allowed = torch.cuda.memory_reserved(index) + more
    torch.cuda.set_per_process_memory_fraction(min(1.0, allowed / total), index)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, index)


@contextmanager
def _told() -> Iterator[list[str]]:
    """Collect what the package logs."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("distbragg")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


def _forms(inputs: Path, device: str, extent: GpuExtent) -> list[dict[str, object]]:
    """Time a shorter workload with programs of other sizes."""
    from distbragg.kernel.triton import render

    ready = prepare(extent.trial, inputs, How(1, "mixed", "triton", device))
    usual = ready.render()[0]
    found: list[dict[str, object]] = []
    for pixels, warps, registers in FORMS:
        form = render.LaunchForm(pixels, warps, registers)
        with mock.patch.object(render, "launch_form", lambda _, form=form: form):
            timing = time_workload(ready, extent.repeats)
        found.append(
            {
                "pixels": pixels,
                "warps": warps,
                "registers": registers,
                "steps_per_s": timing.steps_per_s,
                "same_bits": bool(
                    np.array_equal(timing.image, usual[0].astype(timing.image.dtype))
                ),
            }
        )
    return found
