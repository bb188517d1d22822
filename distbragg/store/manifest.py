"""The manifest of a run: what is to be rendered, immutable and named by its content.

`identity` is what makes two runs the same (sweep without its compute section, stored
layout, plan, physics hash, numeric class, program version); `run_id` is its SHA-256.
`content_hash` covers the whole document, so that a changed byte is noticed at loading.
"""

from __future__ import annotations

import datetime
import getpass
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from distbragg._version import __version__
from distbragg.errors import DamageError, InputError
from distbragg.notes import Note, Notes
from distbragg.spec.canonical import canonical_json
from distbragg.store.files import sha256_bytes
from distbragg.store.layout import MANIFEST, StackLayout, layout_from_plain
from distbragg.store.objects import Objects, is_url

SCHEMA = 1
MAX_BYTES = 1 << 28
SHOWN = 4  # differences between two runs that a message names
DRAWN_FROM, DRAWN_OF = "drawn_from", "drawn_of"  # place and identity of a run of expectations
APPENDED = "appended"  # SHA-256 of what the last extension was asked for
GATHERED = "gathered"  # what a run that holds frames of others says of them
KEPT = (GATHERED,)  # what stays as a run grows
PRIVATE = ("host", "user", "command", DRAWN_FROM)  # what tells of a person or a machine
_SECTIONS = {"identity", "compute", "summary", "provenance", "run_id"}
_MAPPINGS = ("sweep", "plan", "numeric_class", "compute", "summary", "provenance")
_IDENTITY = {"schema", "version", "sweep", "layout", "plan", "physics_hash", "numeric_class"}

_PACKAGES = (
    "numpy", "torch", "dask", "distributed", "xarray", "zarr", "numcodecs", "pydantic", "gemmi",
    "scipy",
)  # fmt: skip


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`."""

    version: str
    sweep: dict[str, Any]  # plain, files by content, without `experiment.compute`
    compute: dict[str, Any]  # how, and not what
    layout: StackLayout
    plan: dict[str, Any]  # cuts, steps and hash of the frame plan
    physics_hash: str  # of the base experiment, as is the summary
    numeric_class: dict[str, str]
    summary: dict[str, Any]
    provenance: dict[str, Any]  # recorded, not compared
    parent: dict[str, Any] | None = None  # the generation that this one extends

    @property
    def identity(self) -> dict[str, Any]:
        """What makes two runs the same."""
        return {
            "schema": SCHEMA,
            "version": self.version,
            "sweep": self.sweep,
            "layout": self.layout.to_plain(),
            "plan": self.plan,
            "physics_hash": self.physics_hash,
            "numeric_class": self.numeric_class,
            **({} if self.parent is None else {"parent": self.parent}),
        }

    @cached_property
    def run_id(self) -> str:
        """SHA-256 of the identity, hex."""
        return sha256_bytes(canonical_json(self.identity).encode())

    @property
    def plan_hash(self) -> str:
        """Hash of the frame plan."""
        return str(self.plan["plan_hash"])

    @property
    def notes(self) -> Notes:
        """What was said of the frames when the run was made; what is not a note is left out."""
        items = self.summary.get("notes")
        return tuple(
            Note("warning" if item.get("kind") == "warning" else "note",
                 str(item.get("place", "")), str(item.get("text", "")))
            for item in (items if isinstance(items, list) else ())
            if isinstance(item, dict)
        )  # fmt: skip

    @property
    def gathered(self) -> dict[str, Any]:
        """What is said of the runs that frames were taken over from; empty where none were."""
        found = self.provenance.get(GATHERED)
        return found if isinstance(found, dict) else {}

    @cached_property
    def class_id(self) -> str:
        """Twelve hex digits that name the numeric class in receipts."""
        return class_id(self.numeric_class)

    def without_private(self) -> Manifest:
        """Return the same manifest, without what tells of a person or a machine."""
        kept = {key: item for key, item in self.provenance.items() if key not in PRIVATE}
        return replace(self, provenance=kept)

    @property
    def sweep_plain(self) -> dict[str, Any]:
        """The whole plain sweep, compute section included."""
        experiment = {**self.sweep["experiment"], "compute": self.compute}
        return {**self.sweep, "experiment": experiment}

    def to_bytes(self) -> bytes:
        """Return the document, canonical JSON in UTF-8."""
        return encode_document(
            {
                "identity": self.identity,
                "compute": self.compute,
                "summary": self.summary,
                "provenance": self.provenance,
                "run_id": self.run_id,
            }
        )


def class_id(numeric_class: Mapping[str, str]) -> str:
    """Twelve hex digits that name a numeric class."""
    return sha256_bytes(canonical_json(dict(numeric_class)).encode())[:12]


def encode_document(body: Mapping[str, Any]) -> bytes:
    """Return canonical JSON of a mapping and, as `content_hash`, of the SHA-256 of that."""
    digest = sha256_bytes(canonical_json(dict(body)).encode())
    return canonical_json({**body, "content_hash": digest}).encode()


def decode_document(data: bytes, fields: Set[str], source: str) -> dict[str, Any]:
    """Return the mapping that `encode_document` was given; `DamageError` where a byte differs."""
    try:
        body = json.loads(data)
        # JSON can hold halves of characters, which nothing can be written with.
        json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise DamageError(f"{source}: not readable as JSON ({error})") from None
    if not isinstance(body, dict) or body.keys() != {*fields, "content_hash"}:
        raise DamageError(f"{source}: fields are missing or unknown")
    del body["content_hash"]
    # The same numbers may be written otherwise (0.0, 0e0): every byte counts.
    if encode_document(body) != data:
        raise DamageError(f"{source}: content does not match its hash; the file was changed")
    return body


def load_manifest(objects: Objects) -> Manifest:
    """Read and check the manifest of a run; `InputError` where there is none of this format."""
    try:
        data = objects.get(MANIFEST, MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        if _is_absent(objects):
            raise InputError(
                "not found", source=objects.url, remedy="give the path or address of a run"
            ) from None
        raise InputError(
            f"is not a distbragg run: there is no {MANIFEST} in it",
            source=objects.url,
            remedy="give the path or address that `distbragg create` or `sweep` wrote",
        ) from None
    try:
        return parse_manifest(data, f"{objects.url}/{MANIFEST}")
    except DamageError as error:
        raise DamageError(
            f"{error}; nothing else says all that it does: put a copy of it back"
        ) from None


def parse_manifest(data: bytes, source: str) -> Manifest:
    """Parse the bytes of a manifest; see `load_manifest` for the errors."""
    body = decode_document(data, _SECTIONS, source)
    identity = body["identity"]
    if isinstance(identity, dict) and identity.get("schema") != SCHEMA:
        raise InputError(
            f"manifest schema {identity.get('schema')!r}, this version reads {SCHEMA}",
            source=source,
            remedy="use the distbragg version that made the run",
        )
    if not isinstance(identity, dict) or set(identity) - {"parent"} != _IDENTITY:
        raise DamageError(f"{source}: identity fields are missing or unknown")
    _check_types(identity, body, source)
    stated = {**body, "parent": None, **identity, "layout": layout_from_plain(identity["layout"])}
    manifest = Manifest(**{item.name: stated[item.name] for item in fields(Manifest)})
    if manifest.run_id != body["run_id"]:
        raise DamageError(f"{source}: run id does not match the identity")
    return manifest


def _is_absent(objects: Objects) -> bool:
    """Whether there is no folder, and under the address of a bucket no object."""
    if is_url(objects.url):
        return next(iter(objects.names()), None) is None
    return not Path(objects.url).exists()


def _check_types(identity: Mapping[str, Any], body: Mapping[str, Any], source: str) -> None:
    for name, value in {**identity, **body}.items():
        if name in _MAPPINGS and not isinstance(value, dict):
            raise DamageError(f"{source}: {name} is not a mapping")
    texts = (identity["version"], identity["physics_hash"], identity["plan"].get("plan_hash"))
    if not all(isinstance(text, str) for text in (*texts, *identity["numeric_class"].values())):
        raise DamageError(f"{source}: version, plan, physics or numeric class cannot be read")
    if not isinstance(identity["sweep"].get("experiment"), dict):
        raise DamageError(f"{source}: sweep holds no experiment")
    parent = identity.get("parent", {"generation": 0})
    if not isinstance(parent, dict) or type(parent.get("generation")) is not int:
        raise DamageError(f"{source}: the parent generation cannot be read")


def describe_difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """One readable line on how two plain mappings differ: `path: theirs here, ours given`."""
    lines = [
        f"{path}: {_short(there)} in the run, {_short(here)} now"
        for path, here, there in _differences(ours, theirs, "")
    ]
    more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return "; ".join(lines[:SHOWN]) + more


def short_difference(ours: Mapping[str, Any], theirs: Mapping[str, Any], most: int) -> str:
    """Name the fields in which the identities of two runs differ, in `most` characters.

    Fields of the specification come first, with both values where they are short; what follows
    from these, the layout and the plan, is named only where nothing else differs.
    """
    told: dict[str, str] = {}
    of_program: dict[str, str] = {}
    rest: dict[str, str] = {}
    for path, here, there in _differences(ours, theirs, ""):
        head, _, field = path.partition(".")
        if head == "sweep":
            values = f"{json.dumps(there, default=str)} in the run, "
            values += f"{json.dumps(here, default=str)} now"
            told[field.removeprefix("experiment.")] = f": {values}" if len(values) <= 50 else ""
        elif head in ("version", "numeric_class"):
            of_program[path] = f": {there} in the run, {here} now"
        else:
            rest[head.replace("_", " ")] = ""
    items = [f"{name}{said}" for name, said in (told | of_program or rest).items()]
    shown: list[str] = []
    for item in items:
        if shown and len("; ".join([*shown, item])) > most:
            break
        shown.append(item if len(item) <= most else f"{item[: most - 1]}…")
    more = len(items) - len(shown)
    return "; ".join(shown) + (f" and {more} more" if more else "")


def _differences(ours: object, theirs: object, path: str) -> Iterator[tuple[str, object, object]]:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for key in sorted({*ours, *theirs}):
            here, there = ours.get(key, "absent"), theirs.get(key, "absent")
            yield from _differences(here, there, f"{path}.{key}" if path else str(key))
    elif ours != theirs:
        yield path, ours, theirs


def _short(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


@cache
def source_commit() -> str:
    """Commit of the checkout this is imported from, with a `+` if changed; else empty."""
    folder = Path(__file__).resolve().parent
    root = folder.parent.parent
    if not (root / ".git").exists():
        return ""
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return ""
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}+" if changed else commit


def gather_provenance() -> dict[str, Any]:
    """Where, when and with what a run was made: recorded, never compared."""
    return {
        "distbragg": __version__,
        "commit": source_commit(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "host": platform.node(),
        "user": _user(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]] if sys.argv else [],
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


@cache
def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
