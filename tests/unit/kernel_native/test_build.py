"""Compiling the kernel: what is made, when again, and what is recorded where nothing is."""

from __future__ import annotations

import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from distbragg.kernel.native import library
from distbragg.kernel.native.record import SOURCES, sources_digest
from tools import build_native
from tools.build_native import BuildError, Compiler, NoCompilerError

SCRIPT = """#!/bin/sh
case "$1" in
  --version) echo "stand-in {version}"; exit 0;;
  -dumpmachine) echo {target}; exit 0;;
esac
echo "$@" >> {calls}
for word; do last=$word; done
[ {status} = 0 ] && echo object > "$last" || echo "x.cpp: error: no" >&2
exit {status}
"""


class StandIn:
    """A compiler that writes a line instead of an object, and keeps what it was called with."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self._calls = folder / "compiler", folder / "calls"
        monkeypatch.setenv("CXX", shlex.quote(str(self.path)))
        self.become()

    def become(self, *, version="1", target="x86_64-linux-gnu", status=0) -> None:
        self.path.write_text(
            SCRIPT.format(version=version, target=target, status=status, calls=self._calls)
        )
        self.path.chmod(0o755)
        self._calls.write_text("")

    @property
    def calls(self) -> list[str]:
        return sorted(self._calls.read_text().splitlines())


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    return StandIn(tmp_path, monkeypatch)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "objects"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.spec("ENG-23")
def test_every_level_is_compiled_once_and_recorded(compiler, folder):
    built = build_native.build(folder)
    levels = ["x86-64-v4", "x86-64-v3", "x86-64-v2"]
    assert [each.level for each in built.objects] == levels
    assert names(folder) == sorted(
        [*(f"{level}-{built.build}.so" for level in levels), "record.json"]
    )
    assert build_native.record.read_record(folder) == built
    assert built.sources == sources_digest()
    assert len(compiler.calls) == 3
    assert build_native.build(folder) == built
    assert len(compiler.calls) == 3


def test_another_compiler_is_another_build_and_its_objects_go(compiler, folder):
    first = build_native.build(folder)
    compiler.become(version="2")
    second = build_native.build(folder)
    assert second.build != first.build
    assert not any(first.build in name for name in names(folder))


def test_changed_sources_are_another_build(compiler, folder, monkeypatch):
    first = build_native.build(folder)
    monkeypatch.setattr(build_native.record, "sources_digest", lambda: "0" * 64)
    second = build_native.build(folder)
    assert (second.build != first.build, second.sources) == (True, "0" * 64)


def test_the_level_of_this_cpu_alone_has_the_same_build(compiler, folder, monkeypatch):
    third = build_native.levels_of("x86_64")[1]
    monkeypatch.setattr(build_native.record, "cpu_features", lambda: frozenset(third.features))
    one = build_native.build(folder, here_only=True)
    assert [each.level for each in one.objects] == ["x86-64-v3"]
    whole = build_native.build(folder)
    assert (whole.build, len(whole.objects)) == (one.build, 3)
    assert build_native.build(folder, here_only=True) == whole


def test_other_machines_have_one_level(compiler, folder):
    compiler.become(target="aarch64-linux-gnu")
    built = build_native.build(folder)
    assert [(each.level, each.features) for each in built.objects] == [("aarch64", ())]
    assert "-march=armv8-a" in compiler.calls[0]
    assert "-mavx" not in compiler.calls[0]
    compiler.become(target="riscv64-unknown-linux-gnu")
    assert [each.level for each in build_native.build(folder).objects] == ["riscv64"]


@pytest.mark.spec("ENG-23")
def test_without_a_compiler_the_reason_is_recorded_and_told(folder, monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoCompilerError, match="no C\\+\\+ compiler found"):
        build_native.build(folder)
    assert build_native.build_or_record_why_not(folder).objects == ()
    assert "no C++ compiler found" in library.find_and_open(folder, SOURCES).reason


def test_what_was_compiled_elsewhere_is_kept_without_a_compiler(
    compiler, folder, monkeypatch, tmp_path
):
    built = build_native.build(folder)
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert build_native.build(folder) == built
    assert build_native.build_or_record_why_not(folder) == built
    (folder / built.objects[0].file).unlink()
    assert build_native.build_or_record_why_not(folder).objects == ()
    assert names(folder) == ["record.json"]


def test_a_named_compiler_that_is_not_found_is_the_reason(monkeypatch):
    monkeypatch.setenv("CXX", "nonexistent/g++")
    with pytest.raises(NoCompilerError, match=r"CXX names nonexistent/g\+\+"):
        Compiler.find()


def test_a_compiler_that_fails_leaves_its_first_error_and_no_object(compiler, folder, capsys):
    compiler.become(status=1)
    with pytest.raises(BuildError, match=r"failed: x\.cpp: error: no"):
        build_native.build(folder)
    assert names(folder) == []
    built = build_native.build_or_record_why_not(folder)
    assert "x.cpp: error: no" in built.missing


def test_a_folder_that_cannot_be_written_is_the_reason(compiler, folder):
    folder.write_text("")
    with pytest.raises(BuildError, match="cannot write"):
        build_native.build(folder)


def test_the_command_says_what_there_is_or_why_not(compiler, folder, capsys, monkeypatch):
    monkeypatch.setattr(build_native.record, "OBJECTS", folder)
    assert build_native.main([]) == 0
    assert "x86-64-v4, x86-64-v3, x86-64-v2" in capsys.readouterr().out
    compiler.become(version="2", status=1)
    assert build_native.main([]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.spec("ENG-23")
def test_flags_neither_reorder_sums_nor_leave_contraction_to_the_compiler():
    assert "-ffp-contract=off" in build_native.COMMON_FLAGS
    for machine in ("x86_64", "aarch64", "riscv64"):
        for level in build_native.levels_of(machine):
            flags = {*build_native.COMMON_FLAGS, *level.flags}
            assert not {"-ffast-math", "-Ofast", "-fassociative-math"} & flags
            assert not any(flag.endswith("=native") for flag in flags)


def test_each_level_asks_for_all_of_the_next():
    levels = build_native.levels_of("x86_64")
    for higher, lower in pairwise(levels):
        assert set(higher.features) > set(lower.features)
