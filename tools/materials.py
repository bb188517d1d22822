"""Write the tables of F against sin(theta)/lambda of materials in `distbragg/data/materials`.

python -m tools.materials

Water and air are as scripts of nanoBragg's users have them. Ice is computed from its structure,
oil and film are free atoms with the halos that are published of them. F² is what a molecule
scatters in all: coherently, and by Compton's effect, for which Σ (Z − f²/Z) over the atoms stands.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import gemmi
import numpy as np
from numpy.typing import NDArray

from distbragg.models.ice import ring_squared, ring_stol

FOLDER: Final = Path(__file__).parents[1] / "distbragg" / "data" / "materials"

Formula = dict[str, float]
Halo = tuple[float, float, float]  # d, Å; width of 1/d, FWHM, 1/Å; height above free atoms, 1

WATER: Final = (
    (0, 2.57), (0.0365, 2.58), (0.07, 2.8), (0.12, 5), (0.162, 8), (0.18, 7.32), (0.2, 6.75),
    (0.216, 6.75), (0.236, 6.5), (0.28, 4.5), (0.3, 4.3), (0.345, 4.36), (0.436, 3.77), (0.5, 3.17),
)  # fmt: skip
AIR: Final = ((0, 14.1), (0.045, 13.5), (0.174, 8.35), (0.35, 4.78), (0.5, 4.22))

A: Final = 4.50
C: Final = 7.34
"""Of ice Ih, Å: they give the spacings of ice rings that Garman and Schneider (1997) list."""

OXYGEN_Z: Final = 0.0629
"""Of oxygen at 1/3 2/3 z in P6₃/mmc (Peterson and Levy 1957)."""

BOND: Final = 0.98
"""O-H, Å; a hydrogen lies on each of the two places of a bond between oxygens half of the time."""

B_ICE: Final = 1.5  # Å², about 100 K
FINEST: Final = 1.0  # Å, of the lines of ice that are listed
NARROW: Final = 0.004
BROAD: Final = 0.9 / 30.0
"""Widths (FWHM of 1/d, 1/Å) of the lines of ice: sharp rings, and crystallites of 30 Å."""

OIL: Final[tuple[Halo, ...]] = ((4.7, 0.06, 2.6), (2.2, 0.12, 0.15))
FILM: Final[tuple[Halo, ...]] = ((5.3, 0.08, 1.5), (3.4, 0.08, 0.5), (2.1, 0.15, 0.15))


def free_squared(formula: Formula, stol: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Σ f², electrons²."""
    total = np.zeros_like(stol)
    for symbol, count in formula.items():
        total += count * _f(symbol, stol) ** 2
    return total


def compton(formula: Formula, stol: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Σ (Z − f²/Z), electrons²."""
    total = np.zeros_like(stol)
    for symbol, count in formula.items():
        number = gemmi.Element(symbol).atomic_number
        total += count * (number - _f(symbol, stol) ** 2 / number)
    return total


def _f(symbol: str, stol: NDArray[np.float64]) -> NDArray[np.float64]:
    table = gemmi.Element(symbol).it92
    return np.array([table.calculate_sf(value * value) for value in stol])


def liquid(
    formula: Formula, halos: Sequence[Halo], stol: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return F of a substance without order but its halos.

    Free atoms, times 1 plus a Gaussian for each halo, times what falls to 0 below the first halo,
    where a dense substance is even.
    """
    q = 2.0 * stol
    structure = np.ones_like(q)
    for spacing, width, height in halos:
        sigma = width / math.sqrt(8.0 * math.log(2.0))
        structure += height * np.exp(-0.5 * ((q - 1.0 / spacing) / sigma) ** 2)
    first = 1.0 / halos[0][0]
    even = 0.05 + 0.95 / (1.0 + np.exp(-(q - 0.75 * first) / (0.08 * first)))
    return np.sqrt(free_squared(formula, stol) * structure * even + compton(formula, stol))


def ice_lines() -> list[tuple[float, float]]:
    """Return 1/d, 1/Å, and Σ |F|² over the reflections of each line of ice Ih, electrons²."""
    atoms = list(_ice_atoms())
    top = round(2.0 * C / FINEST)
    reciprocal = np.linalg.inv(
        np.array([[A, 0, 0], [-A / 2, A * math.sqrt(3) / 2, 0], [0, 0, C]])
    ).T
    index = np.arange(-top, top + 1)
    hkl = np.stack(np.meshgrid(index, index, index, indexing="ij"), axis=-1).reshape(-1, 3)
    length = np.linalg.norm(hkl @ reciprocal, axis=1)
    kept = (length > 0.0) & (length <= 1.0 / FINEST)
    hkl, length = hkl[kept], length[kept]
    amplitude = np.zeros(len(hkl), dtype=np.complex128)
    for symbol, share, place in atoms:
        factor = _f(symbol, length / 2.0) * np.exp(-B_ICE * length**2 / 4.0)
        amplitude += share * factor * np.exp(2j * np.pi * (hkl @ place))
    lines: dict[float, float] = {}
    for at, squared in zip(np.round(length, 6).tolist(), np.abs(amplitude) ** 2, strict=True):
        lines[at] = lines.get(at, 0.0) + float(squared)
    return [(at, strength) for at, strength in sorted(lines.items()) if strength > 1e-3]


def _ice_atoms() -> Iterator[tuple[str, float, NDArray[np.float64]]]:
    """Yield symbol, occupancy and fractional place of the atoms of a cell of ice Ih."""
    z = OXYGEN_Z
    oxygens = [
        np.array(place)
        for place in (
            (1 / 3, 2 / 3, z), (2 / 3, 1 / 3, z + 0.5), (2 / 3, 1 / 3, -z), (1 / 3, 2 / 3, 0.5 - z)
        )
    ]  # fmt: skip
    cell = np.array([[A, 0, 0], [-A / 2, A * math.sqrt(3) / 2, 0], [0, 0, C]])
    shifts = [np.array(shift) for shift in np.ndindex(3, 3, 3)]
    for one in oxygens:
        yield "O", 1.0, one
        for other in oxygens:
            for shift in shifts:
                step = other + shift - 1.0 - one
                apart = float(np.linalg.norm(step @ cell))
                if 0.1 < apart < 3.0:
                    yield "H", 0.5, one + step * (BOND / apart)


def ice(lines: Sequence[tuple[float, float]], width: float) -> tuple[NDArray[np.float64], ...]:
    """Return sin(theta)/lambda and F of powdered ice per molecule of water."""
    at, strength = np.array(lines).T
    stol = np.union1d(ring_stol(at, width), np.linspace(0.0, 0.5, 101))
    stol = stol[(stol >= 0.0) & (stol <= 0.5)]
    water: Formula = {"H": 2, "O": 1}
    moving = 1.0 - np.exp(-2.0 * B_ICE * stol**2)
    squared = ring_squared(at, strength, width, stol) + moving * free_squared(water, stol)
    return stol, np.sqrt(squared + compton(water, stol))


def write(name: str, rows: Sequence[Sequence[float]], header: str) -> None:
    """Write a table with its header."""
    lines = [f"# {line}".rstrip() for line in header.splitlines()]
    lines += [" ".join(f"{number:.6g}" for number in row) for row in rows]
    (FOLDER / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


_COLUMNS: Final = "sin(theta)/lambda, 1/Å; F, electrons"
_STRUCTURE: Final = (
    f"Computed by tools/materials.py: P6_3/mmc, a = {A:.2f} Å, c = {C:.2f} Å, which give\n"
    "the ring spacings of Garman and Schneider (1997) J. Appl. Cryst. 30, 211; z of oxygen 0.0629\n"
    f"(Peterson and Levy (1957) Acta Cryst. 10, 70), half a hydrogen {BOND} Å along every bond\n"
    f"from either side, B = {B_ICE} Å²."
)


def main() -> None:
    """Write all tables."""
    script = "As in scripts that simulate with nanoBragg and simtbx (LS49, ExaFEL)."
    write("water.stol", WATER, f"Liquid water, per H2O. {script}\n{_COLUMNS}")
    write("air.stol", AIR, f"Air, per molecule of 28 g/mol. {script}\n{_COLUMNS}")
    lines = ice_lines()
    write(
        "ice_lines.txt",
        lines,
        f"Lines of ice Ih. {_STRUCTURE}\n1/d, 1/Å; Σ |F|² over the line's reflections, electrons²",
    )
    for name, width, what in (
        ("ice", NARROW, "Powdered ice Ih"),
        ("nano_ice", BROAD, "Ice Ih of 30 Å crystallites"),
    ):
        rows = list(zip(*ice(lines, width), strict=True))
        text = (
            f"{what}, per H2O: lines {width:.3f} 1/Å wide (FWHM of 1/d). {_STRUCTURE}\n{_COLUMNS}"
        )
        write(f"{name}.stol", rows, text)
    stol = np.concatenate([np.arange(0.0, 0.3, 0.0025), np.arange(0.3, 0.7001, 0.02)])
    model = "free atoms under Gaussian halos (tools/materials.py)"
    oil = liquid({"C": 1, "H": 2}, OIL, stol)
    halo = "halo of liquid paraffins at 4.7 Å"
    write(
        "oil.stol",
        list(zip(stol, oil, strict=True)),
        f"Paraffin oil, per CH2: {model}; {halo}.\n{_COLUMNS}",
    )
    film = liquid({"C": 22, "H": 10, "N": 2, "O": 5}, FILM, stol)
    write(
        "polymer_film.stol",
        list(zip(stol, film, strict=True)),
        f"Polyimide film, per C22H10N2O5: {model}; halos of amorphous polyimide at 5.3 and 3.4 Å."
        f"\n{_COLUMNS}",
    )


if __name__ == "__main__":
    main()
