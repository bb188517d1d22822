"""The metadata that a run wrote of itself, each in a `zarr.json`: looking for what is damaged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import zarr
from zarr.core.buffer import cpu
from zarr.storage import MemoryStore

from distbragg.errors import DamageError
from distbragg.store.coordinates import axis_variables
from distbragg.store.layout import LABELS, METADATA, STATE_DIR
from distbragg.store.own_arrays import (
    PANEL_NAMES,
    PIXEL_NAMES,
    check_coordinate,
    check_pixels,
    damaged_metadata_error,
    load_metadata,
)
from distbragg.store.run_directory import RunDirectory
from distbragg.store.spots import has_labels

Body = Mapping[str, Any]
Check = Callable[[str, Body], object]  # of a place, for errors, and what stands there

_FAULTS: Final = (ValueError, TypeError, KeyError, AttributeError, RuntimeError)
"""What zarr raises of metadata that it cannot read."""


def check_metadata(run: RunDirectory) -> None:
    """Raise a `DamageError` where metadata that the run wrote are missing or cannot be read."""
    found = list(damaged_metadata(run).values())
    if found:
        more = f" (and {len(found) - 1} more)" if found[1:] else ""
        raise damaged_metadata_error(run, f"{found[0]}{more}")


def damaged_metadata(run: RunDirectory) -> dict[str, str]:
    """Return what is wrong with metadata that the run wrote, by key; the group's come last."""
    arrays = _array_checks(run)
    groups = (STATE_DIR, LABELS) if has_labels(run) else (STATE_DIR,)
    checks: dict[str, Check] = {
        **{f"{name}/{METADATA}": check for name, check in arrays.items()},
        **{f"{name}/{METADATA}": _check_group for name in groups},
        METADATA: lambda place, body: _each_repeated(place, body, arrays),
    }
    bodies: dict[str, Body] = {}

    def look(key: str) -> None:
        bodies[key] = load_metadata(run, key)
        checks[key](f"{run.url}/{key}", bodies[key])
        _check_attributes(f"{run.url}/{key}", bodies[key])

    found = _damage(look, checks)
    if found:
        return found
    # Zarr is asked only where all is as the run writes it: a codec may be any code.
    asked: dict[str, Check] = {
        **dict.fromkeys((f"{name}/{METADATA}" for name in arrays), _open_array),
        METADATA: lambda place, body: _each_repeated(
            place, body, dict.fromkeys(arrays, _open_array)
        ),
    }
    return _damage(lambda key: asked[key](f"{run.url}/{key}", bodies[key]), asked)


def _damage(look: Callable[[str], object], keys: Iterable[str]) -> dict[str, str]:
    found = {}
    for key in keys:
        try:
            look(key)
        except DamageError as error:
            found[key] = str(error)
    return found


def _array_checks(run: RunDirectory) -> dict[str, Check]:
    """Return what looks at the metadata of each array that a run is created with, by its name."""
    names = {*axis_variables(run.sweep.coordinates()), *PIXEL_NAMES}
    names |= PANEL_NAMES if run.layout.panels > 1 else set()
    names |= {f"{one.spec.name}_{axis}" for one in run.variants for axis in PIXEL_NAMES}
    pixels: dict[str, Check] = {
        one.array: lambda _, body, one=one: check_pixels(body, run, one, one.array)  # type: ignore[misc]
        for one in run.arrays
    }
    return pixels | {
        name: lambda _, body, name=name: check_coordinate(body, run, name) for name in sorted(names)
    }


def _check_group(place: str, body: Body) -> None:
    if body.get("zarr_format") != 3 or body.get("node_type") != "group":  # zarr takes {} for one
        raise DamageError(f"{place}: cannot be opened (no group of Zarr 3)")


def _check_attributes(place: str, body: Body) -> None:
    if not isinstance(body.get("attributes", {}), dict):
        raise DamageError(f"{place}: cannot be opened (its attributes are no mapping)")


def _each_repeated(place: str, body: Body, checks: Mapping[str, Check]) -> None:
    """Check the group of the stack, and what it repeats of the run's own arrays, if anything."""
    _check_group(place, body)
    if body.get("consolidated_metadata") is None:
        return
    try:
        repeated = body["consolidated_metadata"]["metadata"]
        own = {name: repeated[name] for name in checks}
    except (KeyError, TypeError) as error:
        problem = f"what it repeats of the arrays cannot be read ({error!r})"
        raise DamageError(f"{place}: {problem}") from None
    for name, check in checks.items():
        check(f"{place}: {name}", own[name])
        _check_attributes(f"{place}: {name}", own[name])


def _open_array(place: str, body: Body) -> None:
    data = cpu.Buffer.from_bytes(json.dumps(body).encode())
    try:
        zarr.open_array(MemoryStore({METADATA: data}), mode="r", zarr_format=3)
    except _FAULTS as error:
        reason = " ".join(str(error).split())[:200]
        raise DamageError(f"{place}: cannot be opened ({reason})") from None
