"""Python's garbage collector kept from what will stay.

A full collection looks at every object there is: with the modules of a worker or of a scheduler
it takes as long as tens of small frames, and comes when a process has just begun to work.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def standing_aside() -> Iterator[None]:
    """Let collections pass over the objects that are there now, until the block ends.

    What somebody has set aside already stays theirs.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
