"""From photons to the integers of image files, by nanoBragg's rules.

A region of interest is given as a boolean array: pixels outside it are written as 0,
without the ADC offset, as the C program leaves them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distbragg.errors import InputError

DEFAULT_ADC_OFFSET: Final = 40.0
"""Counts added to every pixel of an integer image (nanoBragg's default `-adc`)."""

UINT16_MAXIMUM: Final = 65535.0
INTEGER_IMAGE_PEAK: Final = 55000.0
"""Counts the brightest pixel is scaled to when no scale is given."""

PGM_SIGMA_LEVEL: Final = 250.0 / 5.0
"""Grey level of one standard deviation above zero when no PGM scale is given."""


def check_image(image: ArrayLike) -> NDArray[np.float64]:
    """Return one frame of one panel as float64, shape (slow, fast).

    Raises
    ------
    InputError
        It is not two-dimensional or holds NaN or infinities.
    """
    array = np.asarray(image, dtype=np.float64)
    if array.ndim != 2:
        raise InputError(
            f"an image file holds one frame of one panel, this array has shape {array.shape}",
            remedy="select one frame and one panel",
        )
    if not np.isfinite(array).all():
        raise InputError("the image holds NaN or infinite pixels", remedy="render the frame anew")
    return array


def automatic_scale(image: ArrayLike) -> float:
    """Scale of an integer image: the brightest pixel becomes 55,000; 1 for an empty image."""
    peak = float(np.max(np.asarray(image, dtype=np.float64), initial=0.0))
    return INTEGER_IMAGE_PEAK / peak if peak > 0 else 1.0


def integer_image(
    image: ArrayLike,
    *,
    scale: float | None = None,
    offset: float = DEFAULT_ADC_OFFSET,
    region: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint16]:
    """Scale photons to unsigned 16-bit counts: ⌊image · scale + offset + ½⌋, clipped.

    Parameters
    ----------
    image : (slow, fast) array, photons
    scale : float, optional
        Counts per photon; without one, or when not positive, `automatic_scale`.
    offset : float
        ADC offset, counts.
    region : (slow, fast) bool, optional
        Pixels outside are 0.

    Returns
    -------
    (slow, fast) uint16
    """
    array = check_image(image)
    factor = scale if scale is not None and scale > 0 else automatic_scale(array)
    counts = np.clip(array * factor + offset, 0.0, UINT16_MAXIMUM) + 0.5
    # The C program rounds down in single precision.
    rounded = np.floor(counts.astype(np.float32)).clip(0, UINT16_MAXIMUM).astype(np.uint16)
    return _outside_to_zero(rounded, region)


def count_image(
    photons: ArrayLike,
    *,
    offset: float = DEFAULT_ADC_OFFSET,
    region: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint16]:
    """Whole photons plus ADC offset as unsigned 16-bit counts, clipped at 65,535.

    Parameters
    ----------
    photons : (slow, fast) array
        Counts already drawn from their distribution.
    offset : float
    region : (slow, fast) bool, optional

    Returns
    -------
    (slow, fast) uint16
    """
    counts = np.clip(check_image(photons) + offset, 0.0, UINT16_MAXIMUM).astype(np.uint16)
    return _outside_to_zero(counts, region)


@dataclass(frozen=True, slots=True)
class ImageStatistics:
    """What nanoBragg says of an image.

    Attributes
    ----------
    peak : float, photons
    brightest : (int, int) or None
        Pixel (slow, fast) of the peak; None of an image without light.
    mean, rms : float, photons
        Over the pixels rendered; the rms about 0.
    rmsd : float, photons
        About the mean, over the region of interest.
    """

    peak: float
    brightest: tuple[int, int] | None
    mean: float
    rms: float
    rmsd: float


def image_statistics(
    image: ArrayLike, inside: NDArray[np.bool_], rendered: NDArray[np.bool_]
) -> ImageStatistics:
    """Return peak, mean and deviations, by nanoBragg's divisors.

    Parameters
    ----------
    image : (slow, fast) array, photons
    inside : (slow, fast) bool
        Region of interest.
    rendered : (slow, fast) bool
        Pixels of it that are not masked.
    """
    array = check_image(image)
    values = array[rendered]
    count = int(rendered.sum())
    mean = float(values.sum()) / max(count, 1)
    about_mean = float(np.square(array[inside] - mean).sum())
    bright = np.where(rendered, array, 0.0)
    place = int(bright.argmax())
    peak = float(bright.reshape(-1)[place])
    row, column = divmod(place, array.shape[1])
    return ImageStatistics(
        peak=max(peak, 0.0),
        brightest=(row, column) if peak > 0.0 else None,
        mean=mean,
        rms=math.sqrt(float(np.square(values).sum()) / max(count - 1, 1)),
        rmsd=math.sqrt(about_mean / max(int(inside.sum()) - 1, 1)),
    )


def grey_image(
    image: ArrayLike,
    *,
    scale: float | None = None,
    region: NDArray[np.bool_] | None = None,
    counted: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.uint8], float]:
    """Scale photons to 8-bit grey levels and return them with the scale.

    Without a scale, 250 levels stand for five standard deviations: 250/(5 rmsd), the rmsd
    taken about the mean; an image without spread takes the scale of the integer image.

    Parameters
    ----------
    image : (slow, fast) array, photons
    scale : float, optional
        Grey levels per photon; not positive counts as not given.
    region : (slow, fast) bool, optional
        Region of interest: where the rmsd is taken; 0 outside.
    counted : (slow, fast) bool, optional
        Rendered pixels, over which the mean is taken; default the region.
    """
    array = check_image(image)
    inside = np.ones(array.shape, dtype=np.bool_) if region is None else region
    rendered = inside if counted is None else counted
    factor = scale if scale is not None and scale > 0 else 0.0
    if not factor:
        rmsd = image_statistics(array, inside, rendered).rmsd
        factor = PGM_SIGMA_LEVEL / rmsd if rmsd > 0 else automatic_scale(array)
    levels = np.clip(array * factor, 0.0, 255.0).astype(np.uint8)
    levels[~inside] = 0
    return levels, factor


def _outside_to_zero(
    counts: NDArray[np.uint16], region: NDArray[np.bool_] | None
) -> NDArray[np.uint16]:
    if region is not None:
        counts[~region] = 0
    return counts
