"""The real parts of a scenario: an emulator, two registries behind proxies, functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.proxy import Proxy
from dev.anonymous import anonymous_transport
from dev.pubsub import PubSub
from dev.services import Service, docker_registry, function_server, pubsub_emulator
from dev.stack import (
    DEAD_LETTERS,
    EVENTS,
    PUSH_SUBSCRIPTION,
    RESULTS,
    ROOT,
    function_environment,
    signed,
)
from promotion import configuration
from promotion.evidence.store import EvidenceStore
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Repository
from promotion.registry.transport import Transport
from tests.chaos.gate import Gate
from tests.chaos.scenario import Arrangement
from tests.chaos.stages import five_stages, hosts_by_stage
from tests.integration.shop import FAST_FEEDBACK, PROD
from tests.marked import Marked, files_in
from tests.unit.promoting import evidence_store

_ACK_SECONDS = 60
_MOST_ATTEMPTS = 100


@dataclass(frozen=True)
class Registry:
    """A docker-registry, and the proxy by which the function knows it."""

    service: Service
    proxy: Proxy


@dataclass(frozen=True)
class Parts:
    """What scenarios share: each has a Pub/Sub project and image names of its own.

    Attributes:
        near: The registry of the first two stages.
        far: The registry of prod.
        transport: Speaks to the registries themselves, past all faults.
    """

    folder: Path
    near: Registry
    far: Registry
    emulator: Service
    transport: Transport

    def repository(self, stage: str, name: str) -> RepositoryClient:
        """An image's repository in a stage, past all faults."""
        hosts = hosts_by_stage(self.near.service.host, self.far.service.host)
        return RepositoryClient(Repository(hosts[stage], f"shop/{stage}/{name}"), self.transport)

    @property
    def hosts(self) -> Mapping[str, str]:
        """What messages call the registries of the stages."""
        return hosts_by_stage(self.near.proxy.host, self.far.proxy.host)

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        for registry in (self.near, self.far):
            registry.proxy.heal()

    def forget(self) -> None:
        """Begin to count anew what goes wrong."""
        for registry in (self.near, self.far):
            registry.proxy.forget()


@contextmanager
def parts(folder: Path) -> Iterator[Parts]:
    """Run the parts that scenarios share."""
    with (
        docker_registry(folder / "near") as near,
        docker_registry(folder / "far") as far,
        pubsub_emulator(folder, "chaos") as emulator,
        behind_proxies(folder, near, far, emulator) as shared,
    ):
        yield shared


@contextmanager
def behind_proxies(folder: Path, near: Service, far: Service, emulator: Service) -> Iterator[Parts]:
    """Share parts that run already."""
    transport = anonymous_transport()
    try:
        with Proxy(near.host) as before_near, Proxy(far.host) as before_far:
            registries = Registry(near, before_near), Registry(far, before_far)
            yield Parts(folder, *registries, emulator, transport)
    finally:
        transport.close()


class Instance:
    """A function that can be killed, and started again at its address."""

    def __init__(self, settings: Mapping[str, str], folder: Path, stack: ExitStack) -> None:
        self._settings = settings
        self._folder = folder
        self._stack = stack
        self._port = 0
        self.start()

    def start(self) -> None:
        """Start it; at first, or again."""
        server = function_server(ROOT, self._settings, self._folder, port=self._port)
        self.service = self._stack.enter_context(server)
        self._port = self.service.port

    def kill(self) -> None:
        """End it as a crash does."""
        self.service.kill()


class World:
    """What a scenario has of its own: topics, functions, a gate before the emulator.

    A scenario that starts its emulator again has one of its own, too.

    Attributes:
        pubsub: Speaks to the emulator itself.
        secrets: What functions are given and must never show.
        gate: By which functions publish.
        doorways: Before each function, to see what is delivered.
    """

    def __init__(
        self, shared: Parts, project: str, emulator: Service, instances: int, stack: ExitStack
    ) -> None:
        self.parts = shared
        self.folder = shared.folder / project
        self._emulator = emulator
        self._stack = stack
        self.pubsub = stack.enter_context(PubSub(emulator.host, project))
        self.gate = stack.enter_context(Gate(emulator.host))
        self._create_topics()
        self.secrets = Marked()
        settings = self._settings()
        self.instances = [Instance(settings, self.folder, stack) for _ in range(instances)]
        self.doorways = [stack.enter_context(Proxy(each.service.host)) for each in self.instances]
        # Servers end more quickly when killed than asked while the emulator holds a connection.
        for instance in self.instances:
            stack.callback(instance.kill)

    @property
    def store(self) -> EvidenceStore:
        """Reads what is stated, and believes the function's key alone."""
        return evidence_store(configuration.load(self.folder / "promotion.yaml"))

    def subscribe(self) -> None:
        """Have the emulator push what is published to the function."""
        self.pubsub.create_subscription(
            PUSH_SUBSCRIPTION,
            RESULTS,
            endpoint=f"http://{self.doorways[0].host}/projects/{self.pubsub.project}/{RESULTS}",
            ack_deadline=_ACK_SECONDS,
            dead_letter_topic=DEAD_LETTERS,
            max_delivery_attempts=_MOST_ATTEMPTS,
        )

    def restart_emulator(self) -> None:
        """Kill the emulator and start it again in its place: it has forgotten all messages."""
        self._emulator.kill()
        again = pubsub_emulator(self.folder, "chaos", self._emulator.port)
        self._emulator = self._stack.enter_context(again)
        self._create_topics()
        self.subscribe()

    def deliveries(self, status: int | None = None) -> int:
        """How many deliveries there were, or were answered so."""
        exchanges = [each for doorway in self.doorways for each in doorway.exchanges()]
        return sum(status in (None, each.status) for each in exchanges)

    def logs(self) -> Mapping[str, bytes]:
        """All that functions have written, however often they were started."""
        return files_in(self.folder, "function-*.log")

    def _create_topics(self) -> None:
        for topic in (RESULTS, EVENTS, DEAD_LETTERS):
            self.pubsub.create_topic(topic)
        for topic in (EVENTS, DEAD_LETTERS):
            self.pubsub.create_subscription(topic, topic)

    def _settings(self) -> Mapping[str, str]:
        hosts = self.parts.hosts
        text = five_stages(hosts[FAST_FEEDBACK], hosts[PROD]) + signed(self.folder)
        for key in self.folder.glob("*.pem"):
            self.secrets.mark_key("the signing key", key.read_text())
        settings = function_environment(self.folder, self.pubsub, text)
        return {**settings, "PUBSUB_EMULATOR_HOST": self.gate.host}


@contextmanager
def world(shared: Parts, project: str, arrangement: Arrangement) -> Iterator[World]:
    """Run what a scenario has of its own."""
    folder = shared.folder / project
    folder.mkdir()
    with ExitStack() as stack:
        emulator = shared.emulator
        if arrangement.forgotten:
            emulator = stack.enter_context(pubsub_emulator(folder, project))
        scene = World(shared, project, emulator, arrangement.instances, stack)
        if arrangement.pushed:
            scene.subscribe()
        yield scene
