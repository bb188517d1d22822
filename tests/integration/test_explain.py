"""What `explain` tells of a frame is what rendering the frame gives."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy import ndimage

import distbragg as db
from distbragg.cli.main import main
from distbragg.models.build import build_experiment
from distbragg.models.origins import asked, recorded
from distbragg.run.explain import Explanation, explain
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.load import parse_spec
from distbragg.spec.sweep import SweepSpec
from tests.geometry_files import expt, expt_panel

PYROPE = Path(db.__file__).parent / "data" / "pyrope.cif"
FWHM = math.sqrt(8.0 * math.log(2.0))
BASE: dict[str, Any] = {
    "beam": {
        "wavelength_angstrom": 0.5,
        "flux_photons_per_s": 1e12,
        "exposure_s": 0.04,
        "size_mm": 0.01,
    },
    "crystal": {
        "cell": [11.459, 11.459, 11.459, 90.0, 90.0, 90.0],
        "block_cells": [12, 12, 12],
        "shape": "gauss",
        "specimen": {"edges_um": [4.0, 4.0, 4.0]},
        "misset_deg": [10.0, 20.0, 30.0],
        "mosaic": {"distribution": "gaussian", "spread_deg": 0.2},
    },
    "structure_factors": {
        "file": str(PYROPE), "format": "model", "dmin_angstrom": 0.6, "bulk_solvent": False,
    },
    "detector": {
        "distance_mm": 60.0, "pixel_size_mm": 0.1, "pixels_fast": 700, "pixels_slow": 600,
    },
}  # fmt: skip


def merged(plain: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Lay changes over plain data; a field of None is taken out."""
    found = dict(plain)
    for name, value in changes.items():
        both = isinstance(value, dict) and isinstance(found.get(name), dict)
        found[name] = merged(found[name], value) if both else value
    return {name: value for name, value in found.items() if value is not None}


def spec_of(changes: dict[str, Any]) -> ExperimentSpec:
    return parse_spec(merged(BASE, changes))


def image_of(spec: ExperimentSpec) -> np.ndarray:
    return db.render(spec, progress=False)["images"].to_numpy().astype(np.float64)


CAP = {"mosaic": {"distribution": "cap", "spread_deg": 0.5, "domains": 60}}
SPOTS: dict[str, dict[str, Any]] = {
    "closed form": {"crystal": {"block_cells": [40, 40, 40], "mosaic": {"spread_deg": 0.4}}},
    "bandwidth": {
        "beam": {"bandwidth_percent": 0.5},
        "crystal": {"block_cells": [40, 40, 40], "mosaic": {"spread_deg": 0.4}},
    },
    "rotation": {"goniometer": {"oscillation_deg": 0.5}},
    "small blocks": {"crystal": {"mosaic": {"spread_deg": 0.05}}},
    "sampled domains": {"crystal": CAP},
    "divergence": {"beam": {"divergence_mrad": 2.0}},
}


@pytest.mark.spec("CLI-32")
@pytest.mark.parametrize("name", SPOTS)
def test_photons_number_and_width_of_spots_are_those_of_the_image(name: str) -> None:
    spec = spec_of(SPOTS[name])
    told, image = explain(spec), image_of(spec)
    centre = told.value("beam centre, slow"), told.value("beam centre, fast")
    blobs = list(_blobs(image, *centre))
    photons = np.array([blob[0] for blob in blobs])
    bright = photons[photons >= 1.0]
    assert told.value("all spots") == pytest.approx(photons.sum(), rel=0.01)
    assert told.value("strongest spot") == pytest.approx(photons.max(), rel=0.01)
    assert told.value("spots of a photon or more") == pytest.approx(len(bright), rel=0.06)
    assert told.value("mean spot") == pytest.approx(bright.mean(), rel=0.06)
    strongest = sorted(blobs, reverse=True)[:40]
    widths = np.median([blob[1:] for blob in strongest], axis=0)
    # Of a pixel too, over which the image is a mean or an integral.
    expected = np.hypot(told.value("width of a spot"), FWHM / math.sqrt(12.0))
    assert expected == pytest.approx(widths, rel=0.25)


def _blobs(image: np.ndarray, slow: float, fast: float) -> Iterator[tuple[float, float, float]]:
    """Photons and widths, away from the beam and across, of all but the direct beam's spot."""
    labels, count = ndimage.label(image > 0.02, np.ones((3, 3)))
    for index in range(1, count + 1):
        y, x = np.nonzero(labels == index)
        share = image[y, x] / image[y, x].sum()
        middle = (share * y).sum(), (share * x).sum()
        away = middle[0] + 0.5 - slow, middle[1] + 0.5 - fast
        if (length := math.hypot(*away)) < 30.0:
            continue
        dy, dx = y - middle[0], x - middle[1]
        along = (dy * away[0] + dx * away[1]) / length
        across = (dx * away[0] - dy * away[1]) / length
        widths = (FWHM * math.sqrt((share * part**2).sum()) for part in (along, across))
        yield (image[y, x].sum(), *widths)


@pytest.mark.spec("CLI-32")
def test_a_square_crystal_has_spots_of_the_area_that_is_told() -> None:
    """Fringes are not part of a full width at half maximum, and beyond the photons of spots."""
    spec = spec_of({"crystal": {"shape": "square", **CAP}, "sampling": {"oversample": 2}})
    told, image = explain(spec), image_of(spec)
    labels, _ = ndimage.label(image > 5.0, np.ones((3, 3)))
    areas = []
    for index, place in enumerate(ndimage.find_objects(labels), 1):
        spot = np.where(labels[place] == index, image[place], 0.0)
        areas.append((spot.max(), (spot > 0.5 * spot.max()).sum()))
    area = np.median([area for _, area in sorted(areas)[-41:-1]])
    radial, tangential = np.hypot(told.value("width of a spot"), 1.0)
    assert math.pi / 4.0 * radial * tangential == pytest.approx(area, rel=0.35)


LEVELS: dict[str, dict[str, Any]] = {
    "a cube of water": {"background": {"water_um": 40.0}},
    "materials": {
        "background": {
            "materials": [
                {"name": "air", "thickness_um": 60000.0}, {"name": "water", "thickness_um": 50.0},
            ]
        },
        "beam": {"polarization": {"kahn_factor": 0.9}},
        "detector": {"sensor": {"thickness_um": 300.0, "material": "Si"}, "twotheta_deg": 12.0},
    },
    "pixels that do not divide, a region": {
        "background": {"water_um": 40.0},
        "detector": {"pixels_fast": 613, "pixels_slow": 377, "roi": [100, 500, 30, 360]},
    },
    "the C program's steps": {
        "physics": "nanobragg",
        "crystal": {"shape": "square", "specimen": None, **CAP},
        "background": {"water_um": 40.0},
    },
}  # fmt: skip


@pytest.mark.spec("CLI-32")
@pytest.mark.parametrize("name", LEVELS)
def test_the_background_is_the_mean_of_the_image_without_crystal(name: str) -> None:
    spec = spec_of(LEVELS[name])
    level = explain(spec).value("level")
    plain = merged(BASE, LEVELS[name])
    plain["structure_factors"] = {"default_f_electrons": 0.0}
    dark = parse_spec(plain)
    image = image_of(dark)
    active = build_experiment(dark).detector.panels[0].active
    assert level > 0.0
    assert level == pytest.approx(image[active].mean(), rel=0.01)


def sweep_file(folder: Path, changes: dict[str, Any] | None = None) -> Path:
    path = folder / "sweep.yaml"
    axes = [{"name": "spread", "path": "crystal.mosaic.spread_deg", "values": [0.1, 0.3]}]
    plain = {"experiment": merged(BASE, changes or {}), "axes": axes}
    path.write_text(yaml.safe_dump(plain))
    return path


def origin(told: Explanation, name: str) -> tuple[str, str]:
    (fact,) = [fact for fact in told.facts if name in (fact.name, fact.field)]
    return fact.origin, fact.how


@pytest.mark.spec("CLI-32")
def test_every_kind_of_origin_is_told(tmp_path: Path) -> None:
    told = explain(sweep_file(tmp_path), ["detector.distance_mm=70"], frame=1)
    assert origin(told, "wavelength") == ("given", "")
    assert origin(told, "distance along the beam") == ("given", "--set detector.distance_mm")
    assert origin(told, "crystal.mosaic.spread_deg") == ("given", "axis spread")
    assert told.value("crystal.mosaic.spread_deg") == pytest.approx(0.3)
    assert origin(told, "orientation") == ("given", "crystal.misset_deg")
    assert origin(told, "beam centre, fast") == ("convention", "mosflm")
    assert origin(told, "fluence at the sample") == ("rule", "flux · exposure / size²")
    assert origin(told, "sub-pixels along a side")[0] == "rule"
    assert origin(told, "Kahn's polarisation factor") == ("default", "not polarised")
    assert origin(told, "detector.convention") == ("default", "")
    assert origin(told, "energy") == ("follows", "h c / λ")


@pytest.mark.spec("CLI-32")
def test_what_files_state_is_told_with_the_file(tmp_path: Path) -> None:
    panel = expt_panel("p0", [-20.0, 20.0, -90.0], image_size=[300, 280])
    panel |= {"thickness": 0.45, "mu": 3.9, "material": "Si"}
    (tmp_path / "g.expt").write_text(json.dumps(expt([panel])))
    changes = {
        "beam": {"wavelength_angstrom": None},
        "crystal": {"cell": None},
        "detector": {"distance_mm": None, "pixel_size_mm": None, "pixels_fast": None,
                     "pixels_slow": None, "geometry_file": str(tmp_path / "g.expt")},
    }  # fmt: skip
    told = explain(spec_of(changes))
    for name in ("wavelength", "pixels, fast", "pixel size", "distance along the beam",
                 "beam centre, slow", "beam.direction", "sensor thickness"):  # fmt: skip
        assert origin(told, name) == ("header", "g.expt"), name
    assert origin(told, "cell") == ("header", "g.expt")
    changes["detector"]["distance_mm"] = 120.0
    moved = explain(spec_of(changes))
    assert origin(moved, "distance along the beam")[0] == "given"
    assert moved.value("distance along the beam") == pytest.approx(120.0)


@pytest.mark.spec("CLI-32")
def test_an_image_header_a_preset_and_a_convention_are_told(tmp_path: Path) -> None:
    words = "-cell 50 -default_F 1 -lambda 1.1 -distance 80 -detpixels 96 -pixel 0.2 -osc 1 -phi 4"
    header = tmp_path / "shot.img"
    assert main(["nanobragg", *words.split(), "-intfile", str(header)]) == 0
    bare = {"distance_mm": None, "pixel_size_mm": None, "pixels_fast": None, "pixels_slow": None}
    told = explain(
        spec_of({
            "beam": {"wavelength_angstrom": None},
            "detector": bare,
            "header_files": [{"path": str(header), "role": "image"}],
        })
    )  # fmt: skip
    for name in ("wavelength", "pixels, fast", "pixel size", "phi", "oscillation"):
        assert origin(told, name) == ("header", "shot.img"), name
    assert told.value("wavelength") == pytest.approx(1.1)
    assert told.value("phi") == pytest.approx(4.0)
    named = {**bare, "preset": "eiger2_1m", "distance_mm": 150.0, "convention": "xds"}
    told = explain(spec_of({"detector": named, "crystal": {"cell": None}}))
    assert origin(told, "cell") == ("header", "pyrope.cif")
    assert origin(told, "pixel size") == ("given", "detector.preset")
    assert origin(told, "sensor thickness") == ("given", "detector.preset")
    assert origin(told, "attenuation length")[0] == "rule"
    assert origin(told, "sensor layers") == ("default", "")
    assert origin(told, "spindle") == ("convention", "xds")


@pytest.mark.spec("CLI-32")
def test_numbers_are_those_of_the_resolved_experiment() -> None:
    spec = spec_of({"goniometer": {"phi_deg": 2.0, "oscillation_deg": 0.5}, "crystal": CAP})
    told, experiment = explain(spec), build_experiment(spec)
    assert origin(told, "steps") == ("default", "")
    assert origin(told, "mosaic domains") == ("given", "")
    crystal, panel = experiment.crystal, experiment.detector.panels[0]
    assert told.value("fluence at the sample") == experiment.beam.fluence
    assert told.value("cells of a block") == crystal.cells.tolist()
    assert told.value("blocks in the beam") == crystal.scale
    assert told.value("mosaic domains") == len(crystal.mosaic_rotations)
    assert told.value("steps") == len(crystal.phi)
    assert told.value("sub-pixels along a side") == experiment.sampling.oversample
    assert told.value("pixel size") == panel.pixel_size * 1e3
    assert told.value("distance along the beam") == panel.distance * 1e3
    assert told.value("photons in the beam") == pytest.approx(4e10)
    assert told.value("exposure") == pytest.approx(0.04)
    assert told.value("bytes of a frame") == 700 * 600 * 4
    nearest = 0.5 / (2 * math.sin(0.5 * math.atan(299.0 * 0.1 / 60.0)))
    assert told.value("at the nearest edge") == pytest.approx(nearest, rel=1e-6)


@pytest.mark.spec("CLI-32")
def test_rendering_records_nothing() -> None:
    with recorded() as origins:
        assert asked() is origins
    assert asked() is None
    build_experiment(spec_of({}))
    assert not origins


@pytest.mark.spec("CLI-32")
def test_the_command_prints_tables_and_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sweep_file(tmp_path, {"beam": {"exposure_s": None}})
    assert main(["explain", str(path)]) == 0
    told = capsys.readouterr()
    lines = [" ".join(line.split()) for line in told.out.splitlines()]
    assert "exposure 1 s default" in lines
    assert "frames 2, of which this is 0" in lines
    assert "beam.bandwidth_percent" not in told.out
    assert not any(line.startswith("intensities") for line in lines)
    assert "note: crystal.specimen: the beam illuminates" in told.err
    assert "note: not given, default used: beam.exposure_s = 1" in told.err
    assert main(["explain", str(path), "--all"]) == 0
    everything = capsys.readouterr().out
    assert "intensities" in everything
    assert "ORGX, ORGY of XDS" in everything
    assert main(["explain", str(path), "--frame", "1", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["frame"] == 1
    (spread,) = [one for one in facts["facts"] if one["field"] == "crystal.mosaic.spread_deg"]
    assert (spread["value"], spread["unit"], spread["origin"]) == (pytest.approx(0.3), "°", "given")
    assert main(["explain", str(path), "--frame", "2"]) == 2
    assert "give 0 to 1" in capsys.readouterr().err


@pytest.mark.spec("CLI-32")
def test_a_notebook_shows_the_explanation() -> None:
    told = db.explain(SweepSpec(experiment=spec_of({})))
    html = told._repr_html_()
    assert "fluence at the sample" in html
    assert "4e+20 photons/m² (rule: flux · exposure / size²)" in html


@pytest.mark.spec("CLI-32")
def test_what_cannot_be_rendered_is_explained_as_far_as_it_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "e.yaml"
    path.write_text(yaml.safe_dump(merged(BASE, {"beam": {"wavelength_angstrom": None}})))
    assert main(["explain", str(path)]) == 0
    told = capsys.readouterr()
    assert told.err.startswith("warning: cannot be rendered: beam.wavelength_angstrom")
    assert "distance_mm" in told.out


@pytest.mark.spec("CLI-32")
def test_domains_of_a_file_are_told_with_it(tmp_path: Path) -> None:
    np.save(tmp_path / "turns.npy", np.broadcast_to(np.eye(3), (4, 3, 3)))
    mosaic = {"matrices_file": str(tmp_path / "turns.npy"), "spread_deg": None}
    told = explain(spec_of({"crystal": {"mosaic": {**mosaic, "distribution": None}}}))
    assert told.value("mosaic domains") == 4
    for name in ("mosaic domains", "crystal.mosaic.spread_deg"):
        assert origin(told, name) == ("given", "crystal.mosaic.matrices_file")


@pytest.mark.spec("CLI-32")
def test_the_first_frame_with_a_crystal_is_explained(tmp_path: Path) -> None:
    axes = [
        {"name": "hit", "path": "crystal.present", "values": [False, False, True], "dim": "shot"},
        {"name": "edge", "path": "crystal.specimen.edges_um.0", "values": [1, 2, 3], "dim": "shot"},
    ]
    sweep = SweepSpec.model_validate({"experiment": BASE, "axes": axes})
    told = explain(sweep)
    assert (told.frame, told.first_hit) == (2, True)
    assert ("frames", "3, of which this is 2, the first with a crystal", "") in told.table()
    assert told.facts == explain(sweep, frame=2).facts
    missed = explain(sweep, frame=0)
    said = "crystal.present: frame 0 is a miss: no lattice is in the beam"
    assert (missed.frame, said in map(str, missed.notes)) == (0, True)
    assert not any("miss" in str(note) for note in told.notes)
    blank = SweepSpec.model_validate({"experiment": BASE, "axes": [{**axes[0], "values": [False]}]})
    assert (explain(blank).frame, explain(blank).first_hit) == (0, False)
