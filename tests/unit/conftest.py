"""Two embedded registries and what it takes to speak to them."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import urllib3

from dev import images
from dev.anonymous import anonymous_transport
from dev.registry import EmbeddedRegistry
from promotion.registry import retry
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Repository
from promotion.registry.transport import Transport
from tests.unit import controlling
from tests.unit.shop import Shop


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries take no time."""
    monkeypatch.setattr(retry, "wait", lambda _: None)


@pytest.fixture
def near(tmp_path: Path) -> Iterator[EmbeddedRegistry]:
    """A registry."""
    with EmbeddedRegistry(tmp_path / "near") as registry:
        yield registry


@pytest.fixture
def far(tmp_path: Path) -> Iterator[EmbeddedRegistry]:
    """Another registry."""
    with EmbeddedRegistry(tmp_path / "far") as registry:
        yield registry


@pytest.fixture
def transport() -> Iterator[Transport]:
    """Anonymous requests, whose connections are closed afterwards."""
    transport = anonymous_transport()
    yield transport
    transport.close()


@pytest.fixture
def pool() -> Iterator[urllib3.PoolManager]:
    """A client that tries once."""
    with urllib3.PoolManager(retries=False, timeout=60) as pool:
        yield pool


@pytest.fixture
def free_host() -> Iterator[Callable[[], str]]:
    """Gives addresses on which nothing listens, and on which nobody else can while it is used."""
    with ExitStack() as held:

        def free() -> str:
            bound = held.enter_context(socket.socket())
            bound.bind(("127.0.0.1", 0))
            return f"127.0.0.1:{bound.getsockname()[1]}"

        yield free


@pytest.fixture
def shop(near: EmbeddedRegistry, far: EmbeddedRegistry, transport: Transport) -> Shop:
    """The pipeline."""
    return Shop(near, far, transport)


@pytest.fixture(params=["referrers API", "tags"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmbeddedRegistry]:
    """A registry with the referrers API, and one without it."""
    api = request.param == "referrers API"
    with EmbeddedRegistry(tmp_path / "either", referrers_api=api) as registry:
        yield registry


@pytest.fixture
def place(either: EmbeddedRegistry, transport: Transport) -> RepositoryClient:
    """A repository in either kind of registry."""
    return RepositoryClient(Repository(either.host, "shop/fast-feedback/shop"), transport)


@pytest.fixture
def image(place: RepositoryClient) -> Manifest:
    """An image in it."""
    return images.push_image(place, [b"tested"], tag="1.4.2")


@pytest.fixture
def start_control(
    tmp_path: Path, near: EmbeddedRegistry, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> Iterator[controlling.Start]:
    """Starts the function that takes people's decisions; its logging ends with the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield controlling.starter(tmp_path, near, transport, monkeypatch)
    root.handlers[:] = handlers
    root.setLevel(level)
