"""SMV (ADSC) images: a bounded reader of our own for headers and pixels; and pixel masks."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError, unreadable
from distbragg.read.table import parse_number
from distbragg.read.text import Reading, first_bytes, shown

MAXIMUM_HEADER_BYTES: Final = 64 * 1024
MAXIMUM_PIXELS: Final = 1 << 31
_FIRST_BYTES: Final = 512
_PIXELS: Final = {
    **dict.fromkeys(("unsigned_short", "unsigned short int", "unsigned_short_int"), "u2"),
    **dict.fromkeys(("short", "short_int", "signed_short", "short int"), "i2"),
    **dict.fromkeys(("unsigned_char", "unsigned char"), "u1"),
    **dict.fromkeys(("signed_char", "signed char"), "i1"),
    **dict.fromkeys(("long_integer", "signed_long", "long_int", "long int", "int"), "i4"),
    **dict.fromkeys(
        ("unsigned_long", "unsigned_int", "unsigned_integer", "unsigned long int", "unsigned int"),
        "u4",
    ),
    **dict.fromkeys(("float", "float ieee", "float_ieee"), "f4"),
    "double": "f8",
}
"""Kinds of pixels by the names that ADSC, d*TREK and nanoBragg's programs give them."""

NPY_MAGIC: Final = b"\x93NUMPY"
_ORDERS: Final = {"little_endian": "<", "big_endian": ">"}
_PAIR = re.compile(r"^\s*([A-Za-z][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$")


@dataclass(frozen=True, slots=True)
class SmvHeader:
    """The header of one image: keywords in upper case, each with its last value as written."""

    source: str
    header_bytes: int
    shape: tuple[int, int]  # pixels (slow, fast)
    kind: np.dtype[Any] | None  # of the pixels as they are stored; None for one not known
    values: dict[str, str]

    def number(self, *keys: str) -> float | None:
        """Return the first of `keys` that is present; refuse one that is not a finite number."""
        for key in keys:
            if key in self.values:
                return parse_number(self.values[key], self.source, key)
        return None


def read_smv_header(path: str) -> SmvHeader:
    """Read and check the header of an SMV image, whatever the kind of its pixels."""
    file, reading = Path(path), Reading(path)
    if file.exists() and not file.is_file():
        raise reading.refusal("is not a file", "check the path")
    content = first_bytes(path, MAXIMUM_HEADER_BYTES)
    if not content.startswith(b"{"):
        raise reading.refusal("not an SMV image", "an SMV file begins with '{' and HEADER_BYTES=")
    match = re.search(rb"HEADER_BYTES\s*=\s*(\d{1,9})\s*;", content[:_FIRST_BYTES])
    if match is None:
        raise reading.refusal("the header has no HEADER_BYTES")
    length = int(match[1])
    if not 0 < length <= MAXIMUM_HEADER_BYTES:
        raise reading.refusal(f"HEADER_BYTES is {length}; at most {MAXIMUM_HEADER_BYTES} are read")
    if len(content) < length:
        raise reading.refusal("the file ends inside its header")
    values: dict[str, str] = {}
    text = content[:length].decode("latin-1").split("}", 1)[0].lstrip("{")
    for part in re.split(r"[;\r\n]", text):
        if (pair := _PAIR.match(part)) is not None:
            values[pair[1].upper()] = pair[2]
    return _checked(reading, values, length, file.stat().st_size)


def _checked(reading: Reading, values: dict[str, str], length: int, size: int) -> SmvHeader:
    """Return a header of `length` bytes of a file of `size` bytes."""
    fast, slow = (_whole(values, key, reading.path) for key in ("SIZE1", "SIZE2"))
    if fast * slow > MAXIMUM_PIXELS:
        raise reading.refusal(f"the header claims {fast} x {slow} pixels")
    order = values.get("BYTE_ORDER", "little_endian").lower()
    if order not in _ORDERS:
        raise reading.refusal(f"unknown BYTE_ORDER '{shown(order)}'")
    named = values.get("TYPE", values.get("DATA_TYPE", "unsigned_short")).strip().lower()
    kind = np.dtype(_ORDERS[order] + _PIXELS[named]) if named in _PIXELS else None
    promised = length + (0 if kind is None else kind.itemsize) * fast * slow
    # A compressed image is shorter than its pixels; it is not one that is cut off.
    if size < promised and values.get("COMPRESSION", "none").strip().lower() == "none":
        raise reading.refusal(
            f"the file has {size} bytes but its header promises {promised}", "the file is truncated"
        )
    return SmvHeader(reading.path, length, (slow, fast), kind, values)


def read_smv_pixels(header: SmvHeader) -> NDArray[Any]:
    """Return the pixels of an image whose header was read, (slow, fast) of the kind it names."""
    reading = Reading(header.source)
    if header.kind is None:
        named = shown(header.values.get("TYPE", ""))
        raise reading.refusal(f"pixels of TYPE '{named}'", "write unsigned_short pixels")
    count = math.prod(header.shape)
    try:
        pixels = np.fromfile(header.source, header.kind, count, offset=header.header_bytes)
    except OSError as error:
        raise unreadable(error, reading.path) from error
    if pixels.size != count:
        raise reading.refusal("the file ends before its last pixel")
    return pixels.astype(header.kind.newbyteorder("=")).reshape(header.shape)


def _whole(values: dict[str, str], key: str, path: str) -> int:
    if key not in values:
        raise InputError(f"the header has no {key}", source=path)
    number = parse_number(values[key], path, key)
    if number != math.floor(number) or not 1 <= number <= MAXIMUM_PIXELS:
        raise InputError(f"{key} is {shown(values[key])}, not a number of pixels", source=path)
    return int(number)


def read_mask(path: str) -> NDArray[np.bool_]:
    """Read a mask, (slow, fast) bool, of an SMV image or `.npy` array: True where it is not 0."""
    magic = first_bytes(path, len(NPY_MAGIC))
    if magic == NPY_MAGIC:
        pixels = mapped_npy(path, "a mask")
    elif magic.startswith(b"{"):
        pixels = read_smv_pixels(read_smv_header(path))
    else:
        raise InputError(
            "neither an .npy array nor an SMV image",
            source=path,
            remedy="save the mask with numpy.save: 0 where a pixel is not to be rendered",
        )
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise InputError("the mask holds NaN or infinite values", source=path)
    return np.asarray(pixels != 0)


def mapped_npy(path: str, what: str, *, several: bool = False) -> NDArray[Any]:
    """Open a two-dimensional array mapped: a header that promises a huge one allocates nothing.

    `what` it is to be, for messages. One of more dimensions may hold `several`.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, OverflowError, TypeError) as error:
        raise unreadable(error, path, form="a .npy array") from error
    known = array.ndim >= 2 if several else array.ndim == 2
    if not known or array.dtype.kind not in "biuf" or array.size == 0:
        raise InputError(
            f"an array of shape {array.shape} and type {array.dtype}",
            source=path,
            remedy=f"{what} is a two-dimensional array of numbers",
        )
    if math.prod(array.shape[-2:]) > MAXIMUM_PIXELS:
        raise InputError(f"the array has {array.size} pixels", source=path)
    return array
