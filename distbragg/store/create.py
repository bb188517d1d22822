"""Creating a run: metadata only, whole or not at all."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import zarr
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore

from distbragg.errors import InputError, RefusedError
from distbragg.models.experiment import Experiment
from distbragg.plan.sweep import SweepPlan
from distbragg.plan.variants import variants_of
from distbragg.spec.canonical import canonical_json
from distbragg.spec.compute import OutputSpec
from distbragg.spec.sweep import AxisCoordinate
from distbragg.store.coordinates import (
    CONVENTIONS,
    StoredVariable,
    axis_variables,
    image_attrs,
    notes_attrs,
    pixel_variables,
    variant_variables,
)
from distbragg.store.inputs import InputFile, copy_inputs
from distbragg.store.layout import (
    LABELS,
    MANIFEST,
    STATE_DIR,
    StackLayout,
    fill_value,
    make_layout,
)
from distbragg.store.local_files import refusals
from distbragg.store.manifest import Manifest, load_manifest, short_difference
from distbragg.store.maps import array_attrs, stored_arrays
from distbragg.store.objects import Objects, is_url, objects_at
from distbragg.store.run_directory import RunDirectory, open_run

FILE_SUFFIXES: Final = frozenset({
    ".npy", ".npz", ".bin", ".img", ".pgm", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".pdf",
    ".cbf", ".tif", ".tiff", ".h5", ".hdf5", ".nxs", ".cxi", ".expt", ".refl", ".mtz", ".cif",
    ".pdb", ".hkl", ".yaml", ".yml", ".json", ".csv", ".txt", ".md", ".html", ".zip", ".tar", ".gz",
})  # fmt: skip
"""Names that end so are those of files: a run, a folder, takes none of them."""

_MOST_SHOWN: Final = 70  # characters on where two runs differ


def create_run(
    place: str | Path,
    manifest: Manifest,
    *,
    coordinates: Iterable[AxisCoordinate],
    experiment: Experiment,
    inputs: Mapping[str, InputFile],
) -> RunDirectory:
    """Create a run, or return the one that is already there if it is the same.

    In a folder everything appears by one rename, on the disk. In a bucket the manifest is put
    last, and only where there is none: of two that create a run at once one wins. `experiment` is
    the resolved base experiment; `inputs` are by path. Another run is a `RefusedError`, which says
    where they differ; anything else in that place an `InputError`.
    """
    objects = objects_at(place)
    if is_there(objects, manifest):
        return open_run(place)
    check_run_name(place)
    if not is_url(place):
        _refuse_inside(Path(place))
    try:
        with refusals(Path(objects.url)):
            files = group_files(
                manifest.layout,
                {**axis_variables(coordinates), **pixel_variables(experiment.detector)},
                image_attrs(experiment),
                group_attrs(manifest),
                output=OutputSpec.model_validate(manifest.sweep["experiment"].get("output", {})),
            )
            with objects.made_whole() as fresh:
                # Sorted, the state comes first: by it a creation that was cut short is known.
                for key, data in sorted(files.items()):
                    fresh.write(key, data)
                copy_inputs(inputs, fresh)
                fresh.put(MANIFEST, manifest.to_bytes(), version="")
    except FileExistsError:
        # Another process may have been quicker.
        if not is_there(objects, manifest):
            raise no_run(objects) from None
    except OSError as error:
        raise InputError(
            f"cannot be created ({error.strerror or error})",
            source=objects.url,
            remedy="give an output path in a directory you can write to",
        ) from error
    return open_run(place)


def is_there(objects: Objects, manifest: Manifest, former: Collection[str] = ()) -> bool:
    """Whether this run, or a `former` one that it grew from, is there; another is refused."""
    if objects.head(MANIFEST) is None:
        return False
    present = load_manifest(objects)
    if present.run_id != manifest.run_id and present.run_id not in former:
        difference = short_difference(manifest.identity, present.identity, _MOST_SHOWN)
        raise RefusedError(
            f"{objects.url}: give another output path, or that run's specification: it holds "
            f"another run ({difference})"
        )
    return True


def check_run_name(place: str | Path) -> None:
    """Refuse a name that ends as that of an image, a table or a specification does."""
    name = str(place).rstrip("/").rpartition("/")[2]
    suffix = Path(name).suffix
    if suffix.lower() in FILE_SUFFIXES:
        raise InputError(
            f"a run is a folder of Zarr, and {suffix} the suffix of a file",
            source=str(place),
            remedy=f"name it {name.removesuffix(suffix)}.zarr",
        )


def _refuse_inside(path: Path) -> None:
    """Refuse a place within another run, whose Zarr group it would join."""
    for folder in path.resolve().parents:
        if (folder / MANIFEST).is_file():
            raise InputError(
                f"lies within the run {folder}",
                source=str(path),
                remedy="give an output path beside it",
            )


def no_run(objects: Objects) -> InputError:
    """Say that a place holds something else."""
    return InputError(
        "exists and is not a distbragg run",
        source=objects.url,
        remedy="give another output path; the path given was left as it is",
    )


def make_manifest(
    *,
    sweep_plain: Mapping[str, Any],
    plan: SweepPlan,
    physics_hash: str,
    numeric_class: Mapping[str, str],
    provenance: Mapping[str, Any],
    experiment_summary: Mapping[str, Any] | None = None,
) -> Manifest:
    """Assemble the manifest of a run; `sweep_plain` names input files by `InputFile.reference`."""
    experiment = dict(sweep_plain["experiment"])
    compute = dict(experiment.pop("compute", {}))
    layout = make_layout(plan, experiment.get("output", {}))
    if layout.units != plan.units or layout.frames != plan.frames:
        raise AssertionError("stored layout and sweep plan disagree on units or frames")
    return Manifest(
        version=str(provenance["distbragg"]),
        sweep={**sweep_plain, "experiment": experiment},
        compute=compute,
        layout=layout,
        plan=plan.frame.to_plain(),
        physics_hash=physics_hash,
        numeric_class={str(k): str(v) for k, v in numeric_class.items()},
        summary=dict(experiment_summary or {}),
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


def group_files(
    layout: StackLayout,
    coordinates: Mapping[str, StoredVariable],
    image_attrs: Mapping[str, Any],
    group_attrs: Mapping[str, Any],
    *,
    chunks: Mapping[str, tuple[int, ...]] | None = None,
    output: OutputSpec | None = None,
) -> dict[str, bytes]:
    """Return all files of a new group by key: metadata and coordinates, no pixels.

    `chunks` are those of coordinates that lie in several; `output` tells what is kept beside the
    images or in their place: variants, maps, and the folder of tables.
    """
    output = output or OutputSpec()
    coordinates = dict(coordinates)
    for one in variants_of(output, layout.shape):
        coordinates |= variant_variables(one, coordinates["slow"].attrs["pixel_size_mm"])
    files: dict[str, Buffer] = {}
    store = MemoryStore(files)
    group = zarr.create_group(store, zarr_format=3, attributes=dict(group_attrs))
    # Of CF: the coordinates which no dimension is named after.
    others = [name for name, variable in coordinates.items() if variable.dims != (name,)]
    listed = {"coordinates": " ".join(others)} if others else {}
    attrs = array_attrs(layout, output, image_attrs)
    for array in stored_arrays(layout, output):
        _create_pixels(group, array, {**attrs[array.array], **listed})
    for name, variable in coordinates.items():
        whole = tuple(max(1, size) for size in variable.values.shape)
        _create_coordinate(group, name, variable, (chunks or {}).get(name, whole))
    # One document holds all metadata that the run writes; readers then list no directory. zarr
    # warns that the v3 specification does not define it yet.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(store, zarr_format=3)
    # A reader that lists the directory instead meets `.distbragg`; as an empty group it is skipped
    # quietly, as a plain directory zarr would warn about it.
    for name in (STATE_DIR, LABELS) if output.labels else (STATE_DIR,):
        zarr.create_group(store, path=name, zarr_format=3)
    return {key: data.to_bytes() for key, data in files.items()}


def _create_pixels(group: zarr.Group, layout: StackLayout, attrs: Mapping[str, Any]) -> None:
    """Create an array of whole frames, or one that is cut alike."""
    kind = np.dtype(layout.dtype)
    missing = {"_FillValue": fill_value(layout.dtype)} if kind.kind != "f" else {}
    group.create_array(
        layout.array,
        shape=layout.array_shape,
        dtype=layout.dtype,
        chunks=layout.chunk_shape,
        shards=layout.shard_shape,
        serializer=BytesCodec(endian="little" if kind.itemsize > 1 else None),
        compressors=[
            BloscCodec(
                cname=layout.compressor,
                clevel=layout.compression_level,
                shuffle="bitshuffle" if layout.shuffle == "bit" else "shuffle",
                typesize=kind.itemsize,
            ),
            Crc32cCodec(),
        ],
        fill_value=fill_value(layout.dtype),
        dimension_names=layout.dimension_names,
        attributes={**attrs, **missing},
    )


def _create_coordinate(
    group: zarr.Group, name: str, variable: StoredVariable, chunks: tuple[int, ...]
) -> None:
    values = variable.values
    text = values.dtype.kind in "UO"
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=str if text else values.dtype,
        chunks=chunks,
        fill_value=fill_value(str(values.dtype)) if values.dtype.kind in "fiu" else None,
        dimension_names=variable.dims,
        attributes=dict(variable.attrs),
        config=None if text else {"write_empty_chunks": True},
    )
    array[...] = values.astype(object) if text else values
