"""Check that the clauses of `specs/` and the tests name one another.

A clause is a heading `### GEO-3 Title` in a file of `specs/`; its tests stand in a
paragraph that begins with `Tests:` and holds one or more `` `tests/…/test_x.py::test_y` ``.
A test names a clause with `@pytest.mark.spec("GEO-3")`. A clause of the physics is asserted on
every kernel by a test of `tests/clauses/`, or says `Before the kernel:` why none can see it.
Everything is read from the text and the syntax tree: nothing is imported, so the check is fast
and cannot be fooled by skips.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

CLAUSE_HEADING = re.compile(r"^### (?P<id>[A-Z]{3}-\d+) (?P<title>\S.*)$")
CLAUSE_MENTION = re.compile(
    r"\b(?:UNI|GEO|CON|CRY|DIF|LAT|SRC|SAM|SCL|NOI|STK|CLI|ENG|EXP|FIG|WAT|CLU)-\d+\b"
)
PHYSICS = frozenset(
    {"amplitudes.md", "crystal.md", "diffuse.md", "geometry.md", "lattices.md", "mosaicity.md"}
    | {"sampling.md", "scaling.md"}
)
"""Files whose clauses say what a rendered pixel is."""

EVERY_KERNEL = "tests/clauses/"
BEFORE_THE_KERNEL = re.compile(r"^Before the kernel: \S.*\.$")

TEST_NAME = re.compile(r"`(?P<file>tests/[^`:\s]+\.py)::(?P<test>[^`\s]+)`")


@dataclass(frozen=True, slots=True)
class Clause:
    """One normative clause: its id, where it stands, and the tests it names.

    `before_kernel` is true where the clause says that no kernel sees it.
    """

    identifier: str
    file: Path
    line: int
    tests: tuple[tuple[str, str], ...]
    before_kernel: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """One `pytest.mark.spec` argument: the clause it names and where it stands."""

    clause: str
    file: Path
    line: int


def read_clauses(root: Path) -> tuple[list[Clause], list[str]]:
    """Return the clauses of `root/specs` and the problems of their form."""
    clauses: list[Clause] = []
    problems: list[str] = []
    for path in sorted((root / "specs").glob("*.md")):
        lines = path.read_text(encoding="utf-8").splitlines()
        heads = [number for number, line in enumerate(lines) if line.startswith("### ")]
        for head, stop in pairwise([*heads, len(lines)]):
            match = CLAUSE_HEADING.match(lines[head])
            if match is None:
                problems.append(
                    f"{path.relative_to(root)}:{head + 1}: "
                    "heading is not a clause `### XXX-n Title`"
                )
                continue
            body = lines[head + 1 : stop]
            early = any(BEFORE_THE_KERNEL.match(line) for line in body)
            clauses.append(Clause(match["id"], path, head + 1, _tests_of(body), early))
    return clauses, problems


def _tests_of(body: list[str]) -> tuple[tuple[str, str], ...]:
    """Return the tests named in the paragraph that begins with `Tests:`."""
    named: list[tuple[str, str]] = []
    inside = False
    for line in body:
        inside = line.startswith("Tests:") or (inside and bool(line.strip()))
        if inside:
            named += [(match["file"], match["test"]) for match in TEST_NAME.finditer(line)]
    return tuple(named)


def test_names(path: Path) -> set[str]:
    """Names of the test functions of a file; methods as `Class::method`."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names |= {
                f"{node.name}::{item.name}"
                for item in node.body
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return {name for name in names if name.split("::")[-1].startswith("test_")}


def marked_tests(root: Path) -> dict[str, list[str]]:
    """Return, for each clause, the tests that carry its mark as `file::test`."""
    found: dict[str, list[str]] = {}
    for path in sorted((root / "tests").rglob("*.py")):
        file = path.relative_to(root).as_posix()
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for call in _spec_calls(*node.decorator_list):
                    for argument in call.args:
                        if isinstance(argument, ast.Constant):
                            found.setdefault(str(argument.value), []).append(f"{file}::{node.name}")
    return found


def write_tests(root: Path) -> list[str]:
    """Add every marked test to the `Tests:` paragraph of its clause; return the clauses changed."""
    clauses, _ = read_clauses(root)
    marked = marked_tests(root)
    changed: list[str] = []
    # From the end of each file, so that earlier line numbers stay true.
    for clause in sorted(clauses, key=lambda item: (item.file, item.line), reverse=True):
        listed = [f"{file}::{test}" for file, test in clause.tests]
        wanted = [
            *listed,
            *(name for name in marked.get(clause.identifier, ()) if name not in listed),
        ]
        if wanted != listed:
            _write_paragraph(clause, wanted)
            changed.append(clause.identifier)
    return changed[::-1]


def _write_paragraph(clause: Clause, tests: list[str]) -> None:
    """Put the `Tests:` paragraph at the end of the clause's text."""
    lines = clause.file.read_text(encoding="utf-8").splitlines()
    stop = next((n for n in range(clause.line, len(lines)) if lines[n].startswith("#")), len(lines))
    body = lines[clause.line : stop]
    start = next((n for n, line in enumerate(body) if line.startswith("Tests:")), len(body))
    text = "\n".join(body[:start]).strip()
    names = ",\n".join(f"`{test}`" for test in dict.fromkeys(tests))
    paragraph = f"\n{text}\n\nTests: {names}\n".split("\n")
    lines[clause.line : stop] = paragraph if stop < len(lines) else paragraph[:-1]
    clause.file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_marks(root: Path) -> tuple[list[Mark], list[str]]:
    """Return every clause named by a test and the marks whose argument is not a literal string."""
    marks: list[Mark] = []
    problems: list[str] = []
    for path in sorted((root / "tests").rglob("*.py")):
        for call in _calls_in(path.read_text(encoding="utf-8")):
            if not call.args:
                problems.append(f"{path.relative_to(root)}:{call.lineno}: spec mark without clause")
            for argument in call.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    marks.append(Mark(argument.value, path, argument.lineno))
                else:
                    problems.append(
                        f"{path.relative_to(root)}:{call.lineno}: spec mark is not a literal string"
                    )
    return marks, problems


@cache
def _calls_in(text: str) -> tuple[ast.Call, ...]:
    """Return the marks of a module."""
    return tuple(_spec_calls(ast.parse(text))) if "mark.spec" in text else ()


def _spec_calls(*trees: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls of the form `<anything>.mark.spec(...)`."""
    for node in (node for tree in trees for node in ast.walk(tree)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "spec"
            and isinstance(node.func.value, ast.Attribute)
            and node.func.value.attr == "mark"
        ):
            yield node


def find_problems(root: Path) -> list[str]:
    """Return one line per disagreement between clauses and tests; empty when all is well."""
    clauses, problems = read_clauses(root)
    if not clauses:
        problems.append("specs: no clause found")
    marks, mark_problems = read_marks(root)
    known = {clause.identifier for clause in clauses}
    return [
        *problems,
        *_repeated(root, clauses),
        *_untested(root, clauses),
        *_not_of_every_kernel(root, clauses),
        *mark_problems,
        *(
            f"{mark.file.relative_to(root)}:{mark.line}: no clause {mark.clause} in specs/"
            for mark in marks
            if mark.clause not in known
        ),
        *_unknown_mentions(root, known),
    ]


def _repeated(root: Path, clauses: list[Clause]) -> Iterator[str]:
    first: dict[str, Clause] = {}
    for clause in clauses:
        earlier = first.setdefault(clause.identifier, clause)
        if earlier is not clause:
            yield (
                f"{clause.file.relative_to(root)}:{clause.line}: clause {clause.identifier} "
                f"stands already at {earlier.file.relative_to(root)}:{earlier.line}"
            )


def _untested(root: Path, clauses: list[Clause]) -> Iterator[str]:
    names: dict[str, set[str]] = {}
    for clause in clauses:
        place = f"{clause.file.relative_to(root)}:{clause.line}: clause {clause.identifier}"
        if not clause.tests:
            yield f"{place} names no test"
        for file, test in clause.tests:
            path = root / file
            if file not in names:
                names[file] = test_names(path) if path.is_file() else set()
            if not path.is_file():
                yield f"{place} names {file}, which does not exist"
            elif test not in names[file]:
                yield f"{place} names {file}::{test}, which does not exist"


def _tests_of_every_kernel(root: Path) -> set[tuple[str, str]]:
    """Return the tests of `tests/clauses/` that take the `kernel` fixture, as (file, test)."""
    return {
        (path.relative_to(root).as_posix(), node.name)
        for path in sorted((root / EVERY_KERNEL).glob("test_*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and any(a.arg == "kernel" for a in node.args.args)
    }


def _not_of_every_kernel(root: Path, clauses: list[Clause]) -> Iterator[str]:
    """Clauses of the physics that no test asserts on every kernel, or that say both."""
    asked = _tests_of_every_kernel(root)
    for clause in clauses:
        if clause.file.name not in PHYSICS:
            continue
        everywhere = any(test in asked for test in clause.tests)
        place = f"{clause.file.relative_to(root)}:{clause.line}: clause {clause.identifier}"
        if everywhere and clause.before_kernel:
            yield f"{place} is asserted on kernels, and says that it is decided before them"
        if not everywhere and not clause.before_kernel:
            yield (
                f"{place} names no test of {EVERY_KERNEL}, nor says `Before the kernel:` and why"
            )


def _unknown_mentions(root: Path, known: set[str]) -> Iterator[str]:
    """Clause ids mentioned in the prose of `specs/` and `docs/` that no heading defines."""
    for folder in ("specs", "docs"):
        for path in sorted((root / folder).rglob("*.md")):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
                for mention in CLAUSE_MENTION.findall(line):
                    if mention not in known:
                        yield f"{path.relative_to(root)}:{number}: no clause {mention} in specs/"


def main(arguments: list[str] | None = None) -> int:
    """Print the problems, one a line; exit status 1 when there are any."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument(
        "--write", action="store_true", help="first add every marked test to its clause"
    )
    options = parser.parse_args(arguments)
    root: Path = options.root
    if options.write:
        for identifier in write_tests(root):
            sys.stdout.write(f"added tests to {identifier}\n")
    problems = find_problems(root)
    for problem in problems:
        sys.stderr.write(problem + "\n")
    if problems:
        return 1
    clauses, _ = read_clauses(root)
    marks, _ = read_marks(root)
    sys.stdout.write(f"specs: {len(clauses)} clauses, {len(marks)} marks in tests agree\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
