"""A run on an object store: objects there, state mirrored here.

Puts are atomic key by key; nothing can be appended to or renamed. So a receipt is an object of
its own, a run appears with its manifest, which is put last, and whether a key may be taken is
asked of the store itself (conditional put). Credentials come from the environment, in the
variables of the store's own tools, and are written nowhere.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import re
import threading
import urllib.parse
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from distbragg.errors import DamageError, EnvironmentFailure, InputError
from distbragg.store.files import write_atomic
from distbragg.store.layout import IMAGES, LOCK_FILE, STATE_DIR

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES: Final = ("s3", "gs", "az", "abfs")
RETRIES: Final = 5
MAX_STATE_BYTES: Final = 1 << 32
"""Most bytes of one file of a run's state: input files are the largest."""

CHUNKS: Final = f"{IMAGES}/c/"
LOCKS: Final = f"{STATE_DIR}/{LOCK_FILE}"
_INDEX: Final = "remote.json"
_SEGMENT: Final = re.compile(r"(?!\.{1,2}(/|$))[^/\0]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """One object: its key below the run, size, version tag and time of change."""

    key: str
    size: int
    tag: str
    changed: datetime.datetime


def is_url(path: str | Path) -> bool:
    """Whether a path names an object store."""
    return str(path).split("://", 1)[0] in SCHEMES and "://" in str(path)


class Remote:
    """The objects of one run below one URL; travels between processes as that URL.

    Parameters
    ----------
    url : str
        `s3://bucket/path/run.zarr`.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        parts = urllib.parse.urlsplit(self.url)
        if parts.username or parts.password or parts.query or parts.fragment:
            raise InputError(
                "holds more than a place",
                source=f"{parts.scheme}://{parts.hostname}{parts.path}",
                remedy="give credentials in the environment, e.g. AWS_ACCESS_KEY_ID",
            )
        if not parts.netloc or not parts.path.strip("/"):
            raise InputError("names no run", source=url, remedy="give s3://bucket/run.zarr")

    def __reduce__(self) -> tuple[object, ...]:
        return (Remote, (self.url,))

    @cached_property
    def store(self) -> ObjectStore:
        """The store below the URL, opened once in each process."""
        try:
            from obstore.store import from_url
        except ImportError:
            raise EnvironmentFailure(
                f"{self.url}: object stores need obstore: pip install 'distbragg[object-store]'"
            ) from None
        plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
        with self._errors():
            options: dict[str, Any] = {"client_options": {"allow_http": plain}}
            return from_url(self.url, **options, retry_config={"max_retries": RETRIES})

    @property
    def mirror(self) -> Path:
        """Local folder that mirrors the state of the run."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        name = hashlib.sha256(self.url.encode()).hexdigest()[:16]
        return cache / "distbragg" / "runs" / name / self.url.rpartition("/")[2]

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """All objects whose key begins with `prefix`, which ends a folder's name."""
        import obstore

        with self._errors():
            for batch in obstore.list(self.store, prefix=prefix or None):
                for item in batch:
                    tag = str(item["e_tag"] or item["last_modified"])
                    yield Entry(item["path"], int(item["size"]), tag, item["last_modified"])

    def entries_of(self, folder: str) -> list[Entry]:
        """All objects in a folder, without those in folders below it."""
        import obstore

        with self._errors():
            found = obstore.list_with_delimiter(self.store, prefix=folder)["objects"]
        return [
            Entry(
                item["path"],
                int(item["size"]),
                str(item["e_tag"] or item["last_modified"]),
                item["last_modified"],
            )
            for item in found
        ]

    def head(self, key: str) -> Entry | None:
        """Look at one object; None where it is not there."""
        import obstore

        try:
            with self._errors():
                item = obstore.head(self.store, key)
        except FileNotFoundError:
            return None
        tag = str(item["e_tag"] or item["last_modified"])
        return Entry(key, int(item["size"]), tag, item["last_modified"])

    def get(self, key: str) -> bytes:
        """Return an object.

        Raises
        ------
        FileNotFoundError
        EnvironmentFailure
        """
        import obstore

        with self._errors():
            return bytes(obstore.get(self.store, key).bytes())

    def digest(self, key: str) -> tuple[str, int]:
        """SHA-256 (hex) and size of an object, streamed."""
        import obstore

        digest, size = hashlib.sha256(), 0
        with self._errors():
            for part in obstore.get(self.store, key).stream():
                digest.update(part)
                size += len(part)
        return digest.hexdigest(), size

    def put(self, key: str, data: bytes, *, version: str | None = None) -> str:
        """Put an object, whole or not at all; return its version tag.

        Parameters
        ----------
        key : str
        data : bytes
        version : str, optional
            Empty: only where there is no such object. A tag: only in place of that version.

        Raises
        ------
        FileExistsError
            There is one, or another one.
        EnvironmentFailure
        """
        import obstore

        mode: Any = "overwrite" if version is None else "create"
        if version:
            mode = {"e_tag": version}
        with self._errors():
            done = obstore.put(self.store, key, data, mode=mode)
        return str(done["e_tag"] or "")

    def delete(self, key: str) -> None:
        """Delete an object; one that is not there is no error."""
        import obstore

        with self._errors(), contextlib.suppress(FileNotFoundError):
            obstore.delete(self.store, key)

    def append(self, folder: str, line: bytes) -> None:
        """Keep a record: an object of its own, since nothing can be appended to."""
        name = f"{STATE_DIR}/{folder}/{uuid.uuid4().hex}.jsonl"
        self.put(name, line, version="")
        # The mirror has it at once, so that this process need not list the store for it.
        write_atomic(self.mirror / name, line)

    def sync(self, prefix: str = "") -> None:
        """Bring what is new of the run's state into the mirror; pixels and locks stay there.

        Raises
        ------
        DamageError
            A key that is no path inside the run, or an object too large for its kind.
        """
        with _sync_lock:
            known = self._index()
            found = {}
            for entry in self.entries(prefix):
                if entry.key.startswith((CHUNKS, LOCKS)):
                    continue
                self._fetch(entry, known)
                found[entry.key] = entry.tag
            gone = [key for key in known if key.startswith(prefix) and key not in found]
            for key in gone:
                (self.mirror / key).unlink(missing_ok=True)
                del known[key]
            known.update(found)
            write_atomic(self.mirror / STATE_DIR / _INDEX, json.dumps(known).encode())

    def _fetch(self, entry: Entry, known: dict[str, str]) -> None:
        target = self.mirror / entry.key
        if known.get(entry.key) == entry.tag and target.is_file():
            return
        valid = all(_SEGMENT.fullmatch(part) for part in entry.key.split("/"))
        if not valid or entry.size > MAX_STATE_BYTES:
            raise DamageError(f"{self.url}: {entry.key[:80]!r} is no file of a run")
        # Records never change once written: those this process wrote are here already.
        if not (entry.key.endswith(".jsonl") and _has_size(target, entry.size)):
            write_atomic(target, self.get(entry.key))

    def _index(self) -> dict[str, str]:
        try:
            found = json.loads((self.mirror / STATE_DIR / _INDEX).read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn the store's errors into those a file would give, and the rest into one line."""
        from obstore import exceptions

        try:
            yield
        except FileNotFoundError:
            raise
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
            raise FileExistsError(str(error)) from None
        except exceptions.NotFoundError as error:
            raise FileNotFoundError(str(error)) from None
        except (exceptions.BaseError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise EnvironmentFailure(
                f"{self.url}: the object store refuses ({reason}); check the address and the "
                "credentials in the environment"
            ) from None


_sync_lock = threading.Lock()


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
