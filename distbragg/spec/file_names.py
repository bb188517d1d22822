"""Swept files by name: labels that do not change when files or runs move."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.spec.axis import AxisSpec
from distbragg.spec.paths import names_file

_CONTENT: Final = re.compile(r"[0-9a-f]{64}")
_SHOWN_DIGITS: Final = 8


def axis_labels(axis: AxisSpec) -> NDArray[Any]:
    """Return the values of an axis as its labels: files by name, all else as it is.

    Returns
    -------
    (size,) or (size, components) array
    """
    values = axis.expanded.array
    if not names_file(axis.target):
        return values
    return np.array(file_labels([str(value) for value in values.tolist()]))


def file_labels(paths: Sequence[str]) -> list[str]:
    """Name files by their last part, and by as many more as tell apart files of one name.

    A folder named by the content of its file (SHA-256), as a run keeps its inputs, is shortened
    to eight digits.
    """
    parts = {path: _parts(path) for path in paths}
    labels = {path: own[-1] for path, own in parts.items()}
    deepest = max((len(own) for own in parts.values()), default=0)
    for depth in range(2, deepest + 1):
        shared = {label for label, count in Counter(labels.values()).items() if count > 1}
        for path in [path for path, label in labels.items() if label in shared]:
            labels[path] = "/".join(parts[path][-depth:])
    return [labels[path] for path in paths]


def _parts(path: str) -> list[str]:
    own = [part for part in path.removeprefix("input:").replace("\\", "/").split("/") if part]
    shown = [p[:_SHOWN_DIGITS] if _CONTENT.fullmatch(p) else p for p in own[:-1]]
    return [*shown, own[-1]] if own else [path]
