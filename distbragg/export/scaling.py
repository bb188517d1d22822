"""From photons to the integers of image files and thumbnails, by nanoBragg's rules or our own.

A region of interest is given as a boolean array: pixels outside it are written as 0,
without the ADC offset, as the C program leaves them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distbragg.errors import InputError
from distbragg.figures.shrink import shrunk

DEFAULT_ADC_OFFSET: Final = 40.0
"""Counts added to every pixel of an integer image (nanoBragg's default `-adc`)."""

UINT16_MAXIMUM: Final = 65535.0
INTEGER_IMAGE_PEAK: Final = 55000.0
"""Counts the brightest pixel is scaled to when no scale is given."""

COUNT_CUTOFF: Final = 2**31 - 3
"""Largest count of a 32-bit image; readers take the two above it for masked pixels."""

PGM_SIGMA_LEVEL: Final = 250.0 / 5.0
"""Grey level of one standard deviation above zero when no PGM scale is given."""

THUMBNAIL_EDGE: Final = 160  # most pixels along an edge of a thumbnail
THUMBNAIL_LEVELS: Final = 255
_BRIGHT: Final = 0.998  # share of blocks that are darker than white


def check_image(image: ArrayLike) -> NDArray[np.float64]:
    """Return one frame of one panel as float64 (slow, fast), or refuse what is no such frame."""
    array = np.asarray(image, dtype=np.float64)
    if array.ndim != 2:
        raise InputError(
            f"an image file holds one frame of one panel, this array has shape {array.shape}",
            remedy="select one frame and one panel",
        )
    if not np.isfinite(array).all():
        raise InputError("the image holds NaN or infinite pixels", remedy="render the frame again")
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

    `scale` is in counts per photon; without one, or when not positive, `automatic_scale`. The
    offset is that of the ADC. Pixels outside `region` are 0.
    """
    array = check_image(image)
    factor = scale if scale is not None and scale > 0 else automatic_scale(array)
    counts = np.clip(array * factor + offset, 0.0, UINT16_MAXIMUM) + 0.5
    # The C program rounds down in single precision.
    rounded = np.floor(counts.astype(np.float32)).clip(0, UINT16_MAXIMUM).astype(np.uint16)
    return rounded if region is None else np.where(region, rounded, np.uint16(0))


def count_image(
    photons: ArrayLike,
    *,
    offset: float = DEFAULT_ADC_OFFSET,
    region: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint16]:
    """Whole photons, already drawn, plus ADC offset as 16-bit counts, clipped at 65,535."""
    counts = np.clip(check_image(photons) + offset, 0.0, UINT16_MAXIMUM).astype(np.uint16)
    return counts if region is None else np.where(region, counts, np.uint16(0))


def whole_counts(
    image: ArrayLike, *, scale: float = 1.0, minimum: int = 0, maximum: int = COUNT_CUTOFF
) -> tuple[NDArray[np.int64], int]:
    """Round photons to whole counts, ⌊image · scale + ½⌋ held within `minimum` and `maximum`.

    `scale` is in counts per photon. Returned with them is how many pixels lay outside.
    """
    rounded = np.floor(check_image(image) * scale + 0.5)
    outside = int(np.count_nonzero((rounded < minimum) | (rounded > maximum)))
    return np.clip(rounded, float(minimum), float(maximum)).astype(np.int64), outside


@dataclass(frozen=True, slots=True)
class Recording:
    """How stored values stand to photons: value = gain · photons + offset, trusted in a range."""

    gain: float
    offset: float
    lowest: float
    highest: float
    saturated: float  # what pixels hold at least that are beyond the range; `highest` may be one
    unit: str  # ADU or photons

    @property
    def of_adu(self) -> bool:
        """Whether values are other numbers than those of photons."""
        return (self.gain, self.offset) != (1.0, 0.0)


@dataclass(frozen=True, slots=True)
class ImageStatistics:
    """What nanoBragg says of an image, photons: the rms about 0, the rmsd about the mean."""

    peak: float
    brightest: tuple[int, int] | None  # pixel (slow, fast) of the peak; None without light
    mean: float  # like the rms over the pixels rendered
    rms: float
    rmsd: float  # over the region of interest


def image_statistics(
    image: ArrayLike, inside: NDArray[np.bool_], rendered: NDArray[np.bool_]
) -> ImageStatistics:
    """Return peak, mean and deviations, by nanoBragg's divisors; `rendered` are not masked."""
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
    """Scale photons to 8-bit grey levels and return them with the scale, levels per photon.

    Without a scale, or when not positive, 250 levels stand for five standard deviations:
    250/(5 rmsd); an image without spread takes the scale of the integer image. The rmsd is taken
    within `region`, outside which levels are 0, about the mean of the `counted` pixels (default
    the region).
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


def thumbnail(image: NDArray[Any]) -> dict[str, Any]:
    """Shrink a frame to at most 160 × 160 levels, 26 kB; spots survive the shrinking.

    `image` is photons, (panels, slow, fast); panels are laid out in rows, as near to a square as
    their number allows. Returned are `shape` (rows, columns), `levels` (bytes, row by row; 255 is
    white, steps are even in the logarithm of photons), and `max` (photons).
    """
    columns = math.ceil(math.sqrt(image.shape[0]))
    edge = max(1, THUMBNAIL_EDGE // columns)
    small = [shrunk(panel, edge).astype(np.float64) for panel in image]
    height, width = small[0].shape
    rows = math.ceil(len(small) / columns)
    sheet = np.zeros((rows * height, columns * width))
    for index, panel in enumerate(small):
        top, left = index // columns * height, index % columns * width
        sheet[top : top + height, left : left + width] = panel
    brightest = float(sheet.max())
    return {
        "shape": [int(size) for size in sheet.shape],
        "levels": _thumbnail_levels(sheet, brightest).tobytes(),
        "max": brightest,
    }


def _thumbnail_levels(sheet: NDArray[np.float64], brightest: float) -> NDArray[np.uint8]:
    """Levels even in the logarithm, two decades from the median up to the brightest blocks.

    The median is the background's; the few blocks beyond `_BRIGHT` are all white, so that a
    single strong spot does not hide the others.
    """
    if not brightest > 0:
        return np.zeros(sheet.shape, dtype=np.uint8)
    floor, top = (float(value) for value in np.quantile(sheet, [0.5, _BRIGHT]))
    if not top > floor:
        floor, top = min(floor, 0.5 * brightest), brightest
    scale = max((top - floor) / 100.0, 1e-300)
    tall = np.log1p(np.clip(sheet - floor, 0.0, top - floor) / scale)
    levels: NDArray[np.uint8] = np.rint(THUMBNAIL_LEVELS * tall / tall.max()).astype(np.uint8)
    return levels
