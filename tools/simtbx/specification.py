"""One case of simtbx as specifications of distbragg: its numbers, and the files they name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from scipy.spatial.transform import Rotation

from distbragg.models.crystal import unit_cells
from tools.simtbx.optics import (
    Array,
    Json,
    cell_and_orientation,
    cubic,
    normal_of,
    positions,
    unit,
)

GAUSS_FUDGE: Final = 2.0 / (math.pi * 0.63)
"""simtbx's exp(-r²f/0.63) as distbragg's exp(-(pi/2) r² fudge): fudge over f."""
TOPHAT_FUDGE: Final = (3.0 / (4.0 * math.pi)) ** (2.0 / 3.0) / 0.3969
"""simtbx's r²f < 0.3969 as distbragg's r² fudge < (3/(4 pi))^(2/3)."""
SHAPES: Final = {
    "square": ("square", 1.0),
    "round": ("round", 1.0),
    "gauss": ("gauss", GAUSS_FUDGE),
    # Cut where the amplitude is below exp(-35) of its height: no image shows it.
    "gauss_argchk": ("gauss", GAUSS_FUDGE),
    "tophat": ("tophat", TOPHAT_FUDGE),
}

STOL_STEP: Final = 1e-5
"""1/Å: distbragg takes F as linear between the points of a table, simtbx as cubic; the table is
written out so finely that both are the same."""


class Specified:
    """One case: its numbers as specifications.

    Parameters
    ----------
    case : dict
        An entry of `cases.json` that has a scene.
    folder : Path
        Where its files are.
    scratch : Path
        Empty folder for the files that specifications name.
    """

    def __init__(self, case: Json, folder: Path, scratch: Path) -> None:
        self.case, self.folder, self.scratch = case, folder, scratch
        self.scene: Json = case["scene"]
        self.beam: Json = self.scene["beam"]
        self.panels: list[Json] = self.scene["panels"]
        # M1 makes the matrices, which the case lists.
        self.formula: str = case["formula"].removesuffix("+M1").removesuffix("+D2")
        self.at_centre = bool(case.get("omega_at_centre"))
        crystal: Json = self.scene["crystal"]
        self.cells: list[float] = crystal["N"]
        self.threads = 1
        self.broken = crystal["shape"] == "square" and any(n != round(n) for n in self.cells)
        self.sub: int = self.scene["oversample"]
        self.polarized = not self.scene.get("nopolar", False)
        self.point = bool(self.scene.get("point_pixel", False))
        self.sources = self._sources()
        sensor = self.scene["sensor"]
        self.thick: float = sensor["thickness_mm"]
        self.layers: int = sensor["layers"] if self.thick > 0.0 else 1
        step = sensor.get("layer_step_mm")
        self.step: float = self.thick / max(self.layers - 1, 1) if step is None else step

    def _sources(self) -> list[Json]:
        """Return the sources with their own wavelengths; of a background, the one for all."""
        offset, slope = self.case.get("lambda_coefficients", (0.0, 1.0))
        sources = [
            {**item, "wavelength_A": offset + slope * item["wavelength_A"]}
            for item in self.beam["sources"]
        ]
        chosen = self.case.get("source", -1)
        return sources if chosen < 0 else [{**sources[chosen], "weight": float(len(sources))}]

    def _unit_cells(self) -> float:
        """Return det N."""
        return float(unit_cells((*self.cells, *self.case.get("N_def", ()))))

    def _beside(self) -> list[float]:
        """Nd, Ne, Nf of the matrix of cells; none of a crystal that has three numbers."""
        return list(self.case.get("N_def", ()))

    def _one_cell(self) -> Json:
        """Specification of a single cell, whose transform is 1 everywhere."""
        spec = self._spots()
        spec["crystal"] |= {"block_cells": [1, 1, 1], "shape": "square"}
        return spec

    def indices(self, panel: Json) -> Array:
        """Return h, k, l at the middle of each pixel, of the first source, (slow, fast, 3)."""
        place = positions(panel, (0.0, 0.0), 1)
        ray = place / np.sqrt((place**2).sum(axis=-1, keepdims=True))
        source = self.sources[0]
        q = (ray + unit(np.array(source["sample_to_source"]))) / source["wavelength_A"]
        return np.asarray(q @ np.array([self.scene["crystal"][f"{axis}_A"] for axis in "abc"]).T)

    def _base(self) -> Json:
        """Beam and detector."""
        first = self.sources[0]
        sensor: Json = {}
        if self.thick > 0.0:
            length = self.scene["sensor"]["attenuation_length_mm"]
            sensor["thickness_um"] = self.step * self.layers * 1e3
            sensor["layers"] = self.layers
            sensor["attenuation_length_um"] = 0.0 if length is None else length * 1e3
        spec: Json = {
            "physics": "exact",
            "beam": {
                "wavelength_angstrom": first["wavelength_A"],
                "direction": [-part for part in first["sample_to_source"]],
                "fluence_photons_per_m2": self.beam["fluence_photons_per_m2"],
                "polarization": {
                    "enabled": self.polarized,
                    "kahn_factor": self.beam["kahn_polarization"],
                    "axis": self.beam["E_axis"],
                },
            },
            "detector": {
                "panels": [self._panel(panel) for panel in self.panels],
                "sensor": sensor,
                "point_pixel": self.point,
            },
            "sampling": {"oversample": self.sub},
            "compute": {"precision": "float64"},
        }
        if len(self.sources) > 1:
            spec["beam"]["source_file"] = self._file("sources.txt", self._source_lines())
        return spec

    @property
    def _lift(self) -> float:
        """Half a step, mm: simtbx samples a layer at its front, distbragg at its middle."""
        return 0.5 * self.step if self.thick > 0.0 else 0.0

    def _panel(self, panel: Json) -> Json:
        origin = np.array(panel["origin_mm"]) - self._lift * normal_of(panel)
        return {
            "origin_mm": origin.tolist(),
            "fast": panel["fast"],
            "slow": panel["slow"],
            "pixels_fast": panel["n_fast"],
            "pixels_slow": panel["n_slow"],
            "pixel_size_mm": panel["pixel_mm"],
        }

    def _spots(self) -> Json:
        """Specification of the crystal's image."""
        spec, crystal = self._base(), self.scene["crystal"]
        if self.formula != "S1-nks":
            spec["beam"]["fluence_photons_per_m2"] *= self.scene["spot_scale"]
        shape, fudge = SHAPES[crystal["shape"]]
        vectors = np.array([crystal[f"{axis}_A"] for axis in "abc"]) @ self._turn().T
        cell, orientation = cell_and_orientation(vectors)
        whole = all(n == round(n) for n in crystal["N"])
        spec["crystal"] = {
            "cell": cell,
            "u_matrix": orientation.ravel().tolist(),
            "block_cells": [*(int(n) if whole else n for n in crystal["N"]), *self._beside()],
            "shape": shape,
            "fudge": crystal["fudge"] * fudge,
        }
        if self.scene["mosaic_matrices"] is not None:
            matrices = str(self.folder / self.scene["mosaic_matrices"])
            spec["crystal"]["mosaic"] = {"matrices_file": matrices}
        spec["structure_factors"] = {
            "file": self._file("p1.hkl", self._reflection_lines()),
            "default_f_electrons": crystal["default_F"],
            "interpolate": False,
        }
        if "channels" in self.case:
            spec["structure_factors"] = {"channels": self._channels(), "interpolate": False}
        spindle = self.scene["spindle"]
        if spindle is not None and not self.case.get("rotate_before_U"):
            phi = spindle["phi_deg"]
            step = phi[1] - phi[0] if len(phi) > 1 else 0.0
            # distbragg takes the middle of each step, the case lists the angles themselves.
            spec["goniometer"] = {"spindle_axis": spindle["axis"], "phi_deg": phi[0] - 0.5 * step}
            if len(phi) > 1:
                spec["goniometer"] |= {"oscillation_deg": step * len(phi), "steps": len(phi)}
        return spec

    def _unpolarized(self) -> Json:
        spec = self._spots()
        spec["beam"]["polarization"]["enabled"] = False
        return spec

    def _turn(self) -> Array:
        """Return what diffBragg turns the crystal by: Rx Ry Rz by minus their angles.

        It turns about the spindle before U orients the crystal (defect F5): by U R U⁻¹.
        """
        turn = np.eye(3)
        if self.case.get("rotate_before_U"):
            spindle, own = self.scene["spindle"], np.array(self.case["U"]).reshape(3, 3)
            angle = math.radians(spindle["phi_deg"][0]) * np.array(spindle["axis"])
            turn = own @ Rotation.from_rotvec(angle).as_matrix() @ own.T
        for single in self.turns():
            turn = turn @ single
        return turn

    def turns(self) -> list[Array]:
        """Return Rx, Ry and Rz of diffBragg, which turn by minus their angles."""
        turns = []
        for axis, angle in enumerate(self.case.get("rot_rad", ())):
            first, second = (axis + 1) % 3, (axis + 2) % 3
            single = np.eye(3)
            single[first, first] = single[second, second] = math.cos(angle)
            single[first, second], single[second, first] = math.sin(angle), -math.sin(angle)
            turns.append(single)
        return turns

    def _background(self, sign: float) -> Json:
        """Specification of the scattering of F of one sign in the table, without a crystal."""
        spec, matter = self._base(), self.case["amorphous"]
        table = np.loadtxt(self.folder / matter["table"], ndmin=2)
        stol = np.arange(0.0, 1.0 / min(s["wavelength_A"] for s in self.sources), STOL_STEP)
        stol = np.unique(np.concatenate([stol, table[:, 0]]))
        amplitude = np.maximum(sign * cubic(table, stol), 0.0)
        rows = (f"{x!r} {f!r}" for x, f in zip(stol.tolist(), amplitude.tolist(), strict=True))
        spec["beam"]["size_mm"] = math.sqrt(matter["width_mm"] * matter["height_mm"])
        spec["background"] = {
            "stol_file": self._file(f"table{sign:+.0f}.stol", rows),
            "thickness_um": matter["thickness_mm"] * 1e3,
            "density_g_per_cm3": matter["density_g_per_cm3"],
            "molar_mass_g_per_mol": matter["molecular_weight_Da"],
        }
        # A crystal must be; its one reflection lies beyond every sample.
        spec["crystal"] = {"cell": [10, 10, 10, 90, 90, 90], "block_cells": [1, 1, 1]}
        spec["structure_factors"] = {
            "file": self._file("none.hkl", ["900 900 900 1"]),
            "interpolate": False,
        }
        return spec

    def _source_lines(self) -> Iterator[str]:
        for item in self.sources:
            metres = item["wavelength_A"] * 1e-10
            yield " ".join(map(repr, [*item["sample_to_source"], item["weight"], metres]))

    def _reflection_lines(self) -> Iterator[str]:
        """Lines of the list without (0,0,0), whose amplitude simtbx replaces by 0 (E1)."""
        text = (self.folder / self.scene["crystal"]["hkl"]).read_text(encoding="utf-8")
        rows = [line.split() for line in text.splitlines() if line.strip()]
        yield from (" ".join(row[:4]) for row in rows if any(float(x) for x in row[:3]))
        yield "0 0 0 0"

    def _channels(self) -> list[Json]:
        """Return the channels: |F|² of each reflection times its scale in each."""
        scales = np.loadtxt(self.folder / self.case["scales_file"])
        of = {tuple(row[:3].astype(int).tolist()): row[3:] for row in scales}
        rows = [
            (*map(int, (w := line.split())[:3]), float(w[3])) for line in self._reflection_lines()
        ]
        found = []
        for channel in sorted(set(self.case["channels"])):
            lines = [
                f"{h} {k} {l} {f * math.sqrt(of[h, k, l][channel] if (h, k, l) in of else 1.0)!r}"
                for h, k, l, f in rows  # noqa: E741 - Miller indices
            ]
            sources = [n for n, own in enumerate(self.case["channels"]) if own == channel]
            file = self._file(f"channel{channel}.hkl", lines)
            found.append({"file": file, "sources": sources})
        return found

    def _file(self, name: str, lines: Iterable[str]) -> str:
        path = self.scratch / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(path)
