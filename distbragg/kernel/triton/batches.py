"""Launches small enough for the memory that is free.

A batch is a range of pixels: every pixel's sum is whole within one program, so the cuts change no
bit, and a launch that ran out of memory can be repeated in halves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

MIN_BATCH_PIXELS: Final = 4096
"""Smallest launch: below, it is not the batch that fills the memory."""

_log = logging.getLogger("distbragg")


def in_batches(
    total: int,
    size: int,
    work: Callable[[int, int], None],
    *,
    is_out_of_memory: Callable[[BaseException], bool],
    release: Callable[[], None],
) -> int:
    """Call `work(start, stop)` over [0, total), halving the ranges when memory runs out.

    `work` must leave a failed range as it found it, or write it whole when repeated.

    Parameters
    ----------
    total : int
        Pixels.
    size : int
        Pixels of the first batches, at least 1.
    work : callable(start, stop)
    is_out_of_memory : callable(error) -> bool
    release : callable()
        Gives back what is not in use, before a repetition.

    Returns
    -------
    int
        Pixels of the last batches, for the next call to start with.

    Raises
    ------
    MemoryError
        A batch of `MIN_BATCH_PIXELS` does not fit.
    """
    start, size = 0, max(1, size)
    while start < total:
        stop = min(start + size, total)
        try:
            work(start, stop)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if stop - start <= MIN_BATCH_PIXELS:
                raise MemoryError(
                    f"the device has no memory for a batch of {stop - start} pixels: "
                    + " ".join(str(error).split())
                ) from error
            size = max(MIN_BATCH_PIXELS, (stop - start + 1) // 2)
            release()
            _log.info("device out of memory: launching %d pixels at a time", size)
        else:
            start = stop
    return size
