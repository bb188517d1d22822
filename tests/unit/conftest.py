"""One cluster of two worker processes for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from distributed import Client

from distbragg.clusters.open import open_client
from tests.workers import wait_for_workers

WORKERS = 2


@pytest.fixture(scope="module")
def module_client() -> Iterator[Client]:
    with open_client(f"local:{WORKERS}") as opened:
        yield opened.client


@pytest.fixture
def client(module_client: Client) -> Client:
    """Give the module's client once both its workers answer: a test may have left one dying."""
    wait_for_workers(module_client, WORKERS)
    return module_client
