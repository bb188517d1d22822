"""The examples of the README and of docs/ are accepted by the program."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
import yaml

import distbragg
from distbragg.cli.plotting import plot_command
from distbragg.clusters.address import parse_cluster
from distbragg.models.tables import load_any
from distbragg.spec.cluster import MODELS, TlsFiles

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(path: Path, language: str) -> list[str]:
    """Texts of the fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S)


def examples(language: str):
    return [
        pytest.param(text, id=f"{path.relative_to(ROOT)}-{number}")
        for path in PAGES
        for number, text in enumerate(blocks(path, language))
    ]


def experiment_of_the_tutorial() -> str:
    return blocks(ROOT / "docs" / "tutorial" / "first-image.md", "yaml")[0]


CLUSTER_PAGE = "docs/how-to/cluster.md"
EXTENSION_PAGE = "docs/how-to/append-frames.md"
"""Its example is no sweep of its own: it says what is new in one."""


@pytest.mark.parametrize(
    "text",
    [
        example
        for example in examples("yaml")
        if not example.id.startswith((CLUSTER_PAGE, EXTENSION_PAGE))
    ],
)
def test_specification_examples_are_accepted(tmp_path, text):
    (tmp_path / "experiment.yaml").write_text(experiment_of_the_tutorial(), encoding="utf-8")
    page = tmp_path / "page.yaml"
    page.write_text(text, encoding="utf-8")
    sweep = load_any(page)
    assert sweep.frames >= 1
    sweep.frame_spec(sweep.frames - 1)


def test_cluster_file_example_is_accepted(tmp_path):
    (text,) = blocks(ROOT / CLUSTER_PAGE, "yaml")
    path = tmp_path / "cluster.yaml"
    path.write_text(text, encoding="utf-8")
    assert parse_cluster(str(path)).workers == 32


def test_the_page_on_cluster_files_names_every_field():
    page = (ROOT / "docs" / "reference" / "cluster-file.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+)`", page))
    for model in {*MODELS.values(), TlsFiles}:
        assert set(model.model_fields) <= named, model.__name__


@pytest.mark.parametrize("kind", ["slurm", "pbs", "lsf", "sge"])
def test_the_shipped_site_files_are_accepted(kind):
    assert parse_cluster(kind, str(ROOT / "cluster" / kind / "site.yaml")).workers == 32


def test_shipped_workers_are_warmed_up_as_they_start():
    texts = [path.read_text() for path in (ROOT / "cluster").rglob("*") if path.is_file()]
    loaded = re.findall(r"--preload\s+(?:- )?([\w.]+)", "\n".join(texts))
    assert len(loaded) >= 5
    assert set(loaded) == {"distbragg.clusters.tuning"}


def commands_of(program: str) -> list[str]:
    """Lines of the pages that call one command of distbragg, comments cut off."""
    lines = [line for path in PAGES for text in blocks(path, "bash") for line in text.splitlines()]
    return sorted(
        {
            line.partition("#")[0].strip()
            for line in lines
            if line.startswith(f"distbragg {program} ")
        }
    )


@pytest.mark.parametrize("line", commands_of("plot"))
def test_plot_examples_are_understood(line):
    _, _, *arguments = shlex.split(line)
    context = plot_command.make_context("plot", arguments)
    assert context.params["out"].endswith((".png", ".pdf", ".svg"))


def test_first_sweep_has_the_frames_its_page_says():
    (text,) = blocks(ROOT / "docs" / "tutorial" / "first-sweep.md", "yaml")
    axes = yaml.safe_load(text)["axes"]
    assert len(axes[0]["values"]) * axes[1]["linspace"]["count"] == 36


@pytest.mark.parametrize("text", examples("python"))
def test_python_examples_use_names_that_exist(text):
    public = {
        node.attr
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in ("db", "distbragg")
    }
    assert [name for name in public if not hasattr(distbragg, name)] == []
