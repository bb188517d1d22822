"""Make the site from the pages as they stand, which code hosts show too: Markdown and notebooks.

The pages have no directive: the README of each folder lists its pages, and here the list becomes
the table of contents. A page that no list names comes last, so that none is lost. Links to files
that are not pages become downloads, links to folders plain text. Notebooks are run.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from tools import notebooks

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT_PAGE = "docs/README"
FOLDERS = ("docs", "specs", "workflows", "cluster")
INCLUDED = [
    *(f"{folder}/**.md" for folder in FOLDERS),
    f"{notebooks.FOLDER.relative_to(notebooks.ROOT).as_posix()}/*.ipynb",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
]
PUBLIC_PAGE = "docs/reference/python"

LINK = re.compile(r"\]\(<?([^)#>\s]+)\.(?:md|ipynb)(?:#[^)]*)?>?\)")
LOCAL_LINK = re.compile(r"(?<!!)\[([^\]\[]+)\]\(([^):#\s]+(?:#[^)\s]*)?)\)")


def excluded(root: Path) -> list[str]:
    """Folders of the tree that hold no page, so that none is searched."""
    return [p.name for p in root.iterdir() if p.is_dir() and p.name not in FOLDERS]


def owner_of(page: str, pages: set[str]) -> str:
    """Return the page whose table of contents names this one: the next README above it."""
    folder = posixpath.dirname(page)
    if posixpath.basename(page) == "README":
        folder = posixpath.dirname(folder)
    while folder:
        if f"{folder}/README" in pages:
            return f"{folder}/README"
        folder = posixpath.dirname(folder)
    return ROOT_PAGE


def contents(page: str, text: str, pages: set[str]) -> list[str]:
    """Return the pages that one owns: in the order of its links, then those without a link."""
    owned = {other for other in pages if other != page and owner_of(other, pages) == page}
    folder = posixpath.dirname(page)
    linked = [posixpath.normpath(posixpath.join(folder, name)) for name in LINK.findall(text)]
    listed = [name for name in dict.fromkeys(linked) if name in owned]
    return listed + sorted(owned - set(listed))


def _read(app: Sphinx, page: str, source: list[str]) -> None:
    path = Path(app.env.doc2path(page))
    if path.suffix == ".ipynb":
        source[0] = notebooks.executed(path)
        return
    pages = set(app.env.found_docs)
    source[0] = linked_from(page, source[0], Path(app.srcdir), pages)
    names = contents(page, source[0], pages) if page.endswith("README") else []
    if names:
        entries = "\n".join(f"/{name}" for name in names)
        source[0] += f"\n\n```{{toctree}}\n:hidden:\n\n{entries}\n```\n"
    if page == PUBLIC_PAGE:
        source[0] += "\n\n```{eval-rst}\n" + public_names() + "\n```\n"


def public_names() -> str:
    """Directives that document each public name of the package."""
    import distbragg

    parts = []
    for name in sorted(distbragg.__all__, key=str.lower):
        if name.startswith("_"):
            continue
        kind = "class" if isinstance(getattr(distbragg, name), type) else "function"
        parts.append(f".. auto{kind}:: distbragg.{name}\n")
    parts.append(".. automodule:: distbragg.training\n   :members:\n   :imported-members:\n")
    parts.append(".. automodule:: distbragg.errors\n   :members:\n   :exclude-members: placed\n")
    return "\n".join(parts)


def linked_from(page: str, text: str, root: Path, pages: set[str]) -> str:
    """Return a page's text with links that the site can follow.

    What is not a page of the site becomes a download, a folder plain text.
    """

    def follow(match: re.Match[str]) -> str:
        label, target = match.groups()
        name = target.partition("#")[0]
        path = root / posixpath.dirname(page) / name
        if path.is_dir():
            return label
        if path.suffix == ".md" and posixpath.normpath(path.relative_to(root))[:-3] not in pages:
            return f"[{label}](<path:{name}>)"
        return match[0]

    return LOCAL_LINK.sub(follow, text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx what is done when."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
