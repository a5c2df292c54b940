"""A shop whose image is on its way to prod: its places, its messages and the events about it."""

from __future__ import annotations

import base64
import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import urllib3

from dev.pubsub import PubSub, Received
from dev.services import Service
from dev.stack import DEAD_LETTERS, EVENTS, PUSH_SUBSCRIPTION, RESULTS, Stack
from promotion.evidence.attested import Evidence
from promotion.evidence.store import EvidenceStore
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Digest, Repository
from promotion.registry.transport import Transport
from promotion.signing import TrustAll, Unsigned

STAGES = FAST_FEEDBACK, EXTENDED_TEST, PROD = "fast-feedback", "extended-test", "prod"
VERSION = "1.0.0"
PATIENCE = 60.0
POLL_INTERVAL = 0.02
MOST_DELIVERIES = 200

UNREACHABLE = "127.0.0.1:9"
"""A registry that a pipeline names, at the port where RFC 863 would discard what it is sent."""


class Inbox:
    """The messages of a topic that carry an attribute with this value."""

    def __init__(self, pubsub: PubSub, topic: str, attribute: str, value: str) -> None:
        self._pubsub = pubsub
        self._topic = topic
        self._label = (attribute, value)
        self._waiting: deque[Received] = deque()

    def next(self) -> Received:
        """Wait for a message."""
        deadline = time.monotonic() + PATIENCE
        while not self._waiting:
            self._pull(deadline - time.monotonic())
        return self._waiting.popleft()

    def rest(self) -> list[Received]:
        """All messages that have been published by now, but for those that were handed out."""
        deadline = time.monotonic() + PATIENCE
        last = self._pubsub.publish(self._topic, b"the last one")
        while last not in self._pull(deadline - time.monotonic()):
            pass
        rest = list(self._waiting)
        self._waiting.clear()
        return rest

    def _pull(self, timeout: float) -> set[str]:
        received = self._pubsub.pull(self._topic, timeout)
        if not received:
            raise TimeoutError(f"{self._topic} brought nothing more for {self._label}")
        self._waiting.extend(each for each in received if self._label in each.attributes.items())
        return {each.message_id for each in received}


class Shop:
    """One image in the stages of a pipeline.

    Its name is nobody else's, so that many can share the registries, the topics and the function.
    """

    def __init__(
        self,
        name: str,
        stack: Stack,
        registry: str,
        prod_registry: str,
        transport: Transport,
        http: urllib3.PoolManager,
    ) -> None:
        self.name = name
        self.stack = stack
        self._registries = dict(zip(STAGES, (registry, registry, prod_registry), strict=True))
        self.events = Inbox(stack.pubsub, EVENTS, "image", name)
        self.dead_letters = Inbox(stack.pubsub, DEAD_LETTERS, "shop", name)
        self._transport = transport
        self._http = http

    def repository(self, stage: str) -> RepositoryClient:
        """The image's repository in a stage."""
        place = Repository(self._registries[stage], f"shop/{stage}/{self.name}")
        return RepositoryClient(place, self._transport)

    def evidence(self, stage: str, digest: str) -> Evidence:
        """What is stated about a digest in a stage, whoever has signed it."""
        store = EvidenceStore(Unsigned(), TrustAll())
        return store.read(Digest(digest), [self.repository(stage)])

    def image(self, stage: str) -> str:
        """The image's reference in a stage."""
        return f"{self.repository(stage).repository}:{VERSION}"

    def digest(self, stage: str) -> Digest | None:
        """What the image's version names in a stage."""
        return self.repository(stage).resolve(VERSION)

    def result(self, digest: str, /, **fields: str) -> dict[str, str]:
        """A test result that lets the image leave fast-feedback, but for the fields given."""
        return {
            "image": self.image(FAST_FEEDBACK),
            "digest": digest,
            "suite": "functional",
            "outcome": "success",
            **fields,
        }

    def publish(
        self, content: object, attributes: Mapping[str, str] | None = None, topic: str = RESULTS
    ) -> str:
        """Publish bytes, or what is to be JSON, and return the message's id."""
        labelled = {**(attributes or {}), "shop": self.name}
        return self.stack.pubsub.publish(topic, encode(content), labelled)

    def push(self, content: object, **fields: object) -> int:
        """Push a message as Pub/Sub does, for what the emulator never sends or never tells.

        Args:
            content: Bytes, or what is to be JSON.
            fields: Of the push or of its message, besides the usual ones or instead of them.

        Returns:
            The status of the function's answer.
        """
        body = wrapped(encode(content), {"shop": self.name}, self.stack.pubsub.project, **fields)
        return self.post(body, {"Content-Type": "application/json"})

    def deliver(self, content: object) -> int:
        """Push a message until it is taken, as Pub/Sub does, and return the status of that answer.

        A registry may list what another request has half written: then it comes again.
        """
        answers = (self.push(content) for _ in range(MOST_DELIVERIES))
        return next(status for status in answers if status != 503)

    def post(
        self, content: object, headers: Mapping[str, str], function: Service | None = None
    ) -> int:
        """Post to the function, or to another one, and return the status of its answer."""
        url = f"{(function or self.stack.function).url}/"
        # A connection that is kept would hold up the end of the server.
        closing = {**headers, "Connection": "close"}
        return self._http.request("POST", url, body=encode(content), headers=closing).status

    def logged(self, text: str, times: int = 1) -> str:
        """Wait until the function has logged a text so many times, and return the last line."""
        return wait_for_line(self.stack.function, text, times)


OpenShop = Callable[[Stack, Service, Service], Shop]
"""Opens a shop with these parts, a registry and the registry of prod."""


def wrapped(
    data: bytes, attributes: Mapping[str, str], project: str, **fields: object
) -> dict[str, Any]:
    """The body of a push; the fields given go into it or, where it has them, into its message."""
    message: dict[str, object] = {
        "data": base64.b64encode(data).decode(),
        "attributes": dict(attributes),
        "messageId": "pushed",
        "publishTime": datetime.now(UTC).isoformat(),
    }
    of_message = {name: value for name, value in fields.items() if name in message}
    of_push = {name: value for name, value in fields.items() if name not in message}
    subscription = f"projects/{project}/subscriptions/{PUSH_SUBSCRIPTION}"
    return {"subscription": subscription, "message": {**message, **of_message}, **of_push}


def encode(content: object) -> bytes:
    """Bytes as they are, all else as JSON."""
    return content if isinstance(content, bytes) else json.dumps(content).encode()


def wait_for_line(service: Service, text: str, times: int = 1) -> str:
    """Wait until a service has written a text so many times, and return the last line."""
    deadline = time.monotonic() + PATIENCE
    while len(lines := [line for line in service.output().splitlines() if text in line]) < times:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{text!r} is not {times} times in:\n{service.output()}")
        time.sleep(POLL_INTERVAL)
    return lines[times - 1]
