"""Batches of items, with spots as many as there are or padded to one number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import default_collate, get_worker_info


def collate(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Make a batch of items of `StackDataset`, as `collate_fn` of a `DataLoader`.

    As torch's own collation, but: images and maps that were read together are handed on without
    copying them; and spots that are not padded follow one another. `offsets` (items + 1,) int64
    says where each item's begin, so that `spots["position"][offsets[i] : offsets[i + 1]]` are
    those of item i, and `torch.nested.nested_tensor_from_jagged(spots["position"], offsets)` is a
    nested tensor.

    Parameters
    ----------
    items : sequence of dict

    Returns
    -------
    dict
        As an item, each tensor with the batch as its first dimension; spots that are not padded
        have (rows of all items, …), and `count` (items,) beside `offsets`.
    """
    if not items or not all(isinstance(item, dict) for item in items):
        batch: dict[str, Any] = default_collate(list(items))
        return batch
    batch = {}
    for name in items[0]:
        parts = [item[name] for item in items]
        if name == "maps":
            batch[name] = {one: _stacked([part[one] for part in parts]) for one in parts[0]}
        elif name == "spots" and "count" not in parts[0]:
            batch[name] = _ragged(parts)
        else:
            batch[name] = _stacked(parts)
    return batch


def _ragged(parts: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Lay the rows of all items one after another."""
    counts = torch.tensor([len(part["position"]) for part in parts])
    found = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    return {**found, "count": counts, "offsets": offsets}


def _stacked(parts: Sequence[Any]) -> Any:  # noqa: ANN401
    """Stack tensors; those that follow one another in the memory of a batch are it already."""
    first = parts[0]
    if isinstance(first, torch.Tensor) and first.is_contiguous() and first.dim() > 1:
        step, start = first.numel(), first.data_ptr()
        size = step * first.element_size()
        whole = first.untyped_storage().nbytes() == size * len(parts)
        if whole and all(
            part.data_ptr() == start + size * place and part.shape == first.shape
            for place, part in enumerate(parts)
        ):
            return first.as_strided((len(parts), *first.shape), (step, *first.stride()))
    return default_collate(list(parts))


def batch_memory(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """Return a tensor, content undefined; in a loader's worker one that all processes share."""
    if get_worker_info() is None:
        return torch.empty(tuple(shape), dtype=dtype)
    # As torch's own collation does: what is made shared later is copied.
    shared = torch.UntypedStorage._new_shared(math.prod(shape) * dtype.itemsize)  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=dtype).set_(shared).view(tuple(shape))
