"""What is published beside the package says what the package says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from distbragg import __version__

ROOT = Path(__file__).parents[2]
CONDA_NAMES = {"dask": "dask-core", "matplotlib": "matplotlib-base", "msgpack": "msgpack-python"}
"""Names of conda packages that hold less than those of the same name as on the package index."""


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def test_one_version_is_told_everywhere(project: dict[str, Any]) -> None:
    recipe = yaml.safe_load((ROOT / "packaging/conda/recipe.yaml").read_text())
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    page = (ROOT / "docs/how-to/install.md").read_text()
    told = {project["version"], recipe["package"]["version"], citation["version"]}
    told |= set(re.findall(r"distbragg-(\d[\d.]*\d)-", page))
    assert told == {__version__}


def test_the_conda_recipe_needs_what_the_package_needs(project: dict[str, Any]) -> None:
    recipe = yaml.safe_load((ROOT / "packaging/conda/recipe.yaml").read_text())
    wanted = {f"python {project['requires-python']}"}
    for line in project["dependencies"]:
        name, range_ = re.fullmatch(r"([\w-]+)(.*)", line).groups()  # type: ignore[union-attr]
        wanted.add(f"{CONDA_NAMES.get(name, name)} {range_}")
    assert set(recipe["requirements"]["run"]) == wanted


def test_the_page_lists_every_extra(project: dict[str, Any]) -> None:
    page = (ROOT / "docs/how-to/install.md").read_text()
    rows = re.findall(r"^\| `([\w-]+)` \|", page, flags=re.MULTILINE)
    listed = {name for name in rows if not name.startswith(("CXX", "DISTBRAGG"))}
    assert listed == set(project["optional-dependencies"])
    container = (ROOT / "packaging/Containerfile").read_text()
    (extras,) = re.findall(r"^ARG EXTRAS=(.*)$", container, flags=re.MULTILINE)
    assert set(extras.split(",")) <= listed


def test_every_extra_that_a_message_names_exists(project: dict[str, Any]) -> None:
    sources = [path.read_text() for path in (ROOT / "distbragg").rglob("*.py")]
    named = {
        extra
        for text in sources
        for extras in re.findall(r"distbragg\[([\w,-]+)\]", text)
        for extra in extras.split(",")
    }
    assert "torch" in named
    assert named <= set(project["optional-dependencies"])
