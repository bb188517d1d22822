"""The viewer in a real browser: keys, pointer, and that text of others stays text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import distbragg as db
from tools.browser import CHROMIUM, Browser

from .conftest import tiny_sweep
from .forwarder import forwarded

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]

EVIL = "</title><img src=x onerror='window.hit=1'><b>bold</b>$$\\href{javascript:1}{x}$$"

FIND = """
const find = (type, has) => {
  for (const model of Bokeh.documents[0]._all_models.values()) {
    if (model.type === type && has(model)) { return model; }
  }
};
const frame = find("Spinner", (m) => String(m.title).startsWith("frame,"));
const scale = find("RadioButtonGroup", (m) => m.labels.includes("log"));
const shown = find("CheckboxButtonGroup", () => true);
const figure = find("Figure", (m) => m.below.some((a) => a.axis_label === "fast / pixels"));
const range = figure.x_range;
const image = find("ColumnDataSource", (m) => "dw" in m.data);
const keys = find("Div", (m) => m.text.includes("PgDn"));
const readout = find("Div", (m) => m.styles["font-family"] === "monospace");
const fixed = find("Toggle", (m) => m.label === "fixed contrast");
const kind = find("Select", (m) => m.options.includes("lattice"));
const palette = find("Select", (m) => m.options.includes("inferno"));
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    path: Path = tmp_path_factory.mktemp("viewer") / "RUN"
    spec = tiny_sweep(title=EVIL, output={"maps": ["lattice", "bragg"]})
    db.sweep(spec, path, cluster="serial", progress=False)
    with db.view(path) as viewer, Browser() as browser:
        browser.goto(viewer.url)
        browser.until("window.Bokeh?.documents?.[0]?.is_idle === true", 120)
        browser.until(f"(() => {{ {FIND} return image.data.image?.length === 1; }})()")
        yield browser


def ask(page: Browser, code: str) -> object:
    return page.evaluate(f"(() => {{ {FIND} return {code}; }})()")


def until(page: Browser, code: str) -> None:
    page.until(f"(() => {{ {FIND} return {code}; }})()")


@pytest.mark.spec("VIE-2")
def test_no_element_is_made_of_a_title(page):
    everywhere = """
    (() => {
      const found = [];
      const look = (root) => {
        for (const one of root.querySelectorAll("*")) {
          found.push(one.tagName + (one.hasAttribute("onerror") ? " onerror" : ""));
          if (one.shadowRoot) { look(one.shadowRoot); }
        }
      };
      look(document);
      return found;
    })()
    """
    tags = page.evaluate(everywhere)
    assert len(tags) > 100
    assert not {"IMG", "IMG onerror", "MJX-CONTAINER"} & set(tags)
    assert page.evaluate("window.hit") is None
    assert page.evaluate("document.title") == f"{EVIL} - distbragg"
    assert page.console == []


@pytest.mark.spec("VIE-12")
def test_the_first_picture_is_gone_once_the_page_is_ready(page):
    assert page.evaluate("document.getElementById('distbragg-first')") is None


@pytest.mark.spec("VIE-9")
def test_every_key_does_what_it_says(page):
    page.press("n")
    page.press("ArrowRight")
    until(page, "frame.value === 2")
    page.press("p")
    until(page, "frame.value === 1")
    page.press("PageDown")
    until(page, "frame.value === 11")
    page.press("PageDown")
    until(page, "frame.value === 14")
    page.press("PageUp")
    page.press("ArrowLeft")
    until(page, "frame.value === 3")
    page.press("l")
    until(page, "scale.active === 1")
    for name in ("bragg", "lattice", "images"):
        page.press("i")
        until(page, f"kind.value === '{name}'")
    page.press("f")
    until(page, "fixed.active === true")
    page.press("c")
    until(page, "palette.value === 'white on black'")
    before = ask(page, "shown.active.includes(0)")
    page.press("r")
    until(page, f"shown.active.includes(0) === {str(not before).lower()}")
    page.press("?")
    until(page, "keys.visible === true")
    for key in "lfr?":
        page.press(key)
    until(page, "keys.visible === false && scale.active === 0 && !fixed.active")


@pytest.mark.spec("VIE-4")
def test_a_zoomed_window_is_drawn_anew_and_the_whole_comes_back(page):
    for _ in range(6):
        page.wheel(*middle(page), -300.0)
    until(page, "image.data.dw[0] < 12")
    page.press("0")
    until(page, "image.data.dw[0] === 23")
    until(page, "range.start < 0 && range.end > 23 && range.end - range.start < 24")


def middle(page: Browser) -> list[float]:
    """Where the middle of the picture is in the window."""
    place = ask(
        page,
        "(() => { const view = Bokeh.index.get_one(figure);"
        " const box = view.el.getBoundingClientRect(), inner = view.frame.bbox;"
        " return [box.left + inner.left + inner.width / 2,"
        " box.top + inner.top + inner.height / 2]; })()",
    )
    assert isinstance(place, list)
    return place


@pytest.mark.spec("VIE-5")
def test_the_pointer_reads_a_pixel(page):
    place = middle(page)
    page.move(*place)
    page.move(place[0] + 1.0, place[1] + 1.0)
    until(page, "readout.text.includes('2θ')")
    # The middle of 17 x 23 pixels.
    until(page, "/fast +11\\.\\d+ +slow +8\\.\\d+ +value/.test(readout.text)")


@pytest.mark.spec("VIE-1")
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_page_behind_a_forwarded_port_shows_frames_and_changes_them(tmp_path, host):
    db.sweep(tiny_sweep(), tmp_path / "RUN", cluster="serial", progress=False)
    with db.view(tmp_path / "RUN") as viewer, forwarded(viewer.port) as port, Browser() as page:
        page.goto(viewer.url.replace(f"127.0.0.1:{viewer.port}", f"{host}:{port}"))
        page.until("window.Bokeh?.documents?.[0]?.is_idle === true", 120)
        until(page, "image.data.image?.length === 1")
        assert page.evaluate("location.host") == f"{host}:{port}"
        assert page.evaluate("performance.getEntriesByType('resource').length") >= 2
        loaded = page.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
        assert all(name.startswith((f"http://{host}:{port}/", "data:", "blob:")) for name in loaded)
        before = ask(page, "Array.from(image.data.image[0]).join()")
        page.press("End")
        until(page, f"Array.from(image.data.image[0]).join() !== '{before}'")
        assert page.console == []
