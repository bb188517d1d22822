"""Whatever a file or a command line holds, the only error is one line for the user."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from distbragg.errors import InputError
from distbragg.models.tables import load_any
from distbragg.spec.load import apply_overrides, parse_spec, parse_sweep
from distbragg.spec.nanobragg import parse_nanobragg
from distbragg.spec.nanobragg_flags import FLAGS
from distbragg.spec.paths import field_paths

SEED_TEXT = """\
experiment:
  physics: exact
  beam: {wavelength_angstrom: 1.0, spectrum: {energies_ev: [1e4, 1.1e4], weights: [1, 2]}}
  crystal: {cell: [40, 50, 60, 80, 90, 100], misset_deg: random, block_cells: [5, 6, 7]}
  detector: {pixels_fast: 17, pixels_slow: 23, roi: [0, 5, 1, 4], sensor: {layers: 3}}
  header_files: [{path: a.img, role: mask}]
axes:
- {name: mosaic, path: crystal.mosaic.spread_deg, linspace: {start: 0, stop: 1, count: 3}}
- {name: cell_a, path: crystal.cell.0, values: [40, 41.5]}
- {name: orientation, random_orientations: {count: 2, seed: 1}}
"""

FRAGMENTS = st.sampled_from(
    ["{", "}", "[", "]", ":", ": ", "- ", "\n", "&a ", "*a", "!!int ", "!!binary ", "? ", "|\n ",
     "nan", ".nan", "-.inf", "1e400", "0x", "1:30", "2020-02-30", "~", "true", "'", '"', "\t", "\0",
     "é", "<<: ", "%YAML 9", "---\n", "!!set {a}", "!!timestamp x", "9" * 400, "a.b.c", "auto"]
)  # fmt: skip


@st.composite
def mutated(draw):
    data = SEED_TEXT
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 12))
        data = (
            data[:start] + draw(st.one_of(FRAGMENTS, st.text(max_size=4))) + data[start + length :]
        )
    return data


def one_line_or_fine(call, *args, **kwargs):
    refusals = []
    try:
        return call(*args, **kwargs)
    except InputError as error:
        refusals.append(str(error))
    message = refusals[0]
    assert message.strip()
    assert "\n" not in message
    assert len(message) < 2000
    return None


@settings(max_examples=200, deadline=None)
@given(mutated())
def test_a_mutated_file_loads_or_is_refused_in_one_line(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("garbage") / "sweep.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    sweep = one_line_or_fine(load_any, path)
    if sweep is not None:
        one_line_or_fine(sweep.frame_spec, sweep.frames - 1)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_in_one_line(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("bytes") / "e.yaml"
    path.write_bytes(data)
    one_line_or_fine(load_any, path)


leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6), st.binary(max_size=3)
)
keys = st.one_of(
    st.sampled_from([part for path in field_paths() for part in path.split(".")]),
    st.text(max_size=5),
    st.integers(),
)
nested = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=6), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=20,
)
PATHS = sorted(field_paths())
assignments = st.tuples(st.one_of(st.sampled_from(PATHS), st.text(max_size=6)), st.text(max_size=6))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(PATHS), nested)
def test_any_value_of_any_field_is_taken_or_refused(path, value):
    data: object = value
    for part in reversed(path.split(".")):
        data = {part: data}
    one_line_or_fine(parse_spec, data, source="e.yaml")


@settings(max_examples=100, deadline=None)
@given(st.one_of(nested, st.fixed_dictionaries({"experiment": st.just({}), "axes": st.lists(
    st.fixed_dictionaries({"name": st.sampled_from(["a", "b", ""]), "path": st.sampled_from(PATHS),
                           "values": st.lists(nested, max_size=3)}), max_size=2)})))  # fmt: skip
def test_any_sweep_is_taken_or_refused(data):
    one_line_or_fine(parse_sweep, data, source="s.yaml")


@settings(max_examples=100, deadline=None)
@given(st.lists(assignments, max_size=3))
def test_any_override_is_taken_or_refused(pairs):
    overrides = [f"{path}={value}" for path, value in pairs]
    data = one_line_or_fine(apply_overrides, {}, overrides)
    if data is not None:
        one_line_or_fine(parse_spec, data)


tokens = st.one_of(
    st.sampled_from(sorted(FLAGS)),
    st.integers(-5, 10**12).map(str),
    st.floats().map(str),
    st.text(max_size=5),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(tokens, max_size=12), st.booleans())
def test_any_command_line_is_taken_or_refused(argv, with_subject):
    subject = ["-cell", "40", "50", "60", "-default_F", "1"] if with_subject else []
    command = one_line_or_fine(parse_nanobragg, [*subject, *argv])
    if command is not None:
        assert all("\n" not in line for line in command.warnings)
