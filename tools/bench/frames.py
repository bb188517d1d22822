"""Frames of plain specifications, read once and rendered in this process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distbragg.kernel.options import KernelOptions, resolve_options
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.plan.frame import FramePlan, plan_frame
from distbragg.rendering.frame import render_into
from distbragg.spec.load import parse_spec


@dataclass(frozen=True, slots=True)
class Taken:
    """What a frame took: the process's own time on all cores, and wall time, s."""

    process: float
    wall: float


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame with nothing left but to be rendered, and the memory that its image goes to."""

    experiment: Experiment
    plan: FramePlan
    options: KernelOptions
    image: NDArray[np.float32]  # (panels, slow, fast)

    def render(self) -> Taken:
        """Render the frame into `image`."""
        wall, process = time.perf_counter(), time.process_time()
        render_into(self.image, self.experiment, self.plan, self.options, frame=0)
        return Taken(time.process_time() - process, time.perf_counter() - wall)


def prepare_frame(plain: Mapping[str, Any], *, threads: int = 1) -> Frame:
    """Read and resolve one experiment, for so many threads."""
    spec = parse_spec(plain, source="bench")
    experiment = build_experiment(spec)
    made = plan_frame(experiment, spec.compute)
    image = np.zeros((made.panels, *made.shape), dtype=np.float32)
    return Frame(experiment, made, resolve_options(spec.compute, threads), image)
