"""The table of nanoBragg's flags: names, arguments, meaning, and what becomes of each.

One row a flag; the parser and the reference documentation are both made from it. Names are
matched exactly, else as the program matches them: by a name within the token. Later flags
override earlier ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["honoured", "exact only", "ignored", "refused"]
Convert = Literal["float", "int", "text"]


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag of the command line.

    Attributes
    ----------
    names : tuple of str
        The name shown first, then aliases and the abbreviations nanoBragg documents.
    help : str
    arguments : tuple of str
        Names of the arguments, in order; empty for a switch.
    unit : str
        Unit of the arguments.
    fields : tuple of str
        Where the value goes: dotted spec paths, or `outputs.` and `own.` names.
    convert : {"float", "int", "text"}
    constant : object
        Value a switch stores.
    special : str
        Name of the parser's own handler, where storing is not enough.
    kind : {"honoured", "exact only", "ignored", "refused"}
        `exact only` flags do nothing in nanoBragg and here under `--physics nanobragg`.
    reason : str
        Why a flag is ignored or refused.
    pivot : str
        Pivot the flag asks for in passing.
    """

    names: tuple[str, ...]
    help: str
    arguments: tuple[str, ...] = ()
    unit: str = ""
    fields: tuple[str, ...] = ()
    convert: Convert = "float"
    constant: Any = None
    special: str = ""
    kind: Kind = "honoured"
    reason: str = ""
    pivot: str = ""

    @property
    def name(self) -> str:
        """The name shown to the user."""
        return self.names[0]


_INDEX = "crystal.cells.{}"
_SIZE = "crystal.size_mm.{}"
_XYZ = ("X", "Y", "Z")
_NO_USE = "nanoBragg parses it and never uses it"
_README = "nanoBragg's README names it, its parser does not: it reads {}"

CRYSTAL = (
    Flag(("-mat", "-matrix"), "MOSFLM orientation matrix, made with the same wavelength",
         ("FILE",), fields=("crystal.matrix_file",), convert="text"),
    Flag(("-cell",), "unit cell; b and c default to a, angles to 90", ("A", "B", "C", "AL", "BE",
         "GA"), "Å, degree", ("crystal.cell",), special="cell"),
    Flag(("-misset",), "rotations about x, y, z in turn, or `random`", _XYZ, "degree",
         ("crystal.misset_deg",), special="misset"),
    Flag(("-misset_seed",), "seed of `-misset random`", ("N",), "",
         ("crystal.misset_seed",), "int"),
    Flag(("-N",), "unit cells along a, b and c", ("N",), "",
         tuple(_INDEX.format(i) for i in range(3)), "int", special="cells"),
    Flag(("-Na",), "unit cells along a", ("N",), "", (_INDEX.format(0),), "int", special="cells"),
    Flag(("-Nb",), "unit cells along b", ("N",), "", (_INDEX.format(1),), "int", special="cells"),
    Flag(("-Nc",), "unit cells along c", ("N",), "", (_INDEX.format(2),), "int", special="cells"),
    Flag(("-samplesize", "-sample_size", "-xtalsize", "-xtal_size"),
         "width of the crystal; overrides -N", ("MM",), "mm",
         tuple(_SIZE.format(i) for i in range(3))),
    Flag(("-sample_thick", "-sample_x", "-xtal_thick", "-xtal_x"), "crystal size along a",
         ("MM",), "mm", (_SIZE.format(0),)),
    Flag(("-sample_width", "-sample_y", "-xtal_width", "-xtal_y", "-width"),
         "crystal size along b, clipped to the beam size", ("MM",), "mm", (_SIZE.format(1),)),
    Flag(("-sample_height", "-sample_heigh", "-sample_z", "-xtal_height", "-xtal_heigh",
          "-xtal_z", "-height", "-heigh"),
         "crystal size along c, clipped to the beam size", ("MM",), "mm", (_SIZE.format(2),)),
    Flag(("-density", "-sample_den", "-sample_density"), "density of the amorphous background",
         ("D",), "g/cm³", ("background.density_g_per_cm3",), kind="exact only",
         reason="nanoBragg overwrites it before use"),
    Flag(("-MW", "-molecular_weight", "-molec"), "molar mass of the amorphous background",
         ("M",), "g/mol", ("background.molar_mass_g_per_mol",), kind="exact only",
         reason="nanoBragg overwrites it before use"),
    Flag(("-square_xtal",), "parallelepiped crystal (default)", fields=("crystal.shape",),
         constant="square"),
    Flag(("-round_xtal",), "ellipsoidal crystal", fields=("crystal.shape",), constant="round"),
    Flag(("-gauss_xtal",), "Gaussian spots", fields=("crystal.shape",), constant="gauss"),
    Flag(("-tophat_spots", "-binary_spots"), "flat spots", fields=("crystal.shape",),
         constant="tophat"),
    Flag(("-fudge",), "scale of the spot radius in the three shapes that are not square", ("F",),
         "", ("crystal.fudge",)),
    Flag(("-mosaic", "-mosaici", "-mosaicity", "-mosaic_spr", "-mosaic_spread"),
         "mosaic spread", ("DEG",), "degree", ("crystal.mosaic.spread_deg",)),
    Flag(("-mosaic_domains", "-mosaic_dom", "-mosaic_domain"), "number of mosaic domains", ("N",),
         "", ("crystal.mosaic.domains",), "int"),
    Flag(("-mosaic_seed",), "seed of the mosaic domains", ("N",), "",
         ("crystal.mosaic.seed",), "int"),
)  # fmt: skip

STRUCTURE_FACTORS = (
    Flag(("-hkl",), "table of h, k, l, F in P1", ("FILE",), "", ("structure_factors.file",),
         "text"),
    Flag(("-default_F",), "|F| of every reflection not listed", ("F",), "electrons",
         ("structure_factors.default_f_electrons",)),
    Flag(("-dump",), "binary cache of the structure factors", ("FILE",), "", ("own.dump",), "text",
         special="dump", kind="ignored",
         reason="the cache is neither read nor written; refused where it would be the only "
                "source of structure factors"),
    Flag(("-interpolate",), "tricubic look-up between reflections",
         fields=("structure_factors.interpolate",), constant=True),
    Flag(("-nointerpolate",), "nearest reflection only", fields=("structure_factors.interpolate",),
         constant=False),
    Flag(("-dmin",), "resolution cut on pixels", ("A",), "Å", ("sampling.dmin_angstrom",)),
    Flag(("-stol",), "amorphous background: F against sin(theta)/lambda", ("FILE",), "1/Å",
         ("background.stol_file",), "text", constant=1.0, special="stol", kind="exact only",
         reason="nanoBragg reads the table and never uses it"),
    Flag(("-4stol",), "the same against 4 sin(theta)/lambda", ("FILE",), "1/Å",
         ("background.stol_file",), "text", constant=0.25, special="stol", kind="exact only",
         reason="nanoBragg reads the table and never uses it"),
    Flag(("-Q",), "the same against 4 pi sin(theta)/lambda", ("FILE",), "1/Å",
         ("background.stol_file",), "text", constant=0.25 / math.pi, special="stol",
         kind="exact only", reason="nanoBragg reads the table and never uses it"),
    Flag(("-stolout",), "name of an output table", ("FILE",), convert="text", kind="ignored",
         reason="nanoBragg never writes it"),
    Flag(("-water",), "edge of a cube of water", ("UM",), "µm", ("background.water_um",)),
)  # fmt: skip

DETECTOR = (
    Flag(("-distance",), "sample to detector along the beam", ("MM",), "mm",
         ("detector.distance_mm",), pivot="beam"),
    Flag(("-close_distance",), "sample to detector along its normal", ("MM",), "mm",
         ("detector.close_distance_mm",), pivot="sample"),
    Flag(("-detsize",), "detector size on both sides", ("MM",), "mm",
         ("detector.size_fast_mm", "detector.size_slow_mm")),
    Flag(("-detsize_f",), "detector size, fast", ("MM",), "mm", ("detector.size_fast_mm",)),
    Flag(("-detsize_s",), "detector size, slow", ("MM",), "mm", ("detector.size_slow_mm",)),
    Flag(("-detsize_x",), "detector size, fast", ("MM",), "mm", ("detector.size_fast_mm",),
         kind="exact only", reason=_README.format("-detsize_f")),
    Flag(("-detsize_y",), "detector size, slow", ("MM",), "mm", ("detector.size_slow_mm",),
         kind="exact only", reason=_README.format("-detsize_s")),
    Flag(("-detpixels",), "pixels on both sides; wins over -detsize", ("N",), "",
         ("detector.pixels_fast", "detector.pixels_slow"), "int"),
    Flag(("-detpixels_f", "-detpixels_x"), "pixels, fast", ("N",), "",
         ("detector.pixels_fast",), "int"),
    Flag(("-detpixels_s", "-detpixels_y"), "pixels, slow", ("N",), "",
         ("detector.pixels_slow",), "int"),
    Flag(("-pixel", "-pixelsize", "-pixel_size"), "pixel size", ("MM",), "mm",
         ("detector.pixel_size_mm",)),
    Flag(("-Xbeam",), "direct beam, as the convention defines it", ("MM",), "mm",
         ("detector.xbeam_mm",), pivot="beam"),
    Flag(("-Ybeam",), "direct beam, as the convention defines it", ("MM",), "mm",
         ("detector.ybeam_mm",), pivot="beam"),
    Flag(("-Xclose",), "nearest point of the detector", ("MM",), "mm", ("detector.xclose_mm",),
         pivot="sample"),
    Flag(("-Yclose",), "nearest point of the detector", ("MM",), "mm", ("detector.yclose_mm",),
         pivot="sample"),
    Flag(("-ORGX",), "nearest point in XDS pixels", ("PX",), "pixel", ("detector.orgx_px",),
         pivot="sample"),
    Flag(("-ORGY",), "nearest point in XDS pixels", ("PX",), "pixel", ("detector.orgy_px",),
         pivot="sample"),
    Flag(("-pivot",), "point the detector turns about: sample or beam; under nanobragg physics "
         "the convention overrules it", ("WHERE",), "", ("detector.pivot",), "text",
         special="pivot"),
    Flag(("-mosflm",), "MOSFLM convention (default)", constant="mosflm", special="convention",
         fields=("detector.convention",), pivot="beam"),
    Flag(("-denzo",), "DENZO convention", constant="denzo", special="convention",
         fields=("detector.convention",), pivot="beam"),
    Flag(("-adxv",), "ADXV convention", constant="adxv", special="convention",
         fields=("detector.convention",), pivot="beam"),
    Flag(("-xds",), "XDS convention", constant="xds", special="convention",
         fields=("detector.convention",), pivot="sample"),
    Flag(("-dials",), "DIALS convention", constant="dials", special="convention",
         fields=("detector.convention",), pivot="beam"),
    Flag(("-fdet_vector",), "fast axis; selects the custom convention", _XYZ, "",
         ("detector.axes.fast",), special="vector"),
    Flag(("-sdet_vector",), "slow axis; selects the custom convention", _XYZ, "",
         ("detector.axes.slow",), special="vector"),
    Flag(("-odet_vector",), "detector normal; selects the custom convention", _XYZ, "",
         ("detector.axes.normal",), special="vector"),
    Flag(("-xdet_vector",), "fast axis", _XYZ, kind="ignored",
         reason=_README.format("-fdet_vector")),
    Flag(("-ydet_vector",), "slow axis", _XYZ, kind="ignored",
         reason=_README.format("-sdet_vector")),
    Flag(("-zdet_vector",), "detector normal", _XYZ, kind="ignored",
         reason=_README.format("-odet_vector")),
    Flag(("-beam_vector",), "beam direction; selects the custom convention", _XYZ, "",
         ("beam.direction",), special="vector"),
    Flag(("-polar_vector",), "polarisation E-vector; selects the custom convention", _XYZ, "",
         ("beam.polarization.axis",), special="vector"),
    Flag(("-spindle_axis",), "spindle; selects the custom convention", _XYZ, "",
         ("goniometer.spindle_axis",), special="vector"),
    Flag(("-twotheta_axis",), "axis of -twotheta; selects the custom convention", _XYZ, "",
         ("detector.axes.twotheta",), special="vector"),
    Flag(("-pix0_vector",), "outer corner of the first pixel; selects the custom convention",
         _XYZ, "m", ("detector.pix0_m",), special="vector", kind="exact only",
         reason="nanoBragg always computes the corner anew from pivot and distance"),
    Flag(("-pix0_vector_mm",), "the same in millimetres", _XYZ, "mm", ("detector.pix0_m",),
         special="vector_mm", kind="exact only",
         reason="nanoBragg always computes the corner anew from pivot and distance"),
    Flag(("-twotheta",), "detector swing", ("DEG",), "degree", ("detector.twotheta_deg",),
         pivot="sample"),
    Flag(("-detector_rotx",), "detector rotation about x", ("DEG",), "degree",
         ("detector.rotation_deg.0",)),
    Flag(("-detector_roty",), "detector rotation about y", ("DEG",), "degree",
         ("detector.rotation_deg.1",)),
    Flag(("-detector_rotz",), "detector rotation about z", ("DEG",), "degree",
         ("detector.rotation_deg.2",)),
    Flag(("-curved_det", "-curved_detector"), "all pixels equally far from the sample",
         fields=("detector.curved",), constant=True),
    Flag(("-point_pixel",), "inverse-square law instead of the pixel's solid angle",
         fields=("detector.point_pixel",), constant=True),
    Flag(("-detector_abs", "-detector_absorb", "-detector_absorption"),
         "attenuation depth of the sensor; `inf` or 0 turns absorption off", ("UM",), "µm",
         ("detector.sensor.attenuation_length_um",), special="detector_abs"),
    Flag(("-detector_thick",), "sensor thickness", ("UM",), "µm",
         ("detector.sensor.thickness_um",)),
    Flag(("-detector_thicksteps", "-thicksteps"), "sensor layers", ("N",), "",
         ("detector.sensor.layers",), "int"),
    Flag(("-roi",), "pixels to render, ends included", ("X0", "X1", "Y0", "Y1"), "pixel",
         ("detector.roi",), "int"),
    Flag(("-mask",), "SMV image: pixels of value 0 are skipped, its header sets geometry",
         ("FILE",), "", ("detector.mask_file",), "text"),
    Flag(("-img",), "SMV image whose header sets geometry, after that of -mask", ("FILE",), "",
         ("header_files",), "text", special="img"),
)  # fmt: skip

BEAM = (
    Flag(("-lambda", "-wave", "-wavelength"), "wavelength", ("A",), "Å",
         ("beam.wavelength_angstrom",), special="wavelength"),
    Flag(("-energy",), "photon energy", ("EV",), "eV", ("beam.energy_ev",), special="wavelength"),
    Flag(("-fluence",), "photons per area", ("PHI",), "photons/m²",
         ("beam.fluence_photons_per_m2",)),
    Flag(("-flux",), "photons per time; wins over -fluence", ("F",), "photons/s",
         ("beam.flux_photons_per_s",)),
    Flag(("-exposure",), "exposure time, with -flux", ("S",), "s", ("beam.exposure_s",)),
    Flag(("-beamsize",), "beam size; clips the crystal along b and c", ("MM",), "mm",
         ("beam.size_mm",)),
    Flag(("-polar",), "Kahn polarisation factor", ("K",), "", ("beam.polarization.kahn_factor",),
         special="polar"),
    Flag(("-nopolar",), "no polarisation factor", fields=("beam.polarization.enabled",),
         constant=False),
    Flag(("-dispersion",), "spectral width", ("PERCENT",), "%", ("beam.dispersion.range_percent",)),
    Flag(("-dispsteps",), "wavelengths within -dispersion", ("N",), "",
         ("beam.dispersion.steps",), "int"),
    Flag(("-divergence",), "angular range, both ways", ("MRAD",), "mrad",
         ("beam.divergence.horizontal.range_mrad", "beam.divergence.vertical.range_mrad")),
    Flag(("-hdivrange",), "angular range, horizontal", ("MRAD",), "mrad",
         ("beam.divergence.horizontal.range_mrad",)),
    Flag(("-vdivrange",), "angular range, vertical", ("MRAD",), "mrad",
         ("beam.divergence.vertical.range_mrad",)),
    Flag(("-hdiv",), "angular range, horizontal", ("MRAD",), "mrad",
         ("beam.divergence.horizontal.range_mrad",), kind="exact only",
         reason=_README.format("-hdivrange")),
    Flag(("-vdiv",), "angular range, vertical", ("MRAD",), "mrad",
         ("beam.divergence.vertical.range_mrad",), kind="exact only",
         reason=_README.format("-vdivrange")),
    Flag(("-hdivstep",), "angular step, horizontal", ("MRAD",), "mrad",
         ("beam.divergence.horizontal.step_mrad",)),
    Flag(("-vdivstep",), "angular step, vertical", ("MRAD",), "mrad",
         ("beam.divergence.vertical.step_mrad",)),
    Flag(("-hdivsteps",), "directions, horizontal", ("N",), "",
         ("beam.divergence.horizontal.steps",), "int"),
    Flag(("-vdivsteps",), "directions, vertical", ("N",), "",
         ("beam.divergence.vertical.steps",), "int"),
    Flag(("-divsteps",), "directions, both ways", ("N",), "",
         ("beam.divergence.horizontal.steps", "beam.divergence.vertical.steps"), "int"),
    Flag(("-round_div",), "cut the divergence grid to an ellipse (default)",
         fields=("beam.divergence.shape",), constant="round"),
    Flag(("-square_div",), "full divergence grid", fields=("beam.divergence.shape",),
         constant="square"),
    Flag(("-sourcefile",), "table of sources: X Y Z weight wavelength, in metres", ("FILE",), "m",
         ("beam.source_file",), "text"),
    Flag(("-coherent",), "coherent addition of sources", kind="ignored", reason=_NO_USE),
)  # fmt: skip

SAMPLING = (
    Flag(("-phi",), "spindle angle", ("DEG",), "degree", ("goniometer.phi_deg",)),
    Flag(("-osc",), "oscillation range", ("DEG",), "degree", ("goniometer.oscillation_deg",)),
    Flag(("-phistep",), "spindle step", ("DEG",), "degree", ("goniometer.step_deg",)),
    Flag(("-phisteps",), "spindle steps", ("N",), "", ("goniometer.steps",), "int"),
    Flag(("-oversample",), "sub-pixels along each side of a pixel; 0 or less: automatic", ("N",),
         "", ("sampling.oversample",), "int", special="oversample"),
    Flag(("-oversample_thick",), "capture fraction of every sample",
         fields=("sampling.per_sample_capture",), constant=True),
    Flag(("-oversample_polar",), "polarisation of every sample",
         fields=("sampling.per_sample_polarization",), constant=True),
    Flag(("-oversample_omega",), "solid angle of every sample",
         fields=("sampling.per_sample_solid_angle",), constant=True),
)  # fmt: skip

OUTPUT = (
    Flag(("-floatfile", "-floatimage"), "raw float32 image", ("FILE",), "",
         ("outputs.floatfile",), "text"),
    Flag(("-intfile", "-intimage"), "scaled SMV image", ("FILE",), "", ("outputs.intfile",),
         "text"),
    Flag(("-noisefile", "-noiseimage"), "SMV image with photon noise", ("FILE",), "",
         ("outputs.noisefile",), "text", special="noisefile"),
    Flag(("-nonoise",), "no image with noise", fields=("outputs.write_noise",), constant=False),
    Flag(("-pgmfile", "-pgmimage"), "8-bit preview", ("FILE",), "", ("outputs.pgmfile",), "text",
         special="pgm"),
    Flag(("-nopgm",), "no preview", fields=("outputs.write_pgm",), constant=False),
    Flag(("-scale",), "scale of -intfile; 0: automatic", ("S",), "", ("outputs.scale",)),
    Flag(("-pgmscale",), "scale of -pgmfile; 0: automatic", ("S",), "", ("outputs.pgmscale",),
         special="pgm"),
    Flag(("-adc", "-adc_offset", "-adcoffset"), "offset of the SMV images (default 40)", ("ADU",),
         "ADU", ("outputs.adc",)),
    Flag(("-seed",), "seed of the photon noise", ("N",), "", ("noise.seed",), "int",
         special="seed"),
    Flag(("-printout",), "print pixel values", kind="ignored",
         reason="pixel values are read from the image files"),
    Flag(("-printout_pixel",), "print one pixel", ("FAST", "SLOW"), "pixel", convert="int",
         kind="ignored", reason="pixel values are read from the image files"),
    Flag(("-progress",), "show progress", fields=("own.progress",), constant=True),
    Flag(("-noprogress",), "show no progress", fields=("own.progress",), constant=False),
)  # fmt: skip

OWN = (
    Flag(("--physics",), "nanobragg (default here) or exact", ("MODE",), "", ("physics",), "text",
         special="choice", constant=("nanobragg", "exact")),
    Flag(("--precision",), "mixed (default) or float64", ("P",), "", ("compute.precision",),
         "text", special="choice", constant=("mixed", "float64")),
    Flag(("--kernel",), "auto (default), native, triton or model", ("K",), "",
         ("compute.kernel",), "text", special="choice",
         constant=("auto", "native", "triton", "model", "eager", "reference")),
    Flag(("--device",), "cpu (default), cuda or cuda:N", ("D",), "", ("compute.device",), "text"),
    Flag(("--tolerance",), "photons that may be left out of a pixel (default 0)", ("EPS",),
         "photon", ("sampling.tolerance_photons",)),
    Flag(("--tile",), "tile shape, slow x fast", ("HxW",), "pixel", ("compute.tile",), "text",
         special="tile"),
    Flag(("--source-chunk",), "sources of one task", ("N",), "", ("compute.source_chunk",), "int"),
    Flag(("--threads",), "threads of the renderer", ("N",), "", ("own.threads",), "int",
         special="threads"),
    Flag(("--cluster",), "local, a scheduler address, a scheduler file or a cluster file",
         ("C",), "", ("own.cluster",), "text"),
    Flag(("-o", "--output"), "Zarr stack to write", ("FILE.zarr",), "", ("own.out",), "text"),
    Flag(("--help", "-h", "-help"), "show this help", fields=("own.help",), constant=True),
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
