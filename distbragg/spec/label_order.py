"""The order that a specification gives the values of an axis in."""

from __future__ import annotations

from typing import Any

from distbragg.spec.axis import AxisSpec, axis_labels
from distbragg.spec.axis_values import NO_TEXT


def listed_labels(axis: AxisSpec) -> list[Any]:
    """Return the labels that an axis can have in the order they are listed in.

    Those of alternatives and of choices among values stand first, whether any frame has them or
    not; then all others, by the frame that has them first. Null among texts is one of them.
    """
    labels = axis_labels(axis).tolist()
    texts = any(isinstance(label, str) for label in labels)
    by_value = dict(zip(map(str, axis.expanded.array.tolist()), labels, strict=True))
    listed: list[Any] = [one.name for one in axis.alternatives or ()]
    if axis.draw is not None:
        for _, choice in axis.draw.choices():
            listed += [NO_TEXT if value is None and texts else value for value in choice.values]
    if texts:
        # Files are drawn by their paths and labelled by their names.
        listed = [by_value.get(str(value), str(value)) for value in listed]
    if any(isinstance(label, list) for label in labels):
        return []
    return list(dict.fromkeys([*listed, *labels]))
