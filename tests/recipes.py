"""Scripts of workflows/ as modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

WORKFLOWS = Path(__file__).parents[1] / "workflows"


def load_recipe(name: str) -> ModuleType:
    """Load a script by its name without the ending, under that name."""
    spec = importlib.util.spec_from_file_location(name, WORKFLOWS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
