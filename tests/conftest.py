"""Shared fixtures: the golden cases and where their inputs lie."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
