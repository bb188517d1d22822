"""Loading the compiled kernel: which object is taken, and what is said where none can be."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.kernel.native import library
from distbragg.kernel.native.record import OBJECTS, SOURCES, cpu_features, read_record
from distbragg.kernel.table import table_id
from tests.tolerances import KERNEL_TWIN_FLOAT64_RELATIVE, NATIVE_MIXED_OF_MAXIMUM
from tests.unit.kernel_native import kit
from tools.build_native import Compiler, levels_of

needs_kernel = pytest.mark.skipif(not native.available(), reason=native.reason())

LEVEL_OF_MAXIMUM = {"mixed": NATIVE_MIXED_OF_MAXIMUM, "float64": KERNEL_TWIN_FLOAT64_RELATIVE}
KINDS = {
    "square": {"oversample": 2, "layers": 2},
    "round": {"shape": "round"},
    "gauss": {"shape": "gauss", "cells": (14, 16, 13)},
    "tophat": {"shape": "tophat", "cells": (14, 16, 13)},
    "tricubic": {"interpolate": True},
    "curved": {"surface": "sphere"},
}


@pytest.fixture
def ours():
    """The record of the kernel that the tests run on."""
    record = read_record()
    assert record is not None
    return record


@pytest.fixture
def load(tmp_path, ours):
    """Load from a folder of objects of our own; the record is changed by keywords."""
    folder = tmp_path / "objects"
    folder.mkdir()

    def loaded(sources=tmp_path / "none", **changes):
        replace(ours, **changes).write(folder)
        return library.find_and_open(folder, sources)

    return loaded


def offer(monkeypatch, *features):
    monkeypatch.setattr(library, "cpu_features", lambda: frozenset(features))


def at_level(monkeypatch, level):
    """Load the object of one level for the rest of a test."""
    monkeypatch.setenv(library.LEVEL_VARIABLE, level)
    monkeypatch.setattr(library, "_outcome", None)
    assert native.isa() == level


def levels_here():
    record = read_record()
    levels = () if record is None else record.objects
    return [each.level for each in levels if cpu_features().issuperset(each.features)]


@needs_kernel
def test_the_library_is_compiled_from_this_packages_table():
    assert library.library().distbragg_table_id().decode("ascii") == table_id()


@needs_kernel
@pytest.mark.spec("ENG-23")
def test_the_highest_level_that_the_cpu_runs_is_taken_and_reported(monkeypatch, ours):
    monkeypatch.delenv(library.LEVEL_VARIABLE, raising=False)
    monkeypatch.setattr(library, "_outcome", None)
    assert native.isa() == levels_here()[0]
    assert native.build_id() == ours.build
    assert len(ours.build) == 16


@needs_kernel
@pytest.mark.spec("ENG-23")
@pytest.mark.parametrize("precision", ["mixed", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_levels_that_fuse_give_the_same_bits_and_others_agree(kind, precision, monkeypatch):
    experiment = kit.make_experiment(**KINDS[kind])
    tile, chunk = kit.whole(experiment)
    images = {}
    for level in levels_here():
        at_level(monkeypatch, level)
        options = kit.Options(precision)
        images[level] = native.render_numerator(experiment, 0, tile, chunk, options)
    first, *others = images
    for level in others:
        if level == "x86-64-v2":
            error = np.abs(images[level] - images[first]).max() / images[first].max()
            assert error < LEVEL_OF_MAXIMUM[precision]
        else:
            assert np.array_equal(images[level], images[first])


@needs_kernel
def test_a_cpu_without_the_highest_level_gets_the_next(monkeypatch, ours):
    monkeypatch.delenv(library.LEVEL_VARIABLE, raising=False)
    for each in ours.objects:
        offer(monkeypatch, *each.features)
        assert library.find_and_open(OBJECTS, SOURCES).isa == each.level


@needs_kernel
def test_a_cpu_below_all_levels_is_the_reason(monkeypatch, load, ours):
    monkeypatch.delenv(library.LEVEL_VARIABLE, raising=False)
    offer(monkeypatch, "sse2")
    only = tuple(each for each in ours.objects if each.features)
    if not only:
        pytest.skip("one level for every CPU of this machine's kind")
    outcome = load(objects=only)
    assert outcome.library is None
    assert "this CPU runs none of the levels compiled: " + only[0].level in outcome.reason


@needs_kernel
def test_a_level_that_cannot_be_had_is_refused_by_name(monkeypatch, load, ours):
    monkeypatch.setenv(library.LEVEL_VARIABLE, "avx2")
    outcome = load()
    assert outcome.library is None
    assert "DISTBRAGG_ISA asks for avx2" in outcome.reason
    assert ours.objects[0].level in outcome.reason


def test_a_folder_without_objects_says_how_to_have_them(tmp_path):
    assert "install it again" in library.find_and_open(tmp_path, tmp_path).reason
    (tmp_path / "render.cpp").write_text("")
    reason = library.find_and_open(tmp_path, tmp_path).reason
    assert "not compiled" in reason
    assert "make native" in reason
    (tmp_path / "record.json").write_text("[]")
    assert "not compiled" in library.find_and_open(tmp_path, tmp_path).reason


@needs_kernel
def test_what_the_build_lacked_is_the_reason(load):
    outcome = load(missing="no C++ compiler found", objects=())
    assert outcome.library is None
    assert "no C++ compiler found" in outcome.reason


@needs_kernel
@pytest.mark.spec("ENG-23")
def test_objects_of_other_sources_are_refused(tmp_path, load):
    sources = tmp_path / "src"
    shutil.copytree(SOURCES, sources)
    assert "does not load" in load(sources).reason
    (sources / "render.cpp").write_text("// changed\n")
    outcome = load(sources)
    assert outcome.library is None
    assert "not those it was compiled from" in outcome.reason
    assert "make native" in outcome.reason


@needs_kernel
def test_an_object_that_does_not_load_is_the_reason(tmp_path, load, ours):
    for each in ours.objects:
        (tmp_path / "objects" / each.file).write_bytes(b"")
    outcome = load()
    assert outcome.library is None
    assert "does not load" in outcome.reason


@needs_kernel
def test_an_object_of_another_table_is_refused(tmp_path, load, ours):
    compiler = Compiler.find()
    source = tmp_path / "other.cpp"
    source.write_text(
        'extern "C" void distbragg_render() {}\nextern "C" void distbragg_poisson() {}\n'
        'extern "C" const char* distbragg_table_id() { return "0123456789abcdef"; }\n'
    )
    target = tmp_path / "objects" / ours.objects[-1].file
    compiler.compile(source, target, levels_of(compiler.machine)[-1])
    outcome = load(objects=ours.objects[-1:])
    assert outcome.library is None
    assert "another table" in outcome.reason


def test_an_unavailable_library_is_refused_with_its_reason(monkeypatch):
    monkeypatch.setattr(library, "_outcome", library._Outcome(None, "", "", "no objects"))
    assert not native.available()
    with pytest.raises(RuntimeError, match="no objects"):
        library.library()
