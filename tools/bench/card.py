"""What a card and the libraries that drive it say of themselves."""

from __future__ import annotations

import subprocess
from importlib import metadata
from typing import Final

import torch

_ASKED: Final = (
    "driver_version,clocks.sm,clocks.max.sm,power.draw,power.limit,temperature.gpu,utilization.gpu"
)
_PATIENCE_S: Final = 20.0


def card_facts(device: str) -> dict[str, object]:
    """Return name, size and software of a card; "interpreter" on the CPU."""
    versions: dict[str, object] = {
        "torch": str(torch.__version__),
        "cuda": str(torch.version.cuda or ""),
        "triton": metadata.version("triton"),
    }
    if device == "cpu":
        return {"card": "interpreter", **versions}
    seen = torch.cuda.get_device_properties(device)
    return {
        "card": str(seen.name),
        "capability": f"{seen.major}.{seen.minor}",
        "multiprocessors": int(seen.multi_processor_count),
        "memory_bytes": int(seen.total_memory),
        **versions,
    }


def card_state() -> dict[str, str]:
    """Return clocks, power and temperature as nvidia-smi tells them; nothing where it is not."""
    command = ["nvidia-smi", f"--query-gpu={_ASKED}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    first = answer.stdout.strip().partition("\n")[0]
    if answer.returncode or not first:
        return {}
    return dict(zip(_ASKED.split(","), (part.strip() for part in first.split(",")), strict=False))
