"""One cluster of two worker processes for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from distributed import Client

from distbragg.graph.cluster import open_cluster


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with open_cluster("local:2") as opened:
        yield opened
