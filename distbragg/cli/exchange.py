"""Files of other programs: `export` writes them, `geometry`, `presets` and `fmodel` read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, get_args

import click

from distbragg.cli import options
from distbragg.cli.output import echo, print_facts
from distbragg.spec.detector import GeometryFormat

if TYPE_CHECKING:
    from distbragg.read.preset import Preset
    from distbragg.run.export import ExportResult
    from distbragg.run.export_plan import ExportFormat
    from distbragg.spec.cluster import ClusterSpec
    from distbragg.store.split import Split

FORMATS: Final = (
    *("smv", "cbf", "nxmx", "tiff", "png", "npy", "zarr2", "expt", "cxi"),
    *("webdataset", "hdf5"),
)
BESIDE: Final = ("nxmx", "cxi", "hdf5")
"""Formats that put other files beside those of images."""
SHOWN_PANELS: Final = 16


@click.command("export")
@options.run_argument
@click.option("--format", "form", required=True, type=click.Choice(FORMATS), help="What to write.")
@options.output_option(
    "DIR",
    "Output folder; default: the run's name and the format, in this folder.",
    required=False,
)
@options.chosen_option("--frames", "SEL", "Frames counted from 0, such as 0:10,15; default: all.")
@click.option(
    "--prefix",
    metavar="NAME",
    default="",
    help="Start of the file names; default: the "
    "run's name, in which all but letters A to Z, digits, . _ + and - becomes _.",
)
@click.option(
    "--scale",
    type=float,
    default=1.0,
    metavar="S",
    help="Counts per photon in smv and cbf; default 1. Counts are rounded.",
)
@click.option(
    "--adc-offset",
    type=int,
    metavar="N",
    help="Added to every count of smv and named in its header; default 40, or 0 where the "
    "detector's response has an offset of its own.",
)
@click.option(
    "--compression",
    type=click.Choice(("auto", "bitshuffle", "gzip", "none")),
    default="auto",
    help="For nxmx, cxi, hdf5; auto: bitshuffle with LZ4 if hdf5plugin is installed, else gzip.",
)
@click.option(
    "--variant",
    metavar="NAME",
    default="",
    help="Write this one of output.variants instead of whole frames; webdataset and hdf5.",
)
@click.option(
    "--split",
    "apart",
    is_flag=True,
    help="Write one set per part of a split, given by the options below; webdataset and hdf5.",
)
@options.split_options
@options.seen_option
@click.option(
    "--file-mb",
    type=float,
    default=256.0,
    show_default=True,
    metavar="MB",
    help="Largest pixel data of a webdataset or hdf5 file, before compression.",
)
@options.cluster_options
def export_command(
    run: str,
    form: ExportFormat,
    split: Split,
    cluster: str | ClusterSpec | None,
    workers: int | None,
    *,
    apart: bool,
    **how: Any,
) -> int:
    """Write a run's frames as files that other programs read.

    \b
      smv    .img    adxv, MOSFLM, DIALS; 16-bit counts plus an ADC offset
      cbf    .cbf    Pilatus-style miniCBF, byte-offset; 32-bit counts
      nxmx   .h5     NeXus master and data files; any geometry
      tiff   .tif    the stack's own numbers
      png    .png    pictures with axes
      npy    .npy    numpy
      zarr2  .zarr   Zarr format 2 without shards, for older readers
      expt   .expt   DIALS experiment lists: geometry and true crystals, no images;
                     .refl beside them where the run keeps labels: the true spots
      cxi    .cxi    CrystFEL: modules unassembled, .geom and .lst beside them, and
                     a .stream of the true crystals, with spots where the run keeps
                     labels
      webdataset     shards (.tar) of samples for training: image, labels, spots
      hdf5   .h5     images, labels and spots for training: one file, or parts and
                     a master over them

    Files already there and whole are kept; frames.csv says which frame is where.

    \b
    Examples:
      distbragg export out.zarr --format smv -o images
      distbragg export out.zarr --format nxmx --workers 4
      distbragg export out.zarr --format cbf --frames 0:10,15
      distbragg export out.zarr --format webdataset --split --test 0.1 -o shards
    """
    from distbragg.run.export import export_run

    how["split"] = options.split_if(split, given=apart)
    result = export_run(run, form, cluster=cluster, workers=workers, progress=True, **how)
    return _report_export(result)


def _report_export(result: ExportResult) -> int:
    """Say how an export ended; return the exit status."""
    from distbragg.quantities import counted, duration
    from distbragg.run.result import failure_lines

    kept = f", {result.skipped} existed already" if result.skipped else ""
    # Masters and lists are made anew each time, and are not counted.
    what = ("file of images", "files of images") if result.format in BESIDE else ("file", "")
    echo(
        f"{result.out}: {counted(result.written, *what)} written in "
        f"{duration(result.seconds)}{kept}; {counted(result.frames, 'frame')} as {result.format}"
    )
    if result.outside:
        echo(
            f"clipped to the limit of the format: {counted(result.outside, 'pixel')} beyond the "
            "range of the format; --scale makes smv and cbf counts smaller"
        )
    if result.missing:
        echo(
            f"not rendered yet: {counted(result.missing, 'frame')}; `distbragg resume "
            f"{result.path}` renders them, the same export adds them"
        )
    echo(*failure_lines("not written", result.failures))
    echo(f"begins with {result.opens}")
    return int(result.status)


@click.command("geometry")
@click.argument("path", metavar="FILE", type=click.Path())
@click.option(
    "--format",
    "form",
    type=click.Choice(get_args(GeometryFormat)),
    default="auto",
    show_default=True,
    help="Read the file in this format, whatever its content.",
)
@click.option(
    "--experiment", type=click.IntRange(min=0), help="Number of the experiment in a DIALS list."
)
@options.json_option
def geometry_command(path: str, form: str, experiment: int | None, as_json: bool) -> None:
    """Print the panels, distance and beam centre of a geometry file of another program.

    The beam centre is printed in every convention, so that it can be compared with what the
    program that wrote the file shows.
    """
    from distbragg.run.geometry import describe_geometry

    facts = describe_geometry(path, form, experiment)
    print_facts(path, facts, lambda: _geometry_rows(facts), as_json=as_json)


def _geometry_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Lay the facts out as pairs of name and text."""
    wavelength = _number(facts["wavelength_angstrom"], "Å")
    if facts["spectrum_channels"] is not None:
        wavelength += f", a spectrum of {facts['spectrum_channels']} channels"
    rotation, width = "not given", facts["oscillation_deg"]
    if facts["phi_deg"] is not None:
        steps = "" if width is None else f" in steps of {width:g}"
        rotation = f"from {facts['phi_deg']:g} deg{steps}"
    rows = [
        ("format", facts["format"]),
        ("laboratory frame", facts["frame"]),
        ("beam travels along", _vector(facts["beam"])),
        ("wavelength", wavelength),
        ("E-vector along", _vector(facts["polarization"])),
        ("polarised share", _number(facts["polarization_fraction"], "")),
        ("spindle", _vector(facts["spindle"])),
        ("rotation", rotation),
        ("cell", "not given" if facts["cell"] is None else _vector(facts["cell"], 3)),
        ("panels", str(len(facts["panels"]))),
        *(_panel_row(panel) for panel in facts["panels"][:SHOWN_PANELS]),
    ]
    if len(facts["panels"]) > SHOWN_PANELS:
        rows.append(("", f"and {len(facts['panels']) - SHOWN_PANELS} more (--json shows all)"))
    rows.append(("distance", _number(facts["distance_mm"], "mm along the beam")))
    return rows + _centre_rows(facts["beam_centre"]) + [("note", note) for note in facts["notes"]]


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


def _vector(values: Sequence[float] | None, digits: int = 4) -> str:
    if values is None:
        return "not given"
    # Adding 0.0 takes the sign off a negative zero.
    return " ".join(f"{round(value, digits) + 0.0:.{digits}f}" for value in values)


def _number(value: float | None, unit: str) -> str:
    return "not given" if value is None else f"{value:.7g} {unit}".rstrip()


@click.command("presets")
@options.json_option
def presets_command(as_json: bool) -> None:
    """List the detectors that `detector.preset` may name, each with its source."""
    from distbragg.read.preset import preset_names, read_preset

    presets = [read_preset(name) for name in preset_names()]
    print_facts(
        "detector.preset",
        [asdict(preset) for preset in presets],
        lambda: [(preset.name, _preset_text(preset)) for preset in presets],
        as_json=as_json,
    )


def _preset_text(preset: Preset) -> str:
    slow, fast = preset.pixels
    parts = f"{len(preset.segments)} panels of " if preset.segments else ""
    return (
        f"{preset.title}: {parts}{fast} x {slow} px of {preset.pixel_mm:g} mm, "
        f"{preset.material} {preset.thickness_um:g} um. {preset.source}"
    )


@click.command("fmodel")
@click.argument("model", metavar="MODEL", type=click.Path())
@options.output_option("F.mtz", "File to write.")
@click.option(
    "--dmin",
    required=True,
    type=click.FloatRange(min=0.0, min_open=True),
    metavar="Å",
    help="Resolution limit of F.",
)
@click.option(
    "--wavelength",
    type=click.FloatRange(min=0.0, min_open=True),
    metavar="Å",
    help="Add f' and f\" of every element at this wavelength; Friedel mates then differ.",
)
@click.option(
    "--bulk-solvent/--no-bulk-solvent",
    default=True,
    help="Flat solvent between the molecules of a macromolecular model (default: with).",
)
@click.option(
    "--solvent-k",
    type=click.FloatRange(min=0.0),
    default=0.35,
    show_default=True,
    metavar="E/Å³",
    help="Density of the bulk solvent.",
)
@click.option(
    "--solvent-b",
    type=click.FloatRange(min=0.0),
    default=46.0,
    show_default=True,
    metavar="Å²",
    help="Smearing of the bulk solvent.",
)
def fmodel_command(model: str, out: str, dmin: float, **how: Any) -> None:
    """Compute structure factors of an atomic model and write them as MTZ.

    MODEL is a PDB, mmCIF or small-molecule CIF file, also compressed (.gz). Written are FC and
    PHIC of one asymmetric part, F(000) included; with --wavelength also FC(+) and FC(-). A spec
    reads the file back with structure_factors.file.

    \b
    Examples:
      distbragg fmodel 1orc.pdb -o 1orc.mtz --dmin 1.8
      distbragg fmodel 5wkd.cif -o se.mtz --dmin 2 --wavelength 0.9794
    """
    from distbragg.run.fmodel import fmodel

    result = fmodel(model, out, dmin=dmin, **how)
    for note in result.notes:
        echo(f"{note.kind}: {note}", err=True)
    echo(
        f"{result.path}: {result.reflections} reflections to {dmin:g} Å, "
        f"{result.spacegroup}, F(000) = {result.f000:.1f} electrons"
    )
