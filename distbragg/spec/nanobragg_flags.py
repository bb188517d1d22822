"""The table of nanoBragg's flags: names, arguments, meaning, and what becomes of each.

One row a flag; the parser, the help and the reference documentation are made from it. Names are
matched exactly, else as the program matches them: by a name within the token. Later flags
override earlier ones.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

from distbragg.errors import InputError
from distbragg.units import MM_PER_METRE

Kind = Literal["honoured", "exact only", "ignored"]
Convert = Literal["float", "int", "text"]

SEEDS: Final = 2**63


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag of the command line."""

    names: tuple[str, ...]
    arguments: tuple[str, ...]
    help: str
    fields: tuple[str, ...]  # where the value goes: spec paths, or `outputs.` and `own.` names
    unit: str
    convert: Convert
    constant: Any = None  # the value of a switch
    also: tuple[tuple[str, Any], ...] = ()  # stored beside it
    drops: tuple[str, ...] = ()  # forgotten first
    choices: tuple[str, ...] = ()
    value: Callable[[Any], object] | None = None  # what turns the argument into the value
    convention: str = ""  # that it selects
    special: str = ""  # the parser's own handler
    kind: Kind = "honoured"  # exact only: nothing in nanoBragg and under `--physics nanobragg`
    reason: str = ""  # why it is ignored
    pivot: str = ""  # that it asks for in passing

    @property
    def name(self) -> str:
        """The name shown to the user."""
        return self.names[0]


_UNITS: Final = {"A": "Å", "DEG": "degree", "EV": "eV", "MM": "mm", "MRAD": "mrad", "UM": "µm",
                 "PX": "pixel", "PERCENT": "%"}  # fmt: skip
_CONVERSIONS: Final[dict[str, Convert]] = {"N": "int", "FILE": "text"}
_README = "nanoBragg's README names it, its parser does not: it reads {}"
_OVERWRITTEN = "nanoBragg overwrites it before use"
_TABLE = "nanoBragg reads the table and never uses it"
_CORNER = "nanoBragg always computes the corner anew from pivot and distance"
_NO_USE = "nanoBragg parses it and never uses it"
_VALUES = "pixel values are read from the image files"


def _flag(
    names: str, arguments: str, text: str, *fields: str, exact_only: str = "", ignored: str = "",
    unit: str | None = None, convert: Convert | None = None, **more: Any,  # noqa: ANN401
) -> Flag:  # fmt: skip
    """Make a flag; its arguments' names give unit and conversion where nothing else is said."""
    first = arguments.partition(" ")[0]
    return Flag(
        tuple(names.split()),
        tuple(arguments.split()),
        text,
        fields,
        _UNITS.get(first, "") if unit is None else unit,
        convert or _CONVERSIONS.get(first, "float"),
        kind="exact only" if exact_only else "ignored" if ignored else "honoured",
        reason=exact_only or ignored,
        **more,
    )


_at_least_one: Final = partial(max, 1)


def _if_positive(count: int) -> int | None:
    """Return a count, or None where it is not positive, which is "not given" to nanoBragg."""
    return count if count > 0 else None


def _threads(count: int) -> int:
    if count < 1:
        raise InputError(f"{count} threads cannot work", remedy="give at least 1")
    return count


def _tile(text: str) -> list[int]:
    match = re.fullmatch(r"(\d{1,9})[xX](\d{1,9})", text)
    if match is None:
        raise InputError(f"{text!r} is not a shape", remedy="write it as 256x512")
    return [int(match[1]), int(match[2])]


CRYSTAL = (
    _flag("-mat -matrix", "FILE", "MOSFLM orientation matrix, made with the same wavelength",
          "crystal.matrix_file"),
    _flag("-cell", "A B C AL BE GA", "unit cell; b and c default to a, angles to 90",
          "crystal.cell", unit="Å, degree", special="cell"),
    _flag("-misset", "X Y Z", "rotations about x, y, z in turn, or `random`",
          "crystal.misset_deg", unit="degree", special="misset"),
    _flag("-misset_seed", "N", "seed of `-misset random`", "crystal.misset_seed"),
    _flag("-N", "N", "unit cells along a, b and c", "crystal.block_cells.0",
          "crystal.block_cells.1", "crystal.block_cells.2", value=_at_least_one),
    _flag("-Na", "N", "unit cells along a", "crystal.block_cells.0", value=_at_least_one),
    _flag("-Nb", "N", "unit cells along b", "crystal.block_cells.1", value=_at_least_one),
    _flag("-Nc", "N", "unit cells along c", "crystal.block_cells.2", value=_at_least_one),
    _flag("-samplesize -sample_size -xtalsize -xtal_size", "MM",
          "width of the crystal; overrides -N", "crystal.block_size_mm.0",
          "crystal.block_size_mm.1", "crystal.block_size_mm.2"),
    _flag("-sample_thick -sample_x -xtal_thick -xtal_x", "MM", "crystal size along a",
          "crystal.block_size_mm.0"),
    _flag("-sample_width -sample_y -xtal_width -xtal_y -width", "MM",
          "crystal size along b, clipped to the beam size", "crystal.block_size_mm.1"),
    _flag("-sample_height -sample_heigh -sample_z -xtal_height -xtal_heigh -xtal_z -height -heigh",
          "MM", "crystal size along c, clipped to the beam size", "crystal.block_size_mm.2"),
    _flag("-density -sample_den -sample_density", "D", "density of the amorphous background",
          "background.density_g_per_cm3", unit="g/cm³", exact_only=_OVERWRITTEN),
    _flag("-MW -molecular_weight -molec", "M", "molar mass of the amorphous background",
          "background.molar_mass_g_per_mol", unit="g/mol", exact_only=_OVERWRITTEN),
    _flag("-square_xtal", "", "parallelepiped crystal (default)", "crystal.shape",
          constant="square"),
    _flag("-round_xtal", "", "ellipsoidal crystal", "crystal.shape", constant="round"),
    _flag("-gauss_xtal", "", "Gaussian spots", "crystal.shape", constant="gauss"),
    _flag("-tophat_spots -binary_spots", "", "flat spots", "crystal.shape", constant="tophat"),
    _flag("-fudge", "F", "scale of the spot radius in the three shapes that are not square",
          "crystal.fudge"),
    _flag("-mosaic -mosaici -mosaicity -mosaic_spr -mosaic_spread", "DEG", "mosaic spread",
          "crystal.mosaic.spread_deg"),
    _flag("-mosaic_domains -mosaic_dom -mosaic_domain", "N", "number of mosaic domains",
          "crystal.mosaic.domains", value=_if_positive),
    _flag("-mosaic_seed", "N", "seed of the mosaic domains", "crystal.mosaic.seed"),
)  # fmt: skip

STRUCTURE_FACTORS = (
    _flag("-hkl", "FILE", "table of h, k, l, F in P1", "structure_factors.file"),
    _flag("-default_F", "F", "|F| of every reflection not listed",
          "structure_factors.default_f_electrons", unit="electrons"),
    _flag("-dump", "FILE", "binary cache of the structure factors", "own.dump",
          ignored="the cache is neither read nor written; refused where it would be the only "
                  "source of structure factors"),
    _flag("-interpolate", "", "tricubic look-up between reflections",
          "structure_factors.interpolate", constant=True),
    _flag("-nointerpolate", "", "nearest reflection only", "structure_factors.interpolate",
          constant=False),
    _flag("-dmin", "A", "resolution cut on pixels", "sampling.dmin_angstrom"),
    _flag("-stol", "FILE", "amorphous background: F against sin(theta)/lambda",
          "background.stol_file", unit="1/Å", also=(("background.stol_scale", 1.0),),
          exact_only=_TABLE),
    _flag("-4stol", "FILE", "the same against 4 sin(theta)/lambda", "background.stol_file",
          unit="1/Å", also=(("background.stol_scale", 0.25),), exact_only=_TABLE),
    _flag("-Q", "FILE", "the same against 4 pi sin(theta)/lambda", "background.stol_file",
          unit="1/Å", also=(("background.stol_scale", 0.25 / math.pi),), exact_only=_TABLE),
    _flag("-stolout", "FILE", "name of an output table", ignored="nanoBragg never writes it"),
    _flag("-water", "UM", "edge of a cube of water", "background.water_um"),
)  # fmt: skip

DETECTOR = (
    _flag("-distance", "MM", "sample to detector along the beam", "detector.distance_mm",
          pivot="beam"),
    _flag("-close_distance", "MM", "sample to detector along its normal",
          "detector.close_distance_mm", pivot="sample"),
    _flag("-detsize", "MM", "detector size on both sides", "detector.size_fast_mm",
          "detector.size_slow_mm"),
    _flag("-detsize_f", "MM", "detector size, fast", "detector.size_fast_mm"),
    _flag("-detsize_s", "MM", "detector size, slow", "detector.size_slow_mm"),
    _flag("-detsize_x", "MM", "detector size, fast", "detector.size_fast_mm",
          exact_only=_README.format("-detsize_f")),
    _flag("-detsize_y", "MM", "detector size, slow", "detector.size_slow_mm",
          exact_only=_README.format("-detsize_s")),
    _flag("-detpixels", "N", "pixels on both sides; wins over -detsize", "detector.pixels_fast",
          "detector.pixels_slow"),
    _flag("-detpixels_f -detpixels_x", "N", "pixels, fast", "detector.pixels_fast"),
    _flag("-detpixels_s -detpixels_y", "N", "pixels, slow", "detector.pixels_slow"),
    _flag("-pixel -pixelsize -pixel_size", "MM", "pixel size", "detector.pixel_size_mm"),
    _flag("-Xbeam", "MM", "direct beam, as the convention defines it", "detector.xbeam_mm",
          pivot="beam"),
    _flag("-Ybeam", "MM", "direct beam, as the convention defines it", "detector.ybeam_mm",
          pivot="beam"),
    _flag("-Xclose", "MM", "nearest point of the detector", "detector.xclose_mm", pivot="sample"),
    _flag("-Yclose", "MM", "nearest point of the detector", "detector.yclose_mm", pivot="sample"),
    _flag("-ORGX", "PX", "nearest point in XDS pixels", "detector.orgx_px", pivot="sample"),
    _flag("-ORGY", "PX", "nearest point in XDS pixels", "detector.orgy_px", pivot="sample"),
    _flag("-pivot", "WHERE",
          "point the detector turns about: sample or beam; under nanobragg physics the convention "
          "overrides it",
          "detector.pivot", convert="text", special="pivot"),
    _flag("-mosflm", "", "MOSFLM convention (default)", "detector.convention", constant="mosflm",
          convention="mosflm", pivot="beam"),
    _flag("-denzo", "", "DENZO convention", "detector.convention", constant="denzo",
          convention="denzo", pivot="beam"),
    _flag("-adxv", "", "ADXV convention", "detector.convention", constant="adxv",
          convention="adxv", pivot="beam"),
    _flag("-xds", "", "XDS convention", "detector.convention", constant="xds", convention="xds",
          pivot="sample"),
    _flag("-dials", "", "DIALS convention", "detector.convention", constant="dials",
          convention="dials", pivot="beam"),
    _flag("-fdet_vector", "X Y Z", "fast axis; selects the custom convention",
          "detector.axes.fast", convention="custom"),
    _flag("-sdet_vector", "X Y Z", "slow axis; selects the custom convention",
          "detector.axes.slow", convention="custom"),
    _flag("-odet_vector", "X Y Z", "detector normal; selects the custom convention",
          "detector.axes.normal", convention="custom"),
    _flag("-xdet_vector", "X Y Z", "fast axis", ignored=_README.format("-fdet_vector")),
    _flag("-ydet_vector", "X Y Z", "slow axis", ignored=_README.format("-sdet_vector")),
    _flag("-zdet_vector", "X Y Z", "detector normal", ignored=_README.format("-odet_vector")),
    _flag("-beam_vector", "X Y Z", "beam direction; selects the custom convention",
          "beam.direction", convention="custom"),
    _flag("-polar_vector", "X Y Z", "polarisation E-vector; selects the custom convention",
          "beam.polarization.axis", convention="custom"),
    _flag("-spindle_axis", "X Y Z", "spindle; selects the custom convention",
          "goniometer.spindle_axis", convention="custom"),
    _flag("-twotheta_axis", "X Y Z", "axis of -twotheta; selects the custom convention",
          "detector.axes.twotheta", convention="custom"),
    _flag("-pix0_vector", "X Y Z",
          "outer corner of the first pixel; selects the custom convention", "detector.origin_mm",
          unit="m", convention="custom", exact_only=_CORNER,
          value=lambda xyz: [x * MM_PER_METRE for x in xyz]),
    _flag("-pix0_vector_mm", "X Y Z", "the same in millimetres", "detector.origin_mm", unit="mm",
          convention="custom", exact_only=_CORNER),
    _flag("-twotheta", "DEG", "detector swing", "detector.twotheta_deg", pivot="sample"),
    _flag("-detector_rotx", "DEG", "detector rotation about x", "detector.rotation_deg.0"),
    _flag("-detector_roty", "DEG", "detector rotation about y", "detector.rotation_deg.1"),
    _flag("-detector_rotz", "DEG", "detector rotation about z", "detector.rotation_deg.2"),
    _flag("-curved_det -curved_detector", "", "all pixels equally far from the sample",
          "detector.curved", constant=True),
    _flag("-point_pixel", "", "inverse-square law instead of the pixel's solid angle",
          "detector.point_pixel", constant=True),
    _flag("-detector_abs -detector_absorb -detector_absorption", "UM",
          "attenuation depth of the sensor; `inf` or 0 turns absorption off",
          "detector.sensor.attenuation_length_um", special="detector_abs"),
    _flag("-detector_thick", "UM", "sensor thickness", "detector.sensor.thickness_um"),
    _flag("-detector_thicksteps -thicksteps", "N", "sensor layers", "detector.sensor.layers",
          value=_if_positive),
    _flag("-roi", "X0 X1 Y0 Y1", "pixels to render, ends included", "detector.roi", unit="pixel",
          convert="int"),
    _flag("-mask", "FILE", "SMV image: pixels of value 0 are skipped, its header sets geometry",
          "detector.mask_file"),
    _flag("-img", "FILE", "SMV image whose header sets geometry, after that of -mask",
          "header_files"),
)  # fmt: skip

BEAM = (
    _flag("-lambda -wave -wavelength", "A", "wavelength", "beam.wavelength_angstrom",
          drops=("beam.wavelength_angstrom", "beam.energy_ev")),
    _flag("-energy", "EV", "photon energy", "beam.energy_ev",
          drops=("beam.wavelength_angstrom", "beam.energy_ev")),
    _flag("-fluence", "PHI", "photons per area", "beam.fluence_photons_per_m2",
          unit="photons/m²"),
    _flag("-flux", "F", "photons per time; wins over -fluence", "beam.flux_photons_per_s",
          unit="photons/s"),
    _flag("-exposure", "S", "exposure time, with -flux", "beam.exposure_s", unit="s"),
    _flag("-beamsize", "MM", "beam size; clips the crystal along b and c", "beam.size_mm"),
    _flag("-polar", "K", "Kahn polarisation factor", "beam.polarization.kahn_factor",
          also=(("beam.polarization.enabled", True),)),
    _flag("-nopolar", "", "no polarisation factor", "beam.polarization.enabled", constant=False),
    _flag("-dispersion", "PERCENT", "spectral width", "beam.dispersion.range_percent"),
    _flag("-dispsteps", "N", "wavelengths within -dispersion", "beam.dispersion.steps",
          value=_if_positive),
    _flag("-divergence", "MRAD", "angular range, both ways",
          "beam.divergence.horizontal.range_mrad", "beam.divergence.vertical.range_mrad"),
    _flag("-hdivrange", "MRAD", "angular range, horizontal",
          "beam.divergence.horizontal.range_mrad"),
    _flag("-vdivrange", "MRAD", "angular range, vertical", "beam.divergence.vertical.range_mrad"),
    _flag("-hdiv", "MRAD", "angular range, horizontal", "beam.divergence.horizontal.range_mrad",
          exact_only=_README.format("-hdivrange")),
    _flag("-vdiv", "MRAD", "angular range, vertical", "beam.divergence.vertical.range_mrad",
          exact_only=_README.format("-vdivrange")),
    _flag("-hdivstep", "MRAD", "angular step, horizontal",
          "beam.divergence.horizontal.step_mrad"),
    _flag("-vdivstep", "MRAD", "angular step, vertical", "beam.divergence.vertical.step_mrad"),
    _flag("-hdivsteps", "N", "directions, horizontal", "beam.divergence.horizontal.steps",
          value=_if_positive),
    _flag("-vdivsteps", "N", "directions, vertical", "beam.divergence.vertical.steps",
          value=_if_positive),
    _flag("-divsteps", "N", "directions, both ways", "beam.divergence.horizontal.steps",
          "beam.divergence.vertical.steps", value=_if_positive),
    _flag("-round_div", "", "cut the divergence grid to an ellipse (default)",
          "beam.divergence.shape", constant="round"),
    _flag("-square_div", "", "full divergence grid", "beam.divergence.shape", constant="square"),
    _flag("-sourcefile", "FILE", "table of sources: X Y Z weight wavelength, in metres",
          "beam.source_file", unit="m"),
    _flag("-coherent", "", "coherent addition of sources", ignored=_NO_USE),
)  # fmt: skip

SAMPLING = (
    _flag("-phi", "DEG", "spindle angle", "goniometer.phi_deg"),
    _flag("-osc", "DEG", "oscillation range", "goniometer.oscillation_deg"),
    _flag("-phistep", "DEG", "spindle step", "goniometer.step_deg"),
    _flag("-phisteps", "N", "spindle steps", "goniometer.steps",
          value=lambda n: None if n < 0 else max(n, 1)),
    _flag("-oversample", "N", "sub-pixels along each side of a pixel; 0 or less: automatic",
          "sampling.oversample", value=lambda n: n if n > 0 else "auto"),
    _flag("-oversample_thick", "", "capture fraction of every sample",
          "sampling.per_sample_capture", constant=True),
    _flag("-oversample_polar", "", "polarisation of every sample",
          "sampling.per_sample_polarization", constant=True),
    _flag("-oversample_omega", "", "solid angle of every sample",
          "sampling.per_sample_solid_angle", constant=True),
)  # fmt: skip

OUTPUT = (
    _flag("-floatfile -floatimage", "FILE", "raw float32 image", "outputs.floatfile"),
    _flag("-intfile -intimage", "FILE", "scaled SMV image", "outputs.intfile"),
    _flag("-noisefile -noiseimage", "FILE", "SMV image with photon noise", "outputs.noisefile",
          also=(("outputs.write_noise", True),)),
    _flag("-nonoise", "", "no image with noise", "outputs.write_noise", constant=False),
    _flag("-pgmfile -pgmimage", "FILE", "8-bit preview", "outputs.pgmfile",
          also=(("outputs.write_pgm", True),)),
    _flag("-nopgm", "", "no preview", "outputs.write_pgm", constant=False),
    _flag("-scale", "S", "scale of -intfile; 0: automatic", "outputs.scale"),
    _flag("-pgmscale", "S", "scale of -pgmfile; 0: automatic", "outputs.pgmscale",
          also=(("outputs.write_pgm", True),)),
    _flag("-adc -adc_offset -adcoffset", "ADU", "offset of the SMV images (default 40)",
          "outputs.adc", unit="ADU"),
    _flag("-seed", "N", "seed of the photon noise", "noise.seed", value=lambda n: n % SEEDS),
    _flag("-printout", "", "print pixel values", ignored=_VALUES),
    _flag("-printout_pixel", "FAST SLOW", "print one pixel", unit="pixel", convert="int",
          ignored=_VALUES),
    _flag("-progress", "", "show progress", "own.progress", constant=True),
    _flag("-noprogress", "", "show no progress", "own.progress", constant=False),
)  # fmt: skip

OWN = (
    _flag("--physics", "MODE", "nanobragg (default here) or exact", "physics", convert="text",
          choices=("nanobragg", "exact")),
    _flag("--precision", "P", "mixed (default) or float64", "compute.precision", convert="text",
          choices=("mixed", "float64")),
    _flag("--kernel", "K", "auto (default), native, triton or model", "compute.kernel",
          convert="text", choices=("auto", "native", "triton", "model", "eager", "reference")),
    _flag("--device", "D", "cpu (default), cuda or cuda:N", "compute.device", convert="text"),
    _flag("--tolerance", "EPS", "photons that may be left out of a pixel (default 0)",
          "sampling.tolerance_photons", unit="photon"),
    _flag("--tile", "HxW", "tile shape, slow x fast", "compute.tile", unit="pixel",
          convert="text", value=_tile),
    _flag("--source-chunk", "N", "sources of one task", "compute.source_chunk"),
    _flag("--threads", "N", "threads of the renderer", "own.threads", value=_threads),
    _flag("--cluster", "C", "local, a scheduler address, a scheduler file or a cluster file",
          "own.cluster", convert="text"),
    _flag("-o --output", "FILE.zarr", "Zarr stack to write", "own.out", convert="text"),
    _flag("--write-spec", "FILE.yaml", "the command line as a specification", "own.write_spec",
          convert="text"),
    _flag("--help -h -help", "", "show this help", "own.help", constant=True),
)  # fmt: skip

GROUPS: dict[str, tuple[Flag, ...]] = {
    "Crystal": CRYSTAL,
    "Structure factors and background": STRUCTURE_FACTORS,
    "Detector": DETECTOR,
    "Beam": BEAM,
    "Spindle and sampling": SAMPLING,
    "Output": OUTPUT,
    "Options of distbragg": OWN,
}
FLAGS: dict[str, Flag] = {
    name: flag for flags in GROUPS.values() for flag in flags for name in flag.names
}

_WHOLE_ONLY = frozenset((
    "-N", "-MW", "-Q", "-detsize", "-detpixels", "-detector_thick", "-polar", "-mosaic", "-phi",
    "-phistep", "-hdivstep", "-vdivstep", "-stol", "-4stol",
))  # fmt: skip
"""Names that nanoBragg compares with their length: it finds them in no longer token."""

_OWN_NAMES = frozenset(name for flag in OWN for name in flag.names)
_AXES = {"_x": "_f", "_y": "_s"}
"""Ends of names by which users mean the fast and the slow axis, and nanoBragg's own."""


def found_within(token: str) -> str:
    """Return the name that nanoBragg finds within an unknown token, or an empty string.

    The program looks for most names anywhere in a token: `-adc_level` is `-adc` to it. Where a
    token holds several names the longest one is returned.
    """
    found = (name for name in FLAGS if name in token)
    return max((n for n in found if n not in _WHOLE_ONLY | _OWN_NAMES), key=len, default="")


def nearest_flag(token: str) -> str:
    """Return the known flag most like `token`, or an empty string; x is fast and y is slow."""
    lowered = {name.lower(): name for name, flag in FLAGS.items() if flag.kind != "ignored"}
    meant = token.lower()
    meant = meant[:-2] + _AXES.get(meant[-2:], meant[-2:])
    match = difflib.get_close_matches(meant, lowered, n=1, cutoff=0.6)
    return lowered[match[0]] if match else ""
