"""Cases that show a defect of simtbx: what they say of it in numbers, and that ours has none.

Each check returns the worst of its numbers, relative to what it is compared with, and a few words.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

import distbragg as db
from distbragg.fit import Parameters, parameters_of
from distbragg.fit.orientation import cell_vectors, domain_vectors
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from tools.simtbx.case import Case
from tools.simtbx.derivatives import along
from tools.simtbx.optics import Array, Json, positions, unit

Finding = tuple[float, str]


@dataclass(frozen=True, slots=True)
class Folder:
    """The cases of a folder, with a place for the files that specifications name."""

    path: Path
    cases: list[Json]
    scratch: Path

    def image(self, case: Json, name: str) -> Array:
        """Return an image of a case."""
        return np.asarray(np.load(self.path / case["results"][name]["file"]), dtype=np.float64)

    def first_with(self, key: str) -> Json:
        """Return the first case with an image that has a key."""
        for case in self.cases:
            if case.get(key) and "image" in case["results"]:
                return case
        raise ValueError(f"no case of the folder has {key}: there is nothing to compare with")


def sensor_of_panel(case: Json, folder: Folder) -> Finding:
    """Read a panel of dxtbx, whose mm simtbx takes for metres (G1)."""
    said = case["readback"]
    thickness, length = (said[f"detector_{name}_mm"] / 1e3 for name in _LENGTHS)
    panel = case["scene"]["panels"][0]
    described = {
        "name": "0",
        "type": "SENSOR_PAD",
        "fast_axis": panel["fast"],
        "slow_axis": panel["slow"],
        "origin": panel["origin_mm"],
        "pixel_size": [panel["pixel_mm"], panel["pixel_mm"]],
        "image_size": [panel["n_fast"], panel["n_slow"]],
        "thickness": thickness,
        "mu": 1.0 / length,
        "material": "Si",
        "trusted_range": [0.0, 65535.0],
    }
    beam = case["scene"]["beam"]["sources"][0]
    document = {
        "__id__": "ExperimentList",
        "experiment": [{"__id__": "Experiment", "beam": 0, "detector": 0}],
        "beam": [{"direction": beam["sample_to_source"], "wavelength": beam["wavelength_A"]}],
        "detector": [{"panels": [described]}],
    }
    file = folder.scratch / "panel.expt"
    file.write_text(json.dumps(document), encoding="utf-8")
    spec = {
        "beam": {"fluence_photons_per_m2": 1.0},
        "crystal": {"cell": [10, 10, 10, 90, 90, 90]},
        "structure_factors": {"default_f_electrons": 1.0},
        "detector": {"geometry_file": str(file)},
    }
    sensor = build_experiment(db.ExperimentSpec.model_validate(spec)).detector.panels[0].sensor
    deep = float(sensor.back[-1] - sensor.front[0]) * 1e3
    through = 1e3 / sensor.attenuation
    errors = abs(deep / thickness - 1.0), abs(through / length - 1.0)
    return max(errors), f"{deep:.4g} mm thick, attenuation {through:.4g} mm (G1: 1000 times)"


_LENGTHS: Final = ("thick", "attenuation_length")


def units_of_gamma(_case: Json, folder: Folder) -> Finding:
    """Count the pixels that are finite, and the same bits whatever the threads (F3 loses 99 %)."""
    other = folder.first_with("diffuse")
    changed = copy.deepcopy(other)
    edges = (changed["scene"]["crystal"][f"{axis}_A"] for axis in "abc")
    # In units of the cell, as simtbx means it: one and a half cells along a, two along b and c.
    lengths = [math.sqrt(math.fsum(x * x for x in edge)) for edge in edges]
    changed["diffuse"]["gamma_A"] = [1.5 * lengths[0], 2.0 * lengths[1], 2.0 * lengths[2]]
    built = Case(changed, folder.path, folder.scratch)
    one, many = (built.render(threads=threads) for threads in (1, 4))
    wrong = int((~np.isfinite(one)).sum() + (one != many).sum())
    return wrong / one.size, f"{one.size - wrong} of {one.size} pixels finite and the same again"


def orientation_with_diffuse(_case: Json, folder: Folder) -> Finding:
    """Compare the derivative by orientation with the image, diffuse part and all (F4)."""
    built = Case(folder.first_with("diffuse"), folder.path, folder.scratch)
    worst = against_differences(built, "misset_deg", [3e-4] * 3)
    return worst, "by orientation, against central differences"


def cell_on_a_spindle(case: Json, folder: Folder) -> Finding:
    """Compare the derivative by the cell at a spindle angle, and the order of U and spindle."""
    other = folder.first_with("rotate_before_U")
    built = Case({**other, "rotate_before_U": False}, folder.path, folder.scratch)
    worst = against_differences(built, "cell", [1e-4] * 6)
    apart = float(np.abs(built.render() - (theirs := folder.image(other, "image"))).sum())
    said = case["nanoBragg_against_diffBragg_same_phi"]
    apart /= float(theirs.sum())
    worst = max(worst, abs(apart - said) / said)
    return worst, f"by the cell, against central differences; images {apart:.6f} apart as said"


def kept_cell(case: Json, folder: Folder) -> Finding:
    """Make the image with the cell of the pixel before kept where φ is 0, of ours (G3)."""

    def alone(phi: float) -> Array:
        single = copy.deepcopy(case)
        single["scene"]["spindle"]["phi_deg"] = [phi]
        return Case(single, folder.path, folder.scratch).render()

    angles = case["scene"]["spindle"]["phi_deg"]
    whole = Case(case, folder.path, folder.scratch).render()
    kept = whole + (alone(angles[-1]) - alone(0.0)) / len(angles)
    kept.reshape(-1)[0] = whole.reshape(-1)[0]  # there is no pixel before the first
    theirs, said = folder.image(case, "defective"), case["relative_difference"]
    apart = float(np.abs(kept - whole).sum() / whole.sum())
    errors = float(np.abs(kept - theirs).max() / theirs.max()), abs(apart - said) / said
    return max(errors), "defective made of ours"


def against_differences(built: Case, name: str, steps: Sequence[float]) -> float:
    """Compare a gradient with central differences of the image itself.

    Pixels whose nearest reflection changes within a step jump there and are left out.

    Returns
    -------
    float
        The largest difference over the largest derivative.
    """
    experiment = built.experiment()
    start = parameters_of(experiment).given()[name]
    worst = 0.0
    for axis, step in zip(torch.eye(len(steps), dtype=torch.float64), steps, strict=True):
        gradient = along(experiment, name, start, axis)
        images, nearest = [], []
        for sign in (1.0, -1.0):
            at = Parameters(**{name: start + sign * step * axis})
            images.append(db.render_tensor(experiment, at).numpy())
            nearest.append(_nearest(built, experiment, at))
        same = (nearest[0] == nearest[1]).all(axis=-1)
        difference = (images[0] - images[1]) / (2.0 * step)
        off = np.abs(difference - gradient)[same].max() / np.abs(gradient).max()
        worst = max(worst, float(off))
    return worst


def _nearest(built: Case, experiment: Experiment, at: Parameters) -> Array:
    """Nearest reflections of the middle of each pixel of the first panel, (slow, fast, 3)."""
    real = cell_vectors(experiment, at, torch.device("cpu"))
    vectors = domain_vectors(experiment.crystal, real, None)[0].numpy().reshape(3, 3)
    place = positions(built.panels[0], (0.0, 0.0), 1)
    source = built.sources[0]
    ray = place / np.sqrt((place**2).sum(axis=-1, keepdims=True))
    q = (ray + unit(np.array(source["sample_to_source"]))) / source["wavelength_A"]
    return np.asarray(np.ceil(q @ vectors.T - 0.5))


CHECKS: Final[dict[str, Callable[[Any, Folder], Finding]]] = {
    "F3": units_of_gamma,
    "F4": orientation_with_diffuse,
    "F5": cell_on_a_spindle,
    "G1": sensor_of_panel,
}
"""By the defect that a case without an image names."""


def finding_of(case: Json, folder: Folder) -> Finding | None:
    """Check what a case says of a defect; None where there is nothing this tool knows to check."""
    if "defective" in case["results"]:
        return kept_cell(case, folder) if case.get("defect") == "G3" else None
    check = None if case["results"] else CHECKS.get(case.get("defect", ""))
    return None if check is None else check(case, folder)
