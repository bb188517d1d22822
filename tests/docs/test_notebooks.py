"""Every notebook of the documentation runs as it stands, and shows what its page tells of."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tools import notebooks

ALL = notebooks.notebooks()
SHOWN = {
    "first-image": {"image/png": 2, "text/html": 5},
    "sweep": {"image/png": 2, "text/html": 5},
    "cluster": {"image/png": 1, "text/html": 7},
}
"""Pictures and tables of each notebook, at least."""

by_name = pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)


@by_name
def test_a_source_holds_no_outputs_and_is_named_by_the_list(path: Path) -> None:
    assert not notebooks.has_outputs(path)
    listed = (path.parent / "README.md").read_text(encoding="utf-8")
    assert f"({path.name})" in listed
    text = path.read_text(encoding="utf-8")
    ids = re.findall(r'"id": "([^"]+)"', text)
    assert len(ids) == len(set(ids)) == len(json.loads(text)["cells"])


@by_name
def test_links_of_a_notebook_lead_somewhere(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    links = re.findall(r"\]\(([^)\s#]+)", "\n".join(texts))
    assert links
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.slow
@pytest.mark.skipif(not (find_spec("nbclient") and find_spec("ipykernel")), reason="no kernel")
@by_name
def test_a_notebook_runs_and_shows_what_it_tells_of(path: Path) -> None:
    import nbformat

    # Not run again where the site has just been built from the same notebook and package.
    book = nbformat.reads(notebooks.executed(path), as_version=4)
    outputs: list[Any] = [one for cell in book.cells for one in cell.get("outputs", ())]
    assert [one.text for one in outputs if one.get("name") == "stderr"] == []
    kinds = [kind for one in outputs for kind in one.get("data", {})]
    for kind, least in SHOWN[path.stem].items():
        assert kinds.count(kind) >= least, kind
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))


def test_what_is_kept_is_run_again_where_anything_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []

    def run(path: Path) -> Any:
        ran.append(path.name)
        import nbformat

        return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(path.read_text())])

    monkeypatch.setattr(notebooks, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(notebooks, "run", run)
    book = tmp_path / "a.ipynb"
    book.write_text("one")
    assert "one" in notebooks.executed(book)
    assert "one" in notebooks.executed(book)
    assert len(ran) == 1
    book.write_text("two")
    assert "two" in notebooks.executed(book)
    assert len(ran) == 2
    assert len(list((tmp_path / "kept").iterdir())) == 1
    changed = notebooks._digest(book)
    monkeypatch.setattr(notebooks, "ROOT", _tree(tmp_path / "tree"))
    first = notebooks._digest(book)
    (tmp_path / "tree" / "distbragg" / "x.py").write_text("y = 2\n")
    assert len({changed, first, notebooks._digest(book)}) == 3


def _tree(root: Path) -> Path:
    """Make a package of one module."""
    (root / "distbragg").mkdir(parents=True)
    (root / "distbragg" / "x.py").write_text("y = 1\n")
    (root / "constraints.txt").write_text("")
    return root
