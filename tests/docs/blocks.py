"""The fenced blocks of a Markdown page, and what comments of its source say about them.

A comment `<!-- test: KIND ARGUMENTS -->` is seen neither on the site nor on a code host:

| Kind | Meaning |
|---|---|
| `given NAMES` | files that the page takes for there: see `tests/docs/given.py` |
| `small SETS` | `--set` options that commands of the page get here, so that they take no time |
| `more OPTIONS` | options that `python` gets at the end of its commands, to the same purpose |
| `env NAME=VALUE` | a variable of the page's commands |
| `skip REASON` | the next block is not run; `SKIPS` has the reasons |
| `file NAME` | the next block is saved as this file |
| `output` | the next block is what the command before it writes, numbers aside |
| `shell` | commands on the lines that follow, which the reader does not see |

A block without a language is what a program writes, or a drawing. A block of YAML whose first line
is the comment `# NAME.yaml` is saved as that file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        ROOT / "README.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "workflows").glob("*.md"),
    ]
)
NOT_READ = ("docs/adr", "docs/reference")
"""Records of decisions, and pages that are written from the code."""

SKIPS = {
    "batch-system": "needs SLURM or its like",
    "cloud": "needs an account with a provider",
    "container": "builds an image from a registry",
    "crystfel": "needs CrystFEL",
    "dials": "needs DIALS, as `make accept` has it",
    "gpu": "needs a GPU",
    "interactive": "waits for a person",
    "long": "takes minutes; a target of make or a test of its own runs it",
}

_PIECE = re.compile(
    r"^<!-- test: (?P<comment>.*?)-->[ \t]*$"
    r"|^(?P<fence>`{3,})(?P<info>[^`\n]*)\n(?P<text>.*?)^(?P=fence)[ \t]*$",
    re.M | re.S,
)
_SAVED = re.compile(r"# ([\w.-]+\.(?:yaml|csv))\b")
_LANGUAGES = {"sh": "bash", "console": "bash", "": "text"}


@dataclass(frozen=True)
class Block:
    """One step of a page: a block the reader sees, or a comment that the test obeys."""

    kind: str
    text: str
    line: int
    skip: str = ""
    file: str = ""
    output: bool = False


def read_page(path: Path) -> list[Block]:
    """Return the steps of a page in order."""
    text = path.read_text(encoding="utf-8")
    steps: list[Block] = []
    marks: dict[str, str] = {}
    for piece in _PIECE.finditer(text):
        line = text.count("\n", 0, piece.start()) + 1
        if piece["comment"] is not None:
            kind, _, rest = piece["comment"].strip().partition("\n")
            kind, _, words = kind.partition(" ")
            if kind in ("given", "small", "more", "shell", "env"):
                steps.append(Block(kind, (words + "\n" + rest).strip(), line))
            else:
                marks[kind] = words
            continue
        first = piece["text"].partition("\n")[0]
        saved = _SAVED.match(first)
        language = piece["info"].split()[0] if piece["info"].strip() else ""
        steps.append(
            Block(
                _LANGUAGES.get(language, language),
                piece["text"],
                line + 1,
                skip=marks.pop("skip", ""),
                file=marks.pop("file", saved[1] if saved else ""),
                output="output" in marks,
            )
        )
        marks.clear()
    return steps


def pages() -> list[Path]:
    """Pages with a block."""
    return [
        path
        for path in PAGES
        if not path.relative_to(ROOT).as_posix().startswith(NOT_READ) and read_page(path)
    ]
