"""Batches cover every pixel once and shrink when memory runs out."""

from __future__ import annotations

import logging

import pytest

from distbragg.kernel.triton.batches import MIN_BATCH_PIXELS, in_batches

FULL = RuntimeError("Triton Error [CUDA]: out of memory")


def run(total, size, limit):
    """Ranges done, ranges tried, last size, and how often memory was given back."""
    done, tried, released = [], [], []

    def work(start, stop):
        tried.append((start, stop))
        if stop - start > limit:
            raise FULL
        done.append((start, stop))

    last = in_batches(
        total, size, work, is_out_of_memory=lambda e: e is FULL, release=lambda: released.append(1)
    )
    return done, tried, last, len(released)


@pytest.mark.spec("ENG-18")
@pytest.mark.parametrize(
    ("total", "size"), [(100_003, 100_003), (100_003, 30_000), (7, 50), (0, 3)]
)
def test_enough_memory_means_no_more_launches_than_asked_for(total, size):
    done, tried, last, released = run(total, size, 10**9)
    assert tried == done
    assert released == 0
    assert last == size
    assert [start for start, _ in done] == list(range(0, total, size))


@pytest.mark.spec("ENG-18")
@pytest.mark.parametrize("limit", [60_000, 33_333, 5000, MIN_BATCH_PIXELS])
def test_batches_halve_until_they_fit_and_cover_every_pixel_once(limit, caplog):
    with caplog.at_level(logging.INFO, logger="distbragg"):
        done, tried, last, released = run(100_003, 100_003, limit)
    assert [place for span in done for place in range(*span)] == list(range(100_003))
    assert max(stop - start for start, stop in done) <= limit
    assert released == len(tried) - len(done)
    # Each size is tried once at most: what did not fit is not tried again for the next range.
    assert released <= 6
    assert last <= limit
    assert "device out of memory" in caplog.text


def test_a_batch_that_cannot_shrink_is_a_memory_error():
    with pytest.raises(MemoryError, match="no memory for a batch of"):
        run(100_003, 100_003, MIN_BATCH_PIXELS - 1)


def test_other_errors_pass():
    def work(start, stop):
        raise ValueError("not about memory")

    with pytest.raises(ValueError, match="not about memory"):
        in_batches(10, 5, work, is_out_of_memory=lambda e: e is FULL, release=lambda: None)
