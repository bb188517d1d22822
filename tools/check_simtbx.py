"""Compare distbragg with images of simtbx: a folder of `cases.json`, images and inputs.

Every case is built from its own numbers as a specification, rendered by `distbragg.render` and
compared with its image. What simtbx does by conventions of its own (one polarisation factor for
a whole pixel, weights that do not add up to 1) is taken out by the formulas of the folder's
README. A case that shows a defect without an image is checked by the numbers it states. A case
that needs what distbragg does not have is listed as such, with the reason.

    python tools/check_simtbx.py DIR [--group e] [--case NAME] [--json FILE]

One line a case: verdict, group, name, worst error relative to the maximum of the image. Exit
status 1 where a case falls short, 2 where the folder cannot be read.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

if not __package__:  # run as a file, which finds only what lies beside it
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from distbragg.errors import DistbraggError
from tools.simtbx.case import Case
from tools.simtbx.defects import Folder, finding_of
from tools.simtbx.derivatives import derivative, known, scale_gradient
from tools.simtbx.optics import Array, Json
from tools.simtbx.recorded import KINDS, point_spread
from tools.simtbx.specification import SHAPES
from tools.simtbx.statistics import SIGMAS, of_image, of_levels

TOLERANCES: Final = dict.fromkeys("abcdefg", 1e-6)
"""Largest difference relative to the maximum of the image, by group."""

ABSENT: Final[dict[str, str]] = {}
"""What a case may ask for that distbragg does not have, by the key of the case."""

FORMULAS: Final = ("S1", "S1-nks", "B1", "D1", "D1+D2")
STATISTICS: Final = {"N1": of_image, "N2": of_levels}
"""Cases of noise, by formula: their statistics are compared, not their pixels."""

SCENE_KEYS: Final = frozenset(
    {"beam", "panels", "sensor", "crystal", "mosaic_matrices", "spindle", "oversample"}
    | {"spot_scale", "point_pixel", "nopolar"}
)
USED_KEYS: Final = frozenset(
    {"name", "group", "formula", "scene", "results", "amorphous", "source", "N_def"}
    | {"omega_at_centre", "lambda_coefficients", "rot_rad", "rotate_before_U", "U", "eta_deg"}
    | {"mosaic_spread_deg", "transform_eta", "dU_deta_file", "input", "psf"}
    | {"channels", "scales_file", "gradient"}
)
"""What a case is built from; where it falls short, its other keys are named."""
TEXT_KEYS: Final = frozenset(
    {"title", "words", "simtbx_calls", "reproduced_in_plain_numpy", "readback", "defect"}
)

PANEL_RESULT: Final = re.compile(r"(?:image|panel)\D*(\d+)")


Verdict = Literal["pass", "FAIL", "absent"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Verdict on one case; `error` is None where nothing was compared."""

    name: str
    group: str
    verdict: Verdict
    error: float | None
    reason: str = ""

    def line(self) -> str:
        """Return one line for a reader."""
        error = "-" if self.error is None else f"{self.error:.1e}"
        return f"{self.verdict:<6} {self.group}  {self.name:<34} {error:>8}  {self.reason}".rstrip()


def why_absent(case: Json) -> str:
    """Say what a case needs that distbragg, or this tool, does not have; empty where nothing."""
    scene: Json = case.get("scene") or {}
    asked = [reason for key, reason in ABSENT.items() if case.get(key)]
    if asked:
        return asked[0]
    if not (list(_compared(case)) or any(map(known, case["results"]))):
        return "no image to compare"
    if case["formula"] == "P1":
        known_kind = case["psf"]["type"] in KINDS
        return "" if known_kind else f"no point spread of the kind {case['psf']['type']}"
    if case["formula"].removesuffix("+M1") not in FORMULAS:
        return f"formula {case['formula']} is not known to this tool"
    return _why_scene_absent(case, scene)


def _why_scene_absent(case: Json, scene: Json) -> str:
    crystal, phi = scene["crystal"], (scene["spindle"] or {"phi_deg": [0.0]})["phi_deg"]
    shape, sensor = crystal["shape"], scene["sensor"]
    steps = scene["oversample"] * sensor["layers"] * len(scene["beam"]["sources"])
    conditions = (
        (
            (case["formula"] == "S1-nks" or case.get("omega_at_centre"))
            and sensor["thickness_mm"] > 0.0,
            "no solid angle of one layer of a sensor",
        ),
        (shape not in SHAPES, f"no spot shape {shape}"),
        (
            steps * len(phi) > 1 and shape == "square" and any(n != round(n) for n in crystal["N"]),
            "square is refused for broken N (defect E2): only its single steps are compared",
        ),
        (
            case.get("diffuse", {}).get("stencil", 0) > 0
            and (steps * len(phi) > 1 or any(map(known, case["results"]))),
            "halos that all have the strength of the nearest reflection's: single steps alone",
        ),
        (
            shape == "tophat" and case["formula"] == "S1-nks" and steps > 1,
            "no polarisation of 1 where the last step gave no light (defect E3)",
        ),
        (
            len(phi) > 2 and not np.allclose(np.diff(phi, 2), 0.0, atol=1e-9),
            "no spindle angles at unequal steps",
        ),
    )
    return next((reason for holds, reason in conditions if holds), "")


def _compared(case: Json) -> Iterator[tuple[int | None, str]]:
    """Panel (None: all) and file of every image of a case that distbragg makes."""
    for name, result in case["results"].items():
        panel = PANEL_RESULT.fullmatch(name)
        if name == "image":
            yield None, result["file"]
        elif panel:
            yield int(panel[1]), result["file"]


def check(case: Json, folder: Path, cases: list[Json]) -> Outcome:
    """Build, render and compare one case; `cases` are all of the folder."""
    name, group = str(case.get("name", "without a name")), str(case.get("group", "-"))
    try:
        if case["formula"] in STATISTICS:
            return _statistics(case, folder)
        return _images(case, folder, cases)
    except (DistbraggError, ValueError, OSError) as error:
        return Outcome(name, group, "FAIL", None, f"refused: {error}".splitlines()[0])
    except (KeyError, IndexError) as error:
        return Outcome(name, group, "FAIL", None, f"the case has no {error}")


def _images(case: Json, folder: Path, cases: list[Json]) -> Outcome:
    """Hold images to those of the case."""
    name, group = str(case.get("name", "without a name")), str(case.get("group", "-"))
    with tempfile.TemporaryDirectory(prefix="check-simtbx-") as scratch:
        found = finding_of(case, Folder(folder, cases, Path(scratch)))
        told = "" if found is None else found[1]
        if found is not None and not case["results"]:
            verdict: Verdict = "pass" if found[0] <= TOLERANCES.get(group, 1e-6) else "FAIL"
            return Outcome(name, group, verdict, found[0], told)
        reason = why_absent(case)
        if reason:
            return Outcome(name, group, "absent", None, reason)
        worst = _worst(case, folder, Path(scratch))
        if found is not None:
            worst = max(worst, found[0])
    if worst <= TOLERANCES.get(group, 1e-6):
        others = _not_compared(case, set() if found is None else {"defective"})
        return Outcome(name, group, "pass", worst, "; ".join(filter(None, (told, others))))
    return Outcome(name, group, "FAIL", worst, _unused(case))


def _statistics(case: Json, folder: Path) -> Outcome:
    """Hold means and variances to their formula, and to simtbx's own, in standard errors."""
    spread = (case.get("noise") or {}).get("psf_type")
    if spread:
        reason = f"no formula for noise that a {spread} has spread"
        return Outcome(case["name"], case["group"], "absent", None, reason)
    away = list(STATISTICS[case["formula"]](case, folder))
    verdict: Verdict = "pass" if max(away) <= SIGMAS else "FAIL"
    said = f"standard errors at most, of {len(away)} means and variances; {SIGMAS:g} pass"
    return Outcome(case["name"], case["group"], verdict, max(away), said)


def _worst(case: Json, folder: Path, scratch: Path) -> float:
    """Build and render; return the largest difference of all images."""
    if case["formula"] == "P1":
        return max(_differences(case, folder, point_spread(case, folder, scratch)))
    made = Case(case, folder, scratch)
    derivatives = (
        _difference(derivative(made, name), np.load(folder / result["file"]))
        for name, result in case["results"].items()
        if known(name)
    )
    image = made.render() if list(_compared(case)) else np.zeros(0)
    gradients = [scale_gradient(made)] if "gradient" in case else []
    return max([*_differences(case, folder, image), *derivatives, *gradients])


def _not_compared(case: Json, besides: set[str]) -> str:
    """Name the results of a case that nothing was compared with."""
    compared = {file for _, file in _compared(case)}
    others = [
        key
        for key, result in case["results"].items()
        if result["file"] not in compared and not known(key) and key not in besides
    ]
    return f"not compared: {', '.join(others)}" if others else ""


def _unused(case: Json) -> str:
    """Name what the case says and this tool does not use: it may be what is missing."""
    keys = sorted(set(case) - USED_KEYS - TEXT_KEYS)
    keys += [f"scene.{key}" for key in sorted(set(case.get("scene", ())) - SCENE_KEYS)]
    return f"not used: {', '.join(keys)}" if keys else ""


def _differences(case: Json, folder: Path, image: Array) -> Iterator[float]:
    """Yield `_difference` of every image of a case."""
    for panel, file in _compared(case):
        wanted, found = np.load(folder / file), image
        if panel is not None:
            found = image.reshape(-1, *image.shape[-2:])[panel]
            found = found[: wanted.shape[0], : wanted.shape[1]]
        yield _difference(found, wanted)


def _difference(found: Array, wanted: Array) -> float:
    """Return the largest difference over the largest size; infinite in place of NaN."""
    if found.shape != wanted.shape:
        raise ValueError(f"{found.shape} pixels, not {wanted.shape}")
    worst = float(np.abs(found - wanted).max() / np.abs(wanted).max())
    return math.inf if math.isnan(worst) else worst


def main(arguments: list[str] | None = None) -> int:
    """Check every case asked for and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="folder with cases.json")
    parser.add_argument("--group", action="append", help="only cases of this group; repeatable")
    parser.add_argument("--case", action="append", help="only the case of this name; repeatable")
    parser.add_argument("--json", type=Path, help="file for the outcomes")
    options = parser.parse_args(arguments)
    try:
        cases = json.loads((options.folder / "cases.json").read_text(encoding="utf-8"))["cases"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"check_simtbx: {options.folder}: no cases.json of cases ({error})\n")
        return 2
    outcomes: list[Outcome] = []
    for case in cases:
        if options.group and case["group"] not in options.group:
            continue
        if options.case and case["name"] not in options.case:
            continue
        outcomes.append(check(case, options.folder, cases))
        sys.stdout.write(outcomes[-1].line() + "\n")
        sys.stdout.flush()
    verdicts = [outcome.verdict for outcome in outcomes]
    short = verdicts.count("FAIL")
    sys.stdout.write(
        f"{verdicts.count('pass')} pass, {short} fall short, {verdicts.count('absent')} absent\n"
    )
    if options.json is not None:
        text = json.dumps({"outcomes": [asdict(outcome) for outcome in outcomes]}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")
    return 1 if short or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
