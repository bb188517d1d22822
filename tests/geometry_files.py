"""Geometry files for the tests, written out as their programs write them."""

from __future__ import annotations

from typing import Any

IDENTITY = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]


def expt_panel(name: str, origin: list[float], **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "type": "SENSOR_PAD",
        "fast_axis": [1.0, 0.0, 0.0],
        "slow_axis": [0.0, -1.0, 0.0],
        "origin": origin,
        "image_size": [12, 10],
        "pixel_size": [0.5, 0.5],
        "trusted_range": [-1.0, 1e6],
        "thickness": 0.0,
        "material": "",
        "mu": 0.0,
        "mask": [],
        **changes,
    }


def expt(panels: list[dict[str, Any]] | None = None, **changes: Any) -> dict[str, Any]:
    """Two panels of 12 x 10 pixels side by side, a spindle along x, a tetragonal crystal."""
    if panels is None:
        panels = [
            expt_panel("left", [-6.5, 2.5, -60.0]),
            expt_panel("right", [0.5, 2.5, -60.0], mask=[[2, 3, 5, 4]]),
        ]
    return {
        "__id__": "ExperimentList",
        "experiment": [
            {
                "__id__": "Experiment",
                "beam": 0,
                "detector": 0,
                "goniometer": 0,
                "scan": 0,
                "crystal": 0,
            }
        ],
        "imageset": [],
        "beam": [
            {
                "direction": [0.0, 0.0, 1.0],
                "wavelength": 1.1,
                "polarization_normal": [0.0, 1.0, 0.0],
                "polarization_fraction": 0.99,
            }
        ],
        "detector": [{"panels": panels}],
        "goniometer": [
            {
                "rotation_axis": [1.0, 0.0, 0.0],
                "fixed_rotation": IDENTITY,
                "setting_rotation": IDENTITY,
            }
        ],
        "scan": [{"image_range": [1, 20], "oscillation": [5.0, 0.25]}],
        "crystal": [
            {
                "__id__": "crystal",
                "real_space_a": [0.0, 0.0, 40.0],
                "real_space_b": [40.0, 0.0, 0.0],
                "real_space_c": [0.0, 60.0, 0.0],
                "space_group_hall_symbol": " P 1",
            }
        ],
        **changes,
    }


XDS_INP = b"""JOB= XYCORR INIT   ! a comment with ORGX= 9
DETECTOR=PILATUS MINIMUM_VALID_PIXEL_VALUE=0 OVERLOAD=1048500
NX= 24 NY= 10 QX=0.5 QY=0.5  SENSOR_THICKNESS=0.32 SILICON=4.0
ORGX= 12.5 ORGY= 5.5  DETECTOR_DISTANCE= 60
DIRECTION_OF_DETECTOR_X-AXIS= 1 0 0
DIRECTION_OF_DETECTOR_Y-AXIS= 0 1 0
ROTATION_AXIS= 2 0 0  STARTING_ANGLE= 5 OSCILLATION_RANGE= 0.25
X-RAY_WAVELENGTH=1.1 INCIDENT_BEAM_DIRECTION= 0 0 0.91
FRACTION_OF_POLARIZATION=0.99 POLARIZATION_PLANE_NORMAL= 0 1 0
UNTRUSTED_RECTANGLE= 12 14 0 11
FRIEDEL'S_LAW=FALSE
UNIT_CELL_A-AXIS= 0 0 40
UNIT_CELL_B-AXIS= 40 0 0
UNIT_CELL_C-AXIS= 0 60 0
"""

XDS_SEGMENTS = (
    XDS_INP
    + b"""SEGMENT= 1 12 1 10
DIRECTION_OF_SEGMENT_X-AXIS= 1 0 0
DIRECTION_OF_SEGMENT_Y-AXIS= 0 1 0
SEGMENT_DISTANCE= 0 SEGMENT_ORGX= 0 SEGMENT_ORGY= 0
SEGMENT= 13 24 1 10
DIRECTION_OF_SEGMENT_X-AXIS= 0.6 0 0.8
DIRECTION_OF_SEGMENT_Y-AXIS= 0 1 0
SEGMENT_DISTANCE= 1.5 SEGMENT_ORGX= 2 SEGMENT_ORGY= 0
"""
)

XPARM = b""" XPARM.XDS    VERSION March 30, 2013
     1        5.0000    0.2500  1.000000  0.000000  0.000000
       1.100000       0.000000       0.000000       0.909091
    75     40.0000     40.0000     60.0000  90.000  90.000  90.000
       0.000000       0.000000      40.000000
      40.000000       0.000000       0.000000
       0.000000      60.000000       0.000000
         1        24        10    0.500000    0.500000
      12.500000       5.500000      60.000000
       1.000000       0.000000       0.000000
       0.000000       1.000000       0.000000
       0.000000       0.000000       1.000000
         1         1        24         1        10
    0.00    0.00    0.00  1.00000  0.00000  0.00000  0.00000  1.00000  0.00000
"""

CRYSTFEL = b"""; a detector of two panels
photon_energy = 9.4 keV
clen = 0.06
res = 2000
detector_shift_x = 0.5 mm
fs = x
ss = -y
min_ss = 0
max_ss = 9
rigid_group_q0 = left,right
left/min_fs = 0
left/max_fs = 11
left/corner_x = -13.0
left/corner_y = 5.0
right/min_fs = 12
right/max_fs = 23
right/corner_x = 1.0
right/corner_y = 5.0
right/fs = +0.6x + 0.8z
right/coffset = -0.001
bad_edge/panel = right
bad_edge/min_fs = 13
bad_edge/max_fs = 14
bad_edge/min_ss = 2
bad_edge/max_ss = 2
bad_shadow/min_x = -12.1
bad_shadow/max_x = -9.9
bad_shadow/min_y = 3.4
bad_shadow/max_y = 4.6
"""

MINI_CBF = b"""###CBF: VERSION 1.5, a detector
data_x
_array_data.header_convention "PILATUS_1.2"
_array_data.header_contents
;
# Detector: PILATUS 6M, S/N 60-0001
# Pixel_size 172e-6 m x 172e-6 m
# Silicon sensor, thickness 0.000320 m
# Wavelength 0.9795 A
# Detector_distance 0.19018 m
# Beam_xy (7.50, 4.25) pixels
# Start_angle 5.0000 deg.
# Angle_increment 0.2500 deg.
# Polarization 0.990
;
_array_data.data
;
--CIF-BINARY-FORMAT-SECTION--
X-Binary-Number-of-Elements: 120
X-Binary-Size-Fastest-Dimension: 12
X-Binary-Size-Second-Dimension: 10

\x0c\x1a\x04\xd5 pixels"""

SMV = (
    b"{\nHEADER_BYTES=512;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\nSIZE1=4;\nSIZE2=3;\n"
    b"PIXEL_SIZE=0.1;\nDISTANCE=100;\nBEAM_CENTER_X=0.12;\nBEAM_CENTER_Y=0.23;\nWAVELENGTH=1.2;\n"
    b"PHI=3;\nOSC_START=4;\nOSC_RANGE=0.5;\n}\f"
).ljust(512) + bytes(24)


def write_nexus(path: str, *, detector_turn: float = 0.0) -> None:
    """Write an NXmx master of two modules, the second turned about y, on a turned detector."""
    import h5py
    import numpy as np

    def group(parent, name, kind):
        made = parent.create_group(name)
        made.attrs["NX_class"] = kind
        return made

    def axis(parent, name, value, kind, vector, depends, **attrs):
        made = parent.create_dataset(name, data=value)
        units = "deg" if kind == "rotation" else "mm"
        made.attrs.update(
            {"transformation_type": kind, "vector": vector, "units": units, "depends_on": depends}
        )
        made.attrs.update(attrs)

    with h5py.File(path, "w") as file:
        entry = group(file, "entry", "NXentry")
        sample = group(entry, "sample", "NXsample")
        sample["depends_on"] = "transformations/phi"
        chain = group(sample, "transformations", "NXtransformations")
        axis(chain, "phi", [5.0, 5.25, 5.5], "rotation", [-1.0, 0.0, 0.0], "omega")
        axis(chain, "omega", [90.0], "rotation", [0.0, 0.0, 1.0], ".")
        instrument = group(entry, "instrument", "NXinstrument")
        beam = group(instrument, "beam", "NXbeam")
        beam["incident_wavelength"] = 0.11
        beam["incident_wavelength"].attrs["units"] = "nm"
        detector = group(instrument, "detector", "NXdetector")
        detector["sensor_material"] = "Si"
        detector["sensor_thickness"] = 450.0
        detector["sensor_thickness"].attrs["units"] = "um"
        mask = np.zeros((20, 12), dtype=np.uint32)
        mask[13, 4] = 1
        detector["pixel_mask"] = mask
        chain = group(detector, "transformations", "NXtransformations")
        axis(chain, "z", 60.0, "translation", [0.0, 0.0, 1.0], "two_theta")
        axis(chain, "two_theta", detector_turn, "rotation", [0.0, 1.0, 0.0], ".")
        for index, place in enumerate(([6.5, 2.5, 0.0], [-0.5, 2.5, 0.0])):
            module = group(detector, f"module{index}", "NXdetector_module")
            module["data_origin"] = [10 * index, 0]
            module["data_size"] = [10, 12]
            base = "/entry/instrument/detector/transformations/z"
            axis(
                module, "module_offset", 0.0, "translation", [1.0, 0.0, 0.0], base,
                offset=place, offset_units="mm",
            )  # fmt: skip
            axis(
                module, "fast_pixel_direction", 0.5, "translation", [-1.0, 0.0, 0.0],
                "module_offset",
            )  # fmt: skip
            axis(
                module, "slow_pixel_direction", 0.5, "translation", [0.0, -1.0, 0.0],
                "fast_pixel_direction",
            )  # fmt: skip
