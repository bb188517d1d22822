"""A data set card: what a stack holds and how it was made, in Markdown for people and hubs."""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg._version import __version__
from distbragg.quantities import scaled
from distbragg.run.frames import frame_columns
from distbragg.run.report import SHOWN_SLOWEST, frame_row, slowest_frames
from distbragg.run.status import RunRecords, identity_rows, read_records, summary_rows
from distbragg.spec.sweep import AxisCoordinate
from distbragg.store.frame_labels import FrameLabels, Seen
from distbragg.store.layout import StackLayout, fill_value
from distbragg.store.objects import is_url
from distbragg.store.open import open_array, rendered_frames
from distbragg.store.run_directory import RunDirectory, RunLike
from distbragg.store.seal import read_seal
from distbragg.store.split import PARTS, Split, shared_crystals, split_frames
from distbragg.store.spots import has_labels
from distbragg.templates import fill

_SIZES: Final = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
_LONGEST_VALUE: Final = 60
_UNITS_READ: Final = 200  # for how labels spread; of more units some, spread evenly


def card(
    run: RunLike,
    *,
    split: Split | None = None,
    seen: Seen | None = None,
    license_name: str = "",
    picture: str = "",
    histograms: str = "",
) -> str:
    """Write the card of a run from its provenance: Markdown with a YAML head, as hubs read it.

    Host, user, paths and the command of the machine that made the run are left out: a card is
    published. `split` is the one whose sizes the card states, by default that of `StackDataset`;
    `seen` says which spots the labels of frames count; `picture` and `histograms` are the names of
    a contact sheet and of histograms of axes and labels that lie beside the card.
    """
    records, split = read_records(run), split or Split()
    directory, manifest, done = records.run, records.run.manifest, records.done
    layout, sweep = manifest.layout, directory.sweep
    return fill(
        "card.md",
        title=records.title or directory.path.name,
        # A folder's path is one machine's, the address of a bucket anybody's.
        name=directory.url if is_url(directory.url) else directory.path.name,
        license_name=license_name,
        picture=picture,
        histograms=histograms,
        in_bucket=is_url(directory.url),
        plain_http=directory.objects.plain_http,
        columns=list(frame_columns(sweep)[1:]),
        slowest=[
            [*frame_row(directory, frame, unit), f"{seconds:.3g} s"]
            for seconds, frame, unit, _ in slowest_frames(done.values(), SHOWN_SLOWEST)
        ],
        size_category=next((name for most, name in _SIZES if layout.frames < most), "n>10M"),
        layout=layout,
        manifest=manifest,
        spec=sweep.experiment,
        physics=str(manifest.summary.get("physics", "?")),
        varied=", ".join(axis.path for axis in sweep.coordinates() if axis.path),
        structure=_structure(records),
        variant="" if directory.keeps_frames else f', variant="{directory.first.array}"',
        axes=[(axis, _extent(axis)) for axis in sweep.coordinates()],
        labels=_labels(directory, frozenset(done), seen),
        bounds=(seen or Seen()).of(directory).told,
        split=split,
        split_code=(
            f"Split(validation={split.validation!r}, test={split.test!r}, seed={split.seed!r}, "
            f"group_by={split.group_by!r})"
        ),
        splits=_splits(directory, split, frozenset(done)),
        shared=shared_crystals(directory, split_frames(directory, split)),
        creation=_creation(directory),
        specification=json.dumps(
            _shown_spec(manifest.sweep_plain), indent=2, sort_keys=True
        ).replace("````", ""),
        integrity=[*identity_rows(manifest), *_seal_rows(directory)],
        version=__version__,
    )


def _structure(records: RunRecords) -> list[tuple[str, str]]:
    run, layout = records.run, records.run.layout
    steps = {one.spec.name: f"; {one.steps}" for one in run.variants}
    pixels = [one for one in run.arrays if one.array == layout.array or one.array in steps]
    there = f"{len(records.done):,} of {layout.units:,} rendered"
    return [
        ("format", "one Zarr 3 group, shards of whole frames; xarray.open_zarr opens it"),
        *((one.array, _array_row(run, one) + steps.get(one.array, "")) for one in pixels),
        ("shard", f"{layout.frame_count(0)} frames, {there}"),
        ("stored", f"{scaled(records.stored_bytes)}B, compressed"),
        ("missing frames", f"{fill_value(run.first.dtype)}, and rendered is false"),
    ]


def _array_row(run: RunDirectory, array: StackLayout) -> str:
    """Tell of an array of pixels: type, unit and dimensions."""
    sizes = zip(array.dimension_names, array.array_shape, strict=True)
    dims = " x ".join(f"{name} {size}" for name, size in sizes)
    unit = open_array(run, array.array).attrs.get("units", "photons")
    return f"{array.dtype}, {unit} per pixel, dims {dims}"


def _extent(axis: AxisCoordinate) -> str:
    """Tell between what the values of an axis lie, or some of its texts."""
    values = axis.values
    if values.dtype.kind in "UT":
        distinct = sorted({_base_name(str(value)) for value in values.tolist()})
        return ", ".join(distinct[:5]) + (", …" if len(distinct) > 5 else "")
    if values.ndim == 2:
        return f"vectors of {values.shape[1]}"
    if np.isnan(values).any():
        given = values[~np.isnan(values)]
        return f"null, {given.min():.6g} to {given.max():.6g}" if given.size else "null"
    return f"{np.min(values):.6g} to {np.max(values):.6g}"


def _labels(
    run: RunDirectory, done: frozenset[int], seen: Seen | None
) -> list[tuple[str, str, str]]:
    """Tell of each label of frames: name, meaning, and how those of rendered frames spread."""
    if not has_labels(run):
        return []
    every = sorted(done)
    kept = min(len(every), _UNITS_READ)
    units = [every[at * len(every) // kept] for at in range(kept)]
    frames = [frame for unit in units for frame in run.layout.unit_frames(unit)]
    labels = FrameLabels(run, seen)
    values = labels.chosen(frames, labels.shown.values()) if frames else {}
    return [
        (name, labels.meaning(label), _spread_of(values.get(label)))
        for name, label in labels.shown.items()
    ]


def _spread_of(values: NDArray[Any] | None) -> str:
    """Tell in what share of frames a label holds, or between what it lies."""
    if values is None:
        return ""
    if values.dtype.kind == "b":
        return f"{100.0 * values.mean():.3g} % of frames"
    known = values[~np.isnan(values.astype(np.float64))]
    if not known.size:
        return "none"
    least, middle, most = np.quantile(known, (0.0, 0.5, 1.0)).tolist()
    return f"{least:.4g} to {most:.4g}, median {middle:.4g}"


def _splits(run: RunDirectory, split: Split, done: frozenset[int]) -> list[tuple[str, str, str]]:
    parts = split_frames(run, split)
    rendered = rendered_frames(run.layout, done)
    return [
        (part, f"{int((parts == part).sum()):,}", f"{int(((parts == part) & rendered).sum()):,}")
        for part in PARTS
    ]


def _creation(run: RunDirectory) -> list[tuple[str, str]]:
    manifest = run.manifest
    provenance = manifest.provenance
    packages = provenance.get("packages", {})
    return [
        ("program", f"distbragg {manifest.version}"),
        ("commit", str(provenance.get("commit", "")) or "not recorded"),
        ("created", str(provenance.get("created", ""))),
        ("numeric class", ", ".join(f"{k} {v}" for k, v in sorted(manifest.numeric_class.items()))),
        ("packages", ", ".join(f"{name} {v}" for name, v in sorted(packages.items()))),
        *summary_rows(run),
    ]


def _seal_rows(run: RunDirectory) -> list[tuple[str, str]]:
    seal = read_seal(run)
    if seal is None:
        return [("seal", "none: distbragg seal verifies every byte and writes one")]
    return [("sealed", seal.sealed), ("SHA-256 over all objects", seal.objects)]


def _shown_spec(node: Any) -> object:  # noqa: ANN401
    """Return the plain sweep with long lists of values cut: they are coordinates of the stack."""
    if isinstance(node, dict):
        return {key: _shown_spec(value) for key, value in node.items()}
    if isinstance(node, list):
        shown = [_shown_spec(value) for value in node[:20]]
        return [*shown, f"… {len(node) - 20} more"] if len(node) > 20 else shown
    return node


def _base_name(text: str) -> str:
    """Name of a swept file without its folder, which is one machine's; other text as it is."""
    short = text.rpartition("/")[2]
    return short if len(short) <= _LONGEST_VALUE else short[:_LONGEST_VALUE] + "…"
