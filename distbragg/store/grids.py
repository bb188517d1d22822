"""Prepared |F| grids: a cache, one object for each, mapped into memory by every worker."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from distbragg.errors import DamageError
from distbragg.models.crystal import Reflections, Spectral, SpectralKind
from distbragg.models.vectors import Float64Array
from distbragg.notes import Note
from distbragg.store.files import sha256_bytes
from distbragg.store.layout import GRIDS
from distbragg.store.objects import Objects

_SUFFIX: Final = ".grid"
_HEAD_BYTES: Final = 1 << 16
_log = logging.getLogger("distbragg")


def save_grid(objects: Objects, key: str, reflections: Reflections) -> None:
    """Store a grid: a line of JSON, padded, then the amplitudes, float64, C order.

    Where |F| follows the energy its tables come behind them.
    """
    data = np.ascontiguousarray(reflections.amplitude, dtype="<f8").tobytes()
    spectral = reflections.spectral
    if spectral is not None:
        data += np.ascontiguousarray(spectral.tables, dtype="<f8").tobytes()
    head = {
        "shape": list(reflections.amplitude.shape),
        "origin": list(reflections.origin),
        "default_amplitude": float(reflections.default_amplitude),
        "interpolate": bool(reflections.interpolate),
        "notes": [[note.kind, note.place, note.text] for note in reflections.notes],
        "sha256": sha256_bytes(data),
    }
    if spectral is not None:
        head |= {"tables": len(spectral.tables), "kind": spectral.kind}
    line = json.dumps(head, sort_keys=True).encode()
    padded = line.ljust(-(-(len(line) + 1) // 64) * 64 - 1) + b"\n"
    objects.write(f"{GRIDS}{key}{_SUFFIX}", padded, data)


def ensure_grid(objects: Objects, key: str, make: Callable[[], Reflections]) -> Reflections:
    """Return the grid `key` of a run, made and saved first where there is none; see `save_grid`."""
    found = load_grid(objects, key)
    if found is None:
        found = make()
        save_grid(objects, key, found)
    return found


def load_grid(objects: Objects, key: str) -> Reflections | None:
    """Map the grid `key` into memory, read-only; None where it was not saved, or is damaged."""
    try:
        path = objects.local(f"{GRIDS}{key}{_SUFFIX}")
    except FileNotFoundError:
        return None
    try:
        head, amplitude, tables = _read(path)
        kind: SpectralKind = "channels" if head.get("kind") == "channels" else "anomalous"
        h, k, l = (int(index) for index in head["origin"])  # noqa: E741 Miller indices
        return Reflections(
            amplitude=amplitude,
            origin=(h, k, l),
            default_amplitude=float(head["default_amplitude"]),
            interpolate=bool(head["interpolate"]),
            notes=tuple(
                Note("warning" if kind == "warning" else "note", str(place), str(text))
                for kind, place, text in head["notes"]
            ),
            spectral=Spectral(kind, tables) if len(tables) else None,
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        _log.warning("%s/%s%s: is damaged (%s); computing it again", objects.url, GRIDS, key, error)
        return None


def damaged_grids(objects: Objects) -> Iterator[str]:
    """Keys of grids that cannot be used."""
    for entry in objects.entries(GRIDS):
        if entry.key.endswith(_SUFFIX):
            try:
                _read(objects.local(entry.key))
            except (OSError, ValueError, KeyError, TypeError, RecursionError, DamageError):
                yield entry.key


def _read(path: Path) -> tuple[dict[str, Any], Float64Array, Float64Array]:
    """Return head, amplitudes and tables of a grid, checked, these mapped read-only."""
    with path.open("rb") as handle:
        line = handle.readline(_HEAD_BYTES)
        head = json.loads(line)
    shape = tuple(int(size) for size in head["shape"])
    if 0 in shape:
        # Nothing can be mapped; a crystal without a reflection table has such a grid.
        values = np.zeros((1, *shape))
    else:
        whole = (1 + int(head.get("tables", 0)), *shape)
        values = np.memmap(path, dtype="<f8", mode="r", offset=len(line), shape=whole)
    values.setflags(write=False)
    if len(shape) != 3 or sha256_bytes(values.data) != head["sha256"]:  # type: ignore[arg-type]
        raise ValueError("its content does not match its hash")
    return head, np.asarray(values)[0], np.asarray(values)[1:]
