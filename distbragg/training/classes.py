"""Texts that label frames as numbers of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.spec.label_order import listed_labels
from distbragg.store.run_directory import RunDirectory

Labelled = Mapping[str, tuple[int, NDArray[Any]]]


def label_classes(
    run: RunDirectory, labels: Labelled, asked: bool | Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """Return the classes of each label of texts that is to be a number, in their order.

    Those of `True` are in the order that the specification lists them in. An `InputError` names a
    label that is not a text, and a text that has no class.
    """
    texts = {name: values for name, (_, values) in labels.items() if values.dtype.kind in "UT"}
    if isinstance(asked, bool):
        axes = {axis.name: axis for axis in run.sweep.axes}
        return {name: tuple(listed_labels(axes[name])) for name in texts} if asked else {}
    for name, classes in asked.items():
        if name not in texts:
            raise InputError(
                f"{name!r} is not a label of texts",
                source="label_classes",
                remedy=f"there are {', '.join(texts) or 'none'}",
            )
        strange = sorted(set(texts[name].tolist()) - set(classes))
        if strange or len(set(classes)) < len(classes):
            problem = f"{strange[0]!r} has no class" if strange else "a class is named twice"
            raise InputError(
                f"{name}: {problem}",
                source="label_classes",
                remedy=f"the run has {', '.join(dict.fromkeys(texts[name].tolist()))}",
            )
    return {name: tuple(classes) for name, classes in asked.items()}
