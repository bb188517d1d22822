"""Masters of the older software of Dectris: one panel by its beam centre and distance.

They hold no NXdetector_module: the detector's own fields give pixel size, beam centre and
distance, `detectorSpecific` the number of pixels, and `geometry` the directions of the pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import numpy as np

from distbragg.errors import InputError
from distbragg.read.geometry.model import PanelGeometry, Triple, square_panel
from distbragg.read.geometry.nexus_file import NexusFile, Node
from distbragg.read.hdf5 import Attributes
from distbragg.read.units import EV, spectral_unit, unit_attribute

_FAST: Final[Triple] = (-1.0, 0.0, 0.0)
_SLOW: Final[Triple] = (0.0, -1.0, 0.0)
_SPINDLE: Final[Triple] = (-1.0, 0.0, 0.0)
"""imgCIF's +x, where such detectors' axes are counted from, in NeXus's frame."""

_AXES: Final = ("omega", "phi", "chi", "kappa")
_WIDTHS: Final = ("_increment_set", "_increment", "_range_average", "_end")
_TILT: Final = 1e-6


def plain_panel(
    file: NexusFile, detector: Node, shape: tuple[int, int] | None
) -> tuple[PanelGeometry, bool, bool]:
    """Return the panel of a shape (slow, fast), and whether distance and beam centre are stated."""
    x, y = (file.length(detector, f"{side}_pixel_size") for side in "xy")
    if x is None or y is None:
        raise file.refusal(
            "the detector has neither an NXdetector_module nor x_pixel_size and y_pixel_size"
        )
    pixel = file.square_pixel(x, y, "the pixel size")
    if shape is None:
        raise file.refusal(
            "the detector has neither an NXdetector_module nor x_pixels_in_detector",
            "give detector.panels, or a master that says the number of pixels",
        )
    axes = _directions(file, detector)
    distance = None
    for name in ("detector_distance", "distance"):
        if distance is None:
            distance = file.positive_or_none(file.length(detector, name), name)
    centre = _centre(file, detector, pixel)
    file.note(
        "there is no NXdetector_module: the panel stands square to the beam at beam_center and "
        "detector_distance"
    )
    _say_swing(file, detector)
    panel = square_panel(shape, pixel, axes, beam=(0.0, 0.0, 1.0), centre=centre, distance=distance)
    return panel, distance is not None, centre is not None


def say_other_place(file: NexusFile, detector: Node, panels: Sequence[PanelGeometry]) -> None:
    """Say where `beam_center` of a detector of one module is not where its axes place it."""
    panel = panels[0]
    try:
        centre = _centre(file, detector, panel.pixel_size)
    except InputError:
        return  # Nothing hangs on it.
    normal = np.cross(panel.fast, panel.slow)
    if len(panels) > 1 or centre is None or abs(normal[2]) < _TILT:
        return
    offset = -np.array(panel.origin)
    offset[2] += math.fsum((normal * np.array(panel.origin)).tolist()) / float(normal[2])
    found = [math.fsum((offset * np.array(axis)).tolist()) for axis in (panel.fast, panel.slow)]
    if max(abs(a - b) for a, b in zip(found, centre, strict=True)) > panel.pixel_size:
        says, stands = (
            " and ".join(f"{value / panel.pixel_size:.2f}" for value in pair)
            for pair in (centre, found)
        )
        file.note(
            f"beam_center says {says} pixels, the axes of the module {stands}: the axes count"
        )


def _centre(file: NexusFile, detector: Node, pixel: float) -> tuple[float, float] | None:
    """Return the beam centre from the corner, mm; detectors that were told none write (0, 0)."""
    across, down = (file.length(detector, f"beam_center_{side}", pixel) for side in "xy")
    if across is None or down is None or not (across or down):
        return None
    return across, down


def _directions(file: NexusFile, detector: Node) -> tuple[Triple, Triple]:
    """Fast and slow directions: those of NXorientation's six numbers, else the usual ones."""
    node = file.stored(detector, "geometry/orientation/value")
    if node is None:
        return _FAST, _SLOW
    values = file.values(node, "the orientation")
    if len(values) != 6:
        raise file.refusal("the orientation has not six numbers")
    first, second = values[:3], values[3:]
    return file.direction(first, "the orientation"), file.direction(second, "the orientation")


def _say_swing(file: NexusFile, detector: Node) -> None:
    """Say that the detector is turned, by its goniometer or by its axes."""
    axes: dict[str, Node] = {}
    with suppress(InputError):  # A chain that ends early places nothing here.
        for name, dataset in file.axes(file.innermost(detector)):
            if file.attribute(dataset, "transformation_type") == "rotation":
                axes[name.rpartition("/")[2]] = dataset
    for name in ("two_theta", "two_theta_start"):
        member = file.stored(detector, f"goniometer/{name}")
        if member is not None:
            axes.setdefault(name, member)
    for name, dataset in axes.items():
        if abs(file.values(dataset, name)[0]) > _TILT:
            file.note(f"{name} is ignored: give detector.twotheta_deg and its axis")
            return


def plain_rotation(
    file: NexusFile, sample: Node
) -> tuple[Triple | None, float | None, float | None]:
    """Rotation of a sample without a chain of axes: the axis of `goniometer` that turns."""
    goniometer = file.group(sample, "goniometer")
    for name in _AXES:
        axis = file.dataset(goniometer, name)
        if axis is None:
            continue
        unit = 1.0 if unit_attribute(Attributes(axis)) is None else file.angle_unit(axis, name)
        start, width = scan_of(file, axis, unit)
        if width:
            file.note(
                f"the file does not say where {name} points: NeXus's -x is taken; "
                "goniometer.spindle_axis gives another"
            )
            return _SPINDLE, start, width
    return None, None, None


def scan_of(file: NexusFile, axis: Node, unit: float) -> tuple[float, float | None]:
    """Start and width of an axis's first frame, degrees; `unit` is that of the axis.

    The width is the step to the next frame; of a single frame, that of `NAME_increment_set` or
    the way to `NAME_end`.
    """
    angles = file.values(axis, axis.name)
    start = angles[0] * unit
    if len(angles) > 1:
        step = (angles[1] - angles[0]) * unit
        # More than half a turn, and back again: the step went past 360 degrees.
        if abs(step) > 180.0 and len(angles) > 2 and (angles[2] - angles[1]) * step < 0.0:
            step = math.remainder(step, 360.0)
        return start, step
    for ending in _WIDTHS:
        name = axis.name + ending
        member = file.dataset(file.file, name)
        if member is not None:
            width = file.values(member, name)[0]
            if "units" in Attributes(member):
                unit = file.angle_unit(member, name)
            return start, width * unit - (start if ending == "_end" else 0.0)
    return start, None


def setting_energy(file: NexusFile, detector: Node) -> float | None:
    """Return the wavelength of the photon energy that a detector is set to, Å, or None."""
    for group in (file.group(detector, "detectorSpecific"), detector):
        member = file.dataset(group, "photon_energy")
        if member is None:
            continue
        value = file.positive(file.values(member, "photon_energy")[0], "photon_energy")
        file.note("the wavelength is that of photon_energy, to which the detector is set")
        word = unit_attribute(Attributes(member))
        unit = EV if word is None else spectral_unit(word)
        if unit is not None and unit.quantity != "energy":
            unit = None
        return file.unit(unit, "photon_energy", word).angstrom(value)
    return None
