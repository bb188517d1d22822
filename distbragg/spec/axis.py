"""The axes of a sweep: a name, the field each sets, and where its values come from."""

from __future__ import annotations

import math
import unicodedata
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BeforeValidator, PrivateAttr, model_validator

from distbragg.spec.alternatives import Alternatives
from distbragg.spec.axis_values import AxisValues, plain_values
from distbragg.spec.base import MAXIMUM_COUNT, Count, FilePath, Finite, Seed, SpecModel, refusal
from distbragg.spec.distributions import ChoiceDraw, Range
from distbragg.spec.draw import DrawSpec
from distbragg.spec.expression import parse_expression
from distbragg.spec.paths import file_labels, names_file, path_of_today
from distbragg.spec.vector_draws import QUATERNION_PATH

RESERVED_NAMES = frozenset(
    {"slow", "fast", "panel", "images", "labels", "rendered", "xyz"}
    | {f"panel_{name}" for name in ("origin", "fast", "slow", "pixel_size")}
    | {f"panel_pixels_{side}" for side in ("slow", "fast")}
)

_LOOKALIKES: Final = str.maketrans(
    "\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0456\u0458"
    "\u0455\u0501\u04bb\u051b\u051d\u04cf\u03b1\u03b2\u03b5\u03b7\u03b9\u03ba\u03bc\u03bd"
    "\u03bf\u03c1\u03c4\u03c5\u03c7\u0131",
    "abekmhopctyxijsdhqwlabenikuvoptuxi",
)
"""Cyrillic and Greek letters that cannot be told from Latin ones, in lower case."""


def lookalike(name: str) -> str:
    """Return what a name is compared by: case, width and look-alike letters do not count.

    Names are folders of the stack, which many file systems tell apart by spelling alone.
    """
    return unicodedata.normalize("NFKC", name).casefold().translate(_LOOKALIKES)


_EXACT_WHOLE: Final = 2**53
_EXACT_POWER: Final = 22
"""Whole numbers below the first, and powers of ten up to the second, are exact in a float64."""

_KINDS: Final = (
    "values", "linspace", "arange", "random_orientations", "sample", "draw", "table", "derived"
)  # fmt: skip
"""Fields that give an axis its values, of which each has exactly one."""

_NAMED: Final = ("values", "draw", "table")
"""Fields that may give names of alternatives."""

_RESERVED: Final = {lookalike(name): name for name in RESERVED_NAMES}


class Linspace(SpecModel):
    """Evenly spaced values, both ends included."""

    start: Finite
    """First value. Example: 0"""
    stop: Finite
    """Last value. Example: 180"""
    count: Count
    """Number of values. Example: 181"""

    def values(self) -> AxisValues:
        """All of them, float64, each as its decimal number is written."""
        span = Decimal(repr(self.stop)) - Decimal(repr(self.start))
        exact = _decimal_steps(self.start, span, self.count, max(self.count - 1, 1))
        if exact is None:
            exact = np.linspace(self.start, self.stop, self.count, dtype=np.float64)
        return AxisValues(exact)


class Arange(SpecModel):
    """Values from `start` in steps of `step`, up to but not including `stop`."""

    start: Finite
    """First value. Example: 0"""
    stop: Finite
    """Where the values end; it is none of them. Example: 90"""
    step: Finite
    """From one value to the next; negative steps lead down. Example: 0.1"""

    def values(self) -> AxisValues:
        """Values start + i·step, as written in decimals; a remainder of rounding adds none."""
        if self.step == 0:
            raise refusal("must not be 0", field="arange.step")
        span = (self.stop - self.start) / self.step
        if not math.isfinite(span) or span > MAXIMUM_COUNT:
            raise refusal(f"gives more than {MAXIMUM_COUNT} values", field="arange")
        count = max(math.ceil(span - 1e-9), 0)
        exact = _decimal_steps(self.start, Decimal(repr(self.step)), count)
        if exact is None:
            exact = self.start + np.arange(count, dtype=np.float64) * self.step
        return AxisValues(exact)


def _decimal_steps(
    start: float, span: Decimal, count: int, parts: int = 1
) -> NDArray[np.float64] | None:
    """Return start + i · span / parts for i < count, as near to the decimal result as can be.

    The third step of 0.1 is 0.3 then, and not a bit more: a quotient of two whole numbers that
    float64 holds exactly is rounded once. None where the decimals are too long for that.
    """
    first = Decimal(repr(start))
    digits = max(0, *(-int(part.as_tuple().exponent) for part in (first, span)))
    if digits > _EXACT_POWER:
        return None
    low, step = int(first.scaleb(digits)) * parts, int(span.scaleb(digits))
    divisor = 10**digits * parts
    if max(abs(low) + abs(step) * count, divisor) >= _EXACT_WHOLE:
        return None
    return np.asarray((low + np.arange(count, dtype=np.float64) * step) / divisor)


class RandomOrientations(SpecModel):
    """Orientations uniform on SO(3), the same for the same seed."""

    count: Count
    """Number of orientations. Example: 1000"""
    seed: Seed = 0
    """Seed of the generator: the same one draws the same orientations. Example: 1"""

    def values(self) -> AxisValues:
        """Draw unit quaternions (x, y, z, w): four normal deviates, normalized.

        They are those of scipy's `Rotation.random`, which would cost every process that opens a
        sweep a fifth of a second for loading scipy.
        """
        drawn = np.random.default_rng(self.seed).normal(size=(self.count, 4))
        return AxisValues(drawn / np.sqrt((drawn * drawn).sum(axis=1))[:, np.newaxis])


class Sample(Range):
    """Numbers drawn between `low` and `high`, the same for the same seed.

    The sampled axes of one `dim` with the same method, count and seed are drawn together: a
    Latin hypercube or Sobol sequence fills the space of all of them.
    """

    method: Literal["random", "latin_hypercube", "sobol"] = "random"
    """How numbers are drawn: each by itself, or spread evenly over the range of all sampled axes.
    Example: sobol"""
    count: Count
    """Number of values. Example: 1000"""
    seed: Seed = 0
    """Seed of the generator: the same one draws the same numbers. Example: 1"""

    def design(self, columns: int) -> NDArray[np.float64]:
        """Sample the unit cube: (count, columns) float64 in [0, 1).

        Independent numbers; one in each of `count` equal slices of every column
        (`scipy.stats.qmc.LatinHypercube`); or a scrambled Sobol sequence.
        """
        generator = np.random.default_rng(self.seed)
        if self.method == "random":
            return generator.random((self.count, columns))
        from scipy.stats import qmc

        if self.method == "sobol":
            exponent = max(0, math.ceil(math.log2(self.count)))
            # Sobol points balance in powers of two: more are drawn than asked for, in silence.
            drawn = qmc.Sobol(columns, rng=generator).random_base2(exponent)[: self.count]
        else:
            drawn = qmc.LatinHypercube(columns, rng=generator).random(self.count)
        return np.asarray(drawn, dtype=np.float64)


class Table(SpecModel):
    """Values from a CSV or Parquet file: one column, or several that make a vector.

    A DIALS experiment list (`.expt`) and a CrystFEL stream (`.stream`) give a row for each of their
    crystals, turned into the laboratory frame of the experiment: what the axis sets, of
    `crystal.a_matrix_per_angstrom`, `u_matrix` and `cell`, `beam.energy_ev` and
    `wavelength_angstrom`. Read when the sweep is loaded; the values themselves become part of it.
    """

    file: FilePath
    """The table: CSV, Parquet, DIALS experiment list or CrystFEL stream. Example: shots.csv"""
    column: str | None = None
    """Column that holds the values. Left out: `columns`, or what the path names of a list of
    crystals. Example: energy"""
    columns: tuple[str, ...] | None = None
    """Columns that hold the components of a vector. Left out: `column`, or what the path names of a
    list of crystals. Example: [qx, qy, qz, qw]"""
    lattices: Count | None = None
    """Frames of a stream that have so many crystals, a row for each frame; `crystal.lattices.N` is
    then one of them. Left out: a row for each crystal. Example: 2"""


class AxisSpec(SpecModel):
    """One axis: a name, the field it sets, and its values.

    `path` may be any field outside `compute` and `output` whose change leaves the frame's shape
    alone; an element of a list is addressed by its index.
    """

    name: str
    """Name of the coordinate in the stack. Example: phi"""
    path: Annotated[str, AfterValidator(path_of_today)] = ""
    """Dotted path of the field that the axis sets. Orientations and cells that are drawn need none,
    nor do alternatives, nor what is drawn for other axes alone; an empty one sets nothing, and
    labels the frames. Example: goniometer.phi_deg"""
    dim: str = ""
    """Dimension of the stack that the axis runs along; axes of one dim advance together, and empty
    is a dimension of its own. Example: shot"""
    values: Annotated[tuple[Any, ...], BeforeValidator(plain_values)] | None = None
    """The values: numbers, texts, or lists of one length; null is as if the field were not given.
    Left out: another field gives them. Example: [0, 1, 2.5]"""
    linspace: Linspace | None = None
    """Evenly spaced values by their ends and number. Left out: another field gives them."""
    arange: Arange | None = None
    """Evenly spaced values by their step. Left out: another field gives them."""
    random_orientations: RandomOrientations | None = None
    """Orientations drawn evenly over all rotations. Left out: another field gives the values."""
    sample: Sample | None = None
    """Numbers drawn from a range. Left out: another field gives the values."""
    draw: DrawSpec | None = None
    """A distribution that each value is drawn from by itself. Left out: another field gives the
    values."""
    table: Table | None = None
    """Values from a file. Left out: another field gives them."""
    derived: str | None = None
    """Arithmetic of other axes of the same dim, by name, and `index`. Left out: another field gives
    the values. Example: 0.1 * index"""

    alternatives: Alternatives | None = None
    """Fields that a value sets at once, by its name, in place of `path`; the values are names.
    Left out: a value sets `path`. Example: {hit: {}, miss: {crystal.present: false}}"""

    _expanded: AxisValues = PrivateAttr()

    @model_validator(mode="after")
    def _check_axis(self) -> Self:
        _check_name(self.name, "name")
        _check_name(self.dimension, "dim")
        given = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if self.alternatives is not None:
            self._check_alternatives(given)
        elif len(given) != 1:
            found = " and ".join(given) if given else "none"
            raise refusal(f"needs exactly one of {', '.join(_KINDS)}, found {found}")
        self._check_path()
        if self.derived is not None:
            parse_expression(self.derived)
            if not self.dim:
                raise refusal(
                    "is missing",
                    field="dim",
                    remedy="a derived axis runs along the dim of the axes it is derived from",
                )
        if self.values is not None:
            self._expanded = AxisValues.of(self.values)
        elif (made := self.linspace or self.arange or self.random_orientations) is not None:
            self._expanded = made.values()
        elif not given:
            self._expanded = AxisValues.of([each.name for each in self.alternatives or ()])
        return self

    def _check_path(self) -> None:
        own = "" if self.draw is None else self.draw.default_path()
        if self.random_orientations is not None and self.path not in ("", QUATERNION_PATH):
            raise refusal(f"random orientations set {QUATERNION_PATH}", field="path")
        if own and self.path not in ("", own):
            raise refusal(f"what is drawn sets {own}", field="path", remedy="leave it out")
        # Stored axes always have a path: an empty one sets nothing on purpose.
        named = self.target or "path" in self.model_fields_set
        if not named and self.draw is None and self.alternatives is None:
            raise refusal("is missing", field="path", remedy="name the field this axis sets")

    def _check_alternatives(self, given: list[str]) -> None:
        if self.path:
            problem, remedy = (
                "given together with alternatives",
                "they name the fields that they set",
            )
            raise refusal(problem, field="path", remedy=remedy)
        if len(given) > 1 or not set(given) <= set(_NAMED):
            problem = f"the names of alternatives come from one of {', '.join(_NAMED)}"
            raise refusal(f"{problem}, found {' and '.join(given)}", remedy="or from none: all")
        for place, one in () if self.draw is None else self.draw.leaves():
            if not isinstance(one, ChoiceDraw):
                problem = "draws numbers, where alternatives have names"
                raise refusal(problem, field=f"draw.{place}", remedy="choose among their names")
        places = [] if self.draw is None else [one.values for _, one in self.draw.choices()]
        names = [each.name for each in self.alternatives or ()]
        for value in (*(self.values or ()), *(value for values in places for value in values)):
            if value not in names:
                problem = f"{value!r} is not an alternative"
                raise refusal(problem, field="alternatives", remedy=f"they are {', '.join(names)}")

    @property
    def dimension(self) -> str:
        """Name of the dimension the axis runs along."""
        return self.dim or self.name

    @property
    def target(self) -> str:
        """Dotted path the axis sets; empty where it sets none, or several by alternatives."""
        if self.random_orientations is not None:
            return QUATERNION_PATH
        return self.path or ("" if self.draw is None else self.draw.default_path())

    @property
    def targets(self) -> tuple[str, ...]:
        """Dotted paths of all fields that the axis sets."""
        if self.alternatives is not None:
            paths = (field.path for one in self.alternatives for field in one.sets)
            return tuple(dict.fromkeys(paths))
        return (self.target,) if self.target else ()

    @property
    def size(self) -> int:
        """Number of values."""
        return int(self._expanded.array.shape[0])

    def item(self, index: int) -> Any:  # noqa: ANN401
        """Return the value at a position as plain data."""
        values = self._expanded
        # Every frame of every unit asks this: values without a null need no trip to their own file.
        return values.array[index].tolist() if values.missing is None else values.item(index)

    def settings(self, index: int) -> dict[str, Any]:
        """Return what the value at a position sets, by path."""
        value = self.item(index)
        if self.alternatives is not None:
            return next(one.values() for one in self.alternatives if one.name == value)
        return {self.target: value} if self.target else {}

    @property
    def expanded(self) -> AxisValues:
        """All values of the axis, made once."""
        return self._expanded


def _check_name(word: str, field: str) -> None:
    if not word.isidentifier():
        raise refusal(
            f"{word!r} is not an identifier",
            field=field,
            remedy="use letters, digits and underscores, not starting with a digit",
        )
    if (own := _RESERVED.get(lookalike(word))) is not None:
        looks = "is" if word == own else f"looks like {own!r},"
        raise refusal(f"{word!r} {looks} a name of the stack itself", field=field)


def label_items(axis: AxisSpec) -> list[Any]:
    """Return the labels of an axis as plain data, None of what is null."""
    values = axis.expanded
    return AxisValues(axis_labels(axis), values.missing, values.truths).items()


def axis_labels(axis: AxisSpec) -> NDArray[Any]:
    """Return the labels of an axis, (size,[ components]): files by name, all else as it is."""
    values = axis.expanded.array
    if not names_file(axis.target):
        return values
    texts = [str(value) for value in values.tolist()]
    # Of files that are drawn all count: a name does not depend on which of them were.
    drawn = [] if axis.draw is None else [one.values for _, one in axis.draw.choices()]
    known = dict.fromkeys([*texts, *(str(one) for values in drawn for one in values if one)])
    labels = dict(zip(known, file_labels(list(known)), strict=True))
    return np.array([labels[text] for text in texts])
