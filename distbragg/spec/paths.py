"""Dotted paths into a specification: which exist, what lies there, and what a typo meant."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, get_origin

from distbragg.errors import InputError
from distbragg.spec.base import FileField, SpecModel, annotation_parts, tell_former
from distbragg.spec.crystal import CrystalSpec
from distbragg.spec.experiment import ExperimentSpec

_CONTENT: Final = re.compile(r"[0-9a-f]{64}")
_SHOWN_DIGITS: Final = 8

_UNITS: Final = {
    "photons": "photons",
    "adu_per_photon": "ADU photon-1",
    "adu": "ADU",
    "photons_per_m2": "photons m-2",
    "photons_per_s": "photons s-1",
    "g_per_cm3": "g cm-3",
    "g_per_mol": "g mol-1",
    "e_per_a3": "angstrom-3",
    "angstrom2": "angstrom2",
    "angstrom": "angstrom",
    "percent": "percent",
    "electrons": "electrons",
    "mrad": "mrad",
    "deg": "degree",
    "mm": "mm",
    "um": "um",
    "ev": "eV",
    "px": "pixel",
    "gb": "GB",
    "m": "m",
    "s": "s",
}
"""Units in the spelling of udunits, by the ending of a field's name; the longest come first."""

_LIKE: Final = 0.65
_OF_A_SIBLING: Final = 0.05
_BUT_FOR_THE_UNIT: Final = 0.95
_CENTRE: Final = (
    "the beam centre is detector.xbeam_mm and detector.ybeam_mm (mm, as the convention writes "
    "them), or detector.orgx_px and detector.orgy_px (pixels)"
)
_ELSEWHERE: Final = {
    **dict.fromkeys(
        ("beam_center", "beam_centre", "beam_center_px", "beam_centre_px", "beam_center_mm",
         "beam_centre_mm", "beam_center_x", "beam_center_y", "beam_x", "beam_y", "beam_xy"),
        _CENTRE,
    ),
    "symmetry": "did you mean structure_factors.space_group?",
    "unit_cell": "did you mean crystal.cell?",
    "mosaicity": "did you mean crystal.mosaic.spread_deg?",
    **dict.fromkeys(("ncells", "n_cells", "ncells_abc"), "did you mean crystal.block_cells?"),
    **dict.fromkeys(("u", "umat", "orientation"), "did you mean crystal.u_matrix?"),
    **dict.fromkeys(("polarisation", "polarization_fraction", "fraction"),
                    "beam.polarization.kahn_factor is 2 f - 1 of a polarisation fraction f"),
}  # fmt: skip
"""What other programs call it: the remedy by name."""


@cache
def submodel(model: type[SpecModel], field: str) -> type[SpecModel] | None:
    """Return the model class a field holds, looking through `| None` and tuples."""
    info = model.model_fields.get(field)
    for part in () if info is None else annotation_parts(info.annotation):
        if isinstance(part, type) and issubclass(part, SpecModel):
            return part
    return None


@cache
def holds_list(model: type[SpecModel], field: str) -> bool:
    """Whether a field may hold a list, whose elements a path may index."""
    parts = annotation_parts(model.model_fields[field].annotation)
    return any(get_origin(part) is tuple for part in parts)


def field_paths(model: type[SpecModel] = ExperimentSpec, prefix: str = "") -> Iterator[str]:
    """Every dotted path of a model, branches before their leaves."""
    for name in model.model_fields:
        path = f"{prefix}{name}"
        yield path
        inner = submodel(model, name)
        if inner is not None and not holds_list(model, name):
            yield from field_paths(inner, f"{path}.")


@cache
def file_paths() -> frozenset[tuple[str, ...]]:
    """Names along the path of every field that is marked as a file, list indices left out."""
    return frozenset(_file_paths(ExperimentSpec))


def _file_paths(model: type[SpecModel]) -> Iterator[tuple[str, ...]]:
    for name, info in model.model_fields.items():
        if FileField() in (*info.metadata, *annotation_parts(info.annotation)):
            yield (name,)
        inner = submodel(model, name)
        if inner is not None:
            yield from ((name, *rest) for rest in _file_paths(inner))


def names_file(path: str) -> bool:
    """Whether the field at a dotted path, with or without list indices, names a file."""
    return tuple(part for part in path.split(".") if not part.isdecimal()) in file_paths()


def overlap(first: str, second: str) -> bool:
    """Whether two paths are of one field, or one of a group that holds the other."""
    return f"{first}.".startswith(f"{second}.") or f"{second}.".startswith(f"{first}.")


def suggestion(key: str, model: type[SpecModel], prefix: str = "") -> str:
    """Remedy for an unknown key: what it is called here, or the name that is most like it.

    A name is compared with its siblings, and with the last and the last two parts of every path:
    `crystal.mosaic_spread_deg` is `crystal.mosaic.spread_deg`.
    """
    siblings = {name: f"{prefix}{name}" for name in model.model_fields}
    known = _known_names() if model is ExperimentSpec or prefix else {}
    if key in known:
        return f"did you mean {known[key]}?"
    if known and key.lower() in _ELSEWHERE:
        return _ELSEWHERE[key.lower()]
    scored = [(_likeness(key, name) + _OF_A_SIBLING, path) for name, path in siblings.items()]
    scored += [(_likeness(key, name), path) for name, path in known.items()]
    likeness, path = max(scored)
    if likeness >= _LIKE:
        (stem, _, end), leaf = key.rpartition("_"), path.rpartition(".")[2]
        other = stem and leaf.startswith(f"{stem}_") and not leaf.endswith(f"_{end}")
        unit = f" (its unit is {unit_of(path)})" if other and unit_of(path) != "1" else ""
        return f"did you mean {path}?{unit}"
    return f"known keys are {', '.join(model.model_fields)}"


@cache
def _known_names() -> dict[str, str]:
    """Paths by their last part, and by their last two joined as one name."""
    found: dict[str, str] = {}
    for path in field_paths():
        parts = path.split(".")
        for name in (parts[-1], "_".join(parts[-2:])):
            found.setdefault(name, path)
    return found


def _likeness(key: str, name: str) -> float:
    if name.lower().startswith(f"{key.lower()}_"):
        return _BUT_FOR_THE_UNIT
    return difflib.SequenceMatcher(None, key.lower(), name.lower()).ratio()


def plain_parts(path: str) -> tuple[str | int, ...]:
    """Split a dotted path into names and list indices, whatever they lead to."""
    parts = path.split(".")
    return tuple(int(part) if part.isdecimal() and len(part) < 10 else part for part in parts)


def split_path(path: str, *, source: str = "") -> tuple[str | int, ...]:
    """Check a dotted path against `ExperimentSpec` and split it; list indices become integers."""
    parts: list[str | int] = []
    model: type[SpecModel] | None = ExperimentSpec
    list_open = False
    for part in path.split("."):
        if list_open and part.isdecimal() and len(part) < 10:
            parts.append(int(part))
            list_open = False
            continue
        if model is not None and not list_open:
            part = _today(model, part)
        if model is None or list_open or part not in model.model_fields:
            raise InputError(
                f"no field {path!r} in an experiment",
                source=source,
                remedy=_remedy(path, part, None if list_open else model),
            )
        parts.append(part)
        list_open = holds_list(model, part)
        model = submodel(model, part)
    return tuple(parts)


def _today(model: type[SpecModel], name: str) -> str:
    """Return the name that a field has today, and tell of a former one."""
    if (new := model.former.get(name)) is None:
        return name
    tell_former(name, new)
    return new


def plain_of_today(node: Any, model: type[SpecModel] | None = ExperimentSpec) -> Any:  # noqa: ANN401
    """Return plain data of a model with the names of today; a name beside its former one stays."""
    if isinstance(node, list | tuple):
        return [plain_of_today(item, model) for item in node]
    if model is None or not isinstance(node, Mapping):
        return node
    names = {old: new for old, new in model.former.items() if old in node and new not in node}
    for old, new in names.items():
        tell_former(old, new)
    renamed = ((names.get(name, name), value) for name, value in node.items())
    return {name: plain_of_today(value, submodel(model, name)) for name, value in renamed}


def path_of_today(path: str) -> str:
    """Return a dotted path with the names of today; one that leads nowhere as it is."""
    try:
        return ".".join(map(str, split_path(path))) if path else path
    except InputError:
        return path


def _remedy(path: str, part: str, model: type[SpecModel] | None) -> str:
    """Suggest a field for a path that fails at `part`, a key of `model`."""
    before, _, last = path.rpartition(".")
    if model is not None and last == part:
        return suggestion(part, model, f"{before}." if before else "")
    lowered = {known.lower(): known for known in field_paths()}
    found = difflib.get_close_matches(path.lower(), lowered, n=1, cutoff=0.55)
    return f"did you mean {lowered[found[0]]}?" if found else "see the list of fields"


def ends_at_group(parts: tuple[str | int, ...]) -> bool:
    """Whether a path that `split_path` checked ends at a group of fields or a list element."""
    model: type[SpecModel] | None = ExperimentSpec
    is_list = False
    for part in parts:
        is_list = False
        if isinstance(part, str) and model is not None:
            is_list = holds_list(model, part)
            model = submodel(model, part)
    return model is not None and not is_list


def default_at(parts: tuple[str | int, ...]) -> Any:  # noqa: ANN401
    """Return what stands in a field at checked parts of a path where it is not given.

    A crystal that is null is none: a miss.
    """
    if parts == ("crystal",):
        return CrystalSpec(present=False)
    model: type[SpecModel] = ExperimentSpec
    for part in parts[:-1]:
        model = (submodel(model, part) or model) if isinstance(part, str) else model
    last = parts[-1]
    return model.model_fields[last].get_default() if isinstance(last, str) else None


def with_value(
    node: Any,  # noqa: ANN401
    parts: tuple[str | int, ...],
    value: object,
    *,
    path: str,
    source: str = "",
) -> object:
    """Return a copy of plain nested data with `value` at `parts`; siblings are shared."""
    if not parts:
        return value
    head, rest = parts[0], parts[1:]
    if isinstance(head, int):
        if not isinstance(node, list | tuple) or head >= len(node):
            raise InputError(
                f"there is no element {head} to set",
                source=source,
                field=path,
                remedy="give the whole list first",
            )
        items = list(node)
        items[head] = with_value(items[head], rest, value, path=path, source=source)
        return items
    if isinstance(node, SpecModel):
        node = vars(node)
    elif node is None:
        node = {}
    if not isinstance(node, Mapping):
        raise InputError(
            f"{head!r} is set inside something that is not a mapping", source=source, field=path
        )
    copy = dict(node)
    copy[head] = with_value(copy.get(head), rest, value, path=path, source=source)
    return copy


def value_at(node: Any, parts: tuple[str | int, ...]) -> Any:  # noqa: ANN401
    """Return what lies at `parts` in a specification or in plain nested data, or None."""
    for part in parts:
        if node is None:
            return None
        if isinstance(part, int):
            node = node[part] if part < len(node) else None
        elif isinstance(node, Mapping):
            node = node.get(part)
        else:
            node = getattr(node, part)
    return node


def unit_of(path: str) -> str:
    """Return the unit of a field, in the spelling of udunits, or "1", as of a whole unit cell."""
    parts = path.split(".")
    index = int(parts.pop()) if parts[-1].isdecimal() else None
    if parts[-2:] == ["crystal", "cell"]:
        return "1" if index is None else ("angstrom" if index < 3 else "degree")
    if parts[-1] == "cell_change_percent_deg":
        return "1" if index is None else ("percent" if index < 3 else "degree")
    for suffix, unit in _UNITS.items():
        if parts[-1].endswith(f"_{suffix}"):
            return unit
    return "1"


def file_labels(paths: Sequence[str]) -> list[str]:
    """Name files by their last part, and by as many more as tell apart files of one name.

    A folder named by the content of its file (SHA-256), as a run keeps its inputs, is shortened
    to eight digits.
    """
    parts = {path: _parts(path) for path in paths}
    labels = {path: own[-1] for path, own in parts.items()}
    deepest = max((len(own) for own in parts.values()), default=0)
    for depth in range(2, deepest + 1):
        shared = {label for label, count in Counter(labels.values()).items() if count > 1}
        for path in [path for path, label in labels.items() if label in shared]:
            labels[path] = "/".join(parts[path][-depth:])
    return [labels[path] for path in paths]


def _parts(path: str) -> list[str]:
    own = [part for part in path.removeprefix("input:").replace("\\", "/").split("/") if part]
    shown = [p[:_SHOWN_DIGITS] if _CONTENT.fullmatch(p) else p for p in own[:-1]]
    return [*shown, own[-1]] if own else [path]
