"""Notes are printed by every command that takes a specification, and stored with the images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import distbragg as db
from distbragg.cli.main import main
from distbragg.errors import InputError
from distbragg.models.notes import NOT_GIVEN
from distbragg.notes import Note
from distbragg.run.notes import _joined
from distbragg.run.prepare import plan
from distbragg.spec.load import parse_spec, parse_sweep
from distbragg.spec.sweep import SweepSpec
from tests.geometry_files import expt, expt_panel

from .conftest import tiny_plain

WARNING = "warning: detector.distance_mm: a distance of 0.15 mm"


def write(folder: Path, axes: Any = (), **changes: Any) -> str:
    path = folder / "spec.yaml"
    plain = tiny_plain(**changes)
    path.write_text(yaml.safe_dump({"experiment": plain, "axes": list(axes)} if axes else plain))
    return str(path)


@pytest.mark.spec("CLI-22")
@pytest.mark.parametrize(
    "command",
    ["plan SPEC", "plan SPEC --json", "info SPEC", "info SPEC --json", "create SPEC -o out.zarr",
     "render SPEC -o out.zarr", "render SPEC -o out.npy",
     "sweep SPEC -o out.zarr --cluster serial"],
)  # fmt: skip
def test_notes_are_printed_a_line_each(
    command: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = write(tmp_path, detector={"distance_mm": 0.15})
    monkeypatch.chdir(tmp_path)
    words = command.replace("SPEC", spec).split()
    assert main(words) == 0
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert sum(line.startswith(WARNING) for line in lines) == 1
    assert sum(line.startswith("note: not given, default used: ") for line in lines) == 1
    if "--json" in words:
        notes = json.loads(captured.out)["notes"]
        assert [note["kind"] for note in notes] == ["warning", "note"]
        assert "0.15 mm" in notes[0]["text"]


@pytest.mark.spec("CLI-22")
def test_notes_are_stored_with_the_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, out = write(tmp_path, detector={"distance_mm": 0.15}), str(tmp_path / "out.zarr")
    assert main(["sweep", spec, "-o", out, "--cluster", "serial", "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[0]["event"] == "notes"
    assert "0.15 mm" in events[0]["notes"][0]["text"]
    for attrs in (db.open_stack(out).attrs, db.render(db.load_spec(spec)).attrs,
                  db.render(db.load_spec(spec), lazy=True).attrs):  # fmt: skip
        assert attrs["distbragg_notes"][0].startswith(WARNING)
    assert main(["info", out]) == 0
    assert "0.15 mm" in " ".join(capsys.readouterr().out.split())
    assert main(["info", out, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["notes"][0]["place"] == "detector.distance_mm"
    assert facts["summary"]["frames_checked"] == 1


@pytest.mark.spec("SAM-12")
def test_a_tolerance_that_has_no_effect_is_told_of_and_has_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mosaic = {"spread_deg": 0.3, "distribution": "gaussian", "domains": None}
    closed = tiny_plain(crystal={"shape": "gauss", "mosaic": mosaic})
    closed["sampling"] = {"oversample": 1, "tolerance_photons": 1e3, "dmin_angstrom": 10.0}
    spec, out = tmp_path / "closed.yaml", tmp_path / "out.zarr"
    spec.write_text(yaml.safe_dump(closed))
    line = "note: sampling.tolerance_photons: not used: the closed form takes no samples"
    for words in (["plan", str(spec)], ["info", str(spec)],
                  ["sweep", str(spec), "-o", str(out), "--cluster", "serial"]):  # fmt: skip
        assert main(words) == 0
        assert line in capsys.readouterr().err.splitlines()
    assert line in db.open_stack(str(out)).attrs["distbragg_notes"]
    image = db.render(db.load_spec(str(spec)), progress=False).images.values
    closed["sampling"]["tolerance_photons"] = 0.0
    assert image.max() > 0.0
    assert (image == db.render(parse_spec(closed), progress=False).images.values).all()


@pytest.mark.spec("CLI-22")
def test_a_sweep_is_checked_at_the_ends_and_extremes_of_its_axes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    energies = np.full(500, 12398.0)
    energies[123] = 12.4
    spreads = np.linspace(0.1, 300.0, 40)
    axes = [
        {"name": "energy", "path": "beam.energy_ev", "values": energies.tolist()},
        {"name": "spread", "path": "crystal.mosaic.spread_deg", "values": spreads.tolist()},
        {"random_orientations": {"count": 50, "seed": 1}, "name": "orientation"},
    ]
    spec = write(tmp_path, axes, beam={"wavelength_angstrom": None})
    assert main(["plan", spec, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    found = {note["place"]: note["text"] for note in told["notes"]}
    assert "12.4 eV" in found["beam.energy_ev"]
    assert f"(frame {123 * 40 * 50}" in found["beam.energy_ev"]
    assert "300 degrees" in found["crystal.mosaic.spread_deg"]
    assert 5 < told["frames_checked"] < 30
    assert main(["plan", spec]) == 0
    assert f"{told['frames_checked']} of 1,000,000 frames" in capsys.readouterr().out


@pytest.mark.spec("CLI-22")
def test_what_was_not_given_is_one_note_where_frames_differ_in_it() -> None:
    plain = tiny_plain(crystal={"mosaic": {"spread_deg": 0.0, "seed": 1}})
    axis = {"name": "spread", "path": "crystal.mosaic.spread_deg", "values": [0.0, 0.3, 0.6]}
    sweep = parse_sweep({"experiment": plain, "axes": [axis]})
    (note,) = [note for note in plan(sweep).notes if note.place == NOT_GIVEN]
    parts = note.text.split(", ")
    assert len({part.partition(" = ")[0] for part in parts}) == len(parts)
    (domains,) = [part for part in parts if part.startswith("crystal.mosaic.domains")]
    assert domains.endswith("(frame 1 and 1 more)")


@pytest.mark.spec("CLI-22")
def test_what_frames_differ_in_is_a_range_and_misses_have_no_blocks() -> None:
    plain = tiny_plain(beam={"size_mm": 0.1}, crystal={"specimen": {"volume_um3": 8.0}})
    shots = [
        {"name": "there", "dim": "shot", "path": "crystal.present", "values": [False, True, True]},
        {
            "name": "volume", "dim": "shot", "path": "crystal.specimen.volume_um3",
            "values": [1.0, 8.0, 2.0],
        },
    ]  # fmt: skip
    sweep = parse_sweep({"experiment": plain, "axes": shots})
    (note,) = [note for note in plan(sweep).notes if note.place == "crystal.specimen"]
    said = "the beam illuminates 7.619e+04 to 3.048e+05 blocks of 5 x 5 x 5 cells"
    assert note.text == f"{said} (frame 1 and 1 more)"


@pytest.mark.spec("CLI-22")
def test_drawn_axes_that_were_to_advance_together_are_told_of() -> None:
    def sweep(first: dict[str, str], second: dict[str, str], count: int = 6) -> SweepSpec:
        shots = [
            {"name": "phi", "path": "goniometer.phi_deg", **first,
             "draw": {"uniform": {"low": 0, "high": 9}, "count": 6}},
            {"name": "spread", "path": "crystal.mosaic.spread_deg", **second,
             "draw": {"uniform": {"low": 0.1, "high": 0.3}, "count": count}},
        ]  # fmt: skip
        return parse_sweep({"experiment": tiny_plain(), "axes": shots})

    def told(sweep: SweepSpec) -> list[str]:
        return [note.text for note in plan(sweep).notes if note.place == "axes"]

    shot: dict[str, str] = {"dim": "shot"}
    grid = "has a dim of its own: the sweep is a grid of 6 x 6 frames; give it dim:"
    assert told(sweep(shot, {})) == [f"axis spread {grid} shot to zip it"]
    assert told(sweep({}, shot)) == [f"axis phi {grid} shot to zip it"]
    assert told(sweep({}, {})) == [f"axis spread {grid} phi to zip it"]
    assert told(sweep(shot, shot)) == []
    assert told(sweep({}, {}, 5)) == []


@pytest.mark.spec("CLI-22")
def test_numbers_in_names_of_files_have_no_range() -> None:
    texts = "12 atoms of s01.pdb left out", "7 atoms of s02.pdb left out"
    same = [(frame, Note("note", "x", text)) for frame, text in enumerate(texts)]
    assert _joined(same, 0).text == "12 atoms of s01.pdb left out (frame 0; 1 more differ)"
    same = [(frame, Note("note", "x", text)) for frame, text in ((2, "-3 mm."), (5, "1.5e2 mm."))]
    assert _joined(same, 0).text == "-3 to 1.5e2 mm. (frame 2 and 1 more)"


@pytest.mark.spec("CLI-22")
def test_notes_of_swept_files_are_those_of_every_file(tmp_path: Path) -> None:
    cell = "CRYST1   {a:.3f}   60.000   70.000  90.00  90.00  90.00 P 1\n"
    atom = "ATOM      1  C   MSE A   1       4.000   3.000   2.000  1.00 10.00           C\nEND\n"
    for name, a in (("a.pdb", 50.0), ("b.pdb", 55.0)):
        (tmp_path / name).write_text(cell.format(a=a) + atom)
    axis = {"name": "model", "path": "structure_factors.file", "values": ["a.pdb", "b.pdb"]}
    plain = tiny_plain(structure_factors={"default_f_electrons": None, "dmin_angstrom": 4.0})
    plain["structure_factors"]["file"] = "a.pdb"
    sweep = parse_sweep({"experiment": plain, "axes": [axis]}, base_dir=tmp_path)
    (note,) = [note for note in plan(sweep).notes if note.place == "crystal.cell"]
    assert "b.pdb says 55 60 70" in note.text


@pytest.mark.spec("CLI-22")
def test_info_describes_a_specification_that_cannot_be_rendered_yet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = write(tmp_path, beam={"wavelength_angstrom": None})
    assert main(["info", spec]) == 0
    captured = capsys.readouterr()
    assert "tiny" in captured.out
    assert captured.err.startswith("warning: cannot be rendered: beam.wavelength_angstrom")


@pytest.mark.spec("CLI-22")
def test_a_plan_tells_of_frames_whose_spots_cannot_be_predicted(tmp_path: Path) -> None:
    axis = {"name": "surface", "path": "detector.curved", "values": [False, "sphere", True]}
    spec = write(tmp_path, [axis], physics="nanobragg", output={"labels": True})
    (note,) = [note for note in plan(spec).notes if note.place == "cannot be rendered"]
    assert "detector.curved: no spots are predicted on a panel that is bent" in note.text
    assert note.text.endswith("(frame 1 and 1 more)")


@pytest.mark.spec("CLI-22")
def test_frames_of_another_size_than_the_first_are_told_of_or_refused(tmp_path: Path) -> None:
    for name, size in (("small", 20), ("large", 400)):
        panel = expt_panel(name, [-1.0, 1.0, -100.0], image_size=[size, size])
        (tmp_path / f"{name}.expt").write_text(json.dumps(expt([panel])))
    plain = tiny_plain(output={"labels": True})
    for values in (["small.expt", "large.expt"], ["large.expt", "small.expt"]):
        plain["detector"] = {"geometry_file": values[0]}
        axis = {"name": "geometry", "path": "detector.geometry_file", "values": values}
        sweep = parse_sweep({"experiment": plain, "axes": [axis]}, base_dir=tmp_path)
        if values[0] == "small.expt":
            with pytest.raises(InputError, match=r"frame 1 has panels of .* frame 0 of"):
                plan(sweep)
        else:
            (note,) = [note for note in plan(sweep).notes if note.place == "cannot be rendered"]
            assert "frame 1 has panels of [(20, 20)] pixels, frame 0 of [(400, 400)]" in note.text
