"""A cell of each crystal system."""

from __future__ import annotations

CELLS = {
    "triclinic": [40, 50, 60, 80, 95, 105],
    "monoclinic": [40, 50, 60, 90, 95, 90],
    "orthorhombic": [40, 50, 60, 90, 90, 90],
    "tetragonal": [50, 50, 60, 90, 90, 90],
    "hexagonal": [50, 50, 60, 90, 90, 120],
    "rhombohedral": [50, 50, 50, 80, 80, 80],
    "cubic": [50, 50, 50, 90, 90, 90],
}
