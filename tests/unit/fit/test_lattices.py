"""Parameters of an image of several lattices, whose cells and mosaicity differ."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from distbragg.fit import Parameters, parameters_of, render_tensor
from tests.physics.closed_scenes import experiment

FURTHER = {"turned_deg": [0.2, 0.1, -0.3], "cell": [44, 46, 63, 82, 93, 107]}
SCENE: dict[str, Any] = {
    "crystal": {
        "lattices": [FURTHER],
        "cell_spread": {"lengths_percent": 0.8, "angles_deg": 0.3},
        "mosaic": {"domains": 3, "seed": 3},
    },
    "detector": {"pixels_fast": 20, "pixels_slow": 20, "pixel_size_mm": 4.0},
}
METHODS = ("sampled", "closed_form")


def scene(method: str, **changes: Any):
    return experiment(SCENE, changes, {"sampling": {"method": method}}, method=method)


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert expected.max() > 0.0
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9 * float(expected.max()))


@pytest.mark.spec("LAT-8")
@pytest.mark.parametrize("method", METHODS)
def test_parameters_of_a_frame_are_the_frame_itself(method: str) -> None:
    view = scene(method)
    same(render_tensor(view, parameters_of(view)), render_tensor(view))


@pytest.mark.spec("LAT-8")
@pytest.mark.parametrize("method", METHODS)
def test_a_spread_of_cells_is_of_the_first_lattice(method: str) -> None:
    view = scene(method)
    wider = parameters_of(scene(method, crystal={"cell_spread": {"lengths_percent": 1.6}}))
    one, two = (replace(view, crystal=crystal, others=()) for crystal in view.lattices)
    given = Parameters(cell_spread=wider.cell_spread)
    first = render_tensor(one, given)
    same(render_tensor(view, given), first + render_tensor(two))
    assert float((first - render_tensor(one)).abs().max()) > 1e-3 * float(first.max())


@pytest.mark.spec("LAT-8")
@pytest.mark.parametrize("method", METHODS)
def test_a_delta_b_in_place_of_another_is_that_of_the_frame(tmp_path, method: str) -> None:
    rng = np.random.default_rng(1)
    grid = np.stack(np.meshgrid(*[np.arange(-12, 13)] * 3, indexing="ij"), -1).reshape(-1, 3)
    rows = (
        f"{h} {k} {m} {f:.3f}\n"
        for (h, k, m), f in zip(grid.tolist(), rng.uniform(1, 9, len(grid)), strict=True)
    )
    (tmp_path / "a.hkl").write_text("".join(rows))
    listed = {"file": str(tmp_path / "a.hkl"), "default_f_electrons": 0.0}
    before, after = (
        scene(method, structure_factors={**listed, "delta_b_angstrom2": number})
        for number in (-5.0, 40.0)
    )
    given = Parameters(delta_b_angstrom2=torch.tensor(40.0, dtype=torch.float64))
    same(render_tensor(before, given), render_tensor(after))


@pytest.mark.parametrize("axes", ["crystal", "laboratory"])
def test_sampled_domains_that_spread_unevenly_have_one_spread_to_start_from(axes: str) -> None:
    uneven = {"spread_deg": [0.2, 0.5, 0.3], "axes": axes}
    view = scene("sampled", crystal={"mosaic": uneven})
    start = parameters_of(view)
    assert start.mosaic_covariance_deg2 is None
    assert float(start.mosaic_spread_deg) == pytest.approx(0.5)
    same(render_tensor(view, start), render_tensor(view))
