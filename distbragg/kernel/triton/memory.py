"""Telling that the device's memory is full, and giving back what is not in use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def memory_limited(device: str, more: int) -> Iterator[None]:
    """Let this process take `more` bytes of a GPU's memory beyond what it has, and no more.

    Parameters
    ----------
    device : str
        "cuda" or "cuda:N".
    more : int
    """
    place = torch.device(device)
    index = torch.cuda.current_device() if place.index is None else place.index
    release_memory()
    total = torch.cuda.get_device_properties(index).total_memory
    allowed = torch.cuda.memory_reserved(index) + more
    torch.cuda.set_per_process_memory_fraction(min(1.0, allowed / total), index)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, index)
