"""Check what every file of the repository must keep: clean text, docstrings, length, links.

Structures of others are not committed. Text files hold no path of one machine, no
package-registry host and no ticket number; every module of the package has a docstring and at most
`MODULE_LINES_LIMIT` lines; every relative link of a Markdown file leads to a file or heading that
exists.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

MODULE_LINES_AIM = 400
MODULE_LINES_LIMIT = 600

TEXT_SUFFIXES = frozenset(
    {
        ".py",
        ".md",
        ".toml",
        ".yaml",
        ".yml",
        ".txt",
        ".cfg",
        ".ini",
        ".sh",
        ".sbatch",
        ".json",
        ".ipynb",
    }
    | {".cpp", ".hpp", ".h", ".c", ".cu"}
)
STRUCTURE_SUFFIXES = frozenset({".pdb", ".ent", ".cif", ".mtz"})
TEXT_NAMES = frozenset({"Makefile", "LICENSE", ".gitignore", "run"})
SKIPPED_FOLDERS = frozenset({".git", ".venv", "build", "dist", "__pycache__", "node_modules"})

# Assembled from pieces so that this file passes its own check.
_FOLDERS = "|".join(("work", "root", "home", "Users", "opt", "mnt", "scratch", "var/tmp"))
_HOSTS = "|".join(("pypi", "pythonhosted", "pytorch", "anaconda", "npmjs", "crates", "testpypi"))
FORBIDDEN = {
    "path of one machine": re.compile(rf"(?<![\w.~}}/$)])/(?:{_FOLDERS})/[\w.$-]"),
    "registry host": re.compile(
        rf"\b(?:[\w-]+\.)*(?:{_HOSTS})\.(?:org|com|io)\b(?!/docs)|--(?:extra-)?index-ur[l]"
    ),
    "ticket number": re.compile(
        r"(?i:\b(?:issue|ticket|pull request|pr|bug)s?[ -]*#?\d+\b)|(?<![\w&'\"/(])#\d{1,5}\b"
    ),
}

LINK = re.compile(r"(?<!\\)!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
FENCE = re.compile(r"^\s*(```|~~~)")


def tracked_files(root: Path) -> list[Path]:
    """Files git tracks or would track; every file where there is no git."""
    command = ["git", "-C", str(root), "ls-files", "-z", "-co", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        return sorted(
            path
            for path in root.rglob("*")
            if path.is_file() and not SKIPPED_FOLDERS & set(path.relative_to(root).parts)
        )
    return sorted(
        path for name in set(listed.split("\0")) - {""} if (path := root / name).is_file()
    )


def text_files(files: Iterable[Path]) -> list[Path]:
    """Keep the files whose text is checked; data, images and inputs of tests are not."""
    return [path for path in files if path.suffix in TEXT_SUFFIXES or path.name in TEXT_NAMES]


def forbidden_text(path: Path) -> Iterator[str]:
    """Machine paths, registry hosts and ticket numbers in one file."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        for what, pattern in FORBIDDEN.items():
            found = pattern.search(line)
            if found is not None:
                yield f"{path}:{number}: {what}: {found.group()}"


def module_problems(path: Path) -> Iterator[str]:
    """Find a missing docstring, or more lines than the limit."""
    text = path.read_text(encoding="utf-8")
    if not ast.get_docstring(ast.parse(text)):
        yield f"{path}:1: module without docstring"
    lines = len(text.splitlines())
    if lines > MODULE_LINES_LIMIT:
        yield f"{path}: {lines} lines, more than {MODULE_LINES_LIMIT}"


def long_modules(paths: Iterable[Path]) -> list[tuple[int, Path]]:
    """Modules longer than the aim, longest first."""
    lengths = [(len(path.read_text(encoding="utf-8").splitlines()), path) for path in paths]
    return sorted((item for item in lengths if item[0] > MODULE_LINES_AIM), reverse=True)


def heading_anchors(path: Path) -> set[str]:
    """Anchors of a Markdown file's headings, as code hosts make them."""
    anchors: set[str] = set()
    for line in _prose(path):
        match = re.match(r"#{1,6}\s+(.*)", line)
        if match:
            plain = re.sub(r"[^\w\- ]", "", match[1].replace("`", "").lower())
            anchors.add(plain.strip().replace(" ", "-"))
    return anchors


def _prose(path: Path) -> Iterator[str]:
    """Lines outside fenced code; lines inside come as empty ones."""
    fenced = False
    for line in path.read_text(encoding="utf-8").splitlines():
        if FENCE.match(line):
            fenced = not fenced
            yield ""
        else:
            yield "" if fenced else re.sub(r"`[^`]*`", "``", line) if "](" in line else line


def broken_links(path: Path) -> Iterator[str]:
    """Relative links of a Markdown file that lead nowhere."""
    for number, line in enumerate(_prose(path), start=1):
        for target in LINK.findall(line):
            if re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue
            name, _, anchor = target.partition("#")
            goal = path.parent / name if name else path
            if not goal.exists():
                yield f"{path}:{number}: link to {target}, which does not exist"
            elif anchor and goal.suffix == ".md" and anchor not in heading_anchors(goal):
                yield f"{path}:{number}: link to {target}: no such heading"


def find_problems(root: Path) -> list[str]:
    """Return one line per problem; empty when all is well."""
    files = tracked_files(root)
    problems: list[str] = []
    for path in text_files(files):
        problems += forbidden_text(path)
    for path in package_modules(root, files):
        problems += module_problems(path)
    for path in files:
        if path.suffix == ".md":
            problems += broken_links(path)
        if path.suffix in STRUCTURE_SUFFIXES and not path.is_relative_to(root / "distbragg"):
            problems.append(
                f"{path}: a structure of somebody else is not committed; tests make one, and pages "
                "tell users to take their own"
            )
    prefix = f"{root}/"
    return [problem.replace(prefix, "") for problem in problems]


def package_modules(root: Path, files: Iterable[Path]) -> list[Path]:
    """Python modules of the package and the tools."""
    homes = (root / "distbragg", root / "tools")
    return [
        path
        for path in files
        if path.suffix == ".py" and any(path.is_relative_to(home) for home in homes)
    ]


def main(arguments: list[str] | None = None) -> int:
    """Print the problems, one a line; exit status 1 when there are any."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1])
    root: Path = parser.parse_args(arguments).root
    problems = find_problems(root)
    for problem in problems:
        sys.stderr.write(problem + "\n")
    for lines, path in long_modules(package_modules(root, tracked_files(root))):
        sys.stdout.write(
            f"note: {path.relative_to(root)} has {lines} lines, aim {MODULE_LINES_AIM}\n"
        )
    if not problems:
        sys.stdout.write("tree: text, docstrings, lengths and links are in order\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
