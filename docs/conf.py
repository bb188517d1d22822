"""Settings of the site; what it does with the Markdown pages stands in tools/site.py."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import distbragg  # noqa: E402
from tools import site  # noqa: E402

project = "distbragg"
author = "The distbragg developers"
version = release = distbragg.__version__

# Sources lie in several folders, so the tree itself is the folder of the sources.
root_doc = site.ROOT_PAGE
include_patterns = site.INCLUDED
exclude_patterns = site.excluded(ROOT)
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "tools.site"]
templates_path = ["_templates"]

nb_execution_mode = "off"  # tools/site.py hands over notebooks that were run
myst_heading_anchors = 6
suppress_warnings = ["myst.header"]  # clauses of specs/ are headings of the third level

autodoc_typehints = "none"  # the numpydoc sections have them, with shapes and units
autodoc_member_order = "bysource"
napoleon_numpy_docstring = True
napoleon_google_docstring = False

html_theme = "pydata_sphinx_theme"
html_title = "distbragg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_additional_pages = {"index": "start.html"}
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
copyright = author
