"""Masters of the older software of Dectris: one panel by its beam centre and distance.

They hold no NXdetector_module: the detector's own fields give pixel size, beam centre and
distance, `detectorSpecific` the number of pixels, and `geometry` the directions of the pixels.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.read.geometry.model import (
    ASSUMED_DISTANCE_MM,
    PanelGeometry,
    Triple,
    count,
    direction,
    positive,
    positive_or_none,
    square_pixel,
)
from distbragg.read.geometry.nexus_file import NexusFile, Node, resolved, text
from distbragg.read.units import length_mm, spectral_unit, unit_attribute
from distbragg.units import energy_ev_to_wavelength_angstrom

_FAST: Final[Triple] = (-1.0, 0.0, 0.0)
_SLOW: Final[Triple] = (0.0, -1.0, 0.0)
_SPINDLE: Final[Triple] = (-1.0, 0.0, 0.0)
"""imgCIF's +x, where such detectors' axes are counted from, in NeXus's frame."""

_AXES: Final = ("omega", "phi", "chi", "kappa")
_TILT: Final = 1e-6


def plain_panel(
    file: NexusFile, detector: Node, mask: NDArray[Any] | None
) -> tuple[PanelGeometry, tuple[bool, bool]]:
    """Return the panel, and whether the file states its distance and its beam centre.

    Raises
    ------
    InputError
        No pixel size, or no number of pixels.
    """
    sizes = [file.length(detector, f"{side}_pixel_size") for side in "xy"]
    if sizes[0] is None or sizes[1] is None:
        raise InputError(
            "the detector has neither an NXdetector_module nor x_pixel_size and y_pixel_size",
            source=file.path,
        )
    pixel = square_pixel(
        positive(sizes[0], file.path, "x_pixel_size"),
        positive(sizes[1], file.path, "y_pixel_size"),
        file.path,
    )
    shape = _shape(file, detector, mask)
    fast, slow = _directions(file, detector)
    distance = None
    for name in ("detector_distance", "distance"):
        if distance is None:
            distance = positive_or_none(file.length(detector, name), file.path, name)
    centre = [_centre(file, detector, f"beam_center_{side}", pixel) for side in "xy"]
    if not any(centre):
        centre = [None, None]  # Detectors that were told no centre write 0.
    stated = distance is not None, centre[0] is not None and centre[1] is not None
    across = shape[1] * pixel / 2.0 if centre[0] is None else centre[0]
    down = shape[0] * pixel / 2.0 if centre[1] is None else centre[1]
    place = -across * np.array(fast) - down * np.array(slow)
    place[2] += ASSUMED_DISTANCE_MM if distance is None else distance
    file.notes.append(
        "there is no NXdetector_module: the panel stands square to the beam at beam_center and "
        "detector_distance"
    )
    _say_swing(file, detector)
    if mask is not None and mask.shape != shape:
        file.notes.append("the pixel mask has another size than the detector and is left aside")
        mask = None
    good = None if mask is None or not mask.any() else mask == 0
    panel = PanelGeometry(
        name="detector",
        shape=shape,
        pixel_size=pixel,
        origin=(float(place[0]), float(place[1]), float(place[2])),
        fast=fast,
        slow=slow,
        thickness=file.length(detector, "sensor_thickness"),
        material=text(file.scalar(detector, "sensor_material")),
        mask=good,
    )
    return panel, stated


def pixels_counted(file: NexusFile, detector: Node) -> tuple[int, int] | None:
    """Pixels (slow, fast) as counted by the detector, or None."""
    specific = file.group(detector, "detectorSpecific")
    counts = [
        None if specific is None else file.optional(specific, f"{side}_pixels_in_detector")
        for side in "yx"
    ]
    if counts[0] is None or counts[1] is None:
        return None
    return (
        count(counts[0], file.path, "y_pixels_in_detector"),
        count(counts[1], file.path, "x_pixels_in_detector"),
    )


def say_other_place(file: NexusFile, detector: Node, panels: tuple[PanelGeometry, ...]) -> None:
    """Say where `beam_center` of a detector of one module is not where its axes place it."""
    (panel, *more) = panels
    try:
        across, down = (
            _centre(file, detector, f"beam_center_{side}", panel.pixel_size) for side in "xy"
        )
    except InputError:
        return  # Nothing hangs on it.
    if more or across is None or down is None or not (across or down):
        return
    centre = [across, down]
    normal = np.cross(panel.fast, panel.slow)
    if abs(normal[2]) < _TILT:
        return
    offset = -np.array(panel.origin)
    offset[2] += math.fsum((normal * np.array(panel.origin)).tolist()) / float(normal[2])
    found = [math.fsum((offset * np.array(axis)).tolist()) for axis in (panel.fast, panel.slow)]
    if max(abs(a - b) for a, b in zip(found, centre, strict=True)) > panel.pixel_size:
        says, stands = (
            " and ".join(f"{value / panel.pixel_size:.2f}" for value in pair)
            for pair in (centre, found)
        )
        file.notes.append(
            f"beam_center says {says} pixels, the axes of the module {stands}: the axes count"
        )


def _shape(file: NexusFile, detector: Node, mask: NDArray[Any] | None) -> tuple[int, int]:
    """Pixels (slow, fast): as counted by the detector, else as the mask has them."""
    counted = pixels_counted(file, detector)
    if counted is not None:
        return counted
    if mask is not None and mask.ndim == 2:
        return mask.shape[0], mask.shape[1]
    raise InputError(
        "the detector has neither an NXdetector_module nor x_pixels_in_detector",
        source=file.path,
        remedy="give detector.panels, or a master that says the number of pixels",
    )


def _directions(file: NexusFile, detector: Node) -> tuple[Triple, Triple]:
    """Fast and slow directions: those of NXorientation's six numbers, else the usual ones."""
    node = detector
    for name in ("geometry", "orientation", "value"):
        node = file.stored(node, name) if isinstance(node, h5py.Group) else None
    if node is None:
        return _FAST, _SLOW
    values = file.values(node, "the orientation")
    if len(values) != 6:
        raise InputError("the orientation has not six numbers", source=file.path)
    first, second = values[:3], values[3:]
    return (
        direction((first[0], first[1], first[2]), file.path, "the orientation"),
        direction((second[0], second[1], second[2]), file.path, "the orientation"),
    )


def _centre(file: NexusFile, detector: Node, name: str, pixel: float) -> float | None:
    """Return a beam centre from the corner, mm; it counts in pixels unless it says a length."""
    member = file.stored(detector, name)
    if member is None:
        return None
    word = unit_attribute(member.attrs)
    unit = pixel
    if word is not None and not word.lower().startswith(("pixel", "px")):
        known = length_mm(word)
        if known is None:
            raise file.unknown_unit(name, word)
        unit = known
    return file.values(member, name)[0] * unit


def _say_swing(file: NexusFile, detector: Node) -> None:
    """Say that the detector is turned, by its goniometer or by its axes."""
    goniometer = file.group(detector, "goniometer")
    start = resolved(text(file.scalar(detector, "depends_on")), detector.name + "/x")
    axes: dict[str, Node] = {}
    with suppress(InputError):  # A chain that ends early places nothing here.
        for name, dataset in file.axes(start):
            if text(dataset.attrs.get("transformation_type")) == "rotation":
                axes[name.rpartition("/")[2]] = dataset
    for name in ("two_theta", "two_theta_start"):
        if goniometer is not None and file.stored(goniometer, name) is not None:
            axes.setdefault(name, file.stored(goniometer, name))
    for name, dataset in axes.items():
        if abs(file.values(dataset, name)[0]) > _TILT:
            file.notes.append(f"{name} is left aside: give detector.twotheta_deg and its axis")
            return


def plain_rotation(
    file: NexusFile, sample: Node
) -> tuple[Triple | None, float | None, float | None]:
    """Rotation of a sample without a chain of axes: the axis of `goniometer` that turns."""
    goniometer = file.group(sample, "goniometer")
    if goniometer is None:
        return None, None, None
    for name in _AXES:
        member = file.stored(goniometer, name)
        if not isinstance(member, h5py.Dataset):
            continue
        angles = file.values(member, name)
        unit = 1.0 if unit_attribute(member.attrs) is None else file.angle_unit(member.attrs, name)
        width = angles[1] - angles[0] if len(angles) > 1 else None
        for ending in ("_increment", "_range_average"):
            if width is None:
                width = file.optional(goniometer, name + ending)
        if width:
            file.notes.append(
                f"the file does not say where {name} points: NeXus's -x is taken; "
                "goniometer.spindle_axis gives another"
            )
            return _SPINDLE, angles[0] * unit, width * unit
    return None, None, None


def setting_energy(file: NexusFile, detector: Node) -> float | None:
    """Return the wavelength of the photon energy that a detector is set to, Å, or None."""
    specific = file.group(detector, "detectorSpecific")
    for group in (specific, detector):
        member = None if group is None else file.stored(group, "photon_energy")
        if not isinstance(member, h5py.Dataset):
            continue
        word = unit_attribute(member.attrs)
        value = positive(file.values(member, "photon_energy")[0], file.path, "photon_energy")
        file.notes.append("the wavelength is that of photon_energy, to which the detector is set")
        if word is None:
            return energy_ev_to_wavelength_angstrom(value)
        unit = spectral_unit(word)
        if unit is None or unit.quantity != "energy":
            raise file.unknown_unit("photon_energy", word)
        return unit.angstrom(value)
    return None
