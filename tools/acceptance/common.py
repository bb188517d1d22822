"""Rendering, exporting and indexing, as every case needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from distbragg.cli.main import main as distbragg
from tools.acceptance.dials import crystals_of, indexed_share, run_dials, strong_spots
from tools.acceptance.pictures import draw_spots
from tools.acceptance.truth import compare, true_reciprocal
from tools.acceptance.verdict import Verdict

PICTURE_FRAME = 10


def render(folder: Path, name: str, spec: dict[str, Any]) -> Path:
    """Render a sweep into `folder/<name>.zarr`; what is there already is not done again.

    Raises
    ------
    RuntimeError
        distbragg failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, run = folder / f"{name}.yaml", folder / f"{name}.zarr"
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    _run(["sweep", str(path), "-o", str(run)])
    return run


def export(run: Path, form: str) -> Path:
    """Export all frames of a run beside it; return the folder."""
    images = run.with_name(f"{run.stem}-{form}")
    # Debian's HDF5 has no bitshuffle plugin.
    _run(["export", str(run), "--format", form, "-o", str(images), "--compression", "gzip"])
    return images


def find_and_index(folder: Path, source: str, run: Path, picture: Path) -> Verdict:
    """Import, find spots and index with DIALS's defaults, and compare with the stack's truth.

    Parameters
    ----------
    folder : Path
        Where DIALS works.
    source : str
        What `dials.import` is given.
    run : Path
    picture : Path
        PNG file to draw: a frame with its spots.
    """
    run_dials(folder, "dials.import", source)
    spots = run_dials(folder, "dials.find_spots", "imported.expt", "nproc=1")
    index = run_dials(folder, "dials.index", "imported.expt", "strong.refl")
    (found, *_) = crystals_of(folder / "indexed.expt")
    errors = compare(found, true_reciprocal(run))
    draw_spots(picture, run, folder / "indexed.refl", PICTURE_FRAME)
    return Verdict(strong_spots(spots), indexed_share(index), *errors)


def _run(arguments: list[str]) -> None:
    status = distbragg(arguments)
    if status != 0:
        raise RuntimeError(f"distbragg {arguments[0]} ended with status {status}")
