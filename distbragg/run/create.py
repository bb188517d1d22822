"""Creating a run from a specification: metadata, inputs and the |F| grid, no pixels."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from distbragg.engine.context import RunContext
from distbragg.errors import DistbraggError
from distbragg.kernel.options import numeric_class, resolve_options
from distbragg.models.build import Resolved, build_experiment, reflections_key
from distbragg.models.experiment import Experiment, physics_hash
from distbragg.notes import Note
from distbragg.run.notes import tell
from distbragg.run.prepare import Prepared, SpecLike, check_machine, prepare
from distbragg.run.survey import Survey
from distbragg.spec.canonical import to_plain
from distbragg.spec.files import file_fields, replace_files
from distbragg.spec.sweep import SweepSpec
from distbragg.store.create import create_run, make_manifest
from distbragg.store.frame_labels import first_with_crystal
from distbragg.store.grids import ensure_grid
from distbragg.store.inputs import InputFile, identify_input
from distbragg.store.layout import MANIFEST
from distbragg.store.manifest import Manifest, gather_provenance
from distbragg.store.metadata import check_metadata
from distbragg.store.objects import is_url, objects_at
from distbragg.store.run_directory import RunDirectory


def create(
    spec: SpecLike,
    out: str | Path,
    overrides: Sequence[str] = (),
    *,
    root: str | Path | None = None,
    force: bool = False,
    provenance: Mapping[str, Any] = MappingProxyType({}),
) -> RunDirectory:
    """Create a run at `out`; the same run that is already there is returned as it is.

    Parameters
    ----------
    spec : SweepSpec, ExperimentSpec or path
    out : path or URL
        The run directory, which is the Zarr stack; on an object store, s3://bucket/run.zarr.
    overrides : sequence of "dotted.path=value"
        For a specification file.
    root : path, optional
        A specification file may name files of this folder alone.
    force : bool
        Create the run even if the disk cannot hold its frames uncompressed.
    provenance : mapping
        Recorded in the manifest besides what always is; never compared.

    Returns
    -------
    RunDirectory
        What `resume` takes; its path does as well.

    Raises
    ------
    InputError
        The specification cannot be used, or `out` holds something else.
    PlanError
        Memory or disk cannot hold the sweep.
    RefusedError
        `out` holds another run.
    DamageError
        `out` holds this run, and its manifest or metadata are damaged.
    EnvironmentFailure
        There is no room.
    """
    prepared = prepare(spec, overrides, root=root)
    # What is already there was checked when it was made, and fills the disk by itself; a bucket
    # fills nobody's.
    present = objects_at(out).head(MANIFEST) is not None
    check_machine(prepared, out=None if present or is_url(out) else Path(out), force=force)
    inputs = collect_inputs(prepared.sweep)
    stored = by_content(prepared.sweep, inputs)
    options = resolve_options(prepared.sweep.experiment.compute, 1)
    run = create_run(
        out,
        manifest_of(prepared, stored, numeric_class(options), provenance),
        coordinates=stored.coordinates(),
        experiment=prepared.experiment,
        inputs=inputs,
    )
    if present:
        check_metadata(run)
    tell(() if present else prepared.said.notes)
    RunContext.of(run).kept(Survey, lambda: prepared.survey)
    table = prepared.experiment.reflections
    ensure_grid(run.objects, reflections_key(run.sweep.frame_spec(0)), lambda: table)
    return run


def collect_inputs(sweep: SweepSpec) -> dict[str, InputFile]:
    """Hash every input file a sweep names, each once, by its path; errors name its field."""
    found: dict[str, InputFile] = {}
    for path, name in file_fields(sweep):
        if name not in found:
            found[name] = identify_input(name, field=path)
    return found


def by_content(sweep: SweepSpec, inputs: Mapping[str, InputFile]) -> SweepSpec:
    """Return the sweep with its files named by content."""
    return replace_files(sweep, {path: inputs[name].reference for path, name in file_fields(sweep)})


def manifest_of(
    prepared: Prepared,
    stored: SweepSpec,
    kernel_class: Mapping[str, str],
    provenance: Mapping[str, Any] = MappingProxyType({}),
) -> Manifest:
    """Make the manifest of a sweep that is `stored` with its files named by content."""
    return make_manifest(
        sweep_plain=to_plain(stored),
        plan=prepared.plan,
        physics_hash=physics_hash(prepared.experiment),
        numeric_class=kernel_class,
        experiment_summary=_summary(prepared),
        provenance={**gather_provenance(), **provenance},
    )


def _summary(prepared: Prepared) -> dict[str, Any]:
    """Readable facts about the first frame with a crystal, and the notes, for `distbragg info`."""
    first, frame = first_with_crystal(prepared.sweep), prepared.plan.frame
    experiment = prepared.experiment
    if first:
        experiment = _frame_like(prepared, first)
    beam, crystal, panel = experiment.beam, experiment.crystal, experiment.detector.panels[0]
    return {
        "physics": experiment.physics,
        "frame": first,
        "wavelength_angstrom": float(beam.wavelength),
        "fluence_photons_per_m2": float(beam.fluence),
        "sources": beam.sources.count,
        "distance_mm": float(panel.distance) * 1e3,
        "pixel_size_mm": float(panel.pixel_size) * 1e3,
        "oversample": experiment.sampling.oversample,
        "lattices": sum(one.scale > 0.0 for one in experiment.lattices),
        "mosaic_domains": int(crystal.mosaic_rotations.shape[0]),
        "phi_steps": int(crystal.phi.shape[0]),
        "spot_shape": crystal.shape,
        "steps_per_frame": frame.steps,
        "grid_points": int(prepared.experiment.reflections.amplitude.size),
        "frames_checked": prepared.said.frames,
        "notes": _without_folders(prepared),
    }


def _frame_like(prepared: Prepared, frame: int) -> Experiment:
    """Resolve a frame; frame 0 stands for one that cannot be, which is set aside later."""
    sweep, base = prepared.sweep, prepared.experiment
    try:
        return build_experiment(
            sweep.frame_spec(frame),
            reflections=base.reflections,  # of which the facts tell nothing
            frame=frame,
            like=Resolved(sweep.frame_spec(0), base),
        )
    except DistbraggError:
        return base


def _without_folders(prepared: Prepared) -> list[dict[str, str]]:
    """Return notes as plain data; a stack that is given away tells no paths of this machine."""
    folders = {os.path.dirname(name) for _, name in file_fields(prepared.sweep)} - {"", "/"}
    found = []
    for note in prepared.said.notes:
        text, place = note.text, note.place
        for folder in sorted(folders, key=len, reverse=True):
            text = text.replace(f"{folder}/", "")
        if place.startswith("/"):
            place = Path(place).name
        found.append(Note(note.kind, place, text).to_plain())
    return found
