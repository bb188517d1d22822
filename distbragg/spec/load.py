"""Specification files in: YAML and `--set` overrides to specifications, or one `InputError`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from pydantic import ValidationError

from distbragg.errors import InputError
from distbragg.spec.axis import AxisSpec
from distbragg.spec.base import SpecModel
from distbragg.spec.canonical import to_plain
from distbragg.spec.draw import DrawSpec
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.files import Spec, absolute_files, check_under, file_fields
from distbragg.spec.paths import (
    path_of_today,
    plain_of_today,
    plain_parts,
    split_path,
    with_value,
)
from distbragg.spec.problems import input_error
from distbragg.spec.sweep import SweepSpec
from distbragg.spec.vector_draws import NormalsDraw
from distbragg.spec.yaml_text import as_mapping, parse_yaml, read_yaml_mapping

_SWEEP_KEYS = ("experiment", "axes", "count", "seed")
_SPLIT_FIELD = partial(split_path, source="--set")

Model = TypeVar("Model", bound=SpecModel)

CRYSTAL_LISTS: Final = (".expt", ".stream")
"""Suffixes of tables that have a row for each crystal, and no columns of their own."""


@dataclass(frozen=True, slots=True)
class TableOf:
    """What the values of a table are for."""

    target: str  # the field that the axis sets
    lattices: int | None  # how many a frame of crystals must have
    experiment: ExperimentSpec  # what the sweep changes


class TableReader(Protocol):
    """Reads the rows of a table: those of some columns, or what an axis has a use for."""

    def __call__(
        self, path: Path, columns: Sequence[str] | None, of: TableOf | None = None, /
    ) -> list[Any]:
        """Return a row, or one value, for each position of the axis."""


"""Reads rows of the named columns from a file; this layer reads no files but specifications."""


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where plain data comes from."""

    source: str = ""  # its name in messages
    folder: str | Path | None = None  # of relative file names; without it they stay as written
    root: str | Path | None = None  # every file must lie in it

    def beside(self, name: str, field: str, source: str = "") -> Path:
        """Path of another file that a field of the data names."""
        path = Path(name) if self.folder is None else Path(self.folder) / name
        if self.root is not None:
            check_under(path, self.root, source=source, field=field)
        return path

    def validated(self, model: type[Model], data: Mapping[str, Any]) -> Model:
        """Validate data, with every problem as one `InputError`."""
        try:
            return model.model_validate(data)
        except InputError as error:
            raise error.placed(source=error.source or self.source) from None
        except ValidationError as error:
            raise input_error(error, model, self.source) from None
        except (RecursionError, OverflowError) as error:
            raise InputError(f"cannot be used: {error}", source=self.source) from None

    def with_files(self, spec: Spec) -> Spec:
        """Take the files of a specification from the folder, and refuse those outside the root."""
        placed = spec if self.folder is None else absolute_files(spec, self.folder)
        if self.root is not None:
            for path, name in file_fields(placed):
                check_under(name, self.root, source=self.source, field=path)
        return placed


def is_sweep(data: Mapping[str, Any]) -> bool:
    """Whether plain data is that of a sweep, not of an experiment."""
    return any(key in data for key in _SWEEP_KEYS)  # none of which is a field of an experiment


def load_spec(
    path: str | Path, overrides: Sequence[str] = (), *, root: str | Path | None = None
) -> ExperimentSpec:
    """Read the specification of one experiment.

    Parameters
    ----------
    path : path of a YAML file
        Relative file names in it are taken from its folder.
    overrides : sequence of "dotted.path=value"
        Values are YAML; relative file names in them are taken from the same folder.
    root : path, optional
        Every file that is named must lie in this folder, links and `..` followed: for
        specifications from elsewhere.

    Returns
    -------
    ExperimentSpec
        Checked; what it leaves out has the defaults.

    Raises
    ------
    InputError
        The file cannot be read, or a field of it cannot be used.
    """
    data = read_yaml_mapping(path)
    if is_sweep(data):
        raise InputError(
            "is a sweep, where one experiment is needed",
            source=str(path),
            remedy="use `distbragg sweep`, or load_sweep in Python",
        )
    data = apply_overrides(data, overrides)
    with _naming(overrides):
        return parse_spec(data, source=str(path), base_dir=Path(path).parent, root=root)


def parse_spec(
    mapping: Mapping[str, Any],
    *,
    source: str = "",
    base_dir: str | Path | None = None,
    root: str | Path | None = None,
) -> ExperimentSpec:
    """Validate plain data, as YAML or JSON gives them, as the specification of one experiment.

    `source`: name for messages. `base_dir`: folder from which relative file names are taken;
    without it they stay as written. `root` as in `load_spec`.
    """
    origin = _Origin(source, base_dir, root)
    data = as_mapping(mapping, source=source)
    return origin.with_files(origin.validated(ExperimentSpec, data))


def parse_sweep(
    mapping: Mapping[str, Any],
    *,
    source: str = "",
    base_dir: str | Path | None = None,
    overrides: Sequence[str] = (),
    root: str | Path | None = None,
    tables: TableReader | None = None,
) -> SweepSpec:
    """Validate plain data as a sweep: `experiment` (inline, or a file's path) and `axes`.

    Overrides set fields of the experiment (`beam.energy_ev=9000`, with or without a leading
    `experiment.`), of the axes (`axes.0.linspace.count=5`), or `count` and `seed` of draws.
    `tables` reads the rows of an axis's table; without it such an axis is refused. The others are
    those of `parse_spec`.
    """
    origin = _Origin(source, base_dir, root)
    data = as_mapping(mapping, source=source)
    for key in data:
        if key not in _SWEEP_KEYS:
            raise InputError(
                "unknown key",
                source=source,
                field=key,
                remedy="a sweep has `experiment`, `axes`, `count` and `seed`; fields belong under "
                "`experiment`",
            )
    on_axes = [item for item in overrides if item.startswith(("axes.", "count=", "seed="))]
    on_experiment = [item.removeprefix("experiment.") for item in overrides if item not in on_axes]
    with _naming(overrides):
        data = apply_overrides(data, on_axes, plain_parts)
        experiment = _parse_experiment(data.get("experiment"), origin, on_experiment)
        axes = _parse_axes(data.get("axes"), origin, tables, experiment)
        _refuse_swept(on_experiment, axes)
        parts = {**data, "experiment": experiment, "axes": axes}
        sweep = origin.validated(SweepSpec, parts)
        return origin.with_files(sweep)


def apply_overrides(
    mapping: Mapping[str, Any],
    overrides: Sequence[str],
    split: Callable[[str], tuple[str | int, ...]] = _SPLIT_FIELD,
) -> dict[str, Any]:
    """Return plain data with "dotted.path=value" overrides applied in order."""
    named = split is _SPLIT_FIELD and bool(overrides)
    data: object = plain_of_today(mapping) if named else dict(mapping)
    for item in overrides:
        path, sign, text = item.partition("=")
        path = path.strip()
        if not sign or not path:
            raise InputError(
                f"{item!r} is not an assignment",
                source="--set",
                remedy="write --set dotted.path=value",
            )
        value = parse_yaml(text, source=f"--set {path}")
        data = with_value(data, split(path), value, path=path, source="--set")
    return as_mapping(data)


@contextmanager
def _naming(overrides: Sequence[str]) -> Iterator[None]:
    """Name `--set` in place of the file where a value that it gave is refused."""
    try:
        yield
    except InputError as error:
        field = error.field.removeprefix("experiment.")
        for item in overrides:
            path = item.partition("=")[0].strip().removeprefix("experiment.")
            if field == path or field.startswith(f"{path}."):
                raise error.placed(source="--set") from None
        raise


@contextmanager
def _within(place: str) -> Iterator[None]:
    """Put the place of a part of the file before the fields that its errors name."""
    try:
        yield
    except InputError as error:
        field = f"{place}.{error.field}" if error.field else place
        raise error.placed(field=field) from None


def _parse_axes(
    axes: object, origin: _Origin, tables: TableReader | None, experiment: ExperimentSpec
) -> list[AxisSpec]:
    if not isinstance(axes, list | tuple | None):
        raise InputError("needs a list of axes", source=origin.source, field="axes")
    parsed = []
    for position, axis in enumerate(axes or ()):
        with _within(f"axes.{position}"):
            if not isinstance(axis, Mapping):
                problem = "needs a mapping with name, path and values"
                raise InputError(problem, source=origin.source)
            parsed.append(_parse_axis(axis, origin, tables, experiment))
    return parsed


def _parse_axis(
    plain: Mapping[str, Any],
    origin: _Origin,
    tables: TableReader | None,
    experiment: ExperimentSpec,
) -> AxisSpec:
    """Validate an axis, and put a table's values in its place."""
    axis = origin.validated(AxisSpec, plain)
    if tables is None:
        return axis
    if axis.draw is not None:
        return _with_covariances(axis, axis.draw, origin, tables)
    if axis.table is None:
        return axis
    path = origin.beside(axis.table.file, "table.file")
    single = axis.table.column
    asked = TableOf(axis.target, axis.table.lattices, experiment)
    rows = tables(path, axis.table.columns if single is None else (single,), asked)
    one = single is not None and path.suffix not in CRYSTAL_LISTS
    values = [row[0] for row in rows] if one else rows
    rest = {key: value for key, value in plain.items() if key != "table"}
    return origin.validated(AxisSpec, {**rest, "values": values})


def _with_covariances(
    axis: AxisSpec, draw: DrawSpec, origin: _Origin, tables: TableReader
) -> AxisSpec:
    """Put the numbers of covariances in files in their place."""
    for place, one in draw.leaves():
        if isinstance(one, NormalsDraw) and one.covariance_file is not None:
            field = f"draw.{place}"
            rows = tables(origin.beside(one.covariance_file, f"{field}.covariance_file"), ())
            read = {"mean": one.mean, "covariance": rows}
            plain = with_value(to_plain(axis, unset=False), plain_parts(field), read, path=field)
            axis = origin.validated(AxisSpec, as_mapping(plain))
    return axis


def _parse_experiment(
    experiment: object, origin: _Origin, overrides: Sequence[str]
) -> ExperimentSpec:
    source = origin.source
    if isinstance(experiment, str):
        path = origin.beside(experiment, "experiment", source)
        return load_spec(path, overrides, root=origin.root)
    if experiment is None:
        raise InputError(
            "is missing",
            source=source,
            field="experiment",
            remedy="write the experiment inline or give the path of its file",
        )
    if not isinstance(experiment, Mapping):
        raise InputError(
            "needs a mapping of fields or the path of a file", source=source, field="experiment"
        )
    data = apply_overrides(as_mapping(experiment, source=source), overrides)
    with _within("experiment"):
        return parse_spec(data, source=source, base_dir=origin.folder)


def _refuse_swept(overrides: Sequence[str], axes: Sequence[AxisSpec]) -> None:
    names = {path: axis.name for axis in axes for path in axis.targets}
    for item in overrides:
        path = path_of_today(item.partition("=")[0].strip())
        if path in names:
            problem = f"{path} is swept by the axis {names[path]!r}"
            raise InputError(problem, source="--set", remedy="change the axis instead")
