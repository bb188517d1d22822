"""Looking at a run that may come from elsewhere, before zarr or xarray open it.

Every metadata file is compared with the allow-list of `zarr_rules`, and nothing in the run
may be a symbolic link that leads out of it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from distbragg.errors import DamageError
from distbragg.store.layout import IMAGES, LABELS, STATE_DIR, StackLayout
from distbragg.store.zarr_rules import (
    MAX_METADATA_BYTES,
    ArrayRules,
    check_array_metadata,
    check_group,
    parse_metadata,
)

METADATA_FILE: Final = "zarr.json"
MAX_ARRAYS: Final = 1000


@dataclass(frozen=True, slots=True)
class Checked:
    """Metadata that were found to be on the list.

    Attributes
    ----------
    arrays : mapping of str to ArrayRules
        By name, from each array's own file.
    consolidated : mapping of str to ArrayRules
        The same as the group tells it; readers that use it open no other file.
    """

    arrays: Mapping[str, ArrayRules]
    consolidated: Mapping[str, ArrayRules]


def check_metadata(root: Path) -> Checked:
    """Check the metadata of the group at `root` and of every array in it.

    Raises
    ------
    DamageError
        Metadata that are not on the list, or a symbolic link that leads out of the run.
    """
    consolidated = check_group(_read(root, METADATA_FILE), str(root / METADATA_FILE))
    arrays = {}
    for name in _array_names(root):
        place = str(root / name)
        if name == LABELS:
            # No array: the folder of the tables of spots, which is an empty group.
            check_group(_read(root, f"{name}/{METADATA_FILE}"), place)
            continue
        arrays[name] = check_array_metadata(_read(root, f"{name}/{METADATA_FILE}"), place)
    absent = sorted(set(consolidated) - set(arrays)) or [IMAGES] * bool(
        consolidated and IMAGES not in consolidated
    )
    if absent:
        raise DamageError(f"{root}: the array {absent[0]} cannot be opened (it is not there)")
    return Checked(arrays, consolidated)


def check_images(rules: ArrayRules, layout: StackLayout, place: str) -> None:
    """Compare the image array with the layout that the manifest states.

    Raises
    ------
    DamageError
        They differ.
    """
    expected = (
        ("shape", rules.shape, layout.array_shape),
        ("dtype", rules.data_type, layout.dtype),
        ("shards", rules.chunk if rules.sharded else (), layout.shard_shape),
        ("chunks", rules.inner, layout.chunk_shape),
        ("dimension names", rules.dimension_names, layout.dimension_names),
        ("compressor", rules.compressor, "blosc"),
        ("checksum", rules.checksummed, True),
    )
    for name, found, value in expected:
        if found != value:
            raise DamageError(f"{place}: {name} {found} is not the manifest's {value}")


def check_inside(path: Path, root: Path) -> None:
    """Refuse a path that a symbolic link takes out of `root`.

    Raises
    ------
    DamageError
    """
    real, base = os.path.realpath(path), os.path.realpath(root)
    if real != base and not real.startswith(base.rstrip(os.sep) + os.sep):
        raise DamageError(f"{path}: is a link that leads out of the run; nothing of it is read")


def _array_names(root: Path) -> list[str]:
    names = []
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.name == STATE_DIR:
                check_inside(Path(entry.path), root)
            elif entry.is_dir() and (Path(entry.path) / METADATA_FILE).exists():
                names.append(entry.name)
            if len(names) > MAX_ARRAYS:
                raise DamageError(f"{root}: holds more than {MAX_ARRAYS} arrays")
    if IMAGES not in names:
        raise DamageError(f"{root}/{IMAGES}: array cannot be opened (it is not there)")
    return sorted(names)


def _read(root: Path, name: str) -> dict[str, object]:
    path = root / name
    check_inside(path, root)
    try:
        if not path.is_file():
            raise DamageError(f"{path}: cannot be opened (no file)")
        size = path.stat().st_size
        if size > MAX_METADATA_BYTES:
            raise DamageError(f"{path}: {size} bytes of metadata; at most {MAX_METADATA_BYTES}")
        data = path.read_bytes()
    except OSError as error:
        raise DamageError(f"{path}: cannot be opened ({error.strerror})") from None
    return parse_metadata(data, str(path))
