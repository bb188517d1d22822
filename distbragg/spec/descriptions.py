"""What every field means, as the text under it in its model says: the one place of it.

Such a text says meaning and unit, then `Left out:` and the rule that fills the field where it is
not given, then `Example:` and a value in YAML. Editors show it as it stands; the JSON Schema, the
reference pages and the command line take it from here. Importing a model does not read it.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Final

from distbragg.spec.base import SpecModel
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.paths import split_path, submodel

_PARTS: Final = re.compile(r"(.*?)(?: Left out: (.*?)\.?)?(?: Example: (.*))?")


@dataclass(frozen=True, slots=True)
class Description:
    """What a field means; what stands in where it is left out; an example, in YAML."""

    meaning: str
    left_out: str = ""
    example: str = ""


_NONE: Final = Description("")


def describe(path: str) -> Description:
    """Return the description of the field at a dotted path of an experiment; indices may be in it.

    Raises
    ------
    InputError
        There is no such field.
    """
    return field_at(ExperimentSpec, [str(part) for part in split_path(path)])


def field_at(model: type[SpecModel], path: Sequence[str]) -> Description:
    """Return the description of the field of a model at the parts of a path, indices among them."""
    names = [part for part in path if not part.isdecimal()]
    for name in names[:-1]:
        model = submodel(model, name) or model
    return described(model, names[-1])


@cache
def described(model: type[SpecModel], field: str) -> Description:
    """Return the description of a field of a model; an empty one where it has none."""
    for owner in model.__mro__:
        if text := _texts(owner.__module__).get((owner.__name__, field)):
            found = _PARTS.fullmatch(text)
            return Description(*(part or "" for part in found.groups())) if found else _NONE
    return _NONE


@cache
def _texts(module: str) -> dict[tuple[str, str], str]:
    """Return the texts under the attributes of a module's classes, by class and attribute."""
    found: dict[tuple[str, str], str] = {}
    source = inspect.getsource(sys.modules[module]) if module.startswith("distbragg.") else ""
    classes = (part for part in ast.parse(source).body if isinstance(part, ast.ClassDef))
    for owner in classes:
        for pair in pairwise(owner.body):
            match pair:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    found[owner.name, name] = " ".join(text.split())
    return found
