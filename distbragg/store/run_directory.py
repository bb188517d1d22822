"""An opened run: where it is, its manifest, and the specifications derived from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distbragg.errors import DamageError, InputError, RefusedError
from distbragg.plan.variants import Variant, variants_of
from distbragg.spec.base import former_names
from distbragg.spec.files import file_fields
from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec
from distbragg.spec.yaml_text import as_mapping
from distbragg.store.generations import Generation, load_lineage
from distbragg.store.inputs import input_names, resolve_inputs
from distbragg.store.layout import INPUTS, MANIFEST, STATE_DIR, StackLayout
from distbragg.store.manifest import Manifest, load_manifest
from distbragg.store.maps import stored_arrays
from distbragg.store.objects import Objects, objects_at

if TYPE_CHECKING:
    from distbragg.viewer.serve import Viewer


@dataclass(frozen=True)
class RunDirectory:
    """A run in a folder or on an object store.

    Input files in `sweep` are the run's own copies. `lineage` is what the run was, newest first.
    """

    objects: Objects
    manifest: Manifest
    sweep: SweepSpec
    lineage: tuple[Generation, ...] = ()

    @property
    def url(self) -> str:
        """Path or URL by which any process opens the run."""
        return self.objects.url

    @property
    def path(self) -> Path:
        """Path of a run in a folder; its last part names any run."""
        return Path(self.objects.url)

    @property
    def run_id(self) -> str:
        """SHA-256 of the run's identity, hex."""
        return self.manifest.run_id

    @property
    def layout(self) -> StackLayout:
        """Shape of the frames, and how they are cut into units; stored or not."""
        return self.manifest.layout

    @cached_property
    def arrays(self) -> tuple[StackLayout, ...]:
        """Layouts of all arrays of pixels: `first`, and those beside it."""
        return stored_arrays(self.layout, self.sweep.experiment.output)

    @cached_property
    def keeps_frames(self) -> bool:
        """Whether whole frames are stored."""
        return self.sweep.experiment.output.keeps_frames

    @cached_property
    def variants(self) -> tuple[Variant, ...]:
        """Variants of frames that are stored, by name."""
        return variants_of(self.sweep.experiment.output, self.layout.shape)

    @property
    def first(self) -> StackLayout:
        """Layout of the array whose objects stand for their units: frames, where they are stored.

        The `digest` and `size` of a receipt are those of its object.
        """
        return self.arrays[0]

    @property
    def beside(self) -> tuple[StackLayout, ...]:
        """Layouts of the arrays beside the first: variants of frames, then maps, by name."""
        return self.arrays[1:]

    @property
    def state(self) -> Path:
        """The `.distbragg` directory."""
        return self.path / STATE_DIR

    def object_path(self, unit: int) -> Path:
        """Path of the object that stands for `unit`."""
        return self.path / self.first.object_name(unit)

    def stored_sizes(self, array: StackLayout | None = None) -> dict[int, int]:
        """Size in bytes of every unit's object that is stored, of the first array or one beside."""
        of = array or self.first
        return self.objects.grid_sizes(f"{of.array}/c/", of.object_grid)

    def view(self, **how: Any) -> Viewer:  # noqa: ANN401 what `distbragg.view` takes
        """Show the frames in a browser, or at the end of a notebook's cell: `distbragg.view`."""
        import distbragg  # the viewer is made of what is made of this

        return distbragg.view(self, **how)

    def settled(self, unit: int) -> str | None:
        """Return the digest of a unit that an earlier generation finished; None for any other."""
        last = self.lineage[0] if self.lineage else None
        return last.digests[unit] if last and last.settles(unit, self.layout) else None

    def owns(self, run_id: object, unit: int) -> bool:
        """Whether a record of that run about that unit speaks of this run."""
        if run_id == self.run_id:
            return True
        return any(
            run_id == generation.run_id and generation.settles(unit, self.layout)
            for generation in self.lineage
        )


RunLike = RunDirectory | str | Path  # a run, or its path or URL


def open_run(
    path: RunLike, run_id: str = "", *, storage_options: Mapping[str, Any] | None = None
) -> RunDirectory:
    """Open a run; opening the same manifest again in a process costs one look at it.

    One that is open already is returned as it is.
    `run_id` is the run that is expected (else `RefusedError`); `storage_options` are for an object
    store (default: the environment). No run is an `InputError`, a damaged one a `DamageError`.
    """
    if isinstance(path, RunDirectory):
        return path
    objects = objects_at(path, storage_options)
    # A worker is asked for one certain run, and keeps it: it need not look twice.
    entry = None if run_id else objects.head(MANIFEST)
    return _known(objects, entry.tag) if entry else _open(objects, run_id)


@lru_cache(maxsize=8)
def _known(objects: Objects, tag: str) -> RunDirectory:
    """Return the run whose manifest has this version tag."""
    del tag
    return _open(objects)


def _open(objects: Objects, run_id: str = "") -> RunDirectory:
    manifest = load_manifest(objects)
    if run_id not in ("", manifest.run_id):
        raise RefusedError(
            f"{objects.url}: holds run {manifest.run_id[:12]} now, and this work is of run "
            f"{run_id[:12]}; it was created anew or extended meanwhile: start again"
        )
    sweep = _validated_sweep(manifest, objects)
    return RunDirectory(objects, manifest, sweep, load_lineage(objects, manifest))


def _validated_sweep(manifest: Manifest, objects: Objects) -> SweepSpec:
    """Validate the sweep of a manifest, which may come from elsewhere, and its file names."""
    plain = manifest.sweep_plain
    paths = {name: _local_input(objects, name) for name in input_names(plain)}
    try:
        with former_names():
            sweep = parse_sweep(as_mapping(resolve_inputs(plain, paths)))
    except InputError as error:
        raise DamageError(f"{objects.url}: manifest: the sweep cannot be used ({error})") from None
    for path, name in file_fields(sweep):
        if name not in paths.values():
            raise DamageError(f"{objects.url}: manifest: {path} names a file outside of the run")
    return sweep


def _local_input(objects: Objects, name: str) -> str:
    try:
        return str(objects.local(INPUTS + name, name.partition("/")[0]))
    except FileNotFoundError:
        # What needs it says so; checking the run does not.
        return f"{objects.url}/{INPUTS}{name}"
