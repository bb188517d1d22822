"""Memory that a worker frees stays with it, whatever Dask told the C library."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import numpy as np
from distbragg.graph.allocator import keep_freed_memory
if sys.argv[1] == "kept" and not keep_freed_memory():
    sys.exit(7)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def frames(count):
    for _ in range(count):
        np.ones((256, 256), np.float32)
frames(20)
before = faults()
frames(100)
print(faults() - before)
"""


def faults_of(mode: str) -> int:
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, mode],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode == 7:
        pytest.skip("the C library has no mallopt")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_buffers_of_frames_are_used_again_in_a_worker():
    # 64 pages of 4 KiB a frame, each of them a fault where the memory went back to the system.
    assert faults_of("kept") < 100 < faults_of("as Dask says")
