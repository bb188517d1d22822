"""Tables of predicted spots beside the images: a Parquet object a unit, with its receipt."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from distbragg.errors import EnvironmentFailure, InputError
from distbragg.models.experiment import Experiment
from distbragg.read.columns import Column, read_table
from distbragg.store.layout import LABELS, METADATA
from distbragg.store.run_directory import RunDirectory, open_run

if TYPE_CHECKING:
    from distbragg.predict.table import Spots
    from distbragg.predict.twin import Twin

SUFFIX: Final = ".parquet"
_DIGITS: Final = 7

UNITS: Final = {
    "slow": "pixel",
    "fast": "pixel",
    "variance_slow": "pixel2",
    "variance_fast": "pixel2",
    "covariance": "pixel2",
    "f_squared": "electron2",
    "photons": "photon",
    "wavelength": "angstrom",
    "phi": "degree",
    "resolution": "angstrom",
}
"""Units of the columns that have one; `slow` and `fast` count from the panel's outer corner."""

_SINGLE: Final = frozenset(
    {"variance_slow", "variance_fast", "covariance", "f_squared", "partiality"}
    | {"wavelength", "phi", "resolution"}
)
"""Columns kept as float32: no use of them needs more."""


def has_labels(run: RunDirectory) -> bool:
    """Whether units of this run have tables of spots."""
    return run.sweep.experiment.output.labels


def check_labels(run: RunDirectory) -> None:
    """Refuse a run without tables of spots."""
    if not has_labels(run):
        raise InputError(
            "keeps no tables of spots", source=run.url, remedy="create it with output.labels: true"
        )


class SpotTable:
    """The spots of a unit's frames, predicted beside rendering; `seconds` were spent in here.

    Parameters
    ----------
    run : RunDirectory
    twin : Twin, optional
        See `predict_spots`.
    """

    def __init__(self, run: RunDirectory, twin: Twin | None = None) -> None:
        self._run, self._twin = run, twin
        self._frames: list[tuple[int, Spots]] = []
        self.seconds = 0.0

    def add(self, frame: int, experiment: Experiment) -> None:
        """Predict the spots of the next frame."""
        from distbragg.predict.spots import predict_spots  # few runs keep tables

        started = time.perf_counter()
        least = self._run.sweep.experiment.output.label_minimum_photons
        self._frames.append((frame, predict_spots(experiment, least, self._twin)))
        self.seconds += time.perf_counter() - started

    def encode(self) -> tuple[bytes, dict[str, Any]]:
        """Return the table's bytes, and what the receipt says of its making."""
        started = time.perf_counter()
        counts = [len(spots) for _, spots in self._frames]
        columns: dict[str, Any] = {"frame": np.repeat([frame for frame, _ in self._frames], counts)}
        tables = [spots.columns() for _, spots in self._frames]
        for name in tables[0]:
            values = np.concatenate([table[name] for table in tables])
            columns[name] = values.astype(np.float32) if name in _SINGLE else values
        data = encode_table(self._run, columns)
        self.seconds += time.perf_counter() - started
        return data, {"spots": sum(counts), "label_seconds": round(self.seconds, 6)}


def encode_table(run: RunDirectory, columns: Mapping[str, Column]) -> bytes:
    """Return the bytes of a unit's table, of columns (spots,) in the order they are to have."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise EnvironmentFailure(
            "output.labels needs pyarrow: pip install 'distbragg[tables]'"
        ) from None
    # The first identity of a run that has grown: its tables come out the same ever after.
    first = run.lineage[-1].run_id if run.lineage else run.run_id
    said = {"distbragg_run_id": first, "distbragg_units": json.dumps(UNITS, sort_keys=True)}
    # By their memory: pyarrow loads pandas to ask whether an array is one of its own.
    arrays = [
        pa.Array.from_buffers(
            pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(_as_arrow(values))]
        )
        for values in columns.values()
    ]
    table = pa.Table.from_arrays(arrays, names=list(columns), metadata=said)
    whole = [name for name, values in columns.items() if values.dtype.kind != "f"]
    buffer = io.BytesIO()
    # Real numbers are nearly all different: a dictionary of them takes time and space.
    pq.write_table(table, buffer, compression="zstd", compression_level=1, use_dictionary=whole)
    return buffer.getvalue()


def _as_arrow(values: Column) -> Column:
    """Return values as Arrow holds them, yes and no bit by bit."""
    if values.dtype == np.bool_:
        return np.packbits(values, bitorder="little")
    return np.ascontiguousarray(values)


def labels_key(unit: int) -> str:
    """Key of a unit's table."""
    return f"{LABELS}/{unit:0{_DIGITS}d}{SUFFIX}"


def store_labels(run: RunDirectory, unit: int, data: bytes) -> dict[str, Any]:
    """Store a unit's table; return what its receipt says of it."""
    done = run.objects.write(labels_key(unit), data)
    return {"digest": done.digest, "size": done.size}


def scan_labels(run: RunDirectory) -> dict[int, int]:
    """Size in bytes of every unit's table that exists, by unit."""
    found = {}
    for entry in run.objects.entries(f"{LABELS}/", deep=False):
        unit = labelled_unit(run, entry.key)
        if unit is not None:
            found[unit] = entry.size
    return found


def labelled_unit(run: RunDirectory, key: str) -> int | None:
    """Return the unit whose table has this key; None where it is no such key."""
    stem = key.removeprefix(f"{LABELS}/").removesuffix(SUFFIX)
    if not stem.isdecimal() or int(stem) >= run.layout.units:
        return None
    return int(stem) if labels_key(int(stem)) == key else None


def is_beside_labels(key: str) -> bool:
    """Whether a key lies where tables do; the folder, a group of Zarr, has metadata too."""
    return key.rpartition("/")[0] == LABELS and key != f"{LABELS}/{METADATA}"


def open_labels(run: str | Path, columns: Sequence[str] | None = None) -> dict[str, Column]:
    """Return the predicted spots of every finished frame of a run.

    Parameters
    ----------
    run : path
    columns : sequence of str, optional
        Columns wanted; all where not given.

    Returns
    -------
    dict of str to array (spots,)
        `frame` (flat C-order index), `panel`, `h`, `k`, `l`; `slow`, `fast` in pixels from the
        panel's outer corner; `variance_slow`, `variance_fast` and `covariance`, pixels², of
        the photons about that place (in closed form; else not a number); `f_squared`,
        `partiality`, `photons`, `wavelength` (Å), `phi` (degrees), `resolution` (Å), `active`;
        `lattice`, the number of its lattice in the frame, from 0.
        `pandas.DataFrame` takes it as it is.

    Raises
    ------
    InputError
        `run` is not a run, keeps no tables of spots, has none finished, or has no such column.
    DamageError
        A table is a link that leads out of the run.
    EnvironmentFailure
        pyarrow is missing.
    """
    from distbragg.store.ledger import done_units  # which asks here what tables there are

    directory = open_run(run)
    check_labels(directory)
    units = sorted(done_units(directory))
    if not units:
        raise InputError(
            "has no finished unit yet", source=str(run), remedy="render it with `distbragg resume`"
        )
    return _tables_of(directory, units, columns)


def labels_of(run: RunDirectory, frames: Sequence[int]) -> dict[str, Column]:
    """Return the predicted spots of some rendered frames; columns as of `open_labels`."""
    table = _tables_of(run, sorted({run.layout.unit_of(frame) for frame in frames}))
    chosen = np.isin(table["frame"], np.asarray(frames))
    return {name: values[chosen] for name, values in table.items()}


def stored_spots(run: RunDirectory, frames: Sequence[int]) -> dict[str, Column]:
    """Return the spots of frames as `labels_of` does, in the number types that are stored."""
    import pyarrow.parquet as pq  # reading the table needs it anyway

    found = labels_of(run, frames)
    schema = pq.read_schema(run.objects.local(labels_key(run.layout.unit_of(frames[0]))))
    return {
        name: values.astype(schema.field(name).type.to_pandas_dtype())
        for name, values in found.items()
    }


def _tables_of(
    run: RunDirectory, units: Sequence[int], columns: Sequence[str] | None = None
) -> dict[str, Column]:
    """Join the tables of units, in the columns that all have: an earlier release had fewer."""
    parts = [
        read_table(str(run.objects.local(labels_key(unit))), columns, ours=True) for unit in units
    ]
    shared = [name for name in parts[0] if all(name in part for part in parts)]
    return {name: np.concatenate([part[name] for part in parts]) for name in shared}
