"""Appending frames to a finished run, as a new generation of it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distbragg.errors import InputError, RefusedError
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.models.tables import load_any, table_rows
from distbragg.notes import Notes
from distbragg.run.create import by_content, collect_inputs, manifest_of
from distbragg.run.drawn import rounded_source
from distbragg.run.metadata import metadata_files
from distbragg.run.notes import tell
from distbragg.run.prepare import check_plan, prepared_of
from distbragg.run.resume import check_version, finish_extension
from distbragg.spec.canonical import to_plain
from distbragg.spec.continued import as_drawn, continued, fingerprint, named_as_before
from distbragg.spec.files import check_under, file_fields
from distbragg.spec.growth import combine, grown, is_tail
from distbragg.spec.load import TableOf, parse_sweep
from distbragg.spec.paths import names_file
from distbragg.spec.sweep import SweepSpec
from distbragg.spec.yaml_text import read_yaml_mapping
from distbragg.store.generations import (
    DIGESTS,
    EXTENSION,
    SEALED,
    apply_extension,
    kept_files,
    parent_of,
)
from distbragg.store.inputs import copy_inputs
from distbragg.store.layout import MANIFEST, METADATA
from distbragg.store.lease import Lease
from distbragg.store.ledger import object_digests
from distbragg.store.manifest import APPENDED, KEPT, Manifest
from distbragg.store.own_arrays import load_metadata
from distbragg.store.run_directory import RunDirectory, RunLike, open_run


def extend(
    run: RunLike,
    more: SweepSpec | str | Path | int,
    *,
    root: str | Path | None = None,
    force: bool = False,
) -> RunDirectory:
    """Append frames to a finished run; return its new generation, which `resume` renders.

    Old frames keep their numbers, objects and receipts. An extension that was cut short is
    finished first; one that is there already is left alone.

    Parameters
    ----------
    run : RunDirectory or path
    more : SweepSpec, path of a sweep file, or int
        A number is that of all frames, old ones among them: of a run whose first dimension is
        drawn. A file may say the same by `count`, the positions along that dimension. Else: new
        values of the axes along the first dimension. A file may leave out `experiment`, and
        of an axis what it sets and along which dimension. Axes that are left out stay as they are
        where they are constant, and are drawn on where they are drawn one value after another.
    root : path, optional
        A specification file may name files of this folder alone.
    force : bool
        Go on even if the disk cannot hold the new frames uncompressed.

    Returns
    -------
    RunDirectory
        Of the new generation; `resume` takes it.

    Raises
    ------
    InputError
        The new values do not go with the run.
    RefusedError
        Frames are missing, or the run is in use, of another version, or drawn from float32.
    PlanError
        Memory or disk cannot hold it.
    EnvironmentFailure
        There is no room.
    """
    directory = open_run(run)
    check_version(directory)
    if rounded_source(directory.manifest.provenance):
        raise RefusedError(
            f"{directory.url}: was drawn from expected photons of float32, which end with its "
            "frames; extend the run that holds them, then draw a new one with `distbragg noise`"
        )
    with Lease(directory.objects):
        directory = finish_extension(directory)
        asked = _asked(directory, more, root)
        if asked is None:
            return directory
        digests = object_digests(directory)
        missing = directory.layout.units - len(digests)
        if missing:
            raise RefusedError(
                f"{directory.url}: {missing} of {directory.layout.units} units are missing; "
                f"`distbragg resume {directory.url}` finishes the run, then extend it"
            )
        _decide(directory, asked, list(digests.values()), force=force)
        tell(asked.notes)
        apply_extension(directory)
    return open_run(directory.url)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The sweep that a run is to hold, what names it when it is asked for again, and notes."""

    sweep: SweepSpec
    name: str
    notes: Notes = ()


def _asked(
    run: RunDirectory, more: SweepSpec | str | Path | int, root: str | Path | None
) -> _Asked | None:
    """Return what is asked for; None where it is there."""
    if isinstance(more, int):
        return _counted(run, _positions(run, more))
    if not isinstance(more, SweepSpec) and set(data := read_yaml_mapping(Path(more))) == {"count"}:
        if type(data["count"]) is not int:
            raise InputError("must be a whole number", source=str(more), field="count")
        return _counted(run, data["count"])
    given = _more_of(run, more, root)
    named = _by_content(given)
    if run.lineage and _is_there(run, named):
        return None
    sweep, notes = continued(run.sweep, _with_own_files(run, given, named))
    return _Asked(as_drawn(combine(run.sweep, sweep), run.sweep), fingerprint(named), notes)


def _counted(run: RunDirectory, count: int) -> _Asked | None:
    whole = grown(run.sweep, count)
    return None if whole.dims == run.sweep.dims else _Asked(whole, fingerprint(whole))


def _positions(run: RunDirectory, frames: int) -> int:
    """Return the positions along the first dimension that a number of frames is."""
    along = run.layout.frames // run.sweep.dims[0][1] if run.sweep.axes else 1
    if frames % along:
        raise InputError(
            f"{frames} frames, where each step of the first dimension has {along}",
            source="--frames",
            remedy=f"give a multiple of {along}",
        )
    if frames < run.layout.frames:
        raise InputError(
            f"{frames} frames, where the run has {run.layout.frames}",
            source="--frames",
            remedy="give more; `distbragg subset` takes some of them",
        )
    return frames // along


def _with_own_files(run: RunDirectory, given: SweepSpec, asked: SweepSpec) -> SweepSpec:
    """Name swept files that are those of the run, whatever their paths, by the run's copies."""
    stored = {axis.name: axis.expanded for axis in _by_content(run.sweep).axes}
    same = {axis.name for axis in asked.axes if axis.expanded == stored.get(axis.name)}
    own = {axis.name: axis for axis in run.sweep.axes if axis.name in same}
    plain = [
        to_plain(own[axis.name] if axis.name in own and names_file(axis.target) else axis)
        for axis in given.axes
    ]
    return SweepSpec.model_validate({**to_plain(given), "axes": plain})


def _is_there(run: RunDirectory, asked: SweepSpec) -> bool:
    """Whether the last extension was this one, or its frames are the last ones of the run."""
    if run.manifest.provenance.get(APPENDED) == fingerprint(asked):
        return True
    return is_tail(_by_content(run.sweep), asked)


def _decide(run: RunDirectory, asked: _Asked, digests: list[str], *, force: bool) -> None:
    """Decide on the run that is to hold all frames asked for, once it is known to fit."""
    sweep = asked.sweep
    experiment = build_experiment(sweep.frame_spec(0))
    prepared = prepared_of(sweep, experiment)
    plan = replace(prepared.plan, unit_shape=run.layout.unit_shape)
    prepared = replace(prepared, plan=plan)
    stored_bytes, free = run.layout.frames * plan.frame_bytes, run.objects.free_bytes()
    check_plan(
        plan,
        sweep.experiment.compute,
        experiment.reflections.amplitude.size,
        # What is there already takes no further room.
        disk_free_bytes=None if force or free is None else free + 2 * stored_bytes,
    )
    inputs = collect_inputs(sweep)
    stored = by_content(sweep, inputs)
    kept = {key: run.manifest.provenance[key] for key in KEPT if key in run.manifest.provenance}
    told = {**kept, APPENDED: asked.name}
    manifest = manifest_of(prepared, stored, run.manifest.numeric_class, told)
    manifest = replace(manifest, parent=parent_of(run.manifest, digests))
    _check_kept(run, manifest)
    copy_inputs(inputs, run.objects)
    _put_extension(run, manifest, digests, stored, experiment)
    tell(prepared.said.notes)


def _check_kept(run: RunDirectory, manifest: Manifest) -> None:
    """Make sure that nothing but the first dimension differs."""
    old, new = run.layout.to_plain(), manifest.layout.to_plain()
    old["dims"], new["dims"] = old["dims"][1:], new["dims"][1:]
    if old != new or manifest.physics_hash != run.manifest.physics_hash:
        raise RefusedError(
            f"{run.url}: this program would store the run otherwise than it is stored; render "
            "the new frames as a stack of their own"
        )


def _more_of(run: RunDirectory, more: SweepSpec | str | Path, root: str | Path | None) -> SweepSpec:
    """Return the sweep to append, its experiment compared with the run's."""
    source = "" if isinstance(more, SweepSpec) else str(more)
    if isinstance(more, SweepSpec):
        sweep = more
    elif "experiment" in (data := dict(read_yaml_mapping(Path(more)))):
        sweep = load_any(Path(more), root=root)
    else:

        def rows(path: Path, columns: Sequence[str] | None, of: TableOf | None = None) -> list[Any]:
            if root is not None:
                check_under(path, root, field="table.file")
            return table_rows(path, columns, of)

        # The run's own inputs lie in the run: absolute names that no root should judge.
        data["axes"] = named_as_before(data.get("axes"), run.sweep)
        plain = {**data, "experiment": to_plain(run.sweep.experiment)}
        sweep = parse_sweep(plain, source=source, base_dir=Path(more).parent, tables=rows)
        for field, name in file_fields(sweep):
            if root is not None and field.startswith("axes."):
                check_under(name, root, source=source, field=field)
        return sweep
    ours, theirs = (to_plain(_by_content(item).experiment) for item in (run.sweep, sweep))
    if {**ours, "compute": None} != {**theirs, "compute": None}:
        raise InputError(
            "is not the experiment of the run",
            source=source,
            field="experiment",
            remedy="leave `experiment` out of the file, or give it as it was",
        )
    return sweep


def _by_content(sweep: SweepSpec) -> SweepSpec:
    return by_content(sweep, collect_inputs(sweep))


def _put_extension(
    run: RunDirectory,
    manifest: Manifest,
    digests: list[str],
    stored: SweepSpec,
    experiment: Experiment,
) -> None:
    """Make all files of the new generation ready and decide on it; nothing that is read changes."""
    files = metadata_files(run, manifest, stored, experiment)
    files = {**files, **_with_users_own(run, files)}
    kept = kept_files(run.manifest, digests)
    stem = next(iter(kept)).removesuffix(".json")
    for key in (SEALED, DIGESTS):
        if run.objects.head(key) is not None:
            kept[f"{stem}.{key.rpartition('/')[2]}"] = run.objects.get(key)
    with io.BytesIO() as packed:
        with zipfile.ZipFile(packed, "w") as archive:
            for key, data in {**kept, **files, MANIFEST: manifest.to_bytes()}.items():
                archive.writestr(key, data)
        run.objects.put(EXTENSION, packed.getvalue())


def _with_users_own(run: RunDirectory, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the metadata to put, with attributes and variables that a user added to the old."""
    (grown, _), *_ = run.layout.dims
    old = load_metadata(run, METADATA).get("consolidated_metadata") or {}
    listed = old.get("metadata", {})
    added = {name: body for name, body in listed.items() if f"{name}/{METADATA}" not in files}
    for name, body in added.items():
        if grown in (body.get("dimension_names") or ()):
            raise RefusedError(
                f"{run.url}: the variable {name!r}, which was added to the run, runs along "
                f"{grown!r}, which grows; move it out of the run, extend, and add it again"
            )
    arrays = [one.array for one in run.arrays]
    keys = (METADATA, *(f"{name}/{METADATA}" for name in arrays))
    bodies = {key: json.loads(files[key]) for key in keys}
    for key, body in bodies.items():
        body["attributes"] = {**load_metadata(run, key).get("attributes", {}), **body["attributes"]}
    group, *own = bodies.values()
    consolidated = group["consolidated_metadata"]["metadata"]
    consolidated.update(added)
    for name, body in zip(arrays, own, strict=True):
        consolidated[name]["attributes"] = body["attributes"]
    return {key: json.dumps(body, indent=2).encode() for key, body in bodies.items()}
