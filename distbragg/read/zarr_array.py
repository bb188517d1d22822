"""One array of numbers in a Zarr folder or ZIP file that comes from elsewhere.

Loaded where a spectrum lies in one: zarr is slow to load, and few experiments need it.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import MemoryStore

from distbragg.errors import InputError, unreadable
from distbragg.read.bounds import CODERS, MAXIMUM_CHUNK_BYTES, SLACK_BYTES, decoded_bytes
from distbragg.read.hdf5 import DAMAGE

_MAXIMUM_METADATA_BYTES: Final = 1 << 20
_METADATA: Final = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")
_COMPRESSORS: Final = ("blosc", "zstd", "gzip", "zlib")
_HARMLESS: Final = ("bytes", "crc32c", "transpose")


class _Objects(dict[str, Buffer]):
    """The objects of a store, each looked at when zarr asks for it.

    A chunk is given to zarr where it decodes to no more than its place; nothing is read through a
    link that leads out of a folder, or beyond what a member of an archive may have.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path, self._root = path, os.path.realpath(path)
        self._archive: zipfile.ZipFile | None = None
        self.coder, self.room = "", _MAXIMUM_METADATA_BYTES
        self.chunks: dict[str, bool] = {}  # by key, whether there is one
        if not os.path.isdir(path):
            try:
                self._archive = zipfile.ZipFile(path)
            except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
                raise unreadable(error, path, form="a Zarr folder or a ZIP of one") from None

    def __missing__(self, key: str) -> Buffer:
        metadata = key.rpartition("/")[2] in _METADATA
        most = _MAXIMUM_METADATA_BYTES if metadata else self.room
        try:
            with self._open(key) as stream:
                data = stream.read(most + 1)
        except KeyError:
            if not metadata:
                self.chunks[key] = False
            raise
        if not metadata:
            self.chunks[key] = True
        coded = not metadata and self.coder in CODERS
        if len(data) > most or (coded and decoded_bytes(self.coder, data, most) > most):
            raise InputError(f"{key} holds or makes more than {most} bytes", source=self._path)
        return default_buffer_prototype().buffer.from_bytes(data)

    def _open(self, key: str) -> Any:  # noqa: ANN401
        if self._archive is not None:
            return self._archive.open(key)  # A KeyError where there is none, as of a dictionary.
        place = os.path.realpath(Path(self._path) / key)
        if not place.startswith(self._root.rstrip(os.sep) + os.sep):
            raise InputError(f"{key} is a link that leads out of the store", source=self._path)
        if not os.path.isfile(place):
            raise KeyError(key)
        return open(place, "rb")


def zarr_images(
    path: str, name: str, read: Callable[[zarr.Array[Any]], NDArray[Any]]
) -> NDArray[Any] | None:
    """Return what `read` takes of an array of images, which may lie in shards; None if not written.

    It is the array `name`, or the one that the store itself is. What no chunk is stored of, and
    what holds the array's `_FillValue`, was never written.
    """
    try:
        root = zarr.open(MemoryStore(_Objects(path), read_only=True), mode="r")
        alone = isinstance(root, zarr.Array)
        objects = _Objects(path)
        array = _opened(objects, path, "" if alone else name, images=True)
        pixels = read(array)
    except DAMAGE as error:
        raise unreadable(error, path, form="Zarr") from None
    missing = array.attrs.get("_FillValue")
    unwritten = missing is not None and np.any(pixels == missing)
    return None if unwritten or not any(objects.chunks.values()) else pixels


def open_zarr_array(path: str, name: str) -> zarr.Array[Any]:
    """Open an array of one or two dimensions, of Zarr 2 or 3, compressed or not.

    One that is not of numbers, has large chunks, or is encoded by what is not on the list, such
    as pickles, which run code, is refused.
    """
    return _opened(_Objects(path), path, name, images=False)


def _opened(objects: _Objects, path: str, name: str, *, images: bool) -> zarr.Array[Any]:
    """Open an array; of `images` it has two dimensions or more and may be in shards.

    An empty name is then that of an array which is the store.
    """
    found = name.strip("/")
    wrong = any(part in ("", ".", "..") for part in found.split("/")) or "\\" in found
    if wrong and (found or not images):
        raise InputError(f"{name[:60]!r} is not a name of an array", source=path)
    try:
        array = zarr.open_array(MemoryStore(objects, read_only=True), path=found, mode="r")
    except FileNotFoundError:
        raise InputError(f"there is no dataset {name!r}", source=path) from None
    known = array.ndim >= 2 if images else array.ndim in (1, 2)
    if array.dtype.kind not in "fiu" or not known or 0 in array.shape:
        wanted = "images" if images else "numbers in one or two dimensions"
        raise InputError(f"{name!r} is not an array of {wanted}", source=path)
    codecs = _codecs(array)
    sharded = images and "sharding_indexed" in codecs
    if sharded:
        metadata: Any = array.metadata
        inner = metadata.codecs[codecs.index("sharding_indexed")].codecs
        codecs = [str(codec.to_dict()["name"]) for codec in inner]
    coders = [codec for codec in codecs if codec in _COMPRESSORS]
    if len(coders) > 1 or any(codec not in (*_COMPRESSORS, *_HARMLESS) for codec in codecs):
        raise InputError(
            f"{name!r} is encoded by {', '.join(codec[:40] for codec in codecs[:8])}, which is "
            "not read",
            source=path,
            remedy=f"write it without shards, plain or by one of {', '.join(_COMPRESSORS)}",
        )
    size = math.prod(array.chunks) * array.dtype.itemsize
    if size > MAXIMUM_CHUNK_BYTES:
        raise InputError(
            f"{name!r} has chunks of {size} bytes; at most {MAXIMUM_CHUNK_BYTES} are read",
            source=path,
        )
    if sharded and array.shards is not None:
        # A shard is read as a whole, and its chunks are decoded one by one.
        size = math.prod(array.shards) * array.dtype.itemsize
    objects.coder = coders[0] if coders and not sharded else ""
    objects.room = size + size // 64 + SLACK_BYTES
    return array


def _codecs(array: zarr.Array[Any]) -> list[str]:
    metadata: Any = array.metadata
    if metadata.zarr_format == 3:
        return [str(codec.to_dict()["name"]) for codec in metadata.codecs]
    coders = (*(metadata.filters or ()), metadata.compressor)
    return [str(coder.codec_id) for coder in coders if coder is not None]
