"""Draw the figure of `docs/explanation/physics/energy-dependent-amplitudes.md`.

python -m tools.figures.energy_dependent_amplitudes
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure

from distbragg.models.build import build_experiment
from distbragg.models.build_spectral import combined
from distbragg.spec.load import parse_spec
from tools.figures.drawing import ROOT, rendered, save

EDGE_EV: Final = 7112.0
BELOW_EV, ABOVE_EV = 7100.0, 7130.0
GARNET: Final = ROOT / "distbragg" / "data" / "pyrope.cif"
SHOWN: Final = ((4, 0, 0), (2, 2, 0), (2, 1, 1))


def spec_of(lines: list[float], folder: Path) -> dict[str, Any]:
    """Return the specification of a garnet whose aluminium is iron, under some lines."""
    spectrum, model = folder / "lines.txt", folder / "garnet.cif"
    spectrum.write_text("".join(f"{energy} 1\n" for energy in lines), encoding="utf-8")
    text = GARNET.read_text(encoding="utf-8")
    text = text.replace("Al1 Al ", "Fe1 Fe ")
    model.write_text(text, encoding="utf-8")
    return {
        "beam": {
            "wavelength_angstrom": 1.74,
            "spectrum": {"file": str(spectrum)},
            "fluence_photons_per_m2": 1e26,
        },
        "crystal": {
            "block_cells": [20, 20, 20],
            "misset_deg": [0, 12, 2],
            "shape": "gauss",
            "mosaic": {"spread_deg": 2.5, "distribution": "gaussian"},
        },
        "structure_factors": {
            "file": str(model),
            "dmin_angstrom": 1.2,
            "anomalous_elements": [{"element": "Fe"}],
        },
        "detector": {
            "distance_mm": 40,
            "pixel_size_mm": 0.3,
            "pixels_fast": 300,
            "pixels_slow": 300,
        },
    }


def draw() -> Figure:
    """Draw |F|² over the edge, and the difference of two colours."""
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    curves, picture = figure.subplots(1, 2)
    energies = np.linspace(7000.0, 7250.0, 126)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        table = build_experiment(parse_spec(spec_of(energies.tolist(), place))).reflections
        assert table.spectral is not None
        squared = np.array([combined(table.spectral, c) for c in table.spectral.coefficients])
        below, above = (rendered(spec_of([e], place)) for e in (BELOW_EV, ABOVE_EV))
    for hkl in SHOWN:
        own = squared[(slice(None), *(np.array(hkl) - table.origin))]
        curves.plot(energies, own / own[0], label=" ".join(map(str, hkl)))
    curves.axvline(EDGE_EV, color="0.7", lw=0.8)
    curves.set(xlabel="energy, eV", ylabel="|F|² / |F|² at 7000 eV")
    curves.legend(title="h k l")
    most = float(np.percentile(np.abs(above - below), 99.7))
    shown = picture.imshow(above - below, cmap="RdBu_r", vmin=-most, vmax=most)
    picture.set(title=f"{ABOVE_EV:g} eV minus {BELOW_EV:g} eV", xticks=[], yticks=[])
    figure.colorbar(shown, ax=picture, label="photons")
    return figure


if __name__ == "__main__":
    save(draw(), "energy-dependent-amplitudes")
