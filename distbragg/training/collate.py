"""Batches of items, with spots as many as there are or padded to one number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import default_collate


def collate(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Make a batch of items of `StackDataset`, as `collate_fn` of a `DataLoader`.

    All but spots that are not padded is stacked as torch's own collation does. Of those, rows of
    all items follow one another: `offsets` (items + 1,) int64 says where each item's begin, so
    that `spots["position"][offsets[i] : offsets[i + 1]]` are those of item i, and
    `torch.nested.nested_tensor_from_jagged(spots["position"], spots["offsets"])` is a nested
    tensor.

    Parameters
    ----------
    items : sequence of dict

    Returns
    -------
    dict
        As an item, each tensor with the batch as its first dimension; spots that are not padded
        have (rows of all items, …), and `count` (items,) beside `offsets`.
    """
    if not all(isinstance(item, dict) and _is_ragged(item) for item in items):
        batch: dict[str, Any] = default_collate(list(items))
        return batch
    batch = default_collate([{k: v for k, v in item.items() if k != "spots"} for item in items])
    spots = [item["spots"] for item in items]
    counts = torch.tensor([len(one["position"]) for one in spots])
    batch["spots"] = {name: torch.cat([one[name] for one in spots]) for name in spots[0]}
    batch["spots"]["count"] = counts
    batch["spots"]["offsets"] = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    return batch


def _is_ragged(item: dict[str, Any]) -> bool:
    return "spots" in item and "count" not in item["spots"]
