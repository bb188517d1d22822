"""DIALS experiment lists (`.expt`): plain JSON, read without dxtbx.

Vectors stay in the file's own frame. dxtbx stores the beam's direction from sample to source,
panel frames relative to their parent group, and the crystal in the frame of the goniometer's
fixed rotation: laboratory = setting · R(scan axis) · fixed · crystal.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.matrices import apply3, determinant3, matmul3, transposed
from distbragg.read.geometry.expt_notes import expt_notes
from distbragg.read.geometry.model import (
    MAXIMUM_PANELS,
    FileGeometry,
    PanelGeometry,
    Rectangle,
    Triple,
    check_panels,
    count,
    direction,
    number,
    positive,
    positive_or_none,
    square_pixel,
    triple,
)
from distbragg.read.geometry.rotation import rotation_matrix
from distbragg.read.text import read_text, shown

MAXIMUM_BYTES: Final = 1 << 28
_MAXIMUM_DEPTH: Final = 32
_MAXIMUM_RECTANGLES: Final = 10_000
_PAIRS: Final = ("image_size", "pixel_size")
_FRAME: Final = "the file's own (dxtbx: usually the beam along -z, the spindle along +x)"

Matrix = NDArray[np.float64]
Json = Any


def read_expt(path: str, *, experiment: int | None = None) -> FileGeometry:
    """Read one experiment of a DIALS experiment list.

    Parameters
    ----------
    path : str
    experiment : int, optional
        Which of the list; the first where not given, and of several a note says so.

    Raises
    ------
    InputError
        No such file, no experiment list, or a model that cannot be rendered.
    """
    document = _document(path, _identity(path))
    experiments = _list(document, "experiment", path)
    if not experiments:
        raise InputError("the experiment list is empty", source=path)
    index = experiment or 0
    if index >= len(experiments):
        raise InputError(f"there is no experiment {index} among {len(experiments)}", source=path)
    chosen = _mapping(experiments[index], "an experiment", path)
    models = {
        name: _model(document, chosen, name, path)
        for name in ("beam", "detector", "goniometer", "scan", "crystal")
    }
    if models["detector"] is None:
        raise InputError("the experiment has no detector", source=path)
    notes = []
    if len(experiments) > 1 and experiment is None:
        notes.append(
            f"experiment 0 of {len(experiments)} is used; detector.geometry_experiment chooses "
            "another"
        )
    notes += expt_notes(models, _imageset(document, chosen))
    fixed, setting, axis = _goniometer(models["goniometer"], path)
    phi, oscillation = _scan(models["scan"], path)
    beam, wavelength, polarization, fraction = _beam(models["beam"], path)
    return check_panels(
        FileGeometry(
            source=path,
            format="expt",
            frame=_FRAME,
            panels=_panels(models["detector"], path),
            beam=beam,
            wavelength=wavelength,
            polarization=polarization,
            polarization_fraction=fraction,
            spindle=axis,
            phi=phi,
            oscillation=oscillation,
            real_space=_crystal(models["crystal"], matmul3(setting, fixed), path),
            notes=tuple(notes),
            experiments=len(experiments),
        )
    )


def _identity(path: str) -> tuple[int, int, int]:
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return 0, 0, 0  # Reading says what is wrong.
    return status.st_size, status.st_mtime_ns, status.st_ino


@lru_cache(maxsize=1)
def _document(path: str, _identity: tuple[int, int, int]) -> dict[str, Json]:
    """Return the list; remembered, since its experiments are asked for one by one."""
    try:
        document = json.loads(read_text(path, MAXIMUM_BYTES))
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "nested too deeply"
        raise InputError(f"no JSON ({shown(reason)})", source=path) from error
    if not isinstance(document, dict) or document.get("__id__") != "ExperimentList":
        raise InputError(
            "not a DIALS experiment list", source=path, remedy='one says "__id__": "ExperimentList"'
        )
    return document


def _model(
    document: dict[str, Json], experiment: dict[str, Json], name: str, path: str
) -> dict[str, Json] | None:
    index = experiment.get(name)
    if index is None:
        return None
    models = _list(document, name, path)
    whole = isinstance(index, int) and not isinstance(index, bool)
    if not whole or not 0 <= index < len(models):
        raise InputError(
            f"the experiment names no {name} of the list",
            source=path,
            remedy="models in files of their own are not read: write the list anew with DIALS",
        )
    return _mapping(models[index], f"a {name}", path)


def _imageset(document: dict[str, Json], experiment: dict[str, Json]) -> dict[str, Json]:
    """Return the images of an experiment, of which only the names of its tables matter."""
    sets, index = document.get("imageset"), experiment.get("imageset")
    if not isinstance(sets, list) or not isinstance(index, int) or not 0 <= index < len(sets):
        return {}
    return sets[index] if isinstance(sets[index], dict) else {}


def _mapping(value: Json, what: str, path: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise InputError(f"{what} is not a JSON object", source=path)
    return value


def _list(mapping: dict[str, Json], key: str, path: str) -> list[Json]:
    value = mapping.get(key)
    if not isinstance(value, list):
        raise InputError(f"'{key}' is not a list", source=path)
    return value


def _beam(
    model: dict[str, Json] | None, path: str
) -> tuple[Triple | None, float | None, Triple | None, float | None]:
    """Direction of travel, wavelength, E-vector and polarised share; a spectrum has none."""
    if model is None:
        return None, None, None, None
    back = direction(triple(model.get("direction"), path, "beam direction"), path, "beam direction")
    wavelength = model.get("wavelength")
    normal, fraction = model.get("polarization_normal"), model.get("polarization_fraction")
    polarization: Triple | None = None
    if normal is not None:
        x, y, z = np.cross(triple(normal, path, "polarization_normal"), back).tolist()
        polarization = (x, y, z) if math.hypot(x, y, z) > 1e-9 else None
    return (
        (0.0 - back[0], 0.0 - back[1], 0.0 - back[2]),
        positive_or_none(wavelength, path, "wavelength"),
        polarization,
        None if fraction is None else number(fraction, path, "polarization_fraction"),
    )


def _scan(model: dict[str, Json] | None, path: str) -> tuple[float | None, float | None]:
    """Start and width of the first frame, degrees, from every form dxtbx has written.

    Newer ones hold a table of `properties`, with `oscillation_width` where there is one image.
    """
    if model is None:
        return None, None
    oscillation = model.get("oscillation")
    if isinstance(oscillation, list) and len(oscillation) == 2:
        start, width = (number(value, path, "oscillation") for value in oscillation)
        return start, width
    properties = model.get("properties")
    angles = properties.get("oscillation") if isinstance(properties, dict) else None
    if not isinstance(angles, list) or not angles:
        return None, None
    start = number(angles[0], path, "oscillation")
    widths = properties.get("oscillation_width") if isinstance(properties, dict) else None
    if isinstance(widths, list) and widths:
        widths = widths[0]
    if widths is not None and not isinstance(widths, list):
        return start, number(widths, path, "oscillation_width")
    width = number(angles[1], path, "oscillation") - start if len(angles) > 1 else 0.0
    return start, width


def _goniometer(model: dict[str, Json] | None, path: str) -> tuple[Matrix, Matrix, Triple | None]:
    """Read the fixed and setting rotations, and the scan axis in the laboratory."""
    identity = np.eye(3)
    if model is None:
        return identity, identity, None
    if "axes" in model:
        return _multi_axis(model, path)
    axis = triple(model.get("rotation_axis"), path, "rotation_axis")
    fixed = _rotation(model.get("fixed_rotation"), path, "fixed_rotation")
    setting = _rotation(model.get("setting_rotation"), path, "setting_rotation")
    return fixed, setting, _turned(setting, axis, path)


def _multi_axis(model: dict[str, Json], path: str) -> tuple[Matrix, Matrix, Triple | None]:
    """Axes stand in the order from the crystal to the laboratory."""
    axes = [triple(axis, path, "a goniometer axis") for axis in _list(model, "axes", path)]
    angles = [number(angle, path, "a goniometer angle") for angle in _list(model, "angles", path)]
    scan = model.get("scan_axis", 0)
    whole = isinstance(scan, int) and not isinstance(scan, bool)
    if not whole or len(angles) != len(axes) or not 0 <= scan < len(axes) or len(axes) > 16:
        raise InputError("the goniometer's axes, angles and scan axis do not agree", source=path)
    fixed, setting = np.eye(3), np.eye(3)
    for index, (axis, angle) in enumerate(zip(axes, angles, strict=True)):
        turn = rotation_matrix(direction(axis, path, "a goniometer axis"), angle)
        if index < scan:
            fixed = matmul3(turn, fixed)
        elif index > scan:
            setting = matmul3(turn, setting)
    return fixed, setting, _turned(setting, axes[scan], path)


def _turned(setting: Matrix, axis: Triple, path: str) -> Triple:
    unit = direction(axis, path, "the rotation axis")
    if (setting == np.eye(3)).all():
        return unit
    x, y, z = apply3(setting, unit).tolist()
    return direction((x, y, z), path, "the rotation axis")


def _rotation(value: Json, path: str, what: str) -> Matrix:
    if value is None:
        return np.eye(3)
    if not isinstance(value, list) or len(value) != 9:
        raise InputError(f"{what} is not a list of nine numbers", source=path)
    matrix = np.array([number(item, path, what) for item in value]).reshape(3, 3)
    if not np.allclose(matmul3(matrix, transposed(matrix)), np.eye(3), atol=1e-3):
        raise InputError(f"{what} is no rotation", source=path)
    return matrix


def _crystal(
    model: dict[str, Json] | None, turn: Matrix, path: str
) -> tuple[Triple, Triple, Triple] | None:
    if model is None:
        return None
    rows = []
    for axis in "abc":
        name = f"real_space_{axis}"
        x, y, z = apply3(turn, triple(model.get(name), path, name)).tolist()
        rows.append((x, y, z))
    if not determinant3(np.array(rows)) > 0.0:
        raise InputError("the crystal's axes are left-handed or lie in one plane", source=path)
    return rows[0], rows[1], rows[2]


def _panels(model: dict[str, Json], path: str) -> tuple[PanelGeometry, ...]:
    panels = _list(model, "panels", path)
    if len(panels) > MAXIMUM_PANELS:
        raise InputError(f"{len(panels)} panels, more than {MAXIMUM_PANELS}", source=path)
    parents: dict[int, tuple[Matrix, Matrix]] = {}
    hierarchy = model.get("hierarchy")
    if hierarchy is not None:
        root = (np.eye(3), np.zeros(3))
        _walk(_mapping(hierarchy, "the panel hierarchy", path), root, parents, path, 0)
    return tuple(
        _panel(_mapping(panel, "a panel", path), index, parents.get(index), path)
        for index, panel in enumerate(panels)
    )


def _walk(
    group: dict[str, Json],
    parent: tuple[Matrix, Matrix],
    parents: dict[int, tuple[Matrix, Matrix]],
    path: str,
    depth: int,
) -> None:
    """Collect the frame of the group every panel hangs on."""
    if depth > _MAXIMUM_DEPTH:
        raise InputError("the panel hierarchy is nested too deeply", source=path)
    frame = parent
    if "fast_axis" in group:
        frame = _within(parent, *_local_frame(group, path, "a panel group"))
    for child in _list(group, "children", path):
        item = _mapping(child, "a panel group", path)
        if "panel" not in item:
            _walk(item, frame, parents, path, depth + 1)
            continue
        index = item["panel"]
        if isinstance(index, bool) or not isinstance(index, int) or index in parents:
            raise InputError("the panel hierarchy names a panel twice or not at all", source=path)
        parents[index] = frame


def _within(parent: tuple[Matrix, Matrix], axes: Matrix, origin: Matrix) -> tuple[Matrix, Matrix]:
    """Axes (columns fast, slow, normal) and origin, mm, in the laboratory."""
    return matmul3(parent[0], axes), parent[1] + apply3(parent[0], origin)


def _local_frame(item: dict[str, Json], path: str, what: str) -> tuple[Matrix, Matrix]:
    fast = direction(triple(item.get("fast_axis"), path, f"fast_axis of {what}"), path, what)
    slow = direction(triple(item.get("slow_axis"), path, f"slow_axis of {what}"), path, what)
    origin = triple(item.get("origin"), path, f"origin of {what}")
    return np.stack([fast, slow, np.cross(fast, slow)], axis=1), np.array(origin)


def _panel(
    item: dict[str, Json], index: int, parent: tuple[Matrix, Matrix] | None, path: str
) -> PanelGeometry:
    what = f"panel {index}"
    axes, origin = _local_frame(item, path, what)
    if parent is not None and not _is_laboratory(parent):
        axes, origin = _within(parent, axes, origin)
    size, pixel = (_pair(item.get(name), f"{name} of {what}", path) for name in _PAIRS)
    thickness, mu = item.get("thickness"), item.get("mu")
    material = item.get("material")
    columns = [tuple(axes[:, column].tolist()) for column in range(2)]
    return PanelGeometry(
        name=str(item.get("name") or "")[:80] or f"panel{index}",
        shape=(
            count(size[1], path, f"image_size of {what}"),
            count(size[0], path, f"image_size of {what}"),
        ),
        pixel_size=square_pixel(
            positive(pixel[0], path, f"pixel_size of {what}"),
            positive(pixel[1], path, f"pixel_size of {what}"),
            path,
        ),
        origin=tuple(origin.tolist()),
        fast=direction(columns[0], path, what),
        slow=direction(columns[1], path, what),
        thickness=None if thickness is None else abs(number(thickness, path, "thickness")),
        attenuation_length=_length(mu, path),
        material=material[:40] if isinstance(material, str) else "",
        masked=_rectangles(item.get("mask"), path),
    )


def _pair(value: Json, what: str, path: str) -> list[Json]:
    if not isinstance(value, list) or len(value) != 2:
        raise InputError(f"{what} is not a list of two numbers", source=path)
    return value


def _is_laboratory(frame: tuple[Matrix, Matrix]) -> bool:
    return bool((frame[0] == np.eye(3)).all() and not frame[1].any())


def _length(mu: Json, path: str) -> float | None:
    """Attenuation length, mm, of a coefficient in 1/mm; 0 stands for one that is not known."""
    if mu is None:
        return None
    value = number(mu, path, "mu")
    return 1.0 / value if value > 1e-9 else None


def _rectangles(mask: Json, path: str) -> tuple[Rectangle, ...]:
    """Untrusted rectangles, dxtbx's (fast start, slow start, fast stop, slow stop)."""
    if mask is None:
        return ()
    if not isinstance(mask, list) or len(mask) > _MAXIMUM_RECTANGLES:
        raise InputError("the mask of a panel is no list of rectangles", source=path)
    rectangles = []
    for item in mask:
        if not isinstance(item, list) or len(item) != 4:
            raise InputError("a mask is not a list of four numbers", source=path)
        edges = [int(number(value, path, "a mask")) for value in item]
        rectangles.append(Rectangle(edges[1], edges[3], edges[0], edges[2]))
    return tuple(rectangles)
