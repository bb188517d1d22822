"""A sweep on a GPU from end to end, and what of it can be had without one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from distbragg.cli.main import main
from distbragg.engine.context import RunContext
from distbragg.engine.work import TaskSettings
from distbragg.errors import EnvironmentFailure
from distbragg.kernel import options as options_module
from distbragg.run.create import create
from distbragg.run.resume import resume, sweep
from tests.sweeps import small_sweep
from tests.tolerances import NATIVE_MIXED_OF_MAXIMUM
from tests.unit.kernel_triton.kit import interpreted

gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def frames_of(frames=2, pixels=(11, 13), **compute):
    phi_deg = [float(n) for n in range(frames)]
    return small_sweep(phi_deg, pixels=pixels, sampling={"oversample": 1}, **compute)


def pixels_of(path):
    return xr.open_zarr(path)["images"].values


@interpreted
@pytest.mark.spec("ENG-5")
def test_the_fused_kernel_stores_the_same_bits_in_unit_and_graph_form(tmp_path):
    spec = frames_of(kernel="triton", tile=[6, 13])
    for form in ("unit", "graph"):
        result = sweep(spec, tmp_path / form, cluster="serial", form=form)
        assert result.done == 2
    assert np.array_equal(pixels_of(tmp_path / "unit"), pixels_of(tmp_path / "graph"))
    sweep(frames_of(tile=[6, 13]), tmp_path / "cpu", cluster="serial")
    expected = pixels_of(tmp_path / "cpu")
    error = np.abs(pixels_of(tmp_path / "unit") - expected).max()
    assert error <= NATIVE_MIXED_OF_MAXIMUM * expected.max()


@pytest.fixture
def gpu_run(tmp_path, monkeypatch):
    """A run that was created where a GPU is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(options_module, "_require_cuda", lambda device: None)
        patch.setattr(options_module.triton, "capability", lambda device: (9, 0))
        run = create(frames_of(kernel="model", device="cuda"), tmp_path / "run")
    monkeypatch.setattr("distbragg.engine.context.cuda_available", lambda: False)
    return run


@pytest.mark.spec("ENG-21")
@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
def test_a_process_without_a_gpu_helps_a_gpu_run_only_where_classes_may_be_mixed(gpu_run):
    with pytest.raises(EnvironmentFailure, match="cuda is not available"):
        RunContext.of(gpu_run).opened.kernel(TaskSettings())
    prepared = RunContext.of(gpu_run).opened.kernel(TaskSettings(allow_mixed=True))
    assert prepared.options.device == "cpu"
    assert prepared.numeric_class["device"] == "cpu"
    result = resume(gpu_run, cluster="serial", allow_mixed=True)
    assert result.done == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
def test_local_workers_for_a_gpu_run_without_a_gpu_are_one_clear_line(gpu_run):
    with pytest.raises(EnvironmentFailure, match=r"device: cuda is not available") as caught:
        resume(gpu_run, cluster="local:1")
    assert "\n" not in str(caught.value)


@pytest.mark.cluster
@pytest.mark.spec("ENG-21")
@pytest.mark.parametrize("kernel", [pytest.param("triton", marks=gpu)])
def test_a_sweep_on_one_gpu_worker_equals_the_cpu_within_tolerance(kernel, tmp_path):
    shapes = {"frames": 6, "pixels": (211, 307)}
    found = sweep(
        frames_of(**shapes, kernel=kernel, device="cuda"), tmp_path / "gpu", cluster="local:1"
    )
    assert found.done == 6
    sweep(frames_of(**shapes), tmp_path / "cpu", cluster="serial")
    expected = pixels_of(tmp_path / "cpu")
    error = np.abs(pixels_of(tmp_path / "gpu") - expected).max()
    assert error <= NATIVE_MIXED_OF_MAXIMUM * expected.max()
    again = sweep(
        frames_of(**shapes, kernel=kernel, device="cuda"), tmp_path / "again", cluster="serial"
    )
    assert again.done == 6
    assert np.array_equal(pixels_of(tmp_path / "gpu"), pixels_of(tmp_path / "again"))


@pytest.mark.spec("CLI-2")
@pytest.mark.parametrize(
    ("command", "device", "status", "what"),
    [
        ("sweep", "cuda:99", 6, "compute.device: cuda:99 is not available"),
        ("render", "cuda:99", 6, "compute.device: cuda:99 is not available"),
        ("create", "tpu", 2, "compute.device"),
    ],
)
def test_a_device_that_is_not_there_is_one_line_and_leaves_nothing(
    command, device, status, what, tmp_path, capsys
):
    spec = tmp_path / "one.yaml"
    spec.write_text(
        "beam: {wavelength_angstrom: 1.0}\n"
        "crystal: {cell: [31, 37, 41, 90, 90, 90], block_cells: [5, 6, 7]}\n"
        "structure_factors: {default_f_electrons: 10.0}\n"
        "detector: {distance_mm: 60, pixel_size_mm: 1.0, pixels_fast: 64, pixels_slow: 60}\n"
    )
    out = tmp_path / "out.zarr"
    assert main([command, str(spec), "--device", device, "-o", str(out)]) == status
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert what in captured.err
    assert [path.name for path in tmp_path.iterdir()] == ["one.yaml"]
