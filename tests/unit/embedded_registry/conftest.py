"""A registry without content, and who asks it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from dev.registry import EmbeddedRegistry
from tests.unit.wire import Client


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[EmbeddedRegistry]:
    """A registry without content."""
    with EmbeddedRegistry(tmp_path / "registry") as registry:
        yield registry


@pytest.fixture
def client(pool: urllib3.PoolManager, registry: EmbeddedRegistry) -> Client:
    """A client of that registry."""
    return Client(pool, registry.host)
