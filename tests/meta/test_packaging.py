"""What is published beside the package says what the package says."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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


def _needed(lines: list[str]) -> set[str]:
    """Return what is installed of packages and of all that they need, by normal names."""
    found: set[tuple[str, str]] = set()
    asked = [(Requirement(line), "") for line in lines]
    while asked:
        need, asking = asked.pop()
        if need.marker is not None and not need.marker.evaluate({"extra": asking}):
            continue
        name = canonicalize_name(need.name)
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        for extra in {"", *need.extras} - {known for of, known in found if of == name}:
            found.add((name, extra))
            asked += [(Requirement(line), extra) for line in needs]
    return {name for name, _ in found}


def test_every_package_of_the_development_environment_is_pinned(project: dict[str, Any]) -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    lines = [line for group in groups.values() for line in group if isinstance(line, str)]
    pins = re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    needed = _needed([*project["dependencies"], *lines])
    assert len(needed) > 100
    assert needed <= {canonicalize_name(name) for name in pins}
