"""Specification files: YAML in, one clear line out when it cannot be used."""

from __future__ import annotations

import pickle

import pytest

from distbragg.errors import ExitStatus, InputError
from distbragg.models.tables import load_any, load_sweep
from distbragg.spec.load import apply_overrides, load_spec, parse_spec, parse_sweep
from distbragg.spec.yaml_text import MAXIMUM_FILE_BYTES

CELL = {"crystal": {"cell": [40, 50, 60, 80, 90, 100]}}


@pytest.fixture
def write(tmp_path):
    def _write(text, name="experiment.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return _write


def refused(call, *args, **kwargs) -> InputError:
    with pytest.raises(InputError) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_status is ExitStatus.BAD_INPUT
    return caught.value


def test_a_minimal_file_loads_with_defaults_left_open(write):
    spec = load_spec(write("beam: {wavelength_angstrom: 1.3}\n"))
    assert spec.physics == "exact"
    assert spec.beam.wavelength_angstrom == 1.3
    assert spec.detector.distance_mm is None


def test_exponents_without_a_sign_are_numbers(write):
    spec = load_spec(write("beam: {flux_photons_per_s: 1e12, exposure_s: 1E-1, size_mm: 2.e-2}"))
    assert (spec.beam.flux_photons_per_s, spec.beam.exposure_s) == (1e12, 0.1)


def test_a_byte_order_mark_and_windows_line_ends_are_read(write):
    spec = load_spec(write("\ufefftitle: käse\r\nbeam:\r\n  energy_ev: 9000\r\n"))
    assert (spec.title, spec.beam.energy_ev) == ("käse", 9000.0)


@pytest.mark.spec("CLI-2")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["is empty"]),
        ("- 1\n- 2\n", ["top level is a list"]),
        ("just words", ["top level is a single value"]),
        ("title: a\ntitle: b\n", [":2:", "'title' is given twice"]),
        ("beam: &b {energy_ev: 1}\ndetector: *b\n", [":2:", "alias *b"]),
        ("beam: {1: 2}", ["the key 1 is not text"]),
        ("beam: {energy_ev: 1\n", ["cannot be read as YAML"]),
        ("x: " + "[" * 65 + "]" * 65, ["nested deeper than 64"]),
        ("x: " + "[" * 200_000, ["nested deeper than 64"]),
        ("a: !!python/object/apply:os.system [ls]", ["cannot be read as YAML"]),
        ('title: !!int ""', ["cannot be read as YAML"]),
        ("title: !!timestamp 2020-99-99", ["cannot be read as YAML"]),
        (b"\x00\x01\x02", ["cannot be read as YAML"]),
        (b"\xff\xfe\x00z", ["not a text file"]),
        ("beam: {energy_ev: " + "9" * 5000 + "}", ["a number has more than 4300 digits"]),
    ],
)
def test_what_is_no_usable_yaml_is_refused_in_one_line(write, text, words):
    message = str(refused(load_spec, write(text)))
    for word in ["experiment.yaml", *words]:
        assert word in message


def test_a_missing_file_a_folder_and_an_overlong_file_are_refused(tmp_path, write):
    assert "none.yaml: not found" in str(refused(load_spec, tmp_path / "none.yaml"))
    folder = str(refused(load_spec, tmp_path))
    assert "is a folder, not a file" in folder
    assert "distbragg info" in folder
    assert "null byte" in str(refused(load_spec, "a\0b"))
    big = write(b"#" * (MAXIMUM_FILE_BYTES + 1))
    assert "larger than 16 MiB" in str(refused(load_spec, big))


@pytest.mark.spec("CLI-2")
@pytest.mark.spec("CLI-3")
@pytest.mark.parametrize(
    ("data", "field", "words"),
    [
        (
            {"beam": {"wavelenth_angstrom": 1}},
            "beam.wavelenth_angstrom",
            "beam.wavelength_angstrom",
        ),
        (
            {"wavelength_angstrom": 1},
            "wavelength_angstrom",
            "did you mean beam.wavelength_angstrom",
        ),
        ({"bean": {}}, "bean", "did you mean beam?"),
        (
            {"crystal": {"mosaic_spread_deg": 1}},
            "crystal.mosaic_spread_deg",
            "did you mean crystal.mosaic.spread_deg?",
        ),
        ({"detector": {"beam_center_px": 1}}, "detector.beam_center_px", "detector.orgx_px"),
        ({"detector": {"xbeam": 1}}, "detector.xbeam", "did you mean detector.xbeam_mm?"),
        ({"crystal": {"cell": {"a": 1}}}, "crystal.cell", "b is missing; a cell has a, b, c"),
        ({"zzzz": {}}, "zzzz", "known keys are title"),
        ({"detector": {"sensor": {"thick_um": 1}}}, "detector.sensor.thick_um", "thickness_um"),
        ({"beam": 5}, "beam", "needs a mapping of fields, got 5"),
        ({"beam": {"energy_ev": "abc"}}, "beam.energy_ev", "must be a number"),
        ({"beam": {"energy_ev": True}}, "beam.energy_ev", "true/false is not allowed here"),
        (
            {"crystal": {"block_cells": [1, True, 2]}},
            "crystal.block_cells",
            "true/false is not allowed here",
        ),
        ({"beam": {"energy_ev": float("nan")}}, "beam.energy_ev", "finite"),
        ({"beam": {"energy_ev": float("inf")}}, "beam.energy_ev", "finite"),
        ({"beam": {"energy_ev": -1}}, "beam.energy_ev", "greater than 0, got -1"),
        ({"beam": {"direction": [0, 0]}}, "beam.direction.2", "is missing"),
        ({"detector": {"pixels_fast": 2.5}}, "detector.pixels_fast", "whole number"),
        ({"detector": {"pixels_slow": 0}}, "detector.pixels_slow", "greater than or equal to 1"),
        ({"detector": {"pixels_slow": 10**9}}, "detector.pixels_slow", "less than or equal"),
        ({"detector": {"pixel_size_mm": 10**400}}, "detector.pixel_size_mm", "a huge integer"),
        ({"detector": {"distance_mm": 0}}, "detector.distance_mm", "greater than 0"),
        ({"compute": {"tile": "big"}}, "compute.tile", "needs a list or must be 'auto'"),
        ({"compute": {"device": "toaster"}}, "compute.device", "cpu, cuda, or cuda:N"),
        ({"noise": {"seed": -1}}, "noise.seed", "greater than or equal to 0"),
        ({"crystal": {"misset_deg": [1, 2, float("inf")]}}, "crystal.misset_deg.2", "finite"),
        ({"crystal": {"misset_deg": "randm"}}, "crystal.misset_deg", "'random'"),
        ({"header_files": [{"path": "a.img", "role": "x"}]}, "header_files.0.role", "'mask'"),
    ],
)
def test_a_bad_field_is_named_with_what_is_wrong(data, field, words):
    error = refused(parse_spec, data, source="exp.yaml")
    assert error.field == field
    assert str(error).startswith(f"exp.yaml: {field}: ")
    assert words in str(error)


def test_the_other_problems_are_counted_by_field_and_not_by_union_branch():
    data = {
        "beam": {"energy_ev": -1},
        "crystal": {"misset_deg": [1, 2, "x"]},
        "detector": {"pixls": 3},
    }
    error = refused(parse_spec, data)
    assert error.field == "beam.energy_ev"
    assert str(error).endswith("2 more problems")


def test_long_values_are_shortened_in_messages():
    error = refused(parse_spec, {"beam": {"energy_ev": "x" * 10_000}})
    assert len(str(error)) < 200


def test_an_error_survives_pickling():
    error = refused(parse_spec, {"bean": 1}, source="a.yaml")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.field) == (str(error), "bean")


def test_relative_files_are_taken_from_the_specs_folder(write, tmp_path):
    text = """
    beam: {spectrum: {file: s.csv}}
    crystal: {matrix_file: sub/A.mat}
    structure_factors: {file: /abs/a.hkl}
    detector: {mask_file: m.img}
    background: {stol_file: bg.stol}
    header_files: [{path: m.img, role: mask}]
    """
    spec = load_spec(write(text))
    assert spec.beam.spectrum.file == str(tmp_path / "s.csv")
    assert spec.crystal.matrix_file == str(tmp_path / "sub" / "A.mat")
    assert spec.structure_factors.file == "/abs/a.hkl"
    assert spec.detector.mask_file == spec.header_files[0].path == str(tmp_path / "m.img")
    assert spec.background.stol_file == str(tmp_path / "bg.stol")


def test_without_a_folder_file_names_stay_as_written():
    assert parse_spec({"beam": {"source_file": "s.txt"}}).beam.source_file == "s.txt"


@pytest.mark.spec("CLI-4")
def test_overrides_apply_in_order_and_are_read_as_yaml(write):
    path = write("beam: {energy_ev: 9000}\ncrystal: {cell: [1, 2, 3, 90, 90, 90]}")
    overrides = [
        "beam.energy_ev=8e3",
        "crystal.cell.1=25.5",
        "crystal.mosaic.spread_deg=0.2",
        "sampling.oversample=auto",
        "beam.energy_ev=7000",
        "beam.spectrum={energies_ev: [7000, 7001], weights: [1, 2]}",
    ]
    spec = load_spec(path, overrides)
    assert spec.beam.energy_ev == 7000
    assert spec.crystal.cell[1] == 25.5
    assert spec.crystal.mosaic.spread_deg == 0.2
    assert spec.beam.spectrum.weights == (1.0, 2.0)


@pytest.mark.spec("CLI-3")
@pytest.mark.spec("CLI-4")
@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("beam.energy=5", "did you mean beam.energy_ev?"),
        ("energy_ev", "is not an assignment"),
        ("=5", "is not an assignment"),
        ("beam.energy_ev=[1", "cannot be read as YAML"),
        ("crystal.cell.0=5", "there is no element 0 to set"),
        ("crystal.cell.x=5", "no field"),
        ("beam.energy_ev.x=5", "no field"),
        ("title.0=5", "no field"),
    ],
)
def test_a_bad_override_is_refused_with_the_nearest_path(override, words):
    assert words in str(refused(apply_overrides, {}, [override]))


def test_overrides_leave_the_given_data_alone():
    data = {"crystal": {"cell": [1, 2, 3, 90, 90, 90]}}
    apply_overrides(data, ["crystal.cell.0=9", "beam.energy_ev=1"])
    assert data == {"crystal": {"cell": [1, 2, 3, 90, 90, 90]}}


def test_an_experiment_file_is_a_sweep_of_one_frame_to_load_any(write):
    sweep = load_any(write("title: one"), ["title=two"])
    assert (sweep.frames, sweep.dims, sweep.experiment.title) == (1, (), "two")


def test_each_kind_of_file_is_refused_by_the_other_loader(write):
    sweep = write("experiment: {title: a}\naxes: []", "sweep.yaml")
    assert "is a sweep" in str(refused(load_spec, sweep))
    assert "no `experiment:`" in str(refused(load_sweep, write("title: a")))
    assert load_any(sweep).experiment.title == "a"


def test_a_sweep_may_name_the_file_of_its_experiment(write, tmp_path):
    (tmp_path / "base").mkdir()
    write("structure_factors: {file: a.hkl}\nbeam: {energy_ev: 9000}", "base/e.yaml")
    sweep = load_sweep(
        write(
            "experiment: base/e.yaml\n"
            "axes: [{name: f, path: structure_factors.file, values: [a.hkl, b.hkl]}]",
            "sweep.yaml",
        ),
        ["beam.energy_ev=8000"],
    )
    assert sweep.experiment.structure_factors.file == str(tmp_path / "base" / "a.hkl")
    assert sweep.frame_spec(1).structure_factors.file == str(tmp_path / "b.hkl")
    assert sweep.experiment.beam.energy_ev == 8000


def test_sweep_overrides_reach_the_axes_and_the_experiment():
    data = {
        "experiment": {},
        "axes": [
            {
                "name": "x",
                "path": "detector.twotheta_deg",
                "linspace": {"start": 0, "stop": 1, "count": 3},
            }
        ],
    }
    overrides = ["axes.0.linspace.count=7", "experiment.title=t", "beam.energy_ev=1e4"]
    sweep = parse_sweep(data, overrides=overrides)
    assert (sweep.frames, sweep.experiment.title, sweep.experiment.beam.energy_ev) == (7, "t", 1e4)
    assert "swept by the axis 'x'" in str(
        refused(parse_sweep, data, overrides=["detector.twotheta_deg=3"])
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"axes": []}, "experiment: is missing"),
        ({"experiment": 5}, "experiment: needs a mapping"),
        ({"experiment": {}, "axes": 3}, "axes: needs a list"),
        ({"experiment": {}, "axes": [3]}, "axes.0: needs a mapping"),
        ({"experiment": {}, "beam": {}}, "beam: unknown key"),
        ({"experiment": {"bean": 1}}, "experiment.bean: unknown key; did you mean beam?"),
        ({"experiment": "/none/such.yaml"}, "such.yaml: not found"),
    ],
)
def test_a_bad_sweep_file_is_refused_with_its_place(data, words):
    assert words in str(refused(parse_sweep, data))


def test_a_cell_may_be_written_by_name():
    named = dict(
        zip(("gamma", "beta", "alpha", "c", "b", "a"), (95, 100, 85, 41, 37, 31), strict=True)
    )
    spec = parse_spec({"crystal": {"cell": named}})
    assert spec.crystal.cell == (31, 37, 41, 85, 100, 95)


@pytest.mark.spec("CLI-4")
@pytest.mark.parametrize(
    ("text", "load"),
    [("title: one", load_spec), ("experiment: {title: one}\naxes: []", load_sweep)],
)
def test_a_value_that_set_gave_is_refused_by_the_name_of_the_flag(write, text, load):
    path = write(text)
    error = refused(load, path, ["detector.distance_mm=-5"])
    assert str(error).startswith("--set: ")
    assert "detector.distance_mm: must be greater than 0" in str(error)
    assert str(path) not in str(error)
    of_file = refused(load, write(f"{text}".replace("title", "heading")), ["beam.energy_ev=9000"])
    assert str(of_file).startswith(str(path))


@pytest.mark.spec("CLI-23")
def test_zero_padded_numbers_are_decimal(write):
    """faults/attack/numbers: YAML 1.1 made 104, 16 and 8 of them."""
    spec = load_spec(
        write(
            "crystal: {block_cells: [010, 010, 010]}\n"
            "detector: {distance_mm: 0150, pixels_fast: 20, pixels_slow: 0020}"
        ),
        ["beam.wavelength_angstrom=01.50", "noise.seed=0o17"],
    )
    assert spec.crystal.block_cells == (10, 10, 10)
    assert (spec.detector.distance_mm, spec.detector.pixels_slow) == (150, 20)
    assert (spec.beam.wavelength_angstrom, spec.noise.seed) == (1.5, 15)


@pytest.mark.spec("CLI-23")
@pytest.mark.parametrize("text", ["1:30", "1:30:00", "0b11", "!!int 1:30", "!!float 1:30"])
def test_numbers_of_yaml_1_1_alone_are_refused_with_a_remedy(write, text):
    error = refused(load_spec, write(f"detector: {{distance_mm: {text}}}"))
    assert text.rpartition(" ")[2] in str(error)
    assert text.startswith("!!") or "write it in decimal" in error.remedy
    override = refused(load_spec, write("title: a"), [f"detector.distance_mm={text}"])
    assert str(override).startswith("--set")
    axis = f"{{name: d, path: detector.distance_mm, values: [10, {text}]}}"
    refused(load_sweep, write(f"experiment: {{}}\naxes: [{axis}]"))


@pytest.mark.spec("CLI-23")
@pytest.mark.parametrize("word", ["yes", "no", "off", "1:30", "2020-01-01", "1_000", "0x", "="])
def test_words_are_text_where_text_belongs(write, word):
    assert load_spec(write(f"title: {word}")).title == word


@pytest.mark.spec("CLI-23")
def test_switches_are_words_or_booleans(write):
    for word, meant in (("true", True), ("False", False), ("yes", True), ("no", False)):
        assert load_spec(write(f"noise: {{photon: {word}}}")).noise.photon is meant
    assert "must be true or false" in str(refused(load_spec, write("noise: {photon: perhaps}")))
