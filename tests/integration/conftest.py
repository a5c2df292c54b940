"""The real parts, shared by the run, and what each test has of its own on them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import urllib3

from dev.anonymous import anonymous_transport
from dev.pubsub import PubSub
from dev.services import Service, docker_registry
from dev.stack import PUSH_SUBSCRIPTION, Stack, three_stages, wired
from promotion.registry.transport import Transport
from tests.integration.busybox import Busybox, pack
from tests.integration.shop import UNREACHABLE, OpenShop, Shop

_PROJECT = "integration"
_UNREACHABLE_PIPELINE = f"""\
  elsewhere:
    stages:
      fast-feedback:
        registry: {UNREACHABLE}/shop
        promotes_to: prod
        gate:
          suites: [functional]
      prod:
        registry: {UNREACHABLE}/shop
"""


@pytest.fixture
def http() -> Iterator[urllib3.PoolManager]:
    """A client that tries once."""
    with urllib3.PoolManager(retries=False, timeout=60.0) as pool:
        yield pool


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """The test's name, as a project or a repository can be called."""
    place, _, test = request.node.nodeid.rpartition("/")[2].partition(".py::")
    return re.sub("[^a-z0-9]+", "-", f"{place}-{test}".lower()).strip("-")


@pytest.fixture
def pubsub(emulator: Service, name: str) -> Iterator[PubSub]:
    """A Pub/Sub project of the test's own."""
    with PubSub(emulator.host, name) as client:
        yield client


@pytest.fixture(scope="session")
def prod_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The registry of prod, shared by the whole run; that of the other stages is ``registry``."""
    with docker_registry(tmp_path_factory.mktemp("prod-registry")) as service:
        yield service


@pytest.fixture(scope="session")
def transport() -> Iterator[Transport]:
    """Anonymous requests to registries."""
    transport = anonymous_transport()
    yield transport
    transport.close()


@pytest.fixture(scope="session")
def busybox(tmp_path_factory: pytest.TempPathFactory) -> Busybox:
    """A real image to be pushed."""
    return pack(tmp_path_factory.mktemp("busybox"))


@pytest.fixture(scope="session")
def stack(
    registry: Service,
    prod_registry: Service,
    emulator: Service,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """The function, fed by the subscription that alone counts for the pipeline."""
    results = f"projects/{_PROJECT}/subscriptions/{PUSH_SUBSCRIPTION}"
    stages = three_stages(registry.host, prod_registry.host, results)
    folder = tmp_path_factory.mktemp("function")
    with (
        PubSub(emulator.host, _PROJECT) as pubsub,
        wired(folder, pubsub, stages + _UNREACHABLE_PIPELINE) as stack,
    ):
        yield stack


@pytest.fixture
def open_shop(name: str, transport: Transport, http: urllib3.PoolManager) -> OpenShop:
    """Opens a shop of the test's own, with parts that it has started itself."""

    def open_shop(stack: Stack, registry: Service, prod_registry: Service) -> Shop:
        return Shop(name, stack, registry.host, prod_registry.host, transport, http)

    return open_shop


@pytest.fixture
def shop(open_shop: OpenShop, stack: Stack, registry: Service, prod_registry: Service) -> Shop:
    """An image of the test's own, in the parts that all tests share."""
    return open_shop(stack, registry, prod_registry)
