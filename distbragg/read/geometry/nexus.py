"""NXmx: detector modules and the goniometer of a NeXus master file, read with h5py.

Vectors stay in NeXus's frame (McStas: beam along +z). Masters of the older software of Dectris,
which describe the detector by its centre and distance alone, are read by `nexus_plain`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.matrices import apply3
from distbragg.read.geometry.model import (
    FileGeometry,
    PanelGeometry,
    Triple,
    check_panels,
    count,
    positive,
    square_pixel,
    triple,
)
from distbragg.read.geometry.nexus_beam import beam_of
from distbragg.read.geometry.nexus_file import (
    NexusFile,
    Node,
    open_nexus,
    resolved,
    text,
    turned,
)
from distbragg.read.geometry.nexus_plain import (
    pixels_counted,
    plain_panel,
    plain_rotation,
    say_other_place,
    setting_energy,
)
from distbragg.read.heaps import load_filters
from distbragg.read.text import shown

_FRAME: Final = "NeXus's (McStas: beam along +z)"
_LARGEST_MASK: Final = 1 << 27
_WIDTHS: Final = ("_increment_set", "_increment", "_range_average")
_NUMBERED_MASKS: Final = 16
_DIMENSIONS: Final = 2

Mask = NDArray[Any]


def read_nxmx(path: str) -> FileGeometry:
    """Read the first NXmx entry of a NeXus file.

    Raises
    ------
    InputError
        No NeXus file, or a detector whose modules cannot be placed.
    """
    with open_nexus(path) as file:
        return check_panels(_geometry(file))


def _geometry(file: NexusFile) -> FileGeometry:
    entry = file.first(file.file, "NXentry", "NXinstrument")
    instrument = file.first(entry, "NXinstrument", "NXdetector")
    detector = _detector(file, instrument)
    beam = beam_of(file, entry, instrument, None)
    wavelength = beam.wavelength
    if wavelength is None:
        wavelength = setting_energy(file, detector)
    file.notes.extend(note.text for note in beam.notes)
    modules = file.of_class(detector, "NXdetector_module")
    stated = (True, True)
    if modules:
        panels = _panels(file, detector, modules)
    else:
        panel, stated = plain_panel(file, detector, _mask(file, detector))
        panels = (panel,)
    if modules:
        say_other_place(file, detector, panels)
    spindle, phi, oscillation = _goniometer(file, entry)
    _say_what_is_left(file, entry, detector)
    return FileGeometry(
        source=file.path,
        format="nxmx",
        frame=_FRAME,
        panels=panels,
        beam=(0.0, 0.0, 1.0),
        wavelength=wavelength,
        spectrum=beam.spectrum,
        polarization=beam.polarization or (1.0, 0.0, 0.0),
        polarization_fraction=beam.fraction,
        spindle=spindle,
        phi=phi,
        oscillation=oscillation,
        distance_stated=stated[0],
        centre_stated=stated[1],
        notes=tuple(dict.fromkeys(file.notes)),
    )


def _panels(
    file: NexusFile, detector: Node, modules: list[tuple[str, Node]]
) -> tuple[PanelGeometry, ...]:
    thickness = file.length(detector, "sensor_thickness")
    material = text(file.scalar(detector, "sensor_material"))
    mask = _mask(file, detector)
    return tuple(
        replace(_panel(file, detector, name, module, mask), thickness=thickness, material=material)
        for name, module in modules
    )


def _detector(file: NexusFile, instrument: Node) -> Node:
    """Return the detector: one with modules before one with pixels, before diodes and the like."""
    for holding in ("NXdetector_module", "x_pixel_size", ""):
        found = file.of_class(instrument, "NXdetector")
        if any(file.of_class(node, holding) or holding in node for _, node in found):
            return file.first(instrument, "NXdetector", holding)
    return file.first(instrument, "NXdetector")


def _start(file: NexusFile, detector: Node, module: Node, direction: Node) -> str:
    """Return where the chain of a pixel direction begins.

    A direction that names no axis stands where its module's or its detector's `depends_on` says.
    """
    named = [(text(direction.attrs.get("depends_on")), direction.name)]
    named += [(text(file.scalar(place, "depends_on")), f"{place.name}/x")
              for place in (module, detector)]  # fmt: skip
    for name, place in named:
        if name not in ("", "."):
            return resolved(name, place)
    return "."


def _image_shape(mask: Mask | None) -> tuple[int, int] | None:
    return None if mask is None or mask.ndim != _DIMENSIONS else mask.shape


def _as_counted(
    file: NexusFile, name: str, shape: tuple[int, int], counted: tuple[int, int] | None
) -> tuple[int, int]:
    """Return pixels (slow, fast) of a module; some masters write them as (fast, slow).

    They do where the detector or its mask, `counted`, has them the other way round.
    """
    if counted is None or counted == shape or counted != shape[::-1]:
        return shape
    file.notes.append(
        f"data_size of {name} is (fast, slow): the detector has {counted[1]} x {counted[0]} pixels"
    )
    return counted


def _panel(
    file: NexusFile, detector: Node, name: str, module: Node, mask: Mask | None
) -> PanelGeometry:
    fast = file.stored(module, "fast_pixel_direction")
    slow = file.stored(module, "slow_pixel_direction")
    if fast is None or slow is None:
        raise InputError(f"{name} has no pixel directions", source=file.path)
    shape, first = _area(file, name, module)
    shape = _as_counted(file, name, shape, pixels_counted(file, detector) or _image_shape(mask))
    fast_unit = file.length_unit(fast.attrs, "fast_pixel_direction")
    slow_unit = file.length_unit(slow.attrs, "slow_pixel_direction")
    pixel = square_pixel(
        positive(file.values(fast, "a pixel")[0] * fast_unit, file.path, "the pixel size"),
        positive(file.values(slow, "a pixel")[0] * slow_unit, file.path, "the pixel size"),
        file.path,
    )
    turn, shift = file.chain(_start(file, detector, module, fast))
    slow_turn, _ = file.chain(_start(file, detector, module, slow))
    origin = apply3(turn, file.offset(fast, name, fast_unit)) + shift
    return PanelGeometry(
        name=name,
        shape=shape,
        pixel_size=pixel,
        origin=triple(origin.tolist(), file.path, f"the place of {name}"),
        fast=turned(turn, file.axis(fast, name)),
        slow=turned(slow_turn, file.axis(slow, name)),
        mask=_cut(file, mask, first, shape),
    )


def _area(file: NexusFile, name: str, module: Node) -> tuple[tuple[int, int], list[float]]:
    """Pixels (slow, fast) of a module, and where its first one lies in the image."""
    size = file.field(module, "data_size")
    origin = file.stored(module, "data_origin")
    first = [0.0] * len(size) if origin is None else file.values(origin, "data_origin")
    if len(size) < 2 or len(first) != len(size):
        raise InputError(f"data_size of {name} has not two numbers", source=file.path)
    stride = file.stored(module, "data_stride")
    if stride is not None and any(value != 1.0 for value in file.values(stride, "data_stride")):
        raise InputError(
            f"{name} has a data_stride", source=file.path, remedy="only whole modules are read"
        )
    shape = count(size[-2], file.path, "data_size"), count(size[-1], file.path, "data_size")
    return shape, first


def _mask(file: NexusFile, detector: Node) -> Mask | None:
    """Return the pixel masks that are stored here as one: 0 for good pixels.

    `pixel_mask` and every `pixel_mask_N` beside it count.
    """
    total: Mask | None = None
    places = [detector, file.group(detector, "detectorSpecific")]
    names = ["pixel_mask", *(f"pixel_mask_{index}" for index in range(_NUMBERED_MASKS))]
    for place in places:
        for name in names if place is not None else ():
            part = _one_mask(file, place, name)
            if part is None:
                continue
            if total is not None and total.shape != part.shape:
                raise InputError("the pixel masks differ in shape", source=file.path)
            total = part if total is None else total | part
        if total is not None:
            return total
    return None


def _one_mask(file: NexusFile, detector: Node, name: str) -> Mask | None:
    member = file.stored(detector, name)
    if not isinstance(member, h5py.Dataset) or member.is_virtual or member.external:
        if detector.get(name, getlink=True) is not None:
            file.notes.append("the pixel mask lies in another file and is left aside")
        return None
    if member.dtype.kind not in "iub" or not 2 <= member.ndim <= 3:
        raise InputError("pixel_mask is no image of whole numbers", source=file.path)
    if not 0 < member.size <= _LARGEST_MASK:
        raise InputError(f"the pixel mask has {member.size} pixels", source=file.path)
    load_filters()
    try:
        return np.asarray(np.asarray(member[()]) != 0)
    except OSError:
        file.notes.append(
            "the pixel mask is compressed by a filter that is not installed and is left aside: "
            "pip install hdf5plugin"
        )
        return None


def _goniometer(file: NexusFile, entry: Node) -> tuple[Triple | None, float | None, float | None]:
    """Axis that turns during the scan, its start and its step."""
    samples = file.of_class(entry, "NXsample")
    if not samples:
        return None, None, None
    sample = samples[0][1]
    start = resolved(text(file.scalar(sample, "depends_on")), sample.name + "/x")
    axes = [dataset for _, dataset in file.axes(start)] or _unnamed_axes(file, sample)
    rotations = [
        dataset for dataset in axes if text(dataset.attrs.get("transformation_type")) == "rotation"
    ]
    if not rotations:
        return plain_rotation(file, sample)
    scans = [(*_scan(file, dataset), dataset) for dataset in rotations]
    moving = [scan for scan in scans if scan[1]]
    if len(moving) > 1:
        file.notes.append(f"{moving[0][2].name} is used of {len(moving)} axes that turn")
    # An axis that turns; else one that is written as a scan is; else the innermost.
    phi, oscillation, dataset = moving[0] if moving else max(scans, key=lambda s: s[2].size)
    outer = resolved(text(dataset.attrs.get("depends_on")), dataset.name)
    turn, _ = file.chain(outer)
    return turned(turn, file.axis(dataset, dataset.name)), phi, oscillation


def _unnamed_axes(file: NexusFile, sample: Node) -> list[Node]:
    """Return the axes of a sample that does not say on which it depends."""
    found = [
        node
        for _, group in file.of_class(sample, "NXtransformations")
        for name in sorted(group)
        if isinstance(node := file.stored(group, name), h5py.Dataset) and "vector" in node.attrs
    ]
    if found:
        file.notes.append("the sample has no depends_on: its axes are taken as they stand")
    return found


def _scan(file: NexusFile, dataset: Node) -> tuple[float, float | None]:
    """Start and width of an axis's first frame, degrees.

    The width is the step to the next frame; of a single frame, that of `NAME_increment_set` or
    the way to `NAME_end`.
    """
    unit = file.angle_unit(dataset.attrs, dataset.name)
    angles = file.values(dataset, dataset.name)
    if len(angles) > 1:
        step = (angles[1] - angles[0]) * unit
        # More than half a turn, and back again: the step went past 360 degrees.
        if abs(step) > 180.0 and len(angles) > 2 and (angles[2] - angles[1]) * step < 0.0:
            step = math.remainder(step, 360.0)
        return angles[0] * unit, step
    stem = str(dataset.name).rpartition("/")[2]
    for ending in (*_WIDTHS, "_end"):
        member = file.stored(dataset.parent, stem + ending)
        if isinstance(member, h5py.Dataset):
            width = file.values(member, stem + ending)[0]
            if "units" in member.attrs:
                unit = file.angle_unit(member.attrs, stem + ending)
            return angles[0] * unit, (width - angles[0] if ending == "_end" else width) * unit
    return angles[0] * unit, None


def _say_what_is_left(file: NexusFile, entry: Node, detector: Node) -> None:
    """Add notes on what bears on an image and is not read."""
    for parent in (entry, detector.parent):
        for _, source in file.of_class(parent, "NXsource"):
            probe = text(file.scalar(source, "probe"))
            if probe.lower() not in ("", "x-ray", "xray", "x-rays", "photon"):
                file.notes.append(f"the probe is '{shown(probe)}': the image is that of X-rays")
    for _, sample in file.of_class(entry, "NXsample"):
        names = [name for name in ("unit_cell", "orientation_matrix", "ub_matrix")
                 if file.stored(sample, name) is not None]  # fmt: skip
        if names:
            file.notes.append(f"left aside of the sample: {', '.join(names)}; crystal gives them")


def _cut(
    file: NexusFile, mask: Mask | None, first: list[float], shape: tuple[int, int]
) -> NDArray[np.bool_] | None:
    """Good pixels of a module, where the mask reaches over it and takes any out."""
    if mask is None:
        return None
    start = [int(value) for value in first]
    inside = mask.ndim == 3 and len(start) == 3 and 0 <= start[0] < mask.shape[0]
    part = mask[start[0]] if inside else mask
    good: NDArray[np.bool_] | None = None
    if part.ndim == 2:
        rows = slice(start[-2], start[-2] + shape[0])
        good = part[rows, start[-1] : start[-1] + shape[1]] == 0
    if good is None or good.shape != shape:
        file.notes.append("the pixel mask does not reach over every module and is left aside there")
        return None
    return None if good.all() else good
