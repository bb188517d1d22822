"""Creating a run: metadata only, whole or not at all."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distbragg.errors import DistbraggError, InputError, RefusedError
from distbragg.models.experiment import Experiment
from distbragg.spec.canonical import canonical_json
from distbragg.store.array import create_group, create_labels_group
from distbragg.store.files import no_room, write_atomic
from distbragg.store.inputs import InputFile, copy_inputs
from distbragg.store.label import (
    CONVENTIONS,
    axis_variables,
    image_attrs,
    notes_attrs,
    pixel_variables,
)
from distbragg.store.layout import (
    FAILURES_DIR,
    GRIDS_DIR,
    INPUTS_DIR,
    MANIFEST_FILE,
    RECEIPTS_DIR,
    STATE_DIR,
    make_layout,
)
from distbragg.store.manifest import Manifest, describe_difference, load_manifest, split_compute
from distbragg.store.run_directory import RunDirectory, open_run

if TYPE_CHECKING:
    from distbragg.plan.sweep import SweepPlan
    from distbragg.spec.sweep import AxisCoordinate


def create_run(
    path: str | Path,
    *,
    sweep_plain: Mapping[str, Any],
    plan: SweepPlan,
    coordinates: Iterable[AxisCoordinate],
    experiment: Experiment,
    physics_hash: str,
    numeric_class: Mapping[str, str],
    experiment_summary: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any],
    inputs: Mapping[str, InputFile],
) -> RunDirectory:
    """Create a run at `path`, or return the one that is already there if it is the same.

    Everything is written in a temporary directory beside `path` and then renamed.

    Parameters
    ----------
    path : path
    sweep_plain : mapping
        Canonical plain sweep, input files by their `InputFile.reference`.
    plan : SweepPlan
    coordinates : iterable of AxisCoordinate
    experiment : Experiment
        The resolved base experiment.
    physics_hash : str
        Its hash.
    numeric_class : mapping of str
        Class of this process's kernel; workers of another class are refused.
    experiment_summary : mapping, optional
        Readable facts for `distbragg info`.
    provenance : mapping
    inputs : mapping of path → InputFile

    Raises
    ------
    InputError
        `path` holds something else, or its parent cannot be written.
    RefusedError
        `path` holds another run; the message says where they differ.
    EnvironmentFailure
        There is no room.
    """
    target = Path(path).absolute()
    manifest = make_manifest(
        sweep_plain=sweep_plain,
        plan=plan,
        physics_hash=physics_hash,
        numeric_class=numeric_class,
        experiment_summary=experiment_summary or {},
        provenance=provenance,
    )
    if existing := _existing(target, manifest):
        return existing
    temporary = target.with_name(f"{target.name}.tmp-{uuid.uuid4().hex[:12]}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(temporary, manifest, tuple(coordinates), experiment, inputs)
        _publish(temporary, target)
    except OSError as error:
        failure = no_room(error, target)
        if isinstance(failure, DistbraggError):
            raise failure from error
        raise InputError(
            f"cannot be created ({error.strerror or error})",
            source=str(target),
            remedy="give an output path in a directory you can write to",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return _existing(target, manifest) or open_run(target)


def make_manifest(
    *,
    sweep_plain: Mapping[str, Any],
    plan: SweepPlan,
    physics_hash: str,
    numeric_class: Mapping[str, str],
    experiment_summary: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> Manifest:
    """Assemble the manifest of a run; nothing is written."""
    sweep, compute = split_compute(sweep_plain)
    layout = make_layout(plan, sweep["experiment"].get("output", {}))
    if layout.units != plan.units or layout.frames != plan.frames:
        raise AssertionError("stored layout and sweep plan disagree on units or frames")
    return Manifest(
        version=str(provenance["distbragg"]),
        sweep=sweep,
        compute=compute,
        layout=layout,
        plan=plan.frame.to_plain(),
        physics_hash=physics_hash,
        numeric_class={str(k): str(v) for k, v in numeric_class.items()},
        summary=dict(experiment_summary),
        provenance=dict(provenance),
    )


def group_attrs(manifest: Manifest) -> dict[str, Any]:
    """Attributes of the group: conventions and provenance, complete enough to render again."""
    provenance = manifest.provenance
    return {
        "Conventions": CONVENTIONS,
        "title": str(manifest.sweep["experiment"].get("title", "")),
        "source": f"distbragg {manifest.version}",
        "history": f"{provenance.get('created', '')} created by distbragg {manifest.version}",
        "distbragg_run_id": manifest.run_id,
        "distbragg_spec": canonical_json(manifest.sweep_plain),
        "distbragg_physics_hash": manifest.physics_hash,
        "distbragg_plan_hash": manifest.plan_hash,
        "distbragg_numeric_class": canonical_json(manifest.numeric_class),
        "distbragg_versions": canonical_json(provenance.get("packages", {})),
        "distbragg_commit": str(provenance.get("commit", "")),
        **notes_attrs(manifest.notes),
    }


def _existing(target: Path, manifest: Manifest) -> RunDirectory | None:
    if not target.exists() and not target.is_symlink():
        return None
    if target.is_dir() and not (target / STATE_DIR).exists() and any(target.iterdir()):
        raise InputError(
            "exists and is not a distbragg run",
            source=str(target),
            remedy="give another output path; nothing there was touched",
        )
    if not target.is_dir():
        raise InputError(
            "exists and is not a directory", source=str(target), remedy="give another output path"
        )
    if not (target / STATE_DIR).exists():
        return None
    present = load_manifest(target)
    if present.run_id != manifest.run_id:
        difference = describe_difference(manifest.identity, present.identity)
        raise RefusedError(
            f"{target}: holds another run ({difference}); give another output path, "
            "or the specification of that run"
        )
    return open_run(target)


def _write(
    temporary: Path,
    manifest: Manifest,
    coordinates: tuple[AxisCoordinate, ...],
    experiment: Experiment,
    inputs: Mapping[str, InputFile],
) -> None:
    variables = {
        **axis_variables(coordinates),
        **pixel_variables(experiment.detector),
    }
    temporary.mkdir()
    create_group(
        temporary, manifest.layout, variables, image_attrs(experiment), group_attrs(manifest)
    )
    if manifest.sweep["experiment"].get("output", {}).get("labels"):
        create_labels_group(temporary)
    state = temporary / STATE_DIR
    for name in (RECEIPTS_DIR, FAILURES_DIR, INPUTS_DIR, GRIDS_DIR):
        (state / name).mkdir(parents=True)
    copy_inputs(inputs, state / INPUTS_DIR)
    write_atomic(state / MANIFEST_FILE, manifest.to_bytes())


def _publish(temporary: Path, target: Path) -> None:
    """Rename into place; a run that another process put there meanwhile wins."""
    try:
        # Renaming a directory replaces an empty one and nothing else.
        temporary.rename(target)
    except OSError:
        if not (target / STATE_DIR).exists():
            raise
