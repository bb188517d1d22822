"""What a DIALS experiment list says that bears on an image and is not read."""

from __future__ import annotations

from typing import Any, Final

from distbragg.read.text import shown

Json = Any
Models = dict[str, dict[str, Json] | None]

_VARYING: Final = (
    ("crystal", "A_at_scan_points", "the crystal"),
    ("beam", "s0_at_scan_points", "the beam"),
    ("goniometer", "setting_rotation_at_scan_points", "the setting rotation"),
)
_MOSAICITY: Final = ("mosaicity", "ML_half_mosaicity_deg")
_BEAM: Final = (
    ("divergence", "beam.divergence"),
    ("sigma_divergence", "beam.divergence"),
    ("flux", "beam.flux_photons_per_s"),
)
_TABLES: Final = ("mask", "gain", "pedestal", "dx", "dy")
_REMEDIES: Final = {
    "mask": "give it as detector.mask_file, an .npy array",
    "dx": "positions are those of the plain panels",
    "dy": "positions are those of the plain panels",
}
_LARGEST: Final = 1e300
_SHIFTED: Final = ("OffsetParallaxCorrectedPxMmStrategy", "OffsetPxMmStrategy")


def expt_notes(models: Models, imageset: dict[str, Json]) -> list[str]:
    """Return one line for each thing that is left aside.

    Parameters
    ----------
    models : dict
        Beam, detector, goniometer, scan and crystal of the experiment.
    imageset : dict
    """
    notes = [
        f"{what} varies over the scan ({field}): its one model of the whole scan is used"
        for name, field, what in _VARYING
        if (models.get(name) or {}).get(field)
    ]
    notes += _of_beam(models.get("beam") or {})
    notes += _of_scan(models.get("scan") or {})
    notes += [
        f"{name} {value:g} deg of the crystal is left aside: crystal.mosaic gives it"
        for name in _MOSAICITY
        if (value := _size(models.get("crystal") or {}, name))
    ]
    group = (models.get("crystal") or {}).get("space_group_hall_symbol")
    if isinstance(group, str) and group.strip() not in ("", "P 1"):
        notes.append(f"the space group, Hall symbol {shown(group.strip())}, is left aside: "
                     "structure_factors.space_group gives it")  # fmt: skip
    notes += _of_panels(models.get("detector") or {})
    for name in _TABLES:
        table = imageset.get(name)
        if isinstance(table, str) and table:
            remedy = _REMEDIES.get(name, "images are in photons")
            file = shown(table[-40:])
            notes.append(f"the {name} table of the images ({file}) is left aside: {remedy}")
    return notes


def _of_beam(beam: dict[str, Json]) -> list[str]:
    notes = []
    probe = beam.get("probe")
    if isinstance(probe, str) and probe not in ("", "x-ray"):
        notes.append(f"the probe is '{shown(probe)}': the image is that of X-rays")
    span = beam.get("wavelength_range")
    if isinstance(span, list) and len(span) == 2:
        notes.append(
            f"the beam is polychromatic, {shown(str(span[0]))} to {shown(str(span[1]))} Å: its "
            "range is left aside; "
            "beam.spectrum gives wavelengths"
        )
    for name, field in _BEAM:
        if value := _size(beam, name):
            notes.append(f"{name} {value:g} of the beam is left aside: {field} gives it")
    return notes


def _of_scan(scan: dict[str, Json]) -> list[str]:
    properties = scan.get("properties")
    if not isinstance(properties, dict):
        return []
    if "time_of_flight" in properties:
        return ["the scan is one of time of flight, which is left aside"]
    angles = properties.get("oscillation")
    if isinstance(angles, list) and len(angles) == 1 and not properties.get("oscillation_width"):
        return ["the scan of one image states no width: it is taken as a still"]
    return []


def _of_panels(detector: dict[str, Json]) -> list[str]:
    listed = detector.get("panels")
    panels = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    notes = []
    if any(_size(panel, "gain") not in (0.0, 1.0) or _size(panel, "pedestal") for panel in panels):
        notes.append("gain and pedestal of the panels are left aside: images are in photons")
    kinds = {
        str(strategy.get("type"))
        for panel in panels
        if isinstance(strategy := panel.get("px_mm_strategy"), dict)
    }
    if kinds & set(_SHIFTED):
        notes.append("the shifts of single pixels (px_mm_strategy) are left aside")
    return notes


def _size(mapping: dict[str, Json], name: str) -> float:
    """Return a number of a model, 0 for one that is missing or none."""
    value = mapping.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(min(abs(value), _LARGEST))
