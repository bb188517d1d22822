"""One case of simtbx: its image by distbragg."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np

import distbragg as db
from distbragg.kernel.options import resolve_options
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.plan.frame import plan_frame
from distbragg.rendering.frame import render_frame
from distbragg.spec.compute import ComputeSpec
from tools.simtbx.diffuse import diffuse_parts, with_diffuse
from tools.simtbx.optics import (
    Array,
    Json,
    normal_of,
    plane_of,
    polarization,
    positions,
    solid_angle,
)
from tools.simtbx.specification import Specified


class Case(Specified):
    """One case: what its image holds beyond the physics."""

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

    def _interference(self) -> Array:
        """Product of (sin(pi N h)/sin(pi h))² over the axes, at the middle of each pixel."""
        factors = []
        for panel in self.panels:
            index = self.indices(panel)
            ratio = np.sin(math.pi * index * np.array(self.cells)) / np.sin(math.pi * index)
            factors.append((ratio**2).prod(axis=-1))
        return self._stacked(factors)

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
