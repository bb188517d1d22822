"""One case of simtbx: its numbers as specifications, and its image by distbragg."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
from scipy.spatial.transform import Rotation

import distbragg as db
from distbragg.kernel.options import resolve_options
from distbragg.models.block import unit_cells
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.plan.frame import plan_frame
from distbragg.rendering.frame import render_frame
from distbragg.spec.compute import ComputeSpec
from tools.simtbx.diffuse import diffuse_parts, with_diffuse
from tools.simtbx.optics import (
    Array,
    Json,
    cell_and_orientation,
    cubic,
    normal_of,
    plane_of,
    polarization,
    positions,
    solid_angle,
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


class Case:
    """One case: its numbers as specifications, and what its image holds beyond the physics.

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

    def render(self, threads: int = 1) -> Array:
        """Return the photons of the case's image, ([panels,] slow, fast), by distbragg.

        `threads`: of the kernel, which changes no bit.

        Raises
        ------
        DistbraggError, ValueError
            The specification was refused.
        """
        self.threads = threads
        return self.weight() * self._by_formula()

    def experiment(self) -> Experiment:
        """Return the experiment of the case without polarisation, to be differentiated."""
        found = build_experiment(db.ExperimentSpec.model_validate(self._unpolarized()))
        given = self.case.get("diffuse")
        return with_diffuse(found, given) if given else found

    def weight(self) -> float:
        """Return how many times the photons of its fluence the case's image holds.

        distbragg divides by the sum of the weights; simtbx takes them as they are (defects A1
        and C1), and diffBragg divides by the number of sources and layers (A2, A3).
        """
        total = math.fsum(item["weight"] for item in self.sources)
        return total / (len(self.sources) * self.layers if self.formula == "D1" else 1)

    def dressed(self, image: Array) -> Array:
        """Return an image of `experiment`, or its derivative, with what else the case's holds."""
        return self.weight() * image * self._polarization_of_pixel()

    def _by_formula(self) -> Array:
        if self.formula == "B1":
            return self._image(self._background(1.0)) - self._image(self._background(-1.0))
        if self.formula == "S1-nks" or (self.at_centre and self.sub > 1):
            return self._of_one_sample() * self._polarization_of_pixel()
        if self.broken:
            return self._image(self._one_cell()) * self._interference()
        one = len(self.sources) == self.sub == self.layers == 1
        if self.formula == "S1" and one:
            return self._image(self._spots())
        if self.case.get("diffuse"):
            return self._with_diffuse() * self._polarization_of_pixel()
        return self._image(self._unpolarized()) * self._polarization_of_pixel() * self._heights()

    def _heights(self) -> float:
        """Return 1, or 1/det(N)² where the height of a spot is left out."""
        if not self.case.get("no_Nabc_scale"):
            return 1.0
        return 1.0 / self._unit_cells() ** 2

    def _with_diffuse(self) -> Array:
        """Return the diffuse part as simtbx scales it, with the spots unless it is alone."""
        given = self.case["diffuse"]
        image = np.zeros(())
        for part in diffuse_parts(self.experiment()):
            image = image + part.share(self) * self._of(part.experiment) * self.diffuse_scale()
        return image if given.get("only_diffuse") else image + self._image(self._unpolarized())

    def _of(self, experiment: Experiment) -> Array:
        """Return the diffuse part of an experiment, unscaled."""
        crystal = replace(experiment.crystal, diffuse=None)
        both, spots = (
            self._rendered(each) for each in (experiment, replace(experiment, crystal=crystal))
        )
        return both - spots

    def _rendered(self, experiment: Experiment) -> Array:
        compute = ComputeSpec(precision="float64")
        plan, options = plan_frame(experiment, compute), resolve_options(compute, self.threads)
        image = render_frame(experiment, plan, options)
        return image[0] if len(self.panels) == 1 else image

    def diffuse_scale(self) -> float:
        """Return simtbx's diffuse part over distbragg's, V/(N · points of the stencil).

        distbragg's is that of N cells of volume V, and adds up the points of the stencil; simtbx
        leaves out N/V and takes the mean of the points (defect F8).
        """
        vectors = np.array([self.scene["crystal"][f"{axis}_A"] for axis in "abc"])
        points = (2 * self.case["diffuse"]["stencil"] + 1) ** 3
        volume = abs(float(np.linalg.det(vectors)))
        return volume / (self._unit_cells() * float(points))

    def _unit_cells(self) -> float:
        """Return det N."""
        return float(unit_cells((*self.cells, *self.case.get("N_def", ()))))

    def _one_cell(self) -> Json:
        """Specification of a single cell, whose transform is 1 everywhere."""
        spec = self._spots()
        spec["crystal"] |= {"cells": [1, 1, 1], "shape": "square"}
        return spec

    def indices(self, panel: Json) -> Array:
        """Return h, k, l at the middle of each pixel, of the first source, (slow, fast, 3)."""
        place = positions(panel, (0.0, 0.0), 1)
        ray = place / np.sqrt((place**2).sum(axis=-1, keepdims=True))
        source = self.sources[0]
        q = (ray + unit(np.array(source["sample_to_source"]))) / source["wavelength_A"]
        return np.asarray(q @ np.array([self.scene["crystal"][f"{axis}_A"] for axis in "abc"]).T)

    def _interference(self) -> Array:
        """Product of (sin(pi N h)/sin(pi h))² over the axes, at the middle of each pixel."""
        factors = []
        for panel in self.panels:
            index = self.indices(panel)
            ratio = np.sin(math.pi * index * np.array(self.cells)) / np.sin(math.pi * index)
            factors.append((ratio**2).prod(axis=-1))
        return self._stacked(factors)

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
            "cells": [*(int(n) if whole else n for n in crystal["N"]), *self._beside()],
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
        spindle = self.scene["spindle"]
        if spindle is not None and not self.case.get("rotate_before_U"):
            phi = spindle["phi_deg"]
            step = phi[1] - phi[0] if len(phi) > 1 else 0.0
            # distbragg takes the middle of each step, the case lists the angles themselves.
            spec["goniometer"] = {"spindle_axis": spindle["axis"], "phi_deg": phi[0] - 0.5 * step}
            if len(phi) > 1:
                spec["goniometer"] |= {"oscillation_deg": step * len(phi), "steps": len(phi)}
        return spec

    def _beside(self) -> list[float]:
        """Nd, Ne, Nf of the matrix of cells; none of a crystal that has three numbers."""
        return list(self.case.get("N_def", ()))

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
        spec["crystal"] = {"cell": [10, 10, 10, 90, 90, 90], "cells": [1, 1, 1]}
        spec["structure_factors"] = {
            "file": self._file("none.hkl", ["900 900 900 1"]),
            "interpolate": False,
        }
        return spec

    def _of_one_sample(self) -> Array:
        """Sum F²L² of all sub-pixels, times the solid angle of one place of each pixel.

        That is the last sub-pixel of S1-nks, and the middle of a pixel of diffBragg.
        Every sub-pixel is rendered as a pixel of its own and freed of its own solid angle.
        """
        one = self.sub - 1.0 if self.formula == "S1-nks" else 0.5 * (self.sub - 1.0)
        summed = []
        for panel, image in zip(self.panels, self._sub_pixels(self._unpolarized()), strict=True):
            total = np.zeros((panel["n_slow"], panel["n_fast"]))
            for row, column in product(range(self.sub), repeat=2):
                own = image[row :: self.sub, column :: self.sub]
                own = own[: panel["n_slow"], : panel["n_fast"]]
                total += own / self._solid_angle(panel, (row, column))
            summed.append(total / self.sub**2 * self._solid_angle(panel, (one, one)))
        return self._stacked(summed)

    def _sub_pixels(self, spec: Json) -> Array:
        """Return photons per area of a whole pixel, with every sub-pixel rendered as a pixel."""
        spec["sampling"]["oversample"] = 1
        for panel in spec["detector"]["panels"]:
            panel["pixel_size_mm"] /= self.sub
            panel["pixels_fast"] *= self.sub
            panel["pixels_slow"] *= self.sub
        image = self._image(spec) * (1.0 if self.point else self.sub**2)
        return image.reshape(-1, *image.shape[-2:])

    def _solid_angle(self, panel: Json, sample: tuple[float, float]) -> Array:
        return solid_angle(panel, positions(panel, sample, self.sub), point=self.point)

    def _polarization_of_pixel(self) -> Array:
        """Return the factor that stands for a whole pixel.

        That of the last sample and source of nanoBragg, or of the centre of the pixel's front
        and the first source of diffBragg.
        """
        if not self.polarized:
            return np.ones(())
        if self.formula == "S1" and self.scene["crystal"]["shape"] == "tophat":
            return self._polarization_of_light()
        last = float(self.sub - 1)
        sample, source, depth = (last, last), self.sources[-1], self.step * (self.layers - 1)
        if self.formula == "D1":
            sample, source, depth = (0.5 * last, 0.5 * last), self.sources[0], 0.0
        return self._stacked(
            [
                polarization(self.beam, source, positions(panel, sample, self.sub, depth))
                for panel in self.panels
            ]
        )

    def _polarization_of_light(self) -> Array:
        """Return the factor of the last step that gave light: a tophat's is 0 beyond its edge.

        Where a step is lit shows in an image of its layer and source alone, every |F| being 1.
        """
        lit = {}
        for layer, index in product(range(self.layers), range(len(self.sources))):
            spec, alone = self._unpolarized(), self.sources[index]
            spec["structure_factors"] = {"default_f_electrons": 1.0, "interpolate": False}
            spec["beam"].pop("source_file", None)
            spec["beam"]["wavelength_angstrom"] = alone["wavelength_A"]
            spec["beam"]["direction"] = [-part for part in alone["sample_to_source"]]
            spec["detector"]["sensor"] = {}
            for panel, own in zip(spec["detector"]["panels"], self.panels, strict=True):
                origin = np.array(own["origin_mm"]) + layer * self.step * normal_of(own)
                panel["origin_mm"] = origin.tolist()
            lit[layer, index] = self._sub_pixels(spec) > 0.0
        factors = []
        for number, panel in enumerate(self.panels):
            shape = panel["n_slow"], panel["n_fast"]
            factor = np.ones(shape)
            for row, column in product(range(self.sub), repeat=2):
                for (layer, index), bright in lit.items():
                    here = bright[number, row :: self.sub, column :: self.sub]
                    place = positions(panel, (row, column), self.sub, layer * self.step)
                    factor_here = polarization(self.beam, self.sources[index], place)
                    factor = np.where(here[: shape[0], : shape[1]], factor_here, factor)
            factors.append(factor)
        return self._stacked(factors)

    def _image(self, spec: Json) -> Array:
        """Render; the solid angle, by the distance of the front plane, is that of the case."""
        checked = db.ExperimentSpec.model_validate(spec)
        image = np.asarray(db.render(checked)["images"].to_numpy(), dtype=np.float64)
        if self._lift == 0.0 or self.point:
            return image
        planes = np.array([plane_of(panel) for panel in self.panels])
        factors = (planes / (planes - self._lift))[:, None, None]
        return image * (factors if len(self.panels) > 1 else factors[0])

    def _stacked(self, images: list[Array]) -> Array:
        """Stack images of panels as a stack of distbragg has them: padded to the largest."""
        if len(images) == 1:
            return images[0]
        shape = np.max([image.shape for image in images], axis=0)
        stack = np.zeros((len(images), *shape))
        for index, image in enumerate(images):
            stack[index, : image.shape[0], : image.shape[1]] = image
        return stack

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

    def _file(self, name: str, lines: Iterable[str]) -> str:
        path = self.scratch / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(path)
