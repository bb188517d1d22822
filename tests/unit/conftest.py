"""The two worker processes of a module, of which tests may kill some."""

from __future__ import annotations

import pytest
from distributed import Client

from tests.workers import wait_for_workers

WORKERS = 2


@pytest.fixture
def client(two_workers: Client) -> Client:
    """Give the module's client once both its workers answer: a test may have left one dying."""
    wait_for_workers(two_workers, WORKERS)
    return two_workers
