"""What an image can be differentiated by, in the units and names of the specification."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from distbragg.errors import InputError
from distbragg.fit.widths import check_widths
from distbragg.matrices import norm3
from distbragg.models.beam_spot import spot_in_plane
from distbragg.models.build_mosaic import frame_of_mosaic
from distbragg.models.crystal import Crystal, is_positive
from distbragg.models.detector import Panel
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array, cell_of, components
from distbragg.shapes import SHAPES
from distbragg.units import DEGREES_PER_RADIAN, MM_PER_METRE, um_to_m


@dataclass(frozen=True, slots=True, eq=False)
class Parameters:
    """The quantities of an experiment that tensors replace; None keeps the experiment's own.

    Attributes
    ----------
    cell : (6,) tensor, optional
        a, b, c in Å and α, β, γ in degrees. The rotation from the standard setting (a* along
        x, b* in the xy plane) to the laboratory stays that of the experiment.
    misset_deg : (3,) tensor, optional
        Further rotations about the laboratory x, then y, then z axis, degrees, applied to the
        crystal as the experiment has it: zeros are the experiment's own orientation.
    mosaic_spread_deg : scalar tensor, optional
        Mosaic spread, degrees. The domains keep their rotation axes, and their angles grow in
        proportion to the spread; in closed form standard deviations do. The experiment must have
        a spread to start from.
    mosaic_covariance_deg2 : (3, 3) tensor, optional
        In closed form, in place of `mosaic_spread_deg`: the covariance of the domains' rotation
        vectors about the axes of the crystal (x along a, z along c*), or of the laboratory where
        `crystal.mosaic.axes` says so, degrees²; its symmetric part counts.
    cell_spread : (k, 6) tensor, optional
        What each of k independent standard normal deviates adds to a, b, c (Å) and α, β, γ
        (degrees) of a domain's cell: a root of their covariance. The experiment must have a spread
        of its cells, of as many deviates.
    cells : (3,) or (6,) tensor, optional
        Na, Nb, Nc as real numbers; or, for a crystal that may be given a matrix of cells, Na, Nb,
        Nc, Nd, Ne, Nf of N = [[Na, Nd, Nf], [Nd, Nb, Ne], [Nf, Ne, Nc]].
    size_spread : scalar tensor, optional
        Standard deviation of the logarithm of the blocks' size. The experiment must have a spread
        of sizes, and blocks that need no whole numbers of cells.
    scale : scalar tensor, optional
        Blocks of det N cells that the beam illuminates: multiplies all but the background.
    diffuse_gamma_angstrom : (3,) tensor, optional
        Of diffuse scattering: lengths over which the correlation falls to 1/e, along its principal
        axes, Å. The experiment must have diffuse scattering.
    diffuse_sigma_angstrom : (3,) tensor, optional
        Of diffuse scattering: root mean square displacements along its principal axes, Å.
    other_cell : (lattices − 1, 6) tensor, optional
        `cell` of every further lattice. What stands above is of the first.
    other_misset_deg : (lattices − 1, 3) tensor, optional
        `misset_deg` of every further lattice.
    other_scale : (lattices − 1,) tensor, optional
        `scale` of every further lattice.
    background_scales : (materials,) tensor, optional
        What the intensity of each material of the background is multiplied by, in the order of
        the specification, ice rings last: ones are the experiment's own.
    distance_mm : scalar tensor, optional
        Distance of the first panel, mm: the whole detector is moved along the beam by what it
        differs from the experiment's `Panel.distance`.
    beam_centre_mm : (2,) tensor, optional
        Where the direct beam meets the first panel, along its fast and slow axes from the
        outer corner of its first pixel, mm. The whole detector is moved along those axes.
    panel_shift_mm : (3,) tensor, optional
        How far the rendered panel is moved along `Panel.fast`, `slow` and `normal`, mm, after the
        whole detector: zeros leave it where it is.
    panel_tilt_deg : (3,) tensor, optional
        By how much it is turned then, about its centre: about its fast, then its slow, then its
        normal axis, each as it was before, right-handed, degrees.
    point_spread_fwhm_um : scalar tensor, optional
        Full width at half maximum of the point spread of every panel that has a `gauss` or a
        `fibre`, µm; its radius stays.
    wavelength_angstrom : scalar or (sources,) tensor, optional
        A scalar replaces the nominal wavelength and scales that of every source alike; a
        vector holds the wavelength of each source, Å.
    bandwidth_percent : scalar tensor, optional
        In closed form, standard deviation of a source's 1/λ, in percent of it.
    divergence_mrad : (2,) tensor, optional
        In closed form, standard deviations of the beam's direction, horizontal and vertical.
    source_weights : (sources,) tensor, optional
        Weights of the rendered sources in any unit. Under the rules `sum` and `count` the
        image is divided by their sum, under `none` by 1.
    amplitude_electrons : (nh, nk, nl) tensor, optional
        |F| in the box of `Experiment.reflections`, as the frame has it: ΔB is in it. Not where
        |F| follows the energy.
    delta_b_angstrom2 : scalar tensor, optional
        ΔB in place of the experiment's own, Å²; of all lattices, at spacings of the first one's
        cell.
    f_prime_electrons, f_double_prime_electrons : (elements, sources) tensor, optional
        f′ and f″ of each entry of `structure_factors.anomalous_elements` at each source.
    """

    cell: Tensor | None = None
    misset_deg: Tensor | None = None
    mosaic_spread_deg: Tensor | None = None
    mosaic_covariance_deg2: Tensor | None = None
    cell_spread: Tensor | None = None
    cells: Tensor | None = None
    size_spread: Tensor | None = None
    scale: Tensor | None = None
    diffuse_gamma_angstrom: Tensor | None = None
    diffuse_sigma_angstrom: Tensor | None = None
    other_cell: Tensor | None = None
    other_misset_deg: Tensor | None = None
    other_scale: Tensor | None = None
    background_scales: Tensor | None = None
    distance_mm: Tensor | None = None
    beam_centre_mm: Tensor | None = None
    panel_shift_mm: Tensor | None = None
    panel_tilt_deg: Tensor | None = None
    point_spread_fwhm_um: Tensor | None = None
    wavelength_angstrom: Tensor | None = None
    bandwidth_percent: Tensor | None = None
    divergence_mrad: Tensor | None = None
    source_weights: Tensor | None = None
    amplitude_electrons: Tensor | None = None
    delta_b_angstrom2: Tensor | None = None
    f_prime_electrons: Tensor | None = None
    f_double_prime_electrons: Tensor | None = None

    def of_lattice(self, number: int) -> Parameters:
        """Return what replaces the values of an experiment that has this lattice alone."""
        if number == 0:
            return self
        own = {name: getattr(self, f"other_{name}") for name in _OF_OTHERS}
        one = {name: None if rows is None else rows[number - 1] for name, rows in own.items()}
        return replace(self, **{**dict.fromkeys(_OF_FIRST), **one})

    def of_block(self, mean: Crystal, block: Crystal) -> Parameters:
        """Return what replaces the values of blocks of one size; see `models.build_sizes`."""
        if mean.size_spread == 0.0 or not {"cells", "size_spread", "scale"} & self.given().keys():
            return self
        grown: Tensor | float = 1.0
        if self.size_spread is not None:
            grown = torch.exp((self.size_spread - mean.size_spread) * block.size_deviate)
        cells, scale = self.cells, mean.scale if self.scale is None else self.scale
        if cells is None:
            cells = torch.tensor([*mean.cells.tolist(), *mean.cells_beside], dtype=torch.float64)
        ratios = (block.cells / mean.cells).tolist()
        ratio = torch.tensor([*ratios, *([ratios[0]] * 3)][: len(cells)], dtype=torch.float64)
        blocks = scale * (block.scale / mean.scale) / grown**3
        return replace(
            self, cells=cells * ratio.to(cells.device) * grown, scale=torch.as_tensor(blocks)
        )

    def given(self) -> dict[str, Tensor]:
        """Return the parameters that are not None, by name."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


_OF_OTHERS: Final = ("cell", "misset_deg", "scale")
_OF_FIRST: Final = (
    "mosaic_spread_deg", "mosaic_covariance_deg2", "cell_spread", "cells",
    "diffuse_gamma_angstrom", "diffuse_sigma_angstrom", "background_scales",
)  # fmt: skip
"""What replaces nothing of a further lattice, which has no background."""

_SHAPES: Final[dict[str, tuple[int, ...]]] = {
    "cell": (6,),
    "misset_deg": (3,),
    "mosaic_spread_deg": (),
    "mosaic_covariance_deg2": (3, 3),
    "size_spread": (),
    "scale": (),
    "diffuse_gamma_angstrom": (3,),
    "diffuse_sigma_angstrom": (3,),
    "distance_mm": (),
    "beam_centre_mm": (2,),
    "panel_shift_mm": (3,),
    "panel_tilt_deg": (3,),
    "point_spread_fwhm_um": (),
    "bandwidth_percent": (),
    "divergence_mrad": (2,),
    "delta_b_angstrom2": (),
}
_POSITIVE: Final = (
    "cell", "scale", "other_cell", "other_scale", "diffuse_gamma_angstrom", "wavelength_angstrom",
    "bandwidth_percent", "point_spread_fwhm_um",
)  # fmt: skip
_DIFFUSE: Final = ("diffuse_gamma_angstrom", "diffuse_sigma_angstrom")
_CLOSED: Final = ("mosaic_covariance_deg2", "bandwidth_percent", "divergence_mrad")


def checked(parameters: Parameters, experiment: Experiment) -> Parameters:
    """Check shapes and values, and bring every tensor to float64 on one device."""
    sources = experiment.beam.sources.count
    allowed = {name: [shape] for name, shape in _SHAPES.items()}
    allowed["wavelength_angstrom"] = [(), (sources,)]
    allowed["source_weights"] = [(sources,)]
    roots = experiment.crystal.cell_roots
    allowed["cell_spread"] = [] if roots is None else [roots.shape]
    allowed["cells"] = [(3,), (6,)] if SHAPES[experiment.crystal.shape].has_matrix else [(3,)]
    for name in _OF_OTHERS:
        allowed[f"other_{name}"] = [(len(experiment.others), *_SHAPES[name])]
    allowed["amplitude_electrons"] = [experiment.reflections.amplitude.shape]
    spectral = experiment.reflections.spectral
    elements = 0 if spectral is None else spectral.scattering.shape[1]
    for name in ("f_prime_electrons", "f_double_prime_electrons"):
        allowed[name] = [(elements, sources)]
    allowed["background_scales"] = [(_materials(experiment),)]
    if not isinstance(parameters, Parameters):
        problem = f"a {type(parameters).__name__}, not distbragg.fit.Parameters"
        raise InputError(problem, field="parameters", remedy="give Parameters(cell=tensor, …)")
    given = parameters.given()
    for name, value in given.items():
        _check_tensor(name, value, allowed[name])
    if len({value.device for value in given.values()}) > 1:
        raise InputError("tensors on different devices", field="parameters")
    weights = given.get("source_weights")
    if weights is not None and not (bool((weights >= 0.0).all()) and bool((weights > 0.0).any())):
        raise InputError("a negative weight, or none above zero", field="parameters.source_weights")
    _check_features(given, experiment)
    return Parameters(**{name: value.to(torch.float64) for name, value in given.items()})


def _check_features(given: dict[str, Tensor], experiment: Experiment) -> None:
    """Refuse parameters of what the experiment does not have."""
    if experiment.sampling.method != "closed_form":
        for name in (name for name in _CLOSED if name in given):
            raise InputError(
                "only the closed form has it",
                field=f"parameters.{name}",
                remedy="give an experiment of sampling.method: closed_form",
            )
    else:
        check_widths(given)
    if "mosaic_covariance_deg2" in given and "mosaic_spread_deg" in given:
        problem = "says the same as parameters.mosaic_spread_deg"
        raise InputError(problem, field="parameters.mosaic_covariance_deg2", remedy="give one")
    if "mosaic_spread_deg" in given and not experiment.crystal.mosaic_spread > 0.0:
        raise InputError(
            "the experiment has no mosaic domains to scale",
            field="parameters.mosaic_spread_deg",
            remedy="give the experiment a spread and domains",
        )
    if "point_spread_fwhm_um" in given and not _widths_um(experiment):
        raise InputError(
            "no panel has a point spread of a width",
            field="parameters.point_spread_fwhm_um",
            remedy="give the experiment a detector.point_spread of gauss or fibre",
        )
    if "size_spread" in given and (
        not experiment.crystal.blocks or experiment.crystal.shape == "square"
    ):
        raise InputError(
            "the experiment has no spread of sizes that varies smoothly",
            field="parameters.size_spread",
            remedy="give it a crystal.size_spread_fraction, of another shape than square",
        )
    if experiment.crystal.diffuse is None:
        for other in (name for name in _DIFFUSE if name in given):
            raise InputError(
                "the experiment has no diffuse scattering",
                field=f"parameters.{other}",
                remedy="give the experiment crystal.diffuse",
            )


def _materials(experiment: Experiment) -> int:
    """Return how many materials the background has, 0 where there is none."""
    background = experiment.background
    return len(background.materials) if background.scatters else 0


def _check_tensor(name: str, value: Tensor, shapes: list[tuple[int, ...]]) -> None:
    field = f"parameters.{name}"
    if not isinstance(value, Tensor) or value.is_complex():
        problem = f"of type {getattr(value, 'dtype', type(value).__name__)}, not a real tensor"
        raise InputError(problem, field=field)
    if not shapes:
        remedy = "give the experiment a crystal.cell_spread"
        raise InputError("the experiment has no spread of cells", field=field, remedy=remedy)
    if tuple(value.shape) not in shapes:
        wanted = " or ".join(str(shape) for shape in shapes)
        raise InputError(f"a tensor of shape {tuple(value.shape)}, not {wanted}", field=field)
    if not bool(torch.isfinite(value).all()):
        raise InputError("not finite", field=field)
    if name == "cells" and not is_positive(value.tolist()):
        raise InputError(
            "not positive definite" if len(value) == 6 else "not positive", field=field
        )
    if name in _POSITIVE and not bool((value > 0.0).all()):
        raise InputError("not positive", field=field)


def parameters_of(experiment: Experiment, *, device: str = "cpu") -> Parameters:
    """Return every parameter as the experiment has it: what a refinement starts from.

    The tensors are float64 on `device`, without gradient. `mosaic_spread_deg` is None without a
    spread, and `beam_centre_mm` where the beam runs along the first panel's plane. In closed form
    bandwidth or divergence is None where there is none, and `mosaic_covariance_deg2` stands in
    place of a spread that differs by axis. `point_spread_fwhm_um` is None where panels differ,
    and lengths of diffuse scattering are None without it. |F| itself, as large as its
    table, is None.
    """

    def tensor(values: object) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=device)

    crystal, beam, table = experiment.crystal, experiment.beam, experiment.reflections
    follows = table.spectral is not None and table.spectral.kind == "anomalous"
    scattering = table.spectral.scattering if table.spectral is not None and follows else None
    diffuse = crystal.diffuse
    panel = experiment.detector.panels[0]
    spread = crystal.mosaic_spread * DEGREES_PER_RADIAN
    centre = beam_centre_m(panel, beam.direction)
    axes = frame_of_mosaic(crystal)
    about = axes.T @ crystal.mosaic_covariance @ axes * DEGREES_PER_RADIAN**2
    differs = np.abs(about - spread**2 * np.eye(3)).max() > 1e-9 * spread**2 and about.any()
    uneven = bool(differs) and experiment.sampling.method == "closed_form"
    materials = _materials(experiment)
    width = 100.0 * beam.sources.bandwidth
    sizes = 1e3 * norm3(beam.divergence)
    widths = _widths_um(experiment)
    return Parameters(
        cell=tensor(cell_of(crystal.real_space)),
        misset_deg=tensor([0.0, 0.0, 0.0]),
        mosaic_spread_deg=tensor(spread) if spread > 0.0 and not uneven else None,
        mosaic_covariance_deg2=tensor(about.tolist()) if uneven else None,
        cell_spread=None if crystal.cell_roots is None else tensor(_in_degrees(crystal.cell_roots)),
        cells=tensor([*crystal.cells.tolist(), *crystal.cells_beside]),
        size_spread=tensor(crystal.size_spread)
        if crystal.blocks and crystal.shape != "square"
        else None,
        scale=tensor(crystal.scale),
        diffuse_gamma_angstrom=None if diffuse is None else tensor(diffuse.gamma.tolist()),
        diffuse_sigma_angstrom=None if diffuse is None else tensor(diffuse.sigma.tolist()),
        **_of_others(experiment.others, tensor),
        background_scales=tensor([1.0] * materials) if materials else None,
        distance_mm=tensor(panel.distance * MM_PER_METRE),
        beam_centre_mm=None if centre is None else tensor([part * MM_PER_METRE for part in centre]),
        panel_shift_mm=tensor([0.0, 0.0, 0.0]),
        panel_tilt_deg=tensor([0.0, 0.0, 0.0]),
        point_spread_fwhm_um=tensor(widths[0]) if len(widths) == 1 else None,
        wavelength_angstrom=tensor(beam.wavelength),
        bandwidth_percent=tensor(width) if width > 0.0 else None,
        divergence_mrad=tensor(sizes.tolist()) if sizes.any() else None,
        source_weights=tensor(beam.sources.weight.tolist()),
        delta_b_angstrom2=tensor(table.delta_b) if table.default_amplitude == 0.0 else None,
        f_prime_electrons=None if scattering is None else tensor(scattering[0].tolist()),
        f_double_prime_electrons=None if scattering is None else tensor(scattering[1].tolist()),
    )


def _widths_um(experiment: Experiment) -> list[float]:
    """Return the different widths of the panels' point spreads, µm; files have none."""
    return sorted(
        {
            panel.point_spread.width * panel.pixel_size / um_to_m(1.0)
            for panel in experiment.detector.panels
            if panel.point_spread is not None and panel.point_spread.kind != "file"
        }
    )


def _of_others(
    crystals: tuple[Crystal, ...], tensor: Callable[[object], Tensor]
) -> dict[str, Tensor]:
    if not crystals:
        return {}
    return {
        "other_cell": tensor([cell_of(crystal.real_space) for crystal in crystals]),
        "other_misset_deg": tensor([[0.0, 0.0, 0.0]] * len(crystals)),
        "other_scale": tensor([crystal.scale for crystal in crystals]),
    }


def _in_degrees(roots: Float64Array) -> list[list[float]]:
    units = [1.0, 1.0, 1.0, *([DEGREES_PER_RADIAN] * 3)]
    return [list(row) for row in (roots * units).tolist()]


def beam_centre_m(panel: Panel, beam: Float64Array) -> tuple[float, float] | None:
    """Where the line of the beam meets a panel, along fast and slow from its corner, m.

    None where the beam runs along the panel's plane.
    """
    spot = spot_in_plane(panel, panel.pixels, components(beam))
    return None if spot is None else (spot.fast, spot.slow)
