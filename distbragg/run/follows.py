"""What follows from a resolved frame: resolution, spots, background, and what it costs to keep."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from distbragg.errors import InputError
from distbragg.export.smv import beam_centres
from distbragg.kernel.native.moments import compiled_twin
from distbragg.kernel.options import resolve_options
from distbragg.matrices import dot3, norm3
from distbragg.models.beam_spot import spot_in_plane
from distbragg.models.build_detector import pivot_of
from distbragg.models.detector import Panel
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import components
from distbragg.plan.frame import plan_frame
from distbragg.predict.spots import visible_spots
from distbragg.predict.table import Spots
from distbragg.predict.width import FWHM, spot_width
from distbragg.rendering.frame import render_into
from distbragg.run.explained import Fact, Told
from distbragg.run.machine import usable_cores
from distbragg.spec.compute import ComputeSpec
from distbragg.units import MM_PER_METRE

_COARSE: Final = 96  # pixels along a side, at least, of the image that the background's level is of
_NARROWEST: Final = 1e-6  # pixels that are told of
_FAINTEST: Final = 1.0  # photons of a spot that is counted


def following_facts(told: Told) -> Iterator[Fact]:
    """Yield what follows from the numbers of a frame."""
    yield from _of_centre(told)
    yield from _of_resolution(told)
    level = background_level(told.experiment)
    yield from _of_spots(told, level)
    yield from _of_background(told, level)
    yield from _of_output(told)
    yield from _of_compute(told)


def _of_centre(told: Told) -> Iterator[Fact]:
    """Where the beam meets the first panel that it meets, else the plane of the first."""
    name, panels = "detector", told.experiment.detector.panels
    beam = components(told.experiment.beam.direction)
    spots = [spot_in_plane(one, one.pixels, beam, at) for at, one in enumerate(panels)]
    met = [spot for spot in spots if spot is not None]
    if not met:
        return
    spot = next((spot for spot in met if spot.on_panel), met[0])
    panel = panels[spot.panel]
    pixel = panel.pixel_size
    point = "nearest" if pivot_of(told.spec) == "sample" else "beam"
    for side, letter, place in (("fast", "x", spot.fast), ("slow", "y", spot.slow)):
        key = f"{point}.{letter}"
        kind, how = told.origin(key if key in told.origins else f"beam.{letter}")
        yield Fact(name, f"beam centre, {side}", place / pixel, "pixels", kind, how)
    if not spot.on_panel:
        yield Fact(name, "beam centre is", "off the panels", "", "follows", "")
    size = panel.pixels[0] * pixel
    centres = beam_centres(spot.fast, spot.slow, pixel, size)
    near = [-float(dot3(panel.origin, axis)) / pixel + 0.5 for axis in (panel.fast, panel.slow)]
    for convention, (x, y) in centres.items():
        value = [x * MM_PER_METRE, y * MM_PER_METRE]
        yield Fact(name, f"beam centre as {convention} writes it", value, "mm", "follows", "x, y",
                   matters=False)  # fmt: skip
    yield Fact(name, "ORGX, ORGY of XDS", near, "pixels", "follows", "nearest point", matters=False)


def _of_resolution(told: Told) -> Iterator[Fact]:
    experiment, name = told.experiment, "resolution"
    shortest = float(experiment.beam.sources.wavelength.min())
    edges, corners = zip(*(_reach(experiment, one) for one in experiment.detector.panels),
                         strict=True)  # fmt: skip
    corner = shortest / (2.0 * math.sin(0.5 * max(corners)))
    if len(edges) == 1 and edges[0] > 0.0:
        edge = shortest / (2.0 * math.sin(0.5 * edges[0]))
        yield Fact(name, "at the nearest edge", edge, "Å", "follows", "λ / 2 sin θ")
    yield Fact(name, "at the farthest corner", corner, "Å", "follows", "λ / 2 sin θ")
    limits = {"corner of the detector": corner, "sampling.dmin_angstrom": experiment.sampling.dmin}
    table = experiment.reflections
    if table.amplitude.size:
        place = np.argwhere(table.amplitude != 0.0) + np.array(table.origin)
        longest = norm3(place @ experiment.crystal.reciprocal).max() if len(place) else 0.0
        limits["end of the structure factors"] = 1.0 / longest if longest else math.inf
        of_table = limits["end of the structure factors"]
        yield Fact(name, "of the structure factors", of_table, "Å", "follows", "of the list")
    by = max(limits, key=lambda key: limits[key])
    yield Fact(name, "finest spacing on the image", limits[by], "Å", "follows", by)


def _reach(experiment: Experiment, panel: Panel) -> tuple[float, float]:
    """Return the scattering angles, rad, of the nearest and farthest point of a panel's edge."""
    slow, fast = panel.pixels
    along, across = (list(np.linspace(0.0, side, 65)) for side in (slow, fast))
    spot = spot_in_plane(panel, panel.pixels, components(experiment.beam.direction))
    if spot is not None:
        along.append(min(max(spot.slow / panel.pixel_size, 0.0), slow))
        across.append(min(max(spot.fast / panel.pixel_size, 0.0), fast))
    rim = [(y, x) for y in along for x in (0.0, fast)] + [
        (y, x) for y in (0.0, slow) for x in across
    ]
    places = np.array(rim) * panel.pixel_size
    points = panel.origin + places[:, :1] * panel.slow + places[:, 1:] * panel.fast
    cosines = dot3(points, experiment.beam.direction) / norm3(points)
    angles = np.arccos(np.clip(cosines, -1.0, 1.0))
    return float(angles.min()), float(angles.max())


def _of_spots(told: Told, level: float) -> Iterator[Fact]:
    experiment, name = told.experiment, "spots"
    try:
        spots = visible_spots(experiment, compiled_twin())
    except InputError as error:
        yield Fact(name, "photons of a spot", "not predicted", "", "rule", str(error))
        return
    spots = spots.only(np.flatnonzero(spots.active))
    bright = spots.only(np.flatnonzero(spots.photons >= _FAINTEST))
    how = "on active pixels"
    yield Fact(name, "spots of a photon or more", len(bright), "", "follows", how)
    if not len(spots):
        return
    strongest = float(spots.photons.max())
    yield Fact(name, "strongest spot", strongest, "photons", "follows", "all of its pixels")
    total = float(spots.photons.sum())
    yield Fact(name, "all spots", total, "photons", "follows", "faint ones included")
    if len(bright):
        mean, median = float(bright.photons.mean()), float(np.median(bright.photons))
        how = "of those of a photon or more"
        yield Fact(name, "mean spot", mean, "photons", "follows", how)
        yield Fact(name, "median spot", median, "photons", "follows", how)
    yield from _of_width(experiment, bright if len(bright) else spots, level)


def _of_width(experiment: Experiment, spots: Spots, level: float) -> Iterator[Fact]:
    """Yield the width of a spot at the middle of the spots' scattering angles."""
    name, panels = "spots", experiment.detector.panels
    angle = float(np.median(2.0 * np.arcsin(np.clip(
        spots.wavelength / (2.0 * spots.resolution), 0.0, 1.0))))  # fmt: skip
    width = spot_width(experiment, angle)
    where = f"FWHM at 2θ = {math.degrees(angle):.3g}°, radial and tangential"
    for part in ("size", "mosaic", "bandwidth", "divergence", "sensor", "spread"):
        value = list(getattr(width, part))
        label = {"spread": "point spread", "size": "size of a block"}.get(part, part)
        yield Fact(name, f"width by {label}", value, "pixels", "follows", where,
                   matters=max(value) > _NARROWEST)  # fmt: skip
    total = list(width.total)
    variance = np.stack([spots.variance_slow, spots.variance_fast, spots.covariance])
    if np.isfinite(variance).all() and len(panels) == 1:
        total, where = _measured(experiment, spots), "FWHM of the median predicted ellipse"
    yield Fact(name, "width of a spot", total, "pixels", "follows", where)
    area = math.pi / 4.0 * math.hypot(total[0], 1.0) * math.hypot(total[1], 1.0)
    if level > 0.0:
        ratio = float(np.median(spots.photons)) / (area * level)
        how = "median spot over the background under its half maximum"
        yield Fact(name, "spot over background", ratio, "", "follows", how)


def _measured(experiment: Experiment, spots: Spots) -> list[float]:
    """Median widths (radial, tangential) of predicted ellipses about the beam centre, pixels."""
    panel, beam = experiment.detector.panels[0], components(experiment.beam.direction)
    spot = spot_in_plane(panel, panel.pixels, beam)
    if spot is None:
        return list(spot_width(experiment, 0.0).total)
    slow = spots.slow - spot.slow / panel.pixel_size
    fast = spots.fast - spot.fast / panel.pixel_size
    length = np.hypot(slow, fast)
    y, x = slow / length, fast / length
    radial = (
        y * y * spots.variance_slow + x * x * spots.variance_fast + 2 * x * y * spots.covariance
    )
    across = (
        x * x * spots.variance_slow + y * y * spots.variance_fast - 2 * x * y * spots.covariance
    )
    spread = 0.0 if panel.point_spread is None else panel.point_spread.width
    return [
        float(np.median(np.hypot(FWHM * np.sqrt(np.maximum(part, 0.0)), spread)))
        for part in (radial, across)
    ]


def background_level(experiment: Experiment) -> float:
    """Return the mean background of the active pixels, photons: rendered in coarse pixels."""
    image = experiment.background.image
    active = np.stack([panel.active for panel in experiment.detector.panels])
    added = 0.0
    if image is not None and active.any():
        added = experiment.beam.pulse_energy * image.scale * float(image.photons[active].mean())
    if not experiment.background.scatters:
        return added
    slow, fast = active.shape[1:]
    factor = max(1, min(slow, fast) // _COARSE)
    dark = replace(
        experiment,
        crystal=replace(experiment.crystal, scale=0.0),
        others=(),
        background=replace(experiment.background, image=None),
        noise=replace(experiment.noise, photon=False),
        response=None,
        detector=replace(
            experiment.detector,
            panels=tuple(_coarse(panel, factor) for panel in experiment.detector.panels),
        ),
    )
    compute = ComputeSpec()
    plan, options = plan_frame(dark, compute), resolve_options(compute, usable_cores())
    level = np.empty((plan.panels, *plan.shape), dtype=np.float64)
    render_into(level, dark, plan, options, frame=0)
    middle = slice(factor // 2, None, factor)
    seen = active[:, middle, middle][:, : plan.shape[0], : plan.shape[1]]
    if not seen.any():
        return added
    return float(added + np.mean(level[seen]) / factor**2)


def _coarse(panel: Panel, factor: int) -> Panel:
    shape = (panel.shape[0] // factor, panel.shape[1] // factor)
    return replace(
        panel,
        shape=shape,
        pixels=shape,
        pixel_size=panel.pixel_size * factor,
        active=np.broadcast_to(np.True_, shape),
        point_spread=None,
    )


def _of_background(told: Told, level: float) -> Iterator[Fact]:
    name, background = "background", told.experiment.background
    given = told.spec.background
    names = [one.name or Path(one.file or "").name for one in given.materials] + ["ice rings"]
    for number, one in enumerate(background.materials):
        if one.molecules:
            what = f"molecules of {names[number]}" if given.layered else "molecules"
            how = "volume and density"
            yield Fact(name, f"{what} in the beam", one.molecules, "", "follows", how)
    how = "mean of the active pixels" if level else "nothing scatters beside the crystal"
    yield Fact(name, "level", level, "photons/pixel", "follows", how)


def _of_output(told: Told) -> Iterator[Fact]:
    spec, name = told.spec, "output"
    experiment = told.experiment
    yield told.of(name, "photon noise", experiment.noise.photon, "", "noise.photon")
    field = "noise.seed"
    yield told.of(name, "seed", experiment.noise.seed, "", field, matters=experiment.noise.photon)
    yield told.of(name, "type of a pixel", spec.output.dtype, "", "output.dtype")
    panels = experiment.detector.panels
    pixels = len(panels) * panels[0].shape[0] * panels[0].shape[1]
    size = pixels * np.dtype(spec.output.dtype).itemsize
    yield Fact(name, "bytes of a frame", size, "", "follows", "pixels · type, before compression")
    active = sum(int(np.count_nonzero(panel.active)) for panel in panels)
    yield Fact(name, "active pixels", active, "", "follows", "mask, gaps and region", "",
               active < pixels)  # fmt: skip


def _of_compute(told: Told) -> Iterator[Fact]:
    compute, name = told.spec.compute, "compute"
    options = resolve_options(compute, 1)
    kind, how = told.origin("compute.kernel")
    if compute.kernel == "auto":
        kind, how = "rule", f"the fastest available on {compute.device}"
    yield Fact(name, "kernel", options.kernel, "", kind, how, "compute.kernel")
    yield told.of(name, "precision", options.precision, "", "compute.precision")
    yield told.of(name, "device", options.device, "", "compute.device", matters=False)
