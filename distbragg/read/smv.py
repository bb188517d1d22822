"""SMV (ADSC) images: a bounded reader of our own for headers and pixels."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.read.text import shown

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

_PAIR = re.compile(r"^\s*([A-Za-z][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$")


@dataclass(frozen=True, slots=True)
class SmvHeader:
    """The header of one image.

    Attributes
    ----------
    source : str
    header_bytes : int
    shape : (int, int)
        Pixels (slow, fast).
    big_endian : bool
    pixels : str
        Kind of the pixels as NumPy writes it, such as u2; empty for one that is not known.
    values : dict of str to str
        Every keyword in upper case with its value as written; the last one counts.
    """

    source: str
    header_bytes: int
    shape: tuple[int, int]
    big_endian: bool
    pixels: str
    values: dict[str, str]

    def number(self, *keys: str) -> float | None:
        """Return the first of `keys` that is present, as a finite number.

        Raises
        ------
        InputError
            The value is no finite number.
        """
        for key in keys:
            if key in self.values:
                return _finite(self.values[key], self.source, key)
        return None


def read_smv_header(path: str) -> SmvHeader:
    """Read and check the header of an SMV image.

    Raises
    ------
    InputError
        Missing file, no SMV header, a header or image size out of bounds, or a file
        shorter than its header says. What kind its pixels are of does not matter.
    """
    file = Path(path)
    try:
        if not file.is_file():
            raise InputError("the file does not exist", source=path, remedy="check the path")
        size = file.stat().st_size
        with file.open("rb") as handle:
            start = handle.read(_FIRST_BYTES)
            length = _header_length(start, path)
            handle.seek(0)
            content = handle.read(length)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", source=path) from error
    if len(content) < length:
        raise InputError("the file ends inside its header", source=path)
    return _checked(_pairs(content), path, length, size)


def read_smv_pixels(header: SmvHeader) -> NDArray[Any]:
    """Read the pixels of an image whose header was read.

    Returns
    -------
    (slow, fast) of the kind the header names, in the byte order of this machine

    Raises
    ------
    InputError
        The file ends before its last pixel, or its pixels are of a kind that is not known.
    """
    slow, fast = header.shape
    if not header.pixels:
        raise InputError(
            f"pixels of TYPE '{shown(header.values.get('TYPE', ''))}'",
            source=header.source,
            remedy="write unsigned_short pixels",
        )
    kind = np.dtype((">" if header.big_endian else "<") + header.pixels)
    try:
        with Path(header.source).open("rb") as handle:
            handle.seek(header.header_bytes)
            content = handle.read(kind.itemsize * slow * fast)
    except OSError as error:
        raise InputError(f"cannot be read ({error})", source=header.source) from error
    if len(content) != kind.itemsize * slow * fast:
        raise InputError("the file ends before its last pixel", source=header.source)
    pixels = np.frombuffer(content, dtype=kind).astype(kind.newbyteorder("="))
    return pixels.reshape(slow, fast)


def _header_length(start: bytes, path: str) -> int:
    if not start.startswith(b"{"):
        raise InputError(
            "not an SMV image",
            source=path,
            remedy="an SMV file begins with '{' and HEADER_BYTES=",
        )
    match = re.search(rb"HEADER_BYTES\s*=\s*(\d{1,9})\s*;", start)
    if match is None:
        raise InputError("the header does not say HEADER_BYTES", source=path)
    length = int(match.group(1))
    if not 0 < length <= MAXIMUM_HEADER_BYTES:
        raise InputError(
            f"HEADER_BYTES is {length}; at most {MAXIMUM_HEADER_BYTES} are read", source=path
        )
    return length


def _pairs(content: bytes) -> dict[str, str]:
    text = content.decode("latin-1").split("}", 1)[0].lstrip("{")
    pairs: dict[str, str] = {}
    for part in re.split(r"[;\r\n]", text):
        match = _PAIR.match(part)
        if match is not None:
            pairs[match.group(1).upper()] = match.group(2)
    return pairs


def _checked(values: dict[str, str], path: str, length: int, size: int) -> SmvHeader:
    fast = _whole(values, "SIZE1", path)
    slow = _whole(values, "SIZE2", path)
    if fast * slow > MAXIMUM_PIXELS:
        raise InputError(f"the header claims {fast} x {slow} pixels", source=path)
    named = values.get("TYPE", values.get("DATA_TYPE", "unsigned_short")).strip().lower()
    kind = _PIXELS.get(named, "")
    promised = length + (np.dtype(kind).itemsize if kind else 0) * fast * slow
    # A compressed image is shorter than its pixels; it is not one that is cut off.
    if size < promised and values.get("COMPRESSION", "none").strip().lower() == "none":
        raise InputError(
            f"the file has {size} bytes but its header promises {promised}",
            source=path,
            remedy="the file is truncated",
        )
    order = values.get("BYTE_ORDER", "little_endian").lower()
    if order not in ("little_endian", "big_endian"):
        raise InputError(f"unknown BYTE_ORDER '{shown(order)}'", source=path)
    return SmvHeader(path, length, (slow, fast), order == "big_endian", kind, values)


def _whole(values: dict[str, str], key: str, path: str) -> int:
    if key not in values:
        raise InputError(f"the header does not say {key}", source=path)
    number = _finite(values[key], path, key)
    if number != math.floor(number) or not 1 <= number <= MAXIMUM_PIXELS:
        raise InputError(f"{key} is {shown(values[key])}, not a number of pixels", source=path)
    return int(number)


def _finite(text: str, path: str, key: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(f"{key} '{shown(text)}' is not a number", source=path) from error
    if not math.isfinite(value):
        raise InputError(f"{key} '{shown(text)}' is not a finite number", source=path)
    return value
