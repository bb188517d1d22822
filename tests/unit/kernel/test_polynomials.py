"""The polynomials of the kernels' table against the functions that they stand for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import erf, erfcx

from distbragg.kernel.table import POLYNOMIALS

Function = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]


def _log_scaled_erfc(t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.log(erfcx(2.0 / t - 2.0) / t))


def _erf_near(square: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(erf(np.sqrt(square)) / np.sqrt(square))


CASES: dict[str, tuple[Function, float, float, dict[str, float]]] = {
    "exp": (np.exp, -0.5 * np.log(2.0), 0.5 * np.log(2.0), {"float": 3e-9, "double": 4e-16}),
    "exp2": (np.exp2, -0.5, 0.5, {"float": 3e-9}),
    "log_scaled_erfc": (_log_scaled_erfc, 1e-6, 1.0, {"float": 2e-7, "double": 6e-14}),
    "erf_near": (_erf_near, 1e-9, 0.5, {"double": 7e-16}),
}


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name, case in CASES.items() for kind in case[3]]
)
def test_a_polynomial_is_near_its_function(name: str, kind: str) -> None:
    function, low, high, most = CASES[name]
    x = np.linspace(low, high, 4001)
    assert np.abs(np.polyval(POLYNOMIALS[name][kind], x) - function(x)).max() <= most[kind]


def test_the_scaled_error_function_at_one() -> None:
    """Exp(1) erfc(1) = 0.427583576155807 by tables of erfc(1) = 0.157299207050285."""
    t = 1.0 / 1.5
    value = t * np.exp(np.polyval(POLYNOMIALS["log_scaled_erfc"]["double"], t))
    assert value == pytest.approx(0.427583576155807, rel=1e-13)
