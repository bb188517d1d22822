"""A sweep in the kernel of a notebook: one bar, redrawn in place, and tables."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

from distbragg.spec.canonical import to_plain

from .conftest import tiny_sweep

RUN_CELLS = """
import json, sys
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
notebook = new_notebook(cells=[new_code_cell(cell) for cell in json.loads(sys.argv[1])])
NotebookClient(notebook, timeout=200, kernel_name="python3").execute()
print(json.dumps([cell["outputs"] for cell in notebook.cells]))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not (find_spec("nbclient") and find_spec("ipykernel")), reason="no kernel is installed"
)
@pytest.mark.spec("WAT-10", "FIG-7")
def test_a_kernel_shows_a_bar_and_tables(tmp_path):
    plain = json.dumps(to_plain(tiny_sweep()))
    cells = [
        "import json, distbragg as db",
        f"spec = db.SweepSpec.model_validate(json.loads({plain!r})); spec",
        f"db.sweep(spec, {str(tmp_path / 'RUN')!r}, cluster='serial')",
        f"result = db.sweep(spec, {str(tmp_path / 'QUIET')!r}, cluster='serial', progress=False)",
        "shown = db.render(spec.frame_spec(0))",
        "shown.bragg.plot()",
        f"db.open_stack({str(tmp_path / 'RUN')!r}).bragg.plot()",
    ]
    command = [sys.executable, "-c", RUN_CELLS, json.dumps(cells)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    _, described, swept, quiet, rendered, frame, sheet = json.loads(done.stdout.splitlines()[-1])
    assert [output["output_type"] for output in described] == ["execute_result"]
    assert "SweepSpec" in described[0]["data"]["text/html"]
    bar, result = [output for output in swept if output["output_type"] != "stream"]
    assert bar["output_type"] == "display_data", "updates take the place of the first"
    assert "15/15 frames" in bar["data"]["text/html"]
    assert "15 of 15 done" in result["data"]["text/html"]
    assert not [output for output in quiet if output["output_type"] != "stream"]
    (bar,) = [output for output in rendered if output["output_type"] != "stream"]
    assert "1/1 frames" in bar["data"]["text/html"]
    for outputs in (frame, sheet):
        assert sum("image/png" in output.get("data", {}) for output in outputs) == 1
