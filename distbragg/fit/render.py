"""One panel's image as a differentiable function of the experiment's parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from distbragg.errors import InputError
from distbragg.fit.functions import safe_root
from distbragg.fit.geometry import (
    Placement,
    capture_fraction,
    place_panel,
    sample_rays,
    solid_angle,
)
from distbragg.fit.lattice import Lattice, lattice_amplitude
from distbragg.fit.orientation import cell_vectors, domain_vectors, reciprocal_vectors
from distbragg.fit.parameters import Parameters, checked
from distbragg.kernel.background import BackgroundTable, background_intensity, background_table
from distbragg.kernel.geometry import (
    Rays,
    SampleIndex,
    active_positions,
    cosine_to_normal,
    pixel_coordinates,
    sample_indices,
)
from distbragg.kernel.lookup import AmplitudeTable, amplitude_table, cell_amplitude
from distbragg.kernel.polarization import polarization_factor, polarization_frame
from distbragg.kernel.scale import intensity_scale
from distbragg.models.arrays import Float64Array
from distbragg.models.beam import Beam
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment, Sampling
from distbragg.models.vectors import Vector
from distbragg.plan.keys import Tile
from distbragg.spec.experiment import ExperimentSpec

_BLOCK_EVALUATIONS: Final = 65_536
"""Pixels × orientations differentiated at once: about 60 float64 arrays of this length, 30 MB
(200 MB with tricubic look-up), is what one block keeps for its gradient."""

_KEPT_EVALUATIONS: Final = 262_144
"""Evaluations of a whole image up to which everything is kept for the gradient; beyond, each
block is computed again when it is differentiated, so that memory does not grow with them."""


@dataclass(frozen=True, slots=True)
class _Scene:
    """The experiment with its parameters in place."""

    beam: Beam
    sampling: Sampling
    placement: Placement
    lattice: Lattice
    vectors: Tensor
    wavelengths: Tensor
    table: AmplitudeTable
    background: BackgroundTable | None


def render_tensor(
    experiment: Experiment | ExperimentSpec,
    parameters: Parameters | None = None,
    *,
    panel: int = 0,
    tile: Tile | None = None,
) -> Tensor:
    """Render expected photons per pixel, differentiable in float64.

    The image is that of `physics: exact`, the kernel's to rounding where the parameters are
    the experiment's own. It is differentiated exactly, except that nothing flows through
    decisions: the nearest reflection of nearest-point look-up, the resolution cut, the edge of
    TOPHAT spots. Photon noise is not drawn.

    Parameters
    ----------
    experiment : Experiment or ExperimentSpec
        A specification is resolved anew at every call: resolve it once with
        `distbragg.models.build.build_experiment` where it is rendered many times.
    parameters : Parameters, optional
        What replaces the experiment's own values; see `Parameters` for units and meanings.
        The tensors' device is where the image is rendered.
    panel : int
    tile : Tile, optional
        Pixels to render; the whole panel by default.

    Returns
    -------
    (slow, fast) float64 tensor
        Photons per pixel; 0 where a pixel is inactive.

    Raises
    ------
    InputError
        `physics: nanobragg`, or a parameter that cannot be used.
    """
    if isinstance(experiment, ExperimentSpec):
        experiment = build_experiment(experiment)
    if experiment.physics != "exact":
        raise InputError(
            "gradients need every factor inside the sum",
            field="physics",
            remedy="set physics: exact",
        )
    values = checked(Parameters() if parameters is None else parameters, experiment)
    given = values.given()
    device = next((value.device for value in given.values()), torch.device("cpu"))
    view = experiment.detector.panels[panel]
    area = tile if tile is not None else Tile(0, view.shape[0], 0, view.shape[1])
    positions = active_positions(view, area)
    image = torch.zeros(area.pixels, dtype=torch.float64, device=device)
    if positions.size > 0:
        slow, fast = pixel_coordinates(area, positions)
        rows, columns = torch.from_numpy(slow).to(device), torch.from_numpy(fast).to(device)
        scene = _make_scene(experiment, values, panel, device)
        photons = _numerator(scene, values.source_weights, rows, columns, given)
        photons = photons * _scale(experiment, values.source_weights)
        image = image.index_copy(0, torch.from_numpy(positions).to(device), photons)
    return image.reshape(area.shape)


def _make_scene(
    experiment: Experiment, parameters: Parameters, panel: int, device: torch.device
) -> _Scene:
    crystal = experiment.crystal
    real = cell_vectors(experiment, parameters, device)
    reciprocal = (
        torch.tensor(crystal.reciprocal, device=device)
        if parameters.cell is None
        else reciprocal_vectors(real)
    )
    own_cells = torch.tensor(crystal.cells, device=device)
    vectors = domain_vectors(crystal, real, parameters.mosaic_spread_deg)
    return _Scene(
        beam=experiment.beam,
        sampling=experiment.sampling,
        placement=place_panel(experiment, parameters, panel, device),
        lattice=Lattice(
            crystal.shape,
            experiment.physics,
            crystal.fudge,
            own_cells if parameters.cells is None else parameters.cells,
            reciprocal,
        ),
        vectors=vectors,
        wavelengths=_wavelengths(experiment.beam, parameters.wavelength_angstrom, device),
        table=amplitude_table(experiment.reflections, torch.float64, device),
        background=background_table(experiment.background, int(vectors.shape[0]), device),
    )


def _wavelengths(beam: Beam, wavelength: Tensor | None, device: torch.device) -> Tensor:
    """Wavelength of each source, (sources,) Å."""
    own = torch.tensor(beam.sources.wavelength, device=device)
    if wavelength is None:
        return own
    return wavelength if wavelength.ndim == 1 else own * (wavelength / beam.wavelength)


def _scale(experiment: Experiment, weights: Tensor | None) -> Tensor | float:
    """r_e² Φ / (n_φ n_mosaic n_sub² W), with W = Σw of the weights given."""
    scale = intensity_scale(experiment)
    if weights is None or experiment.beam.sources.rule == "none":
        return scale
    return scale * experiment.beam.sources.total_weight / weights.sum()


def _numerator(
    scene: _Scene, weights: Tensor | None, slow: Tensor, fast: Tensor, given: dict[str, Tensor]
) -> Tensor:
    """Σ over sources, layers and sub-pixels of w·P·C·Ω·(Σ F² + background), (pixels,)."""
    samples = list(sample_indices(scene.placement.panel.sensor.count, scene.sampling.oversample))
    sources = scene.beam.sources.count
    factors = torch.tensor(scene.beam.sources.weight) if weights is None else weights
    orientations = int(scene.vectors.shape[0])
    block = max(1, _BLOCK_EVALUATIONS // orientations)
    evaluations = int(slow.shape[0]) * orientations * sources * len(samples)
    differentiated = torch.is_grad_enabled() and any(v.requires_grad for v in given.values())
    again = differentiated and evaluations > _KEPT_EVALUATIONS
    parts: list[Tensor] = []
    for rows, columns in zip(torch.split(slow, block), torch.split(fast, block), strict=True):
        total = torch.zeros_like(rows)
        for source in range(sources):
            value = torch.zeros_like(rows)
            for sample in samples:
                arguments = (scene, source, sample, rows, columns)
                value = value + (
                    checkpoint(
                        _sample_intensity,
                        *arguments,
                        use_reentrant=False,
                        preserve_rng_state=False,
                    )
                    if again
                    else _sample_intensity(*arguments)
                )
            total = total + value * factors[source]
        parts.append(total)
    return torch.cat(parts)


def _sample_intensity(
    scene: _Scene, source: int, sample: SampleIndex, slow: Tensor, fast: Tensor
) -> Tensor:
    """P·C·Ω·[Σ_φ Σ_mosaic F² + background] of one source and sample, (pixels,)."""
    placement, beam = scene.placement, scene.beam
    rays = sample_rays(placement, slow, fast, sample=sample, oversample=scene.sampling.oversample)
    incident = _incident(beam.sources.direction[source])
    scattering = torch.stack(
        [part - along for part, along in zip(rays.direction, incident, strict=True)]
    )
    scattering = scattering / scene.wavelengths[source]
    value = _bragg_sum(scene, scattering)
    if scene.sampling.dmin > 0.0 or scene.background is not None:
        stol = safe_root((scattering * scattering).sum(dim=0)) * 0.5
        if scene.sampling.dmin > 0.0:
            value = torch.where(0.5 / stol.detach() < scene.sampling.dmin, 0.0, value)
        if scene.background is not None:
            value = value + background_intensity(scene.background, stol)
    if beam.polarized:
        frame = polarization_frame(incident, _vector(beam.polarization_axis))
        value = value * polarization_factor(frame, rays.direction, beam.kahn_factor)
    return value * _panel_factor(placement, rays, sample)


def _panel_factor(placement: Placement, rays: Rays, sample: SampleIndex) -> Tensor:
    """Solid angle times the capture fraction of the sample's layer, (pixels,)."""
    factor = solid_angle(placement, rays)
    sensor = placement.panel.sensor
    if not sensor.absorbs:
        return factor
    cosine = cosine_to_normal(placement.panel, rays)
    return factor * capture_fraction(sensor, sample.layer, cosine)


def _bragg_sum(scene: _Scene, scattering: Tensor) -> Tensor:
    """Σ_φ Σ_mosaic F_cell² F_latt² at scattering vectors (3, pixels) in 1/Å, (pixels,)."""
    count, pixels = int(scene.vectors.shape[0]), int(scattering.shape[1])
    index = (scene.vectors.reshape(-1, 3) @ scattering).reshape(count, 3, pixels)
    h, k, l = index[:, 0], index[:, 1], index[:, 2]  # noqa: E741 - Miller indices
    whole = torch.ceil(index.detach() - 0.5)
    nearest = (whole[:, 0], whole[:, 1], whole[:, 2])
    offsets = (h - nearest[0], k - nearest[1], l - nearest[2])
    amplitude = lattice_amplitude(scene.lattice, offsets)
    amplitude = amplitude * cell_amplitude(scene.table, (h, k, l), nearest)
    return (amplitude * amplitude).sum(dim=0)


def _incident(towards_source: Float64Array) -> Vector:
    x, y, z = _vector(towards_source)
    return -x, -y, -z


def _vector(row: Float64Array) -> Vector:
    return float(row[0]), float(row[1]), float(row[2])
