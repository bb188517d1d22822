"""Halos of diffuse scattering in closed form are the mean over many draws of what is random."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import norm, qmc

from distbragg.kernel import native
from distbragg.kernel.native import find_strongest
from distbragg.models.experiment import Experiment
from distbragg.physics.amplitude import AmplitudeTable
from distbragg.physics.diffuse import diffuse_intensity, diffuse_of
from distbragg.physics.factors import solid_angle
from distbragg.physics.halos import EXPONENTIALS
from distbragg.physics.lattices import halos_of, lattices_of, summed_lattices
from distbragg.physics.rays import SampleIndex, placement_of, sample_rays
from distbragg.plan.frame import SourceChunk, Tile
from distbragg.predict.spots import predict_spots
from tests.physics.closed_scenes import FLOAT64, MIXED, MODEL, experiment, image, off

needs_kernel = pytest.mark.skipif(not native.available(), reason=native.reason())

HALO = {"gamma_angstrom": 25, "sigma_angstrom": 0.3, "laue_group": "-1", "stencil": 1}
UNEVEN = {
    "gamma_angstrom": [20, 35, 25],
    "sigma_angstrom": [0.2, 0.4, 0.3],
    "axes": [0.6, 0.8, 0, -0.8, 0.6, 0, 0, 0, 1],
    "laue_group": "2/m",
    "stencil": 1,
}
SMALL = {
    "pixels_fast": 9, "pixels_slow": 8, "pixel_size_mm": 1.0, "xbeam_mm": -25, "ybeam_mm": -20,
}  # fmt: skip
"""Where |q| is about 0.5/Å."""

BEAM = {"bandwidth_percent": 0.5, "divergence_mrad": [2.0, 1.0]}


def scene(
    halo: dict[str, Any] | None = None, *changes: dict[str, Any], method: str = "closed_form"
) -> Experiment:
    """A crystal with halos, on the small panel, unless changed."""
    given = {
        "crystal": {"diffuse": HALO if halo is None else halo},
        "detector": SMALL,
        "sampling": {"dmin_angstrom": 1.2},
    }
    return experiment(given, *changes, method=method)


def halo_image(
    view: Experiment, options=FLOAT64, tile: Tile | None = None, panel: int = 0
) -> np.ndarray:
    """The halos of a scene alone, before the factors that all pixels share."""
    return sum(part.share * image(part.experiment, options, panel, tile) for part in halos_of(view))


def drawn(view: Experiment, count: int = 4096, panel: int = 0) -> np.ndarray:
    """The same as a mean over draws of domains, rays, wavelengths, angles, cells and places.

    Of every second row and column: each pixel takes thousands of sums.
    """
    crystal, beam, panel = view.crystal, view.beam, view.detector.panels[panel]
    strains = 0 if crystal.cell_roots is None else len(crystal.cell_roots)
    uniform = qmc.Sobol(9 + strains, seed=1).random(count)
    normal = norm.ppf(np.clip(uniform, 1e-9, 1.0 - 1e-9))
    phi = crystal.oscillation[0] + uniform[:, 3] * np.diff(crystal.oscillation)[0]
    spindle = Rotation.from_rotvec(phi[:, None] * crystal.spindle_axis).as_matrix()
    root = np.linalg.cholesky(crystal.mosaic_covariance + 1e-30 * np.eye(3))
    mosaic = Rotation.from_rotvec(normal[:, :3] @ root.T).as_matrix()
    edges = np.broadcast_to(crystal.real_space, (count, 3, 3))
    for number in range(strains):
        change = _cell_change(crystal, number)
        edges = edges + normal[:, 9 + number, None, None] * change
    # M is that of the crystal as it stands at phi = 0: domains turn before the spindle does.
    edges = np.einsum("nij,njk,nlk->nli", spindle, mosaic, edges)
    terms = diffuse_of(crystal)
    table = AmplitudeTable(
        np.append(view.reflections.amplitude.ravel(), view.reflections.default_amplitude),
        view.reflections.amplitude.shape, view.reflections.origin, interpolate=False,
    )  # fmt: skip
    placement = placement_of(panel, beam.direction)
    rows, columns = panel.shape
    found = np.zeros(((rows + 1) // 2, (columns + 1) // 2))
    sources = beam.sources
    for row, column in np.ndindex(*found.shape):
        places = uniform[:, 7:9] - 0.5 if view.sampling.integrate else np.zeros((count, 2))
        rays = sample_rays(
            placement,
            2 * row + places[:, 0],
            2 * column + places[:, 1],
            sample=SampleIndex(0, 0, 0),
            oversample=1,
        )
        for source in range(sources.count):
            s0 = normal[:, 4:6] @ beam.divergence - sources.direction[source]
            s0 /= np.linalg.norm(s0, axis=1)[:, None]
            k = (1.0 + sources.bandwidth * normal[:, 6]) / sources.wavelength[source]
            q = k[:, None] * (np.stack(rays.direction, axis=1) - s0)
            index = np.einsum("nij,nj->in", edges, q)
            nearest = np.ceil(index - 0.5)
            value = diffuse_intensity(terms, table, tuple(index - nearest), tuple(nearest))
            found[row, column] += float((value * solid_angle(placement, rays)).mean()) * float(
                sources.weight[source]
            )
    return found * crystal.scale


def _cell_change(crystal, number):
    from distbragg.physics.strain import edge_changes

    return np.asarray(edge_changes(crystal.real_space, crystal.cell_roots))[number]


@pytest.mark.spec("DIF-8")
def test_exponentials_are_close_to_a_halo() -> None:
    x = np.concatenate([[0.0], np.geomspace(1e-3, 1e3, 500)])
    sums = sum(weight * np.exp(-exponent * x) for exponent, weight in EXPONENTIALS)
    relative = np.abs(sums * (1.0 + x) ** 2 - 1.0)
    assert relative[x <= 1.0].max() < 1.6e-3
    assert relative[x <= 10.0].max() < 3.1e-3
    assert relative.max() < 1.1e-2


@pytest.mark.spec("DIF-8")
@pytest.mark.parametrize(
    ("halo", "changes"),
    [
        (HALO, {}),
        (HALO, {"crystal": {"mosaic": {"spread_deg": 0.0}}}),
        (HALO, {"crystal": {"mosaic": {"spread_deg": [0.1, 0.4, 0.2]}}}),
        (HALO, {"beam": BEAM}),
        (HALO, {"beam": {"dispersion": {"range_percent": 2.0, "steps": 3}}}),
        (HALO, {"goniometer": {"phi_deg": 20.0, "oscillation_deg": 1.0}}),
        (HALO, {"crystal": {"cell_spread": {"lengths_percent": 0.4, "angles_deg": 0.2}}}),
        (HALO, {"sampling": {"oversample": "auto"}, "detector": {"pixel_size_mm": 0.3}}),
        (HALO, {"sampling": {"oversample": "auto"}}),
        (UNEVEN, {"beam": BEAM, "goniometer": {"oscillation_deg": 0.3}}),
        ({**HALO, "gamma_angstrom": 100, "stencil": 0}, {"beam": {"bandwidth_percent": 0.2}}),
        ({**HALO, "gamma_angstrom": 12, "stencil": 2}, {}),
    ],
    ids=[
        "mosaicity", "one domain", "uneven mosaicity", "beam", "lines", "rotation", "cells",
        "area of a pixel", "large pixels", "all axes differ", "narrow halos", "broad halos",
    ],
)  # fmt: skip
def test_halos_are_the_mean_of_many_draws(halo, changes) -> None:
    view = scene(halo, {"crystal": {"mosaic": {"spread_deg": 0.15}}}, changes)
    assert off(halo_image(view, MODEL)[::2, ::2], drawn(view)) < 4e-3


@pytest.mark.spec("DIF-8")
@needs_kernel
@pytest.mark.parametrize(
    "changes",
    [
        {"beam": {**BEAM, "polarization": {"enabled": True, "kahn_factor": 0.8}}},
        {"goniometer": {"phi_deg": 20.0, "oscillation_deg": 1.0}},
        {"crystal": {"cell_spread": {"lengths_percent": 0.4, "angles_deg": 0.2}}},
        {"detector": {"sensor": {
            "thickness_um": 300, "attenuation_length_um": 200, "layers": 2,
        }}, "sampling": {"oversample": 2}},
        {"detector": {"curved": True}, "sampling": {"oversample": "auto"}},
        {"crystal": {"size_spread_fraction": 0.2, "lattices": [{"turned_deg": [3, 0, 5]}]}},
    ],
    ids=["beam", "rotation", "cells", "sensor", "curved", "lattices"],
)  # fmt: skip
def test_the_kernel_has_the_numbers_of_the_model(changes) -> None:
    view = scene(UNEVEN, changes)
    model = halo_image(view, MODEL)
    assert off(halo_image(view), model) < 1e-11
    assert off(halo_image(view, MIXED), model) < 2e-6


@pytest.mark.spec("DIF-8")
@needs_kernel
@pytest.mark.parametrize("options", [FLOAT64, MIXED])
def test_a_frame_is_its_spots_and_its_halos(options) -> None:
    view = scene(HALO, {"beam": BEAM, "crystal": {"lattices": [{"turned_deg": [3, 0, 5]}]}})
    whole, spots = image(view, options), image(_without(view), options)
    assert off(whole - spots, halo_image(view, options)) < 1e-9
    parts = summed_lattices(view)
    assert [part.experiment.sampling.method for part in parts] == ["closed_form"] * 2 + [
        "halos"
    ] * 2
    assert [part.number for part in parts] == [0, 1, 0, 1]


def _without(view: Experiment) -> Experiment:
    bare = [replace(crystal, diffuse=None) for crystal in view.lattices]
    return replace(view, crystal=bare[0], others=tuple(bare[1:]))


@pytest.mark.spec("DIF-4", "DIF-8")
@needs_kernel
@pytest.mark.parametrize("options", [FLOAT64, MIXED])
def test_without_displacements_the_bits_are_those_of_the_spots(options) -> None:
    view = scene({**HALO, "sigma_angstrom": 0.0}, {"beam": BEAM})
    assert np.array_equal(image(view, options), image(_without(view), options))


@pytest.mark.spec("DIF-5", "DIF-8")
@needs_kernel
@pytest.mark.parametrize("options", [FLOAT64, MIXED])
def test_tiles_and_threads_change_no_bit(options) -> None:
    view = scene(UNEVEN, {"beam": BEAM, "detector": {"pixels_fast": 37, "pixels_slow": 23}})
    whole = image(view, options)
    assert np.array_equal(whole, image(view, replace(options, threads=3)))
    for slow in range(0, 23, 7):
        for fast in range(0, 37, 19):
            tile = Tile(slow, min(slow + 7, 23), fast, min(fast + 19, 37))
            part = image(view, options, tile=tile)
            rows = slice(tile.slow_start, tile.slow_stop)
            assert np.array_equal(part, whole[rows, tile.fast_start : tile.fast_stop])


@pytest.mark.spec("DIF-8")
def test_blocks_of_the_crystal_and_the_cut_bear_on_the_halos() -> None:
    one = halo_image(scene(), MODEL)
    many = halo_image(scene(HALO, {"crystal": {"illuminated_blocks": 5}}), MODEL)
    assert off(many, 5.0 * one) < 1e-12
    # Cut where a pixel's own |q| is beyond the resolution.
    cut = halo_image(scene(HALO, {"sampling": {"dmin_angstrom": 3.0}}), MODEL)
    assert not cut.any()


@pytest.mark.spec("DIF-8")
def test_where_the_energy_decides_about_f_so_it_does_of_halos() -> None:
    view = scene(HALO, {"beam": {"dispersion": {"range_percent": 2.0, "steps": 3}}})
    assert off(halo_image(view, MIXED), halo_image(view, MODEL)) < 2e-6


@pytest.mark.spec("DIF-8")
def test_a_rotation_is_cut_into_parts_that_halos_do_not_notice() -> None:
    def parts(gamma: float, degrees: float) -> int:
        halo = {**HALO, "gamma_angstrom": gamma}
        turn = {"goniometer": {"oscillation_deg": degrees}}
        still = {"crystal": {"mosaic": {"spread_deg": 0.0}}}
        return len(halos_of(scene(halo, turn, still)))

    # 1° is 0.01745 |q|; a part may move |q| ≈ 0.57/Å by half of 1/(2π · 25 Å) = 0.0064/Å.
    assert parts(25.0, 0.0) == 1
    assert parts(25.0, 0.1) == 1
    assert 3 <= parts(25.0, 1.0) <= 4
    assert 6 <= parts(50.0, 1.0) <= 8
    view = scene(HALO, {"goniometer": {"oscillation_deg": 1.0}})
    shares = [part.share for part in halos_of(view)]
    assert math.fsum(shares) == pytest.approx(1.0)


@pytest.mark.spec("DIF-6", "DIF-8")
@needs_kernel
def test_labels_and_the_strongest_reflection_know_no_halos() -> None:
    wide = {"detector": {"pixels_fast": 40, "pixels_slow": 40}}
    view = scene(HALO, wide)
    with_halos, without = predict_spots(view), predict_spots(_without(view))
    assert np.array_equal(with_halos.photons, without.photons)
    whole, chunk = Tile(0, 40, 0, 40), SourceChunk(0, 1)
    told = [find_strongest(one, 0, whole, chunk, FLOAT64) for one in (view, _without(view))]
    assert np.array_equal(*told, equal_nan=True)
    assert len(lattices_of(view)) == 1


@pytest.mark.spec("DIF-9")
def test_halos_that_the_stencil_is_too_small_for_are_told_of() -> None:
    def told(spread: float, stencil: int) -> list[str]:
        given = {"crystal": {"mosaic": {"spread_deg": spread}}}
        view = scene({**HALO, "stencil": stencil}, given)
        return [n.text for n in view.notes if n.place == "crystal.diffuse.stencil"]

    # 0.5° turns 0.57/Å by 0.005/Å, which is 0.3 of 1/60 Å.
    assert not told(0.2, 1)
    assert "halos are spread by 0.3" in told(0.5, 1)[0]
    assert not told(0.5, 2)
