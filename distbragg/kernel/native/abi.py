"""The parameter block of the C++ kernel, field by field as in `src/params.hpp`."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Final, get_args

from distbragg.models.detector import Surface

if TYPE_CHECKING:
    from _ctypes import _CData as _Data

_INTEGER = ctypes.c_int64
_REAL = ctypes.c_double
_ADDRESS = ctypes.c_void_p


SURFACES: Final = {name: code for code, name in enumerate(get_args(Surface))}
"""`Surface` of `params.hpp`."""


def _names(kind: type[_Data], text: str) -> list[tuple[str, Any]]:
    return [(name, kind) for name in text.split()]


class Parameters(ctypes.Structure):
    """Everything one call of the kernel reads, and where it writes."""

    _fields_ = (
        *_names(_INTEGER, "slow_start slow_stop fast_start fast_stop source_start source_stop"),
        *_names(_INTEGER, "threads double_precision shape domains"),
        ("cells", _REAL * 3),
        ("metric", _REAL * 6),
        *_names(_REAL, "spot_scale tophat_cut reach skip_below most_squared"),
        *_names(_REAL * 3, "edge_length axis_stiffness"),
        *_names(_REAL, "least_stiffness index_error offset_error table_scale"),
        ("interpolate", _INTEGER),
        ("box", _INTEGER * 3),
        ("origin", _INTEGER * 3),
        *_names(_INTEGER, "oversample layers surface point_pixel absorbs"),
        *_names(_REAL, "pixel_size close_distance distance attenuation"),
        *_names(_REAL * 3, "panel_origin fast slow normal beam"),
        *_names(_INTEGER, "polarization solid_angle capture"),
        ("kahn_factor", _REAL),
        ("polarization_axis", _REAL * 3),
        *_names(_REAL, "dmin background_scale"),
        ("background_entries", _INTEGER),
        *_names(
            _ADDRESS,
            "source_direction source_wavelength source_weight domain_vectors"
            " domain_reciprocals layer_position"
            " layer_front layer_back background_stol background_amplitude amplitude"
            " squared_f32 squared_f64 active numerators photons_f32 photons_f64",
        ),
        ("photon_scale", _REAL),
        ("row_stride", _INTEGER),
        ("skipped", _REAL),
        ("evaluated", _INTEGER),
    )
