"""Telling that the device's memory is full, and giving back what is not in use."""

from __future__ import annotations

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device has no memory left."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "out of memory" in str(error).lower()


def release_memory() -> None:
    """Return cached blocks to the device."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
