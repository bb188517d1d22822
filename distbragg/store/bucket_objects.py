"""A run on an object store, reached through obstore.

Puts are atomic key by key, and conditional; nothing can be appended to or renamed. Credentials come
from the environment, in the variables of the store's own tools, and are written nowhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import obstore
from obstore import exceptions
from obstore.store import from_url

from distbragg.errors import DamageError, EnvironmentFailure, InputError
from distbragg.store.files import sha256_bytes, write_durable
from distbragg.store.layout import STATE_DIR
from distbragg.store.objects import MAX_OBJECT_BYTES, Entry, Objects, ObjectWriter, Spans

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import ObjectStore
    from zarr.abc.store import Store

RETRIES: Final = 5
FETCHES: Final = 16  # objects that are fetched at once
ENDPOINTS: Final = ("endpoint", "endpoint_url", "aws_endpoint", "aws_endpoint_url")
CLIENT_OPTIONS: Final = (
    "allow_http", "allow_invalid_certificates", "connect_timeout", "default_content_type",
    "default_headers", "http1_only", "http2_only", "http2_keep_alive_interval",
    "http2_keep_alive_timeout", "http2_keep_alive_while_idle", "pool_idle_timeout",
    "pool_max_idle_per_host", "proxy_url", "proxy_ca_certificate", "proxy_excludes",
    "randomize_addresses", "timeout", "user_agent",
)  # fmt: skip
"""Options that obstore wants apart: among those of the store they end in a panic of Rust."""

NO_BUCKET: Final = ("NoSuchBucket", "ContainerNotFound")
"""Codes by which stores say that the bucket itself is not there."""

LINES_PER_OBJECT: Final = 200
"""Lines after which a process begins another object: each line is put with those before it."""


class BucketObjects(Objects):
    """The objects of a run below one URL such as `s3://bucket/path/run.zarr`; see `Objects`.

    `options` configure the store in place of the environment; other processes get them with it.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        self._options = dict(options or {})
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

    def __reduce__(self) -> tuple[Any, ...]:
        return BucketObjects, (self.url, self._options)

    @cached_property
    def store(self) -> ObjectStore:
        """The store below the URL, opened once."""
        client = {key: each for key, each in self._options.items() if key in CLIENT_OPTIONS}
        config = {key: each for key, each in self._options.items() if key not in CLIENT_OPTIONS}
        client.setdefault("allow_http", self.plain_http)
        options: dict[str, Any] = {"client_options": client, "config": config or None}
        with self._errors():
            return from_url(self.url, **options, retry_config={"max_retries": RETRIES})

    @property
    def plain_http(self) -> bool:
        named = (each for key, each in self._options.items() if key.lower() in ENDPOINTS)
        endpoint = str(next(named, os.environ.get("AWS_ENDPOINT_URL", "")))
        return endpoint.startswith("http://")

    @contextlib.contextmanager
    def made_whole(self) -> Iterator[BucketObjects]:
        """Yield this place, if it holds nothing but what a creation that was cut short left."""
        state = f"{STATE_DIR}/"
        # The state is put first.
        other = any(not entry.key.startswith(state) for entry in self.entries())
        if other and self.head(f"{state}zarr.json") is None:
            raise FileExistsError(f"{self.url}: holds something else")
        yield self

    def get(self, key: str, limit: int = MAX_OBJECT_BYTES) -> bytes:
        with self._errors():
            answer = obstore.get(self.store, key)
            if answer.meta["size"] > limit:
                raise DamageError(f"{self.url}/{key}: is larger than {limit} bytes")
            return bytes(answer.bytes())

    @contextlib.contextmanager
    def spans(self, key: str) -> Iterator[Spans]:
        def read(parts: Sequence[tuple[int, int]]) -> list[bytes]:
            with self._errors():
                if any(first < 0 for first, _ in parts):
                    return [self._tail(key, -first)[:length] for first, length in parts]
                starts, lengths = zip(*parts, strict=True) if parts else ((), ())
                found = obstore.get_ranges(self.store, key, starts=starts, lengths=lengths)
                return [bytes(part) for part in found]

        yield read

    def _tail(self, key: str, length: int) -> bytes:
        """Return the last bytes of an object."""
        return bytes(obstore.get(self.store, key, options={"range": {"suffix": length}}).bytes())

    def put(self, key: str, data: bytes, *, version: str | None = None) -> str:
        mode: Any = "overwrite" if version is None else "create"
        if version:
            mode = {"e_tag": version}
        with self._errors():
            return str(obstore.put(self.store, key, data, mode=mode)["e_tag"] or "")

    def writer(self, key: str) -> BucketWriter:
        return BucketWriter(self, key)

    def appender(self, key: str) -> BucketAppender:
        return BucketAppender(self, key)

    def names(self, prefix: str = "", *, deep: bool = True) -> Iterator[tuple[str, Entry | None]]:
        """Yield all objects whose key begins with a folder's name: a store holds nothing else."""
        found: Iterable[ObjectMeta]
        with self._errors():
            if deep:
                found = chain.from_iterable(obstore.list(self.store, prefix=prefix or None))
            else:
                found = obstore.list_with_delimiter(self.store, prefix=prefix or None)["objects"]
            for item in found:
                yield item["path"], _entry(item)

    def _readable(self, keys: Sequence[str]) -> Iterator[io.BytesIO]:
        with ThreadPoolExecutor(FETCHES) as pool:
            for first in range(0, len(keys), FETCHES):
                yield from map(io.BytesIO, pool.map(self.get, keys[first : first + FETCHES]))

    def children(self) -> set[str]:
        with self._errors():
            found = obstore.list_with_delimiter(self.store)
        return {*found["common_prefixes"], *(item["path"] for item in found["objects"])}

    def head(self, key: str) -> Entry | None:
        try:
            with self._errors():
                return _entry(obstore.head(self.store, key))
        except FileNotFoundError:
            return None

    def digest(self, key: str) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        with self._errors():
            for part in obstore.get(self.store, key).stream():
                digest.update(part)
                size += len(part)
        return digest.hexdigest(), size

    def delete(self, key: str) -> None:
        with self._errors(), contextlib.suppress(FileNotFoundError):
            obstore.delete(self.store, key)

    def local(self, key: str, sha256: str = "") -> Path:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "distbragg"
        place = sha256 or sha256_bytes(f"{self.url}/{key}".encode())
        target = cache / "objects" / place / key.rpartition("/")[2]
        if sha256 and target.is_file():
            return target
        note = target.with_name("version")
        known: GetOptions = {}
        with contextlib.suppress(OSError):
            known = {"if_none_match": note.read_text()} if target.is_file() else {}
        with self._errors():
            try:
                answer = obstore.get(self.store, key, options=known)
                data, tag = bytes(answer.bytes()), answer.meta["e_tag"] or ""
            except exceptions.NotModifiedError:
                return target
        if sha256 and sha256_bytes(data) != sha256:
            raise DamageError(f"{self.url}/{key}: has another SHA-256 than {sha256}")
        note.unlink(missing_ok=True)
        write_durable(target, data)
        if tag and not sha256:
            write_durable(note, tag.encode())
        return target

    def zarr_store(self) -> Store:
        import zarr.storage

        return zarr.storage.ObjectStore(self.store, read_only=True)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn the store's errors into those a file would give, and the rest into one line."""
        try:
            yield
        except exceptions.NotModifiedError:
            raise
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
            raise FileExistsError(_reason(error)) from None
        except exceptions.UnknownConfigurationKeyError as error:
            raise InputError(
                _reason(error).rstrip("."),
                source="storage_options",
                remedy="give obstore's names, such as endpoint, region, access_key_id, "
                "secret_access_key",
            ) from None
        except (FileNotFoundError, exceptions.BaseError, ValueError) as error:
            reason = _reason(error)
            missing = isinstance(error, (FileNotFoundError, exceptions.NotFoundError))
            if missing and not reason.startswith(NO_BUCKET):
                raise FileNotFoundError(reason) from None
            raise EnvironmentFailure(
                f"{self.url}: the object store refuses ({reason}); check the address and the "
                "credentials in the environment"
            ) from None


def _reason(error: Exception) -> str:
    """Say in one line what a store says: of an answer in XML its code and its message."""
    text = str(error).partition("Debug source:")[0]
    answer = re.search(r"<Code>(\w+)</Code>.*?<Message>([^<]*)</Message>", text, re.DOTALL)
    if answer is not None:
        text = f"{answer[1]}: {answer[2]}"
    return " ".join(text.split())[:300]


class BucketWriter(ObjectWriter):
    """Gathers an object, which the store takes in one piece."""

    def __init__(self, objects: BucketObjects, key: str) -> None:
        super().__init__()
        self._objects, self._key = objects, key
        self._pieces: list[bytes] = []

    def _write(self, pieces: Sequence[bytes]) -> None:
        self._pieces.extend(pieces)

    def _publish(self) -> None:
        self._objects.put(self._key, b"".join(self._pieces))

    def _drop(self) -> None:
        self._pieces.clear()


class BucketAppender:
    """Puts an object of this process's own again with every line."""

    def __init__(self, objects: BucketObjects, key: str) -> None:
        self._objects, self._key = objects, key
        self._lines: list[bytes] = []

    @property
    def full(self) -> bool:
        """Whether the next line should go to another object."""
        return len(self._lines) >= LINES_PER_OBJECT

    def append(self, line: bytes) -> None:
        """Add a line."""
        self._objects.put(self._key, b"".join([*self._lines, line]))
        self._lines.append(line)


def _entry(item: ObjectMeta) -> Entry:
    tag = str(item["e_tag"] or item["last_modified"])
    return Entry(item["path"], int(item["size"]), tag, item["last_modified"])
