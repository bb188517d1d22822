"""A data set card: what a stack holds and how it was made, in Markdown for people and hubs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from distbragg._version import __version__
from distbragg.plan.memory import megabytes
from distbragg.spec.sweep import AxisCoordinate
from distbragg.store.ledger import completed_units, done_units
from distbragg.store.open import rendered_frames
from distbragg.store.run_directory import RunDirectory, open_run
from distbragg.store.seal import read_seal
from distbragg.store.split import PARTS, Split, split_frames

_SIZES: Final = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
_TAGS: Final = ("x-ray-diffraction", "crystallography", "simulation", "zarr", "distbragg")
_LONGEST_VALUE: Final = 60


def card(
    run: RunDirectory | str | Path, *, split: Split | None = None, license_name: str = ""
) -> str:
    """Write the card of a run from its provenance.

    Host, user, paths and the command of the machine that made the run are left out: a card is
    published.

    Parameters
    ----------
    run : RunDirectory or path
    split : Split, optional
        The split whose sizes the card states; default: as `StackDataset`.
    license_name : str
        Identifier for the head of the card; it has none where empty.

    Returns
    -------
    str
        Markdown with a YAML head, as data set hubs read it.

    Raises
    ------
    InputError
        `run` is no run.
    DamageError
        Its manifest, ledger or seal are damaged.
    """
    directory = run if isinstance(run, RunDirectory) else open_run(run)
    title = str(directory.manifest.sweep["experiment"].get("title", "")) or directory.path.name
    sections = (
        _head(directory, title, license_name),
        _description(directory, title),
        _structure(directory),
        _splits(directory, split or Split()),
        _creation(directory),
        _considerations(directory),
        _integrity(directory),
        _use(directory),
    )
    return "\n\n".join(sections) + "\n"


def _head(run: RunDirectory, title: str, license_name: str) -> str:
    frames = run.layout.frames
    size = next((name for limit, name in _SIZES if frames < limit), "n>10M")
    lines = ["---", f"pretty_name: {json.dumps(title)}"]
    if license_name:
        lines.append(f"license: {json.dumps(license_name)}")
    lines += ["size_categories:", f"- {size}", "tags:", *(f"- {tag}" for tag in _TAGS), "---"]
    return "\n".join(lines)


def _description(run: RunDirectory, title: str) -> str:
    layout, summary = run.layout, run.manifest.summary
    slow, fast = layout.shape
    panels = f"{layout.panels} panels of " if layout.panels > 1 else ""
    noise = run.sweep.experiment.noise.photon
    content = "photon counts, Poisson noise drawn" if noise else "expected photons, without noise"
    axes = ", ".join(axis.path for axis in run.sweep.coordinates() if axis.path)
    varied = f" Varied: {_code(axes)}." if axes else ""
    return (
        f"# {_plain(title)}\n\n"
        f"{layout.frames:,} simulated X-ray diffraction images of {panels}{slow} x {fast} pixels "
        f"(slow x fast), {content}, rendered by distbragg {run.manifest.version} with nanoBragg's "
        f"physics (mode `{_plain(str(summary.get('physics', '?')))}`).{varied}"
    )


def _structure(run: RunDirectory) -> str:
    layout = run.layout
    dims = " x ".join(
        f"{name} {size}"
        for name, size in zip(layout.dimension_names, layout.array_shape, strict=True)
    )
    done = completed_units(run)
    stored = sum(receipt.size for receipt in done.values())
    facts = (
        ("format", "one Zarr 3 group, shards of whole frames; `xarray.open_zarr` opens it"),
        ("`images`", f"{layout.dtype}, photons per pixel, dims {_plain(dims)}"),
        ("shard", f"{layout.frame_count(0)} frames, {len(done):,} of {layout.units:,} there"),
        ("stored", f"{megabytes(stored)}, compressed"),
        ("missing frames", "NaN, and `rendered` is false" if layout.dtype[0] == "f" else "0"),
    )
    axes = [_axis_row(axis) for axis in run.sweep.coordinates()]
    return (
        "## Structure\n\n"
        + _table(("what", "value"), facts)
        + "\n\n### Coordinates\n\n"
        + _table(("name", "field", "unit", "values", "range"), axes)
    )


def _axis_row(axis: AxisCoordinate) -> tuple[str, ...]:
    values = axis.values
    if values.dtype.kind in "UT":
        distinct = sorted({_base_name(str(value)) for value in values.tolist()})
        extent = ", ".join(distinct[:5]) + (", …" if len(distinct) > 5 else "")
    elif values.ndim == 2:
        extent = f"vectors of {values.shape[1]}"
    else:
        extent = f"{np.min(values):.6g} to {np.max(values):.6g}"
    name = _code(axis.name)
    return name, _code(axis.path) or "index", axis.unit, f"{values.shape[0]:,}", extent


def _splits(run: RunDirectory, split: Split) -> str:
    parts = split_frames(run, split)
    rendered = rendered_frames(run.layout, done_units(run))
    rows = [
        (part, f"{int((parts == part).sum()):,}", f"{int(((parts == part) & rendered).sum()):,}")
        for part in PARTS
    ]
    group = f", grouped by {', '.join(split.group_by)}" if split.group_by else ""
    code = (
        f"Split(validation={split.validation!r}, test={split.test!r}, seed={split.seed!r}, "
        f"group_by={split.group_by!r})"
    )
    return (
        "### Splits\n\n"
        "Frames are told apart by a hash of their swept values and a seed, which appending "
        f"frames does not change{group}: `{code}`.\n\n"
        + _table(("part", "frames", "rendered"), rows)
    )


def _creation(run: RunDirectory) -> str:
    manifest, summary = run.manifest, run.manifest.summary
    provenance = manifest.provenance
    packages = provenance.get("packages", {})
    rows = [
        ("program", f"distbragg {manifest.version}"),
        ("commit", str(provenance.get("commit", "")) or "not recorded"),
        ("created", str(provenance.get("created", ""))),
        ("numeric class", ", ".join(f"{k} {v}" for k, v in sorted(manifest.numeric_class.items()))),
        ("packages", ", ".join(f"{name} {v}" for name, v in sorted(packages.items()))),
        *((name.replace("_", " "), _text(value)) for name, value in sorted(summary.items())),
    ]
    spec = json.dumps(_shown_spec(manifest.sweep_plain), indent=2, sort_keys=True)
    return (
        "## Creation\n\nNothing was measured: every image is computed from the specification "
        "below, and rendering it again gives the same bytes within one numeric class.\n\n"
        + _table(("what", "value"), rows)
        + "\n\n<details><summary>Specification</summary>\n\n````json\n"
        + spec.replace("````", "")
        + "\n````\n\n</details>"
    )


def _considerations(run: RunDirectory) -> str:
    spec = run.sweep.experiment
    points = [
        "The scattering is kinematic: one scattering event, no dynamical diffraction, no "
        "extinction, no diffuse scattering from the lattice itself.",
        "The detector counts every photon it captures: no read-out noise, gain, dead time, "
        "point spread or saturation.",
        "Photon noise is drawn from a counter-based generator keyed by seed, frame and pixel."
        if spec.noise.photon
        else "There is no noise; draw it from the expected photons before comparing with data.",
    ]
    if not spec.structure_factors.file:
        points.append("All reflections have the same structure factor: no real crystal does.")
    if run.manifest.summary.get("physics") == "nanobragg":
        points.append("Numbers follow the C program, its order of corrections included.")
    return "## Limitations\n\n" + "\n".join(f"- {point}" for point in points)


def _integrity(run: RunDirectory) -> str:
    seal = read_seal(run)
    rows = [
        ("run id", _code(run.run_id)),
        ("physics hash", _code(run.manifest.physics_hash)),
        ("plan hash", _code(run.manifest.plan_hash)),
    ]
    if seal is None:
        rows.append(("seal", "none: `distbragg seal` verifies every byte and writes one"))
    else:
        rows += [("sealed", seal.sealed), ("Merkle root", _code(seal.merkle_root))]
    return (
        "## Integrity\n\n`distbragg verify RUN` compares every object with its digest.\n\n"
        + _table(("what", "value"), rows)
    )


def _use(run: RunDirectory) -> str:
    name = run.path.name
    return (
        "## Use\n\n```python\nimport distbragg as db\n\n"
        f'stack = db.open_stack("{_plain(name)}")            # xarray, checked\n'
        f'frames = db.StackDataset("{_plain(name)}", "train")  # torch\n```\n\n'
        f"Card written by distbragg {__version__}."
    )


def _shown_spec(node: object) -> object:
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


def _code(text: str) -> str:
    return f"`{_plain(text)}`" if text else ""


def _plain(text: str) -> str:
    """Text of the user's in one line, without what Markdown or HTML would make of it."""
    return re.sub(r"[`<>|\[\]\\]", "", " ".join(text.split()))


def _text(value: Any) -> str:  # noqa: ANN401
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    cells = ([str(cell).replace("|", "/").replace("\n", " ") for cell in row] for row in lines)
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)
