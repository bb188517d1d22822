"""Files written whole or not at all, and formats without a header of their own."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distbragg.export.scaling import check_image
from distbragg.store.files import write_durable


def write_whole(path: str | Path, data: bytes) -> None:
    """Write a file, durable and whole or not at all; straight into a pipe or `/dev/null`."""
    target = Path(path)
    if target.exists() and not target.is_file():
        target.write_bytes(data)
    else:
        target.parent.stat()  # a folder that is missing is a mistake, not one to be made
        write_durable(target.resolve() if target.is_symlink() else target, data)


def write_float32(path: str | Path, image: ArrayLike) -> None:
    """Write one frame (slow, fast) as raw little-endian float32, no header."""
    write_whole(path, check_image(image).astype("<f4").tobytes())


def write_pgm(path: str | Path, levels: NDArray[np.uint8], scale: float) -> None:
    """Write grey levels (slow, fast) as a binary PGM (P5); levels per photon in a comment."""
    slow, fast = levels.shape
    header = f"P5\n{fast} {slow}\n# pixels scaled by {scale:g}\n255\n"
    write_whole(path, header.encode("ascii") + np.ascontiguousarray(levels).tobytes())


def write_npy(path: str | Path, images: ArrayLike) -> None:
    """Write an array in numpy's own format, dtype kept."""
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(images), allow_pickle=False)
    write_whole(path, buffer.getvalue())
