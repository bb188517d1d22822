"""Runs made of frames of other runs: `subset` takes some of one, `merge` all of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError, RefusedError
from distbragg.models.build import build_experiment
from distbragg.run.create import by_content, collect_inputs, manifest_of
from distbragg.run.drawn import rounded_source
from distbragg.run.frames import parse_frames, selection_of
from distbragg.run.prepare import check_machine, prepared_of
from distbragg.spec.condition import Condition, parse_condition
from distbragg.spec.continued import FRAME_SHIFT
from distbragg.spec.files import file_fields, replace_files
from distbragg.spec.gathered import (
    Gathered,
    merged_sweep,
    stacked_sweep,
    subset_sweep,
    unit_frames,
    values_by_frame,
)
from distbragg.spec.paths import plain_parts
from distbragg.spec.sweep import SweepSpec
from distbragg.store.create import create_run
from distbragg.store.files import sha256_bytes
from distbragg.store.frame_labels import FrameLabels, Seen
from distbragg.store.generations import pack_digests
from distbragg.store.layout import MANIFEST, RECEIPTS_DIR, STATE_DIR, StackLayout
from distbragg.store.lease import Lease
from distbragg.store.ledger import done_units
from distbragg.store.manifest import GATHERED, Manifest, describe_difference
from distbragg.store.objects import is_url, objects_at
from distbragg.store.open import rendered_frames
from distbragg.store.run_directory import RunDirectory, RunLike, open_run
from distbragg.store.split import (
    PARTS,
    Part,
    Split,
    refuse_empty_part,
    split_frames,
    split_order,
)
from distbragg.store.spots import has_labels
from distbragg.store.take import Source, take_unit


@dataclass(frozen=True, slots=True)
class GatherResult:
    """A run of frames of others: units copied byte for byte, cut anew, and there before."""

    path: str
    frames: int
    copied: int
    cut: int
    there: int


def subset(
    run: RunLike,
    out: str | Path,
    *,
    frames: str = "",
    where: str = "",
    part: Part | None = None,
    split: Split | None = None,
    seen: Seen | None = None,
    every: int = 1,
    force: bool = False,
) -> GatherResult:
    """Make a run at `out` of some frames of a run; nothing is rendered.

    Frames are those that all of `frames`, `where` and `part` choose, and of these one in `every`.
    They keep pixels, maps, labels and their part of a split, and whatever is drawn for them at
    random; their numbers are new. What is there already of the same subset is kept.

    Parameters
    ----------
    run : RunDirectory or path
    out : path or URL
    frames : str
        A selection such as `0:1000,2000`; empty: all.
    where : str
        A condition on the axes, such as `energy > 9000 and form == "gauss"`, on `frame`, and on
        labels of frames (`hit and lattices_seen > 1`; see `open_stack`), which those rendered have.
    part : {"train", "validation", "test"}, optional
        Of `split`.
    split : Split, optional
        Default: that of `StackDataset`.
    seen : Seen, optional
        Which spots the labels in `where` count, and how many make a hit.
    every : int
        1 takes all.
    force : bool
        Go on even if the disk cannot hold the frames uncompressed.

    Returns
    -------
    GatherResult

    Raises
    ------
    InputError
        No frame is chosen, the condition cannot be read, or `out` is `run`.
    RefusedError
        Frames are not rendered, or `out` holds another run.
    DamageError
        An object is not what its receipt states.
    PlanError, EnvironmentFailure
        There is no room.
    """
    source = open_run(run)
    if seen is not None and not where:
        raise InputError(
            "counts spots for a condition, and there is none",
            source="--seen",
            remedy='give --where too, such as "hit"',
        )
    if split is not None and part is None:
        remedy = f"one of {', '.join(PARTS)}"
        raise InputError("is given, and no part of it", source="split", remedy=remedy)
    _check_apart([source], out)
    chosen = list(parse_frames(frames, source.layout.frames))
    if where:
        holds = _holding(source, parse_condition(where), seen)
        chosen = [frame for frame in chosen if holds[frame]]
    if part is not None:
        parts = split_frames(source, split or Split())
        refuse_empty_part(source, split or Split(), part, parts)
        chosen = [frame for frame in chosen if parts.flat[frame] == part]
    chosen = chosen[:: max(every, 1)]
    if not chosen:
        raise InputError("no frame is chosen", source=source.url, remedy="choose fewer conditions")
    made = subset_sweep(source.sweep, chosen)
    shape = source.layout.unit_shape
    unit_shape = () if not made.sweep.dims else (unit_frames(shape, len(chosen)),)
    told: dict[str, Any] = {"where": where} if where else {}
    if where and has_labels(source):
        told["seen"] = (seen or Seen()).of(source).attrs
    return _gather([source], made, out, "subset", unit_shape, told=told, force=force)


def merge(
    runs: Sequence[RunLike],
    out: str | Path,
    *,
    along: str = "",
    vary: Sequence[str] = (),
    allow_mixed: bool = False,
    force: bool = False,
) -> GatherResult:
    """Make a run at `out` of all frames of several runs; nothing is rendered.

    Runs go one after another along their first dimension, or along a new one of one step a run.
    They must agree in all that is constant: shape and type of a frame, maps, labels, experiment.

    Parameters
    ----------
    runs : sequence of RunDirectory or path
    out : path or URL
    along : str
        Name of a new dimension; empty: the first one that the runs have.
    vary : sequence of str
        Fields (dotted paths) in which the runs differ, or of which some have no axis: each becomes
        an axis.
    allow_mixed : bool
        Take runs that were rendered by different kernels or kinds of CPU.
    force : bool
        Go on even if the disk cannot hold the frames uncompressed.

    Returns
    -------
    GatherResult

    Raises
    ------
    InputError
        The runs do not go together; names the field and both values. Or `out` is one of them.
    RefusedError
        Frames are not rendered, runs are of different classes or versions, or `out` holds another
        run.
    DamageError
        An object is not what its receipt states.
    PlanError, EnvironmentFailure
        There is no room.
    """
    sources = [open_run(run) for run in runs]
    if len(sources) < 2:
        raise InputError("needs at least two runs", source="merge", remedy="name them, then -o OUT")
    _check_apart(sources, out)
    _check_alike(sources, vary, allow_mixed=allow_mixed)
    sweeps, names = _with_files_of_one(sources), [run.url for run in sources]
    shape = sources[0].layout.unit_shape
    if along and along not in (name for name, _ in sweeps[0].dims[:1]):
        made, shape = stacked_sweep(sweeps, names, along, vary), (1, *shape)
    else:
        made = merged_sweep(sweeps, names, vary)
    return _gather(sources, made, out, "merge", shape, force=force)


def _check_apart(runs: Sequence[RunDirectory], out: str | Path) -> None:
    """Refuse to write into a run that frames are taken from."""
    place = str(out).rstrip("/") if is_url(out) else str(Path(out).resolve())
    for run in runs:
        if place == (run.url if is_url(run.url) else str(Path(run.url).resolve())):
            raise InputError(
                "is a run that frames are taken from",
                source=str(out),
                remedy="give another output path",
            )


def _holding(run: RunDirectory, condition: Condition, seen: Seen | None) -> NDArray[np.bool_]:
    """Say which frames a condition on axes and labels holds for; labels are of rendered frames."""
    values = {"frame": np.arange(run.layout.frames), **values_by_frame(run.sweep)}
    labels = FrameLabels(run).shown
    for name in sorted(condition.names - values.keys() - labels.keys()):
        known = f"there are {', '.join((*values, *labels))}"
        if any(axis.name == name for axis in run.sweep.coordinates()):
            problem = f"{name!r} is an axis of vectors, which no condition compares"
            raise InputError(problem, source="--where", remedy=known)
        texts = [each for each in condition.names & values.keys() if values[each].dtype.kind == "U"]
        quoted = f"text is quoted, such as {texts[0]} == '{name}'; " if texts else ""
        raise InputError(
            f"{name!r} is neither an axis of single values nor a label of frames",
            source="--where",
            remedy=quoted + known,
        )
    asked = {name: labels[name] for name in condition.names if name in labels}
    there = np.ones(run.layout.frames, dtype=np.bool_)
    if asked:
        there = np.ravel(rendered_frames(run.layout, done_units(run)))
        found = FrameLabels(run, seen).chosen(np.flatnonzero(there).tolist(), asked.values())
        for name, label in asked.items():
            values[name] = np.zeros(run.layout.frames, found[label].dtype)
            values[name][there] = found[label]
    used = {name: values[name] for name in condition.names}
    return condition.holds(used, run.layout.frames) & there


def _check_alike(runs: Sequence[RunDirectory], vary: Sequence[str], *, allow_mixed: bool) -> None:
    """Refuse runs that differ in what is constant, in one line that names where."""
    first = runs[0]
    constant = [_constant(run, runs, vary) for run in runs]
    for run, plain in zip(runs[1:], constant[1:], strict=True):
        if run.manifest.version != first.manifest.version:
            raise RefusedError(
                f"{run.url}: was rendered by distbragg {run.manifest.version}, {first.url} by "
                f"{first.manifest.version}; runs of one version go together"
            )
        for told, ours, theirs, remedy in (
            (
                "is stored otherwise",
                _stored_as(run.layout),
                _stored_as(first.layout),
                "merge it with its like",
            ),
            ("is another experiment", plain, constant[0], "--vary FIELD makes an axis of a field"),
        ):
            if ours != theirs:
                raise InputError(
                    f"{told} than {first.url}: {_differing(ours, theirs)}",
                    source=run.url,
                    remedy=remedy,
                )
        ours, theirs = run.manifest.numeric_class, first.manifest.numeric_class
        if ours != theirs and not allow_mixed:
            raise RefusedError(
                f"{run.url}: was rendered in another numeric class than {first.url}: "
                f"{_differing(ours, theirs)}; --allow-mixed takes both"
            )


def _with_files_of_one(runs: Sequence[RunDirectory]) -> list[SweepSpec]:
    """Return the sweeps of runs; files of one name and content lie in one of the runs for all."""
    places: dict[tuple[str, ...], str] = {}
    found = []
    for run in runs:
        # A run's copy of a file is `<sha256>/<name>`.
        named = {
            path: places.setdefault(Path(at).parts[-2:], at) for path, at in file_fields(run.sweep)
        }
        found.append(replace_files(run.sweep, named))
    return found


def _differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Say what differs: `path: theirs in the first, ours here`."""
    told = describe_difference(ours, theirs)
    return told.replace(" in the run,", " there,").replace(" now", " here")


def _stored_as(layout: StackLayout) -> dict[str, Any]:
    """Return how a frame is stored."""
    return {**layout.to_plain(), "dims": None, "unit_shape": None}


def _constant(
    run: RunDirectory, runs: Sequence[RunDirectory], vary: Sequence[str]
) -> dict[str, Any]:
    """Return what a run's experiment says of all frames, files by content, as plain data."""
    plain: dict[str, Any] = {**run.manifest.sweep["experiment"], "title": ""}
    swept = {path for each in runs for path in each.sweep.swept}
    for path in {*swept, *vary, FRAME_SHIFT}:
        plain = _without(plain, plain_parts(path))
    return plain


def _without(plain: Any, parts: Sequence[str | int]) -> Any:  # noqa: ANN401
    """Return plain data without what lies at a path."""
    if isinstance(plain, list) and isinstance(parts[0], int) and parts[0] < len(plain):
        kept = [*plain]
        kept[parts[0]] = None if len(parts) == 1 else _without(plain[parts[0]], parts[1:])
        return kept
    if not isinstance(plain, Mapping) or parts[0] not in plain:
        return plain
    if len(parts) == 1:
        return {key: value for key, value in plain.items() if key != parts[0]}
    return {**plain, parts[0]: _without(plain[parts[0]], parts[1:])}


def _gather(
    runs: Sequence[RunDirectory],
    made: Gathered,
    out: str | Path,
    how: str,
    unit_shape: tuple[int, ...],
    *,
    told: Mapping[str, Any] = MappingProxyType({}),
    force: bool,
) -> GatherResult:
    """Create the run of a sweep and take its frames over, but those that it has already."""
    sources = [Source.of(run) for run in runs]
    for number, source in enumerate(sources):
        source.check_frames(made.places[made.places[:, 0] == number, 1].tolist())
        if rounded_source(source.run.manifest.provenance):
            raise RefusedError(
                f"{source.run.url}: was drawn from expected photons of float32, without which its "
                "frames cannot be drawn again; take frames of the run that holds them, then draw "
                "with `distbragg noise`"
            )
    run = _created(sources, made, out, how, unit_shape, told=told, force=force)
    copied = cut = 0
    with Lease(run.objects) as lease:
        run.objects.sweep_partial()
        there = done_units(run)
        for unit in range(run.layout.units):
            if unit in there:
                continue
            rows = made.places[list(run.layout.unit_frames(unit))].tolist()
            whole = take_unit(run, unit, [(number, frame) for number, frame in rows], sources)
            copied, cut = copied + whole, cut + (not whole)
            lease.check()
        run.objects.flush(f"{STATE_DIR}/{RECEIPTS_DIR}/")
    return GatherResult(run.url, run.layout.frames, copied, cut, len(there))


def _created(
    sources: Sequence[Source],
    made: Gathered,
    out: str | Path,
    how: str,
    unit_shape: tuple[int, ...],
    *,
    told: Mapping[str, Any],
    force: bool,
) -> RunDirectory:
    first = sources[0].run
    experiment = build_experiment(made.sweep.frame_spec(0))
    prepared = prepared_of(made.sweep, experiment)
    prepared = replace(prepared, plan=replace(prepared.plan, unit_shape=unit_shape))
    present = is_url(out) or objects_at(out).head(MANIFEST) is not None
    check_machine(prepared, out=None if present else Path(out), force=force)
    inputs = collect_inputs(made.sweep)
    stored = by_content(made.sweep, inputs)
    record: dict[str, Any] = {
        **told,
        "by": how,
        "runs": [_said_of(source) for source in sources],
        "added": list(made.added),
        "order": list(split_order(first)),
    }
    if how == "subset":
        record["frames"] = selection_of(made.places[:, 1].tolist())
    manifest = manifest_of(prepared, stored, first.manifest.numeric_class, {GATHERED: record})
    manifest = replace(manifest, version=first.manifest.version)
    _check_stored(first, manifest)
    return create_run(
        out,
        manifest,
        coordinates=stored.coordinates(),
        experiment=experiment,
        inputs=inputs,
    )


def _said_of(source: Source) -> dict[str, Any]:
    """Return what tells a source from any other run: identity, content, and its own sources."""
    run, manifest = source.run, source.run.manifest.without_private()
    packed = pack_digests([source.done[unit].content for unit in sorted(source.done)])
    said: dict[str, Any] = {
        "run_id": run.run_id,
        "manifest": sha256_bytes(manifest.to_bytes()),
        "objects": sha256_bytes(packed),
        "physics_hash": manifest.physics_hash,
        "frames": run.layout.frames,
        "created": str(manifest.provenance.get("created", "")),
        "commit": str(manifest.provenance.get("commit", "")),
    }
    return said | ({GATHERED: manifest.gathered} if manifest.gathered else {})


def _check_stored(run: RunDirectory, manifest: Manifest) -> None:
    ours, theirs = _stored_as(manifest.layout), _stored_as(run.layout)
    if ours != theirs:
        raise RefusedError(
            f"{run.url}: this program would store its frames otherwise than they are stored "
            f"({_differing(ours, theirs)}); take them with the version that rendered them"
        )
