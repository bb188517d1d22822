"""One panel's image as a differentiable function of the experiment's parameters.

The sum is that of `distbragg.kernel.model`, with tensors in place of its numbers.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from distbragg.errors import InputError
from distbragg.fit.amplitudes import table_of, with_scattering
from distbragg.fit.closed_form import Pixels, incidence_of, shape_of, spread_of, sum_spots
from distbragg.fit.orientation import cell_changes, cell_vectors, domain_vectors
from distbragg.fit.parameters import Parameters, checked
from distbragg.fit.placement import placed
from distbragg.fit.point_spread import spread_tensor
from distbragg.kernel.finalize import overlaid
from distbragg.kernel.model import make_sample, sample_intensity
from distbragg.kernel.overlay import overlay_of
from distbragg.kernel.scene import Scene, Source, make_scene
from distbragg.kernel.tile import active_positions, pixel_coordinates
from distbragg.models.beam import Beam
from distbragg.models.build import build_experiment
from distbragg.models.build_crystal import spot_form
from distbragg.models.crystal import unit_cells
from distbragg.models.experiment import Experiment
from distbragg.physics.amorphous import AmorphousTable, SummedTable, material_curves
from distbragg.physics.amplitude import AmplitudeTable
from distbragg.physics.arrays import Triple
from distbragg.physics.diffuse import DiffuseTerms, diffuse_terms
from distbragg.physics.factors import intensity_scale
from distbragg.physics.halos import EXPONENTIALS
from distbragg.physics.lattices import summed_lattices
from distbragg.physics.rays import SampleIndex, sample_indices
from distbragg.physics.transform import Spot
from distbragg.plan.frame import Tile
from distbragg.run.prepare import SpecLike, as_experiment
from distbragg.shapes import SHAPES

_BLOCK_EVALUATIONS: Final = 65_536
"""Pixels × orientations differentiated at once: about 60 float64 arrays of this length, 30 MB
(200 MB with tricubic look-up), is what one block keeps for its gradient."""

_KEPT_EVALUATIONS: Final = 262_144
"""Evaluations of a whole image up to which everything is kept for the gradient; beyond, each
block is computed again when it is differentiated, so that memory does not grow with them."""


def render_tensor(
    experiment: Experiment | SpecLike,
    parameters: Parameters | None = None,
    *,
    panel: int = 0,
    tile: Tile | None = None,
) -> Tensor:
    """Render expected photons per pixel, differentiable in float64.

    The image is that of `physics: exact`, the kernel's to rounding where the parameters are
    the experiment's own. It is differentiated exactly, except that nothing flows through
    decisions: the nearest reflection of nearest-point look-up, the resolution cut, the edge of
    TOPHAT spots. In closed form the image is the kernel's to 5e-5 of its maximum, in rare
    rotations to 3e-4, and nothing flows through the edge of a spot, which is cut where it is 1e-8
    of its maximum. Photon noise is not drawn. A point spread acts on the expected photons,
    and looks at the whole panel whatever the tile.

    Parameters
    ----------
    experiment : Experiment, ExperimentSpec, SweepSpec of one frame, or path
        A specification is read and resolved anew at every call: resolve it once with
        `distbragg.models.build.build_experiment` where it is rendered many times.
    parameters : Parameters, optional
        What replaces the experiment's own values; see `Parameters` for units and meanings.
        The tensors' device is where the image is rendered.
    panel : int
        Its number, from 0.
    tile : Tile, optional
        Pixels to render; the whole panel by default.

    Returns
    -------
    (slow, fast) float64 tensor
        Photons per pixel; 0 where a pixel is inactive.

    Raises
    ------
    InputError
        The specification cannot be used, or a parameter; `physics: nanobragg`; a panel that the
        detector lacks.
    """
    if not isinstance(experiment, Experiment):
        experiment = build_experiment(as_experiment(experiment))
    if experiment.physics != "exact":
        raise InputError(
            "gradients need every factor inside the sum",
            field="physics",
            remedy="set physics: exact",
        )
    count = len(experiment.detector.panels)
    if not 0 <= panel < count:
        raise InputError(
            f"panel {panel} is none of the detector, which has {count}",
            field="panel",
            remedy=f"give a number from 0 to {count - 1}",
        )
    values = checked(Parameters() if parameters is None else parameters, experiment)
    given = values.given()
    device = next((value.device for value in given.values()), torch.device("cpu"))
    view = experiment.detector.panels[panel]
    whole = Tile(0, view.shape[0], 0, view.shape[1])
    area = whole if tile is None else tile
    spread = view.point_spread
    if spread is None:
        return _expected(experiment, values, panel, area, device)
    # Photons come from everywhere on the panel.
    photons = _expected(experiment, values, panel, whole, device)
    recorded = spread_tensor(photons, view, spread, values.point_spread_fwhm_um)
    return recorded[area.slow_start : area.slow_stop, area.fast_start : area.fast_stop]


def _expected(
    experiment: Experiment, values: Parameters, panel: int, area: Tile, device: torch.device
) -> Tensor:
    """Return the expected photons of a part of a panel, (slow, fast), before they spread."""
    positions = active_positions(experiment.detector.panels[panel], area)
    image = torch.zeros(area.pixels, dtype=torch.float64, device=device)
    if positions.size > 0:
        slow, fast = pixel_coordinates(area, positions)
        pixels = Pixels(torch.from_numpy(slow).to(device), torch.from_numpy(fast).to(device))
        photons = torch.zeros_like(pixels.slow)
        lattices = summed_lattices(experiment)
        # All lattices have one |F|, whose ΔB is that of the first one's cell.
        first = replace(lattices[0].experiment, crystal=experiment.crystal)
        amplitudes = table_of(first, values, cell_vectors(first, values, device))
        for lattice in lattices:
            own, block = values.of_lattice(lattice.number), lattice.experiment.crystal
            own = own.of_block(experiment.lattices[lattice.number], block)
            part = _of_lattice(lattice.experiment, own, panel, pixels, amplitudes)
            if lattice.experiment.sampling.method == "halos":
                finer = lattice.experiment.sampling.oversample / experiment.sampling.oversample
                part = part * (lattice.share * finer**2)
            photons = photons + part
        if (overlay := overlay_of(experiment, panel)) is not None:
            photons = overlaid(photons, overlay, pixels.slow, pixels.fast)
        image = image.index_copy(0, torch.from_numpy(positions).to(device), photons)
    return image.reshape(area.shape)


def _of_lattice(
    experiment: Experiment,
    values: Parameters,
    panel: int,
    pixels: Pixels,
    amplitudes: AmplitudeTable,
) -> Tensor:
    """Return the expected photons of one lattice, (pixels,)."""
    real = cell_vectors(experiment, values, pixels.slow.device)
    scene = replace(_make_scene(experiment, values, panel, real), table=amplitudes)
    if experiment.sampling.method == "closed_form":
        shape = shape_of(experiment, values, scene.spot, real)
        photons = sum_spots(experiment, values, scene, shape, pixels)
    else:
        given = values.given().values()
        grows = torch.is_grad_enabled() and any(value.requires_grad for value in given)
        photons = _numerator(scene, pixels.slow, pixels.fast, differentiated=grows)
    return photons * _scale(experiment, values.source_weights)


def _make_scene(experiment: Experiment, parameters: Parameters, panel: int, real: Tensor) -> Scene:
    """Return the kernel's scene with the parameters in place but those of |F|."""
    device = real.device
    own = make_scene(experiment, panel, slice(None), device)
    crystal, method = experiment.crystal, experiment.sampling.method
    spread = parameters.mosaic_spread_deg if method == "sampled" else None
    spot = _spot(experiment, parameters, own.spot, real)
    sources = _sources(experiment.beam, own.sources, parameters)
    if method == "halos":
        own = replace(own, spread=spread_of(experiment, parameters, spot, real))
        sources = tuple(
            replace(one, incidence=incidence_of(experiment.beam, parameters, one))
            for one in sources
        )
    return replace(
        own,
        placement=placed(experiment, parameters, panel, device),
        spot=spot,
        vectors=domain_vectors(
            crystal, real, spread, cell_changes(crystal, real, parameters.cell_spread)
        ),
        blocks=own.blocks if parameters.scale is None else parameters.scale,
        sources=with_scattering(sources, experiment, parameters),
        diffuse=_diffuse(experiment, parameters, spot, real),
        background=_background(experiment, parameters, own, device),
    )


def _background(
    experiment: Experiment, parameters: Parameters, own: Scene, device: torch.device
) -> AmorphousTable | SummedTable | None:
    """Return the background with the intensity of each material multiplied."""
    scales = parameters.background_scales
    if scales is None:
        return own.background
    stol, curves = material_curves(experiment.background.materials)
    curve = (torch.from_numpy(curves).to(device) * scales[:, None, None]).sum(0)
    return SummedTable(torch.from_numpy(stol).to(device), curve)


def _spot(experiment: Experiment, parameters: Parameters, own: Spot, real: Tensor) -> Spot:
    """Return what the transform needs of the parameters' cell and numbers of cells."""
    if parameters.cell is None and parameters.cells is None:
        return own
    crystal = experiment.crystal
    given = parameters.cells
    if given is None:
        given = torch.tensor([*crystal.cells.tolist(), *crystal.cells_beside])
    cells = given.to(device=real.device, dtype=torch.float64).unbind()
    reciprocal = torch.tensor(crystal.reciprocal, device=real.device)
    if parameters.cell is not None:
        reciprocal = torch.linalg.inv(real).T
    rows = [row.unbind() for row in reciprocal]
    form = spot_form(crystal.shape, experiment.physics, crystal.fudge, cells, rows)
    if SHAPES[crystal.shape].form == "cells" and len(cells) == 3:
        # Plain zeros beside the diagonal are passed over.
        form = [[form[i][j] if i == j else 0.0 for j in range(3)] for i in range(3)]
    one, two, three = ((row[0], row[1], row[2]) for row in form)
    return Spot(crystal.shape, cells, (one, two, three))


def _diffuse(
    experiment: Experiment, parameters: Parameters, spot: Spot, real: Tensor
) -> DiffuseTerms | None:
    """Return what the diffuse part needs of the parameters."""
    diffuse = experiment.crystal.diffuse
    if diffuse is None:
        return None
    a_star, b_star, c_star = map(_triple, torch.linalg.inv(real).T)
    gamma, sigma = parameters.diffuse_gamma_angstrom, parameters.diffuse_sigma_angstrom
    return diffuse_terms(
        diffuse,
        (a_star, b_star, c_star),
        unit_cells(spot.cells),
        None if gamma is None else _triple(gamma),
        None if sigma is None else _triple(sigma),
    )


def _triple(vector: Tensor) -> Triple:
    one, two, three = vector.unbind()
    return one, two, three


def _sources(beam: Beam, own: tuple[Source, ...], parameters: Parameters) -> tuple[Source, ...]:
    """Put the parameters' wavelengths and weights into the sources."""
    wavelength, weights = parameters.wavelength_angstrom, parameters.source_weights
    found = []
    for index, source in enumerate(own):
        if wavelength is not None and wavelength.ndim == 1:
            source = replace(source, wavelength=wavelength[index])
        elif wavelength is not None:
            source = replace(source, wavelength=wavelength * (source.wavelength / beam.wavelength))
        if weights is not None:
            source = replace(source, weight=weights[index])
        found.append(source)
    return tuple(found)


def _scale(experiment: Experiment, weights: Tensor | None) -> Tensor | float:
    """r_e² Φ / (n_φ n_mosaic n_sub² W), with W = Σw of the weights given."""
    scale = intensity_scale(experiment)
    if weights is None or experiment.beam.sources.rule == "none":
        return scale
    return scale * experiment.beam.sources.total_weight / weights.sum()


def _numerator(scene: Scene, slow: Tensor, fast: Tensor, *, differentiated: bool) -> Tensor:
    """Σ over sources, layers and sub-pixels of w·P·C·Ω·(Σ F² + background), (pixels,)."""
    samples = list(sample_indices(scene.placement.panel.sensor.count, scene.sampling.oversample))
    orientations = int(scene.vectors.shape[0])
    if scene.diffuse is not None:  # a halo keeps about a quarter of what a spot does
        orientations *= 1 + scene.diffuse.per_step // 4
    if scene.spread is not None:
        orientations *= len(EXPONENTIALS)
    block = max(1, _BLOCK_EVALUATIONS // orientations)
    evaluations = int(slow.shape[0]) * orientations * len(scene.sources) * len(samples)
    intensity = _sample_intensity
    if differentiated and evaluations > _KEPT_EVALUATIONS:
        intensity = partial(
            checkpoint, _sample_intensity, use_reentrant=False, preserve_rng_state=False
        )
    parts: list[Tensor] = []
    for rows, columns in zip(torch.split(slow, block), torch.split(fast, block), strict=True):
        total = torch.zeros_like(rows)
        for source in scene.sources:
            value = torch.zeros_like(rows)
            for sample in samples:
                value = value + intensity(scene, source, sample, rows, columns)
            total = total + value * source.weight
        parts.append(total)
    return torch.cat(parts)


def _sample_intensity(
    scene: Scene, source: Source, index: SampleIndex, slow: Tensor, fast: Tensor
) -> Tensor:
    """P·C·Ω·[Σ_φ Σ_mosaic F² + background] of one source and sample, (pixels,)."""
    sample = make_sample(scene, slow, fast, index)
    evaluations = int(slow.shape[0]) * int(scene.vectors.shape[0])
    return sample_intensity(scene, source, sample, evaluations)
