"""DIALS experiment lists (`.expt`): plain JSON, read without dxtbx.

Vectors stay in the file's own frame. dxtbx stores the beam's direction from sample to source,
panel frames relative to their parent group, and the crystal in the frame of the goniometer's
fixed rotation: laboratory = setting · R(scan axis) · fixed · crystal.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

import numpy as np

from distbragg.matrices import apply3, determinant3, matmul3, transposed
from distbragg.read.geometry.model import (
    IDENTITY,
    MAXIMUM_PANELS,
    FileGeometry,
    GeometryReading,
    Matrix,
    PanelGeometry,
    Rectangle,
    Triple,
    rotation_matrix,
)
from distbragg.read.text import read_text, remembered, shown

MAXIMUM_BYTES: Final = 1 << 28
_MAXIMUM_DEPTH: Final = 32
_MAXIMUM_RECTANGLES: Final = 10_000
_LARGEST: Final = 1e300
_FRAME: Final = "the file's own (dxtbx: usually the beam along -z, the spindle along +x)"
_VARYING: Final = (
    ("crystal", "A_at_scan_points", "the crystal"),
    ("beam", "s0_at_scan_points", "the beam"),
    ("goniometer", "setting_rotation_at_scan_points", "the setting rotation"),
)
_LEFT_ASIDE: Final = (
    ("beam", "divergence", " of the beam", "beam.divergence"),
    ("beam", "sigma_divergence", " of the beam", "beam.divergence"),
    ("beam", "flux", " of the beam", "beam.flux_photons_per_s"),
    ("crystal", "mosaicity", " deg of the crystal", "crystal.mosaic"),
    ("crystal", "ML_half_mosaicity_deg", " deg of the crystal", "crystal.mosaic"),
)
"""Numbers by their model and name, what they are of, and the field that gives them."""

_TABLES: Final = {
    "mask": "give it as detector.mask_file, an .npy array",
    "gain": "images are in photons",
    "pedestal": "images are in photons",
    "dx": "positions are those of the plain panels",
    "dy": "positions are those of the plain panels",
}
_SHIFTED: Final = ("OffsetParallaxCorrectedPxMmStrategy", "OffsetPxMmStrategy")

Json = Any
Model = dict[str, Json]
Frame = tuple[Matrix, Matrix]
"""Axes (columns fast, slow, normal) and origin, mm, of a group or panel."""


def read_expt(path: str, *, experiment: int | None = None) -> FileGeometry:
    """Read one experiment of a DIALS list; the first, which a note says, where none is chosen."""
    reading = ExperimentReading(path, experiment)
    reading.say_what_is_left()
    beam, polarization = reading.beam()
    fixed, setting, spindle = reading.goniometer()
    phi, oscillation = reading.scan()
    of_beam = reading.models["beam"] or {}
    return FileGeometry(
        source=path,
        format="expt",
        frame=_FRAME,
        panels=reading.panels(),
        beam=beam,
        wavelength=reading.positive_or_none(of_beam.get("wavelength"), "wavelength"),
        polarization=polarization,
        polarization_fraction=reading.number_or_none(of_beam, "polarization_fraction"),
        spindle=spindle,
        phi=phi,
        oscillation=oscillation,
        real_space=reading.crystal(matmul3(setting, fixed)),
        notes=reading.said,
        experiments=reading.count_of_experiments,
    )


@remembered(1)
def _document(path: str) -> Model:
    """Return the list; remembered, since its experiments are asked for one by one."""
    reading = GeometryReading(path)
    try:
        document = json.loads(read_text(path, MAXIMUM_BYTES))
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "nested too deeply"
        raise reading.refusal(f"no JSON ({shown(reason)})") from error
    if not isinstance(document, dict) or document.get("__id__") != "ExperimentList":
        raise reading.refusal("not a DIALS experiment list", 'one says "__id__": "ExperimentList"')
    return document


class ExperimentReading(GeometryReading):
    """The models of one experiment, None where it has none of a kind."""

    def __init__(self, path: str, experiment: int | None) -> None:
        super().__init__(path)
        document = _document(path)
        listed = self.items(document, "experiment")
        self.count_of_experiments, index = len(listed), experiment or 0
        if not listed:
            raise self.refusal("the experiment list is empty")
        if index >= len(listed):
            raise self.refusal(f"there is no experiment {index} among {len(listed)}")
        chosen = self.mapping(listed[index], "an experiment")
        self.models = {
            name: self._model(document, chosen, name)
            for name in ("beam", "detector", "goniometer", "scan", "crystal")
        }
        if self.models["detector"] is None:
            raise self.refusal("the experiment has no detector")
        if len(listed) > 1 and experiment is None:
            self.note(
                f"experiment 0 of {len(listed)} is used; detector.geometry_experiment chooses "
                "another"
            )
        sets: Json = document.get("imageset")
        images: Json = chosen.get("imageset")
        named = isinstance(sets, list) and isinstance(images, int) and 0 <= images < len(sets)
        tables = sets[images] if named else None
        self.tables: Model = tables if isinstance(tables, dict) else {}

    def _model(self, document: Model, experiment: Model, name: str) -> Model | None:
        index = experiment.get(name)
        if index is None:
            return None
        models = self.items(document, name)
        if not _is_index(index) or not 0 <= index < len(models):
            raise self.refusal(
                f"the experiment names no {name} of the list",
                "models in files of their own are not read: write the list again with DIALS",
            )
        return self.mapping(models[index], f"a {name}")

    def mapping(self, value: Json, what: str) -> Model:
        """Return a JSON object."""
        if not isinstance(value, dict):
            raise self.refusal(f"{what} is not a JSON object")
        return value

    def items(self, mapping: Model, key: str) -> list[Json]:
        """Return a list that must be there."""
        value = mapping.get(key)
        if not isinstance(value, list):
            raise self.refusal(f"'{key}' is not a list")
        return value

    def number_or_none(self, mapping: Model, key: str) -> float | None:
        """Return a number, or None for one that is missing or null."""
        value = mapping.get(key)
        return None if value is None else self.number(value, key)

    def beam(self) -> tuple[Triple | None, Triple | None]:
        """Direction of travel and E-vector."""
        model = self.models["beam"]
        if model is None:
            return None, None
        back = self.direction(model.get("direction"), "beam direction")
        polarization: Triple | None = None
        if (normal := model.get("polarization_normal")) is not None:
            x, y, z = np.cross(self.triple(normal, "polarization_normal"), back).tolist()
            polarization = (x, y, z) if math.hypot(x, y, z) > 1e-9 else None
        return (0.0 - back[0], 0.0 - back[1], 0.0 - back[2]), polarization

    def scan(self) -> tuple[float | None, float | None]:
        """Start and width of the first frame, degrees, from every form dxtbx has written."""
        model = self.models["scan"] or {}
        oscillation = model.get("oscillation")
        if isinstance(oscillation, list) and len(oscillation) == 2:
            start, width = (self.number(value, "oscillation") for value in oscillation)
            return start, width
        found = model.get("properties")
        properties: Model = found if isinstance(found, dict) else {}
        angles = properties.get("oscillation")
        if not isinstance(angles, list) or not angles:
            return None, None
        start = self.number(angles[0], "oscillation")
        widths = properties.get("oscillation_width")
        if isinstance(widths, list) and widths:
            widths = widths[0]
        if widths is not None and not isinstance(widths, list):
            return start, self.number(widths, "oscillation_width")
        return start, self.number(angles[1], "oscillation") - start if len(angles) > 1 else 0.0

    def goniometer(self) -> tuple[Matrix, Matrix, Triple | None]:
        """Return the fixed and setting rotations, and the scan axis in the laboratory."""
        model = self.models["goniometer"]
        if model is None:
            return IDENTITY, IDENTITY, None
        if "axes" in model:
            fixed, setting, axis = self._axes(model)
        else:
            axis = self.triple(model.get("rotation_axis"), "rotation_axis")
            fixed, setting = (self._rotation(model, f"{kind}_rotation")
                              for kind in ("fixed", "setting"))  # fmt: skip
        what = "the rotation axis"
        axis = self.direction(axis, what)
        if (setting == IDENTITY).all():
            return fixed, setting, axis
        return fixed, setting, self.direction(apply3(setting, axis).tolist(), what)

    def _axes(self, model: Model) -> tuple[Matrix, Matrix, Triple]:
        """Read axes, which stand in the order from the crystal to the laboratory."""
        axes = [self.triple(axis, "a goniometer axis") for axis in self.items(model, "axes")]
        angles = [self.number(angle, "a goniometer angle") for angle in self.items(model, "angles")]
        scan = model.get("scan_axis", 0)
        agree = _is_index(scan) and len(angles) == len(axes) and 0 <= scan < len(axes) <= 16
        if not agree:
            raise self.refusal("the goniometer's axes, angles and scan axis do not agree")
        fixed, setting = IDENTITY, IDENTITY
        for index, (axis, angle) in enumerate(zip(axes, angles, strict=True)):
            turn = rotation_matrix(self.direction(axis, "a goniometer axis"), angle)
            if index < scan:
                fixed = matmul3(turn, fixed)
            elif index > scan:
                setting = matmul3(turn, setting)
        return fixed, setting, axes[scan]

    def _rotation(self, model: Model, name: str) -> Matrix:
        value = model.get(name)
        if value is None:
            return IDENTITY
        matrix = np.array(self.numbers(value, 9, name)).reshape(3, 3)
        if not np.allclose(matmul3(matrix, transposed(matrix)), IDENTITY, atol=1e-3):
            raise self.refusal(f"{name} is not a rotation")
        return matrix

    def crystal(self, turn: Matrix) -> tuple[Triple, Triple, Triple] | None:
        """Return a, b, c in the laboratory at spindle angle 0."""
        model = self.models["crystal"]
        if model is None:
            return None
        names = [f"real_space_{axis}" for axis in "abc"]
        rows = np.array([apply3(turn, self.triple(model.get(name), name)) for name in names])
        if not determinant3(rows) > 0.0:
            raise self.refusal("the crystal's axes are left-handed or lie in one plane")
        a, b, c = (tuple(row) for row in rows.tolist())
        return a, b, c

    def panels(self) -> tuple[PanelGeometry, ...]:
        """Return the panels, each placed in the group that it hangs on."""
        model = self.models["detector"] or {}
        panels = self.items(model, "panels")
        if len(panels) > MAXIMUM_PANELS:
            raise self.refusal(f"{len(panels)} panels, more than {MAXIMUM_PANELS}")
        frames: dict[int, Frame] = {}
        if (hierarchy := model.get("hierarchy")) is not None:
            root = self.mapping(hierarchy, "the panel hierarchy")
            self._walk(root, (IDENTITY, np.zeros(3)), frames, 0)
        return tuple(
            self._panel(self.mapping(panel, "a panel"), index, frames.get(index))
            for index, panel in enumerate(panels)
        )

    def _walk(self, group: Model, parent: Frame, frames: dict[int, Frame], depth: int) -> None:
        """Collect the frame of the group every panel hangs on."""
        if depth > _MAXIMUM_DEPTH:
            raise self.refusal("the panel hierarchy is nested too deeply")
        frame = self._frame(group, "a panel group", parent) if "fast_axis" in group else parent
        for child in self.items(group, "children"):
            item = self.mapping(child, "a panel group")
            if "panel" not in item:
                self._walk(item, frame, frames, depth + 1)
                continue
            index = item["panel"]
            if not _is_index(index) or index in frames:
                raise self.refusal("the panel hierarchy names a panel twice or not at all")
            frames[index] = frame

    def _frame(self, item: Model, what: str, parent: Frame | None) -> Frame:
        """Return the frame of a group or panel in the laboratory."""
        fast = self.direction(item.get("fast_axis"), f"fast_axis of {what}")
        slow = self.direction(item.get("slow_axis"), f"slow_axis of {what}")
        origin = np.array(self.triple(item.get("origin"), f"origin of {what}"))
        axes = np.stack([fast, slow, np.cross(fast, slow)], axis=1)
        # What hangs on no group, or on one at rest, keeps its bits.
        if parent is None or ((parent[0] == IDENTITY).all() and not parent[1].any()):
            return axes, origin
        return matmul3(parent[0], axes), parent[1] + apply3(parent[0], origin)

    def _panel(self, item: Model, index: int, parent: Frame | None) -> PanelGeometry:
        what = f"panel {index}"
        axes, origin = self._frame(item, what, parent)
        size, pixel = (
            self.numbers(item.get(name), 2, f"{name} of {what}")
            for name in ("image_size", "pixel_size")
        )
        columns, rows = (self.count(value, f"image_size of {what}") for value in size)
        # An attenuation coefficient, 1/mm; 0 stands for one that is not known.
        mu = self.number_or_none(item, "mu") or 0.0
        thickness = self.number_or_none(item, "thickness")
        material = item.get("material")
        return PanelGeometry(
            name=str(item.get("name") or "")[:80] or f"panel{index}",
            shape=(rows, columns),
            pixel_size=self.square_pixel(pixel[0], pixel[1], f"pixel_size of {what}"),
            origin=tuple(origin.tolist()),
            fast=self.direction(axes[:, 0].tolist(), what),
            slow=self.direction(axes[:, 1].tolist(), what),
            thickness=None if thickness is None else abs(thickness),
            attenuation_length=1.0 / mu if mu > 1e-9 else None,
            material=material[:40] if isinstance(material, str) else "",
            masked=self._rectangles(item.get("mask")),
        )

    def _rectangles(self, mask: Json) -> tuple[Rectangle, ...]:
        """Untrusted rectangles, dxtbx's (fast start, slow start, fast stop, slow stop)."""
        if mask is None:
            return ()
        if not isinstance(mask, list) or len(mask) > _MAXIMUM_RECTANGLES:
            raise self.refusal("the mask of a panel is not a list of rectangles")
        rectangles = []
        for item in mask:
            fast, slow, fast_stop, slow_stop = map(int, self.numbers(item, 4, "a mask"))
            rectangles.append(Rectangle(slow, slow_stop, fast, fast_stop))
        return tuple(rectangles)

    def say_what_is_left(self) -> None:
        """Say what bears on an image and is not read."""
        models = {name: model or {} for name, model in self.models.items()}
        for name, field, what in _VARYING:
            if models[name].get(field):
                said = "its one model of the whole scan is used"
                self.note(f"{what} varies over the scan ({field}): {said}")
        self._say_of_beam(models["beam"])
        for name, field, of, remedy in _LEFT_ASIDE:
            if value := _size(models[name], field):
                self.note(f"{field} {value:g}{of} is ignored: {remedy} gives it")
        self._say_of_scan(models["scan"])
        group = models["crystal"].get("space_group_hall_symbol")
        if isinstance(group, str) and group.strip() not in ("", "P 1"):
            self.note(
                f"the space group, Hall symbol {shown(group.strip())}, is ignored: "
                "structure_factors.space_group gives it"
            )
        self._say_of_panels(self.items(models["detector"], "panels"))
        for name, remedy in _TABLES.items():
            table = self.tables.get(name)
            if isinstance(table, str) and table:
                file = shown(table[-40:])
                self.note(f"the {name} table of the images ({file}) is ignored: {remedy}")

    def _say_of_beam(self, beam: Model) -> None:
        probe, span = beam.get("probe"), beam.get("wavelength_range")
        if isinstance(probe, str) and probe not in ("", "x-ray"):
            self.note(f"the probe is '{shown(probe)}': the image is that of X-rays")
        if isinstance(span, list) and len(span) == 2:
            least, most = (shown(str(value)) for value in span)
            self.note(
                f"the beam is polychromatic, {least} to {most} Å: its range is ignored; "
                "beam.spectrum gives wavelengths"
            )

    def _say_of_scan(self, scan: Model) -> None:
        properties = scan.get("properties")
        if not isinstance(properties, dict):
            return
        angles = properties.get("oscillation")
        single = isinstance(angles, list) and len(angles) == 1
        if "time_of_flight" in properties:
            self.note("the scan is one of time of flight, which is ignored")
        elif single and not properties.get("oscillation_width"):
            self.note("the scan of one image states no width: it is taken as a still")

    def _say_of_panels(self, listed: list[Json]) -> None:
        panels = [panel for panel in listed if isinstance(panel, dict)]
        if any(
            _size(panel, "gain") not in (0.0, 1.0) or _size(panel, "pedestal") for panel in panels
        ):
            self.note("gain and pedestal of the panels are ignored: images are in photons")
        strategies = [panel.get("px_mm_strategy") for panel in panels]
        if any(isinstance(kind, dict) and kind.get("type") in _SHIFTED for kind in strategies):
            self.note("the shifts of single pixels (px_mm_strategy) are ignored")


def _is_index(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _size(mapping: Model, name: str) -> float:
    """Return a number of a model, 0 for one that is missing or none."""
    value = mapping.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(min(abs(value), _LARGEST))
