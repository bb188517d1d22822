"""Bounded reading of small text files, gzip-compressed or not, as numbered lines of fields."""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from distbragg.errors import InputError

MAXIMUM_TEXT_BYTES: Final = 1 << 30
"""Largest text file read, after decompression."""

LATIN_MARK: Final = "\xef\xbb\xbf"
"""The byte order mark of UTF-8, read as Latin-1."""

_BLOCK_BYTES: Final = 1 << 20
_SEPARATORS = re.compile(r"[\s,;]+")
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Line:
    """One data line: its place, for messages, and its fields."""

    source: str
    number: int
    fields: tuple[str, ...]

    @property
    def place(self) -> str:
        """The place as `file:line`."""
        return f"{self.source}:{self.number}"


def read_bytes(path: str, limit: int = MAXIMUM_TEXT_BYTES) -> bytes:
    """Return the whole content of a file, decompressing `.gz`, at most `limit` bytes.

    Raises
    ------
    InputError
        Missing, unreadable, empty, too large or truncated file.
    """
    file = Path(path)
    try:
        if not file.is_file():
            reason = "is not a file" if file.exists() else "does not exist"
            raise InputError(f"the file {reason}", source=path, remedy="check the path")
        if path.lower().endswith(".gz"):
            with gzip.open(file, "rb") as handle:
                content = _read_blocks(handle, limit)
        else:
            with file.open("rb") as handle:
                content = _read_blocks(handle, limit)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"the compressed file is damaged or truncated ({error})",
            source=path,
            remedy="fetch or compress it again",
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", source=path) from error
    if len(content) > limit:
        raise InputError(f"the file is larger than {limit} bytes", source=path)
    if not content.strip():
        raise InputError("the file is empty", source=path)
    return content


def read_head(path: str, size: int) -> bytes:
    """Return the first `size` bytes of a file, decompressed; fewer of a shorter one.

    Raises
    ------
    InputError
        As `read_bytes`, but for a size.
    """
    file = Path(path)
    try:
        if file.is_file():
            if path.lower().endswith(".gz"):
                with gzip.open(file, "rb") as compressed:
                    return compressed.read(size)
            with file.open("rb") as handle:
                return handle.read(size)
    except (EOFError, zlib.error, OSError, ValueError):
        pass
    return read_bytes(path)[:size]


def _read_blocks(handle: BinaryIO | gzip.GzipFile, limit: int) -> bytes:
    """Read until the end, or until more than `limit` bytes are there.

    In blocks: `read(limit)` would set aside `limit` bytes whatever the file holds.
    """
    blocks, size = [], 0
    while size <= limit and (block := handle.read(_BLOCK_BYTES)):
        blocks.append(block)
        size += len(block)
    return b"".join(blocks)


def read_text(path: str, limit: int = MAXIMUM_TEXT_BYTES) -> str:
    """Return a file as text; binary content is refused.

    Raises
    ------
    InputError
        As `read_bytes`, and for bytes that are no text.
    """
    return as_text(read_bytes(path, limit), path)


def as_text(content: bytes, path: str) -> str:
    """Decode the content of a file; binary content is refused.

    Raises
    ------
    InputError
    """
    if b"\0" in content:
        raise InputError("the file is binary, not text", source=path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def data_lines(path: str, *, comment: str = "#", limit: int = MAXIMUM_TEXT_BYTES) -> Iterator[Line]:
    """Yield the lines that hold data, split at white space, commas and semicolons.

    Blank lines and whatever follows `comment` are skipped; line ends may be LF, CRLF or
    CR, and the last line may lack one.

    Raises
    ------
    InputError
        As `read_text`.
    """
    yield from data_lines_of(read_text(path, limit), path, comment=comment)


def data_lines_of(text: str, path: str, *, comment: str = "#") -> Iterator[Line]:
    """Yield the data lines of a text as `data_lines` does."""
    for number, raw in enumerate(split_lines(text), start=1):
        content = raw.split(comment, 1)[0].strip(" \t,;\f\v")
        if content:
            fields = tuple(part for part in _SEPARATORS.split(content) if part)
            yield Line(path, number, fields)


def split_lines(text: str) -> list[str]:
    """Return the lines of a text whose ends are LF, CRLF or CR."""
    return re.split(r"\r\n|\n|\r", text)


def shown(text: str) -> str:
    """Shorten foreign text so that a message stays one readable line."""
    clean = text.encode("ascii", "backslashreplace").decode("ascii")
    return clean if len(clean) <= _SHOWN_CHARACTERS else clean[:_SHOWN_CHARACTERS] + "…"


def counted(number: int, singular: str, plural: str = "") -> str:
    """Write a number with its noun."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def parse_number(text: str, line: Line, name: str) -> float:
    """Return a finite number.

    Raises
    ------
    InputError
        Not a number, NaN or infinite; names file, line and column.
    """
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(f"{name} '{shown(text)}' is not a number", source=line.place) from error
    if not math.isfinite(value) or "_" in text:
        raise InputError(f"{name} '{shown(text)}' is not a finite number", source=line.place)
    return value
