"""A sweep on one GPU worker from end to end, against the same frames from the CPU."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from distbragg.errors import EnvironmentFailure
from distbragg.kernel import native
from distbragg.rendering.frame import UNITS_AT_ONCE
from distbragg.run.bench import Workload
from distbragg.run.machine import usable_cores
from distbragg.run.result import RunResult
from distbragg.run.resume import sweep
from distbragg.spec.nanobragg import parse_nanobragg
from distbragg.spec.sweep import SweepSpec
from distbragg.store.ledger import completed_units
from distbragg.store.run_directory import open_run
from tools.bench.gpu_scenes import Difference, difference


@dataclass(frozen=True, slots=True)
class GpuSweep:
    """What one worker did; times in s.

    Attributes
    ----------
    frames, steady : int
        One a unit; those that ended within `seconds`.
    seconds : float
        From the end of the first units, which loaded and compiled, to the end of the last.
    kernel, render, write : float
        Of the units that ended in it: inside the kernel; rendering, with the wait for the card;
        encoding and writing.
    stored_bytes : int
    compared : Difference or None
        The first frames against the same sweep on the CPU; None where its native kernel cannot
        be built, because any other would take hours.
    """

    frames: int
    steady: int
    seconds: float
    kernel: float
    render: float
    write: float
    stored_bytes: int
    compared: Difference | None

    @property
    def kernel_share(self) -> float:
        """Share of the card's time that is the kernel's."""
        return self.kernel / self.seconds

    @property
    def at_once(self) -> float:
        """Kernel and writing over the time that both took: above 1, one ran beside the other."""
        return (self.kernel + self.write) / self.seconds


def measure_sweep(
    workload: Workload, inputs: Path, device: str, *, frames: int, compared: int
) -> GpuSweep:
    """Render frames of a turning crystal on one worker, and the first ones on the CPU.

    Parameters
    ----------
    workload : Workload
    inputs : Path
    device : str
    frames, compared : int
        More than `UNITS_AT_ONCE`; how many the CPU renders.

    Raises
    ------
    EnvironmentFailure
        Frames were set aside.
    """
    with tempfile.TemporaryDirectory(prefix="distbragg-gpu-") as folder:
        ours = Path(folder) / "gpu.zarr"
        spec = sweep_spec(workload, inputs, frames, device=device, kernel="triton")
        _finish(sweep(spec, ours, cluster="local:1"))
        records = [receipt.to_plain() for receipt in completed_units(open_run(ours)).values()]
        close = None
        if native.available():
            theirs = Path(folder) / "cpu.zarr"
            spec = sweep_spec(workload, inputs, compared, device="cpu", kernel="native")
            _finish(sweep(spec, theirs, cluster="serial", threads=usable_cores()))
            close = difference(
                _images(ours, compared), _images(theirs, compared),
                scene=workload.name, precision="mixed", indices="",
            )  # fmt: skip
    records.sort(key=lambda record: record["time"])
    steady = records[UNITS_AT_ONCE:]
    return GpuSweep(
        frames=len(records),
        steady=len(steady),
        seconds=records[-1]["time"] - records[UNITS_AT_ONCE - 1]["time"],
        kernel=_total(steady, "kernel_seconds"),
        render=_total(steady, "render_seconds"),
        write=_total(steady, "write_seconds"),
        stored_bytes=int(_total(records, "size")),
        compared=close,
    )


def sweep_spec(
    workload: Workload, inputs: Path, frames: int, *, device: str, kernel: str
) -> SweepSpec:
    """Describe a workload whose spindle turns, one frame a unit."""
    experiment = parse_nanobragg(list(workload.arguments), base_dir=inputs).spec
    changes = {"device": device, "kernel": kernel, "frames_per_unit": 1, "form": "unit"}
    compute = experiment.compute.model_copy(update=changes)
    experiment = experiment.model_copy(update={"compute": compute})
    values = [0.5 * frame for frame in range(frames)]
    axis = {"name": "phi", "path": "goniometer.phi_deg", "values": values}
    return SweepSpec.model_validate({"experiment": experiment, "axes": [axis]})


def _finish(result: RunResult) -> None:
    if result.failed:
        raise EnvironmentFailure(f"{result.failed} frames of the sweep were set aside")


def _images(path: Path, frames: int) -> NDArray[Any]:
    stack = xr.open_zarr(path)
    return np.asarray(stack["images"].isel(phi=slice(0, frames)).values)


def _total(records: Sequence[dict[str, Any]], name: str) -> float:
    return math.fsum(float(record[name]) for record in records)
