"""Objects that stay are passed over by the garbage collector only while a run lasts."""

from __future__ import annotations

import gc
import weakref

import pytest

from distbragg.graph import warm_up
from distbragg.graph.garbage import standing_aside


class Ring:
    """Garbage that only the collector can find."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _nothing_set_aside() -> None:
    gc.unfreeze()


def test_garbage_from_before_waits_for_the_end_and_new_garbage_does_not() -> None:
    old = Ring()
    before = weakref.ref(old)
    with standing_aside():
        new = Ring()
        during = weakref.ref(new)
        del old, new
        gc.collect()
        assert before() is not None
        assert during() is None
    gc.collect()
    assert before() is None
    assert gc.get_freeze_count() == 0


def test_end_by_an_error_puts_it_right_too() -> None:
    with pytest.raises(ZeroDivisionError), standing_aside():
        _ = 1 / 0
    assert gc.get_freeze_count() == 0


def test_what_another_has_set_aside_stays_so() -> None:
    gc.freeze()
    try:
        with standing_aside():
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


def test_worker_sets_its_modules_aside() -> None:
    try:
        warm_up.dask_setup(None)
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()
