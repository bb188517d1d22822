"""Torch as where a GPU is: device "cuda" is taken, tensors say that they lie there, events tick.

All memory is the CPU's. For a process of its own; with the stand-in for Triton's driver, what
only a machine with a card runs is run.
"""

from __future__ import annotations

import time
from types import SimpleNamespace

import torch

CARD = torch.device("cuda", 0)
FACTORIES = ("zeros", "empty", "full", "arange", "tensor", "zeros_like", "full_like")

limits = []
"""Shares of the card's memory that were allowed, in order."""


class Stream:
    def synchronize(self):
        """Do nothing: all is done at once here."""


class Event:
    def __init__(self, enable_timing=False):
        assert enable_timing
        self.at = None

    def record(self, stream):
        assert isinstance(stream, Stream)
        self.at = time.perf_counter()

    def synchronize(self):
        assert self.at is not None

    def elapsed_time(self, other):
        return (other.at - self.at) * 1e3


class Current:
    """`torch.cuda.device`."""

    def __init__(self, device):
        assert torch.device(device).type == "cuda"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


def _elsewhere(named):
    """Keyword arguments with the CPU where a card is meant."""
    device = named.get("device")
    if device is not None and torch.device(device).type == "cuda":
        named = {**named, "device": "cpu"}
    return {name: value for name, value in named.items() if name != "pin_memory"}


def _limit(fraction, index):
    assert isinstance(index, int), "torch takes no bare name here"
    limits.append(fraction)


def install():
    """Pretend from here on."""
    for name in FACTORIES:
        made = getattr(torch, name)
        setattr(torch, name, lambda *a, made=made, **named: made(*a, **_elsewhere(named)))
    move = torch.Tensor.to

    def to(tensor, *arguments, **named):
        meant = ["cpu" if str(item).startswith("cuda") else item for item in arguments]
        return move(tensor, *meant, **_elsewhere(named))

    torch.Tensor.to = to
    torch.Tensor.device = property(lambda tensor: CARD)
    card = SimpleNamespace(
        name="a pretended card", major=9, minor=0, multi_processor_count=132,
        total_memory=80 << 30,
    )  # fmt: skip
    cuda = torch.cuda
    cuda.is_available = lambda: True
    cuda.device_count = lambda: 1
    cuda.current_device = lambda: 0
    cuda.get_device_capability = lambda device=None: (9, 0)
    cuda.get_device_name = lambda device=None: card.name
    cuda.get_device_properties = lambda device=None: card
    cuda.current_stream = lambda device=None: Stream()
    cuda.memory_reserved = lambda index: 1 << 20
    cuda.set_per_process_memory_fraction = _limit
    cuda.empty_cache = lambda: None
    cuda.Event, cuda.device = Event, Current
