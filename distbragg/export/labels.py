"""The spots of a unit as one Parquet table."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from distbragg.predict.spots import Spots

UNITS: Final = {
    "slow": "pixel",
    "fast": "pixel",
    "f_squared": "electron2",
    "photons": "photon",
    "wavelength": "angstrom",
    "phi": "degree",
    "resolution": "angstrom",
}
"""Units of the columns that have one; `slow` and `fast` count from the panel's outer corner."""

_SINGLE: Final = frozenset({"f_squared", "partiality", "wavelength", "phi", "resolution"})
"""Columns kept as float32: no use of them needs more."""


def encode_labels(frames: Sequence[tuple[int, Spots]], run_id: str) -> bytes:
    """Return one table of the spots of several frames, in their order.

    Parameters
    ----------
    frames : sequence of (flat frame index, Spots)
    run_id : str
        Kept in the table's metadata.
    """
    columns: dict[str, Any] = {
        "frame": np.concatenate([np.full(len(spots), frame) for frame, spots in frames])
    }
    tables = [spots.columns() for _, spots in frames]
    for name in tables[0]:
        values = np.concatenate([table[name] for table in tables])
        columns[name] = values.astype(np.float32) if name in _SINGLE else values
    table = pa.table(columns).replace_schema_metadata(
        {"distbragg_run_id": run_id, "distbragg_units": json.dumps(UNITS, sort_keys=True)}
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", compression_level=1)
    return buffer.getvalue()
