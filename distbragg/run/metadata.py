"""The metadata and coordinates of a run, made of its manifest: what `extend` and `repair` put."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import Any

from distbragg.engine.context import RunContext
from distbragg.errors import DamageError
from distbragg.models.experiment import Experiment
from distbragg.run.create import by_content, collect_inputs
from distbragg.spec.sweep import SweepSpec
from distbragg.store.coordinates import StoredVariable, axis_variables, image_attrs, pixel_variables
from distbragg.store.create import group_attrs, group_files
from distbragg.store.layout import LABELS, METADATA, STATE_DIR
from distbragg.store.manifest import Manifest
from distbragg.store.metadata import check_metadata, damaged_metadata
from distbragg.store.own_arrays import find_metadata
from distbragg.store.run_directory import RunDirectory
from distbragg.store.verify import FileDamage, damaged_inputs


def metadata_files(
    run: RunDirectory, manifest: Manifest, stored: SweepSpec, experiment: Experiment
) -> dict[str, bytes]:
    """Return metadata and coordinates of a generation of `run`, by key, as they are first written.

    `stored` is its sweep with files named by content, `experiment` the resolved base experiment.
    """
    variables = {**axis_variables(stored.coordinates()), **pixel_variables(experiment.detector)}
    return group_files(
        manifest.layout,
        variables,
        image_attrs(experiment),
        group_attrs(manifest),
        chunks=_kept_chunks(run, variables),
        output=stored.experiment.output,
    )


def _kept_chunks(
    run: RunDirectory, variables: Mapping[str, StoredVariable]
) -> dict[str, tuple[int, ...]]:
    """Chunk shapes of coordinates as they are: old values then keep their objects."""
    sizes = dict((run.lineage[-1].layout if run.lineage else run.layout).dims)
    return {
        name: (sizes[variable.dims[0]], *variable.values.shape[1:])
        for name, variable in variables.items()
        if variable.dims[0] in sizes
    }


def check_inputs(run: RunDirectory, found: Iterable[FileDamage]) -> None:
    """Raise a `DamageError` where an input file is among what was found damaged."""
    for item in found:
        if item.kind == "input":
            raise DamageError(
                f"{run.url}/{item.name}: {item.problem}; put the original back, its SHA-256 is the "
                "name of its folder, then repair"
            )


class Mender:
    """Makes metadata and coordinates of a run again: they are a function of its manifest.

    Attributes that a user added stay where they can still be read: those of an array in it or in
    what the group repeats of it, those of the group in itself.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._run = run

    @cached_property
    def files(self) -> Mapping[str, bytes]:
        """All that the run wrote of itself beside pixels and manifest, by key."""
        run = self._run
        check_inputs(run, damaged_inputs(run))
        stored = by_content(run.sweep, collect_inputs(run.sweep))
        experiment = RunContext.of(run).opened.frame(0).experiment
        return metadata_files(run, run.manifest, stored, experiment)

    def mend_unreadable(self) -> dict[str, str]:
        """Make metadata again that cannot be read; return what was wrong, by key."""
        run, group = self._run, _readable(self._run, METADATA)
        gone = "; attributes that a user added to it are gone"
        mended: dict[str, str] = {}
        # Zarr is asked for its opinion where nothing else is wrong.
        while found := {
            key: told for key, told in damaged_metadata(run).items() if key not in mended
        }:
            for key, told in found.items():
                kept = _readable(run, key) or (group and key != METADATA)
                mended[key] = told.removeprefix(f"{run.url}/{key}: ") + ("" if kept else gone)
            self.put(found)
        if mended:
            check_metadata(run)
        return mended

    def mend_changed(self, found: Iterable[FileDamage]) -> dict[str, str]:
        """Put metadata and coordinates as they were written; return what was wrong, by key."""
        named = {
            f"{item.name}/{METADATA}"
            if item.kind == "coordinate"
            else item.name.partition("#")[0]: item.problem
            for item in found
            if item.kind in ("coordinate", "metadata")
        }
        changed = {key: problem for key, problem in named.items() if key in self.files}
        self.put(changed)
        return changed

    def put(self, keys: Collection[str]) -> None:
        """Put files as they were written; with the metadata of a coordinate also its values."""
        names = {key.removesuffix(f"/{METADATA}") for key in keys}
        values = {key for key in self.files if key.partition("/c/")[0] in names}
        for key in sorted({*values, *keys} - {METADATA}):
            is_values = not key.endswith(METADATA)
            self._put(key, self.files[key] if is_values else self._array(key))
        if METADATA in keys:
            self._put(METADATA, self._group())

    def _put(self, key: str, data: bytes) -> None:
        objects = self._run.objects
        if objects.head(key) is None or objects.get(key) != data:
            objects.put(key, data)

    def _array(self, key: str) -> bytes:
        """Return the metadata of an array, with the attributes that a user added."""
        name, group = key.removesuffix(f"/{METADATA}"), _readable(self._run, METADATA)
        repeated = _mapping(_mapping(group.get("consolidated_metadata")).get("metadata"))
        return _joined(self.files[key], _mapping(repeated.get(name)), _readable(self._run, key))

    def _group(self) -> bytes:
        """Return the metadata of the stack, which repeat those of all arrays that are in it."""
        body = json.loads(_joined(self.files[METADATA], _readable(self._run, METADATA)))
        repeated = body["consolidated_metadata"]["metadata"]
        for entry in self._run.objects.entries():
            name, _, last = entry.key.rpartition("/")
            if last == METADATA and name.partition("/")[0] not in ("", STATE_DIR, LABELS):
                found = _readable(self._run, entry.key)
                if found:
                    repeated[name] = found
        return _encoded(body)


def _readable(run: RunDirectory, key: str) -> Mapping[str, Any]:
    """Return metadata, empty where they are missing or cannot be read."""
    try:
        return find_metadata(run, key) or {}
    except DamageError:
        return {}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _joined(written: bytes, *there: Mapping[str, Any]) -> bytes:
    """Return metadata as they were written, with what `there` has of other attributes."""
    body = json.loads(written)
    added: dict[str, Any] = {}
    for one in there:
        added |= _mapping(one.get("attributes"))
    return _encoded({**body, "attributes": {**added, **body["attributes"]}})


def _encoded(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, indent=2).encode()
