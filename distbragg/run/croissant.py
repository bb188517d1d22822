"""Croissant metadata of a run: JSON-LD of MLCommons, version 1.1, that loaders and search read.

The records are the rows of `frames.csv`, one a frame, with the axes as fields; images, maps and
tables of spots are described as sets of files, with shape, type and unit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from distbragg.run.frames import frame_columns
from distbragg.run.status import read_records
from distbragg.spec.axis import axis_labels
from distbragg.spec.paths import unit_of
from distbragg.store.files import sha256_bytes
from distbragg.store.frame_labels import LABEL_TYPES, FrameLabels, Seen
from distbragg.store.layout import IMAGES, LABELS, MANIFEST
from distbragg.store.objects import is_url
from distbragg.store.open import open_array
from distbragg.store.run_directory import RunDirectory
from distbragg.store.seal import read_seal
from distbragg.store.split import PARTS, Split
from distbragg.store.spots import UNITS, has_labels

CONFORMS: Final = "http://mlcommons.org/croissant/1.1"
_SPLITS: Final = {
    "train": "cr:TrainingSplit",
    "validation": "cr:ValidationSplit",
    "test": "cr:TestSplit",
}
_CONTEXT: Final[Mapping[str, Any]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "arrayShape": "cr:arrayShape",
    "isLiveDataset": "cr:isLiveDataset",
    "key": "cr:key",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "sc": "https://schema.org/",
    "source": "cr:source",
}
_ZARR: Final = "https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html"

_TYPES: Final = {"i": "sc:Integer", "u": "sc:Integer", "f": "sc:Float", "b": "sc:Boolean"}

Plain = dict[str, Any]


def croissant(
    run: RunDirectory,
    table: bytes,
    *,
    split: Split,
    seen: Seen | None = None,
    license_name: str = "",
    name: str = "frames.csv",
) -> bytes:
    """Return the Croissant metadata of a run, as JSON.

    Parameters
    ----------
    run : RunDirectory
    table : bytes
        The table of frames, which lies beside the metadata as `name`.
    split : Split
        What the table's column `split` was drawn by.
    seen : Seen, optional
        What the table's labels of frames count.
    license_name : str
        Left out where it is empty: nobody is told a license that was not given.
    name : str

    Notes
    -----
    Host, user and paths of the machine that made the run are left out.
    """
    records, manifest = read_records(run), run.manifest
    title = records.title or run.path.name
    created = str(manifest.provenance.get("created", ""))
    body: Plain = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": title,
        "description": (
            f"{run.layout.frames:,} X-ray diffraction images, simulated by distbragg "
            f"{manifest.version}; run {manifest.run_id}, physics {manifest.physics_hash}."
        ),
        "conformsTo": CONFORMS,
        "version": "1.0.0",
        "citeAs": f"{title}. Simulated by distbragg {manifest.version}, run {manifest.run_id}.",
        "isLiveDataset": False,
        "keywords": ["x-ray diffraction", "crystallography", "simulation", "zarr"],
        **({"datePublished": created} if created else {}),
        **({"license": license_name} if license_name else {}),
        **({"url": run.url} if is_url(run.url) else {}),
        "distribution": list(_distribution(run, table, name)),
        "recordSet": [_splits(split), _frames(run, name, seen), *_arrays(run), *_spots(run)],
    }
    return json.dumps(body, indent=2, ensure_ascii=False).encode()


def _distribution(run: RunDirectory, table: bytes, name: str) -> Iterator[Plain]:
    place = run.url if is_url(run.url) else run.path.name
    yield _file(name, name, "text/csv", sha256_bytes(table), "One row a frame.")
    # What is published of a manifest is what tells of nobody.
    there = run.objects.get(MANIFEST) if is_url(run.url) else b""
    manifest = sha256_bytes(there or run.manifest.without_private().to_bytes())
    told = "What was rendered, and how; names the specification, versions and hashes."
    yield _file("manifest.json", f"{place}/{MANIFEST}", "application/json", manifest, told)
    seal = read_seal(run)
    sealed = f" SHA-256 over all digests in order: {seal.objects}." if seal else ""
    for layout in run.arrays:
        yield {
            "@type": "cr:FileSet",
            "@id": layout.array,
            "name": layout.array,
            "description": f"Shards of the Zarr array {place}/{layout.array}.{sealed}",
            "encodingFormat": _ZARR,
            "includes": f"{place}/{layout.array}/**",
        }
    if has_labels(run):
        yield {
            "@type": "cr:FileSet",
            "@id": LABELS,
            "name": LABELS,
            "description": "Predicted spots, a table a shard.",
            "encodingFormat": "application/vnd.apache.parquet",
            "includes": f"{place}/{LABELS}/*.parquet",
        }


def _file(name: str, url: str, form: str, digest: str, told: str) -> Plain:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "description": told,
        "contentUrl": url,
        "encodingFormat": form,
        "sha256": digest,
    }


def _field(place: str, kind: str, told: str, source: Plain, more: Plain | None = None) -> Plain:
    """Describe a field at `record/name`."""
    return {
        "@type": "cr:Field",
        "@id": place,
        "name": place.rpartition("/")[2],
        "description": told,
        "dataType": kind,
        "source": source,
        **(more or {}),
    }


def _splits(split: Split) -> Plain:
    data = [{"split/name": part, "split/url": _SPLITS[part]} for part in PARTS]
    fields = [
        {"@type": "cr:Field", "@id": "split/name", "name": "name", "dataType": "sc:Text"},
        {"@type": "cr:Field", "@id": "split/url", "name": "url", "dataType": "sc:URL"},
    ]
    return {
        "@type": "cr:RecordSet",
        "@id": "split",
        "name": "split",
        "description": f"Parts, drawn from a hash of what was varied: {split}.",
        "dataType": "cr:Split",
        "key": {"@id": "split/name"},
        "field": fields,
        "data": data,
    }


def _frames(run: RunDirectory, name: str, seen: Seen | None) -> Plain:
    """Describe the table of frames."""
    told = {"frame": ("sc:Integer", "number of the frame in the stack, from 0")}
    for axis in run.sweep.axes:
        values, unit = axis_labels(axis), unit_of(axis.target)
        said = axis.target if values.dtype.kind in "UT" else f"{axis.target}, unit {unit}"
        kind = _TYPES.get(values.dtype.kind, "sc:Text")
        parts = range(values.shape[1]) if values.ndim == 2 else ()
        names = [f"{axis.name}_{part}" for part in parts] or [axis.name]
        told |= dict.fromkeys(names, (kind, said))
    labels = label_fields(run, seen)
    told |= labels
    told |= {
        "split": ("sc:Text", "part of the data set"),
        "rendered": ("sc:Boolean", "whether the frame is in the stack"),
    }
    columns = [*frame_columns(run.sweep), *labels, "split", "rendered"]
    fields = []
    for column in columns:
        source = {"fileObject": {"@id": name}, "extract": {"column": column}}
        more = {"references": {"field": {"@id": "split/name"}}} if column == "split" else {}
        kind, said = told[column]
        fields.append(_field(f"frames/{column}", kind, said, source, more))
    return {
        "@type": "cr:RecordSet",
        "@id": "frames",
        "name": "frames",
        "description": "One record a frame: what was varied, and its part of the data set.",
        "key": {"@id": "frames/frame"},
        "field": fields,
    }


def label_fields(run: RunDirectory, seen: Seen | None = None) -> dict[str, tuple[str, str]]:
    """Return type and meaning of each label of frames that the table has a column of."""
    if not has_labels(run):
        return {}
    labels = FrameLabels(run, seen)
    return {
        name: (_TYPES[LABEL_TYPES[label]], labels.told(label))
        for name, label in labels.shown.items()
    }


def _arrays(run: RunDirectory) -> Iterator[Plain]:
    for layout in run.arrays:
        attrs = open_array(run, layout.array).attrs
        unit, said = attrs.get("units", "1"), attrs.get("long_name", layout.array)
        order = ", ".join(layout.dimension_names)
        yield {
            "@type": "cr:RecordSet",
            "@id": f"{layout.array}-records",
            "name": f"{layout.array}-records",
            "description": f"The Zarr array {layout.array}, by xarray.open_zarr; axes {order}.",
            "field": [
                _field(
                    f"{layout.array}-records/{'image' if layout.array == IMAGES else layout.array}",
                    "sc:Float" if layout.dtype.startswith("f") else "sc:Integer",
                    f"{said}, {layout.dtype}, unit {unit}",
                    {"fileSet": {"@id": layout.array}, "extract": {"fileProperty": "content"}},
                    {"isArray": True, "arrayShape": ",".join(map(str, layout.frame_shape))},
                )
            ],
        }


def _spots(run: RunDirectory) -> Iterator[Plain]:
    """Describe the tables of spots, by their own columns."""
    if not has_labels(run):
        return
    names = ("frame", "panel", "h", "k", "l", "slow", "fast", "photons", "resolution")
    whole = ("frame", "panel", "h", "k", "l")
    yield {
        "@type": "cr:RecordSet",
        "@id": "spots",
        "name": "spots",
        "description": "One record a predicted spot: some of the columns.",
        "field": [
            _field(
                f"spots/{column}",
                "sc:Integer" if column in whole else "sc:Float",
                f"unit {UNITS.get(column, '1')}",
                {"fileSet": {"@id": LABELS}, "extract": {"column": column}},
            )
            for column in names
        ],
    }
