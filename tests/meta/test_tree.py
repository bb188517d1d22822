"""What every file of the repository keeps, and that the check of it can fail."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tools.check_tree import (
    MODULE_LINES_AIM,
    MODULE_LINES_LIMIT,
    broken_links,
    find_problems,
    forbidden_text,
    heading_anchors,
    long_modules,
    main,
    module_problems,
    tracked_files,
)

ROOT = Path(__file__).resolve().parents[2]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_this_repository_is_in_order():
    assert find_problems(ROOT) == []


# Each forbidden text is assembled so that this file passes its own check.
@pytest.mark.parametrize(
    "text",
    [
        "data in /" + "home/someone/data.hkl",
        'open("/' + 'work/main/x")',
        "/" + "root/.cache",
        "pip install --index" + "-url x",
        "https://" + "pypi" + ".org/simple",
        "download." + "pytorch" + ".org/whl/cpu",
        "see issue" + " #" + "12",
        "(ticket" + " 7)",
        "fixes " + "#123",
    ],
)
def test_forbidden_text_is_found(tmp_path, text):
    path = write(tmp_path / "a.md", f"first line\n{text}\n")
    (problem,) = forbidden_text(path)
    assert problem.startswith(f"{path}:2: ")


@pytest.mark.parametrize(
    "text",
    [
        "distbragg/models/build.py and ./workflows/root/x",
        "https://example.org/home/page",
        "colour '#333' and &#39; and [x](#2-words)",
        "the pull request of upstream; an issue with 12 frames",
        "$HOME/work/x and ${TMPDIR}/work/x",
        "set PYTHON=/path/to/python3.11",
    ],
)
def test_ordinary_text_is_let_be(tmp_path, text):
    assert list(forbidden_text(write(tmp_path / "a.md", text))) == []


def test_module_without_docstring_is_found(tmp_path):
    (problem,) = module_problems(write(tmp_path / "m.py", "X = 1\n"))
    assert "without docstring" in problem


def test_module_over_the_limit_is_found_and_over_the_aim_reported(tmp_path):
    def module(name: str, lines: int) -> Path:
        return write(tmp_path / name, '"""Doc."""\n' + "X = 1\n" * (lines - 1))

    at_limit = module("a.py", MODULE_LINES_LIMIT)
    over = module("b.py", MODULE_LINES_LIMIT + 1)
    at_aim = module("c.py", MODULE_LINES_AIM)
    assert list(module_problems(at_limit)) == []
    assert [f"{MODULE_LINES_LIMIT + 1} lines" in line for line in module_problems(over)] == [True]
    assert [path for _, path in long_modules([at_limit, over, at_aim])] == [over, at_limit]


def test_broken_links_are_found(tmp_path):
    write(tmp_path / "b.md", "# A heading: with `code`, and more\n")
    path = write(
        tmp_path / "a.md",
        "[ok](b.md) [ok](b.md#a-heading-with-code-and-more) [ok](https://example.org/x)\n"
        "[file](c.md) ![picture](images/no.png)\n"
        "[anchor](b.md#no-such) [own](#nowhere)\n"
        "```\n[inside a fence](d.md)\n```\n`[in code](e.md)` [ok](b.md)\n",
    )
    assert [line.split(": ", 1)[1] for line in broken_links(path)] == [
        "link to c.md, which does not exist",
        "link to images/no.png, which does not exist",
        "link to b.md#no-such: no such heading",
        "link to #nowhere: no such heading",
    ]
    assert heading_anchors(tmp_path / "b.md") == {"a-heading-with-code-and-more"}


def test_a_structure_beside_the_package_is_found(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "1abc.pdb").write_text("END\n")
    (problem,) = find_problems(tmp_path)
    assert problem.startswith("docs/1abc.pdb: a structure of somebody else")


def test_ignored_files_are_not_checked(tmp_path):
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True, env=environment)
    write(tmp_path / ".gitignore", "*.log.md\n")
    kept = write(tmp_path / "kept.md", "text\n")
    write(tmp_path / "left.log.md", "text\n")
    assert kept in tracked_files(tmp_path)
    assert tmp_path / "left.log.md" not in tracked_files(tmp_path)


def test_exit_status_follows_the_problems(tmp_path, capsys):
    write(tmp_path / "distbragg" / "a.py", '"""Doc."""\n')
    assert main(["--root", str(tmp_path)]) == 0
    write(tmp_path / "distbragg" / "b.py", "X = 1\n")
    assert main(["--root", str(tmp_path)]) == 1
    assert "distbragg/b.py:1: module without docstring" in capsys.readouterr().err
