"""Calculated structure factors as an MTZ file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import gemmi
import numpy as np

from distbragg._version import __version__
from distbragg.export.files import write_whole
from distbragg.read.model import ModelFactors

AMPLITUDE: Final = "FC"
PHASE: Final = "PHIC"


def write_mtz(path: str | Path, factors: ModelFactors, *, wavelength: float | None = None) -> None:
    """Write F of an asymmetric part: amplitude, phase, and the pair where one is anomalous.

    Columns: FC and PHIC (degrees); with a wavelength (Å) also FC(+) and FC(−), the amplitudes of
    (h k l) and (−h −k −l), and FC and PHIC are of the mean (F(+) + F(−)*)/2, which f″ does
    not enter. The file appears whole or not at all.
    """
    mtz = gemmi.Mtz(with_base=True)
    mtz.title = "Calculated structure factors"
    mtz.history = [f"distbragg {__version__} fmodel"]
    mtz.spacegroup = gemmi.SpaceGroup(factors.spacegroup)
    mtz.set_cell_for_all(gemmi.UnitCell(*factors.cell))
    dataset = mtz.add_dataset("model")
    dataset.wavelength = wavelength or 0.0
    mean = (factors.values + np.conj(factors.mates)) / 2.0
    columns = [(AMPLITUDE, "F", np.abs(mean)), (PHASE, "P", np.degrees(np.angle(mean)))]
    if wavelength is not None:
        columns.append((f"{AMPLITUDE}(+)", "G", np.abs(factors.values)))
        columns.append((f"{AMPLITUDE}(-)", "G", np.abs(factors.mates)))
    for label, kind, _ in columns:
        mtz.add_column(label, kind)
    rows = np.column_stack([factors.indices, *(values for _, _, values in columns)])
    mtz.set_data(rows.astype(np.float32))
    write_whole(path, mtz.write_to_bytes())
