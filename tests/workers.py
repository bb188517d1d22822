"""Wait for the worker processes of a cluster, whose nannies start others at their own pace."""

from __future__ import annotations

import time
from collections.abc import Set

from distributed import Client


def wait_for_workers(client: Client, count: int, *, other_than: Set[str] = frozenset()) -> None:
    """Wait until so many workers answer and are not just those that are named."""
    deadline = time.monotonic() + 120
    while True:
        answers = client.run(str, "here", on_error="return")
        there = {address for address, answer in answers.items() if answer == "here"}
        if len(there) == count and there != other_than:
            return
        assert time.monotonic() < deadline, f"workers that answer: {sorted(there)}"
        time.sleep(0.05)
