"""A proxy in front of a registry, and who asks through it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import urllib3

from bench.proxy import Proxy
from dev.registry import EmbeddedRegistry
from tests.unit.proxy.sockets import BIG
from tests.unit.wire import Client


@pytest.fixture
def proxy(near: EmbeddedRegistry) -> Iterator[Proxy]:
    """A proxy in front of a registry."""
    with Proxy(near.host) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy, pool: urllib3.PoolManager) -> Client:
    """Somebody who asks through the proxy."""
    return Client(pool, proxy.host)


@pytest.fixture
def blob(near: EmbeddedRegistry, pool: urllib3.PoolManager) -> str:
    """The path of a blob of 1 MiB that is in the registry."""
    return f"/v2/shop/blobs/{Client(pool, near.host).push_blob('shop', BIG)}"
