"""The files that a specification names, in fields of the type `FilePath`, and their exchange."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from distbragg.errors import InputError
from distbragg.spec.alternatives import files_of
from distbragg.spec.canonical import to_plain
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.paths import file_paths, names_file, plain_parts, with_value
from distbragg.spec.sweep import SweepSpec

Spec = TypeVar("Spec", ExperimentSpec, SweepSpec)


def file_fields(spec: ExperimentSpec | SweepSpec) -> tuple[tuple[str, str], ...]:
    """Dotted path and file name of every input file a specification names.

    For a sweep the paths start with `experiment.`, and a swept file field gives one entry a
    value, `axes.<axis>.values.<index>`; so do files that are drawn, or set by alternatives.
    """
    if isinstance(spec, ExperimentSpec):
        return tuple(file for names in sorted(file_paths()) for file in _files_at(spec, names, ""))
    found = [(f"experiment.{path}", name) for path, name in file_fields(spec.experiment)]
    for position, axis in enumerate(spec.axes):
        place = f"axes.{position}"
        if axis.alternatives is not None:
            found += [
                (f"{place}.alternatives.{at}", name) for at, name in files_of(axis.alternatives)
            ]
        elif names_file(axis.target):
            lists = [("values", axis.values or ())]
            if axis.draw is not None:
                lists += [(f"draw.{at}.values", one.values) for at, one in axis.draw.choices()]
            found += [
                (f"{place}.{at}.{index}", str(name))
                for at, names in lists
                for index, name in enumerate(names)
                if name is not None
            ]
    return tuple(found)


def _files_at(node: object, names: tuple[str, ...], path: str) -> Iterator[tuple[str, str]]:
    """Walk along the names, through every element of a list, to the files that are named."""
    if isinstance(node, tuple):
        for index, item in enumerate(node):
            yield from _files_at(item, names, f"{path}.{index}")
    elif isinstance(node, BaseModel) and names:
        below = f"{path}.{names[0]}" if path else names[0]
        yield from _files_at(getattr(node, names[0]), names[1:], below)
    elif node is not None and not names:
        yield path, str(node)


def replace_files(spec: Spec, names: Mapping[str, str]) -> Spec:
    """Return the specification with other names of the files at some of `file_fields`' paths."""
    if not names:
        return spec
    plain: object = to_plain(spec, unset=False)
    for path, name in names.items():
        plain = with_value(plain, plain_parts(path), name, path=path)
    return type(spec).model_validate(plain)


def check_under(name: str | Path, root: str | Path, *, source: str = "", field: str = "") -> None:
    """Refuse a file that does not lie in `root` once links and `..` are followed."""
    real, base = os.path.realpath(name), os.path.realpath(root)
    if os.path.commonpath((real, base)) != base:
        raise InputError(
            f"{name} lies outside of {root}",
            source=source,
            field=field,
            remedy="copy it there, or give --root a folder that holds both",
        )


def absolute_files(spec: Spec, folder: str | Path) -> Spec:
    """Return the specification with every relative file name taken from `folder`."""
    base = Path(folder).absolute()
    names = {path: str(base / name) for path, name in file_fields(spec)}
    return replace_files(spec, names)
