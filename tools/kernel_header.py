"""The C++ header that follows from the kernels' table, `distbragg/kernel/table.py`."""

from __future__ import annotations

import math
from collections.abc import Iterator

from distbragg.kernel import table
from distbragg.shapes import SHAPES, ShapeRow

HEADER = "distbragg/kernel/native/src/generated.hpp"

_NOTICE = """\
// Generated from distbragg/kernel/table.py and distbragg/shapes.py by tools/generate_reference.py.
#pragma once

#include <cmath>
#include <cstdint>

#include "madd.hpp"

namespace distbragg {
"""


def header() -> str:
    """Return the text of the header."""
    lines = [
        _NOTICE,
        "// Of the table this was made from: the loader compares it.",
        f'constexpr const char* kTableId = "{table.table_id()}";',
        "",
        *_enumeration("Surface", table.SURFACES),
        *_shapes(),
        *_parameters(),
        *_constants(),
        *_polynomials(),
        "}  // namespace distbragg",
    ]
    return "\n".join(lines) + "\n"


def _enumeration(name: str, members: dict[str, int]) -> Iterator[str]:
    body = ", ".join(f"{_constant(member)} = {code}" for member, code in members.items())
    yield f"enum {name} : std::int64_t {{ {body} }};"
    yield ""


def _shapes() -> Iterator[str]:
    rows: dict[int, ShapeRow] = {}
    for row in SHAPES.values():
        rows.setdefault(row.code, row)
    yield "// Spot shapes by their transform."
    yield from _enumeration("Shape", {row.name: code for code, row in rows.items()})
    yield "// Of a transform: the square of r beyond which it is 0, and c where its square falls as"
    yield "// exp(−c r²)."
    yield "template <int kShape>"
    yield "struct ShapeRow;"
    for row in rows.values():
        yield "template <>"
        yield f"struct ShapeRow<{_constant(row.name)}> {{"
        yield f"  static constexpr double kZeroSquared = {_real(row.zero_radius**2)};"
        yield f"  static constexpr double kDecay = {_real(row.decay)};"
        yield "};"
    radial = [_constant(row.name) for row in rows.values() if row.transform != "interference"]
    yield ""
    yield "// Every transform that is a function of r."
    yield "#define DISTBRAGG_RADIAL_SHAPES(of) " + " ".join(f"of({name})" for name in radial)
    yield ""


def _parameters() -> Iterator[str]:
    yield "// The one structure that crosses the language border."
    yield "struct Parameters {"
    for number, (comment, fields) in enumerate(table.PARAMETERS):
        if number:
            yield ""
        yield from (f"  // {line}" for line in comment.splitlines())
        for field in fields:
            names = ", ".join(field.names.split())
            if "*" in field.kind:
                names = ", *".join(field.names.split())
            note = f"  // {field.comment}" if field.comment else ""
            yield f"  {field.kind} {names};{note}"
    yield "};"
    yield ""


def _constants() -> Iterator[str]:
    for name, number in table.NUMBERS.items():
        yield f"constexpr double {_constant(name)} = {_real(number)};"
    for name, pair in table.PAIRS.items():
        yield "template <class Real>"
        yield (
            f"constexpr Real {_constant(name)} = sizeof(Real) == sizeof(float) "
            f"? Real({pair['float']!r}f) : Real({pair['double']!r});"
        )
    for name, values in table.LISTS.items():
        yield f"constexpr double {_constant(name)}[] = {{"
        yield from (f"    {_real(value)}," for value in values)
        yield "};"
    yield ""


def _polynomials() -> Iterator[str]:
    yield "// From the highest power down, each step one fused multiply-add."
    yield "namespace polynomial {"
    yield ""
    for name, forms in table.POLYNOMIALS.items():
        for kind, (first, *rest) in forms.items():
            mark = "f" if kind == "float" else ""
            yield f"DISTBRAGG_INLINE {kind} {name}({kind} u) {{"
            yield f"  {kind} p = {first!r}{mark};"
            yield from (f"  p = madd(p, u, {value!r}{mark});" for value in rest[:-1])
            yield f"  return madd(p, u, {rest[-1]!r}{mark});"
            yield "}"
            yield ""
    yield "}  // namespace polynomial"
    yield ""


def _constant(name: str) -> str:
    return "k" + "".join(part.capitalize() for part in name.lower().split("_"))


def _real(value: float) -> str:
    return "HUGE_VAL" if math.isinf(value) else repr(value)
