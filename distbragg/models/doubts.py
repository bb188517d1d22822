"""Numbers that are probably not what the user meant: one warning each, which names the number.

Nothing here is refused: every one of them can be meant. The limits lie well outside of what
diffraction experiments use, so that a wrong unit is told and an unusual instrument is not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from distbragg.matrices import norm3
from distbragg.models.beam_spot import spot_in_plane
from distbragg.models.beam_stop import StopPlane
from distbragg.models.detector import Detector, Panel
from distbragg.models.experiment import Experiment
from distbragg.models.halo_spread import halo_spread, most_spread
from distbragg.models.vectors import Float64Array, Vector, components, dot, unit
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.paths import value_at
from distbragg.units import MM_PER_METRE, wavelength_angstrom_to_energy_ev

_ENERGY_EV: Final = (1_000.0, 120_000.0)
_EDGE_ANGSTROM: Final = (2.0, 5_000.0)
_ANGLE_DEG: Final = 10.0
_DISTANCE_MM: Final = (10.0, 50_000.0)
_PIXEL_MM: Final = (0.005, 3.0)
_FLUENCE_PER_M2: Final = (1e8, 1e31)
_CRYSTAL_MM: Final = 5.0
_SPREAD_DEG: Final = 10.0
_ROUNDING: Final = 1e-9
_KEPT_BY_MASK: Final = 0.5
_DIVERGENCE_MRAD: Final = 50.0
_SOURCES_DEG: Final = 80.0
_AROUND: Final = (0, 1, 3, 2)  # corners of a panel, one after another about it
_FEW_CELLS: Final = 3.0
_LOW_RESOLUTION_ANGSTROM: Final = 20.0
_MOST_BENT: Final = 1.0
_MOST_DIVERGENT: Final = 0.1

_RANGES: Final = (
    ("beam.flux_photons_per_s", 1e3, 1e20, "a flux of {:.6g} photons/s is implausible"),
    ("beam.size_mm", 1e-5, 10.0, "a beam of {:.6g} mm; sizes are in mm (µm or m meant?)"),
    ("beam.exposure_s", 1e-16, 1e5, "an exposure of {:.6g} s is implausible"),
    ("beam.dispersion.range_percent", -math.inf, 50.0, "a dispersion of {:.6g} %"),
    (
        "detector.sensor.thickness_um", 1.0, 10_000.0,
        "a sensor of {:.6g} µm; thicknesses are in µm (mm meant?)",
    ),
    (
        "detector.point_spread.fwhm_um", 1.0, 2_000.0,
        "a point spread of {:.6g} µm; widths are in µm (mm or pixels meant?)",
    ),
    ("goniometer.oscillation_deg", -90.0, 90.0, "one frame of {:.6g} degrees"),
    ("background.water_um", 0.0, 50_000.0, "{:.6g} µm of material; depths are in µm"),
    ("background.thickness_um", 0.0, 50_000.0, "{:.6g} µm of material; depths are in µm"),
)  # fmt: skip
"""Fields, the range in which a number that is not 0 passes, and what is said of another."""

Lines = Iterator[tuple[str, str]]  # fields or files, and what is said of them


def doubts(spec: ExperimentSpec, experiment: Experiment) -> Lines:
    """Yield every number of a specification that looks like a mistake once it is resolved."""
    yield from _of_wavelength(spec, experiment)
    yield from _of_crystal(spec, experiment)
    yield from _of_intensity(spec, experiment)
    yield from _of_sources(spec, experiment)
    yield from _of_halos(experiment)
    yield from _of_detector(spec, experiment)
    yield from _of_beam_stop(experiment)
    for path, low, high, text in _RANGES:
        value = value_at(spec, tuple(path.split(".")))
        if value and not low <= value <= high:
            yield path, text.format(value)


def _wavelength_place(spec: ExperimentSpec) -> str:
    """Field or file that gave the wavelength."""
    beam = spec.beam
    if beam.energy_ev is not None:
        return "beam.energy_ev"
    if beam.wavelength_angstrom is not None:
        return "beam.wavelength_angstrom"
    inline = "beam.spectrum" if beam.spectrum is not None else "header_files"
    return spec.detector.geometry_file or beam.source_file or inline


def _of_wavelength(spec: ExperimentSpec, experiment: Experiment) -> Lines:
    """Longest and shortest wavelength of the sources, against the cell and the usual energies."""
    edge = max(experiment.crystal.cell[:3].tolist())
    lambdas = experiment.beam.sources.wavelength
    place = _wavelength_place(spec)
    low, high = float(lambdas.min()), float(lambdas.max())
    for number in dict.fromkeys((high, low)):
        energy = wavelength_angstrom_to_energy_ev(number)
        said = f"{energy:.6g} eV is a wavelength of {number:.6g} Å"
        if number > 2.0 * edge:
            yield (
                place,
                f"{said}, more than twice the longest cell edge of {edge:.6g} Å: nothing can "
                "diffract; energies are in eV (keV meant?), wavelengths and cells in Å",
            )
        elif not _ENERGY_EV[0] <= energy <= _ENERGY_EV[1]:
            text = f"{said}, which is unusual for diffraction; energies are in eV, wavelengths in Å"
            yield place, text
    nominal = experiment.beam.wavelength
    given = spec.beam.wavelength_angstrom is not None or spec.beam.energy_ev is not None
    listed = spec.beam.spectrum is not None or spec.beam.source_file is not None
    if given and listed and not low * 0.999 <= nominal <= high * 1.001:
        yield (
            place,
            f"the nominal wavelength of {nominal:.6g} Å lies outside of the sources' own, "
            f"{low:.6g} to {high:.6g} Å, which are what is rendered",
        )


def _of_crystal(spec: ExperimentSpec, experiment: Experiment) -> Lines:
    """Cell, size, rotation, resolution, and crystals that scatter nothing."""
    lengths = experiment.crystal.cell[:3].tolist()
    angles = [math.degrees(value) for value in experiment.crystal.cell[3:].tolist()]
    place = "crystal.matrix_file" if spec.crystal.matrix_file is not None else "crystal.cell"
    wrong = [value for value in lengths if not _EDGE_ANGSTROM[0] <= value <= _EDGE_ANGSTROM[1]]
    if wrong:
        yield place, f"a cell edge of {wrong[0]:.6g} Å; edges are in Å (nm or m meant?)"
    small = [value for value in angles if value < _ANGLE_DEG]
    if small:
        yield place, f"a cell angle of {small[0]:.6g} degrees; angles are in degrees (rad meant?)"
    size = max(spec.crystal.block_size_mm or (0.0,))
    if size > _CRYSTAL_MM:
        yield "crystal.block_size_mm", f"a crystal of {size:.6g} mm; sizes are in mm (µm meant?)"
    if experiment.sampling.method == "closed_form":
        yield from _of_blocks(experiment)
    spread = math.degrees(experiment.crystal.mosaic_spread)
    if spread > _SPREAD_DEG * (1.0 + _ROUNDING):
        text = f"a spread of {spread:.6g} degrees: mosaic crystals have less than"
        yield "crystal.mosaic.spread_deg", f"{text} {_SPREAD_DEG:g}, more is a powder"
    steps, drawn = spec.goniometer.steps, spec.crystal.drawn_lattices
    first, last = experiment.crystal.oscillation
    if drawn is not None and drawn.count > 1 and drawn.per_frame and first < last:
        text = "every frame has lattices of its own; through a rotation they are one crystal's:"
        yield "crystal.drawn_lattices.per_frame", f"{text} set it to false"
    if steps is not None and steps > 1 and first == last:
        yield "goniometer.steps", f"{steps} steps of an oscillation of 0 degrees are one still"
    edge, dmin = max(lengths), spec.sampling.dmin_angstrom
    if dmin > edge:
        text = f"a cut at {dmin:.6g} Å leaves no reflection of a cell whose longest edge is"
        yield "sampling.dmin_angstrom", f"{text} {edge:.6g} Å"
    table = experiment.reflections
    if table.amplitude.size == 0 and table.default_amplitude == 0.0:
        left = "the background alone" if experiment.background.scatters else "all 0"
        text = f"0 and no file: the crystal scatters nothing, the image is {left}"
        yield "structure_factors.default_f_electrons", text


def _of_blocks(experiment: Experiment) -> Lines:
    """Blocks of few cells or thin plates, whose spots the closed form can get wrong.

    A plate of thickness t and width w is a needle in reciprocal space, of standard deviations
    1/(√(2π) t) and 1/(√(2π) w). At |g| = 1/d the sphere of |q| bends away from it by
    d/(4π t²), which is to be less than it is thin.
    """
    crystal = experiment.crystal
    few = float(crystal.cells.min())
    if few < _FEW_CELLS:
        yield (
            "crystal.block_cells",
            f"{few:.3g} cells along an axis: at low resolution spots are as wide as their distance "
            "from the direct beam, and the closed form can be far off in `mixed`; set "
            "compute.precision: float64 or sampling.method: sampled",
        )
        return
    edges = [float(size) for size in crystal.cells * norm3(crystal.real_space)]
    thin, wide = (0.0, 0.0) if crystal.shape == "gauss_star" else (min(edges), max(edges))
    bent = _LOW_RESOLUTION_ANGSTROM * wide / (2.0 * math.sqrt(2.0 * math.pi))
    if bent > _MOST_BENT * thin * thin:
        yield (
            "crystal.block_cells",
            f"blocks of {wide:.4g} by {thin:.4g} Å are plates so thin that at "
            f"{_LOW_RESOLUTION_ANGSTROM:g} Å their spots bend by more than they are thick: at low "
            "resolution the closed form can be off by a tenth of a spot's maximum, in rare cases "
            "by far more; compare with sampling.method: sampled",
        )


def _of_intensity(spec: ExperimentSpec, experiment: Experiment) -> Lines:
    beam, fluence = spec.beam, float(experiment.beam.fluence)
    flux = beam.flux_photons_per_s is not None
    place = "beam.flux_photons_per_s" if flux else "beam.fluence_photons_per_m2"
    if flux or beam.fluence_photons_per_m2 is not None:
        if not _FLUENCE_PER_M2[0] <= fluence <= _FLUENCE_PER_M2[1]:
            yield place, f"a fluence of {fluence:.6g} photons/m² at the sample is implausible"
    elif experiment.noise.photon:
        yield (
            place,
            f"not given: {fluence:.6g} photons/m², on which the counts of noise.photon depend, "
            "is nanoBragg's own scale and no real beam",
        )


def _of_sources(spec: ExperimentSpec, experiment: Experiment) -> Lines:
    for name in ("horizontal", "vertical"):
        extent = getattr(spec.beam.divergence, name).range_mrad
        if extent is not None and extent > _DIVERGENCE_MRAD:
            yield (
                f"beam.divergence.{name}.range_mrad",
                f"a divergence of {extent:.6g} mrad is {math.degrees(extent * 1e-3):.4g} degrees",
            )
    yield from _of_normal_divergence(experiment)
    off = _off_normal_deg(experiment) if spec.beam.source_file is not None else 0.0
    if off > _SOURCES_DEG:
        yield (
            "beam.source_file",
            f"its beam runs at {off:.3g} degrees to the detector's normal; positions are in the "
            "frame of detector.convention (written for another one?)",
        )


def _of_normal_divergence(experiment: Experiment) -> Lines:
    """Yield that a divergence is wide beside the angles of reflections of low resolution.

    The closed form is off by about half the square of its share of |g|, by what 60 random
    reflections of 1.2 to 20 Å showed at 5 to 50 mrad.
    """
    beam = experiment.beam
    widest = float(norm3(beam.divergence).max())
    spacing = min(_LOW_RESOLUTION_ANGSTROM, float(experiment.crystal.cell[:3].max()))
    share = widest * spacing / float(beam.sources.wavelength.min())
    if share > _MOST_DIVERGENT:
        yield (
            "beam.divergence_mrad",
            f"{widest * 1e3:.3g} mrad are {share:.2g} of the angle at which reflections of "
            f"{spacing:.3g} Å are seen: there the closed form can be off by some "
            f"{50.0 * share**2:.1g} % of a spot's maximum, and by less where the resolution is "
            "higher; give a grid, beam.divergence, in its place",
        )


def _of_halos(experiment: Experiment) -> Lines:
    """Yield that halos are spread beyond the lattice points that the stencil reaches."""
    diffuse = experiment.crystal.diffuse
    if diffuse is None or experiment.sampling.method != "closed_form":
        return
    spread, most = halo_spread(experiment), most_spread(experiment.crystal)
    if spread > most:
        field = "crystal.diffuse.stencil"
        yield (
            field,
            f"at high angles halos are spread by {spread:.2g} of the way between lattice points, "
            f"more than the {most:.2g} that {diffuse.stencil} allows for: they lose some of their "
            "photons; give 2 or a smaller spread",
        )


def _off_normal_deg(experiment: Experiment) -> float:
    """Angle between the mean beam of the sources and the nearest panel's normal."""
    sources = experiment.beam.sources
    mean = unit(components((sources.direction * sources.weight[:, np.newaxis]).sum(axis=0)))
    normals = (components(panel.normal) for panel in experiment.detector.panels)
    return math.degrees(math.acos(min(1.0, max(abs(dot(mean, normal)) for normal in normals))))


def _of_detector(spec: ExperimentSpec, experiment: Experiment) -> Lines:
    panels, written = experiment.detector.panels, spec.detector

    def given(*names: str) -> list[str]:
        return [name for name in names if getattr(written, name) is not None]

    owner = written.geometry_file or "detector"
    pixel = panels[0].pixel_size * MM_PER_METRE
    placed = given("distance_mm", "close_distance_mm", "origin_mm", "pix0_m", "panels")
    place = f"detector.{placed[0]}" if placed else owner
    distance = min(abs(panel.distance) for panel in panels) * MM_PER_METRE
    if distance < pixel:
        text = f"the distance of {distance:.6g} mm is less than a pixel of {pixel:.6g} mm"
        yield place, f"{text}; distances are in mm (m meant?)"
    elif not _DISTANCE_MM[0] <= distance <= _DISTANCE_MM[1]:
        yield place, f"a distance of {distance:.6g} mm; distances are in mm (m or µm meant?)"
    if not _PIXEL_MM[0] <= pixel <= _PIXEL_MM[1]:
        sized = "detector.pixel_size_mm" if given("pixel_size_mm") else owner
        yield sized, f"pixels of {pixel:.6g} mm; sizes are in mm (µm or m meant?)"
    if not any(panel.active.any() for panel in panels):
        masked = "detector.roi" if written.roi is not None else owner
        masked = masked if written.mask_file is None else "detector.mask_file"
        yield masked, "no pixel is left: masks and region leave none, and the image is all 0"
    elif written.mask_file is not None and written.roi is None:
        share = sum(float(panel.active.mean()) for panel in panels) / len(panels)
        if share < _KEPT_BY_MASK:
            text = f"{100 * share:.3g} % of the pixels are rendered, those that are not 0 in it;"
            yield "detector.mask_file", f"{text} masks of NeXus and pyFAI mean the opposite"
    if missed := _off_panels(experiment.detector, components(experiment.beam.direction)):
        centres = given("xbeam_mm", "ybeam_mm", "orgx_px", "orgy_px", "xclose_mm", "yclose_mm")
        if centres:
            said = ", ".join(f"{name} = {getattr(written, name):.6g}" for name in centres)
            place, missed = f"detector.{centres[0]}", f"{said}: {missed}"
        yield place, missed


def _of_beam_stop(experiment: Experiment) -> Lines:
    panels, stop = experiment.detector.panels, experiment.detector.beam_stop
    if stop is None:
        return
    x, y, z = _corners(panels).T
    plane = StopPlane.of(panels[0], np.array(components(experiment.beam.direction)))
    along, across, up = plane.crossed((x, y, z))
    if (along <= 0.0).any():
        return
    if stop.polygon:
        outline = np.array(stop.polygon)
        quads = np.stack([across, up], axis=-1).reshape(len(panels), 4, 2)[:, _AROUND]
        if all(_covers(outline, quad) for quad in quads):
            text = "the outline of the beam stop shades the whole detector, which lies within it"
            yield "detector.beam_stop.polygon_mm", f"{text}; corners are in mm from the beam"
        return
    reach = float(np.hypot(across - stop.centre[0], up - stop.centre[1]).max()) * MM_PER_METRE
    if reach <= (radius := stop.radius * MM_PER_METRE):
        text = f"a beam stop of {radius:.6g} mm shades the whole detector, which ends"
        yield "detector.beam_stop.radius_mm", f"{text} {reach:.4g} mm from its centre"


def _covers(outline: Float64Array, quad: Float64Array) -> bool:
    """Whether a polygon, (n, 2) corners in order, covers a quadrangle, (4, 2).

    It does where every corner of the quadrangle lies within, and no side meets one of the outline.
    """
    ends, (x, y) = np.roll(outline, -1, axis=0), np.moveaxis(quad[:, np.newaxis], -1, 0)
    rise = ends[:, 1] - outline[:, 1]
    beside = (outline[:, 1] > y) != (ends[:, 1] > y)
    slope = (ends[:, 0] - outline[:, 0]) / np.where(rise == 0.0, 1.0, rise)
    left = x < outline[:, 0] + (y - outline[:, 1]) * slope
    if not ((beside & left).sum(axis=1) % 2 == 1).all():
        return False
    starts, stops = quad[:, np.newaxis], np.roll(quad, -1, axis=0)[:, np.newaxis]
    apart = _turn(starts, stops, outline) * _turn(starts, stops, ends) >= 0.0
    apart |= _turn(outline, ends, starts) * _turn(outline, ends, stops) >= 0.0
    return bool(apart.all())


def _turn(start: Float64Array, end: Float64Array, place: Float64Array) -> Float64Array:
    """Return on which side of the line through two points a third lies, by its sign."""
    way, off = end - start, place - start
    turn: Float64Array = way[..., 0] * off[..., 1] - way[..., 1] * off[..., 0]
    return turn


def _off_panels(detector: Detector, beam: Vector) -> str:
    """Say where the direct beam passes a detector; empty where it does not.

    A beam through a gap between panels, or through a hole in their midst, does not pass them.
    """
    spots = [
        (panel, spot)
        for panel in detector.panels
        if (spot := spot_in_plane(panel, panel.pixels, beam)) is not None and spot.distance > 0.0
    ]
    if any(spot.on_panel for _, spot in spots) or _surround(detector.panels, beam):
        return ""
    if not spots:
        return "the direct beam does not meet the plane of the detector"
    panel, spot = min(spots, key=lambda pair: math.hypot(pair[1].fast, pair[1].slow))
    edge, fast, slow = (x * MM_PER_METRE for x in (panel.pixel_size, spot.fast, spot.slow))
    return (
        f"the direct beam is off the detector: {fast:.6g} mm along fast and {slow:.6g} mm along "
        f"slow ({fast / edge:.6g} and {slow / edge:.6g} pixels) from the corner of a panel of "
        f"{panel.pixels[1] * edge:.6g} x {panel.pixels[0] * edge:.6g} mm; check unit and convention"
    )


def _surround(panels: tuple[Panel, ...], beam: Vector) -> bool:
    """Whether the beam passes within the box about several panels, seen along it."""
    if len(panels) == 1:
        return False
    corners, axis = _corners(panels), np.array(beam)
    depth = corners @ axis
    if (depth <= 0.0).any():
        return True
    across = np.linalg.svd(axis[np.newaxis])[2][1:]
    seen = (corners @ across.T) / depth[:, np.newaxis]
    return bool((seen.min(axis=0) <= 0.0).all() and (seen.max(axis=0) >= 0.0).all())


def _corners(panels: tuple[Panel, ...]) -> Float64Array:
    """Return the corners of panels, (4 * panels, 3) m from the crystal."""
    return np.array(
        [
            panel.origin
            + panel.pixel_size
            * (panel.pixels[1] * i * panel.fast + panel.pixels[0] * j * panel.slow)
            for panel in panels
            for i in (0, 1)
            for j in (0, 1)
        ]
    )
