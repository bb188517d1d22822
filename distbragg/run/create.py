"""Creating a run from a specification: metadata, inputs and the |F| grid, no pixels."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distbragg.kernel.options import numeric_class, resolve_options
from distbragg.models.build import reflections_key
from distbragg.models.experiment import Experiment
from distbragg.models.hashing import physics_hash
from distbragg.run.notes import tell
from distbragg.run.prepare import Prepared, SpecLike, check_machine, prepare
from distbragg.spec.canonical import to_plain
from distbragg.spec.files import file_fields, replace_files
from distbragg.spec.sweep import SweepSpec
from distbragg.store.create import create_run
from distbragg.store.grids import save_grid
from distbragg.store.inputs import InputFile, identify_input
from distbragg.store.provenance import gather_provenance
from distbragg.store.publish import publish_new
from distbragg.store.remote import Remote, is_url
from distbragg.store.run_directory import RunDirectory, refresh_run


def create(
    spec: SpecLike,
    out: str | Path,
    overrides: Sequence[str] = (),
    *,
    root: str | Path | None = None,
    force: bool = False,
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

    Raises
    ------
    InputError
        The specification cannot be used, or `out` holds something else.
    PlanError
        Memory or disk cannot hold the sweep.
    RefusedError
        `out` holds another run.
    EnvironmentFailure
        There is no room.
    """
    if is_url(out):
        return _create_remote(spec, str(out), overrides, root)
    prepared = prepare(spec, overrides, root=root)
    target = Path(out)
    # What is already there was checked when it was made, and fills the disk by itself.
    present = target.exists()
    check_machine(prepared, out=None if present else target, force=force)
    sweep = prepared.sweep
    inputs = collect_inputs(sweep)
    references = {path: inputs[name].reference for path, name in file_fields(sweep)}
    stored = replace_files(sweep, references)
    run = create_run(
        target,
        sweep_plain=to_plain(stored),
        plan=prepared.plan,
        coordinates=stored.coordinates(),
        experiment=prepared.experiment,
        physics_hash=physics_hash(prepared.experiment),
        numeric_class=numeric_class(resolve_options(sweep.experiment.compute, 1)),
        experiment_summary=describe(prepared),
        provenance=gather_provenance(),
        inputs=inputs,
    )
    tell(() if present else prepared.said.notes)
    save_grid(run.grids, reflections_key(run.frame_spec(0)), prepared.experiment.reflections)
    return run


def _create_remote(
    spec: SpecLike, url: str, overrides: Sequence[str], root: str | Path | None
) -> RunDirectory:
    """Make the run beside its mirror, then put it on the object store, its manifest last."""
    remote = Remote(url)
    remote.mirror.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=remote.mirror.parent) as folder:
        # An object store fills up by nobody's disk.
        local = create(spec, Path(folder) / remote.mirror.name, overrides, root=root, force=True)
        publish_new(local, remote)
    return refresh_run(url)


def collect_inputs(sweep: SweepSpec) -> dict[str, InputFile]:
    """Hash every input file a sweep names, each once, by its path.

    Raises
    ------
    InputError
        A file cannot be read; names its field.
    """
    found: dict[str, InputFile] = {}
    for path, name in file_fields(sweep):
        if name not in found:
            found[name] = identify_input(name, field=path)
    return found


def describe(prepared: Prepared) -> dict[str, Any]:
    """Readable facts about the base frame, and the notes, for `distbragg info`."""
    experiment: Experiment = prepared.experiment
    crystal, frame = experiment.crystal, prepared.plan.frame
    return {
        "physics": experiment.physics,
        "wavelength_angstrom": float(experiment.beam.wavelength),
        "fluence_photons_per_m2": float(experiment.beam.fluence),
        "sources": experiment.beam.sources.count,
        "distance_mm": float(experiment.detector.panels[0].distance) * 1e3,
        "pixel_size_mm": float(experiment.detector.panels[0].pixel_size) * 1e3,
        "oversample": experiment.sampling.oversample,
        "mosaic_domains": int(crystal.mosaic_rotations.shape[0]),
        "phi_steps": int(crystal.phi.shape[0]),
        "spot_shape": crystal.shape,
        "steps_per_frame": frame.steps,
        "grid_points": int(experiment.reflections.amplitude.size),
        "frames_checked": prepared.said.frames,
        "notes": [note.to_plain() for note in prepared.said.notes],
    }
