"""Files of checksummed JSON lines, which only ever grow: each belongs to one process."""

from __future__ import annotations

import itertools
import json
import os
import re
import socket
import sys
import threading
import uuid
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, Field, Strict, TypeAdapter, ValidationError

from distbragg.spec.canonical import canonical_json
from distbragg.store.layout import STATE_DIR
from distbragg.store.objects import Appender, Objects

MAX_LINE_BYTES: Final = 1 << 20  # longest line read: a record is a few hundred bytes
_HEAD, _MIDDLE, _TAIL = b'{"crc32":"', b'","record":', b"}\n"
_START: Final = len(_HEAD) + 8 + len(_MIDDLE)


def _writable(text: str) -> str:
    """Refuse halves of characters, which JSON can hold; a million records share what is equal."""
    text.encode()
    return sys.intern(text)


Count = Annotated[int, Strict(), Field(ge=-(1 << 63), lt=1 << 63)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Text = Annotated[str, Strict(), AfterValidator(_writable)]
Digest = Annotated[str, Strict(), Field(pattern=r"^[0-9a-f]{64}$")]
"""What fields of records hold, whoever wrote them; a SHA-256 is hex."""

_CALLED: Final[Mapping[str, str]] = {
    **dict.fromkeys(("int", "float", "finite", "less", "greater"), "a number"),
    "string": "a SHA-256",
    "tuple": "a list",
    "dataclass": "a mapping",
}
_Record = TypeVar("_Record")


def read_record(adapter: TypeAdapter[_Record], plain: Mapping[str, Any]) -> _Record:
    """Make a dataclass of JSON; a `ValueError` names a field that is missing or of another type."""
    try:
        return adapter.validate_python(plain)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
    name = ".".join(part for part in first["loc"] if isinstance(part, str))
    if first["type"] == "missing":
        raise ValueError(f"{name} is missing")
    if first["type"] in ("string_type", "value_error"):
        raise ValueError(f"{name} is not text")
    raise ValueError(
        f"{name} is not {_CALLED.get(first['type'].partition('_')[0], 'a known field')}"
    )


@dataclass
class _Writer:
    """What this process appends to one folder: `<host>-<pid>-<uuid>-<n>.jsonl`, n growing."""

    objects: Objects
    stem: str
    numbers: Iterator[int] = field(default_factory=itertools.count)
    current: Appender | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def append(self, line: bytes) -> None:
        with self.lock:
            if self.current is None or self.current.full:
                self.current = self.objects.appender(f"{self.stem}-{next(self.numbers)}.jsonl")
            appender, self.current = self.current, None
            appender.append(line)
            # After a failure the line may be torn: what follows must not continue it.
            self.current = appender


_writers: dict[tuple[str, str, int], _Writer] = {}
_writers_lock = threading.Lock()


def append_record(objects: Objects, folder: str, record: Mapping[str, Any]) -> None:
    """Append a record to this process's own file in `folder`, below the state of a run."""
    key = objects.url, folder, os.getpid()
    with _writers_lock:
        if key not in _writers:
            host = re.sub(r"[^\w.-]", "_", socket.gethostname() or "host", flags=re.ASCII)[:64]
            own = f"{host}-{os.getpid()}-{uuid.uuid4().hex[:12]}"
            _writers[key] = _Writer(objects, f"{STATE_DIR}/{folder}/{own}")
        writer = _writers[key]
    writer.append(encode_record(record))


def read_records(objects: Objects, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield all whole records of a folder below the state, each after the key of its file."""
    for key, line in objects.lines(f"{STATE_DIR}/{folder}/", MAX_LINE_BYTES):
        record = decode_record(line)
        if record is not None:
            yield key, record


def encode_record(record: Mapping[str, Any]) -> bytes:
    """One line: the record as canonical JSON, after the CRC-32 of that text."""
    text = canonical_json(dict(record)).encode()
    return b"%s%08x%s%s%s" % (_HEAD, zlib.crc32(text), _MIDDLE, text, _TAIL)


def decode_record(line: bytes) -> dict[str, Any] | None:
    """Return the record of a line; None where the line is torn or changed."""
    if not (line.startswith(_HEAD) and line.endswith(_TAIL)):
        return None
    text = line[_START : -len(_TAIL)]
    if line[:_START] != b"%s%08x%s" % (_HEAD, zlib.crc32(text), _MIDDLE):
        return None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
