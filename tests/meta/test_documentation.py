"""What the pages say of clusters and of themselves holds; their blocks run in tests/docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from distbragg.clusters.address import parse_cluster
from distbragg.spec.cluster import MODELS, TlsFiles
from tools.site import FOLDERS, ROOT_PAGE, contents, linked_from, owner_of

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    path.relative_to(ROOT).with_suffix("").as_posix()
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*.md")
}
PICTURE = re.compile(r"!\[[^\]]{10,}\]\(([^)]+\.png)\)")


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


def test_every_page_of_docs_is_named_by_the_list_of_its_folder():
    unnamed = []
    for page in PAGES:
        if page.startswith("docs/") and not page.startswith("docs/adr/") and page != ROOT_PAGE:
            owner = owner_of(page, PAGES)
            text = (ROOT / f"{owner}.md").read_text(encoding="utf-8")
            name = Path(page).relative_to(Path(owner).parent).as_posix()
            if f"({name}.md)" not in text:
                unnamed.append(f"{owner}.md does not name {name}.md")
    assert unnamed == []


def test_contents_follow_the_list_and_lose_no_page():
    pages = {
        "docs/README",
        "docs/a/README",
        "docs/a/x",
        "docs/a/y",
        "docs/a/deep/z",
        "specs/README",
    }
    assert owner_of("docs/a/deep/z", pages) == "docs/a/README"
    assert owner_of("specs/README", pages) == ROOT_PAGE
    listed = contents("docs/a/README", "[y](y.md#part) [x](../b/x.md)", pages)
    assert listed == ["docs/a/y", "docs/a/deep/z", "docs/a/x"]
    assert contents("docs/README", "[](a/README.md)", pages) == ["docs/a/README", "specs/README"]
    notebooks = contents("docs/a/README", "[z](deep/z.ipynb) [y](y.md)", pages)
    assert notebooks == ["docs/a/deep/z", "docs/a/y", "docs/a/x"]


def test_links_the_site_cannot_follow_become_downloads_or_text(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "reports" / "one").mkdir(parents=True)
    (tmp_path / "reports" / "one" / "summary.md").write_text("")
    text = "[a](../reports/one) [b](../reports/one/summary.md) [c](other.md#x) ![d](d.png)"
    assert linked_from("docs/page", text, tmp_path, {"docs/page", "docs/other"}) == (
        "a [b](<path:../reports/one/summary.md>) [c](other.md#x) ![d](d.png)"
    )


@pytest.mark.parametrize("folder", ["docs/tutorial", "docs/explanation/physics"])
def test_every_page_of_the_tutorial_and_of_the_physics_has_a_picture(folder):
    pages = [path for path in (ROOT / folder).glob("*.md") if path.name != "README.md"]
    assert len(pages) >= 4
    for path in pages:
        pictures = PICTURE.findall(path.read_text(encoding="utf-8"))
        assert pictures, path.name
        for picture in pictures:
            assert (path.parent / picture).stat().st_size > 1000
