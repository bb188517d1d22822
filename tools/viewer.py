"""Pictures of the viewer for the documentation, and how fast it is, in a headless Chromium.

`python -m tools.viewer pictures` writes `docs/images/viewer`, `python -m tools.viewer measure` a
new bundle below `reports/viewer`. Needs Chromium.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from PIL import Image

import distbragg as db
from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec
from tools.browser import Browser
from tools.evidence.bundle import Bundle

PICTURES = Path("docs/images/viewer")

FIND = """
const find = (type, has) => {
  for (const model of Bokeh.documents[0]._all_models.values()) {
    if (model.type === type && has(model)) { return model; }
  }
};
const frame = find("Spinner", (m) => String(m.title).startsWith("frame,"));
const image = find("ColumnDataSource", (m) => "dw" in m.data);
const spots = find("ColumnDataSource", (m) => "photons" in m.data);
const profile = find("ColumnDataSource", (m) => "d" in m.data);
const figure = find("Figure", (m) => m.below.some((a) => /fast|right/.test(a.axis_label)));
const comparison = find("RadioButtonGroup", (m) => m.labels.includes("ratio"));
const palette = find("Select", (m) => m.options.includes("inferno"));
const kind = find("Select", (m) => m.options.includes("images"));
"""

CHANGE = """new Promise((done) => {
  const began = performance.now();
  const painted = () => {
    image.properties.data.change.disconnect(painted);
    requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began)));
  };
  image.properties.data.change.connect(painted);
  frame.value = frame.value === 0 ? 1 : 0;
})"""


def lysozyme(**sections: Any) -> dict[str, Any]:  # noqa: ANN401 of a specification
    """Return two lattices of lysozyme's cell in a drop of water, with photon noise."""
    plain: dict[str, Any] = {
        "title": "two lattices of a tetragonal protein",
        "beam": {"wavelength_angstrom": 1.0, "flux_photons_per_s": 1e12, "exposure_s": 0.1,
                 "size_mm": 0.02},
        "crystal": {
            "cell": [79.0, 79.0, 38.0, 90.0, 90.0, 90.0],
            "shape": "gauss",
            "block_cells": [40, 40, 60],
            "specimen": {"edges_um": [12.0, 12.0, 12.0]},
            "mosaic": {"spread_deg": 0.15, "distribution": "gaussian"},
            "misset_deg": [11.0, 23.0, 37.0],
            "drawn_lattices": {
                "count": 2, "relative_scale": 0.5, "seed": 3, "per_frame": False
            },
        },
        "structure_factors": {"default_f_electrons": 200.0},
        "goniometer": {"oscillation_deg": 0.5},
        "detector": {"preset": "eiger2_1m", "distance_mm": 90.0},
        "background": {"water_um": 18.0},
        "noise": {"photon": True, "seed": 1},
        "output": {"labels": True},
        "compute": {"frames_per_unit": 1},
    }  # fmt: skip
    for name, fields in sections.items():
        held = plain.get(name)
        plain[name] = {**held, **fields} if isinstance(held, dict) else fields
    return plain


def sweep_of(plain: dict[str, Any], *axes: dict[str, Any]) -> SweepSpec:
    """Return a sweep over an experiment."""
    return parse_sweep({"experiment": plain, "axes": list(axes)})


def axis(name: str, path: str, *values: float) -> dict[str, Any]:
    """Return an axis of a sweep."""
    return {"name": name, "path": path, "values": list(values)}


PHI = "goniometer.phi_deg"


def ask(page: Browser, code: str) -> Any:  # noqa: ANN401 of JavaScript
    """Return the value of an expression that may name the models of `FIND`."""
    return page.evaluate(f"(() => {{ {FIND} return {code}; }})()")


def opened(page: Browser, url: str) -> None:
    """Open a viewer and wait until its first frame is there."""
    page.goto(url)
    page.until("window.Bokeh?.documents?.[0]?.is_idle === true", 200)
    page.until(f"(() => {{ {FIND} return image.data.image?.length > 0; }})()", 60)


def middle(page: Browser) -> tuple[float, float, float, float]:
    """Return where the picture is in the window: middle, width and height."""
    x, y, width, height = ask(
        page,
        "(() => { const view = Bokeh.index.get_one(figure);"
        " const box = view.el.getBoundingClientRect(), inner = view.frame.bbox;"
        " return [box.left + inner.left + inner.width / 2,"
        " box.top + inner.top + inner.height / 2, inner.width, inner.height]; })()",
    )
    return x, y, width, height


def settled(page: Browser) -> None:
    """Wait for spots and profile."""
    page.until(f"(() => {{ {FIND} return profile?.data.x?.length > 0; }})()", 120)
    page.until(f"(() => {{ {FIND} return spots.data.x?.length > 0; }})()", 120)
    time.sleep(2.0)


def overview(page: Browser) -> None:
    """Point at a ring."""
    settled(page)
    x, y, width, _ = middle(page)
    page.move(x + 0.21 * width, y)


def place_of_spot(page: Browser) -> tuple[float, float]:
    """Return where in the window a spot of the upper half is."""
    x, y, width, height = middle(page)
    place = ask(page, "(() => { const i = spots.data.x.findIndex((x, n) => x > 300 && x < 700"
                " && spots.data.y[n] > 150 && spots.data.y[n] < 450);"
                " return [spots.data.x[i], spots.data.y[i],"
                " figure.x_range.start, figure.x_range.end, figure.y_range.start,"
                " figure.y_range.end]; })()")  # fmt: skip
    at = (x + width * ((place[0] - place[2]) / (place[3] - place[2]) - 0.5),
          y - height * ((place[1] - place[4]) / (place[5] - place[4]) - 0.5))  # fmt: skip
    return at


def zoom(page: Browser) -> None:
    """Zoom at a spot until values are written, and point at it."""
    settled(page)
    at = place_of_spot(page)
    while ask(page, "figure.x_range.end - figure.x_range.start") > 21.0:
        page.wheel(*at, -200.0)
        time.sleep(0.3)
    time.sleep(3.0)
    page.move(at[0] + 3.0, at[1])
    page.move(at[0], at[1])


def in_place(page: Browser) -> None:
    """Look at panels in other colours."""
    page.until(f"(() => {{ {FIND} return profile?.data.x?.length > 0; }})()", 120)
    ask(page, "(() => { palette.value = 'inferno'; })()")
    x, y, width, height = middle(page)
    page.move(x + 0.13 * width, y - 0.1 * height)


def missing(page: Browser) -> None:
    """Look at a frame that is not there, and at the keys."""
    ask(page, "(() => { frame.value = 3; })()")
    time.sleep(2.0)
    page.press("?")


def mapped(page: Browser) -> None:
    """Look at reflections in place of photons, and point at one."""
    settled(page)
    ask(page, "(() => { kind.value = 'hkl'; })()")
    time.sleep(2.0)  # without a bar of colours the picture is wider
    at = place_of_spot(page)
    page.press("s")
    page.move(*at)


def dark(page: Browser) -> None:
    """Look at a linear scale, bright on black, without spots."""
    settled(page)
    for key in "lcs":
        page.press(key)
    time.sleep(1.0)
    x, y, width, height = middle(page)
    page.move(x + 0.3 * width, y + 0.01 * height)


def compared(page: Browser) -> None:
    """Look at the difference of two runs."""
    page.until(f"(() => {{ {FIND} return profile?.data.x?.length > 0; }})()", 120)
    ask(page, "(() => { comparison.active = 1; })()")
    x, y, width, height = middle(page)
    page.move(x + 0.05 * width, y + 0.05 * height)


STATES: dict[str, tuple[tuple[str, ...], Callable[[Browser], None]]] = {
    "overview": (("one",), overview),
    "zoom": (("one",), zoom),
    "panels": (("panels",), in_place),
    "growing": (("growing",), missing),
    "mask": (("one",), dark),
    "maps": (("maps",), mapped),
    "difference": (("still", "turned"), compared),
}
"""Pictures by name: the runs they show, and what is done before."""


def runs(scratch: Path, names: set[str]) -> dict[str, Path]:
    """Render runs that pictures show."""
    still, other = bare(768), bare(768)
    other["crystal"] = {**other["crystal"], "misset_deg": [0.3, 0.0, 0.0]}
    panels = {**bare(768), "detector": {"preset": "agipd_1m", "distance_mm": 120.0}}
    maps = lysozyme(output={"maps": ["hkl", "lattice", "bragg_share"]})
    made = {"one": lysozyme(), "maps": maps, "still": still, "turned": other, "panels": panels}
    for name in names & set(made):
        db.sweep(sweep_of(made[name]), scratch / name, cluster="serial", progress=False)
    grid = axis("phi", PHI, 0.0, 0.5, 1.0), axis("distance", "detector.distance_mm", 90.0, 120.0)
    if "growing" in names:
        growing = db.create(sweep_of(bare(768), *grid), scratch / "growing")
        db.resume(growing, cluster="serial", part=(1, 6), progress=False)
    return {name: scratch / name for name in names}


def pictures(folder: Path, scratch: Path, names: Sequence[str]) -> None:
    """Write the pictures of the documentation."""
    chosen = names or list(STATES)
    there = runs(scratch, {run for name in chosen for run in STATES[name][0]})
    folder.mkdir(parents=True, exist_ok=True)
    for name in chosen:
        shown, act = STATES[name]
        with db.view(*(there[run] for run in shown)) as viewer, Browser(1400, 860) as page:
            opened(page, viewer.url)
            act(page)
            time.sleep(2.0)
            page.screenshot(folder / f"{name}.png")
            if page.console:
                sys.exit(f"{name}: {page.console}")
        with Image.open(folder / f"{name}.png") as shot:
            shot.convert("RGB").quantize(96).save(folder / f"{name}.png", optimize=True)


def bare(size: int) -> dict[str, Any]:
    """Return an experiment of `size` × `size` pixels that renders fast."""
    return {
        "title": "a tetragonal protein",
        "beam": {"wavelength_angstrom": 1.0, "fluence_photons_per_m2": 1e26},
        "crystal": {"cell": [79, 79, 38, 90, 90, 90], "block_cells": [12, 12, 20]},
        "structure_factors": {"default_f_electrons": 150.0},
        "detector": {
            "distance_mm": 180.0,
            "pixel_size_mm": 307.2 / size,
            "pixels_fast": size,
            "pixels_slow": size,
        },
        "sampling": {"oversample": 1, "method": "sampled"},
        "background": {"water_um": 0.05},
        "noise": {"photon": True},
        "compute": {"frames_per_unit": 1},
    }


def measure(scratch: Path, root: Path, tries: int) -> None:
    """Measure a change of frames, and opening, and write a bundle."""
    bundle = Bundle.create(root, "viewer")
    rows: dict[str, list[float]] = {}
    loads = [os.getloadavg()[0]]
    for size in (2048, 4096):
        two = sweep_of(bare(size), axis("phi", PHI, 0.0, 0.5))
        path = scratch / f"{size}.zarr"
        db.sweep(two, path, cluster="serial", progress=False)
        _timed(rows, f"{size} x {size}", path, tries)
        loads.append(os.getloadavg()[0])
    count = {"start": 0.0, "stop": 90.0, "count": 1_000_000}
    million = sweep_of(bare(2048), {"name": "phi", "path": PHI, "linspace": count})
    run = db.create(million, scratch / "million.zarr", force=True)
    db.resume(run, cluster="serial", part=(1, run.layout.units), progress=False)
    _timed(rows, "2048 x 2048, a million frames", scratch / "million.zarr", tries, opens=True)
    loads.append(os.getloadavg()[0])
    lines = ["# Speed of the viewer", "",
             f"{tries} tries each, ms; headless Chromium, software drawing; load of the machine's "
             f"{os.cpu_count()} cores meanwhile {', '.join(f'{load:.1f}' for load in loads)}.", "",
             "| what | least | lower quartile | median | upper quartile |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for what, found in rows.items():
        low, mid, high = quantiles(found, n=4)
        lines.append(f"| {what} | {min(found):.0f} | {low:.0f} | {mid:.0f} | {high:.0f} |")
    bundle.write_text("README.md", "\n".join(lines))
    bundle.write_json("times_ms.json", {"times": rows, "load": loads})
    sys.stdout.write("\n".join(lines) + "\n")


def _timed(
    rows: dict[str, list[float]], what: str, path: Path, tries: int, *, opens: bool = False
) -> None:
    """Time opening a run, loading its page until the frame is painted, and changing frames."""
    took = []
    for _ in range(tries):
        began = time.perf_counter()
        with db.view(path):
            took.append(1e3 * (time.perf_counter() - began))
    rows[f"{what}: open the run and listen"] = took
    rows[f"{what}: from the address to a picture of the frame"] = []
    rows[f"{what}: from the address to the frame"] = []
    with db.view(path) as viewer, Browser() as page:
        opened(page, viewer.url)  # the browser keeps the scripts from now on
        for _ in range(tries):
            time.sleep(1.0)
            began = time.perf_counter()
            opened(page, viewer.url)
            page.evaluate("new Promise((done) => requestAnimationFrame(() => done(1)))")
            rows[f"{what}: from the address to the frame"].append(
                1e3 * (time.perf_counter() - began)
            )
            rows[f"{what}: from the address to a picture of the frame"].append(
                page.evaluate("performance.getEntriesByType('paint')[0].startTime")
            )
        if opens:
            return
        changes: list[float] = []
        server: list[float] = []
        browser: list[float] = []
        page.call("Performance.enable", timeDomain="threadTicks")
        for _ in range(2 * tries):
            time.sleep(1.0)
            began, drawn = time.process_time(), _main_thread(page)
            changes.append(page.evaluate(f"(() => {{ {FIND} return {CHANGE}; }})()"))
            server.append(1e3 * (time.process_time() - began))
            browser.append(1e3 * (_main_thread(page) - drawn))
        rows[f"{what}: change of frame, asked to painted"] = changes
        rows[f"{what}: processor time of it, server, all threads"] = server
        rows[f"{what}: processor time of it, main thread of the browser"] = browser
    print(what, f"{median(changes):.0f} ms")  # noqa: T201 a tool


def _main_thread(page: Browser) -> float:
    """Return the processor time of the page's main thread so far, s."""
    metrics = page.call("Performance.getMetrics")["metrics"]
    return float(next(item["value"] for item in metrics if item["name"] == "TaskDuration"))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("pictures", "measure"))
    parser.add_argument("names", nargs="*", help="pictures; all where none is named")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--tries", type=int, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="distbragg-viewer-") as scratch:
        if given.what == "pictures":
            pictures(given.out or PICTURES, Path(scratch), given.names)
        else:
            measure(Path(scratch), given.out or Path("reports"), given.tries)


if __name__ == "__main__":
    main()
