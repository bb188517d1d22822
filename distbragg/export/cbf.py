"""CBF images: byte-offset compression under a Pilatus-style miniCBF header."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.export.files import write_whole
from distbragg.export.header import FrameFile
from distbragg.export.scaling import COUNT_CUTOFF, whole_counts

EOL: Final = "\r\n"
STARTER: Final = b"\x0c\x1a\x04\xd5"
_SIZE_KEY: Final = b"X-Binary-Size: "
_TAIL: Final = (EOL + "--CIF-BINARY-FORMAT-SECTION----" + EOL + ";" + EOL + EOL).encode("ascii")

NEVER_MEASURED: Final = -1
NO_SIGNAL: Final = -2
"""What Pilatus detectors write: the first in the gaps between modules, the second for pixels of
modules that are switched off. Readers take neither for a count."""

_MODULES: Final = ((195, 17), (487, 7))
"""Pixels of a Pilatus module and of the gap after it, along slow and fast."""


def _is_pilatus(shape: tuple[int, ...]) -> bool:
    sides = zip(shape, _MODULES, strict=True)
    return all((size + gap) % (module + gap) == 0 for size, (module, gap) in sides)


def _mark_masked(counts: NDArray[np.int64], masked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Make masked pixels −1; in an array of Pilatus modules −1 in the gaps and −2 within them."""
    if not _is_pilatus(counts.shape):
        return np.where(masked, NEVER_MEASURED, counts)
    slow, fast = (
        np.arange(size) % (module + gap) >= module
        for size, (module, gap) in zip(counts.shape, _MODULES, strict=True)
    )
    gaps = slow[:, np.newaxis] | fast
    return np.where(masked, np.where(gaps, NEVER_MEASURED, NO_SIGNAL), counts)


def _cutoff(file: FrameFile) -> int:
    """Largest count that is a measurement."""
    recording = file.header.recording
    if recording is None:
        return COUNT_CUTOFF
    return int(min(recording.highest * file.scale, COUNT_CUTOFF))


def cbf_text(file: FrameFile) -> bytes:
    """Format what stands before the binary section.

    The keys are those a Pilatus writes; readers take distance, wavelength, pixel size, beam
    centre and angles from them and assume a panel square to the beam.
    """
    header, plate = file.header, file.plate
    pixel = f"{plate.pixel_size * 1e-3:.9g}"
    # DIALS corrects for the depth of a silicon sensor and refuses one of no thickness.
    sensor = "Silicon" if plate.thickness > 0.0 else "CCD"
    # DIALS masks the gaps of a Pilatus and stops at any other array of that name.
    convention = "PILATUS_1.2" if _is_pilatus(plate.shape) else "GENERIC_MINI"
    lines = [
        "Detector: distbragg simulation, S/N 00-0000",
        f"{header.date}.000",
        f"Pixel_size {pixel} m x {pixel} m",
        f"{sensor} sensor, thickness {plate.thickness * 1e-3:.6f} m",
        f"Exposure_time {header.exposure:.7f} s",
        f"Exposure_period {header.exposure:.7f} s",
        f"Count_cutoff {_cutoff(file)} counts",
        f"N_excluded_pixels = {plate.masked}",
        f"Wavelength {header.wavelength:.9g} A",
        f"Detector_distance {plate.distance * 1e-3:.9g} m",
        f"Beam_xy ({plate.beam[0]:.4f}, {plate.beam[1]:.4f}) pixels",
        "Filter_transmission 1.0000",
        f"Start_angle {header.phi:.6f} deg.",
        f"Angle_increment {header.oscillation:.6f} deg.",
        "Detector_2theta 0.0000 deg.",
        f"Phi {header.phi:.6f} deg.",
        f"Phi_increment {header.oscillation:.6f} deg.",
        "Oscillation_axis X.CW",
        "N_oscillations 1",
    ]
    if header.recording is not None:
        gain, offset = header.recording.gain * file.scale, header.recording.offset * file.scale
        lines.append(f"Photon_gain {gain:.9g} counts, offset {offset:.9g} counts")
    text = [
        "###CBF: VERSION 1.5, distbragg",
        "",
        f"data_{file.path.stem}",
        "",
        f'_array_data.header_convention "{convention}"',
        "_array_data.header_contents",
        ";",
        *(f"# {line}" for line in lines),
        ";",
        "",
        "_array_data.data",
        ";",
        "--CIF-BINARY-FORMAT-SECTION--",
        "Content-Type: application/octet-stream;",
        '     conversions="x-CBF_BYTE_OFFSET"',
        "Content-Transfer-Encoding: BINARY",
        "",
    ]
    # Data block names are ASCII without spaces.
    return EOL.join(text).encode("ascii", "replace")


def write_cbf(file: FrameFile, image: NDArray[Any], masked: NDArray[np.bool_]) -> int:
    """Write photons (slow, fast) as 32-bit counts; return how many are held at a limit."""
    from fabio.compression import compByteOffset  # no other format needs it

    counts, outside = whole_counts(image, scale=file.scale)
    counts = _mark_masked(counts, masked)
    blob = bytes(compByteOffset(counts.astype(np.int32)))
    slow, fast = counts.shape
    digest = base64.b64encode(hashlib.md5(blob, usedforsecurity=False).digest()).decode("ascii")
    section = [
        f"X-Binary-Size: {len(blob)}",
        "X-Binary-ID: 1",
        'X-Binary-Element-Type: "signed 32-bit integer"',
        "X-Binary-Element-Byte-Order: LITTLE_ENDIAN",
        f"Content-MD5: {digest}",
        f"X-Binary-Number-of-Elements: {slow * fast}",
        f"X-Binary-Size-Fastest-Dimension: {fast}",
        f"X-Binary-Size-Second-Dimension: {slow}",
        "X-Binary-Size-Padding: 1",
        "",
        "",
    ]
    text = cbf_text(file) + EOL.join(section).encode("ascii")
    write_whole(file.path, text + STARTER + blob + b"\0" + _TAIL)
    return outside


def is_whole_cbf(file: FrameFile) -> bool:
    """Whether the file begins with its header and is as long as its binary section says."""
    text, path = cbf_text(file), file.path
    try:
        with path.open("rb") as stream:
            head = stream.read(len(text) + 1024)
        size = path.stat().st_size
    except OSError:
        return False
    start = head.find(STARTER)
    if start < 0 or not head.startswith(text + _SIZE_KEY):
        return False
    digits = head[len(text) + len(_SIZE_KEY) :].split(b"\r\n", 1)[0]
    return digits.isdigit() and size == start + len(STARTER) + int(digits) + 1 + len(_TAIL)
