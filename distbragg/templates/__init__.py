"""The templates of pages, cards and displays, filled in by jinja2.

Every value is escaped by default: in HTML as jinja2 does it, in Markdown as text of one line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from distbragg.quantities import quoted

if TYPE_CHECKING:
    from jinja2 import Environment


def fill(name: str, /, **values: object) -> str:
    """Fill in a template of this folder."""
    return _environment(html=name.endswith(".html")).get_template(name).render(values)


def facts_html(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Lay out (name, value) rows as HTML, as a notebook shows them."""
    return fill("facts.html", title=title, rows=rows)


@cache
def _environment(*, html: bool) -> Environment:
    # Loaded here: a run that shows none of its pages starts without jinja2.
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    from distbragg.quantities import counted, duration, moment, scaled

    def markdown(value: object) -> Markup:
        """Text in one line, without what Markdown or HTML would make of it."""
        if isinstance(value, Markup):
            return value  # of a macro or a filter
        return Markup(quoted(re.sub(r"[`<>|\[\]\\]", "", " ".join(str(value).split()))))

    environment = Environment(
        loader=PackageLoader("distbragg", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=True,
        finalize=None if html else markdown,
    )
    environment.filters |= {
        "counted": counted,
        "duration": duration,
        "json": lambda value: Markup(json.dumps(value)),
        "moment": moment,
        "scaled": scaled,
        "verbatim": Markup,
    }
    return environment
