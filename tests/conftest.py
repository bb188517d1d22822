"""What holds for all tests: threads, and how hypothesis draws its examples."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")

# Elsewhere every run draws new examples; a verdict of CI must not depend on the draw.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

# Triton decides when it is loaded whether it compiles for a GPU or runs through numpy. Only a
# machine with an NVIDIA driver can compile and run; elsewhere the tests interpret.
if not any(Path(sign).exists() for sign in ("/proc/driver/nvidia/version", "/dev/nvidiactl")):
    os.environ.setdefault("TRITON_INTERPRET", "1")
