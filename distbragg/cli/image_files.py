"""One frame into an image file, the kind chosen by the file's suffix."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.cli.output import echo
from distbragg.errors import InputError

if TYPE_CHECKING:
    from distbragg.export.smv import SmvGeometry
    from distbragg.models.experiment import Experiment
    from distbragg.spec.experiment import ExperimentSpec

_log = logging.getLogger("distbragg")

STACK_SUFFIX: Final = ".zarr"
EXPORTED: Final = (".cbf", ".tif", ".tiff", ".h5", ".nxs", ".cxi")
"""Those of files that `run.frame_file` makes."""
SUFFIXES: Final = (".npy", ".bin", ".img", ".pgm", ".png", *EXPORTED)


def check_suffix(path: str) -> None:
    """Refuse a name whose suffix is that of no image file."""
    suffix = Path(path).suffix
    if suffix.lower() not in SUFFIXES:
        raise InputError(
            f"no output format has the suffix {suffix!r}",
            source=path,
            remedy=f"use one of {', '.join((STACK_SUFFIX, *SUFFIXES))}",
        )


def check_target(path: str | Path) -> None:
    """Refuse an output file that cannot be written, before anything is rendered."""
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


def write_new(path: str, text: str) -> None:
    """Write a specification to a file that is not there yet, or holds the same."""
    check_target(path)
    target = Path(path)
    if target.exists():
        if target.read_bytes() == text.encode():
            return
        raise InputError("exists already", source=path, remedy="give another name, or move it")
    target.write_text(text, encoding="utf-8", newline="")
    echo(f"{path}: written")


def write_image(
    path: str, image: NDArray[np.floating], spec: ExperimentSpec, experiment: Experiment
) -> None:
    """Write a rendered frame, ([panels,] slow, fast) in photons/pixel; see `check_suffix`."""
    from distbragg.export.files import write_float32, write_npy, write_pgm
    from distbragg.export.scaling import (
        DEFAULT_ADC_OFFSET,
        UINT16_MAXIMUM,
        count_image,
        grey_image,
        integer_image,
    )

    suffix = Path(path).suffix.lower()
    if suffix == ".npy":
        write_npy(path, image)
    elif suffix == ".bin":
        write_float32(path, image)
    elif suffix == ".pgm":
        write_pgm(path, *grey_image(image))
    elif suffix == ".img":
        from distbragg.export.smv import SmvCounts, smv_header, write_smv
        from distbragg.run.frame_header import recording_of

        # What a detector recorded, or counts, as they are; expectations are scaled to 16 bits.
        own, stored, offset = recording_of(experiment.response), None, DEFAULT_ADC_OFFSET
        if own is not None:
            offset, whole = own.offset, np.floor(image + 0.5)
            counts = count_image(whole, offset=0.0)
            stored = SmvCounts(own.gain, own.offset, min(own.saturated, UINT16_MAXIMUM))
            if outside := int(np.count_nonzero(counts != whole)):
                _log.warning(
                    "%d of %d pixels are beyond the 16-bit range and were clipped: use .npy",
                    outside,
                    counts.size,
                )
        else:
            measured = np.asarray(experiment.detector.panels[0].active)
            counts = (
                count_image(image, region=measured)
                if experiment.noise.photon
                else integer_image(image, region=measured)
            )
        geometry, date = header_geometry(spec, experiment), header_date()
        header = smv_header(geometry, counts.shape, adc_offset=offset, date=date, counts=stored)
        write_smv(path, counts, header)
    else:
        from distbragg.export.files import write_whole
        from distbragg.figures.frame import FrameImage, draw_frame
        from distbragg.figures.style import Look, encoded, new_figure

        pixels = image.reshape(-1, *image.shape[-2:])
        figure = new_figure()
        draw_frame(figure, FrameImage(pixels, experiment), Look(), rings=(), title=spec.title)
        write_whole(path, encoded(figure))


def header_geometry(spec: ExperimentSpec, experiment: Experiment) -> SmvGeometry:
    """Return the SMV header's numbers for the frame of `spec`."""
    from distbragg.export.smv import smv_geometry

    detector, goniometer = spec.detector, spec.goniometer
    phi, (first, last) = experiment.crystal.phi, experiment.crystal.oscillation
    if len(phi) > 1 and phi[1] < phi[0]:
        first, last = last, first
    start, width = goniometer.phi_deg, goniometer.oscillation_deg
    custom = {"fast", "slow", "normal"}.intersection(detector.axes.given)
    return smv_geometry(
        experiment,
        convention=detector.convention or ("custom" if custom else "mosflm"),
        phi_deg=float(np.rad2deg(first)) if start is None else start,
        oscillation_deg=float(np.rad2deg(last - first)) if width is None else width,
        twotheta_deg=detector.twotheta_deg or 0.0,
    )


def geometry_alone(spec: ExperimentSpec) -> Experiment:
    """Resolve everything but |F|, which neither headers nor pictures need."""
    from distbragg.models.build import build_experiment
    from distbragg.models.crystal import NO_TABLE

    return build_experiment(spec, reflections=NO_TABLE)


def header_date() -> str:
    """Time stamp of a header, UTC; SOURCE_DATE_EPOCH fixes it for reproducible files."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    return time.asctime(time.gmtime(int(epoch) if epoch.isdecimal() else None))
