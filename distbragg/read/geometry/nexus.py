"""NXmx: detector modules and the goniometer of a NeXus master file, read with h5py.

Vectors stay in NeXus's frame (McStas: beam along +z). Masters of the older software of Dectris,
which describe the detector by its centre and distance alone, are read by `nexus_plain`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.matrices import apply3
from distbragg.read.geometry.model import FileGeometry, PanelGeometry, Triple
from distbragg.read.geometry.nexus_beam import beam_of
from distbragg.read.geometry.nexus_file import NexusFile, Node, open_nexus, turned
from distbragg.read.geometry.nexus_plain import (
    plain_panel,
    plain_rotation,
    say_other_place,
    scan_of,
    setting_energy,
)
from distbragg.read.hdf5 import Attributes, stored_values
from distbragg.read.text import shown

_FRAME: Final = "NeXus's (McStas: beam along +z)"
_LARGEST_MASK: Final = 1 << 27
_NUMBERED_MASKS: Final = 16

Mask = NDArray[Any]
Shape = tuple[int, int]


def read_nxmx(path: str) -> FileGeometry:
    """Read the first NXmx entry of a NeXus file."""
    with open_nexus(path) as file:
        entry = file.first(file.file, "NXentry", "NXinstrument")
        instrument = file.first(entry, "NXinstrument", "NXdetector")
        # One with modules before one with pixels, before diodes and the like.
        detector = file.first(instrument, "NXdetector", "NXdetector_module", "x_pixel_size")
        beam = beam_of(file, entry, instrument, None)
        wavelength = beam.wavelength
        if wavelength is None:
            wavelength = setting_energy(file, detector)
        modules = file.of_class(detector, "NXdetector_module")
        mask = _mask(file, detector)
        counted = _pixels_counted(file, detector, mask)
        distance_stated = centre_stated = True
        if modules:
            panels = [_panel(file, detector, module, mask, counted) for _, module in modules]
            say_other_place(file, detector, panels)
        else:
            panel, distance_stated, centre_stated = plain_panel(file, detector, counted)
            if mask is not None and mask.shape != panel.shape:
                file.note("the pixel mask has another size than the detector and is ignored")
                mask = None
            panels = [replace(panel, mask=_cut(file, mask, [0, 0], panel.shape))]
        thickness = file.length(detector, "sensor_thickness")
        material = file.text(detector, "sensor_material")
        spindle, phi, oscillation = _goniometer(file, entry)
        _say_what_is_left(file, entry, detector)
        return FileGeometry(
            source=file.path,
            format="nxmx",
            frame=_FRAME,
            panels=tuple(
                replace(panel, thickness=thickness, material=material) for panel in panels
            ),
            beam=(0.0, 0.0, 1.0),
            wavelength=wavelength,
            spectrum=beam.spectrum,
            polarization=beam.polarization or (1.0, 0.0, 0.0),
            polarization_fraction=beam.fraction,
            spindle=spindle,
            phi=phi,
            oscillation=oscillation,
            distance_stated=distance_stated,
            centre_stated=centre_stated,
            notes=file.said,
        )


def _pixels_counted(file: NexusFile, detector: Node, mask: Mask | None) -> Shape | None:
    """Pixels (slow, fast) as the detector counts them, else as its mask has them, or None."""
    specific = file.group(detector, "detectorSpecific")
    names = [f"{side}_pixels_in_detector" for side in "yx"]
    counts = [None if specific is None else file.optional(specific, name) for name in names]
    if None not in counts:
        slow, fast = (file.count(number, name) for number, name in zip(counts, names, strict=True))
        return slow, fast
    return None if mask is None or mask.ndim != 2 else (mask.shape[0], mask.shape[1])


def _panel(
    file: NexusFile, detector: Node, module: Node, mask: Mask | None, counted: Shape | None
) -> PanelGeometry:
    name = module.name.rpartition("/")[2]
    fast, slow = (file.stored(module, f"{side}_pixel_direction") for side in ("fast", "slow"))
    if fast is None or slow is None:
        raise file.refusal(f"{name} has no pixel directions")
    shape, first = _area(file, name, module)
    # Some masters write (fast, slow).
    if counted is not None and counted != shape and counted == shape[::-1]:
        shape = counted
        file.note(
            f"data_size of {name} is (fast, slow): the detector has {shape[1]} x {shape[0]} pixels"
        )
    unit = file.length_unit(fast, "fast_pixel_direction")
    pixel = file.square_pixel(
        file.values(fast, "a pixel")[0] * unit,
        file.values(slow, "a pixel")[0] * file.length_unit(slow, "slow_pixel_direction"),
        "the pixel size",
    )
    turn, shift = file.chain(_start(file, detector, module, fast))
    slow_turn, _ = file.chain(_start(file, detector, module, slow))
    origin = apply3(turn, file.offset(fast, name, unit)) + shift
    return PanelGeometry(
        name=name,
        shape=shape,
        pixel_size=pixel,
        origin=file.triple(origin.tolist(), f"the place of {name}"),
        fast=turned(turn, file.axis(fast, name)),
        slow=turned(slow_turn, file.axis(slow, name)),
        mask=_cut(file, mask, [int(value) for value in first], shape),
    )


def _start(file: NexusFile, detector: Node, module: Node, direction: Node) -> str:
    """Return where a direction's chain begins: at its own axis, its module's, or its detector's."""
    for start in (file.outer(direction), file.innermost(module), file.innermost(detector)):
        if start not in ("", "."):
            return start
    return "."


def _area(file: NexusFile, name: str, module: Node) -> tuple[Shape, list[float]]:
    """Pixels (slow, fast) of a module, and where its first one lies in the image."""
    if file.stored(module, "data_size") is None:
        raise file.refusal(f"{module.name} has no data_size")
    size = file.values(file.stored(module, "data_size"), "data_size")
    origin, stride = (file.stored(module, f"data_{what}") for what in ("origin", "stride"))
    first = [0.0] * len(size) if origin is None else file.values(origin, "data_origin")
    if len(size) < 2 or len(first) != len(size):
        raise file.refusal(f"data_size of {name} has not two numbers")
    if stride is not None and any(value != 1.0 for value in file.values(stride, "data_stride")):
        raise file.refusal(f"{name} has a data_stride", "only whole modules are read")
    return (file.count(size[-2], "data_size"), file.count(size[-1], "data_size")), first


def _mask(file: NexusFile, detector: Node) -> Mask | None:
    """Return the masks of one place (`pixel_mask`, `pixel_mask_N`) as one: 0 for good pixels."""
    names = ["pixel_mask", *(f"pixel_mask_{index}" for index in range(_NUMBERED_MASKS))]
    for place in (detector, file.group(detector, "detectorSpecific")):
        total: Mask | None = None
        for name in names if place is not None else ():
            part = _one_mask(file, place, name)
            if part is None:
                continue
            if total is not None and total.shape != part.shape:
                raise file.refusal("the pixel masks differ in shape")
            total = part if total is None else total | part
        if total is not None:
            return total
    return None


def _one_mask(file: NexusFile, place: Node, name: str) -> Mask | None:
    member = file.dataset(place, name)
    if member is None:
        if place.get(name, getlink=True) is not None:
            file.note("the pixel mask lies in another file and is ignored")
        return None
    if member.dtype.kind not in "iub" or not 2 <= member.ndim <= 3:
        raise file.refusal("pixel_mask is not an image of whole numbers")
    if not 0 < member.size <= _LARGEST_MASK:
        raise file.refusal(f"the pixel mask has {member.size} pixels")
    try:
        return np.asarray(stored_values(member, file.path) != 0)
    except OSError:
        file.note(
            "the pixel mask is compressed by a filter that is not installed and is ignored: "
            "pip install hdf5plugin"
        )
        return None


def _cut(
    file: NexusFile, mask: Mask | None, first: list[int], shape: Shape
) -> NDArray[np.bool_] | None:
    """Good pixels of a module, where the mask reaches over it and takes any out."""
    if mask is None:
        return None
    if mask.ndim == len(first) == 3 and 0 <= first[0] < mask.shape[0]:
        mask = mask[first[0]]
    slow, fast = first[-2:]
    good = mask[slow : slow + shape[0], fast : fast + shape[1]] == 0
    if good.shape != shape:
        file.note("the pixel mask does not reach over every module and is ignored there")
        return None
    return None if good.all() else good


def _goniometer(file: NexusFile, entry: Node) -> tuple[Triple | None, float | None, float | None]:
    """Axis that turns during the scan, its start and its step."""
    samples = file.of_class(entry, "NXsample")
    if not samples:
        return None, None, None
    sample = samples[0][1]
    axes = [dataset for _, dataset in file.axes(file.innermost(sample))]
    axes = axes or _unnamed_axes(file, sample)
    rotations = [axis for axis in axes if file.attribute(axis, "transformation_type") == "rotation"]
    if not rotations:
        return plain_rotation(file, sample)
    scans = [(*scan_of(file, axis, file.angle_unit(axis, axis.name)), axis) for axis in rotations]
    moving = [scan for scan in scans if scan[1]]
    if len(moving) > 1:
        file.note(f"{moving[0][2].name} is used of {len(moving)} axes that turn")
    # An axis that turns; else one that is written as a scan is; else the innermost.
    phi, oscillation, axis = moving[0] if moving else max(scans, key=lambda scan: scan[2].size)
    turn, _ = file.chain(file.outer(axis))
    return turned(turn, file.axis(axis, axis.name)), phi, oscillation


def _unnamed_axes(file: NexusFile, sample: Node) -> list[Node]:
    """Return the axes of a sample that does not say on which it depends."""
    found = [
        axis
        for _, group in file.of_class(sample, "NXtransformations")
        for name in sorted(group)
        if (axis := file.dataset(group, name)) is not None and "vector" in Attributes(axis)
    ]
    if found:
        file.note("the sample has no depends_on: its axes are taken as they stand")
    return found


def _say_what_is_left(file: NexusFile, entry: Node, detector: Node) -> None:
    """Add notes on what bears on an image and is not read."""
    for parent in (entry, detector.parent):
        for _, source in file.of_class(parent, "NXsource"):
            probe = file.text(source, "probe")
            if probe.lower() not in ("", "x-ray", "xray", "x-rays", "photon"):
                file.note(f"the probe is '{shown(probe)}': the image is that of X-rays")
    for _, sample in file.of_class(entry, "NXsample"):
        names = [name for name in ("unit_cell", "orientation_matrix", "ub_matrix")
                 if file.stored(sample, name) is not None]  # fmt: skip
        if names:
            file.note(f"ignored of the sample: {', '.join(names)}; crystal gives them")
