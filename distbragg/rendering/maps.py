"""Maps of a frame: of each pixel what its expected photons are made of.

The crystal is rendered alone, by the kernel and the plan that render the frame, so that whatever
changes no bit of the frame changes none of its maps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.kernel.options import KernelOptions
from distbragg.kernel.strongest import find_strongest
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array
from distbragg.physics.factors import orientation_count
from distbragg.physics.lattices import CLEAR
from distbragg.plan.frame import plan_frame
from distbragg.plan.maps import MAP_TYPES, mask_bounds
from distbragg.rendering.frame import render_into, tile_places
from distbragg.spec.compute import ComputeSpec, OutputSpec

_STEP: Final = 0.1
"""Standard deviations of a normal spectrum by which it is moved to see what gains by that."""

_FARTHEST: Final = 6.0
"""Standard deviations from the middle of a normal spectrum, beyond which none of its light is."""

Maps = dict[str, NDArray[Any]]


class MapMaker:
    """Makes the maps of one frame after another, as `output` asks for them."""

    def __init__(self, output: OutputSpec, compute: ComputeSpec, options: KernelOptions) -> None:
        self._output, self._compute, self._options = output, compute, options

    def maps(self, experiment: Experiment, frame: int) -> Maps:
        """Return the maps of a frame by name, each (panels, slow, fast) of its stored type."""
        wanted = set(self._output.maps or ())
        clean = _clean(experiment)
        found: dict[str, NDArray[Any]] = {}
        if wanted & {"hkl", "lattice"}:
            strongest = self._strongest(replace(clean, background=CLEAR))
            found |= {"lattice": strongest[..., 0], "hkl": strongest[..., 1:]}
        if wanted <= found.keys():
            return {name: found[name] for name in sorted(wanted)}
        bragg = self._bragg(clean, frame)
        if wanted & {"background", "bragg_share", "spot_mask"}:
            found["background"] = self._background(clean, frame)
            whole = bragg + found["background"]
            share = np.divide(bragg, whole, out=np.zeros_like(whole), where=whole > 0.0)
            photons, least = mask_bounds(self._output)
            found["bragg_share"] = share
            found["spot_mask"] = (bragg > 0.0) & (bragg >= photons) & (share >= least)
        found["bragg"] = bragg
        if "mean_wavelength" in wanted:
            found["mean_wavelength"] = self._wavelength(clean, bragg, frame)
        return {name: _stored(found[name], MAP_TYPES[name]) for name in sorted(wanted)}

    def _strongest(self, experiment: Experiment) -> NDArray[np.int16]:
        """Return lattice, h, k and l of the strongest reflection, (panels, slow, fast, 4)."""
        plan = plan_frame(experiment, self._compute)
        found = np.empty((plan.panels, *plan.shape, 4), dtype=np.int16)
        for panel, index in tile_places(plan):
            tile = plan.tiles[index]
            rows = slice(tile.slow_start, tile.slow_stop)
            columns = slice(tile.fast_start, tile.fast_stop)
            told = find_strongest(experiment, panel, tile, self._options)
            found[panel, rows, columns] = told.reshape(*tile.shape, 4)
        return found

    def _render(self, experiment: Experiment, frame: int) -> Float64Array:
        plan = plan_frame(experiment, self._compute)
        image = np.empty((plan.panels, *plan.shape))
        render_into(image, experiment, plan, self._options, frame=frame)
        return image

    def _bragg(self, clean: Experiment, frame: int) -> Float64Array:
        return self._render(replace(clean, background=CLEAR), frame)

    def _background(self, clean: Experiment, frame: int) -> Float64Array:
        """Render all but the crystal: a miss of one step, for a background knows no other.

        The C program's sum starts at its background, and is divided by the steps.
        """
        crystal, background = clean.crystal, clean.background
        if clean.physics == "nanobragg" and any(one.scale > 0.0 for one in clean.lattices):
            molecules = background.molecules / orientation_count(clean)
            background = replace(background, molecules=molecules)
        dark = replace(
            crystal,
            scale=0.0,
            phi=crystal.phi[:1],
            mosaic_rotations=crystal.mosaic_rotations[:1],
            cell_deviates=None if crystal.cell_deviates is None else crystal.cell_deviates[:1],
        )
        return self._render(replace(clean, crystal=dark, others=(), background=background), frame)

    def _wavelength(self, clean: Experiment, bragg: Float64Array, frame: int) -> Float64Array:
        """Return Σ I λ / Σ I over all that scatters into a pixel; no number where nothing does.

        Of normal spectra it is 1 / (Σ I k / Σ I), with k of each line by what its light gains where
        the line is moved: ∫ k S f dk = k₀ F + σ² dF/dk₀ of F = ∫ S f dk, S normal about k₀.
        """
        sources = clean.beam.sources
        width, wave = sources.bandwidth, sources.wavelength
        least, most = float(wave.min()), float(wave.max())
        lit = bragg > 0.0
        if width == 0.0 and least == most:
            return np.where(lit, least, np.nan)
        if width == 0.0:
            mean = _ratio(self._weighted(clean, wave, 0.0, frame), bragg, lit)
            return np.clip(mean, least, most)
        k = 1.0 / wave
        middle = bragg * k[0] if least == most else self._weighted(clean, k, 0.0, frame)
        sigma = width * k
        rise = self._weighted(clean, sigma, _STEP, frame)
        rise -= self._weighted(clean, sigma, -_STEP, frame)
        mean = _ratio(middle + rise / (2.0 * _STEP), bragg, lit)
        far = _FARTHEST * width
        return 1.0 / np.clip(mean, (1.0 - far) / most, (1.0 + far) / least)

    def _weighted(
        self, clean: Experiment, factor: Float64Array, moved: float, frame: int
    ) -> Float64Array:
        """Render the crystal with the sources' weights times a factor, and their lines moved.

        They are moved by `moved` standard deviations in wavenumber, and stay as wide as they are.
        """
        sources = clean.beam.sources
        shift = 1.0 + moved * sources.bandwidth
        beam = replace(
            clean.beam,
            sources=replace(
                sources,
                weight=sources.weight * factor,
                wavelength=sources.wavelength / shift,
                bandwidth=sources.bandwidth / shift,
            ),
        )
        return self._bragg(replace(clean, beam=beam), frame)


def _clean(experiment: Experiment) -> Experiment:
    """Return an experiment whose frame is its expected photons."""
    detector = experiment.detector
    if any(panel.point_spread is not None for panel in detector.panels):
        panels = tuple(replace(panel, point_spread=None) for panel in detector.panels)
        detector = replace(detector, panels=panels)
    noise = replace(experiment.noise, photon=False)
    return replace(experiment, detector=detector, noise=noise, response=None)


def _ratio(part: Float64Array, whole: Float64Array, lit: NDArray[np.bool_]) -> Float64Array:
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=lit)


def _stored(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Convert to the stored type; what is beyond it becomes its largest, as of images."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        values = np.minimum(values, np.finfo(kind).max)
    return values.astype(kind)
