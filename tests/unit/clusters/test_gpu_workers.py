"""GPU processes: one GPU each, three units at a time, the kernel one at a time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from distbragg.clusters.local import device_names
from distbragg.clusters.open import open_client
from distbragg.engine import context as worker
from distbragg.engine import unit as tasks
from distbragg.engine.context import RunContext
from distbragg.engine.dask_executor import DaskExecutor
from distbragg.engine.dask_workers import gpu_resources, worker_infos
from distbragg.engine.work import TaskSettings, UnitFunctions
from distbragg.kernel.options import KernelOptions
from distbragg.rendering import frame as rendering
from distbragg.rendering.frame import RESOURCE, UNITS_AT_ONCE, device_turn
from distbragg.run.create import create
from distbragg.spec.cluster import LocalClusterSpec
from distbragg.store.ledger import completed_units
from distbragg.store.write import UnitWriter
from tests.sweeps import small_sweep

FAKE = KernelOptions("mixed", "model", "cuda", 1)


@pytest.fixture
def run(tmp_path):
    return create(small_sweep([0.0, 2.0, 4.0, 6.0, 8.0]), tmp_path / "run.zarr")


class FakeDevice:
    """Stands for a GPU: rendering takes a while and so does writing; who overlaps whom is kept."""

    def __init__(self, monkeypatch, run):
        self.busy = {"render": 0, "write": 0}
        self.most = {"render": 0, "write": 0}
        self.together = 0
        self._lock = threading.Lock()
        render, finish = rendering.render_jobs, UnitWriter.finish
        monkeypatch.setattr(rendering, "render_jobs", self._slow("render", render, cpu=True))
        monkeypatch.setattr(UnitWriter, "finish", self._slow("write", finish))
        monkeypatch.setattr(worker, "resolve_options", lambda compute, threads: FAKE)
        monkeypatch.setattr(worker, "numeric_class", lambda options: run.manifest.numeric_class)

    def _slow(self, what, function, *, cpu=False):
        def slow(*arguments, **named):
            with self._lock:
                self.busy[what] += 1
                self.most[what] = max(self.most[what], self.busy[what])
                self.together += bool(self.busy["render"] and self.busy["write"])
            time.sleep(0.1)
            if cpu:
                arguments = tuple(
                    KernelOptions("mixed", "model", "cpu", 1) if item is FAKE else item
                    for item in arguments
                )
            try:
                return function(*arguments, **named)
            finally:
                with self._lock:
                    self.busy[what] -= 1

        return slow


@pytest.mark.spec("ENG-21")
def test_a_unit_is_rendered_while_another_is_written_and_never_two_at_once(run, monkeypatch):
    device = FakeDevice(monkeypatch, run)
    with ThreadPoolExecutor(UNITS_AT_ONCE) as threads:
        receipts = list(
            threads.map(
                lambda unit: tasks.render_unit(RunContext.of(run), unit, 0, TaskSettings()),
                range(5),
            )
        )
    assert device.most["render"] == 1
    assert device.together >= 3
    assert set(completed_units(run)) == set(range(5))
    assert len({receipt["digest"] for receipt in receipts}) == 5


def test_a_cpu_process_holds_nothing():
    with device_turn(KernelOptions("mixed", "native", "cpu", 1)) as first:
        assert first is None
        with device_turn(KernelOptions("mixed", "native", "cpu", 1)):
            pass


@pytest.mark.parametrize(
    ("visible", "device", "count", "expected"),
    [
        ("", "cuda", 3, ["0", "1", "2"]),
        ("5,7", "cuda", 2, ["5", "7"]),
        ("5,7", "cuda:1", 2, ["5,7"]),
        ("", "cuda:1", 2, ["0,1"]),
        ("GPU-1a2b, GPU-3c4d", "cuda", 2, ["GPU-1a2b", "GPU-3c4d"]),
    ],
)
def test_each_process_is_told_its_own_gpu(visible, device, count, expected, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert device_names(device, count) == expected


def _environment():
    import os
    import sys

    time.sleep(0.3)
    return os.environ["CUDA_VISIBLE_DEVICES"], os.getpid(), "triton" in sys.modules


def _count(run, unit, attempt, settings):
    del run, attempt, settings
    gpu, pid, _ = _environment()
    return {"unit": unit, "gpu": gpu, "pid": pid}


@pytest.mark.cluster
@pytest.mark.spec("ENG-13")
@pytest.mark.spec("ENG-21")
def test_local_gpu_workers_see_one_gpu_each_and_take_three_units():
    spec = LocalClusterSpec(workers=2)
    with open_client(spec, devices=["3", "8"]) as opened:
        client = opened.client
        info = worker_infos(client).values()
        assert [entry["resources"] for entry in info] == [{RESOURCE: UNITS_AT_ONCE}] * 2
        assert [entry["nthreads"] for entry in info] == [UNITS_AT_ONCE] * 2
        assert gpu_resources(client) == {RESOURCE: 1}
        found = client.run(_environment)
        assert {gpu for gpu, _, _ in found.values()} == {"3", "8"}
        assert not any(loaded for _, _, loaded in found.values())
        work = UnitFunctions(_count)
        executor = DaskExecutor(client, work=work, resources=gpu_resources(client))
        outcomes = list(executor.run_units(RunContext("run", "a" * 64), range(8)))
        assert {outcome.receipt["gpu"] for outcome in outcomes} == {"3", "8"}
        # Who takes another's place is started by the same description, with its GPU.
        described = opened.client.cluster.worker_spec.values()
        seen = [worker["options"]["env"]["CUDA_VISIBLE_DEVICES"] for worker in described]
        assert seen == ["3", "8"]


@pytest.mark.cluster
def test_what_a_client_holds_by_chance_hides_no_worker(monkeypatch: pytest.MonkeyPatch):
    with open_client(LocalClusterSpec(workers=1), devices=["0"]) as opened:

        async def without_workers(*_: object, **__: object) -> None:
            opened.client._scheduler_identity = {"workers": {}}

        monkeypatch.setattr(opened.client, "_update_scheduler_info", without_workers)
        assert not opened.client.scheduler_info(n_workers=-1)["workers"]
        assert gpu_resources(opened.client) == {RESOURCE: 1}


@pytest.mark.cluster
def test_workers_that_declare_no_gpu_are_asked_for_none():
    with open_client(LocalClusterSpec(workers=1)) as opened:
        assert gpu_resources(opened.client) is None
