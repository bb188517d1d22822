"""Prepared |F| grids: written once per run, mapped into memory by every worker."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path

import numpy as np

from distbragg.errors import DamageError
from distbragg.models.crystal import Reflections
from distbragg.notes import Note
from distbragg.store.files import no_room, read_bounded, sha256_file

_ARRAY = "amplitude.npy"
_META = "grid.json"
_META_BYTES = 1 << 16


def save_grid(folder: Path, key: str, reflections: Reflections) -> Path:
    """Write a grid to `folder/<key>/`; a grid that is there already is left alone.

    Parameters
    ----------
    folder : Path
        `RunDirectory.grids`.
    key : str
        `models.build.reflections_key`: hash of everything the grid depends on.
    reflections : Reflections

    Returns
    -------
    Path
        The grid's directory.

    Raises
    ------
    EnvironmentFailure
        There is no room.
    """
    target = folder / key
    if target.exists():
        return target
    temporary = folder / f"{key}.tmp-{uuid.uuid4().hex}"
    try:
        temporary.mkdir(parents=True)
        np.save(temporary / _ARRAY, reflections.amplitude, allow_pickle=False)
        meta = {
            "origin": list(reflections.origin),
            "default_amplitude": float(reflections.default_amplitude),
            "interpolate": bool(reflections.interpolate),
            "sha256": sha256_file(temporary / _ARRAY)[0],
            "notes": [[note.kind, note.place, note.text] for note in reflections.notes],
        }
        (temporary / _META).write_text(json.dumps(meta, sort_keys=True))
        # Another process may have finished the same grid meanwhile; its content is the same.
        if not target.exists():
            _rename_unless_there(temporary, target)
    except OSError as error:
        raise no_room(error, target) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def load_grid(folder: Path, key: str) -> Reflections | None:
    """Map the grid `key` into memory, read-only; None where it was not saved.

    Raises
    ------
    DamageError
        The file's content does not match its hash.
    """
    target = folder / key
    if not target.is_dir():
        return None
    try:
        meta = json.loads(read_bounded(target / _META, _META_BYTES))
        if sha256_file(target / _ARRAY)[0] != meta["sha256"]:
            raise DamageError(f"{target / _ARRAY}: content does not match its hash")
        amplitude = _map(target / _ARRAY)
        h, k, l = (int(index) for index in meta["origin"])  # noqa: E741 Miller indices
        return Reflections(
            amplitude=amplitude,
            origin=(h, k, l),
            default_amplitude=float(meta["default_amplitude"]),
            interpolate=bool(meta["interpolate"]),
            notes=tuple(_note(*entry) for entry in meta.get("notes", ())),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamageError(f"{target}: grid cannot be read ({error})") from error


def _note(kind: str, place: str, text: str) -> Note:
    return Note("warning" if kind == "warning" else "note", str(place), str(text))


def _map(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    # An empty file cannot be mapped; a crystal without a reflection table has such a grid.
    amplitude = np.load(path, allow_pickle=False)
    if amplitude.size:
        amplitude = np.load(path, mmap_mode="r", allow_pickle=False)
    if amplitude.dtype != np.float64 or amplitude.ndim != 3:
        raise ValueError(f"expected a 3-D float64 array, found {amplitude.dtype}")
    amplitude.setflags(write=False)
    return np.asarray(amplitude)


def _rename_unless_there(temporary: Path, target: Path) -> None:
    try:
        temporary.rename(target)
    except OSError:
        if not target.is_dir():
            raise
