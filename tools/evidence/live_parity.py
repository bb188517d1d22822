"""Run the C program on weighted sources and compare, when `NB_C_BIN` names its binary."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from distbragg.errors import EnvironmentFailure
from distbragg.kernel.options import KernelOptions
from distbragg.models.build import build_experiment
from distbragg.models.vectors import Float64Array
from distbragg.spec.nanobragg import parse_nanobragg
from tools.c_program import VARIABLE
from tools.evidence.bundle import Bundle
from tools.evidence.weight_rules import correlation
from tools.evidence.weighted import render_image

FLOOR: Final = 1e-9
"""Share of the maximum above which a pixel is compared."""

_SECONDS: Final = 60

_SCENE: Final = (
    "-cell 25 31 35 90 90 90 -default_F 100 -misset 10 20 30 -N 8 -lambda 1.0 -distance 80 "
    "-detpixels 96 -pixel 0.4 -oversample 1 -noprogress -nopgm -nonoise"
)
"""Right angles: the two physics modes build triclinic cells differently, which is not the matter
here. One sub-pixel: neither is the solid angle."""

_WEIGHTED: Final = (
    "-10 0 0 1.0 0.98e-10\n-10 0.05 0 0.2 1.00e-10\n-10 0 0.08 5.0 1.03e-10\n"
    "-10 -0.04 0.02 1e-3 0.99e-10\n"
)
_ONE_WAVELENGTH: Final = _WEIGHTED.replace("0.98e-10", "1e-10").replace("1.03e-10", "1e-10")
_TWO_BEAMS: Final = "-10 0 0 1 1e-10\n-10 0.6 0.8 1 1e-10\n"
"""Two directions 5.7° apart in the plane at 53° to the polarisation axis."""

_DMIN: Final = "-dmin 0.01"
"""Cuts nothing but what lies at infinite resolution: the sources made of comment lines."""

_FILES: Final = {
    "weighted.txt": _WEIGHTED,
    "unit_weights.txt": "".join(
        " ".join([*line.split()[:3], "1", line.split()[4]]) + "\n"
        for line in _WEIGHTED.splitlines()
    ),
    "one_wavelength.txt": _ONE_WAVELENGTH.replace("0.99e-10", "1e-10"),
    "two_beams.txt": _TWO_BEAMS,
    "with_comments.txt": "# X Y Z weight lambda\n# all in metres\n" + _WEIGHTED,
}

_CASES: Final = (
    ("weights as written", "weighted.txt", "-polar 0.9", "weighted.txt", "nanobragg"),
    ("weights all 1", "unit_weights.txt", "-polar 0.9", "unit_weights.txt", "nanobragg"),
    ("equal weights, unpolarised", "unit_weights.txt", "-nopolar", "unit_weights.txt", "exact"),
    ("weights used", "weighted.txt", "-nopolar", "weighted.txt", "exact"),
    ("wavelengths dropped", "weighted.txt", "-nopolar", "one_wavelength.txt", "nanobragg"),
    ("two beams 5.7° apart", "two_beams.txt", "-polar 1", "two_beams.txt", "nanobragg"),
    ("two beams, own polarisation", "two_beams.txt", "-polar 1", "two_beams.txt", "exact"),
    ("comment lines", "with_comments.txt", "-nopolar", "with_comments.txt", "nanobragg"),
    ("comment lines, any dmin", "with_comments.txt", f"-nopolar {_DMIN}", "with_comments.txt",
     "nanobragg"),
)  # fmt: skip
"""Name, the C program's source file, flags, our source file, our physics."""


@dataclass(frozen=True, slots=True)
class LiveRow:
    """One comparison with the C program.

    Attributes
    ----------
    name, physics : str
    files : str
        The C program's source file and ours.
    correlation : float
    ratio : float
        Our summed image over the C program's.
    worst : float
        Largest relative difference of pixels above 1e-9 of the maximum.
    where : (int, int)
        Its pixel (slow, fast).
    not_finite : int
        Pixels of the C program's image that are NaN or infinite; the rest is then empty.
    """

    name: str
    physics: str
    files: str
    correlation: float
    ratio: float
    worst: float
    where: tuple[int, int]
    not_finite: int


@dataclass(frozen=True, slots=True)
class LiveParity:
    """All comparisons, and whether the weight column changed a byte of the C program's image."""

    rows: tuple[LiveRow, ...]
    column_is_unused: bool


def live_parity(binary: Path, bundle: Bundle, options: KernelOptions) -> LiveParity:
    """Run every case, keeping the source files and commands in the bundle.

    Raises
    ------
    EnvironmentFailure
        The program fails or writes no image.
    """
    inputs = bundle.path / "inputs"
    inputs.mkdir()
    for name, text in _FILES.items():
        (inputs / name).write_text(text, encoding="ascii")
    images: dict[tuple[str, str], Float64Array] = {}
    for _, name, flags, _, _ in _CASES:
        if (name, flags) not in images:
            images[name, flags] = _run(binary, bundle, inputs / name, flags)
    same = np.array_equal(
        images["weighted.txt", "-polar 0.9"], images["unit_weights.txt", "-polar 0.9"]
    )
    return LiveParity(tuple(_rows(inputs, images, options)), same)


def _rows(
    inputs: Path, images: dict[tuple[str, str], Float64Array], options: KernelOptions
) -> Iterator[LiveRow]:
    for name, theirs, flags, ours, physics in _CASES:
        arguments = f"{_SCENE} {flags} -sourcefile {ours} --physics {physics}".split()
        command = parse_nanobragg(arguments, base_dir=inputs)
        found = render_image(build_experiment(command.spec), options)
        files = theirs if theirs == ours else f"{theirs}, {ours}"
        yield compare_images(found, images[theirs, flags], name=name, physics=physics, files=files)


def compare_images(
    found: Float64Array, expected: Float64Array, *, name: str, physics: str, files: str
) -> LiveRow:
    """Measure how far our image is from the C program's."""
    bad = int(np.count_nonzero(~np.isfinite(expected)))
    if bad:
        return LiveRow(name, physics, files, np.nan, np.nan, np.nan, (0, 0), bad)
    lit = expected > FLOOR * expected.max()
    relative = np.divide(np.abs(found - expected), expected, out=np.zeros_like(expected), where=lit)
    slow, fast = np.unravel_index(int(np.argmax(relative)), relative.shape)
    return LiveRow(
        name,
        physics,
        files,
        correlation(found, expected),
        float(found.sum() / expected.sum()),
        float(relative.max()),
        (int(slow), int(fast)),
        0,
    )


def _run(binary: Path, bundle: Bundle, sources: Path, flags: str) -> Float64Array:
    """Run the program in a folder of its own, since it writes files unasked."""
    arguments = [*_SCENE.split(), *flags.split(), "-sourcefile", sources.name]
    arguments += ["-floatfile", "float.bin"]
    bundle.record_command([binary.name, *arguments])
    with tempfile.TemporaryDirectory(prefix="distbragg-") as folder:
        (Path(folder) / sources.name).write_bytes(sources.read_bytes())
        try:
            answer = subprocess.run(
                [str(binary), *arguments],
                cwd=folder,
                capture_output=True,
                timeout=_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EnvironmentFailure(f"{VARIABLE}: {binary.name} failed ({error})") from None
        image = Path(folder) / "float.bin"
        if answer.returncode != 0 or not image.is_file():
            raise EnvironmentFailure(
                f"{VARIABLE}: {binary.name} ended with status {answer.returncode} and no image"
            )
        pixels: Float64Array = np.fromfile(image, "<f4").astype(np.float64)
    edge = int(_SCENE.split()[_SCENE.split().index("-detpixels") + 1])
    return pixels.reshape(edge, edge)
