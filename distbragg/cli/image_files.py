"""One frame into an image file, the kind chosen by the file's suffix."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError

if TYPE_CHECKING:
    from distbragg.export.smv import SmvGeometry
    from distbragg.models.experiment import Experiment
    from distbragg.spec.experiment import ExperimentSpec

STACK_SUFFIX: Final = ".zarr"


@dataclass(frozen=True, slots=True)
class Frame:
    """A rendered frame and the experiment it shows.

    Attributes
    ----------
    image : ([panels,] slow, fast) array, photons/pixel
    spec : ExperimentSpec
    experiment : Experiment
    """

    image: NDArray[np.floating]
    spec: ExperimentSpec
    experiment: Experiment


def check_target(path: str | Path) -> None:
    """Refuse an output file that cannot be written, before anything is rendered.

    Raises
    ------
    InputError
        The folder does not exist or cannot be written to, or the path is a folder.
    """
    target = Path(path)
    if target.is_dir():
        raise InputError("is a folder", source=str(path), remedy="give the name of a file")
    if not target.parent.is_dir():
        raise InputError(
            "its folder does not exist", source=str(path), remedy=f"create {target.parent} first"
        )
    place = target if target.exists() and not target.is_file() else target.parent
    if not os.access(place, os.W_OK):
        raise InputError("cannot be written", source=str(path), remedy="give another output path")


def image_writer(path: str | Path) -> Callable[[str | Path, Frame], None]:
    """Return the writer for the suffix of `path`.

    Raises
    ------
    InputError
        No image format has that suffix.
    """
    writer = WRITERS.get(Path(path).suffix.lower())
    if writer is None:
        known = ", ".join((STACK_SUFFIX, *WRITERS))
        raise InputError(
            f"no output format has the suffix {Path(path).suffix!r}",
            source=str(path),
            remedy=f"use one of {known}",
        )
    return writer


def header_geometry(spec: ExperimentSpec, experiment: Experiment) -> SmvGeometry:
    """Return the SMV header's numbers for the frame of `spec`."""
    from distbragg.export.smv import smv_geometry

    detector, goniometer = spec.detector, spec.goniometer
    phi = experiment.crystal.phi
    step = float(phi[1] - phi[0]) if len(phi) > 1 else 0.0
    oscillation = goniometer.oscillation_deg
    start = goniometer.phi_deg
    given = detector.axes
    custom = any(axis is not None for axis in (given.fast, given.slow, given.normal))
    return smv_geometry(
        experiment,
        convention=detector.convention or ("custom" if custom else "mosflm"),
        phi_deg=float(np.rad2deg(phi[0])) if start is None else start,
        oscillation_deg=float(np.rad2deg(step * len(phi))) if oscillation is None else oscillation,
        twotheta_deg=detector.twotheta_deg or 0.0,
    )


def geometry_alone(spec: ExperimentSpec) -> Experiment:
    """Resolve everything but |F|, which neither headers nor pictures need."""
    from distbragg.models.build import build_experiment
    from distbragg.models.crystal import Reflections

    nothing = Reflections(np.zeros((0, 0, 0)), (0, 0, 0), 1.0, interpolate=False)
    return build_experiment(spec, reflections=nothing)


def header_date() -> str:
    """Time stamp of a header, UTC; SOURCE_DATE_EPOCH fixes it for reproducible files."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    return time.asctime(time.gmtime(int(epoch) if epoch.isdecimal() else None))


def region_of_interest(spec: ExperimentSpec, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Pixels inside the region of interest, bounds included; None where there is none.

    Parameters
    ----------
    spec : ExperimentSpec
    shape : (int, int)
        Pixels (slow, fast).
    """
    if spec.detector.roi is None:
        return None
    fast_first, fast_last, slow_first, slow_last = spec.detector.roi
    inside = np.zeros(shape, dtype=np.bool_)
    inside[max(slow_first, 0) : slow_last + 1, max(fast_first, 0) : fast_last + 1] = True
    return inside


def _write_npy(path: str | Path, frame: Frame) -> None:
    from distbragg.export.raw import write_npy

    write_npy(path, frame.image)


def _write_raw(path: str | Path, frame: Frame) -> None:
    from distbragg.export.raw import write_float32

    write_float32(path, frame.image)


def _write_png(path: str | Path, frame: Frame) -> None:
    from distbragg.export.assemble import assemble
    from distbragg.export.picture import write_assembled, write_picture

    if frame.image.ndim == 2:
        write_picture(path, frame.image, title=frame.spec.title)
        return
    experiment = frame.experiment
    picture = assemble(
        frame.image, experiment.detector.panels, np.asarray(experiment.beam.direction)
    )
    write_assembled(path, picture, title=frame.spec.title)


def _write_pgm(path: str | Path, frame: Frame) -> None:
    from distbragg.export.raw import write_pgm
    from distbragg.export.scaling import grey_image

    write_pgm(path, *grey_image(frame.image))


def _write_smv(path: str | Path, frame: Frame) -> None:
    """Write counts as they are where photons were drawn, else scaled to 16 bits."""
    from distbragg.export.scaling import DEFAULT_ADC_OFFSET, count_image, integer_image
    from distbragg.export.smv import write_smv

    drawn = frame.experiment.noise.photon
    counts = count_image(frame.image) if drawn else integer_image(frame.image)
    write_smv(
        path,
        counts,
        header_geometry(frame.spec, frame.experiment),
        adc_offset=DEFAULT_ADC_OFFSET,
        date=header_date(),
    )


WRITERS: Final[dict[str, Callable[[str | Path, Frame], None]]] = {
    ".npy": _write_npy,
    ".bin": _write_raw,
    ".img": _write_smv,
    ".pgm": _write_pgm,
    ".png": _write_png,
}
"""Suffix → writer of one frame."""
