"""Rules of the architecture that no linter states."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "dask", "distributed", "xarray", "zarr", "pydantic", "scipy", "matplotlib")


def names_used(path: Path) -> set[str]:
    """Names, attributes and imported names of a module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.spec("ENG-13")
def test_no_module_places_work_by_annotation():
    # dask.annotate(resources=...) on arrays is lost without a word when graphs are fused.
    packages = ("engine", "clusters", "dashboard", "rendering", "run")
    modules = [path for name in packages for path in (ROOT / "distbragg" / name).glob("*.py")]
    assert len(modules) > 30
    assert [path.name for path in modules if "annotate" in names_used(path)] == []


@pytest.mark.parametrize("module", ["distbragg", "distbragg.cli.main"])
def test_importing_the_package_or_its_command_loads_nothing_heavy(module):
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.strip() == "[]"
