"""nanoBragg's command line, read into a specification.

The meaning of every flag is the program's own; where the program ignores a flag, so does
`--physics nanobragg`, with a warning, while `--physics exact` takes it at its word.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from distbragg.errors import InputError
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.files import absolute_files
from distbragg.spec.nanobragg_flags import FLAGS, Flag
from distbragg.spec.nanobragg_resolve import Gathered, resolve
from distbragg.spec.nanobragg_tokens import (
    Reader,
    found_within,
    leading_number,
    nearest_flag,
    parse_numbers,
    parse_tile,
)
from distbragg.spec.problems import input_error
from distbragg.units import mm_to_m

SEEDS = 2**63
HELP_FLAGS = FLAGS["--help"].names

_LONGEST_SHOWN = 60
"""Characters of a token that an error shows."""


@dataclass(frozen=True, slots=True)
class NanobraggOutputs:
    """Files that were named, and how to scale them; a file not named is not written.

    `scale` and `pgmscale` are None where the program would choose; `adc` is in detector units.
    """

    floatfile: str | None = None
    intfile: str | None = None
    noisefile: str | None = None
    pgmfile: str | None = None
    scale: float | None = None
    adc: float = 40.0
    pgmscale: float | None = None


@dataclass(frozen=True, slots=True)
class OwnOptions:
    """Options of distbragg that stand beside nanoBragg's flags.

    `threads` None means the cores the process may use; `progress` None means where it helps.
    """

    threads: int | None = None
    cluster: str | None = None
    out: str | None = None
    progress: bool | None = None
    help: bool = False


@dataclass(frozen=True, slots=True)
class NanobraggCommand:
    """A command line, understood: the experiment, the files to write, and what was ignored."""

    spec: ExperimentSpec
    outputs: NanobraggOutputs = NanobraggOutputs()
    own: OwnOptions = OwnOptions()
    warnings: tuple[str, ...] = ()


def parse_nanobragg(argv: Sequence[str], *, base_dir: str | Path | None = None) -> NanobraggCommand:
    """Read nanoBragg's command line.

    Parameters
    ----------
    argv : sequence of str
        Arguments after the program's name.
    base_dir : path, optional
        Folder from which relative input files are taken; the current one by default.
        Output names stay as written.

    Returns
    -------
    NanobraggCommand

    Raises
    ------
    InputError
        An unknown flag (with the nearest), a missing or bad argument, or flags that leave no
        crystal or no structure factors.
    """
    if any(token in HELP_FLAGS for token in argv):
        return NanobraggCommand(ExperimentSpec(physics="nanobragg"), own=OwnOptions(help=True))
    gathered = Gathered()
    reader = Reader(tuple(argv))
    while reader.more():
        flag, token = _next_flag(reader, gathered)
        _take(flag, token, reader, gathered)
    own = _own_options(gathered)
    outputs = _outputs(gathered)
    plain = resolve(gathered)
    spec = absolute_files(_validated(plain, gathered), base_dir or Path.cwd())
    return NanobraggCommand(spec, outputs, own, tuple(gathered.warnings))


def _next_flag(reader: Reader, gathered: Gathered) -> tuple[Flag, str]:
    token = reader.next()
    if token.startswith("--") and "=" in token:
        token, _, value = token.partition("=")
        reader.push(value)
    flag = FLAGS.get(token)
    if flag is not None:
        return flag, token
    within = found_within(token) if token.startswith("-") else ""
    if within:
        gathered.warn(f"{_shown(token)} is taken as {within}, which nanoBragg finds in it")
        return FLAGS[within], within
    if not token.startswith("-"):
        raise InputError(
            "is no flag",
            source=_shown(token) or "''",
            remedy="arguments follow the flag they belong to",
        )
    near = nearest_flag(token)
    remedy = f"did you mean {near}?" if near else "see `distbragg nanobragg --help`"
    raise InputError("unknown flag", source=_shown(token), remedy=remedy)


def _shown(token: str) -> str:
    """Return a token as an error names it, shortened where it would fill the screen."""
    return token if len(token) <= _LONGEST_SHOWN else f"{token[:_LONGEST_SHOWN]}…"


def _take(flag: Flag, token: str, reader: Reader, gathered: Gathered) -> None:
    gathered.token = token
    if flag.kind == "refused":
        raise InputError(f"refused: {flag.reason}", source=token)
    if flag.kind == "ignored":
        gathered.warn(f"{token} is ignored: {flag.reason}")
    following = reader.ahead(3)
    handler = _HANDLERS.get(flag.special)
    if handler is not None:
        handler(flag, token, reader, gathered)
    elif not flag.arguments:
        gathered.store(flag, flag.constant)
    else:
        gathered.store(flag, parse_numbers(flag, token, reader))
    _note_double(flag, following, gathered)
    if flag.pivot:
        _note_pivot(flag, gathered)


def _note_double(flag: Flag, following: tuple[str, ...], gathered: Gathered) -> None:
    """Note what the program's substring match makes of a flag that contains a shorter one.

    It reads the tokens after `-misset_seed` as three angles, and the first one after
    `-twotheta_axis` as the angle, whatever they are.
    """
    if flag.name == "-misset_seed" and len(following) == 3:
        angles = [leading_number(token) for token in following]
        gathered.doubled["crystal.misset_deg"] = (gathered.token, angles)
    if flag.name == "-twotheta_axis":
        angle = leading_number(following[0])
        gathered.doubled["detector.twotheta_deg"] = (gathered.token, angle)
        gathered.program_pivot = "sample"


def _note_pivot(flag: Flag, gathered: Gathered) -> None:
    """Follow the program's pivot; remember who asked, save -distance, which is always given."""
    gathered.pivot = gathered.program_pivot = flag.pivot
    if flag.special == "convention":
        if gathered.pivot_asked[0] != "-pivot":
            gathered.pivot_asked = ("", "")
    elif flag.name != "-distance" and gathered.pivot_asked[0] != "-pivot":
        gathered.pivot_asked = (gathered.token, flag.pivot)


def _take_cell(flag: Flag, token: str, reader: Reader, gathered: Gathered) -> None:
    """Take up to six numbers, stopping at the next token that starts with a minus."""
    numbers: list[float] = []
    while reader.more() and len(numbers) < 6 and not reader.peek().startswith("-"):
        numbers.append(reader.number(token, "float"))
    if not numbers:
        raise InputError("needs at least the length a", source=token)
    a = numbers[0]
    defaults = (a, a, a, 90.0, 90.0, 90.0)
    padded = numbers + [0.0] * (6 - len(numbers))
    cell = [
        value if value != 0 else default for value, default in zip(padded, defaults, strict=True)
    ]
    gathered.store(flag, cell)


def _take_misset(flag: Flag, token: str, reader: Reader, gathered: Gathered) -> None:
    if reader.more() and "rand" in reader.peek():
        reader.next()
        gathered.store(flag, "random")
    else:
        gathered.store(flag, parse_numbers(flag, token, reader))


def _take_cells(flag: Flag, token: str, reader: Reader, gathered: Gathered) -> None:
    """Take a count; below one it means one cell, as in the program."""
    gathered.store(flag, max(1, int(reader.number(token, "int"))))


def _take_stol(flag: Flag, token: str, reader: Reader, gathered: Gathered) -> None:
    gathered.put("background.stol_file", reader.text(token))
    gathered.put("background.stol_scale", flag.constant)


def _take_dump(flag: Flag, token: str, reader: Reader, gathered: Gathered) -> None:
    gathered.store(flag, reader.text(token))


def _take_convention(flag: Flag, token: str, reader: Reader, gathered: Gathered) -> None:
    gathered.convention = flag.constant


def _take_vector(flag: Flag, token: str, reader: Reader, gathered: Gathered) -> None:
    gathered.store(flag, parse_numbers(flag, token, reader))
    gathered.convention = "custom"


def _take_vector_mm(flag: Flag, token: str, reader: Reader, gathered: Gathered) -> None:
    metres = [mm_to_m(reader.number(token, "float")) for _ in flag.arguments]
    gathered.store(flag, metres)
    gathered.convention = "custom"


def _take_pivot(flag: Flag, token: str, reader: Reader, gathered: Gathered) -> None:
    word = reader.text(token)
    for pivot in ("sample", "beam"):
        if pivot in word:
            gathered.pivot = gathered.program_pivot = pivot
            gathered.pivot_asked = (token, pivot)
            return
    raise InputError(f"{word!r} is neither sample nor beam", source=token)


def _take_detector_abs(flag: Flag, token: str, reader: Reader, gathered: Gathered) -> None:
    """`inf` and 0 turn absorption off and forget an earlier thickness."""
    if reader.more() and "inf" in reader.peek():
        reader.next()
        depth = 0.0
    else:
        depth = reader.number(token, "float")
    gathered.store(flag, depth if depth != 0 else "inf")
    if depth == 0:
        gathered.drop("detector.sensor.thickness_um")


def _take_img(flag: Flag, token: str, reader: Reader, gathered: Gathered) -> None:
    gathered.put("header_image", reader.text(token))


def _take_wavelength(flag: Flag, token: str, reader: Reader, gathered: Gathered) -> None:
    gathered.drop("beam.wavelength_angstrom")
    gathered.drop("beam.energy_ev")
    gathered.store(flag, reader.number(token, "float"))


def _take_polar(flag: Flag, token: str, reader: Reader, gathered: Gathered) -> None:
    gathered.store(flag, reader.number(token, "float"))
    gathered.put("beam.polarization.enabled", True)


def _take_oversample(flag: Flag, token: str, reader: Reader, gathered: Gathered) -> None:
    count = int(reader.number(token, "int"))
    gathered.store(flag, count if count > 0 else "auto")


def _take_noisefile(flag: Flag, token: str, reader: Reader, gathered: Gathered) -> None:
    gathered.store(flag, reader.text(token))
    gathered.put("outputs.write_noise", True)


def _take_pgm(flag: Flag, token: str, reader: Reader, gathered: Gathered) -> None:
    gathered.store(flag, parse_numbers(flag, token, reader))
    gathered.put("outputs.write_pgm", True)


def _take_seed(flag: Flag, token: str, reader: Reader, gathered: Gathered) -> None:
    gathered.store(flag, int(reader.number(token, "int")) % SEEDS)


def _take_choice(flag: Flag, token: str, reader: Reader, gathered: Gathered) -> None:
    word = reader.text(token)
    if word not in flag.constant:
        raise InputError(f"{word!r} is none of {', '.join(flag.constant)}", source=token)
    gathered.store(flag, word)


def _take_tile(flag: Flag, token: str, reader: Reader, gathered: Gathered) -> None:
    gathered.store(flag, parse_tile(reader.text(token), token))


def _take_threads(flag: Flag, token: str, reader: Reader, gathered: Gathered) -> None:
    count = int(reader.number(token, "int"))
    if count < 1:
        raise InputError(f"{count} threads cannot work", source=token, remedy="give at least 1")
    gathered.store(flag, count)


Handler = Callable[[Flag, str, Reader, Gathered], None]
_HANDLERS: dict[str, Handler] = {
    "cell": _take_cell,
    "misset": _take_misset,
    "cells": _take_cells,
    "stol": _take_stol,
    "dump": _take_dump,
    "convention": _take_convention,
    "vector": _take_vector,
    "vector_mm": _take_vector_mm,
    "pivot": _take_pivot,
    "detector_abs": _take_detector_abs,
    "img": _take_img,
    "wavelength": _take_wavelength,
    "polar": _take_polar,
    "oversample": _take_oversample,
    "noisefile": _take_noisefile,
    "pgm": _take_pgm,
    "seed": _take_seed,
    "choice": _take_choice,
    "tile": _take_tile,
    "threads": _take_threads,
}


def _pop_group(gathered: Gathered, group: Literal["outputs", "own"]) -> dict[str, Any]:
    prefix = f"{group}."
    names = [path for path in gathered.values if path.startswith(prefix)]
    return {path.removeprefix(prefix): gathered.values.pop(path) for path in names}


def _own_options(gathered: Gathered) -> OwnOptions:
    options = _pop_group(gathered, "own")
    if "dump" in options:
        gathered.values["dump"] = options.pop("dump")
    return OwnOptions(**options)


def _outputs(gathered: Gathered) -> NanobraggOutputs:
    values = _pop_group(gathered, "outputs")
    if not values.pop("write_noise", True):
        values.pop("noisefile", None)
    if not values.pop("write_pgm", True):
        values.pop("pgmfile", None)
    for name in ("scale", "pgmscale"):
        if values.get(name) == 0:
            values.pop(name)
    return NanobraggOutputs(**values)


def _validated(plain: dict[str, Any], gathered: Gathered) -> ExperimentSpec:
    """Validate, and name the flag instead of the field where one is to blame."""
    try:
        return ExperimentSpec.model_validate(plain)
    except ValidationError as error:
        problem = input_error(error, ExperimentSpec)
        path = problem.field
        while path and path not in gathered.said_by:
            path = path.rpartition(".")[0]
        flag = gathered.said_by.get(path, "")
        raise InputError(
            problem.problem,
            source=flag,
            field="" if flag else problem.field,
            remedy=problem.remedy,
        ) from None
