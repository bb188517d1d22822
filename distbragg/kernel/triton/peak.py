"""The float32 peak of a card, measured by fused multiply-adds alone."""

from __future__ import annotations

import statistics
from typing import Final

import torch

from distbragg.kernel.triton.clock import DeviceClock, on_device
from distbragg.kernel.triton.library import prepare_cache

OPERATIONS_PER_STEP: Final = 100
"""Operations that a step of a parallelepiped crystal counts as, whatever the kernel really does."""

_CHAINS: Final = 8
_BLOCK: Final = 256
_WARPS: Final = 8
_PROGRAMS: Final = {"cuda": 8192, "cpu": 1}
_ROUNDS: Final = {"cuda": 1024, "cpu": 2}
_IN_A_ROW: Final = 16
_REPEATS: Final = {"cuda": 5, "cpu": 1}


def measure_peak(device: str) -> float:
    """Return float32 operations per second, two for each fused multiply-add.

    Parameters
    ----------
    device : str
        "cuda" or "cuda:N"; the interpreter's "cpu" proves the code and no speed.
    """
    prepare_cache()
    from distbragg.kernel.triton.device.peak import multiply_add

    place = torch.device(device)
    programs, rounds = _PROGRAMS[place.type], _ROUNDS[place.type]
    numbers = torch.zeros(2 + programs * _BLOCK, dtype=torch.float32, device=place)
    seconds: list[float] = []
    for _ in range(_REPEATS[place.type] + 1):
        numbers[0], numbers[1] = 0.999, 1e-3
        with on_device(place), DeviceClock(place) as clock:
            multiply_add[(programs,)](
                numbers, rounds, BLOCK=_BLOCK, num_warps=_WARPS, enable_fp_fusion=False
            )
        seconds.append(clock.seconds)
    if not bool(torch.isfinite(numbers).all()):
        raise ArithmeticError("the multiply-adds of the peak measurement diverged")
    operations = 2.0 * _CHAINS * _IN_A_ROW * rounds * programs * _BLOCK
    return operations / statistics.median(seconds[1:])


def card_name(device: str) -> str:
    """Name of a card as its driver gives it; "interpreter" on the CPU."""
    return str(torch.cuda.get_device_name(device)) if device != "cpu" else "interpreter"
