"""Few normal distributions stand for many lines of a spectrum, as halos see them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.models.crystal import Spectral
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import frozen_float64
from distbragg.physics.halo_lines import LEFT, Spectrum, fewest, fewest_ranges
from distbragg.physics.halo_sources import few_sources
from distbragg.physics.lattices import halos_of
from distbragg.plan.frame import Tile
from tests.physics.closed_scenes import FLOAT64, MIXED, image
from tests.physics.test_closed_halos import HALO, _without, halo_image, scene

needs_kernel = pytest.mark.skipif(not native.available(), reason=native.reason())

BOUND = 1e-3
"""Of the greatest halo: DIF-10."""

LINES = 60
BOX = (61, 61, 61)
AT = np.linspace(-1.0, 1.0, LINES)
SPECTRA = {
    "normal": np.exp(-0.5 * (AT / 0.35) ** 2),
    "even": np.ones(LINES),
    "of spikes": np.random.default_rng(1).exponential(size=LINES) * np.exp(-0.5 * (AT / 0.4) ** 2),
    "of two colours": np.exp(-0.5 * ((AT - 0.6) / 0.1) ** 2)
    + 0.4 * np.exp(-0.5 * ((AT + 0.6) / 0.1) ** 2),
}


def under(view: Experiment, weight: np.ndarray, range_percent: float = 2.0) -> Experiment:
    """The same scene under lines, evenly apart in wavenumber, about its wavelength."""
    sources = view.beam.sources
    at = np.linspace(-1.0, 1.0, len(weight))
    wavelength = float(sources.wavelength[0]) / (1.0 + 0.005 * range_percent * at)
    lines = replace(
        sources,
        direction=frozen_float64(np.repeat(sources.direction[:1], len(weight), axis=0)),
        wavelength=frozen_float64(wavelength),
        weight=frozen_float64(weight),
        total_weight=float(weight.sum()),
        listed=len(weight),
    )
    return replace(view, beam=replace(view.beam, sources=lines))


def halos_in(view: Experiment, options=MIXED, panel: int = 0) -> np.ndarray:
    """The halos that a frame holds: what it has beside its spots."""
    return image(view, options, panel) - image(_without(view), options, panel)


def sources_of(view: Experiment) -> list[int]:
    """How many sources each sum over halos has."""
    count = view.beam.sources.count
    return [one.count for one in few_sources(halos_of(view)[0].experiment, 0, count)]


@pytest.mark.spec("DIF-10")
@needs_kernel
@pytest.mark.parametrize("weight", SPECTRA.values(), ids=SPECTRA)
@pytest.mark.parametrize("gamma", [15.0, 40.0])
def test_halos_of_few_sources_are_those_of_all_lines(weight, gamma) -> None:
    halo = {**HALO, "gamma_angstrom": gamma, "stencil": 2}
    view = under(scene(halo, {"crystal": {"mosaic": {"spread_deg": 0.1}}}), weight)
    assert sources_of(_uncut(view))[0] <= 8
    lines = halo_image(view)
    assert np.abs(halos_in(view) - lines).max() < BOUND * lines.max()


@pytest.mark.spec("DIF-10")
@needs_kernel
@pytest.mark.parametrize("dmin", [0.0, 1.7])
@pytest.mark.parametrize("changes", [{}, {"curved": True}], ids=["flat", "curved"])
def test_pixels_near_the_beam_see_fewer_sources(dmin, changes) -> None:
    # From the beam to |q| = 0.62/Å.
    panel = {
        "pixels_fast": 14, "pixels_slow": 13, "pixel_size_mm": 3.0, "xbeam_mm": 2.0,
        "ybeam_mm": 2.0, **changes,
    }  # fmt: skip
    halo = {**HALO, "gamma_angstrom": 40, "stencil": 2}
    still = {"crystal": {"mosaic": {"spread_deg": 0.1}}, "sampling": {"dmin_angstrom": dmin}}
    view = under(scene(halo, {"detector": panel}, still), SPECTRA["of spikes"])
    zones = sources_of(_uncut(view))
    assert len(zones) >= 4
    assert zones == sorted(set(zones), reverse=True)
    lines = halo_image(view)
    assert np.abs(halos_in(view) - lines).max() < BOUND * lines.max()


def _uncut(view: Experiment) -> Experiment:
    return replace(view, sampling=replace(view.sampling, dmin=0.0))


@pytest.mark.spec("DIF-10")
@needs_kernel
def test_in_float64_lines_are_summed_one_by_one() -> None:
    view = under(scene(), SPECTRA["of spikes"][:5])
    alone = sum(
        float(view.beam.sources.weight[n]) * halos_in(only(view, n), FLOAT64) for n in range(5)
    )
    found = halos_in(view, FLOAT64)
    assert np.abs(found - alone).max() < 1e-11 * alone.max()


def only(view: Experiment, number: int) -> Experiment:
    sources = view.beam.sources
    one = replace(
        sources,
        direction=sources.direction[:1],
        wavelength=sources.wavelength[number : number + 1],
        weight=frozen_float64([1.0]),
        total_weight=1.0,
        listed=1,
    )
    return replace(view, beam=replace(view.beam, sources=one))


@pytest.mark.spec("DIF-10")
@needs_kernel
@pytest.mark.parametrize("weight", SPECTRA.values(), ids=SPECTRA)
def test_where_the_cut_lies_within_the_spectrum_lines_count_by_themselves(weight) -> None:
    # |q| of the panel's pixels is 0.46 to 0.56/Å: the cut of most pixels is within these lines.
    changes = {"sampling": {"dmin_angstrom": 1.95}, "crystal": {"mosaic": {"spread_deg": 0.1}}}
    view = under(scene({**HALO, "stencil": 2}, changes), weight, 12.0)
    assert sources_of(view)[-1] == LINES - 1  # the last of a range has the whole of it
    lines, whole = halo_image(view), halo_image(_uncut(view))
    partly = (lines > 0.02 * whole) & (lines < 0.98 * whole)
    assert np.count_nonzero(partly) > 20
    assert np.abs(halos_in(view) - lines).max() < BOUND * whole.max()


@pytest.mark.spec("DIF-10")
@needs_kernel
def test_lines_from_several_directions_are_taken_direction_by_direction() -> None:
    view = scene(
        {**HALO, "stencil": 2},
        {
            "beam": {
                "divergence": {"horizontal": {"range_mrad": 4.0, "steps": 3}},
                "dispersion": {"range_percent": 1.0, "steps": 12},
            },
            "sampling": {"dmin_angstrom": 1.9},
        },
    )
    assert view.beam.sources.count == 36
    assert sources_of(_uncut(view))[0] < 12
    lines = halo_image(view)
    assert np.abs(halos_in(view) - lines).max() < BOUND * lines.max()


def by_energy(view: Experiment, edge: float) -> Experiment:
    """The same with |F|² that is different on either side of an edge, reflection by reflection."""
    random = np.random.default_rng(5)
    below = 100.0 * random.uniform(0.8, 1.2, BOX)
    tables = np.stack([below, below * random.uniform(0.7, 1.1, BOX)])
    after = (np.linspace(-1.0, 1.0, view.beam.sources.count) > edge).astype(float)
    return with_channels(view, tables, np.stack([1.0 - after, after], axis=1))


def with_channels(view: Experiment, tables: np.ndarray, shares: np.ndarray) -> Experiment:
    """The same with |F|² that is made up of tables, (lines, tables)."""
    spectral = Spectral("channels", frozen_float64(tables), frozen_float64(shares))
    table = replace(
        view.reflections,
        amplitude=frozen_float64(np.sqrt(tables[0])),
        origin=(-30, -30, -30),
        default_amplitude=0.0,
        spectral=spectral,
    )
    return replace(view, reflections=table)


@pytest.mark.spec("DIF-10")
@needs_kernel
@pytest.mark.parametrize("dmin", [1.2, 1.95])
def test_lines_of_different_structure_factors_are_merged_as_far_as_these_allow(dmin) -> None:
    changes = {
        "crystal": {"mosaic": {"spread_deg": 0.1}},
        "sampling": {"dmin_angstrom": dmin},
    }
    plain = under(scene({**HALO, "stencil": 2}, changes), SPECTRA["normal"])
    view = by_energy(plain, 0.1)
    few, same = (sources_of(_uncut(one))[0] for one in (view, plain))
    assert same < few < LINES
    lines = halo_image(view)
    assert np.abs(halos_in(view) - lines).max() < BOUND * lines.max()


@pytest.mark.spec("DIF-10")
@needs_kernel
def test_lines_that_have_a_table_each_are_merged_where_these_change_slowly() -> None:
    still = {"crystal": {"mosaic": {"spread_deg": 0.1}}}
    plain = under(scene({**HALO, "stencil": 2}, still), SPECTRA["normal"])
    random = np.random.default_rng(2)
    first, change = 100.0 * random.exponential(size=BOX), 0.1 * random.normal(size=BOX)
    for slow in (True, False):
        along = np.tanh(3.0 * AT) if slow else random.normal(size=LINES)
        tables = np.stack([first * np.maximum(1.0 + change * at, 0.0) for at in along])
        view = with_channels(plain, tables, np.eye(LINES))
        lines = halo_image(view)
        assert np.abs(halos_in(view) - lines).max() < BOUND * lines.max()
        outermost = (sources_of(_uncut(view)) or [LINES])[0]
        assert (outermost < LINES / 2) is slow


@pytest.mark.spec("DIF-5", "DIF-10")
@needs_kernel
def test_tiles_and_threads_change_no_bit_of_few_sources() -> None:
    wide = {"detector": {"pixels_fast": 37, "pixels_slow": 23, "pixel_size_mm": 0.4}}
    view = under(scene(HALO, wide, {"sampling": {"dmin_angstrom": 1.95}}), SPECTRA["even"], 6.0)
    whole = image(view, MIXED)
    assert np.array_equal(whole, image(view, replace(MIXED, threads=3)))
    for slow in range(0, 23, 7):
        for fast in range(0, 37, 19):
            tile = Tile(slow, min(slow + 7, 23), fast, min(fast + 19, 37))
            rows = slice(tile.slow_start, tile.slow_stop)
            part = image(view, MIXED, tile=tile)
            assert np.array_equal(part, whole[rows, tile.fast_start : tile.fast_stop])


def spectrum_of(weight: np.ndarray, width: float, own: float = 0.0) -> Spectrum:
    """Lines over a range of so many widths of a halo."""
    place = 0.5 * width * np.linspace(-1.0, 1.0, len(weight))
    return Spectrum(weight / weight.sum(), place, own, np.ones((len(weight), 1)))


@pytest.mark.spec("DIF-10")
@pytest.mark.parametrize("weight", SPECTRA.values(), ids=SPECTRA)
@pytest.mark.parametrize("width", [0.3, 1.0, 3.0, 8.0])
def test_few_distributions_are_close_to_the_lines_halo_by_halo(weight, width) -> None:
    spectrum = spectrum_of(weight, width)
    found = fewest(spectrum, np.inf)
    assert found is not None
    normals = found[0]
    assert normals.share.sum() == pytest.approx(1.0)
    assert normals.share @ normals.place == pytest.approx(spectrum.share @ spectrum.place, abs=1e-9)
    points, weights = np.polynomial.hermite_e.hermegauss(40)
    off = normals.place[:, None] + np.sqrt(normals.variance)[:, None] * points
    known = 2 * len(normals.share) if found[1] is None else 3
    for power in range(known):
        moment = normals.share @ (off**power @ weights) / np.sqrt(2.0 * np.pi)
        expected = spectrum.share @ spectrum.place**power
        assert moment == pytest.approx(expected, abs=1e-6 * width**power)
    # A halo itself, 1/(1 + x²)², in place of the exponentials that stand for it.
    at = np.linspace(-5.0 - width, 5.0 + width, 201)[:, None]
    lines = (1.0 + (at - spectrum.place) ** 2) ** -2.0 @ spectrum.share
    off = at[..., None] - normals.place[:, None] - np.sqrt(normals.variance)[:, None] * points
    means = (1.0 + off**2) ** -2.0 @ weights / np.sqrt(2.0 * np.pi)
    assert np.abs(means @ normals.share - lines).max() < 2.0 * LEFT * lines.max()


@pytest.mark.spec("DIF-10")
def test_a_normal_spectrum_is_one_distribution_and_lines_far_apart_stay() -> None:
    normal = np.exp(-0.5 * (np.linspace(-4.0, 4.0, 81)) ** 2)
    found = fewest(spectrum_of(normal, 20.0), np.inf)
    assert found is not None
    assert len(found[0].share) == 1
    assert found[0].variance[0] == pytest.approx(2.5**2, rel=0.01)
    assert fewest(spectrum_of(np.ones(4), 40.0), np.inf) is None
    assert len(np.unique(fewest_ranges(spectrum_of(np.ones(4), 40.0), np.inf))) == 4
    # None is wider than the stencil allows for.
    narrow = fewest(spectrum_of(normal, 20.0), 1.0)
    assert narrow is not None
    assert narrow[0].variance.max() <= 1.0
