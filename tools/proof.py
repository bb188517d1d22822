"""Proofread the pages of the site, in half of the time that the site takes.

All that Sphinx warns of is warned of: every page is read, its links are followed, it is made HTML.
Left out is what no page bears on: the index of the search, and the theme's frame about each page.
"""

from __future__ import annotations

from typing import Any

from sphinx.builders.html import StandaloneHTMLBuilder

from tools.site import ROOT_PAGE


class ProofBuilder(StandaloneHTMLBuilder):
    """The builder of the site, without what is the same for every page."""

    name = "html"
    search = False

    def handle_page(self, pagename: str, *given: Any, **named: Any) -> None:  # noqa: ANN401
        """Write the root page, and what has a template of its own."""
        if pagename not in self.env.found_docs or pagename == ROOT_PAGE:
            super().handle_page(pagename, *given, **named)
