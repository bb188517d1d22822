"""Specifications survive the way to plain data and back, whatever they hold."""

from __future__ import annotations

import json

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from distbragg.spec.canonical import canonical_json, to_plain
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.load import parse_spec, parse_sweep
from distbragg.spec.yaml_text import parse_yaml

finite = st.floats(-1e100, 1e100)
positive = st.floats(min_value=1e-12, max_value=1e12)
count = st.integers(1, 1_000_000)
# PyYAML writes text such as 0E0 without quotes: in YAML 1.1, which it writes, that is text.
text = st.text(
    st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=12
).filter(lambda word: not word.lstrip("+-.")[:1].isdecimal())
vector = st.tuples(finite, finite, finite)
direction = vector.filter(any)
# What frames may have of these is bounded.
turns = st.tuples(*[st.floats(-1e6, 1e6)] * 3)
places = st.tuples(*[st.floats(-1e7, 1e7)] * 3)
mrad = st.floats(-6e3, 6e3)


def maybe(**fields):
    """Mappings holding any subset of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


beams = maybe(
    wavelength_angstrom=st.floats(1e-5, 1e6),
    direction=direction,
    fluence_photons_per_m2=positive,
    size_mm=st.floats(1e-12, 1e6),
    polarization=maybe(
        enabled=st.booleans(), kahn_factor=st.floats(-1, 1, allow_nan=False), axis=direction
    ),
    divergence=maybe(
        horizontal=maybe(range_mrad=mrad, step_mrad=mrad, steps=st.integers(1, 99)),
        shape=st.sampled_from(["round", "square"]),
    ),
    spectrum=st.lists(st.tuples(st.floats(1e-2, 1e9), positive), min_size=1, max_size=4).map(
        lambda lines: {"energies_ev": [e for e, _ in lines], "weights": [w for _, w in lines]}
    ),
    weighting=st.sampled_from(["auto", "sum", "count", "none"]),
)
crystals = maybe(
    cell=st.tuples(*[st.floats(1, 500)] * 3, *[st.floats(70, 115)] * 3),
    misset_deg=st.one_of(turns, st.just("random")),
    misset_seed=st.integers(-(2**31) + 1, 2**31 - 1),
    block_cells=st.tuples(count, count, count),
    block_size_mm=st.tuples(positive, positive, positive),
    shape=st.sampled_from(["square", "round", "gauss", "tophat"]),
    mosaic=maybe(spread_deg=positive, domains=count, per_frame=st.booleans()),
)
detectors = maybe(
    distance_mm=st.floats(1e-3, 1e7),
    pixels_fast=count,
    pixels_slow=count,
    rotation_deg=turns,
    origin_mm=places,
    axes=maybe(fast=direction, slow=direction),
    sensor=maybe(attenuation_length_um=st.one_of(positive, st.just(float("inf")))),
    curved=st.sampled_from([False, True, "sphere", "cylinder_fast", "cylinder_slow"]),
    mask_file=text,
)
experiments = maybe(
    title=text,
    physics=st.sampled_from(["exact", "nanobragg"]),
    beam=beams,
    crystal=crystals,
    detector=detectors,
    sampling=maybe(oversample=st.one_of(st.integers(1, 99), st.just("auto"))),
    noise=maybe(photon=st.booleans(), seed=st.integers(0, 2**63 - 1)),
    compute=maybe(tile=st.one_of(st.just("auto"), st.tuples(count, count))),
    header_files=st.lists(
        st.fixed_dictionaries({"path": text, "role": st.sampled_from(["mask", "image"])}),
        max_size=2,
    ),
)


@settings(max_examples=100, deadline=None)
@given(experiments)
def test_plain_json_and_yaml_read_back_to_the_same_specification(data):
    spec = parse_spec(data)
    plain = to_plain(spec)
    assert parse_spec(plain) == spec
    assert ExperimentSpec(**plain) == spec
    assert parse_spec(json.loads(canonical_json(spec))) == spec
    assert parse_spec(parse_yaml(yaml.safe_dump(plain, allow_unicode=True))) == spec


def reversed_keys(data):
    if isinstance(data, dict):
        return {key: reversed_keys(data[key]) for key in reversed(data)}
    return [reversed_keys(item) for item in data] if isinstance(data, list | tuple) else data


@settings(max_examples=100, deadline=None)
@given(experiments)
def test_canonical_text_does_not_know_the_order_of_keys(data):
    spec, turned = parse_spec(data), parse_spec(reversed_keys(data))
    assert canonical_json(spec) == canonical_json(turned)
    assert canonical_json(to_plain(spec)) == canonical_json(reversed_keys(to_plain(spec)))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.data(),
)
def test_frame_indices_enumerate_the_grid_in_c_order(sizes, data):
    paths = ["detector.twotheta_deg", "goniometer.phi_deg", "detector.rotation_deg.1", "title"]
    axes = [
        {
            "name": f"x{i}",
            "path": path,
            "values": [f"v{j}" if path == "title" else j for j in range(n)],
        }
        for i, (path, n) in enumerate(zip(paths, sizes, strict=False))
    ]
    sweep = parse_sweep({"experiment": {}, "axes": axes})
    index = data.draw(st.integers(0, sweep.frames - 1))
    position = sweep.frame_index(index)
    flat = 0
    for name, size in sweep.dims:
        flat = flat * size + position[name]
    assert flat == index
    values = sweep.frame_values(index)
    assert [values[axis["path"]] for axis in axes] == [
        axis["values"][position[axis["name"]]] for axis in axes
    ]
