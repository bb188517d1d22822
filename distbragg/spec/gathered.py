"""The sweep of frames that were taken over from other runs.

It lists the values of each axis frame by frame, so that rendering it gives these frames. What is
drawn at random for a frame follows from the number that it had: `noise.frame_shift` says how far
that is from its number now.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from distbragg.errors import InputError
from distbragg.spec.axis import AxisSpec
from distbragg.spec.axis_values import AxisValues
from distbragg.spec.canonical import canonical_json, to_plain
from distbragg.spec.continued import FRAME_SHIFT
from distbragg.spec.paths import split_path, value_at
from distbragg.spec.problems import input_error
from distbragg.spec.sweep import SweepSpec

FRAME: Final = "frame"
"""Dimension of frames that were chosen from a grid of several dimensions."""

_RANDOM: Final = (
    "noise.photon",
    "detector.response",
    "beam.pulse_energy_fraction",
    "crystal.mosaic.per_frame",
    "crystal.drawn_lattices",
)
"""Fields without which nothing is drawn for a frame by its number."""

Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Gathered:
    """A sweep of frames of other sweeps, and the axes that none of these had.

    `places` (frames, 2) int64: of each frame the number of its sweep, and its own number there.
    """

    sweep: SweepSpec
    places: NDArray[np.int64]
    added: tuple[str, ...] = ()


def subset_sweep(sweep: SweepSpec, frames: Sequence[int]) -> Gathered:
    """Return the sweep of some frames, in their order; of a grid along one dimension, `frame`."""
    places = np.stack([np.zeros(len(frames), np.int64), np.asarray(frames, np.int64)], axis=1)
    if not sweep.dims:
        return Gathered(sweep, places)
    names, sizes = zip(*sweep.dims, strict=True)
    dim = names[0] if len(names) == 1 else FRAME
    index = dict(zip(names, np.unravel_index(places[:, 1], sizes), strict=True))
    axes = [
        _listed(axis, dim, axis.expanded.take(index[axis.dimension]))
        for axis in sweep.axes
        if axis.target != FRAME_SHIFT
    ]
    shifts = _shifts(sweep)[places[:, 1]] + places[:, 1] - np.arange(len(frames))
    return _finished(to_plain(sweep.experiment), axes, shifts, dim, places)


def merged_sweep(
    sweeps: Sequence[SweepSpec], names: Sequence[str], vary: Sequence[str] = ()
) -> Gathered:
    """Return the sweep of all frames of several, one after another along their first dimension.

    `names` are those of the runs, for messages. A field of `vary` in which the sweeps differ, or
    of which some have no axis, becomes an axis; other constant fields are those of the first.
    """
    first = _common_dims(sweeps, names)[0]
    axes, added = [], []
    for axis in _axes_of(sweeps, names, first, vary):
        if axis.dimension != first:
            axes.append(_rule(axis, sweeps[0]))
            continue
        columns = [_values(sweep, axis, name) for sweep, name in zip(sweeps, names, strict=True)]
        axes.append(_listed(axis, first, _joined(columns, axis.name)))
    for path in vary:
        if not any(axis["path"] == path for axis in axes):
            found = [
                _constant(sweep, path, name) for sweep, name in zip(sweeps, names, strict=True)
            ]
            sizes = [sweep.dims[0][1] for sweep in sweeps]
            values = [value for value, size in zip(found, sizes, strict=True) for _ in range(size)]
            added.append(_free_name(path, axes))
            axes.append({"name": added[-1], "dim": first, "path": path, "values": values})
    places = _one_after_another(sweeps)
    keys = np.concatenate([_shifts(sweep) + np.arange(sweep.frames) for sweep in sweeps])
    _refuse_twice(axes, first, keys, sweeps, names)
    shifts, per_step = keys - np.arange(len(keys)), sweeps[0].frames // sweeps[0].dims[0][1]
    by_step = shifts.reshape(-1, per_step)
    if (by_step != by_step[:, :1]).any():
        raise InputError(
            f"{FRAME_SHIFT} varies along another dimension than {first!r}",
            source=names[0],
            remedy=f"make it one dimension: `distbragg subset {names[0]}`, then merge",
        )
    made = _finished(to_plain(sweeps[0].experiment), axes, by_step[:, 0], first, places)
    return Gathered(made.sweep, places, (*added, *made.added))


def stacked_sweep(
    sweeps: Sequence[SweepSpec], names: Sequence[str], along: str, vary: Sequence[str]
) -> Gathered:
    """Return the sweep of several with equal axes, along a new first dimension of one step a run.

    The fields of `vary`, in which they differ, are axes along it.
    """
    if not vary:
        raise InputError(
            f"needs the fields that differ along {along!r}",
            source="--along",
            remedy="name each with --vary, e.g. --vary noise.seed",
        )
    plain = [_rule(axis, sweeps[0]) for axis in sweeps[0].axes]
    for number, sweep in enumerate(sweeps[1:], start=1):
        same = len(sweep.axes) == len(sweeps[0].axes) and all(
            (_identity(one), one.expanded) == (_identity(other), other.expanded)
            for one, other in zip(sweep.axes, sweeps[0].axes, strict=True)
        )
        if not same:
            raise InputError(
                f"has other axes than {names[0]}",
                source=names[number],
                remedy="leave --along out: runs are then merged along their first dimension",
            )
    axes: list[Plain] = []
    for path in vary:
        found = [_constant(sweep, path, name) for sweep, name in zip(sweeps, names, strict=True)]
        name = _free_name(path, [*plain, *axes])
        axes.append({"name": name, "dim": along, "path": path, "values": found})
    per_run = sweeps[0].frames
    shifts = np.array([_shifts(sweep) - number * per_run for number, sweep in enumerate(sweeps)])
    if (shifts != shifts[:, :1]).any():
        raise InputError(
            f"{FRAME_SHIFT} varies within the runs",
            source=names[0],
            remedy="leave --along out: runs are then merged along their first dimension",
        )
    made = _finished(
        to_plain(sweeps[0].experiment),
        [*axes, *(axis for axis in plain if axis["path"] != FRAME_SHIFT)],
        shifts[:, 0],
        along,
        _one_after_another(sweeps),
    )
    return Gathered(made.sweep, made.places, (*(axis["name"] for axis in axes), *made.added))


def _finished(
    experiment: Plain,
    axes: Sequence[Plain],
    shifts: NDArray[np.int64],
    dim: str,
    places: NDArray[np.int64],
) -> Gathered:
    """Return the sweep of these axes, whose frames are drawn by the numbers that they had."""
    added: tuple[str, ...] = ()
    noise = {key: value for key, value in experiment["noise"].items() if key != "frame_shift"}
    if (shifts == shifts[0]).all():
        noise |= {"frame_shift": int(shifts[0])} if shifts[0] else {}
    else:
        added = (_free_name(FRAME_SHIFT, axes),)
        shift = {"name": added[0], "dim": dim, "path": FRAME_SHIFT, "values": shifts.tolist()}
        axes = [*axes, shift]
    plain = {"experiment": {**experiment, "noise": noise}, "axes": list(axes)}
    try:
        return Gathered(SweepSpec.model_validate(plain), places, added)
    except ValidationError as error:  # of a name or a field that --along or --vary gave
        raise input_error(error, SweepSpec, "the sweep of all frames") from None


def _listed(axis: AxisSpec, dim: str, values: AxisValues) -> Plain:
    """Return a plain axis that lists its values along a dimension."""
    own = "" if axis.name == dim else dim
    named = {key: value for key, value in to_plain(axis).items() if key == "alternatives"}
    return {"name": axis.name, "dim": own, "path": axis.target, "values": values.items(), **named}


def _rule(axis: AxisSpec, sweep: SweepSpec) -> Plain:
    """Return a plain axis as it is; one that is drawn with its number and seed."""
    plain = to_plain(axis)
    if axis.draw is not None:
        seed = axis.draw.seed if axis.draw.seed is not None else sweep.seed
        plain["draw"] |= {"count": axis.size, "seed": seed or 0}
    return plain


def _identity(axis: AxisSpec) -> tuple[object, ...]:
    """Return what axes have in common that are one axis of several sweeps."""
    return axis.name, axis.targets, axis.alternatives, axis.dimension


def _shifts(sweep: SweepSpec) -> NDArray[np.int64]:
    """Return by how much the number that each frame is drawn by is beyond its own, (frames,)."""
    for axis in sweep.axes:
        if axis.target == FRAME_SHIFT:
            return _by_frame(axis, sweep).astype(np.int64)
    return np.full(sweep.frames, sweep.experiment.noise.frame_shift or 0, np.int64)


def _by_frame(axis: AxisSpec, sweep: SweepSpec) -> NDArray[Any]:
    """Return the values of an axis of numbers frame by frame."""
    names = [name for name, _ in sweep.dims]
    shape = [1] * len(names)
    shape[names.index(axis.dimension)] = -1
    sizes = [size for _, size in sweep.dims]
    return np.broadcast_to(axis.expanded.array.reshape(shape), sizes).reshape(-1)


def values_by_frame(sweep: SweepSpec) -> dict[str, NDArray[Any]]:
    """Return what each axis of single numbers or texts sets, (frames,), by its name."""
    return {
        axis.name: _by_frame(axis, sweep) for axis in sweep.axes if axis.expanded.array.ndim == 1
    }


def _one_after_another(sweeps: Sequence[SweepSpec]) -> NDArray[np.int64]:
    counts = [sweep.frames for sweep in sweeps]
    own = np.concatenate([np.arange(count, dtype=np.int64) for count in counts])
    return np.stack([np.repeat(np.arange(len(counts)), counts), own], axis=1)


def _common_dims(sweeps: Sequence[SweepSpec], names: Sequence[str]) -> list[str]:
    """Return the names of the dimensions, which all have, of equal sizes but for the first."""
    first = [name for name, _ in sweeps[0].dims]
    for sweep, name in zip(sweeps, names, strict=True):
        if not sweep.dims:
            raise InputError("is a single frame, without a dimension to join along", source=name)
        own = [dim for dim, _ in sweep.dims]
        if own != first or sweep.dims[1:] != sweeps[0].dims[1:]:
            raise InputError(
                f"has the dimensions {_product(sweep)}, {names[0]} has {_product(sweeps[0])}",
                source=name,
                remedy="all but the first must agree; `distbragg subset` makes a run of one "
                f"dimension, {FRAME!r}, of a grid",
            )
    return first


def _product(sweep: SweepSpec) -> str:
    return " x ".join(f"{name} {size}" for name, size in sweep.dims)


def _axes_of(
    sweeps: Sequence[SweepSpec], names: Sequence[str], first: str, vary: Sequence[str]
) -> Iterator[AxisSpec]:
    """Yield each axis that any sweep has, once; refuse those that are not one axis of all."""
    seen: dict[str, AxisSpec] = {}
    for sweep, name in zip(sweeps, names, strict=True):
        for axis in sweep.axes:
            other = seen.setdefault(axis.name, axis)
            if _identity(other) != _identity(axis):
                raise InputError(
                    f"{axis.name!r} sets {', '.join(axis.targets)} along {axis.dimension!r}, in "
                    f"{names[0]} {', '.join(other.targets)} along {other.dimension!r}",
                    source=name,
                )
            if axis.dimension != first and axis.expanded != other.expanded:
                raise InputError(f"{axis.name!r} has other values than in {names[0]}", source=name)
    for axis in seen.values():
        for sweep, name in zip(sweeps, names, strict=True):
            there = any(own.name == axis.name for own in sweep.axes)
            if there or axis.target == FRAME_SHIFT:
                continue
            if axis.target not in vary or axis.dimension != first:
                raise InputError(
                    f"has no axis {axis.name!r} ({axis.target})",
                    source=name,
                    remedy=f"--vary {axis.target} takes it from the run's experiment",
                )
        if axis.target != FRAME_SHIFT:
            yield axis


def _values(sweep: SweepSpec, axis: AxisSpec, name: str) -> AxisValues:
    """Return the values of an axis in a sweep, or those of its experiment where it has none."""
    for own in sweep.axes:
        if own.name == axis.name:
            return own.expanded
    value = np.asarray(_constant(sweep, axis.target, name))
    return AxisValues(np.broadcast_to(value, (sweep.dims[0][1], *value.shape)))


def _constant(sweep: SweepSpec, path: str, name: str) -> Any:  # noqa: ANN401
    """Return what a sweep's experiment says of a field in all frames."""
    value = value_at(sweep.experiment, split_path(path, source="--vary"))
    if value is None or isinstance(value, Mapping):
        raise InputError(
            "is not given in the experiment",
            source=name,
            field=path,
            remedy="it cannot be an axis",
        )
    return list(value) if isinstance(value, tuple) else value


def _joined(columns: Sequence[AxisValues], name: str) -> AxisValues:
    arrays = [column.array for column in columns]
    kinds = {"number" if array.dtype.kind in "iuf" else array.dtype.kind for array in arrays}
    shapes = {array.shape[1:] for array in arrays}
    if len(kinds) > 1 or len(shapes) > 1:
        raise InputError(f"the values of {name!r} are of different kinds", field="axes")
    return AxisValues(np.concatenate(arrays), np.concatenate([each.nulls for each in columns]))


def _free_name(path: str, axes: Sequence[Mapping[str, Any]]) -> str:
    """Return a name for an axis that sets a field, which no other axis or dimension has."""
    taken = {axis[key] for axis in axes for key in ("name", "dim")}
    parts = path.split(".")
    for count in range(1, len(parts) + 1):
        name = "_".join(parts[-count:])
        if name not in taken and name.isidentifier():
            return name
    return f"{'_'.join(parts)}_of_run"


def _refuse_twice(
    axes: Sequence[Plain],
    first: str,
    keys: NDArray[np.int64],
    sweeps: Sequence[SweepSpec],
    names: Sequence[str],
) -> None:
    """Refuse an image that is there twice: equal values, and drawn by the same number."""
    columns = [axis["values"] for axis in axes if (axis["dim"] or axis["name"]) == first]
    sizes = [sweep.dims[0][1] for sweep in sweeps]
    steps = sum(sizes)
    drawn = any(_is_random(sweep) for sweep in sweeps)
    numbers = keys.reshape(steps, -1)[:, 0].tolist() if drawn else [0] * steps
    owner = [number for number, size in enumerate(sizes) for _ in range(size)]
    seen: dict[str, int] = {}
    for step, row in enumerate(zip(*columns, numbers, strict=True)):
        before = seen.setdefault(canonical_json(list(row)), step)
        if before != step:
            one, other = names[owner[before]], names[owner[step]]
            raise InputError(
                f"holds the same frame as {one}: step {before} along {first!r} is step {step}",
                source=other,
                remedy="take the others with `distbragg subset`, then merge",
            )


def _is_random(sweep: SweepSpec) -> bool:
    """Whether anything is drawn for a frame by its number."""
    swept = any(path.startswith(_RANDOM) for path in sweep.swept)
    return swept or any(value_at(sweep.experiment, split_path(path)) for path in _RANDOM)


def unit_frames(shape: Sequence[int], frames: int) -> int:
    """Return how many frames a unit of a run along one dimension has, where a grid had `shape`."""
    return min(math.prod(shape), frames)
