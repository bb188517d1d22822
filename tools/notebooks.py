"""Run the notebooks of the documentation.

Their sources hold no outputs. `executed` runs one in an empty folder of its own, in the kernel of
this environment; what it returns is kept in `build/notebooks` until the notebook or the package
changes. The site shows what it returns, and `python -m tools.notebooks` runs all of them.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "notebooks"
KEPT = ROOT / "build" / "notebooks"

_CELL_S = 300  # longest time that a cell may take
_METHOD = "DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD"


def notebooks() -> list[Path]:
    """Return all notebooks."""
    return sorted(FOLDER.glob("*.ipynb"))


def has_outputs(path: Path) -> bool:
    """Tell whether a source holds what running it makes."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def run(path: Path) -> Any:  # noqa: ANN401 a node of nbformat
    """Run a notebook and return it with its outputs; a cell that fails is an error."""
    from nbclient import NotebookClient

    nbformat = _nbformat()
    book = nbformat.read(path, as_version=4)
    searched = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    with tempfile.TemporaryDirectory(prefix="distbragg-notebook-") as folder:
        client = NotebookClient(
            book,
            timeout=_CELL_S,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
        )
        # The kernel is a process in another folder: it is told of this tree. Workers that are
        # forked show what others show, and take half the time.
        told = {"PYTHONPATH": os.pathsep.join(searched), _METHOD: "forkserver"}
        client.execute(env={**os.environ, **told})
        # Readers have a folder of their own.
        text = nbformat.writes(book).replace(f"{folder}/", "").replace(folder, ".")
    return nbformat.reads(text, as_version=4)


def _nbformat() -> Any:  # noqa: ANN401 a module without type hints
    return import_module("nbformat")


def executed(path: Path) -> str:
    """Return a notebook with its outputs as text: run now, or when all was as it is now."""
    kept = KEPT / f"{path.stem}-{_digest(path)}.ipynb"
    with path.open("rb") as source:
        fcntl.flock(source, fcntl.LOCK_EX)  # one process runs it: the site's or that of a test
        if not kept.exists():
            text = _nbformat().writes(run(path))
            KEPT.mkdir(parents=True, exist_ok=True)
            for former in KEPT.glob(f"{path.stem}-*.ipynb"):
                former.unlink()
            kept.write_text(text, encoding="utf-8")
        return kept.read_text(encoding="utf-8")


def _digest(path: Path) -> str:
    """Return a digest of all that the outputs depend on and that this tree holds."""
    digest = hashlib.sha256(path.read_bytes())
    package = ROOT / "distbragg"
    sources = [one for one in package.rglob("*") if one.suffix in {".py", ".json", ".hpp", ".cpp"}]
    for one in sorted([*sources, ROOT / "constraints.txt"]):
        digest.update(one.relative_to(ROOT).as_posix().encode())
        digest.update(hashlib.sha256(one.read_bytes()).digest())
    return digest.hexdigest()[:16]


def main() -> None:
    """Run all notebooks, or those named, and say how long each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="file names without .ipynb; default: all")
    parser.add_argument("--into", type=Path, help="folder that keeps them with their outputs")
    given = parser.parse_args()
    for path in notebooks():
        if given.names and path.stem not in given.names:
            continue
        began = time.perf_counter()
        book = run(path)
        sys.stdout.write(f"{path.name}: {time.perf_counter() - began:.1f} s\n")
        if given.into:
            given.into.mkdir(parents=True, exist_ok=True)
            _nbformat().write(book, given.into / path.name)


if __name__ == "__main__":
    main()
