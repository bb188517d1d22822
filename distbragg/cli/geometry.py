"""`distbragg geometry`: what a geometry file was understood to say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from distbragg.spec.detector import GeometryFormat

SHOWN_PANELS = 16
_FORMATS: tuple[str, ...] = GeometryFormat.__args__  # type: ignore[attr-defined]


@click.command("geometry")
@click.argument("path", metavar="FILE", type=click.Path())
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), default="auto", show_default=True,
    help="Take the file for this, whatever it looks like.",
)  # fmt: skip
@click.option(
    "--experiment", type=click.IntRange(min=0), help="Which one of a DIALS experiment list.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(path: str, form: str, experiment: int | None, as_json: bool) -> None:
    """Print the panels, distance and beam centre of a geometry file of another program.

    The beam centre is printed in every convention, so that it can be compared with what the
    program that wrote the file shows.
    """
    from distbragg.run.geometry import describe_geometry

    facts = describe_geometry(path, form, experiment)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    from distbragg.cli.tables import print_rows

    print_rows(path, geometry_rows(facts))


def geometry_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Lay the facts out as pairs of name and text."""
    centre = facts["beam_centre"]
    distance = facts["distance_mm"]
    rows = [
        ("format", facts["format"]),
        ("laboratory frame", facts["frame"]),
        ("beam travels along", _vector(facts["beam"])),
        ("wavelength", _wavelength(facts)),
        ("E-vector along", _vector(facts["polarization"])),
        ("polarised share", _number(facts["polarization_fraction"], "")),
        ("spindle", _vector(facts["spindle"])),
        ("rotation", _rotation(facts)),
        ("cell", "not given" if facts["cell"] is None else _vector(facts["cell"], 3)),
        ("panels", str(len(facts["panels"]))),
        *(_panel_row(panel) for panel in facts["panels"][:SHOWN_PANELS]),
    ]
    if len(facts["panels"]) > SHOWN_PANELS:
        rows.append(("", f"and {len(facts['panels']) - SHOWN_PANELS} more (--json shows all)"))
    rows.append(("distance", _number(distance, "mm along the beam")))
    return rows + _centre_rows(centre) + [("note", note) for note in facts["notes"]]


def _centre_rows(centre: dict[str, Any] | None) -> list[tuple[str, str]]:
    if centre is None:
        return [("beam centre", "not given")]
    where = "" if centre["on_panel"] else ", which the beam does not meet"
    return [
        ("beam centre", f"of panel {centre['panel']}{where}"),
        ("  DIALS, fast slow", f"{_vector(centre['dials_px'], 2)} px"),
        ("", f"{_vector(centre['dials_mm'], 3)} mm"),
        ("  XDS ORGX ORGY", _vector(centre["xds_orgx_orgy_px"], 2)),
        ("  MOSFLM X Y", f"{_vector(centre['mosflm_mm'], 3)} mm"),
        ("  DENZO X Y", f"{_vector(centre['denzo_mm'], 3)} mm"),
        ("  adxv X Y", f"{_vector(centre['adxv_mm'], 3)} mm"),
    ]


def _wavelength(facts: dict[str, Any]) -> str:
    channels = facts["spectrum_channels"]
    words = _number(facts["wavelength_angstrom"], "Å")
    return words if channels is None else f"{words}, a spectrum of {channels} channels"


def _panel_row(panel: dict[str, Any]) -> tuple[str, str]:
    sensor = ""
    if panel["thickness_mm"]:
        sensor = f", {panel['material'] or 'sensor'} {panel['thickness_mm'] * 1e3:.4g} um"
    masked = panel["masked_areas"] + bool(panel["masked_pixels"])
    return (
        f"  {panel['name'][-28:]}",
        f"{panel['pixels_fast']} x {panel['pixels_slow']} px of {panel['pixel_size_mm']:.5g} mm at "
        f"{_vector(panel['origin_mm'], 2)} mm, fast {_vector(panel['fast'], 3)}, "
        f"slow {_vector(panel['slow'], 3)}, tilt {panel['tilt_deg']:.2f} deg"
        f"{sensor}{', masked areas' if masked else ''}",
    )


def _rotation(facts: dict[str, Any]) -> str:
    if facts["phi_deg"] is None:
        return "not given"
    width = facts["oscillation_deg"]
    return f"from {facts['phi_deg']:g} deg" + ("" if width is None else f" in steps of {width:g}")


def _vector(values: Sequence[float] | None, digits: int = 4) -> str:
    if values is None:
        return "not given"
    # Adding 0.0 takes the sign off a negative zero.
    return " ".join(f"{round(value, digits) + 0.0:.{digits}f}" for value in values)


def _number(value: float | None, unit: str) -> str:
    return "not given" if value is None else f"{value:.7g} {unit}".rstrip()
