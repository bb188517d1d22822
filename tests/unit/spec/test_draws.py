"""Values that are drawn: what each distribution gives, and what a draw depends on."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.transform import Rotation

from distbragg.errors import InputError
from distbragg.models.tables import load_sweep
from distbragg.spec.canonical import canonical_json, to_plain
from distbragg.spec.deviates import Deviates
from distbragg.spec.distributions import Drawing
from distbragg.spec.draw import DrawSpec
from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec

MANY = 40_000
FLUX, ENERGY, CELL = "beam.flux_photons_per_s", "beam.energy_ev", "crystal.cell"
EXPERIMENT = {
    "crystal": {"cell": [50, 60, 70, 90, 100, 90]},
    "background": {"materials": [{"name": "water", "thickness_um": 10}]},
}
WATER = "background.materials.0.thickness_um"
MEAN = [79.1, 79.3, 38.0, 90.0, 91.0, 90.0]
COVARIANCE = [
    [0.04, 0.03, 0.01, 0, 0, 0],
    [0.03, 0.09, 0.00, 0, 0, 0],
    [0.01, 0.00, 0.01, 0, 0.02, 0],
    [0, 0, 0, 0, 0, 0],
    [0, 0, 0.02, 0, 0.25, 0],
    [0, 0, 0, 0, 0, 0],
]


def drawn(count: int = MANY, *, name: str = "axis", seed: int = 0, **draw: Any) -> np.ndarray:
    """Draw an axis by itself."""
    drawing = Drawing(Deviates(seed, name, count), {})
    return DrawSpec.model_validate(draw).drawn(drawing).array


def sweep_of(*axes: dict[str, Any], **fields: Any) -> SweepSpec:
    along = [{"dim": "shot", **axis} for axis in axes]
    return parse_sweep({"experiment": EXPERIMENT, "axes": along, "count": 50, **fields})


def values_of(sweep: SweepSpec, name: str) -> np.ndarray:
    return next(axis.expanded.array for axis in sweep.axes if axis.name == name)


def axis(name: str, path: str, **draw: Any) -> dict[str, Any]:
    return {"name": name, "path": path, "draw": draw}


NORMAL = {"normal": {"mean": 9000, "sd": 20}}
HIT = axis("hit", "crystal.present", chance={"probability": 0.3, "then": True, "otherwise": False})


def check_against(values: np.ndarray, expected: Any) -> None:
    """Compare mean, variance and quantiles with a distribution of scipy, to 4 standard errors."""
    count = len(values)
    mean, variance, _, excess = (float(each) for each in expected.stats("mvsk"))
    assert abs(values.mean() - mean) < 4 * math.sqrt(variance / count)
    assert abs(values.var() - variance) < 4 * variance * math.sqrt((excess + 2) / count)
    for share in (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99):
        below = (values <= expected.ppf(share)).mean()
        assert abs(below - share) < 4 * math.sqrt(share * (1 - share) / count)


@pytest.mark.spec("SWP-9")
@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (NORMAL, stats.norm(9000, 20)),
        (
            {"normal": {"mean": 3, "sd": 2, "low": 2, "high": 4.5}},
            stats.truncnorm(-0.5, 0.75, loc=3, scale=2),
        ),
        ({"normal": {"mean": 0, "sd": 1, "low": 5}}, stats.truncnorm(5, math.inf)),
        ({"normal": {"mean": 0, "sd": 1, "high": -5}}, stats.truncnorm(-math.inf, -5)),
        ({"log_normal": {"median": 1e12, "sd_ln": 0.3}}, stats.lognorm(0.3, scale=1e12)),
        ({"uniform": {"low": -2, "high": 6}}, stats.uniform(-2, 8)),
        ({"uniform": {"low": 0.01, "high": 1, "scale": "log"}}, stats.loguniform(0.01, 1)),
    ],
)
def test_numbers_follow_their_distribution(draw: dict[str, Any], expected: Any) -> None:
    check_against(drawn(**draw), expected)


@pytest.mark.spec("SWP-9")
def test_a_cut_leaves_nothing_outside_and_piles_nothing_up_at_its_ends() -> None:
    cut = drawn(normal={"mean": 0, "sd": 1, "low": -0.5, "high": 1})
    assert cut.min() > -0.5
    assert cut.max() < 1
    assert len(set(cut.tolist())) == MANY
    far = drawn(log_normal={"median": 1, "sd_ln": 0.1, "low": 1.5, "high": 1.6})
    assert far.min() >= 1.5
    assert far.max() <= 1.6


@pytest.mark.spec("SWP-9")
def test_choices_are_as_frequent_as_their_weights() -> None:
    found = drawn(choice={"values": ["a", "b", "c"], "weights": [2, 0, 6]})
    assert set(found.tolist()) == {"a", "c"}
    assert abs((found == "a").mean() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / MANY)
    whole = drawn(uniform={"low": 1, "high": 4, "scale": "integer"})
    assert whole.dtype == np.int64
    for value in (1, 2, 3, 4):
        assert abs((whole == value).mean() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / MANY)


@pytest.mark.spec("SWP-9")
def test_a_mixture_has_its_parts_by_weight() -> None:
    parts = [
        {"weight": 3, "draw": {"normal": {"mean": 10, "sd": 1}}},
        {"weight": 1, "draw": {"uniform": {"low": 100, "high": 102}}},
    ]
    found = drawn(mixture=parts)
    low, high = found[found < 50], found[found > 50]
    assert abs(len(low) / MANY - 0.75) < 4 * math.sqrt(0.25 * 0.75 / MANY)
    check_against(low, stats.norm(10, 1))
    check_against(high, stats.uniform(100, 2))


@pytest.mark.spec("SWP-9")
def test_chance_gives_one_thing_or_another() -> None:
    found = drawn(
        chance={"probability": 0.2, "then": 0, "otherwise": {"uniform": {"low": 1, "high": 2}}}
    )
    assert abs((found == 0).mean() - 0.2) < 4 * math.sqrt(0.2 * 0.8 / MANY)
    check_against(found[found > 0], stats.uniform(1, 1))
    for share, only in ((0, 5), (1, 4)):
        all_alike = drawn(chance={"probability": share, "then": 4, "otherwise": 5})
        assert set(all_alike.tolist()) == {only}


@pytest.mark.spec("SWP-9")
def test_correlated_numbers_have_the_covariance() -> None:
    found = drawn(normals={"mean": MEAN, "covariance": COVARIANCE})
    given = np.array(COVARIANCE)
    variances = np.diag(given)
    assert (abs(found.mean(axis=0) - MEAN) <= 4 * np.sqrt(variances / MANY) + 1e-12).all()
    # The variance of a product of two normal numbers: s11 s22 + s12².
    error = np.sqrt((np.outer(variances, variances) + given**2) / MANY)
    assert (abs(np.cov(found.T) - given) <= 4 * error + 1e-12).all()
    np.testing.assert_array_equal(found[:, [3, 5]], 90.0)
    check_against(found[:, 0], stats.norm(79.1, 0.2))
    apart = drawn(normals={"mean": [1, 2], "sd": [0.5, 0]})
    check_against(apart[:, 0], stats.norm(1, 0.5))
    assert (apart[:, 1] == 2).all()


@pytest.mark.spec("SWP-9")
def test_orientations_are_uniform_and_missets_are_small_about_one() -> None:
    turns = Rotation.from_quat(drawn(orientation="uniform"))
    angles = turns.magnitude()
    # The density of the angle of a uniform rotation is (1 - cos t) / pi.
    shares = (angles - np.sin(angles)) / math.pi
    assert stats.kstest(shares, "uniform").pvalue > 1e-4
    for along in turns.apply([0, 0, 1]).T:
        assert abs(along.mean()) < 4 * math.sqrt(1 / 3 / MANY)
    about = Rotation.from_euler("xyz", [20, 40, 60], degrees=True)
    found = drawn(misset={"sd_deg": 0.4, "about_xyzw": (3 * about.as_quat()).tolist()})
    rest = (Rotation.from_quat(found) * about.inv()).as_rotvec(degrees=True)
    for part in rest.T:
        check_against(part, stats.norm(0, 0.4))
    np.testing.assert_allclose((found**2).sum(axis=1), 1.0, atol=1e-14)


def philox_first_word(key: int, counter: int) -> int:
    """Philox4x64-10 of Salmon et al. in plain whole numbers: the first word of a block."""
    mask = 2**64 - 1
    keys, words = [key & mask, key >> 64], [counter, 0, 0, 0]
    for _ in range(10):
        first, second = words[0] * 0xD2E7470EE14C6C93, words[2] * 0xCA5A826395121157
        words = [
            (second >> 64) ^ words[1] ^ keys[0],
            second & mask,
            (first >> 64) ^ words[3] ^ keys[1],
            first & mask,
        ]
        keys = [(keys[0] + 0x9E3779B97F4A7C15) & mask, (keys[1] + 0xBB67AE8584CAA73B) & mask]
    return words[0]


@pytest.mark.spec("SWP-8")
def test_a_number_is_that_of_its_seed_name_and_position() -> None:
    digest = hashlib.sha256(b"distbragg draw\n7\nflux\nvalue 0").digest()
    word = philox_first_word(int.from_bytes(digest[:16], "little"), 5 + 1)
    share = ((word >> 12) + 0.5) / 2**52
    found = drawn(9, name="flux", seed=7, uniform={"low": 10, "high": 20})
    assert found[5] == pytest.approx(10 + 10 * share, rel=1e-15)
    normal = drawn(9, name="flux", seed=7, **NORMAL)
    assert normal[5] == pytest.approx(9000 + 20 * stats.norm.ppf(share), rel=1e-14)


@pytest.mark.spec("SWP-8")
def test_draws_are_those_of_earlier_versions() -> None:
    """Numbers that runs were drawn with: a change of them is a change of what runs mean."""
    flux = drawn(3, name="flux", seed=1, log_normal={"median": 1e12, "sd_ln": 0.5})
    np.testing.assert_allclose(flux, FORMER_FLUX, rtol=1e-14)
    turned = drawn(2, name="orientation", orientation="uniform")
    np.testing.assert_allclose(turned, FORMER_TURNS, rtol=1e-13)


FORMER_FLUX = [330464861346.8192, 1544530404110.1277, 1286442221886.0186]
FORMER_TURNS = [
    [0.784081982786338, 0.42458319468991934, -0.45114073069545507, -0.03763769605485445],
    [0.30412447076380905, -0.7954927350871215, -0.2807660141697717, 0.4425720958143017],
]


@pytest.mark.spec("SWP-2")
def test_samples_and_random_orientations_are_those_of_earlier_versions() -> None:
    sample = {"count": 40, "seed": 5, "low": 8000, "high": 9000}
    sweep = parse_sweep(
        {
            "experiment": EXPERIMENT,
            "axes": [
                {"name": "turn", "dim": "shot", "random_orientations": {"count": 40, "seed": 5}},
                {"name": "energy", "dim": "shot", "path": ENERGY, "sample": sample},
            ],
        }
    )
    digests = [hashlib.sha256(a.expanded.array.tobytes()).hexdigest()[:16] for a in sweep.axes]
    assert digests == ["60802fb9d1d34c77", "7760d6734771f2af"]


@pytest.mark.spec("SWP-8")
def test_order_other_axes_and_their_number_change_no_draw() -> None:
    flux, energy = (
        axis("flux", FLUX, log_normal={"median": 1, "sd_ln": 1}),
        axis("energy", ENERGY, **NORMAL),
    )
    both, turned = sweep_of(flux, energy, HIT), sweep_of(HIT, energy, flux)
    alone = sweep_of(energy)
    for sweep in (turned, alone):
        np.testing.assert_array_equal(values_of(sweep, "energy"), values_of(both, "energy"))
    np.testing.assert_array_equal(values_of(turned, "flux"), values_of(both, "flux"))
    renamed = sweep_of({**energy, "name": "e"}, flux)
    np.testing.assert_array_equal(values_of(renamed, "flux"), values_of(both, "flux"))
    assert not np.isin(values_of(renamed, "e"), values_of(both, "energy")).any()


@pytest.mark.spec("SWP-8")
def test_more_positions_keep_those_there_are() -> None:
    mixture = [{"weight": 1, "draw": None}, {"weight": 1, "draw": NORMAL}]
    axes = [
        axis("energy", ENERGY, mixture=mixture),
        axis("cell", CELL, normals={"mean": MEAN, "covariance": COVARIANCE}),
        axis("model", "structure_factors.file", choice={"values": ["a.pdb", "bcd.pdb"]}),
        {"name": "turn", "draw": {"orientation": "uniform"}},
        HIT,
    ]
    few, many = sweep_of(*axes, count=7), sweep_of(*axes, count=500)
    for short, long in zip(few.axes, many.axes, strict=True):
        np.testing.assert_array_equal(short.expanded.array, long.expanded.array[:7])
        assert short.expanded.array.dtype == long.expanded.array.dtype
    assert few.frame_values(6) == many.frame_values(6)


@pytest.mark.spec("SWP-8")
def test_the_seed_of_the_sweep_is_that_of_all_axes_without_their_own() -> None:
    energy, flux = axis("energy", ENERGY, **NORMAL), axis("flux", FLUX, **NORMAL, seed=4)
    first, other = sweep_of(energy, flux), sweep_of(energy, flux, seed=4)
    np.testing.assert_array_equal(values_of(first, "flux"), values_of(other, "flux"))
    assert not np.isin(values_of(first, "energy"), values_of(other, "energy")).any()
    zero = sweep_of(energy, flux, seed=0)
    np.testing.assert_array_equal(values_of(first, "energy"), values_of(zero, "energy"))
    names = drawn(50, name="flux", seed=4, **NORMAL)
    np.testing.assert_array_equal(values_of(first, "flux"), names)


@pytest.mark.spec("SWP-8")
def test_draws_are_as_many_as_the_axes_beside_them() -> None:
    listed = {"name": "phi", "path": "goniometer.phi_deg", "values": [1, 2, 3]}
    sweep = parse_sweep(
        {
            "experiment": EXPERIMENT,
            "axes": [
                {"dim": "shot", **listed},
                {"dim": "shot", **axis("energy", ENERGY, **NORMAL)},
            ],
        }
    )
    assert sweep.dims == (("shot", 3),)
    again = parse_sweep({**to_plain(sweep)})
    assert canonical_json(again) == canonical_json(sweep)
    # The same axes in another sweep leave the first as it is.
    SweepSpec(experiment=sweep.experiment, axes=sweep.axes[1:], count=5)
    assert sweep.dims == (("shot", 3),)


@pytest.mark.spec("SWP-10")
def test_a_draw_may_depend_on_another_axis() -> None:
    water = axis(
        "water",
        WATER,
        when={
            "axis": "hit",
            "equals": False,
            "then": 0,
            "otherwise": {"uniform": {"low": 1, "high": 2}},
        },
    )
    for axes in ((HIT, water), (water, HIT)):
        sweep = sweep_of(*axes, count=400)
        hit, depth = values_of(sweep, "hit"), values_of(sweep, "water")
        assert (depth[~hit] == 0).all()
        assert (depth[hit] >= 1).all()
        plain = sweep_of(axis("water", WATER, uniform={"low": 1, "high": 2}), count=400)
        np.testing.assert_array_equal(depth[hit], values_of(plain, "water")[hit])
    assert sweep.frame_spec(int(np.argmin(hit))).crystal.present is False


@pytest.mark.spec("SWP-10")
def test_conditions_take_lists_texts_null_and_nest() -> None:
    count = axis("lattices", "crystal.drawn_lattices.count", choice={"values": [1, 2, 3]})
    scale = axis(
        "scale",
        "crystal.drawn_lattices.relative_scale",
        when={
            "axis": "lattices",
            "equals": [2, 3],
            "then": {"uniform": {"low": 0.2, "high": 0.8}},
            "otherwise": None,
        },
    )
    sweep = sweep_of(count, scale)
    many = values_of(sweep, "lattices") > 1
    np.testing.assert_array_equal(np.isnan(values_of(sweep, "scale")), ~many)
    assert sweep.frame_spec(int(np.argmin(many))).crystal.drawn_lattices.relative_scale == 1.0
    kind = {
        "name": "kind",
        "alternatives": {"wet": {WATER: 50}, "dry": {WATER: 0}},
        "draw": {"choice": {"values": ["wet", "dry"]}},
    }
    inner = {"when": {"axis": "scale", "equals": None, "then": 3, "otherwise": 4}}
    rest = {"when": {"axis": "kind", "equals": "wet", "then": 1, "otherwise": inner}}
    sweep = sweep_of(count, scale, kind, axis("domains", "crystal.mosaic.domains", **rest))
    wet, one = values_of(sweep, "kind") == "wet", np.isnan(values_of(sweep, "scale"))
    expected = np.where(wet, 1, np.where(one, 3, 4))
    np.testing.assert_array_equal(values_of(sweep, "domains"), expected)


@pytest.mark.spec("SWP-10")
def test_what_sets_no_field_is_drawn_for_other_axes() -> None:
    hidden = {"name": "z", "draw": {"normal": {"mean": 0, "sd": 1}}}
    distance = {"name": "distance", "path": "detector.distance_mm", "derived": "100 + 2 * z + hit"}
    sweep = sweep_of(hidden, distance, HIT)
    expected = 100 + 2 * values_of(sweep, "z") + values_of(sweep, "hit")
    np.testing.assert_allclose(values_of(sweep, "distance"), expected)
    assert "z" not in sweep.frame_values(0)
    assert [c.unit for c in sweep.coordinates() if c.name == "z"] == ["1"]
    label = sweep_of({"name": "batch", "path": "", "values": ["a", "b"]}, count=None)
    assert label.frame_values(1) == {}
    assert label.coordinates()[1].values.tolist() == ["a", "b"]


@pytest.mark.spec("SWP-9")
@pytest.mark.parametrize("suffix", ["npy", "csv"])
def test_a_covariance_is_read_from_a_file_once(tmp_path: Any, suffix: str) -> None:
    path = tmp_path / f"cov.{suffix}"
    if suffix == "npy":
        np.save(path, np.array(COVARIANCE))
    else:
        np.savetxt(path, np.array(COVARIANCE), delimiter=",")
    (tmp_path / "sweep.yaml").write_text(
        "experiment: {crystal: {cell: [50, 60, 70, 90, 100, 90]}}\ncount: 5\naxes:\n"
        f"  - {{name: cell, path: crystal.cell, dim: shot, draw: {{chance: {{probability: 1, then: "
        f"{{normals: {{mean: {MEAN}, covariance_file: cov.{suffix}}}}}, otherwise: null}}}}}}\n"
    )
    sweep = load_sweep(tmp_path / "sweep.yaml")
    path.unlink()
    given = sweep_of(axis("cell", CELL, normals={"mean": MEAN, "covariance": COVARIANCE}), count=5)
    np.testing.assert_array_equal(values_of(sweep, "cell"), values_of(given, "cell"))
    assert "cov." not in canonical_json(sweep)
    np.testing.assert_array_equal(
        values_of(parse_sweep(to_plain(sweep)), "cell"), values_of(sweep, "cell")
    )


@pytest.mark.spec("SWP-14")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"draw": {}}, "axes.0.draw: needs exactly one of normal"),
        ({"draw": {**NORMAL, "uniform": {"low": 0, "high": 1}}}, "found normal and uniform"),
        ({"draw": {"normal": {"mean": 1}}}, "axes.0.draw.normal.sd: is missing"),
        ({"draw": {"normal": {"mean": 1, "sigma": 1}}}, "unknown key"),
        ({"draw": {"normal": {"mean": 1, "sd": -1}}}, "draw.normal.sd"),
        ({"draw": {"normal": {"mean": 1, "sd": 1, "low": 2, "high": 1}}}, "low 2 is not below"),
        ({"draw": {"normal": {"mean": 1, "sd": 1, "low": 20}}}, "next to nothing"),
        ({"draw": {"choice": {"values": []}}}, "draw.choice.values"),
        ({"draw": {"choice": {"values": [1, 2], "weights": [1]}}}, "1 weights for 2 values"),
        ({"draw": {"choice": {"values": [1, 2], "weights": [0, 0]}}}, "all weights are 0"),
        ({"draw": {"choice": {"values": [1, [2, 3]]}}}, "different shapes"),
        ({"draw": {"choice": {"values": ["none", None]}}}, "'none' beside null"),
        ({"draw": {"mixture": []}}, "draw.mixture"),
        ({"draw": {"chance": {"probability": 2, "then": 1, "otherwise": 2}}}, "probability"),
        ({"draw": {"chance": {"probability": 1, "then": 1}}}, "otherwise: is missing"),
        ({"draw": {"choice": {"values": [True, 9000]}}}, "true or false beside numbers"),
        (
            {"draw": {"chance": {"probability": 0, "then": True, "otherwise": 9000}}},
            "true or false beside numbers",
        ),
        (
            {"draw": {"uniform": {"low": 0, "high": 1e20, "scale": "integer"}}},
            "draw.uniform.high: whole numbers are drawn up to 2^53",
        ),
        (
            {"draw": {"uniform": {"low": -1e20, "high": 1, "scale": "integer"}}},
            "draw.uniform.low: whole numbers are drawn up to 2^53",
        ),
        ({"draw": {"normals": {"mean": [1, 2], "sd": []}}}, "sd: 0 of it for a mean of 2"),
        ({"draw": {"normals": {"mean": [1, 2]}}}, "needs covariance, covariance_file or sd"),
        ({"draw": {"normals": {"mean": [1, 2], "sd": [1]}}}, "1 of it for a mean of 2"),
        (
            {"draw": {"normals": {"mean": [1, 2], "covariance": [[1, 2], [2, 1]]}}},
            "not positive semi-definite",
        ),
        (
            {"draw": {"normals": {"mean": [1, 2], "covariance": [[1, 0.5], [0, 1]]}}},
            "not symmetric",
        ),
        ({"draw": {"normals": {"mean": [1, 2], "covariance_file": "c.npy"}}}, "was not read"),
        ({"draw": {"misset": {"sd_deg": 1}}}, "what is drawn sets crystal.quaternion_xyzw"),
        ({"draw": {"when": {"axis": "hut", "equals": 1, "then": 1, "otherwise": 2}}}, "'hut'"),
        (
            {"draw": {"when": {"axis": "hit", "equals": "yes", "then": 1, "otherwise": 2}}},
            "'yes' is not a value of 'hit'",
        ),
        (
            {"draw": {"when": {"axis": "hit", "equals": [[1, 2]], "then": 1, "otherwise": 2}}},
            "draw.when.equals: a vector decides nothing",
        ),
        ({"draw": {"when": {"axis": "energy", "equals": 1, "then": 1, "otherwise": 2}}}, "depend"),
    ],
)
def test_mistakes_in_draws_are_told_in_one_line(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        sweep_of({"name": "energy", "path": ENERGY, **change}, HIT)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.spec("SWP-14")
def test_counts_and_seeds_without_draws_and_draws_without_counts_are_refused() -> None:
    with pytest.raises(InputError, match="how many values are drawn along 'shot'"):
        sweep_of(HIT, count=None)
    with pytest.raises(InputError, match=r"axes.0.path: is missing"):
        sweep_of({"name": "phi", "values": [1, 2]}, count=None)
    with pytest.raises(InputError, match="is missing; name the field that 'z' sets, or use it"):
        sweep_of({"name": "z", "draw": NORMAL})
    with pytest.raises(InputError, match="4 values along 'shot', where another axis has 3"):
        sweep_of(axis("a", ENERGY, **NORMAL, count=3), axis("b", FLUX, **NORMAL, count=4))
    phi = {"name": "phi", "path": "goniometer.phi_deg", "values": [1, 2]}
    for field in ("count", "seed"):
        with pytest.raises(InputError, match=f"{field}: no axis is drawn"):
            parse_sweep({"experiment": EXPERIMENT, "axes": [phi], field: 3})


@pytest.mark.spec("SWP-14")
def test_a_count_that_no_draw_has_is_refused() -> None:
    with pytest.raises(InputError, match="count: 50 positions, where 'a' is drawn 3 times"):
        sweep_of(axis("a", ENERGY, **NORMAL, count=3))
    assert sweep_of(axis("a", ENERGY, **NORMAL, count=50)).frames == 50
    assert sweep_of(axis("a", ENERGY, **NORMAL, count=3), count=None).frames == 3
    along = [
        {"dim": name, **axis(name, path, **NORMAL)} for name, path in (("a", ENERGY), ("b", FLUX))
    ]
    along[0]["draw"] = {**NORMAL, "count": 3}
    assert sweep_of(*along).dims == (("a", 3), ("b", 50))


@pytest.mark.spec("SWP-11")
@pytest.mark.parametrize(
    "given",
    [
        {"values": [True, None] * 25},
        {"draw": {"choice": {"values": [True, None]}}},
        {"draw": {"chance": {"probability": 0.5, "then": True, "otherwise": None}}},
        {"draw": {"mixture": [{"weight": 1, "draw": True}, {"weight": 1, "draw": None}]}},
    ],
)
def test_true_beside_null_is_no_number(given: dict[str, Any]) -> None:
    count = {"count": None} if "values" in given else {}
    with pytest.raises(InputError, match="true/false is not allowed here"):
        sweep_of({"name": "a", "path": FLUX, **given}, **count)
    (made,) = sweep_of({"name": "a", "path": "crystal.present", **given}, **count).axes
    assert {made.item(index) for index in range(50)} == {True, None}
    assert all(type(made.item(index)) in (bool, type(None)) for index in range(50))
    assert np.isnan(made.expanded.array).any()
    again = parse_sweep(
        to_plain(sweep_of({"name": "a", "path": "crystal.present", **given}, **count))
    )
    assert again.axes[0].expanded == made.expanded


@pytest.mark.spec("SWP-14")
def test_the_extremes_of_long_draws_are_checked_when_a_sweep_is_loaded() -> None:
    """Of 100,000 numbers one alone is beyond what the field takes."""
    plain = np.sort(drawn(100_000, name="spread", normal={"mean": 0, "sd": 1}))
    spread = {"normal": {"mean": -0.5 * (plain[0] + plain[1]), "sd": 1}}
    assert (drawn(100_000, name="spread", **spread) < 0).sum() == 1
    with pytest.raises(InputError, match=r"crystal\.mosaic\.spread_deg: .*greater than or equal"):
        sweep_of(axis("spread", "crystal.mosaic.spread_deg", **spread), count=100_000)
