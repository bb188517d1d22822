"""Pages of a viewer without a browser, and what they show."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from bokeh.document import Document

from distbragg.viewer.frames import Source
from distbragg.viewer.page import Page


class Still:
    """A watcher that sees nothing."""

    version, problem = 0, ""


def page_of(*sources: Source, start: int = 0) -> Page:
    workers = ThreadPoolExecutor(1)
    return Page(Document(), sources, Still(), workers, start)  # type: ignore[arg-type]


def image_of(page: Page, pane: int = 0) -> np.ndarray[Any, Any]:
    return np.asarray(page.panes[pane]._image.data["image"][0])
