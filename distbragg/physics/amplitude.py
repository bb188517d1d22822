"""|F| of the unit cell: that of the nearest grid point, or of a tricubic polynomial."""

from __future__ import annotations

from dataclasses import dataclass, replace

from distbragg.physics.arrays import Array, Triple, constant, module_of, root, whole_numbers


@dataclass(frozen=True, slots=True)
class AmplitudeTable:
    """|F| as one flat array."""

    values: Array
    """(nh·nk·nl + 1,) electrons, row-major over (h, k, l); the last is the default amplitude."""
    shape: tuple[int, int, int]
    origin: tuple[int, int, int]  # lowest h, k, l
    interpolate: bool
    squares: Array | None = None
    """(tables, nh·nk·nl + 1), electrons², in the place of `values` where |F| follows the energy."""
    coefficients: Array | None = None  # (tables,), of one source

    def of_source(self, coefficients: Array | None) -> AmplitudeTable:
        """Return the table of one source; the same for all where |F| does not follow the energy."""
        return self if self.squares is None else replace(self, coefficients=coefficients)


def cell_amplitude(table: AmplitudeTable, indices: Triple, nearest: Triple) -> Array:
    """Return |F|, electrons, of fractional h, k, l whose nearest points are ceil(h − ½) and so on.

    A float, the default amplitude, where there is no table. The derivative of the nearest point's
    is 0.
    """
    value = nearest_amplitude(table, nearest)
    if table.interpolate and 0 not in table.shape:
        inside = _support_inside(table, indices)
        if bool(inside.any()):
            value = module_of(value).where(inside, _tricubic(table, indices, inside), value)
    return value


def nearest_amplitude(table: AmplitudeTable, nearest: Triple) -> Array:
    """Return |F|, electrons, of whole h, k, l; a float, the default, where there is no table."""
    if 0 in table.shape:
        return float(table.values[-1])
    module = module_of(table.values)
    (h, k, l), (low_h, low_k, low_l) = nearest, table.origin  # noqa: E741 - Miller indices
    size_h, size_k, size_l = table.shape
    # Distances from the box centre test both bounds at once; all of it is exact in float64.
    inside = abs(h - (low_h + (size_h - 1) / 2.0)) <= (size_h - 1) / 2.0
    inside = inside & (abs(k - (low_k + (size_k - 1) / 2.0)) <= (size_k - 1) / 2.0)
    inside = inside & (abs(l - (low_l + (size_l - 1) / 2.0)) <= (size_l - 1) / 2.0)
    place = (h * float(size_k) + k) * float(size_l) + l
    place = place - float((low_h * size_k + low_k) * size_l + low_l)
    place = whole_numbers(module.where(inside, place, float(table.values.shape[0] - 1)))
    if table.squares is None or table.coefficients is None:
        return module.take(table.values, place)
    total = 0.0
    for number in range(table.squares.shape[0]):
        total = total + table.coefficients[number] * module.take(table.squares[number], place)
    return root(module.where(total > 0.0, total, 0.0))  # what rounding leaves below 0 is none


def _support_inside(table: AmplitudeTable, indices: Triple) -> Array:
    """Tell where the 4×4×4 points lie in the box, by the C program's test on the real index."""
    inside = None
    for index, size, lowest in zip(indices, table.shape, table.origin, strict=True):
        part = (index - float(lowest) + 3.0 <= float(size)) & (index - 2.0 >= float(lowest))
        inside = part if inside is None else inside & part
    return inside


def cubic_weights(fraction: Array) -> tuple[Array, Array, Array, Array]:
    """Lagrange weights of the nodes −1, 0, 1, 2 at `fraction` in [0, 1]."""
    before, after, beyond = fraction + 1.0, fraction - 1.0, fraction - 2.0
    return (
        fraction * after * beyond * (-1.0 / 6.0),
        before * after * beyond * 0.5,
        before * fraction * beyond * -0.5,
        before * fraction * after * (1.0 / 6.0),
    )


def _tricubic(table: AmplitudeTable, indices: Triple, inside: Array) -> Array:
    """Polynomial of degree 3 on each axis through the surrounding 4×4×4 points.

    The value of nested one-dimensional Lagrange polynomials.
    """
    module = module_of(table.values)
    weights = []
    start = 0.0
    for index, size, lowest in zip(indices, table.shape, table.origin, strict=True):
        floor = module.floor(constant(index))
        weights.append(cubic_weights(index - floor))
        start = start * float(size) + module.where(inside, floor - float(lowest) - 1.0, 0.0)
    first = whole_numbers(start)
    _, size_k, size_l = table.shape
    total = 0.0
    for i in range(4):
        plane = 0.0
        for j in range(4):
            line = 0.0
            for m in range(4):
                place = first + ((i * size_k + j) * size_l + m)
                line = line + module.take(table.values, place) * weights[2][m]
            plane = plane + line * weights[1][j]
        total = total + plane * weights[0][i]
    return total
