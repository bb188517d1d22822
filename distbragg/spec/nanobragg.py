"""nanoBragg's command line, read into a specification.

The meaning of every flag is the program's own; where the program ignores a flag, so does
`--physics nanobragg`, with a warning, while `--physics exact` takes it at its word.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from distbragg.errors import InputError
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.files import absolute_files
from distbragg.spec.nanobragg_flags import FLAGS, Convert, Flag, found_within, nearest_flag
from distbragg.spec.nanobragg_resolve import Gathered, resolve
from distbragg.spec.problems import input_error

HELP_FLAGS = FLAGS["--help"].names

_LARGEST_INTEGER = 2**63
_LONGEST_SHOWN = 60  # characters of a token that an error shows


@dataclass(frozen=True, slots=True)
class NanobraggOutputs:
    """Files that were named, and how to scale them; a file not named is not written."""

    floatfile: str | None = None
    intfile: str | None = None
    noisefile: str | None = None
    pgmfile: str | None = None
    scale: float | None = None  # None: as the program would choose it
    adc: float = 40.0  # detector units
    pgmscale: float | None = None

    @property
    def files(self) -> list[str]:
        """Names of the files to write."""
        names = (self.floatfile, self.intfile, self.noisefile, self.pgmfile)
        return [name for name in names if name is not None]


@dataclass(frozen=True, slots=True)
class OwnOptions:
    """Options of distbragg that stand beside nanoBragg's flags."""

    threads: int | None = None  # None: the cores the process may use
    cluster: str | None = None
    out: str | None = None
    progress: bool | None = None  # None: where it helps
    write_spec: str | None = None  # a file for the command line as a specification
    help: bool = False


@dataclass(frozen=True, slots=True)
class NanobraggCommand:
    """A command line, understood: the experiment, the files to write, and what was ignored."""

    spec: ExperimentSpec
    outputs: NanobraggOutputs = NanobraggOutputs()
    own: OwnOptions = OwnOptions()
    warnings: tuple[str, ...] = ()
    said_by: Mapping[str, str] = field(default_factory=dict)
    """The flag that set each field, by dotted path."""


def parse_nanobragg(argv: Sequence[str], *, base_dir: str | Path | None = None) -> NanobraggCommand:
    """Read nanoBragg's command line: the arguments after the program's name.

    Relative input files are taken from `base_dir`, by default the current folder; names of
    outputs stay as written.
    """
    if any(token in HELP_FLAGS for token in argv):
        return NanobraggCommand(ExperimentSpec(physics="nanobragg"), own=OwnOptions(help=True))
    gathered = Gathered()
    reader = Reader(list(argv))
    while reader.tokens:
        flag, token = _next_flag(reader, gathered)
        _take(flag, token, reader, gathered)
    own = _group_of(gathered, "own")
    gathered.cached = own.pop("dump", None) is not None
    outputs = _outputs(_group_of(gathered, "outputs"))
    plain = resolve(gathered)
    spec = absolute_files(_validated(plain, gathered), base_dir or Path.cwd())
    warnings = tuple(gathered.warnings)
    return NanobraggCommand(spec, outputs, OwnOptions(**own), warnings, gathered.said_by)


@dataclass(slots=True)
class Reader:
    """The tokens left to read."""

    tokens: list[str]
    is_value: bool = False
    """The next token is the value of `--option=value`, whatever it looks like."""

    def holds(self, word: str) -> bool:
        """Whether the next token has a word in it."""
        return bool(self.tokens) and word in self.tokens[0]

    def text(self, flag: str) -> str:
        """Take a word or file name; another flag in its place means it was forgotten."""
        if not self.tokens or not self.tokens[0] or (self.tokens[0] in FLAGS and not self.is_value):
            raise InputError("its argument is missing", source=flag)
        self.is_value = False
        return self.tokens.pop(0)

    def number(self, flag: str, kind: Convert) -> float:
        """Take a finite number; `int` refuses fractions."""
        token = self.text(flag)
        try:
            value: float = int(token) if re.fullmatch(r"[-+]?\d{1,19}", token) else float(token)
        except ValueError:
            raise InputError(f"{token!r} is not a number", source=flag) from None
        if not math.isfinite(value):
            raise InputError(f"{token!r} is not a finite number", source=flag)
        if kind == "float":
            return float(value)
        if value != int(value) or abs(value) >= _LARGEST_INTEGER:
            raise InputError(f"{token!r} is not a whole number", source=flag)
        return int(value)

    def arguments(self, flag: Flag, token: str) -> object:
        """Take a flag's arguments: one value, or a list where it has several."""
        if flag.convert == "text":
            return self.text(token)
        values = [self.number(token, flag.convert) for _ in flag.arguments]
        return values[0] if len(values) == 1 else values


def _next_flag(reader: Reader, gathered: Gathered) -> tuple[Flag, str]:
    token = reader.tokens.pop(0)
    if token.startswith("--") and "=" in token:
        token, _, value = token.partition("=")
        reader.tokens.insert(0, value)
        reader.is_value = True
    flag = FLAGS.get(token)
    if flag is not None:
        return flag, token
    shown = token if len(token) <= _LONGEST_SHOWN else f"{token[:_LONGEST_SHOWN]}…"
    if not token.startswith("-"):
        remedy = "arguments follow the flag they belong to"
        raise InputError("is not a flag", source=shown or "''", remedy=remedy)
    if within := found_within(token):
        gathered.warn(f"{shown} is taken as {within}, which nanoBragg finds in it")
        return FLAGS[within], within
    near = nearest_flag(token)
    remedy = f"did you mean {near}?" if near else "see `distbragg nanobragg --help`"
    raise InputError("unknown flag", source=shown, remedy=remedy)


def _take(flag: Flag, token: str, reader: Reader, gathered: Gathered) -> None:
    gathered.token = token
    if flag.kind == "ignored":
        gathered.warn(f"{token} is ignored: {flag.reason}")
    following = reader.tokens[:3]
    for path in flag.drops:
        gathered.drop(path)
    value = flag.constant
    if flag.special:
        value = _HANDLERS[flag.special](token, reader, gathered)
    elif flag.arguments:
        value = _checked(flag, token, reader.arguments(flag, token))
    for path, stored in (*((path, value) for path in flag.fields), *flag.also):
        gathered.put(path, stored)
    gathered.convention = flag.convention or gathered.convention
    _note_double(flag, following, gathered)
    if flag.pivot:
        gathered.pivot = gathered.program_pivot = flag.pivot
        # -distance is always given, and asks for nothing.
        if gathered.pivot_asked[0] != "-pivot" and flag.name != "-distance":
            gathered.pivot_asked = ("", "") if flag.convention else (token, flag.pivot)


def _checked(flag: Flag, token: str, value: object) -> object:
    if flag.choices and value not in flag.choices:
        raise InputError(f"{value!r} is none of {', '.join(flag.choices)}", source=token)
    try:
        return value if flag.value is None else flag.value(value)
    except InputError as error:
        raise error.placed(source=token) from None


def _note_double(flag: Flag, following: list[str], gathered: Gathered) -> None:
    """Note what the program's substring match makes of a flag that contains a shorter one.

    It reads the tokens after `-misset_seed` as three angles, and the first one after
    `-twotheta_axis` as the angle, whatever they are.
    """
    if flag.name == "-misset_seed" and len(following) == 3:
        angles = [_leading_number(token) for token in following]
        gathered.doubled["crystal.misset_deg"] = (gathered.token, angles)
    if flag.name == "-twotheta_axis":
        angle = _leading_number(following[0])
        gathered.doubled["detector.twotheta_deg"] = (gathered.token, angle)
        gathered.program_pivot = "sample"


def _leading_number(text: str) -> float:
    """Read the number that `text` begins with, 0 where it begins with none, as C's atof does."""
    match = re.match(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text)
    return float(match[0]) if match else 0.0


def _take_cell(token: str, reader: Reader, _: Gathered) -> list[float]:
    """Take up to six numbers, stopping at the next token that starts with a minus."""
    numbers: list[float] = []
    while reader.tokens and len(numbers) < 6 and not reader.tokens[0].startswith("-"):
        numbers.append(reader.number(token, "float"))
    if not numbers:
        raise InputError("needs at least the length a", source=token)
    defaults = (numbers[0], numbers[0], numbers[0], 90.0, 90.0, 90.0)
    padded = numbers + [0.0] * (6 - len(numbers))
    return [value or default for value, default in zip(padded, defaults, strict=True)]


def _take_misset(token: str, reader: Reader, _: Gathered) -> object:
    if reader.holds("rand"):
        reader.tokens.pop(0)
        return "random"
    return reader.arguments(FLAGS["-misset"], token)


def _take_pivot(token: str, reader: Reader, gathered: Gathered) -> str:
    word = reader.text(token)
    for pivot in ("sample", "beam"):
        if pivot in word:
            gathered.pivot = gathered.program_pivot = pivot
            gathered.pivot_asked = (token, pivot)
            return pivot
    raise InputError(f"{word!r} is neither sample nor beam", source=token)


def _take_detector_abs(token: str, reader: Reader, gathered: Gathered) -> object:
    """`inf` and 0 turn absorption off and forget an earlier thickness."""
    if reader.holds("inf"):
        reader.tokens.pop(0)
    elif depth := reader.number(token, "float"):
        return depth
    gathered.drop("detector.sensor.thickness_um")
    return "inf"


_HANDLERS: dict[str, Callable[[str, Reader, Gathered], object]] = {
    "cell": _take_cell,
    "misset": _take_misset,
    "pivot": _take_pivot,
    "detector_abs": _take_detector_abs,
}


def _group_of(gathered: Gathered, group: Literal["outputs", "own"]) -> dict[str, Any]:
    """Take the values of a group that is not a part of the specification."""
    names = [path for path in gathered.values if path.startswith(f"{group}.")]
    return {path.partition(".")[2]: gathered.values.pop(path) for path in names}


def _outputs(values: dict[str, Any]) -> NanobraggOutputs:
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
        raise problem.placed(source=flag, field="" if flag else None) from None
