"""Where a sample of a pixel lies, and under which angle it is seen.

A panel is flat or bent. Under `physics: exact` a bent panel touches its plane at the foot of
the perpendicular from the sample and is bent about the sample with the radius R of that
perpendicular: in both directions (`sphere`), or in one about the other as its axis
(`cylinder_fast`, `cylinder_slow`: the axis the cylinder lies along). A sample of a bent panel is
the point whose arcs from the foot are as long as its way along the flat panel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from distbragg.models.detector import Panel
from distbragg.models.vectors import Float64Array, components, turn_about
from distbragg.physics.arrays import Array, Triple, constant, dot, module_of, root
from distbragg.physics.elementary import sine_cosine


@dataclass(frozen=True, slots=True, order=True)
class SampleIndex:
    """One sample of a pixel: sensor layer and sub-pixel, in the order of the sums."""

    layer: int
    slow: int
    fast: int


@dataclass(frozen=True, slots=True)
class Placement:
    """A panel and where it stands: its own numbers, or tensors that move it."""

    panel: Panel  # gives pixel size, sensor and surface
    beam: Triple  # unit vector along the beam
    origin: Triple  # m, outer corner of the first pixel
    close_distance: Array  # m, from the sample to the plane along the panel's normal
    distance: Array  # m, along the beam; the radius of a panel bent the C program's way
    fast: Triple  # unit vectors, as are slow and normal
    slow: Triple
    normal: Triple

    def numbers(self) -> Placement:
        """Return the same as floats, without gradients."""
        origin, fast, slow, normal = (
            (float(constant(x)), float(constant(y)), float(constant(z)))
            for x, y, z in (self.origin, self.fast, self.slow, self.normal)
        )
        close, distance = (float(constant(part)) for part in (self.close_distance, self.distance))
        return Placement(self.panel, self.beam, origin, close, distance, fast, slow, normal)


@dataclass(frozen=True, slots=True)
class Rays:
    """The rays from the crystal to one sample of each pixel."""

    direction: Triple  # unit vectors d, three (pixels,)
    length: Array  # (pixels,) m, distance from the crystal


def placement_of(panel: Panel, beam_direction: Float64Array) -> Placement:
    """Return a panel where it stands under a beam along the unit vector (3,)."""
    return Placement(
        panel,
        components(beam_direction),
        components(panel.origin),
        panel.close_distance,
        panel.distance,
        *map(components, (panel.fast, panel.slow, panel.normal)),
    )


def sample_indices(layers: int, oversample: int) -> Iterator[SampleIndex]:
    """Yield all samples of a pixel: layers outermost, then slow, then fast sub-pixels."""
    for layer in range(layers):
        for slow in range(oversample):
            for fast in range(oversample):
                yield SampleIndex(layer, slow, fast)


def sample_rays(
    placement: Placement, slow: Array, fast: Array, *, sample: SampleIndex, oversample: int
) -> Rays:
    """Return the rays to one sample of each pixel.

    `slow` and `fast` are (pixels,) float64, global indices; arrays that broadcast against each
    other serve as well. A pixel has `oversample` sub-pixels along each axis.
    """
    x, y, z = sample_positions(placement, slow, fast, sample=sample, oversample=oversample)
    length = root(x * x + y * y + z * z)
    return Rays((x / length, y / length, z / length), length)


def sample_positions(
    placement: Placement, slow: Array, fast: Array, *, sample: SampleIndex, oversample: int
) -> Triple:
    """Return where one sample of each pixel lies, three (pixels,) float64, m from the crystal."""
    panel = placement.panel
    size = panel.pixel_size / oversample
    half = size / 2.0
    along_fast = (fast * float(oversample) + float(sample.fast)) * size + half
    along_slow = (slow * float(oversample) + float(sample.slow)) * size + half
    depth = float(panel.sensor.position[sample.layer])
    axes = zip(placement.fast, placement.slow, placement.normal, strict=True)
    flat = [
        along_fast * f + along_slow * s + depth * n + start
        for (f, s, n), start in zip(axes, placement.origin, strict=True)
    ]
    place = (flat[0], flat[1], flat[2])
    if panel.surface == "flat":
        return place
    if panel.surface == "nanobragg":
        return _bent_like_nanobragg(placement, place)
    return _bent_about_the_sample(placement, place, depth)


def _bent_about_the_sample(placement: Placement, place: Triple, depth: float) -> Triple:
    """Bend flat positions about the sample; arcs are those of the surface at depth 0."""
    panel, radius = placement.panel, placement.close_distance
    fast, slow, normal = placement.fast, placement.slow, placement.normal
    along_fast, along_slow = dot(place, fast), dot(place, slow)
    deep = radius + depth
    if panel.surface == "cylinder_slow":
        sine, cosine = sine_cosine(along_fast / radius)
        parts = (deep * sine, along_slow, deep * cosine)
    elif panel.surface == "cylinder_fast":
        sine, cosine = sine_cosine(along_slow / radius)
        parts = (along_fast, deep * sine, deep * cosine)
    else:
        sine, cosine = sine_cosine(along_fast / radius)
        sine_slow, cosine_slow = sine_cosine(along_slow / radius)
        parts = (deep * sine, deep * cosine * sine_slow, deep * cosine * cosine_slow)
    x, y, z = (
        parts[0] * f + parts[1] * s + parts[2] * n
        for f, s, n in zip(fast, slow, normal, strict=True)
    )
    return x, y, z


def _bent_like_nanobragg(placement: Placement, place: Triple) -> Triple:
    """Bend as nanoBragg.c does: `distance` along the beam, turned about slow, then fast.

    It reads the laboratory's y and z as the arcs, whatever the panel's axes are.
    """
    radius = placement.distance
    zero = place[0] * 0.0
    u, v, w = placement.beam
    start = (zero + radius * u, zero + radius * v, zero + radius * w)
    turned = turn_about(start, placement.slow, *sine_cosine(place[1] / radius))
    return turn_about(turned, placement.fast, *sine_cosine(place[2] / radius))


def cosine_to_normal(placement: Placement, rays: Rays) -> Array:
    """Return ρ, the cosine between the rays and the panel's normal where they meet it, (pixels,).

    The normal of a sphere is the ray itself; that of a cylinder is the ray without its part
    along the axis. A panel bent the C program's way keeps the normal of its plane.
    """
    surface = placement.panel.surface
    if surface == "sphere":
        return rays.length * 0.0 + 1.0
    if surface in ("cylinder_fast", "cylinder_slow"):
        axis = placement.fast if surface == "cylinder_fast" else placement.slow
        along = dot(rays.direction, axis)
        return root(module_of(along).clip(1.0 - along * along, 0.0, None))
    return dot(rays.direction, placement.normal)


def surface_axes(placement: Placement, direction: Triple) -> tuple[Triple, Triple]:
    """Return the ways along the surface that fast and slow go where unit rays meet it.

    They are as long as 1 m of pixels is there; the depth of the sensor is left out.
    """
    fast, slow, normal = placement.fast, placement.slow, placement.normal
    surface = placement.panel.surface
    if surface == "flat":
        return fast, slow
    u, v, w = (dot(direction, axis) for axis in (fast, slow, normal))

    def mixed(one: Array, two: Array, three: Array) -> Triple:
        x, y, z = (
            one * f + two * s + three * n for f, s, n in zip(fast, slow, normal, strict=True)
        )
        return x, y, z

    if surface == "cylinder_fast":
        ring = root(v * v + w * w)
        return fast, mixed(0.0, w / ring, -v / ring)
    if surface == "cylinder_slow":
        ring = root(u * u + w * w)
        return mixed(w / ring, 0.0, -u / ring), slow
    ring = root(v * v + w * w)
    return mixed(ring, -u * v / ring, -u * w / ring), mixed(0.0, w, -v)


def distance_along(placement: Placement, direction: Triple) -> Array:
    """Return how far from the sample unit rays meet the surface, m."""
    if placement.panel.surface == "sphere":
        return direction[0] * 0.0 + placement.close_distance
    return placement.close_distance / cosine_to_normal(placement, Rays(direction, 0.0))
