"""The comparison with simtbx's images, on cases of our own of the same form."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tools.check_simtbx import main

ROOT = Path(__file__).resolve().parents[2]

UNKNOWN = "formula X9 is not known to this tool"

SCENE: dict[str, Any] = {
    "beam": {
        "sources": [{"sample_to_source": [0.0, 0.0, 1.0], "wavelength_A": 1.0, "weight": 1.0}],
        "kahn_polarization": 0.9,
        "E_axis": [1.0, 0.0, 0.0],
        "fluence_photons_per_m2": 1e28,
    },
    "panels": [
        {
            "fast": [1.0, 0.0, 0.0],
            "slow": [0.0, -1.0, 0.0],
            "origin_mm": [3.0, 5.0, -60.0],
            "pixel_mm": 0.7,
            "n_fast": 9,
            "n_slow": 7,
        }
    ],
    "sensor": {"thickness_mm": 0.0, "layers": 1, "attenuation_length_mm": None},
    "crystal": {
        "a_A": [21.0, 1.0, -9.0],
        "b_A": [1.0, 25.0, 4.0],
        "c_A": [9.0, -3.0, 28.0],
        "N": [3.0, 2.0, 4.0],
        "shape": "square",
        "fudge": 1.0,
        "hkl": "p1.hkl",
        "default_F": 7.0,
    },
    "mosaic_matrices": None,
    "spindle": None,
    "oversample": 1,
    "spot_scale": 1.0,
}


def polarization(ray: np.ndarray, incident: np.ndarray) -> np.ndarray:
    """With E along x and the beam along -z: psi = -atan2(d.B, d.E)."""
    magnetic = np.cross([1.0, 0.0, 0.0], incident)
    magnetic /= np.linalg.norm(magnetic)
    electric = np.cross(incident, magnetic)
    cosine = ray @ incident
    psi = -np.arctan2(ray @ magnetic, ray @ electric)
    return (1.0 + cosine**2 - 0.9 * np.cos(2 * psi) * (1.0 - cosine**2)) / 2.0


def image_of(scene: dict[str, Any]) -> np.ndarray:
    """Formula S1 of a square crystal of one amplitude, one sub-pixel, the last source's factor."""
    panel, crystal = scene["panels"][0], scene["crystal"]
    i, j = np.mgrid[: panel["n_slow"], : panel["n_fast"]][..., None] + 0.5
    step = panel["pixel_mm"] * 1e-3
    origin = np.array(panel["origin_mm"]) * 1e-3
    place = origin + step * (j * np.array(panel["fast"]) + i * np.array(panel["slow"]))
    length = np.linalg.norm(place, axis=-1)
    ray = place / length[..., None]
    cells = np.array([crystal[f"{axis}_A"] for axis in "abc"])
    total = np.zeros(length.shape)
    for source in scene["beam"]["sources"]:
        incident = -np.array(source["sample_to_source"])
        index = (ray - incident) / source["wavelength_A"] @ cells.T
        amplitude = np.prod(np.sin(np.pi * index * crystal["N"]) / np.sin(np.pi * index), axis=-1)
        total += source["weight"] * (crystal["default_F"] * amplitude) ** 2
    omega = step**2 * abs(origin[2]) / length**3
    scale = 7.94079248018965e-30 * scene["beam"]["fluence_photons_per_m2"]
    return scale * total * omega * polarization(ray, incident)


def write_folder(folder: Path) -> Path:
    """Four cases: one source, two that add up to 2, an image 1 % too bright, and an unknown one."""
    (folder / "p1.hkl").write_text("0 0 0 50\n90 90 90 7\n", encoding="utf-8")
    cases = []

    def add(name: str, scene: dict[str, Any], brightness: float = 1.0, **more: Any) -> None:
        np.save(folder / f"{name}.npy", image_of(scene) * brightness)
        results = {"image": {"file": f"{name}.npy"}}
        case = {"name": name, "group": "e", "formula": "S1", "scene": scene, "results": results}
        cases.append(case | more)

    add("one", SCENE)
    two = copy.deepcopy(SCENE)
    two["beam"]["sources"] = [
        {"sample_to_source": [0.0, 0.0, 1.0], "wavelength_A": 1.0, "weight": 0.5},
        {"sample_to_source": [0.0, 0.006, 0.999982], "wavelength_A": 1.03, "weight": 1.5},
    ]
    for source in two["beam"]["sources"]:
        towards = np.array(source["sample_to_source"])
        source["sample_to_source"] = (towards / np.linalg.norm(towards)).tolist()
    add("two", two)
    add("bright", SCENE, brightness=1.01, hint=3)
    add("strange", SCENE, formula="X9")
    (folder / "cases.json").write_text(json.dumps({"cases": cases}), encoding="utf-8")
    return folder


def test_every_case_gets_its_verdict(tmp_path, capsys):
    assert main([str(write_folder(tmp_path)), "--json", str(tmp_path / "out.json")]) == 1
    outcomes = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["outcomes"]
    found = {outcome["name"]: outcome for outcome in outcomes}
    assert {name: outcome["verdict"] for name, outcome in found.items()} == {
        "one": "pass",
        "two": "pass",
        "bright": "FAIL",
        "strange": "absent",
    }
    assert found["one"]["error"] < 1e-11
    assert found["two"]["error"] < 1e-11
    assert found["bright"]["error"] == pytest.approx(0.01 / 1.01, rel=1e-6)
    assert found["bright"]["reason"] == "not used: hint"
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "2 pass, 1 fall short, 1 absent"
    assert lines[-2].split() == f"absent e strange - {UNKNOWN}".split()


def test_a_choice_of_cases_passes(tmp_path):
    folder = str(write_folder(tmp_path))
    assert main([folder, "--case", "one", "--case", "strange"]) == 0
    assert main([folder, "--group", "z"]) == 1


def test_a_case_that_is_refused_falls_short(tmp_path, capsys):
    folder = write_folder(tmp_path)
    document = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    document["cases"][0]["scene"]["beam"]["kahn_polarization"] = 3.0
    del document["cases"][1]["scene"]["oversample"]
    (folder / "cases.json").write_text(json.dumps(document), encoding="utf-8")
    assert main([str(folder), "--case", "one", "--case", "two"]) == 1
    first, second, _ = capsys.readouterr().out.splitlines()
    assert "FAIL" in first
    assert "refused: " in first
    assert second.endswith("the case has no 'oversample'")


def test_a_folder_without_cases_is_named(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "no cases.json of cases" in capsys.readouterr().err


def test_it_runs_as_a_file_from_anywhere(tmp_path):
    folder = write_folder(tmp_path)
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools/check_simtbx.py"), str(folder), "--case", "strange"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "0 pass, 0 fall short, 1 absent")


def test_point_spread_is_compared_without_the_defects(tmp_path):
    photons = np.zeros((9, 11))
    photons[4, 9] = 100.0
    np.save(tmp_path / "in.npy", photons)
    # A fibre of g = 0.652383 pixels: the middle takes 4 atan(0.25/(g sqrt(g² + 0.5)))/2π.
    g = 0.652383013252053

    def corner(x: float, y: float) -> float:
        return float(np.arctan(x * y / (g * np.sqrt(g * g + x * x + y * y))) / (2.0 * np.pi))

    middle = 4.0 * corner(0.5, 0.5)
    beside = 2.0 * (corner(1.5, 0.5) - corner(0.5, 0.5))
    image = np.full((9, 11), 100.0 * g / np.hypot(g, 1.0) / 99.0)
    image[4, 9] += 100.0 * middle
    for slow, fast in ((3, 9), (5, 9), (4, 8), (4, 10)):
        image[slow, fast] += 100.0 * beside
    np.save(tmp_path / "out.npy", image)
    psf = {"type": "fiber", "fwhm_pixels": 1.0, "radius_pixels": 1}
    case = {"name": "psf", "group": "b", "formula": "P1", "input": "in.npy", "psf": psf}
    case["results"] = {"image": {"file": "out.npy"}}
    (tmp_path / "cases.json").write_text(json.dumps({"cases": [case]}), encoding="utf-8")
    assert main([str(tmp_path)]) == 0
    np.save(tmp_path / "out.npy", image + 1e-4)
    assert main([str(tmp_path)]) == 1


def test_statistics_of_noise_are_held_to_their_formula(tmp_path):
    # Of 3 photons, gain 2, offset 7, readout 1.5: a mean of 13, a variance of 4·3 + 2.25.
    random = np.random.default_rng(8)
    photons = np.full((150, 140), 3.0)
    image = 2.0 * random.poisson(photons) + 7.0 + 1.5 * random.standard_normal(photons.shape)
    np.save(tmp_path / "in.npy", photons)
    np.save(tmp_path / "out.npy", image)
    noise = {"flicker_pct": 0, "calibration_pct": 0, "readout_adu": 1.5, "gain": 2, "offset_adu": 7}
    one = {"name": "one", "group": "b", "formula": "N1", "input": "in.npy", "noise": noise}
    one["results"] = {"image": {"file": "out.npy"}}
    numbers = {"mean": 13.0, "variance": 14.25, "pixels": 30_000}
    level = {"expected_photons": 3.0, "mean_by_formula": 13.0, "variance_by_formula": 14.25}
    none = {"expected_photons": 0.0, "mean_by_formula": 7.0, "variance_by_formula": 2.25}
    much = {
        "expected_photons": 9e4,
        "mean_by_formula": 180_007.0,
        "variance_by_formula": 360_002.25,
    }
    levels = [
        {**level, **numbers},
        {**none, **numbers, "mean": 7.0, "variance": 2.25},
        {**much, **numbers, "mean": 180_007.0, "variance": 360_002.25},
    ]
    two = {"name": "two", "group": "b", "formula": "N2", "results": {}, "levels": {"all": levels}}
    spread = {**one, "name": "spread", "noise": {**noise, "psf_type": "Fiber"}}
    (tmp_path / "cases.json").write_text(json.dumps({"cases": [one, two, spread]}))
    assert main([str(tmp_path), "--case", "one", "--case", "two"]) == 0
    np.save(tmp_path / "out.npy", 1.05 * image)
    assert main([str(tmp_path), "--case", "one"]) == 1
    level_of_more = {**levels[0], "variance": 16.0}
    two["levels"] = {"all": [level_of_more, *levels[1:]]}
    (tmp_path / "cases.json").write_text(json.dumps({"cases": [two, spread]}))
    assert main([str(tmp_path), "--json", str(tmp_path / "out.json")]) == 1
    outcomes = json.loads((tmp_path / "out.json").read_text())["outcomes"]
    assert [outcome["verdict"] for outcome in outcomes] == ["FAIL", "absent"]


HALO: dict[str, Any] = {
    "gamma_A": [30.0, 50.0, 70.0],
    "sigma_A": [0.3, 0.4, 0.5],
    "laue_number": 5,
    "laue_group": "P m m m",
    "stencil": 1,
    "only_diffuse": True,
    "principal_axes": [0.7, -0.7, 0.0, 0.7, 0.7, 0.0, 0.0, 0.0, 1.0],
}


def halos_of(scene: dict[str, Any]) -> np.ndarray:
    """Formula D2 of one amplitude: every halo has the strength of the nearest reflection's."""
    panel, crystal = scene["panels"][0], scene["crystal"]
    i, j = np.mgrid[: panel["n_slow"], : panel["n_fast"]][..., None] + 0.5
    step = panel["pixel_mm"] * 1e-3
    place = np.array(panel["origin_mm"]) * 1e-3
    place = place + step * (j * np.array(panel["fast"]) + i * np.array(panel["slow"]))
    length = np.linalg.norm(place, axis=-1)
    ray, cells = place / length[..., None], np.array([crystal[f"{axis}_A"] for axis in "abc"])
    index = (ray - [0.0, 0.0, -1.0]) @ cells.T
    nearest, gamma = np.ceil(index - 0.5), np.array(HALO["gamma_A"])
    principal = np.array(HALO["principal_axes"]).reshape(3, 3)
    signs = [(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]
    total = np.zeros(length.shape)
    for rotation in signs:
        project = (np.linalg.inv(cells) @ np.diag(rotation) @ principal).T
        e = ((2 * np.pi * (nearest @ project) * HALO["sigma_A"]) ** 2).sum(axis=-1)
        for o in np.ndindex(3, 3, 3):
            away = (index - nearest - np.array(o) + 1.0) @ project
            wide = 1.0 + ((2 * np.pi * away * gamma) ** 2).sum(axis=-1)
            total += e * np.exp(-e) / wide**2
    total *= 8 * np.pi * gamma.prod() * crystal["default_F"] ** 2 / (4 * 27)
    omega = step**2 * 0.06 / length**3
    scale = 7.94079248018965e-30 * scene["beam"]["fluence_photons_per_m2"]
    return scale * total * omega * polarization(ray, np.array([0.0, 0.0, -1.0]))


def test_halos_and_what_a_case_says_of_a_defect(tmp_path, capsys):
    rows = (f"{h} {k} {m} 7" for h, k, m in np.ndindex(31, 31, 31))
    moved = (" ".join(str(int(n) - 15) for n in row.split()[:3]) + " 7" for row in rows)
    (tmp_path / "p1.hkl").write_text("\n".join(moved) + "\n", encoding="utf-8")
    scene = copy.deepcopy(SCENE)
    scene["panels"][0]["origin_mm"] = [9.0, 5.0, -60.0]  # 000, which has no |F|, is far
    np.save(tmp_path / "halo.npy", halos_of(scene))
    results = {"image": {"file": "halo.npy"}}
    halo = {"name": "halo", "group": "f", "formula": "D1+D2", "scene": scene, "diffuse": HALO}
    said = {"group": "f", "formula": "none", "results": {}}
    cases = [
        halo | {"results": results},
        said | {"name": "gamma", "defect": "F3"},
        said | {"name": "orientation", "defect": "F4"},
        said | {"name": "other", "defect": "Z9"},
    ]
    (tmp_path / "cases.json").write_text(json.dumps({"cases": cases}), encoding="utf-8")
    assert main([str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == ["pass", "pass", "pass", "absent"]
