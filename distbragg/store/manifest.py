"""The manifest of a run: what is to be rendered, immutable and named by its content.

`identity` is what makes two runs the same (sweep without its compute section, stored
layout, plan, physics hash, numeric class, program version); `run_id` is its SHA-256.
`content_hash` covers the whole document, so that a changed byte is noticed at loading.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from distbragg.errors import DamageError, InputError
from distbragg.notes import Note, Notes
from distbragg.spec.canonical import canonical_json
from distbragg.store.files import sha256_bytes
from distbragg.store.layout import MANIFEST_FILE, STATE_DIR, StackLayout, layout_from_plain

SCHEMA = 1
MAX_BYTES = 1 << 28
_SECTIONS = ("identity", "compute", "summary", "provenance", "run_id", "content_hash")
_IDENTITY = ("schema", "version", "sweep", "layout", "plan", "physics_hash", "numeric_class")


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`.

    Attributes
    ----------
    version : str
        distbragg's version.
    sweep : dict
        Plain sweep without `experiment.compute`; input files by content-addressed name.
    compute : dict
        Plain `experiment.compute`: how, not what.
    layout : StackLayout
    plan : dict
        Tiles, source chunks, merge arity, steps and hash of the frame plan.
    physics_hash : str
        Hash of the base experiment.
    numeric_class : dict of str
    summary : dict
        Readable facts about the base experiment.
    provenance : dict
        Package versions, host, commit, time: recorded, not compared.
    parent : dict, optional
        The generation that this one extends; see `store.generations`.
    """

    version: str
    sweep: dict[str, Any]
    compute: dict[str, Any]
    layout: StackLayout
    plan: dict[str, Any]
    physics_hash: str
    numeric_class: dict[str, str]
    summary: dict[str, Any]
    provenance: dict[str, Any]
    parent: dict[str, Any] | None = None

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
        """What was said of the frames when the run was made; what is no note is left out."""
        items = self.summary.get("notes")
        return tuple(
            Note("warning" if item.get("kind") == "warning" else "note",
                 str(item.get("place", "")), str(item.get("text", "")))
            for item in (items if isinstance(items, list) else ())
            if isinstance(item, dict)
        )  # fmt: skip

    @cached_property
    def class_id(self) -> str:
        """Twelve hex digits that name the numeric class in receipts."""
        return class_id(self.numeric_class)

    @property
    def sweep_plain(self) -> dict[str, Any]:
        """The whole plain sweep, compute section included."""
        experiment = {**self.sweep["experiment"], "compute": self.compute}
        return {**self.sweep, "experiment": experiment}

    def to_bytes(self) -> bytes:
        """Return the document, canonical JSON in UTF-8."""
        body = {**self._body, "content_hash": self.content_hash}
        return canonical_json(body).encode()

    @property
    def content_hash(self) -> str:
        """SHA-256 of the whole document, hex."""
        return sha256_bytes(canonical_json(self._body).encode())

    @property
    def _body(self) -> dict[str, Any]:
        return {
            "identity": self.identity,
            "compute": self.compute,
            "summary": self.summary,
            "provenance": self.provenance,
            "run_id": self.run_id,
        }


def class_id(numeric_class: Mapping[str, str]) -> str:
    """Twelve hex digits that name a numeric class."""
    return sha256_bytes(canonical_json(dict(numeric_class)).encode())[:12]


def split_compute(sweep_plain: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Separate a plain sweep into (sweep without compute, compute)."""
    experiment = dict(sweep_plain["experiment"])
    compute = dict(experiment.pop("compute", {}))
    return {**sweep_plain, "experiment": experiment}, compute


def load_manifest(run: Path) -> Manifest:
    """Read and check `RUN/.distbragg/manifest.json`.

    Raises
    ------
    InputError
        `run` is not a run, or was made by another format version.
    DamageError
        The manifest is too large, torn, or its hash does not match.
    """
    path = run / STATE_DIR / MANIFEST_FILE
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            "is not a distbragg run: there is no .distbragg/manifest.json in it",
            source=str(run),
            remedy="give the directory that `distbragg create` or `sweep` wrote",
        ) from None
    if size > MAX_BYTES:
        raise DamageError(f"{path}: {size} bytes is more than a manifest can have ({MAX_BYTES})")
    return parse_manifest(path.read_bytes(), str(path))


def parse_manifest(data: bytes, source: str) -> Manifest:
    """Parse the bytes of a manifest; see `load_manifest` for the errors."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamageError(f"{source}: not readable as JSON ({error})") from None
    if not isinstance(body, dict) or set(body) != set(_SECTIONS):
        raise DamageError(f"{source}: sections are missing or unknown")
    stated = body.pop("content_hash")
    if sha256_bytes(canonical_json(body).encode()) != stated:
        raise DamageError(f"{source}: content does not match its hash; the file was changed")
    identity = body["identity"]
    if isinstance(identity, dict) and identity.get("schema") != SCHEMA:
        raise InputError(
            f"manifest schema {identity.get('schema')!r}, this version reads {SCHEMA}",
            source=source,
            remedy="use the distbragg version that made the run",
        )
    if not isinstance(identity, dict) or set(identity) - {"parent"} != set(_IDENTITY):
        raise DamageError(f"{source}: identity fields are missing or unknown")
    manifest = Manifest(
        version=str(identity["version"]),
        sweep=identity["sweep"],
        compute=body["compute"],
        layout=layout_from_plain(identity["layout"]),
        plan=identity["plan"],
        physics_hash=str(identity["physics_hash"]),
        numeric_class=identity["numeric_class"],
        summary=body["summary"],
        provenance=body["provenance"],
        parent=_parent(identity, source),
    )
    if manifest.run_id != body["run_id"]:
        raise DamageError(f"{source}: run id does not match the identity")
    return manifest


def _parent(identity: Mapping[str, Any], source: str) -> dict[str, Any] | None:
    parent = identity.get("parent")
    if parent is None:
        return None
    if not isinstance(parent, dict) or type(parent.get("generation")) is not int:
        raise DamageError(f"{source}: the parent generation cannot be read")
    return parent


def describe_difference(ours: Mapping[str, Any], theirs: Mapping[str, Any], limit: int = 4) -> str:
    """One readable line on how two plain mappings differ: `path: theirs here, ours given`."""
    lines = [
        f"{path}: {_short(there)} in the run, {_short(here)} now"
        for path, here, there in _differences(ours, theirs, "")
    ]
    more = f" and {len(lines) - limit} more" if len(lines) > limit else ""
    return "; ".join(lines[:limit]) + more


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
