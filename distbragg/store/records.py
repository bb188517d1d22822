"""Append-only files of checksummed JSON lines, one per writer process."""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distbragg.errors import EnvironmentFailure
from distbragg.spec.canonical import canonical_json
from distbragg.store.files import no_room

MAX_LINE_BYTES = 1 << 20
"""Longest line read: a record is a few hundred bytes."""

_HEAD, _MIDDLE, _TAIL = b'{"crc32":"', b'","record":', b"}\n"
_START = len(_HEAD) + 8 + len(_MIDDLE)

_writers: dict[tuple[str, int], RecordWriter] = {}
_writers_lock = threading.Lock()


class RecordWriter:
    """Appends records to one file of this process's own.

    A line reaches the file in one `write`, so a killed process tears at most its last line.
    """

    def __init__(self, folder: Path) -> None:
        name = f"{_safe_host()}-{os.getpid()}-{uuid.uuid4().hex[:12]}.jsonl"
        self.path = folder / name
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, flags, 0o644)
        except OSError as error:
            raise no_room(error, self.path) from error
        self._lock = threading.Lock()

    def append(self, record: dict[str, Any]) -> None:
        """Append one record.

        Raises
        ------
        EnvironmentFailure
            There is no room for it.
        """
        line = encode_record(record)
        with self._lock:
            try:
                written = os.write(self._descriptor, line)
            except OSError as error:
                raise no_room(error, self.path) from error
        if written != len(line):
            raise EnvironmentFailure(f"{self.path}: only {written} of {len(line)} bytes written")

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def append_record(folder: Path, record: dict[str, Any]) -> None:
    """Append a record to this process's file in `folder`; see `RecordWriter.append`."""
    key = (str(folder), os.getpid())
    with _writers_lock:
        writer = _writers.get(key)
        if writer is None or not writer.path.exists():
            writer = _writers[key] = RecordWriter(folder)
    try:
        writer.append(record)
    except Exception:
        # The line may be torn: what follows must not continue it.
        with _writers_lock:
            if _writers.get(key) is writer:
                del _writers[key]
        raise


def encode_record(record: dict[str, Any]) -> bytes:
    """One line: the record as canonical JSON, after the CRC-32 of that text."""
    text = canonical_json(record).encode()
    return b"%s%08x%s%s%s" % (_HEAD, zlib.crc32(text), _MIDDLE, text, _TAIL)


def decode_record(line: bytes) -> dict[str, Any] | None:
    """Return the record of a line; None where the line is torn or changed."""
    if not (line.startswith(_HEAD) and line.endswith(_TAIL)):
        return None
    text = record_text(line)
    if line[:_START] != b"%s%08x%s" % (_HEAD, zlib.crc32(text), _MIDDLE):
        return None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def record_text(line: bytes) -> bytes:
    """Return the JSON of a whole line's record."""
    return line[_START : -len(_TAIL)]


def read_records(folder: Path) -> Iterator[dict[str, Any]]:
    """All whole records of a folder, files in name order; torn lines are dropped."""
    for record, _ in read_lines(folder):
        yield record


def read_lines(folder: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    """All whole records of a folder as `read_records` has them, each with its JSON."""
    if not folder.is_dir():
        return
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as handle:
            while line := handle.readline(MAX_LINE_BYTES):
                record = decode_record(line)
                if record is not None:
                    yield record, record_text(line)


def _safe_host() -> str:
    host = socket.gethostname() or "host"
    return "".join(c if c.isalnum() or c in ".-_" else "_" for c in host)[:64]
