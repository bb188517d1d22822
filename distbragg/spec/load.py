"""Specification files in: YAML and `--set` overrides to validated specifications.

Every problem becomes one `InputError` that names the file, the field and the remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from distbragg.errors import InputError
from distbragg.spec.axis import AxisSpec
from distbragg.spec.base import SpecModel
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.files import absolute_files, check_under, confine_files
from distbragg.spec.paths import split_path, with_value
from distbragg.spec.problems import input_error
from distbragg.spec.sweep import SweepSpec
from distbragg.spec.yaml_text import as_mapping, parse_yaml, read_yaml_mapping

_SWEEP_KEYS = ("experiment", "axes")

Model = TypeVar("Model", bound=SpecModel)

TableReader = Callable[[Path, Sequence[str] | None], list[list[Any]]]
"""Reads rows of the named columns from a file; this layer reads no files but specifications."""


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

    Raises
    ------
    InputError
    """
    data = read_yaml_mapping(path)
    if any(key in data for key in _SWEEP_KEYS):
        raise InputError(
            "is a sweep, where one experiment is needed",
            source=str(path),
            remedy="use `distbragg sweep`, or load_sweep in Python",
        )
    data = apply_overrides(data, overrides)
    try:
        return parse_spec(data, source=str(path), base_dir=Path(path).parent, root=root)
    except InputError as error:
        raise _of_override(error, overrides) from None


def parse_spec(
    mapping: Mapping[str, Any],
    *,
    source: str = "",
    base_dir: str | Path | None = None,
    root: str | Path | None = None,
) -> ExperimentSpec:
    """Validate plain data as the specification of one experiment.

    Parameters
    ----------
    mapping : mapping
        Plain data, as YAML or JSON gives them.
    source : str
        Name for messages.
    base_dir : path, optional
        Folder from which relative file names are taken; without it they stay as written.
    root : path, optional
        As in `load_spec`.

    Raises
    ------
    InputError
    """
    spec = _validate(ExperimentSpec, as_mapping(mapping, source=source), source)
    spec = spec if base_dir is None else absolute_files(spec, base_dir)
    if root is not None:
        confine_files(spec, root, source=source)
    return spec


def load_sweep(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    root: str | Path | None = None,
    tables: TableReader | None = None,
) -> SweepSpec:
    """Read a sweep: `experiment:` (inline, or the path of its own file) and `axes:`.

    Overrides set fields of the experiment (`beam.energy_ev=9000`, with or without a leading
    `experiment.`) or of the axes (`axes.0.linspace.count=5`). `root` as in `load_spec`, `tables`
    as in `parse_sweep`.

    Raises
    ------
    InputError
    """
    data = read_yaml_mapping(path)
    if not any(key in data for key in _SWEEP_KEYS):
        raise InputError(
            "has no `experiment:` and no `axes:`",
            source=str(path),
            remedy="use `distbragg render` for a single experiment",
        )
    try:
        return parse_sweep(
            data,
            source=str(path),
            base_dir=Path(path).parent,
            overrides=overrides,
            root=root,
            tables=tables,
        )
    except InputError as error:
        raise _of_override(error, overrides) from None


def load_any(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    root: str | Path | None = None,
    tables: TableReader | None = None,
) -> SweepSpec:
    """Read a sweep, or a single experiment as a sweep without axes; see `load_sweep`.

    Raises
    ------
    InputError
    """
    data = read_yaml_mapping(path)
    if any(key in data for key in _SWEEP_KEYS):
        return load_sweep(path, overrides, root=root, tables=tables)
    return SweepSpec(experiment=load_spec(path, overrides, root=root))


def parse_sweep(
    mapping: Mapping[str, Any],
    *,
    source: str = "",
    base_dir: str | Path | None = None,
    overrides: Sequence[str] = (),
    root: str | Path | None = None,
    tables: TableReader | None = None,
) -> SweepSpec:
    """Validate plain data as a sweep; see `parse_spec` and `load_sweep`.

    `tables` reads the rows of an axis's table; without it such an axis is refused.

    Raises
    ------
    InputError
    """
    data = as_mapping(mapping, source=source)
    for key in data:
        if key not in _SWEEP_KEYS:
            raise InputError(
                "unknown key",
                source=source,
                field=key,
                remedy="a sweep has `experiment` and `axes`; fields belong under `experiment`",
            )
    on_axes = [item for item in overrides if item.startswith("axes.")]
    on_experiment = [item.removeprefix("experiment.") for item in overrides if item not in on_axes]
    data = _override_axes(data, on_axes)
    reader = tables if root is None else _under(root, tables)
    axes = _parse_axes(data.get("axes"), source, base_dir, reader)
    _refuse_swept(on_experiment, axes)
    experiment = _parse_experiment(data.get("experiment"), source, base_dir, on_experiment, root)
    try:
        sweep = SweepSpec(experiment=experiment, axes=axes)
    except InputError as error:
        raise _placed(error, source) from None
    except ValidationError as error:
        raise input_error(error, SweepSpec, source) from None
    sweep = sweep if base_dir is None else absolute_files(sweep, base_dir)
    if root is not None:
        confine_files(sweep, root, source=source)
    return sweep


def apply_overrides(mapping: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return plain experiment data with "dotted.path=value" overrides applied in order.

    Raises
    ------
    InputError
        No `=`, no YAML value, or no such path (the remedy gives the nearest).
    """
    data: object = dict(mapping)
    for item in overrides:
        path, value = split_override(item)
        parts = split_path(path, source="--set")
        data = with_value(data, parts, value, path=path, source="--set")
    return dict(as_mapping(data))


def split_override(item: str) -> tuple[str, object]:
    """Split "dotted.path=value" and read the value as YAML."""
    path, sign, text = item.partition("=")
    if not sign or not path.strip():
        raise InputError(
            f"{item!r} is no assignment", source="--set", remedy="write --set dotted.path=value"
        )
    return path.strip(), parse_yaml(text, source=f"--set {path.strip()}")


def _of_override(error: InputError, overrides: Sequence[str]) -> InputError:
    """Name `--set` in place of the file where a value that it gave is refused."""
    field = error.field.removeprefix("experiment.")
    for item in overrides:
        path = item.partition("=")[0].strip().removeprefix("experiment.")
        if field == path or field.startswith(f"{path}."):
            return InputError(error.problem, source="--set", field=error.field, remedy=error.remedy)
    return error


def _validate(model: type[Model], data: Mapping[str, Any], source: str) -> Model:
    try:
        return model.model_validate(data)
    except InputError as error:
        raise _placed(error, source) from None
    except ValidationError as error:
        raise input_error(error, model, source) from None
    except (RecursionError, OverflowError) as error:
        raise InputError(f"cannot be used: {error}", source=source) from None


def _placed(error: InputError, source: str) -> InputError:
    return InputError(
        error.problem, source=error.source or source, field=error.field, remedy=error.remedy
    )


def _under(root: str | Path, tables: TableReader | None) -> TableReader | None:
    """Return a reader that reads below `root` alone."""
    if tables is None:
        return None
    reader = tables

    def read(path: Path, columns: Sequence[str] | None) -> list[list[Any]]:
        check_under(path, root, field="table.file")
        return reader(path, columns)

    return read


def _override_axes(data: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    changed: object = data
    for item in overrides:
        path, value = split_override(item)
        parts = tuple(
            int(part) if part.isdecimal() and len(part) < 10 else part for part in path.split(".")
        )
        changed = with_value(changed, parts, value, path=path, source="--set")
    return as_mapping(changed)


def _parse_axis(
    plain: Mapping[str, Any], source: str, base_dir: str | Path | None, tables: TableReader | None
) -> AxisSpec:
    """Validate an axis, and put a table's values in its place."""
    axis = _validate(AxisSpec, plain, source)
    if axis.table is None or tables is None:
        return axis
    path = Path(axis.table.file)
    path = path if base_dir is None else Path(base_dir) / path
    single = axis.table.column
    rows = tables(path, axis.table.columns if single is None else (single,))
    values = rows if single is None else [row[0] for row in rows]
    rest = {key: value for key, value in plain.items() if key != "table"}
    return _validate(AxisSpec, {**rest, "values": values}, source)


def _parse_axes(
    axes: object, source: str, base_dir: str | Path | None, tables: TableReader | None
) -> tuple[AxisSpec, ...]:
    if axes is None:
        return ()
    if not isinstance(axes, list | tuple):
        raise InputError("needs a list of axes", source=source, field="axes")
    parsed = []
    for position, axis in enumerate(axes):
        if not isinstance(axis, Mapping):
            raise InputError(
                "needs a mapping with name, path and values",
                source=source,
                field=f"axes.{position}",
            )
        try:
            parsed.append(_parse_axis(axis, source, base_dir, tables))
        except InputError as error:
            field = ".".join(part for part in (f"axes.{position}", error.field) if part)
            raise InputError(
                error.problem, source=error.source, field=field, remedy=error.remedy
            ) from None
    return tuple(parsed)


def _parse_experiment(
    experiment: object,
    source: str,
    base_dir: str | Path | None,
    overrides: Sequence[str],
    root: str | Path | None,
) -> ExperimentSpec:
    if isinstance(experiment, str):
        path = Path(experiment) if base_dir is None else Path(base_dir) / experiment
        if root is not None:
            check_under(path, root, source=source, field="experiment")
        return load_spec(path, overrides, root=root)
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
    try:
        return parse_spec(data, source=source, base_dir=base_dir)
    except InputError as error:
        field = ".".join(part for part in ("experiment", error.field) if part)
        raise InputError(
            error.problem, source=error.source, field=field, remedy=error.remedy
        ) from None


def _refuse_swept(overrides: Sequence[str], axes: Sequence[AxisSpec]) -> None:
    for item in overrides:
        path = item.partition("=")[0].strip()
        for axis in axes:
            if axis.target == path:
                raise InputError(
                    f"{path} is swept by the axis {axis.name!r}",
                    source="--set",
                    remedy="change the axis instead",
                )
