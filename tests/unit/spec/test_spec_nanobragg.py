"""nanoBragg's command line: every flag's meaning, order, warnings and refusals."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from distbragg.errors import InputError
from distbragg.spec.nanobragg import NanobraggOutputs, OwnOptions, parse_nanobragg
from distbragg.spec.nanobragg_flags import FLAGS, GROUPS
from distbragg.spec.paths import split_path

TESTS = Path(__file__).parents[2]
GOLDEN = next(
    (
        path
        for folder in (TESTS / "golden", TESTS.parents[1] / "shared" / "golden")
        for path in sorted(folder.rglob("cases.json"))
    ),
    None,
)
SUBJECT = "-cell 40 50 60 80 90 100 -default_F 10"

NAMES = """
-N -Na -Nb -Nc -cell -misset -samplesize -sample_size -xtalsize -xtal_size -sample_thick -sample_x
-xtal_thick -xtal_x -sample_width -sample_y -xtal_width -xtal_y -width -sample_height -sample_z
-xtal_height -xtal_z -height -density -sample_den -MW -molecular_weight -mat -matrix -round_xtal
-square_xtal -gauss_xtal -binary_spots -tophat_spots -fudge -mosaic -mosaicity -mosaic_spread
-mosaic_domains -mosaic_seed -misset_seed -hkl -default_F -dump -interpolate -nointerpolate -dmin
-stol -4stol -Q -stolout -water -detsize -detsize_f -detsize_s -detpixels -detpixels_f
-detpixels_x -detpixels_s -detpixels_y -pixel -distance -close_distance -Xbeam -Ybeam -Xclose
-Yclose -ORGX -ORGY -pivot -mosflm -xds -adxv -denzo -dials -fdet_vector -sdet_vector -odet_vector
-beam_vector -polar_vector -spindle_axis -twotheta_axis -pix0_vector -twotheta -detector_rotx
-detector_roty -detector_rotz -curved_det -point_pixel -detector_abs -detector_absorb
-detector_thick -detector_thicksteps -thicksteps -roi -mask -img -lambda -wave -wavelength -energy
-fluence -flux -exposure -beamsize -polar -nopolar -dispersion -dispsteps -divergence -hdivrange
-vdivrange -hdivstep -vdivstep -hdivsteps -vdivsteps -divsteps -round_div -square_div -sourcefile
-coherent -phi -osc -phistep -phisteps -oversample -oversample_thick -oversample_polar
-oversample_omega -floatfile -floatimage -intfile -intimage -pgmfile -pgmimage -noisefile
-noiseimage -nonoise -nopgm -scale -pgmscale -adc -seed -printout -printout_pixel -progress
-noprogress -matrix -adcoffset -pix0_vector_mm -detsize_x -detsize_y -xdet_vector -ydet_vector
-zdet_vector -hdiv -vdiv
"""


def parse(text: str, subject: str = SUBJECT):
    return parse_nanobragg([*subject.split(), *text.split()], base_dir="/data")


def refused(text: str, subject: str = SUBJECT) -> str:
    with pytest.raises(InputError) as caught:
        parse(text, subject)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.spec("CLI-5")
def test_every_flag_the_program_parses_is_in_the_table():
    assert not [name for name in NAMES.split() if name not in FLAGS]


def test_no_name_stands_in_the_table_twice_and_each_row_explains_itself():
    names = [name for flags in GROUPS.values() for flag in flags for name in flag.names]
    assert len(names) == len(set(names)) == len(FLAGS)
    for flag in FLAGS.values():
        assert flag.help
        assert bool(flag.reason) == (flag.kind != "honoured")


def test_every_field_of_the_table_exists():
    for flag in FLAGS.values():
        for path in flag.fields:
            if not path.startswith(("outputs.", "own.")):
                parts = [part for part in path.split(".") if not part.isdecimal()]
                split_path(".".join(parts))


def cases():
    return [] if GOLDEN is None else json.loads(GOLDEN.read_text())["cases"]


@pytest.mark.spec("CLI-5")
@pytest.mark.parametrize("case", cases(), ids=lambda case: case["id"])
def test_every_golden_case_parses_to_its_shape(case):
    command = parse_nanobragg(case["args"].split(), base_dir=GOLDEN.parent / "inputs")
    detector = command.spec.detector
    assert [detector.pixels_slow, detector.pixels_fast] == case["shape"]
    assert command.spec.physics == "nanobragg"
    assert command.outputs == NanobraggOutputs()


def test_defaults_are_those_of_the_command():
    command = parse("")
    assert command.spec.physics == "nanobragg"
    assert command.spec.detector.convention == "mosflm"
    assert command.spec.compute.precision == "mixed"
    assert command.spec.beam.weighting == "auto"
    assert command.spec.noise.photon is False
    assert (command.own, command.outputs) == (OwnOptions(), NanobraggOutputs())
    assert command.warnings == ()


def test_a_cell_stops_at_the_next_flag_and_fills_in_as_the_program_does():
    def cell(text):
        return parse(text, "-default_F 1").spec.crystal.cell

    assert cell("-cell 40 -N 3") == (40, 40, 40, 90, 90, 90)
    assert cell("-cell 40 50") == (40, 50, 40, 90, 90, 90)
    assert cell("-cell 40 50 60 80 -lambda 1") == (40, 50, 60, 80, 90, 90)
    assert cell("-cell 40 0 60 80 0 70") == (40, 40, 60, 80, 90, 70)
    assert cell("-cell 40 50 60 80 85 75") == (40, 50, 60, 80, 85, 75)


def test_later_flags_override_earlier_ones():
    crystal = parse("-N 5 -Nb 7 -round_xtal -gauss_xtal").spec.crystal
    assert (crystal.block_cells, crystal.shape) == ((5, 7, 5), "gauss")
    assert parse("-Nb 7 -N 5").spec.crystal.block_cells == (5, 5, 5)
    assert parse("-Na 4").spec.crystal.block_cells == (4, 1, 1)
    assert parse("-N -3").spec.crystal.block_cells == (1, 1, 1)
    beam = parse("-energy 9000 -lambda 1.3").spec.beam
    assert (beam.wavelength_angstrom, beam.energy_ev) == (1.3, None)
    beam = parse("-wave 1.3 -energy 9000").spec.beam
    assert (beam.wavelength_angstrom, beam.energy_ev) == (None, 9000)
    assert parse("-interpolate -nointerpolate").spec.structure_factors.interpolate is False


def test_crystal_flags_keep_their_units_and_seeds():
    crystal = parse(
        "-misset_seed 4 -misset 10 -20 30 -sample_size 0.02 -height 0.01 -fudge 2 "
        "-mosaicity 0.4 -mosaic_dom 12 -mosaic_seed 99"
    ).spec.crystal
    assert crystal.misset_deg == (10, -20, 30)
    assert crystal.misset_seed == 4
    assert crystal.block_size_mm == (0.02, 0.02, 0.01)
    assert crystal.fudge == 2
    assert (crystal.mosaic.spread_deg, crystal.mosaic.domains) == (0.4, 12)
    assert crystal.mosaic.seed == 99


def test_a_random_misset_without_a_seed_is_told():
    command = parse("-misset random")
    assert command.spec.crystal.misset_deg == "random"
    assert "-misset_seed" in command.warnings[0]
    assert parse("-misset rand -misset_seed 77").warnings == ()
    assert parse("-misset_seed 5").spec.crystal.misset_deg is None


def test_detector_flags():
    detector = parse(
        "-distance 80 -detpixels_x 17 -detpixels_s 23 -pixel 0.2 -Xbeam 1 -Ybeam 2 -ORGX 3.5 "
        "-twotheta -4 -detector_rotx 1 -detector_rotz -3 -curved_det -point_pixel "
        "-detector_absorb 450 -detector_thick 900 -thicksteps 4 -roi 2 9 3 8"
    ).spec.detector
    assert (detector.pixels_fast, detector.pixels_slow) == (17, 23)
    assert (detector.distance_mm, detector.pixel_size_mm) == (80, 0.2)
    assert (detector.xbeam_mm, detector.ybeam_mm, detector.orgx_px) == (1, 2, 3.5)
    assert (detector.twotheta_deg, detector.rotation_deg) == (-4, (1, 0, -3))
    assert detector.curved
    assert detector.point_pixel
    sensor = detector.sensor
    assert (sensor.attenuation_length_um, sensor.thickness_um, sensor.layers) == (450, 900, 4)
    assert detector.roi == (2, 9, 3, 8)


@pytest.mark.parametrize("off", ["inf", "0"])
def test_absorption_turned_off_forgets_the_thickness_given_before_it(off):
    sensor = parse(f"-detector_thick 100 -detector_abs {off}").spec.detector.sensor
    assert (sensor.attenuation_length_um, sensor.thickness_um) == (math.inf, None)
    after = parse(f"-detector_abs {off} -detector_thick 100").spec.detector.sensor
    assert after.thickness_um == 100


def test_open_ends_of_a_region_of_interest():
    roi = parse("-roi -1 -1 4 -1").spec.detector.roi
    assert (roi[0], roi[2]) == (0, 4)
    assert min(roi[1], roi[3]) >= 10**6


@pytest.mark.spec("GEO-11")
def test_pixel_counts_win_over_sizes():
    command = parse("-detsize 30 -detpixels_f 17")
    detector = command.spec.detector
    assert (detector.pixels_fast, detector.size_fast_mm, detector.size_slow_mm) == (17, None, 30)
    assert "-detsize is overridden" in command.warnings[0]
    assert parse("-img a.img -detsize 30").spec.detector.size_fast_mm is None
    assert parse("-img a.img -detsize 30 --physics exact").spec.detector.size_fast_mm == 30


@pytest.mark.spec("CON-6")
def test_headers_are_ingested_mask_first():
    spec = parse("-img i.img -mask m.img").spec
    assert [(h.path, h.role) for h in spec.header_files] == [
        ("/data/m.img", "mask"),
        ("/data/i.img", "image"),
    ]
    assert spec.detector.mask_file == "/data/m.img"


def test_beam_flags():
    beam = parse(
        "-hdivrange 8 -vdivrange 6 -hdivsteps 5 -vdivstep 2 -square_div -dispersion 2 "
        "-dispsteps 7 -polar 0.9 -flux 1e12 -exposure 0.1 -beamsize 0.02"
    ).spec.beam
    horizontal, vertical = beam.divergence.horizontal, beam.divergence.vertical
    assert (horizontal.range_mrad, horizontal.steps, horizontal.step_mrad) == (8, 5, None)
    assert (vertical.range_mrad, vertical.steps, vertical.step_mrad) == (6, None, 2)
    assert beam.divergence.shape == "square"
    assert (beam.dispersion.range_percent, beam.dispersion.steps) == (2, 7)
    assert beam.polarization.kahn_factor == 0.9
    assert (beam.flux_photons_per_s, beam.exposure_s, beam.size_mm) == (1e12, 0.1, 0.02)
    both = parse("-divergence 3 -divsteps 4").spec.beam.divergence
    assert both.horizontal == both.vertical
    assert (both.horizontal.range_mrad, both.horizontal.steps) == (3, 4)


@pytest.mark.spec("CLI-5")
@pytest.mark.spec("CON-4")
@pytest.mark.parametrize(
    ("flags", "warning"),
    [
        ("-fluence 1e20 -flux 1e9", "-fluence is overridden by -flux"),
        ("-exposure 3", "-exposure has no effect without -flux"),
        ("-flux 0 -exposure 3 -fluence 5", "-exposure has no effect"),
        ("-sourcefile s.txt -dispersion 3 -dispsteps 3", "-dispersion is overridden"),
        ("-sourcefile s.txt -hdivrange 3", "-hdivrange is overridden by -sourcefile"),
        ("-dispsteps 3", "-dispsteps has no effect"),
        ("-thicksteps 3", "no effect without -detector_thick"),
        ("-coherent", "-coherent is ignored"),
        ("-printout_pixel 3 4", "-printout_pixel is ignored"),
        ("-stolout a.stol", "-stolout is ignored"),
        ("-hkl a.hkl -dump F.bin", "-dump is ignored"),
        ("-distance 100 -close_distance 90", "-distance is overridden by -close_distance"),
        ("-nopolar -oversample_polar", "-nopolar is overridden"),
        ("-pix0_vector 0.1 0 0", "-pix0_vector is ignored under --physics nanobragg"),
        ("-fdet_vector 0 0 1 -mosflm", "-fdet_vector is overridden by -mosflm"),
        ("-pivot sample", "-pivot asks for a sample pivot"),
        ("-twotheta 5", "-twotheta asks for a sample pivot"),
        ("-close_distance 5", "-close_distance asks for a sample pivot"),
        ("-xds -Xbeam 5", "-Xbeam asks for a beam pivot"),
        ("-4stol a.stol", "-4stol is ignored under --physics nanobragg"),
        ("-density 1.2 -molec 20", "-molec is ignored under --physics nanobragg"),
    ],
)
def test_what_the_program_ignores_or_overrules_is_told(flags, warning):
    assert any(warning in line for line in parse(flags).warnings)


@pytest.mark.parametrize("flags", ["-twotheta 5 -xds", "-xds -twotheta 5", "-pivot beam", "-xds"])
def test_a_pivot_the_convention_grants_is_not_warned_about(flags):
    assert parse(flags).warnings == ()


def test_flags_without_effect_in_the_program_take_effect_under_exact():
    spec = parse(
        "--physics exact -4stol a.stol -density 1.2 -MW 20 -sample_x 0.5 -twotheta 3 "
        "-pix0_vector 0.1 -0.02 0.03"
    ).spec
    background = spec.background
    assert (background.stol_file, background.stol_scale) == ("/data/a.stol", 0.25)
    assert (background.density_g_per_cm3, background.molar_mass_g_per_mol) == (1.2, 20)
    assert background.thickness_um == 500
    assert spec.detector.origin_mm == (100, -20, 30)
    assert spec.detector.convention == "custom"


@pytest.mark.spec("CON-4")
@pytest.mark.parametrize(
    ("flags", "pivot"),
    [
        ("", None),
        ("-distance 80", None),
        ("-twotheta 3", "sample"),
        ("-pivot beam -twotheta 3", "beam"),
        ("-twotheta 3 -pivot beam", "beam"),
        ("-twotheta 3 -mosflm", None),
        ("-pivot sample -mosflm", "sample"),
    ],
)
def test_a_pivot_asked_for_is_granted_under_exact(flags, pivot):
    assert parse(f"--physics exact {flags}").spec.detector.pivot == pivot
    assert parse(flags).spec.detector.pivot is None


@pytest.mark.spec("CON-5")
def test_a_vector_flag_selects_custom_and_keeps_the_programs_other_directions():
    spec = parse("-xds -sdet_vector 0 -1 0.1 -twotheta 3 -distance 100").spec
    assert spec.detector.convention == "custom"
    assert spec.detector.axes.slow == (0, -1, 0.1)
    assert spec.detector.axes.fast == (0, 0, 1)
    assert spec.detector.axes.normal == (1, 0, 0)
    assert spec.detector.axes.twotheta == (0, 1, 0)
    assert spec.beam.direction == (1, 0, 0)
    assert spec.beam.polarization.axis == spec.goniometer.spindle_axis == (0, 0, 1)
    assert spec.detector.pivot == "beam"
    assert parse("-beam_vector 1 0 0 -distance 1 -ORGX 4").spec.detector.pivot == "sample"


def test_a_zero_normal_is_made_from_the_other_axes():
    axes = parse("-odet_vector 0 0 0 -fdet_vector 1 0 0 -sdet_vector 0 1 0").spec.detector.axes
    assert axes.normal == (0, 0, 1)


def test_a_convention_given_after_the_vectors_overrules_them():
    spec = parse("-sdet_vector 0 -1 0.1 -polar_vector 0 1 0 -denzo").spec
    assert spec.detector.convention == "denzo"
    assert spec.detector.axes.given == ()
    assert spec.beam.polarization.axis is None


@pytest.mark.spec("CLI-6")
def test_twotheta_axis_and_misset_seed_also_set_what_the_program_finds_in_them():
    command = parse("-twotheta_axis 2.5 0 1 -misset random -misset_seed 77 -lambda 1.5 -N 4")
    assert command.spec.detector.twotheta_deg == 2.5
    assert command.spec.detector.pivot == "sample"
    assert command.spec.crystal.misset_deg == (77.0, 0.0, 1.5)
    assert command.spec.crystal.misset_seed == 77
    assert [warning.split()[0] for warning in command.warnings] == [
        "-twotheta_axis",
        "-misset_seed",
    ]


@pytest.mark.spec("CLI-6")
def test_a_shorter_flag_given_later_undoes_the_second_meaning():
    spec = parse("-twotheta_axis 2.5 0 1 -misset_seed 77 -N 4 -twotheta 0 -misset 1 2 3").spec
    assert spec.detector.twotheta_deg == 0
    assert spec.crystal.misset_deg == (1, 2, 3)
    assert parse("-N 4 -misset_seed 5").spec.crystal.misset_deg is None


@pytest.mark.spec("CLI-6")
def test_under_exact_twotheta_axis_and_misset_seed_do_one_thing_only():
    spec = parse("--physics exact -twotheta_axis 2.5 0 1 -misset_seed 3 -N 4").spec
    assert spec.detector.twotheta_deg is None
    assert spec.detector.pivot == "beam"
    assert spec.crystal.misset_deg is None


def test_polarisation_comes_back_with_a_later_factor():
    assert parse("-polar 0.5 -nopolar").spec.beam.polarization.enabled is False
    assert parse("-nopolar -polar 0.5").spec.beam.polarization.enabled is True
    exact = parse("-nopolar -oversample_polar --physics exact").spec.beam.polarization
    assert exact.enabled is False


def test_sampling_flags():
    spec = parse(
        "-phi 15 -osc 2 -phistep 0.5 -phisteps 5 -oversample 3 -oversample_omega "
        "-dmin 2.5 -water 50"
    ).spec
    goniometer = spec.goniometer
    assert (goniometer.phi_deg, goniometer.oscillation_deg) == (15, 2)
    assert (goniometer.step_deg, goniometer.steps) == (0.5, 5)
    assert spec.sampling.oversample == 3
    assert spec.sampling.per_sample_solid_angle
    assert not spec.sampling.per_sample_capture
    assert spec.sampling.dmin_angstrom == 2.5
    assert spec.background.water_um == 50
    assert parse("-oversample 0").spec.sampling.oversample == "auto"


@pytest.mark.spec("CLI-7")
def test_only_named_files_are_written_and_switches_obey_their_order():
    outputs = parse(
        "-floatimage f.bin -intfile i.img -noisefile n.img -pgmfile p.pgm -scale 2 -adc 0 "
        "-pgmscale 3 -seed -7"
    )
    assert outputs.outputs == NanobraggOutputs("f.bin", "i.img", "n.img", "p.pgm", 2.0, 0.0, 3.0)
    assert outputs.spec.noise.seed == 2**63 - 7
    assert outputs.spec.noise.photon is False
    off = parse("-noisefile n.img -nonoise -pgmfile p.pgm -nopgm").outputs
    assert off == NanobraggOutputs()
    on = parse("-nonoise -noisefile n.img -nopgm -pgmfile p.pgm").outputs
    assert (on.noisefile, on.pgmfile) == ("n.img", "p.pgm")
    assert parse("-pgmfile p.pgm -nopgm -pgmscale 2").outputs.pgmfile == "p.pgm"
    assert parse("-scale 0 -pgmscale 0").outputs == NanobraggOutputs()


def test_own_options_stand_beside_the_programs():
    command = parse(
        "--physics exact --precision=float64 --tile 17x23 --source-chunk 3 --threads 2 "
        "--cluster tcp://h:1 --kernel model --device cuda:1 -o out.zarr -noprogress"
    )
    compute = command.spec.compute
    assert command.spec.physics == "exact"
    assert (compute.precision, compute.tile, compute.source_chunk) == ("float64", (17, 23), 3)
    assert (compute.kernel, compute.device) == ("model", "cuda:1")
    assert command.own == OwnOptions(2, "tcp://h:1", "out.zarr", progress=False)


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_wins_over_everything_else(flag):
    assert parse_nanobragg([flag, "-nonsense"]).own.help


def test_files_are_taken_from_the_current_folder_by_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = parse_nanobragg(["-mat", "A.mat", "-hkl", "/x/a.hkl"]).spec
    assert spec.crystal.matrix_file == str(tmp_path / "A.mat")
    assert (spec.structure_factors.file, spec.structure_factors.format) == ("/x/a.hkl", "hkl")
    assert parse("-hkl a.mtz").spec.structure_factors.format == "auto"


@pytest.mark.spec("CLI-6")
def test_a_name_within_a_token_is_found_as_the_program_finds_it():
    assert parse("-adcoffset 10").outputs.adc == 10
    assert not parse("-adcoffset 10").warnings
    command = parse("-adc_level 10 -distance_mm 80 --seed 3")
    assert command.outputs.adc == 10
    assert command.spec.detector.distance_mm == 80
    assert command.spec.noise.seed == 3
    assert "-adc_level is taken as -adc, which nanoBragg finds in it" in command.warnings
    assert len(command.warnings) == 3
    # The longest name counts; one that the program compares whole is not looked for.
    assert parse("-mosaic_seeds 3").spec.crystal.mosaic.seed == 3
    assert "unknown flag" in refused("-phis 3")


@pytest.mark.spec("CLI-5")
def test_flags_that_only_the_readme_of_the_program_names():
    flags = "-detsize_x 3 -detsize_y 4 -hdiv 5 -vdiv 6 -xdet_vector 1 0 0 -pix0_vector_mm 1 2 3"
    program = parse(flags)
    assert program.spec.detector.size_fast_mm is None
    assert program.spec.beam.divergence.horizontal.range_mrad is None
    assert program.spec.detector.convention == "custom"
    assert len(program.warnings) == 6
    exact = parse(f"{flags} --physics exact")
    assert (exact.spec.detector.size_fast_mm, exact.spec.detector.size_slow_mm) == (3, 4)
    assert exact.spec.beam.divergence.vertical.range_mrad == 6
    assert exact.spec.detector.origin_mm == (1, 2, 3)
    assert exact.warnings == (
        "-xdet_vector is ignored: nanoBragg's README names it, its parser does not: "
        "it reads -fdet_vector",
    )


@pytest.mark.spec("CLI-6")
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("-lamda 1", "-lamda: unknown flag; did you mean -lambda?"),
        ("-dispstep 3", "did you mean -dispsteps?"),
        ("-detpixel_x 3", "did you mean -detpixels_f?"),
        ("-det_size_y 3", "did you mean -detsize_s?"),
        ("-mosaicx 3", "unknown flag"),
        ("--thread 3", "did you mean --threads?"),
        ("-qqqqqqqq", "--help"),
        ("stray", "stray: is not a flag"),
        ("-N", "-N: its argument is missing"),
        ("-N -lambda 1", "-N: its argument is missing"),
        ("-wave abc", "-wave: 'abc' is not a number"),
        ("-lambda nan", "-lambda: 'nan' is not a finite number"),
        ("-lambda 0", "-lambda: must be greater than 0"),
        ("-N 2.5", "-N: '2.5' is not a whole number"),
        ("-N 1e30", "-N: '1e30' is not a whole number"),
        ("-misset 1 2", "-misset: its argument is missing"),
        ("-misset a b c", "-misset: 'a' is not a number"),
        ("-roi 5 4 0 1", "-roi: last fast pixel 4 comes before"),
        ("-distance -80", "-distance: must be greater than 0"),
        ("-samplesize -1", "-samplesize: must be greater than or equal to 0"),
        ("-detpixels 0", "-detpixels: must be greater than or equal to 1"),
        ("-pivot middle", "-pivot: 'middle' is neither"),
        ("-hkl -N 3", "-hkl: its argument is missing"),
        ("-detector_abs", "-detector_abs: its argument is missing"),
        ("-mosaic_seed 9999999999", "-mosaic_seed: must be less than"),
        ("-beam_vector 0 0 0", "-beam_vector: a direction cannot be 0 0 0"),
        ("-cell 10 10 10 10 20 40", "-cell: the angles 10 20 40 do not form a cell"),
        ("-cell -N 3", "-cell: needs at least"),
        ("--physics C", "--physics: 'C' is none of nanobragg, exact"),
        ("--precision half", "none of mixed, float64"),
        ("--tile 5", "--tile: '5' is not a shape; write it as 256x512"),
        ("--tile 0x5", "--tile: must be greater"),
        ("--threads 0", "--threads: 0 threads"),
        ("--threads=", "--threads: its argument is missing"),
        ("--device toaster", "--device: "),
        ("-stol a -water 3 --physics exact", "-water: given together with"),
        ("-flux 1e9 -beamsize 0", "-beamsize: a flux through"),
    ],
)
def test_a_flag_that_cannot_be_used_is_named(flags, words):
    assert words in refused(flags)


def test_a_run_without_crystal_or_structure_factors_is_refused():
    assert "give -cell or -mat" in refused("-N 5", "-default_F 3")
    assert "give -hkl or -default_F" in refused("-N 5", "-cell 10 10 10")
    assert "give -hkl or -default_F" in refused("-default_F 0", "-cell 10 10 10")
    assert refused("-dump F.bin", "-cell 10 10 10 -default_F 3").startswith("-dump: refused")


def test_a_long_token_is_shortened_where_it_is_refused():
    for argv in (["-" + "x" * 5000], ["y" * 5000]):
        with pytest.raises(InputError) as caught:
            parse_nanobragg([*SUBJECT.split(), *argv])
        assert len(str(caught.value)) < 200
        assert argv[0][:20] in str(caught.value)
