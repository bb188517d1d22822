"""Damage that belongs to no unit: files that should not be there, or changed ones beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import zarr

from distbragg.errors import DamageError
from distbragg.store.files import sha256_file
from distbragg.store.home import bounded_store, foreign_objects, move_foreign
from distbragg.store.inputs import input_names
from distbragg.store.label import axis_variables
from distbragg.store.labels import foreign_labels, labelled_unit
from distbragg.store.layout import FOREIGN_DIR, IMAGES, INPUTS_DIR, LABELS
from distbragg.store.run_directory import RunDirectory
from distbragg.store.scan import is_object
from distbragg.store.seal import Seal, metadata_digests
from distbragg.store.zarr_rules import ArrayRules

FileKind = Literal["foreign", "input", "coordinate", "metadata"]


@dataclass(frozen=True, slots=True)
class FileDamage:
    """A file of a run that is not what it should be; `name` is its path below the run."""

    name: str
    problem: str
    kind: FileKind


def check_files(
    run: RunDirectory, level: str, seal: Seal | None, rules: Mapping[str, ArrayRules]
) -> tuple[FileDamage, ...]:
    """Look at everything but the units' objects.

    Foreign files are found at every level, changed inputs and, of a sealed run, metadata at
    `full`, coordinates that are not those of the specification at `deep`.
    """
    found = list(_foreign(run))
    if level != "quick":
        found += _inputs(run)
        found += _metadata(run, seal) if seal is not None else ()
    if level == "deep":
        found += _coordinates(run, rules)
    return tuple(found)


def set_foreign_aside(run: RunDirectory, files: tuple[FileDamage, ...]) -> tuple[str, ...]:
    """Move foreign files out of the array, to `.distbragg/foreign`; return their new names."""
    moved = []
    for item in files:
        if item.kind != "foreign":
            continue
        target = run.state / FOREIGN_DIR / Path(item.name).relative_to(Path(item.name).parts[0])
        while target.exists():
            target = target.with_name(f"{target.name}.again")
        move_foreign(run, item.name, target)
        moved.append(target.relative_to(run.path).as_posix())
    return tuple(moved)


def _foreign(run: RunDirectory) -> Iterator[FileDamage]:
    for name in foreign_objects(run):
        yield FileDamage(name, "is no object of this run", "foreign")
    root = run.path / IMAGES / "c"
    for folder, _, names in os.walk(root):
        index = Path(folder).relative_to(root).parts
        for name in names:
            if not is_object(run.layout, (*index, name)):
                below = Path(folder, name).relative_to(run.path).as_posix()
                yield FileDamage(below, "is no object of this run", "foreign")
    for name in foreign_labels(run):
        yield FileDamage(f"{LABELS}/{name}", "is no table of this run", "foreign")


def _inputs(run: RunDirectory) -> Iterator[FileDamage]:
    folder = run.state / INPUTS_DIR
    for name in sorted(input_names(run.manifest.sweep)):
        path = folder / name
        below = path.relative_to(run.path).as_posix()
        if not path.is_file():
            yield FileDamage(below, "the input file is gone", "input")
        elif sha256_file(path)[0] != path.parent.name:
            yield FileDamage(below, "the input file was changed", "input")


def _metadata(run: RunDirectory, seal: Seal) -> Iterator[FileDamage]:
    now = metadata_digests(run)
    for name, digest in sorted(seal.files.items()):
        folder, _, file = name.rpartition("/")
        if folder == LABELS and labelled_unit(run, file) is not None:
            continue  # a table of spots is its unit's: what rendering mends
        if name not in now:
            yield FileDamage(name, "was there when the run was sealed and is gone", "metadata")
        elif now[name] != digest:
            yield FileDamage(name, "was changed since the run was sealed", "metadata")


def _coordinates(run: RunDirectory, rules: Mapping[str, ArrayRules]) -> Iterator[FileDamage]:
    store = bounded_store(run, rules)
    for name, variable in axis_variables(run.sweep.coordinates()).items():
        try:
            stored = np.asarray(zarr.open_array(store, path=name, mode="r", zarr_format=3)[...])
        except (ValueError, OSError, RuntimeError, KeyError, DamageError) as error:
            yield FileDamage(name, f"cannot be read ({' '.join(str(error).split())})", "coordinate")
            continue
        same = stored.shape == variable.values.shape and (stored == variable.values).all()
        if not same:
            yield FileDamage(name, "is not the axis of the specification", "coordinate")
