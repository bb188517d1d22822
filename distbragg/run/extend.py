"""Appending frames to a finished run, as a new generation of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from distbragg.errors import InputError, RefusedError
from distbragg.models.build import build_experiment
from distbragg.models.hashing import physics_hash
from distbragg.models.tables import load_any, table_rows
from distbragg.plan.memory import check_fits, memory_limit_bytes, predict_peak_bytes
from distbragg.run.create import collect_inputs, describe
from distbragg.run.machine import free_disk_bytes, memory_bytes
from distbragg.run.notes import tell
from distbragg.run.prepare import Prepared, prepared_of
from distbragg.run.resume import check_version, finish_extension
from distbragg.spec.canonical import to_plain
from distbragg.spec.extend import combine, is_tail
from distbragg.spec.files import check_under, file_fields, replace_files
from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec
from distbragg.spec.yaml_text import read_yaml_mapping
from distbragg.store.create import make_manifest
from distbragg.store.extension import apply_extension, prepare_extension
from distbragg.store.generations import parent_of
from distbragg.store.home import run_lock
from distbragg.store.inputs import InputFile
from distbragg.store.ledger import object_digests
from distbragg.store.manifest import Manifest
from distbragg.store.provenance import gather_provenance
from distbragg.store.run_directory import RunDirectory, open_run


def extend(
    run: RunDirectory | str | Path,
    more: SweepSpec | str | Path,
    *,
    root: str | Path | None = None,
    force: bool = False,
) -> RunDirectory:
    """Append frames to a finished run; `resume` renders them.

    Old frames keep their numbers, objects and receipts. An extension that was cut short is
    finished first; one that is there already is left alone.

    Parameters
    ----------
    run : RunDirectory or path
    more : SweepSpec or path of a sweep file
        New values of the axes along the first dimension. A file may leave out `experiment`.
    root : path, optional
        A specification file may name files of this folder alone.
    force : bool
        Go on even if the disk cannot hold the new frames uncompressed.

    Returns
    -------
    RunDirectory
        The new generation.

    Raises
    ------
    InputError
        The new values do not go with the run.
    RefusedError
        Frames are missing, or the run is in use or of another version.
    PlanError
        Memory or disk cannot hold it.
    EnvironmentFailure
        There is no room.
    """
    directory = run if isinstance(run, RunDirectory) else open_run(run)
    check_version(directory)
    if directory.remote is not None:
        raise RefusedError(
            f"{directory.shown}: frames are appended to a run on a file system; extend that one, "
            "then `distbragg publish` it to the same address"
        )
    with run_lock(directory):
        directory = finish_extension(directory)
        sweep = _more_of(directory, more, root)
        if directory.lineage and is_tail(_by_content(directory.sweep), _by_content(sweep)):
            return directory
        digests = object_digests(directory)
        missing = directory.layout.units - len(digests)
        if missing:
            raise RefusedError(
                f"{directory.path}: {missing} of {directory.layout.units} units are missing; "
                f"`distbragg resume {directory.path}` finishes the run, then extend it"
            )
        _decide(directory, combine(directory.sweep, sweep), list(digests.values()), force=force)
        apply_extension(directory.path)
    return open_run(directory.path)


def _decide(run: RunDirectory, sweep: SweepSpec, digests: list[str], *, force: bool) -> None:
    experiment = build_experiment(sweep.frame_spec(0))
    prepared = prepared_of(sweep, experiment)
    plan = replace(prepared.plan, unit_shape=run.layout.unit_shape)
    prepared = replace(prepared, plan=plan)
    _check_room(run, prepared, force=force)
    inputs = collect_inputs(sweep)
    references = {path: inputs[name].reference for path, name in file_fields(sweep)}
    stored = replace_files(sweep, references)
    manifest = make_manifest(
        sweep_plain=to_plain(stored),
        plan=plan,
        physics_hash=physics_hash(experiment),
        numeric_class=run.manifest.numeric_class,
        experiment_summary=describe(prepared),
        provenance=gather_provenance(),
    )
    manifest = replace(manifest, parent=parent_of(run.manifest, digests))
    _check_kept(run, manifest)
    prepare_extension(
        run,
        manifest,
        digests,
        coordinates=stored.coordinates(),
        experiment=experiment,
        inputs=_new_inputs(run, inputs),
    )
    tell(prepared.said.notes)


def _check_room(run: RunDirectory, prepared: Prepared, *, force: bool) -> None:
    """Refuse what memory cannot render or the disk cannot take in addition."""
    plan = prepared.plan
    points = prepared.experiment.reflections.amplitude.size
    stored = run.layout.frames * plan.frame_bytes
    check_fits(
        plan,
        predict_peak_bytes(plan, grid_points=points),
        memory_bytes=memory_limit_bytes(prepared.sweep.experiment.compute, memory_bytes()),
        # What is there already takes no further room.
        disk_free_bytes=None if force else free_disk_bytes(run.path) + 2 * stored,
    )


def _check_kept(run: RunDirectory, manifest: Manifest) -> None:
    """Make sure that nothing but the first dimension differs."""
    old, new = run.layout.to_plain(), manifest.layout.to_plain()
    old["dims"], new["dims"] = old["dims"][1:], new["dims"][1:]
    if old != new or manifest.physics_hash != run.manifest.physics_hash:
        raise RefusedError(
            f"{run.path}: this program would store the run otherwise than it is stored; render "
            "the new frames as a stack of their own"
        )


def _more_of(run: RunDirectory, more: SweepSpec | str | Path, root: str | Path | None) -> SweepSpec:
    """Return the sweep to append, its experiment compared with the run's."""
    if isinstance(more, SweepSpec):
        sweep = more
    else:
        path = Path(more)
        data = read_yaml_mapping(path)
        if "experiment" not in data:
            plain = to_plain(run.sweep.experiment)
            # The run's own inputs lie in the run: absolute names that no root should judge.
            sweep = parse_sweep(
                {**data, "experiment": plain},
                source=str(path),
                base_dir=path.parent,
                tables=_tables_under(root),
            )
            for field, name in file_fields(sweep):
                if root is not None and field.startswith("axes."):
                    check_under(name, root, source=str(path), field=field)
            return sweep
        sweep = load_any(path, root=root)
    ours = _identity(_by_content(run.sweep))
    theirs = _identity(_by_content(sweep))
    if ours != theirs:
        raise InputError(
            "is not the experiment of the run",
            source="" if isinstance(more, SweepSpec) else str(more),
            field="experiment",
            remedy="leave `experiment` out of the file, or give it as it was",
        )
    return sweep


def _tables_under(root: str | Path | None) -> Callable[..., list[list[Any]]]:
    def rows(path: Path, columns: Sequence[str] | None) -> list[list[Any]]:
        if root is not None:
            check_under(path, root, field="table.file")
        return table_rows(path, columns)

    return rows


def _identity(sweep: SweepSpec) -> dict[str, Any]:
    plain = to_plain(sweep.experiment)
    plain.pop("compute", None)
    return plain


def _by_content(sweep: SweepSpec) -> SweepSpec:
    """Return the sweep with its files named by content."""
    inputs = collect_inputs(sweep)
    return replace_files(sweep, {path: inputs[name].reference for path, name in file_fields(sweep)})


def _new_inputs(run: RunDirectory, inputs: dict[str, InputFile]) -> dict[str, InputFile]:
    return {name: item for name, item in inputs.items() if not Path(name).is_relative_to(run.state)}
