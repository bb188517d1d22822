"""Bounded reading of text files, compressed by gzip or not."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import IO, Concatenate, Final, ParamSpec, TypeVar, cast

from distbragg.errors import InputError, unreadable
from distbragg.notes import Note, NoteKind

MAXIMUM_TEXT_BYTES: Final = 1 << 30
MAXIMUM_UNPACKED_BYTES: Final = 1 << 28
"""Most that a compressed file may hold; a larger one is unpacked by its owner."""

_MAXIMUM_RATIO: Final = 25
_ANY_RATIO: Final = 1 << 25  # bytes that a compressed file may hold, however small it is
_MAXIMUM_LINE_BYTES: Final = 1 << 20
_BLOCK_BYTES: Final = 1 << 20
_SHOWN_CHARACTERS: Final = 40

P = ParamSpec("P")
R = TypeVar("R")
_Reader = Callable[Concatenate[str, P], R]


def remembered(files: int) -> Callable[[_Reader[P, R]], _Reader[P, R]]:
    """Let a reader remember that many files, its first arguments, while they keep size and time."""

    def decorate(read: _Reader[P, R]) -> _Reader[P, R]:
        @lru_cache(maxsize=files)
        def of_state(_state: object, path: str, *rest: P.args, **named: P.kwargs) -> R:
            return read(path, *rest, **named)

        @wraps(read)
        def of_file(path: str, *rest: P.args, **named: P.kwargs) -> R:
            try:
                status = Path(path).stat()
            except (OSError, ValueError) as error:
                raise unreadable(error, path) from error
            state = (status.st_size, status.st_mtime_ns, status.st_ino)
            return of_state(state, path, *rest, **named)  # type: ignore[arg-type]

        return cast("_Reader[P, R]", of_file)

    return decorate


class Reading:
    """A file that is read, and what is to be said of it, in order."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.notes: list[Note] = []

    def note(self, text: str, line: int = 0) -> None:
        """Tell what was taken, left out or converted."""
        self.notes.append(Note("note", self._place(line), text))

    def warn(self, text: str) -> None:
        """Tell of what is probably not meant so."""
        self.notes.append(Note("warning", self.path, text))

    def tell(self, *rows: tuple[NoteKind, int, str, str]) -> None:
        """Say each row (kind, number, text, noun or "singular/plural") but those of 0.

        The number with its noun stands for the `{}` of the text.
        """
        for kind, number, text, noun in rows:
            if number:
                text = text.replace("{}", counted(number, *noun.split("/")))
                self.notes.append(Note(kind, self.path, text))

    def refusal(self, problem: str, remedy: str = "", field: str = "", line: int = 0) -> InputError:
        """Build the error that refuses the file, or one line of it."""
        return InputError(problem, source=self._place(line), field=field, remedy=remedy)

    def _place(self, line: int) -> str:
        return f"{self.path}:{line}" if line else self.path


def first_bytes(path: str, size: int) -> bytes:
    """Return the first bytes of a file, as they lie on the disk."""
    try:
        with Path(path).open("rb") as handle:
            return handle.read(size)
    except (OSError, ValueError) as error:
        raise unreadable(error, path) from error


def read_bytes(path: str, limit: int = MAXIMUM_TEXT_BYTES) -> bytes:
    """Return the whole content of a file, decompressing `.gz`, at most `limit` bytes."""
    file, place, packed = Reading(path), Path(path), path.lower().endswith(".gz")
    try:
        if place.exists() and not place.is_file():
            raise file.refusal("is not a file", "check the path")
        if packed:
            ratio = max(_ANY_RATIO, _MAXIMUM_RATIO * place.stat().st_size)
            limit = min(limit, MAXIMUM_UNPACKED_BYTES, ratio)
        with gzip.open(place, "rb") if packed else place.open("rb") as handle:
            content = _read_blocks(handle, limit)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        problem = f"the compressed file is damaged or truncated ({error})"
        raise file.refusal(problem, "fetch or compress it again") from error
    except (OSError, ValueError) as error:
        raise unreadable(error, path) from error
    if len(content) > limit and packed:
        problem = f"the file unpacks to more than {limit} bytes"
        raise file.refusal(problem, "unpack it, if it is sound")
    if len(content) > limit:
        raise file.refusal(f"the file has more than {limit} bytes")
    if not content.strip():
        raise file.refusal("the file is empty")
    return content


def read_head(path: str, size: int) -> bytes:
    """Return the first `size` bytes of a file, decompressed; fewer of a shorter one."""
    try:
        if Path(path).is_file():
            packed = path.lower().endswith(".gz")
            with gzip.open(path, "rb") if packed else open(path, "rb") as handle:
                return handle.read(size)
    except (EOFError, zlib.error, OSError, ValueError):
        pass
    return read_bytes(path)[:size]


def _read_blocks(handle: IO[bytes] | gzip.GzipFile, limit: int) -> bytes:
    """Read until the end, or until more than `limit` bytes are there.

    In blocks: `read(limit)` would set aside `limit` bytes whatever the file holds. The buffer
    hands its bytes over without a copy.
    """
    content = io.BytesIO()
    while content.tell() <= limit and (block := handle.read(_BLOCK_BYTES)):
        content.write(block)
    return content.getvalue()


def read_text(path: str, limit: int = MAXIMUM_TEXT_BYTES) -> str:
    """Return a file as text, UTF-8 or else Latin-1; binary content is refused."""
    content = read_bytes(path, limit)
    check_text(content, path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def check_text(content: bytes, path: str) -> None:
    """Refuse binary content."""
    if b"\0" in content:
        raise InputError("the file is binary, not text", source=path)


def check_table(content: bytes, path: str) -> None:
    """Refuse binary content, and lines that no table has: readers hold a few at a time."""
    check_text(content, path)
    end = -1
    while len(content) - end > _MAXIMUM_LINE_BYTES:
        start, last = end + 1, end + 1 + _MAXIMUM_LINE_BYTES
        end = max(content.rfind(mark, start, last) for mark in (b"\n", b"\r"))
        if end < 0:
            problem = f"holds a line of more than {_MAXIMUM_LINE_BYTES} bytes, and is not a table"
            raise InputError(problem, source=path)


def shown(text: str) -> str:
    """Shorten foreign text so that a message stays one readable line."""
    clean = text.encode("ascii", "backslashreplace").decode("ascii")
    return clean if len(clean) <= _SHOWN_CHARACTERS else clean[:_SHOWN_CHARACTERS] + "…"


def counted(number: int, singular: str, plural: str = "") -> str:
    """Write a number with its noun."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"
