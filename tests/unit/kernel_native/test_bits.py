"""What may change no bit: tiles, masks, threads; and what may change one: source chunks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.plan.frame import SourceChunk, Tile
from tests.unit.kernel_native import kit

pytestmark = pytest.mark.skipif(not native.available(), reason=native.reason())

PRECISIONS = ["mixed", "float64"]
KINDS = {
    "square": {"oversample": 2, "layers": 2},
    "round": {"shape": "round"},
    "gauss": {"shape": "gauss", "cells": (14, 16, 13)},
    "tophat": {"shape": "tophat", "cells": (14, 16, 13)},
    "tricubic": {"interpolate": True},
    "gauss_star": {"shape": "gauss_star", "cells": (14, 16, 13)},
    "broad tophat": {"shape": "tophat", "cells": (3, 2, 3)},
    "broad gauss of a family": {"shape": "gauss", "cells": (3, 2, 4), "domains": 7},
    "narrow gauss of a family": {"shape": "gauss", "cells": (14, 16, 13), "domains": 8},
    "tophat of a family": {"shape": "tophat", "cells": (4, 5, 4), "domains": 8, "box": (1, 1, 1)},
    "halos": {"halo": 1, "oversample": 2},
    "halos of narrow spots": {"shape": "gauss", "cells": (14, 16, 13), "halo": 0},
    "curved": {"surface": "sphere", "dmin": 8.0},
    "cylinder": {"surface": "cylinder_fast", "layers": 2},
}


def _render(experiment, tile, chunk, options):
    return native.render_numerator(experiment, 0, tile, chunk, options).reshape(tile.shape)


def _tiles(shape, size):
    for slow in range(0, shape[0], size[0]):
        for fast in range(0, shape[1], size[1]):
            yield Tile(slow, min(slow + size[0], shape[0]), fast, min(fast + size[1], shape[1]))


@pytest.mark.spec("DIF-5")
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(17, 23), (1, 37), (23, 1), (5, 8)])
def test_tiling_changes_no_bit(kind, size, precision):
    experiment = kit.make_experiment(**KINDS[kind])
    tile, chunk = kit.whole(experiment)
    options = kit.Options(precision)
    whole = _render(experiment, tile, chunk, options)
    tiled = np.full_like(whole, np.nan)
    for part in _tiles(tile.shape, size):
        rows, columns = (
            slice(part.slow_start, part.slow_stop),
            slice(part.fast_start, part.fast_stop),
        )
        tiled[rows, columns] = _render(experiment, part, chunk, options)
    assert np.array_equal(tiled, whole)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_source_contributes_the_same_bits_in_any_chunk(kind, precision):
    experiment = kit.make_experiment(sources=5, **KINDS[kind])
    tile, chunk = kit.whole(experiment)
    options = kit.Options(precision)
    sources = experiment.beam.sources
    one_by_one = np.zeros(tile.shape)
    ones = replace(
        experiment,
        beam=replace(experiment.beam, sources=replace(sources, weight=np.ones(sources.count))),
    )
    for i in range(sources.count):
        one_by_one += _render(ones, tile, SourceChunk(i, i + 1), options)
    assert np.array_equal(one_by_one, _render(ones, tile, chunk, options))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_chunks_of_sources_add_up_to_one_unit_in_the_last_float32_place(kind, precision):
    experiment = kit.make_experiment(sources=7, **KINDS[kind])
    tile, chunk = kit.whole(experiment)
    options = kit.Options(precision)
    whole = _render(experiment, tile, chunk, options).astype(np.float32)
    cuts = [0, 3, 4, 7]
    parts = [_render(experiment, tile, SourceChunk(a, b), options) for a, b in pairwise(cuts)]
    merged = (parts[0] + parts[1] + parts[2]).astype(np.float32)
    assert (np.abs(merged - whole) <= np.spacing(np.abs(whole))).all()


@pytest.mark.spec("DIF-5")
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_threads_change_no_bit(kind, precision):
    experiment = kit.make_experiment(**KINDS[kind])
    tile, chunk = kit.whole(experiment)
    alone = _render(experiment, tile, chunk, kit.Options(precision, threads=1))
    for threads in (2, 3, 50):
        shared = _render(experiment, tile, chunk, kit.Options(precision, threads=threads))
        assert np.array_equal(shared, alone)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_mask_changes_no_bit_of_the_pixels_it_leaves(precision):
    mask = np.random.default_rng(3).random((23, 37)) > 0.7
    masked = kit.make_experiment(mask=mask)
    tile, chunk = kit.whole(masked)
    options = kit.Options(precision)
    free = _render(kit.make_experiment(), tile, chunk, options)
    assert np.array_equal(_render(masked, tile, chunk, options), np.where(mask, free, 0.0))


def test_calls_from_several_python_threads_share_nothing():
    experiments = [kit.make_experiment(seed=seed, **KINDS["square"]) for seed in range(4)]
    tile, chunk = kit.whole(experiments[0])
    expected = [_render(one, tile, chunk, kit.Options("mixed")) for one in experiments]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            jobs = [
                pool.submit(_render, one, tile, chunk, kit.Options("mixed", threads=3))
                for one in experiments
            ]
            for job, image in zip(jobs, expected, strict=True):
                assert np.array_equal(job.result(), image)


@pytest.mark.parametrize("tolerance", [0.0, 1e-3])
def test_a_view_of_one_active_pixel_is_as_good_as_all_of_them(tolerance):
    listed = kit.make_experiment(**KINDS["gauss"])
    listed = replace(listed, sampling=replace(listed.sampling, tolerance=tolerance))
    panel = listed.detector.panels[0]
    viewed = replace(panel, active=np.broadcast_to(np.True_, panel.active.shape))
    assert viewed.fully_active
    assert not panel.fully_active
    everywhere = replace(listed, detector=replace(listed.detector, panels=(viewed,)))
    tile, chunk = kit.whole(listed)
    for part in (tile, Tile(3, 11, 5, 18)):
        expected = _render(listed, part, chunk, kit.Options("mixed"))
        assert np.array_equal(_render(everywhere, part, chunk, kit.Options("mixed")), expected)


@pytest.mark.spec("SCL-12")
@pytest.mark.parametrize("kind", ["square", "gauss"])
def test_blocks_count_in_what_a_tolerance_leaves_out(kind):
    # 1,024 blocks and 1,024 times the photons that may be left out: the same steps, to the bit.
    one = kit.make_experiment(**KINDS[kind], background=False)
    one = replace(one, sampling=replace(one.sampling, tolerance=1e-3))
    many = replace(one, crystal=replace(one.crystal, scale=1024.0))
    loose = replace(many, sampling=replace(one.sampling, tolerance=1.024))
    tile, chunk = kit.whole(one)
    expected = 1024.0 * _render(one, tile, chunk, kit.Options("mixed"))
    assert np.array_equal(_render(loose, tile, chunk, kit.Options("mixed")), expected)
    assert not np.array_equal(_render(many, tile, chunk, kit.Options("mixed")), expected)


def test_a_tile_without_active_pixels_and_an_empty_chunk_are_zero():
    experiment = kit.make_experiment(mask=np.zeros((23, 37), bool))
    tile, chunk = kit.whole(experiment)
    assert not _render(experiment, tile, chunk, kit.Options()).any()
    free = kit.make_experiment()
    assert not _render(free, tile, SourceChunk(1, 1), kit.Options()).any()


def test_the_table_is_made_once_for_many_tiles_and_anew_for_another_array():
    from distbragg.kernel.native.prepare import squared_table

    first, second = kit.make_experiment(seed=1), kit.make_experiment(seed=2)
    table = squared_table(first.reflections, double=False)
    assert squared_table(first.reflections, double=False) is table
    assert squared_table(second.reflections, double=False) is not table
    other_default = replace(first.reflections, default_amplitude=9.0)
    assert squared_table(other_default, double=False).values[-1, -1, -1] * squared_table(
        other_default, double=False
    ).scale == pytest.approx(81.0)
