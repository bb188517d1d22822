"""Growing the arrays of a run, all or nothing.

What changes is made ready in `.distbragg/extension`, which appears by one rename; from then on
the extension is decided, and `apply_extension` can be cut short anywhere and called again. The
manifest is replaced last: until then the run is its old generation, whose arrays may already be
longer. Objects of old frames are not touched.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from distbragg.store.array import StoredVariable, create_group
from distbragg.store.create import group_attrs
from distbragg.store.files import no_room, write_atomic
from distbragg.store.generations import GENERATIONS_DIR, generation_files
from distbragg.store.inputs import InputFile, copy_inputs
from distbragg.store.label import axis_variables, image_attrs, pixel_variables
from distbragg.store.layout import (
    IMAGES,
    INPUTS_DIR,
    MANIFEST_FILE,
    SEAL_DIGESTS_FILE,
    SEAL_FILE,
    STATE_DIR,
)
from distbragg.store.manifest import Manifest, parse_manifest
from distbragg.store.run_directory import RunDirectory

if TYPE_CHECKING:
    from distbragg.models.experiment import Experiment
    from distbragg.spec.sweep import AxisCoordinate

EXTENSION_DIR: Final = "extension"
_GROUP: Final = "group"
_METADATA: Final = "zarr.json"


def pending_extension(run: Path) -> Manifest | None:
    """Return the manifest of an extension that was decided and is not done yet."""
    path = run / STATE_DIR / EXTENSION_DIR / MANIFEST_FILE
    if not path.is_file():
        return None
    return parse_manifest(path.read_bytes(), str(path))


def prepare_extension(
    run: RunDirectory,
    manifest: Manifest,
    digests: list[str],
    *,
    coordinates: Iterable[AxisCoordinate],
    experiment: Experiment,
    inputs: Mapping[str, InputFile],
) -> None:
    """Make an extension ready and decide on it; nothing that is read changes.

    Parameters
    ----------
    run : RunDirectory
        The finished run.
    manifest : Manifest
        Of the new generation.
    digests : list of str
        Of every object of the old one, in unit order.
    coordinates : iterable of AxisCoordinate
        Of the new generation.
    experiment : Experiment
    inputs : mapping of path → InputFile
        Input files of new values.

    Raises
    ------
    EnvironmentFailure
        There is no room.
    """
    temporary = run.state / f"{EXTENSION_DIR}.tmp-{uuid.uuid4().hex[:12]}"
    try:
        temporary.mkdir()
        variables = {**axis_variables(coordinates), **pixel_variables(experiment.detector)}
        create_group(
            temporary / _GROUP,
            manifest.layout,
            variables,
            image_attrs(experiment),
            group_attrs(manifest),
            chunks=_kept_chunks(run, variables),
        )
        for name, data in generation_files(run.manifest, digests).items():
            write_atomic(temporary / GENERATIONS_DIR / name, data)
        for name in (SEAL_FILE, SEAL_DIGESTS_FILE):
            if (run.state / name).is_file():
                stem = sorted(generation_files(run.manifest, digests))[0].split(".")[0]
                kept = temporary / GENERATIONS_DIR / f"{stem}.{name}"
                shutil.copyfile(run.state / name, kept)
        copy_inputs(inputs, run.state / INPUTS_DIR)
        write_atomic(temporary / MANIFEST_FILE, manifest.to_bytes())
        temporary.rename(run.state / EXTENSION_DIR)
    except OSError as error:
        raise no_room(error, run.path) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def apply_extension(run: Path) -> None:
    """Carry out the extension that was decided on, or the rest of it.

    Raises
    ------
    EnvironmentFailure
        There is no room; calling it again goes on.
    """
    state = run / STATE_DIR
    ready = state / EXTENSION_DIR
    if not (ready / MANIFEST_FILE).is_file():
        return
    for path in sorted((ready / GENERATIONS_DIR).iterdir()):
        write_atomic(state / GENERATIONS_DIR / path.name, path.read_bytes())
    # What is kept under `generations` from here on is the seal of the old generation.
    for name in (SEAL_FILE, SEAL_DIGESTS_FILE):
        (state / name).unlink(missing_ok=True)
    for name in _changes(ready / _GROUP):
        target, data = run / name, (ready / _GROUP / name).read_bytes()
        if not target.is_file() or target.read_bytes() != data:
            write_atomic(target, data)
    write_atomic(state / MANIFEST_FILE, (ready / MANIFEST_FILE).read_bytes())
    # The manifest goes last, so that what is left after a kill here is no extension any more.
    (ready / MANIFEST_FILE).unlink()
    shutil.rmtree(ready)


def sweep_extension(run: Path) -> None:
    """Remove what killed extensions left that were never decided on."""
    for path in (run / STATE_DIR).glob(f"{EXTENSION_DIR}*"):
        if not (path.name == EXTENSION_DIR and (path / MANIFEST_FILE).is_file()):
            shutil.rmtree(path, ignore_errors=True)


def _changes(group: Path) -> Iterator[str]:
    """Files of the group in the order they are put in place: values, arrays, then the group.

    A reader that meets the old shape never looks at values beyond it.
    """
    names = []
    for folder, folders, files in os.walk(group):
        below = Path(folder).relative_to(group)
        if below == Path("."):
            folders[:] = [name for name in folders if name != STATE_DIR]
        if below == Path(IMAGES):
            folders[:] = [name for name in folders if name != "c"]
        names += [(below / name).as_posix() for name in files]

    def rank(name: str) -> tuple[int, str]:
        return (2 if name == _METADATA else int(name.endswith(_METADATA)), name)

    yield from sorted(names, key=rank)


def _kept_chunks(
    run: RunDirectory, variables: Mapping[str, StoredVariable]
) -> dict[str, tuple[int, ...]]:
    """Chunk shapes of coordinates as they are: old values then keep their objects."""
    first = run.lineage[-1].manifest if run.lineage else run.manifest
    sizes = dict(first.layout.dims)
    kept: dict[str, tuple[int, ...]] = {}
    for name, variable in variables.items():
        shape: tuple[Any, ...] = variable.values.shape
        if variable.dims[0] in sizes:
            kept[name] = (sizes[variable.dims[0]], *shape[1:])
    return kept
