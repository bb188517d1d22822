"""What lies beside a data set card: its pictures, the table of frames and Croissant metadata."""

from __future__ import annotations

import csv
import io
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from distbragg.errors import DistbraggError
from distbragg.run.card import card
from distbragg.run.croissant import croissant
from distbragg.run.frames import frame_columns, frame_rows, label_texts
from distbragg.run.own_files import (
    check_own,
    check_suffix,
    is_card,
    is_croissant,
    is_frames_table,
    is_picture,
)
from distbragg.run.plot import PlotOptions, RunPictures, as_png, sheet_png
from distbragg.run.plot_axes import axis_values
from distbragg.store.files import write_durable
from distbragg.store.frame_labels import Seen
from distbragg.store.ledger import completed_units, done_units
from distbragg.store.open import rendered_frames
from distbragg.store.run_directory import RunDirectory, RunLike, open_run
from distbragg.store.split import Split, split_frames
from distbragg.store.spots import has_labels, labels_of

if TYPE_CHECKING:
    from distbragg.figures.charts import Values

CROISSANT: Final = "croissant.json"
TABLE: Final = "frames.csv"
_MOST_SPOTS: Final = 5_000_000  # read for a histogram; of more, units spread evenly
_UNITS_READ: Final = 200

_log = logging.getLogger("distbragg")


def write_card(
    run: RunLike,
    out: str | Path,
    *,
    split: Split | None = None,
    seen: Seen | None = None,
    license_name: str = "",
    metadata: bool = False,
) -> list[Path]:
    """Write the card of a run and what goes with it; return the paths.

    Parameters
    ----------
    run : RunDirectory or path
    out : path
        The card, such as README.md. Beside it lie README.png, a contact sheet, and
        README-labels.png, histograms of axes and labels, where frames are rendered. Files
        there that this function did not write are left as they are.
    split : Split, optional
        Default: that of `StackDataset`.
    seen : Seen, optional
        Which spots the labels of frames count, and how many make a hit.
    license_name : str
        Such as cc-by-4.0.
    metadata : bool
        Also write croissant.json, metadata as search engines and loaders read them, and
        frames.csv, the table of frames that it describes, in the same folder.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    InputError
        `out` does not end in .md, or one of the files is there and not one of these.
    """
    target, split = Path(out).absolute(), split or Split()
    check_suffix(target, (".md", ".markdown"), "a card")
    sheet, histograms = target.with_suffix(".png"), target.with_name(f"{target.stem}-labels.png")
    table_path, metadata_path = target.with_name(TABLE), target.with_name(CROISSANT)
    beside = {table_path: is_frames_table, metadata_path: is_croissant} if metadata else {}
    check_own({target: is_card, sheet: is_picture, histograms: is_picture, **beside})
    directory = open_run(run)
    pictures = {sheet: sheet_png(directory), histograms: histograms_png(directory)}
    names = [path.name if data else "" for path, data in pictures.items()]
    about = {"picture": names[0], "histograms": names[1], "license_name": license_name}
    files = {path: data for path, data in pictures.items() if data}
    if metadata:
        table = frames_table(directory, split, seen)
        files[table_path] = table
        files[metadata_path] = croissant(
            directory, table, split=split, seen=seen, license_name=license_name
        )
    files[target] = card(directory, split=split, seen=seen, **about).encode()
    for path, data in files.items():
        write_durable(path, data)
    return list(files)


def histograms_png(run: RunLike) -> bytes:
    """Return the PNG of histograms of axes and labels; nothing where there is none, and say so."""
    try:
        pictures = RunPictures(run)
        shown = [*axis_values(pictures.run.sweep), *_of_spots(pictures.run)]
        if not shown or not pictures.rendered.any():
            return b""
        return as_png(pictures.histograms(shown, PlotOptions()))
    except DistbraggError as error:
        _log.warning("there are no histograms: %s", error)
        return b""


def _of_spots(run: RunDirectory) -> list[Values]:
    """Return how many spots frames have, and the resolution of each."""
    done = completed_units(run) if has_labels(run) else {}
    if not done:
        return []
    from distbragg.figures.charts import Values

    units, told = sorted(done), ""
    if sum(receipt.spots for receipt in done.values()) > _MOST_SPOTS and len(units) > _UNITS_READ:
        units = [units[at * len(units) // _UNITS_READ] for at in range(_UNITS_READ)]
        told = f", {len(units)} of {len(done)} units"
    frames = [frame for unit in units for frame in run.layout.unit_frames(unit)]
    spots = labels_of(run, frames)
    counts = np.bincount(spots["frame"], minlength=run.layout.frames)[frames]
    return [
        Values(f"spots of a frame{told}", counts, "frames with labels"),
        Values(f"resolution of a spot (Å){told}", spots["resolution"], "spots"),
    ]


def frames_table(run: RunDirectory, split: Split, seen: Seen | None = None) -> bytes:
    """Return the table of all frames as CSV: number, axes, labels, part, rendered or not."""
    parts = split_frames(run, split).reshape(-1).tolist()
    done, frames = done_units(run), range(run.layout.frames)
    rendered = rendered_frames(run.layout, done).reshape(-1).tolist()
    labels = label_texts(run, frames, done, seen)
    with io.StringIO(newline="") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*frame_columns(run.sweep), *labels, "split", "rendered"])
        rows = frame_rows(run.sweep, frames)
        for row, part, there in zip(rows, parts, rendered, strict=True):
            told = [texts[row[0]] for texts in labels.values()]
            writer.writerow([*row, *told, part, "true" if there else "false"])
        return text.getvalue().encode()
