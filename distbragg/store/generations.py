"""Generations of a run: what it held before frames were appended.

Frames are appended along the first dimension, the slowest one, so that frames, units and objects
keep their numbers. The manifest names all former generations, and the digests of all objects of the
last one stay under `.distbragg/generations`: an old object that was changed together with its
receipt is found.

All files that change as frames are appended are put at once, as `.distbragg/extension.zip`. From
then on the extension is decided, and `apply_extension`, which puts them in place, can be cut short
anywhere and called again. The manifest is replaced last: until then the run is its old generation,
whose arrays may already be longer. Objects of old frames are not touched.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from distbragg.errors import DamageError
from distbragg.store.files import sha256_bytes
from distbragg.store.layout import (
    MANIFEST,
    METADATA,
    SEAL_DIGESTS_FILE,
    SEAL_FILE,
    STATE_DIR,
    StackLayout,
)
from distbragg.store.manifest import Manifest, parse_manifest
from distbragg.store.maps import content_digest

if TYPE_CHECKING:
    from distbragg.store.objects import Objects
    from distbragg.store.run_directory import RunDirectory

GENERATIONS: Final = f"{STATE_DIR}/generations"
EXTENSION: Final = f"{STATE_DIR}/extension.zip"
SEALED: Final = f"{STATE_DIR}/{SEAL_FILE}"
DIGESTS: Final = f"{STATE_DIR}/{SEAL_DIGESTS_FILE}"
_DIGEST_BYTES: Final = 32
_UNREADABLE: Final = (
    *(OSError, ValueError, KeyError, DamageError, zipfile.BadZipFile),
    # What zipfile raises of encrypted, truncated and unknown members.
    *(RuntimeError, EOFError, struct.error),
)


@dataclass(frozen=True, slots=True)
class Generation:
    """A former, finished state of a run; `digests`, hex, of every object of the last one alone."""

    number: int
    run_id: str
    layout: StackLayout
    digests: tuple[str, ...] = ()

    def settles(self, unit: int, layout: StackLayout) -> bool:
        """Whether a unit of `layout` holds the same frames in this generation."""
        ours = self.layout
        return unit < ours.units and ours.unit_region(unit) == layout.unit_region(unit)


def parent_of(manifest: Manifest, digests: Sequence[str]) -> dict[str, Any]:
    """Return what the manifest of the next generation says of this one and those before."""
    former = [] if manifest.parent is None else manifest.parent["former"]
    (_, size), *_ = manifest.layout.dims
    digest = sha256_bytes(manifest.without_private().to_bytes())
    this = {"run_id": manifest.run_id, "manifest": digest, "size": size}
    return {
        "generation": len(former),
        "former": [*former, this],
        "objects": sha256_bytes(pack_digests(digests)),
    }


def kept_files(manifest: Manifest, digests: Sequence[str]) -> dict[str, bytes]:
    """Return the files that keep a generation when frames are appended, by key."""
    number = 0 if manifest.parent is None else int(manifest.parent["generation"]) + 1
    stem = f"{GENERATIONS}/{number:04d}"
    kept = manifest.without_private().to_bytes()
    return {f"{stem}.json": kept, f"{stem}.digests": pack_digests(digests)}


def pack_digests(digests: Sequence[str]) -> bytes:
    """Return hex digests as bytes, 32 each."""
    return b"".join(map(bytes.fromhex, digests))


def unpack_digests(data: bytes) -> tuple[str, ...]:
    """Return the digests, hex, that `pack_digests` packed."""
    return tuple(data[i : i + _DIGEST_BYTES].hex() for i in range(0, len(data), _DIGEST_BYTES))


def load_lineage(objects: Objects, manifest: Manifest) -> tuple[Generation, ...]:
    """Return the former generations of a run, newest first."""
    if manifest.parent is None:
        return ()
    key = ""
    (name, _), *rest = manifest.layout.dims
    try:
        found = [
            Generation(
                number,
                str(item["run_id"]),
                replace(manifest.layout, dims=((name, int(item["size"])), *rest)),
            )
            for number, item in enumerate(manifest.parent["former"])
        ]
        last, key = found[-1], f"{GENERATIONS}/{found[-1].number:04d}.digests"
        data = objects.get(key, _DIGEST_BYTES * last.layout.units)
        if sha256_bytes(data) != manifest.parent["objects"]:
            raise ValueError("is not what the manifest names")
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise DamageError(
            f"{objects.url}/{key}: the generation before cannot be read ({error})"
        ) from None
    found[-1] = replace(last, digests=unpack_digests(data))
    return tuple(reversed(found))


def left_short(run: RunDirectory, done: Collection[int]) -> tuple[int, ...]:
    """Units not done whose object is still that of the last generation, with fewer frames.

    Such a unit is rendered again, with its old frames and the new ones; until then its old frames
    count as rendered.
    """
    if not run.lineage:
        return ()
    last = run.lineage[0].layout
    count = last.units // last.unit_grid[0] if last.dims[0][1] % last.unit_shape[0] else 0
    units = range(last.units - count, last.units)
    return tuple(unit for unit in units if unit not in done and _is_left_short(run, unit))


def _is_left_short(run: RunDirectory, unit: int) -> bool:
    last = run.lineage[0]
    if unit >= len(last.digests) or last.settles(unit, run.layout):
        return False
    try:
        first, *others = (run.objects.digest(one.object_name(unit))[0] for one in run.arrays)
        names = [one.array for one in run.beside]
        return content_digest(first, dict(zip(names, others, strict=True))) == last.digests[unit]
    except OSError:
        return False


class OldFrames:
    """Compares the encoded chunks of a unit being written with those of its old frames."""

    def __init__(self, run: RunDirectory, unit: int) -> None:
        self._name = f"{run.url}/{run.first.object_name(unit)}"
        self._left = memoryview(b"")
        if _is_left_short(run, unit):
            old = run.objects.get(run.first.object_name(unit))
            # The index of a shard follows its chunks: an entry of 16 bytes each, and a checksum.
            layout = run.first
            chunks = math.prod(layout.shard_shape) // math.prod(layout.chunk_shape)
            self._left = memoryview(old)[: len(old) - 16 * chunks - 4]

    def compare(self, pieces: Sequence[bytes]) -> None:
        """Compare the next bytes; `DamageError` where they differ, and nothing was replaced."""
        for piece in pieces:
            known = self._left[: len(piece)]
            if known != piece[: len(known)]:
                raise DamageError(
                    f"{self._name}: frames of an earlier generation come out otherwise when "
                    "rendered again; nothing was replaced; use the machine that rendered them"
                )
            self._left = self._left[len(known) :]


def is_extending(run: RunDirectory) -> bool:
    """Whether an extension was decided and is not done yet."""
    return run.objects.head(EXTENSION) is not None


def apply_extension(run: RunDirectory) -> bool:
    """Carry out the extension that was decided on, or the rest of it; say whether there was one."""
    if not is_extending(run):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(run.objects.get(EXTENSION))) as archive:
            if any(item.compress_type != zipfile.ZIP_STORED for item in archive.infolist()):
                raise ValueError("is compressed")
            # Reading compares each file with its checksum.
            files = {key: archive.read(key) for key in sorted(archive.namelist(), key=_rank)}
        parse_manifest(files[MANIFEST], f"{run.url}/{EXTENSION}")
    except _UNREADABLE as error:
        raise DamageError(
            f"{run.url}/{EXTENSION}: the extension cannot be finished ({error}); nothing was "
            "replaced; remove that file, then extend the run again"
        ) from None
    for key, data in files.items():
        if key == MANIFEST:
            # What is kept under `generations` from here on is the seal of the old generation.
            for name in (SEALED, DIGESTS):
                run.objects.delete(name)
        if run.objects.head(key) is None or run.objects.get(key) != data:
            run.objects.put(key, data)
    run.objects.delete(EXTENSION)
    return True


def _rank(key: str) -> tuple[int, str]:
    """Order in which files are put in place; a reader of the old shape never looks beyond it."""
    if key.startswith(f"{GENERATIONS}/"):
        return 0, key
    if key == MANIFEST:
        return 4, key
    return (3 if key == METADATA else 2 if key.endswith(METADATA) else 1), key
