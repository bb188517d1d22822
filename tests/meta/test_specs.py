"""The clauses of specs/ and the tests name one another, and the check of it can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.check_specs import find_problems, main, write_tests

ROOT = Path(__file__).resolve().parents[2]

# Assembled so that this file's own text holds no mark.
MARK = "@pytest.mark." + "spec"

GOOD_SPEC = "# Geometry\n\n### GEO-1 Points\n\nText.\n\nTests: `tests/test_a.py::test_points`\n"
GOOD_TEST = f'import pytest\n\n\n{MARK}("GEO-1")\ndef test_points():\n    assert True\n'


def make_tree(root: Path, spec: str = GOOD_SPEC, test: str = GOOD_TEST) -> Path:
    for folder, name, text in (("specs", "export.md", spec), ("tests", "test_a.py", test)):
        (root / folder).mkdir()
        (root / folder / name).write_text(text, encoding="utf-8")
    return root


def test_clauses_and_tests_of_this_repository_agree():
    assert find_problems(ROOT) == []


def test_a_consistent_tree_has_no_problem(tmp_path):
    assert find_problems(make_tree(tmp_path)) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("Tests: `tests/test_a.py::test_points`", "", "GEO-1 names no test"),
        ("test_a.py", "test_b.py", "names tests/test_b.py, which does not exist"),
        ("::test_points", "::test_lines", "::test_lines, which does not exist"),
        ("::test_points", "::helper", "::helper, which does not exist"),
        ("### GEO-1 Points", "### Points", "heading is not a clause"),
        ("Text.", "As GEO-7 says.", "no clause GEO-7"),
        (GOOD_SPEC, GOOD_SPEC + "\n" + GOOD_SPEC, "GEO-1 stands already at specs/export.md:3"),
        (GOOD_SPEC, "# Nothing\n", "no clause found"),
    ],
)
def test_a_faulty_clause_is_found(tmp_path, old, new, problem):
    root = make_tree(tmp_path, spec=GOOD_SPEC.replace(old, new))
    assert any(problem in line for line in find_problems(root))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"GEO-1"', '"GEO-2"', "tests/test_a.py:4: no clause GEO-2"),
        ('("GEO-1")', "(CLAUSE)", "not a literal string"),
        ('("GEO-1")', "()", "without clause"),
        ("def test_points", "def points", "::test_points, which does not exist"),
    ],
)
def test_a_faulty_mark_is_found(tmp_path, old, new, problem):
    root = make_tree(tmp_path, test=GOOD_TEST.replace(old, new))
    assert any(problem in line for line in find_problems(root))


def test_marks_on_parameters_and_modules_are_read(tmp_path):
    text = GOOD_TEST + "\n\npytestmark = [pytest.mark." + 'spec("GEO-8")]\n'
    root = make_tree(tmp_path, test=text)
    assert any("no clause GEO-8" in line for line in find_problems(root))


def test_methods_of_test_classes_can_be_named(tmp_path):
    root = make_tree(
        tmp_path,
        spec=GOOD_SPEC.replace("::test_points", "::TestPoints::test_first"),
        test="class TestPoints:\n    def test_first(self):\n        assert True\n",
    )
    assert find_problems(root) == []


def test_exit_status_and_message_follow_the_problems(tmp_path, capsys):
    root = make_tree(tmp_path)
    assert main(["--root", str(root)]) == 0
    (root / "tests" / "test_a.py").unlink()
    assert main(["--root", str(root)]) == 1
    assert "specs/export.md:3: clause GEO-1 names tests/test_a.py" in capsys.readouterr().err


def test_marked_tests_are_added_to_their_clause(tmp_path):
    unnamed = GOOD_SPEC.replace("\nTests: `tests/test_a.py::test_points`\n", "")
    two = unnamed + "\n### GEO-2 Axes\n\nMore.\n\nTests: `tests/test_a.py::test_points`\n"
    root = make_tree(tmp_path, spec=two)
    assert write_tests(root) == ["GEO-1"]
    assert (root / "specs" / "export.md").read_text(encoding="utf-8") == GOOD_SPEC + (
        "\n### GEO-2 Axes\n\nMore.\n\nTests: `tests/test_a.py::test_points`\n"
    )
    assert write_tests(root) == []
    assert find_problems(root) == []


@pytest.mark.parametrize(
    ("early", "fixture", "problem"),
    [
        ("", "kernel", ""),
        ("Before the kernel: no kernel sees it.\n\n", "tmp_path", ""),
        ("", "tmp_path", "GEO-1 names no test of tests/clauses/"),
        ("Before the kernel: no kernel sees it.\n\n", "kernel", "says that it is decided before"),
    ],
)
def test_a_clause_of_the_physics_is_asserted_on_every_kernel_or_says_why_not(
    tmp_path, early, fixture, problem
):
    (tmp_path / "specs").mkdir()
    (tmp_path / "tests" / "clauses").mkdir(parents=True)
    spec = GOOD_SPEC.replace("Tests:", early + "Tests:").replace("tests/", "tests/clauses/")
    (tmp_path / "specs" / "geometry.md").write_text(spec, encoding="utf-8")
    test = GOOD_TEST.replace("test_points()", f"test_points({fixture})")
    (tmp_path / "tests" / "clauses" / "test_a.py").write_text(test, encoding="utf-8")
    problems = find_problems(tmp_path)
    assert any(problem in line for line in problems) if problem else problems == []
