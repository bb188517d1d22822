"""A sweep in the kernel of a notebook: one bar, redrawn in place, tables, and pages in place."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from typing import Any

import pytest

from distbragg.spec.canonical import to_plain
from tools import notebooks

from .conftest import tiny_sweep

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (find_spec("nbclient") and find_spec("ipykernel")), reason="no kernel is installed"
    ),
]

PLAIN = json.dumps(to_plain(tiny_sweep()))
CELLS = {
    "import": "import json, urllib.request, distbragg as db",
    "described": f"spec = db.SweepSpec.model_validate(json.loads({PLAIN!r})); spec",
    "swept": "db.sweep(spec, 'RUN', cluster='serial')",
    "quiet": "result = db.sweep(spec, 'QUIET', cluster='serial', progress=False)",
    "rendered": "shown = db.render(spec.frame_spec(0))",
    "frame": "shown.bragg.plot()",
    "sheet": "db.open_stack('RUN').bragg.plot()",
    "stack seen": "page = result.view(); page",
    "status": "print(urllib.request.urlopen(page.url).status)",
    "frame seen": "spec.frame_spec(0).view()",
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What each cell shows."""
    from nbformat.v4 import new_code_cell, new_notebook, writes

    path = tmp_path_factory.mktemp("notebook") / "cells.ipynb"
    path.write_text(writes(new_notebook(cells=[new_code_cell(cell) for cell in CELLS.values()])))
    shown = [cell["outputs"] for cell in notebooks.run(path).cells]
    return dict(zip(CELLS, shown, strict=True))


@pytest.mark.spec("WAT-10", "FIG-7")
def test_a_kernel_shows_a_bar_and_tables(outputs):
    assert [output["output_type"] for output in outputs["described"]] == ["execute_result"]
    assert "SweepSpec" in outputs["described"][0]["data"]["text/html"]
    bar, result = [output for output in outputs["swept"] if output["output_type"] != "stream"]
    assert bar["output_type"] == "display_data", "updates take the place of the first"
    assert "15/15 frames" in bar["data"]["text/html"]
    assert "15 of 15 done" in result["data"]["text/html"]
    assert not [output for output in outputs["quiet"] if output["output_type"] != "stream"]
    (bar,) = [output for output in outputs["rendered"] if output["output_type"] != "stream"]
    assert "1/1 frames" in bar["data"]["text/html"]
    for name in ("frame", "sheet"):
        assert sum("image/png" in output.get("data", {}) for output in outputs[name]) == 1


@pytest.mark.spec("VIE-9")
def test_a_cell_shows_the_page_in_place(outputs):
    for name in ("stack seen", "frame seen"):
        html = outputs[name][-1]["data"]["text/html"]
        assert re.search(r'<iframe src="http://127\.0\.0\.1:\d+/[\w-]{32}/"', html)
    assert outputs["status"][0]["text"] == "200\n"
