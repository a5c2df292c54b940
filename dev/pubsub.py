"""A small client for the Pub/Sub emulator's REST interface, for tests and the demo.

It follows https://cloud.google.com/pubsub/docs/reference/rest as far as the emulator does. The
product itself publishes through `promotion.events`.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import urllib3

POLL_INTERVAL = 0.05
LARGEST_PULL = 1000


class PubSubError(Exception):
    """The emulator refused a request; the message says which and why."""


@dataclass(frozen=True)
class Received:
    """A message that was pulled and acknowledged."""

    data: bytes
    attributes: dict[str, str]
    message_id: str


class PubSub:
    """Topics and subscriptions of one project in the emulator, which takes any project's name.

    Topics and subscriptions go by their short names ("results") or their full ones
    ("projects/local/topics/results").
    """

    def __init__(self, host: str, project: str) -> None:
        self.host = host
        self._url = f"http://{host}/v1"
        self.project = project
        self._http = urllib3.PoolManager(retries=False, timeout=10.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.clear()

    def create_topic(self, topic: str) -> str:
        """Create a topic and return its full name."""
        name = self._name("topics", topic)
        self._call("PUT", name, {})
        return name

    def create_subscription(
        self,
        subscription: str,
        topic: str,
        *,
        endpoint: str | None = None,
        ack_deadline: int = 10,
        dead_letter_topic: str | None = None,
        max_delivery_attempts: int = 5,
    ) -> str:
        """Create a subscription and return its full name.

        Args:
            subscription: Its name.
            topic: The topic whose messages it receives from now on.
            endpoint: The URL that messages are pushed to; without it they wait to be pulled.
            ack_deadline: Seconds until a message that is not acknowledged is sent again.
            dead_letter_topic: Receives the messages that were never acknowledged.
            max_delivery_attempts: How often a message is sent before it is dead-lettered: 5 to 100.

        Returns:
            The full name.
        """
        # No retry policy: combined with a dead-letter topic the emulator neither sends again nor
        # dead-letters once two messages are under way.
        body: dict[str, Any] = {
            "topic": self._name("topics", topic),
            "ackDeadlineSeconds": ack_deadline,
        }
        if endpoint:
            body["pushConfig"] = {"pushEndpoint": endpoint}
        if dead_letter_topic:
            body["deadLetterPolicy"] = {
                "deadLetterTopic": self._name("topics", dead_letter_topic),
                "maxDeliveryAttempts": max_delivery_attempts,
            }
        name = self._name("subscriptions", subscription)
        self._call("PUT", name, body)
        return name

    def subscriptions_of(self, topic: str) -> list[str]:
        """The full names of a topic's subscriptions."""
        answer = self._call("GET", f"{self._name('topics', topic)}/subscriptions", None)
        return list(answer.get("subscriptions", []))

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str] | None = None) -> str:
        """Publish one message and return its id."""
        message = {"data": base64.b64encode(data).decode(), "attributes": dict(attributes or {})}
        name = self._name("topics", topic)
        answer = self._call("POST", f"{name}:publish", {"messages": [message]})
        return str(answer["messageIds"][0])

    def pull(self, subscription: str, timeout: float = 10.0) -> list[Received]:
        """Wait for messages, acknowledge and return them; none when the timeout passes first."""
        name = self._name("subscriptions", subscription)
        deadline = time.monotonic() + timeout
        while not (received := self._pull_at_once(name)) and time.monotonic() < deadline:
            time.sleep(POLL_INTERVAL)
        if received:
            self._call(
                "POST", f"{name}:acknowledge", {"ackIds": [one["ackId"] for one in received]}
            )
        return [_message(one["message"]) for one in received]

    def refuse(self, subscription: str) -> None:
        """Have the messages that wait delivered, and acknowledge none of them."""
        name = self._name("subscriptions", subscription)
        if received := self._pull_at_once(name):
            refused = [one["ackId"] for one in received]
            body = {"ackIds": refused, "ackDeadlineSeconds": 0}
            self._call("POST", f"{name}:modifyAckDeadline", body)

    def _pull_at_once(self, name: str) -> list[dict[str, Any]]:
        # A pull that waits does so for 90 seconds, and one that its caller gave up still takes the
        # next message: nobody sees that until its deadline has passed.
        body = {"maxMessages": LARGEST_PULL, "returnImmediately": True}
        received: list[dict[str, Any]] = self._call("POST", f"{name}:pull", body).get(
            "receivedMessages", []
        )
        return received

    def _name(self, kind: str, name: str) -> str:
        return name if name.startswith("projects/") else f"projects/{self.project}/{kind}/{name}"

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        response = self._http.request(method, f"{self._url}/{path}", json=body)
        if response.status != 200:
            raise PubSubError(f"{method} {path}: {response.status} {response.data.decode()}")
        answer: dict[str, Any] = response.json()
        return answer


def _message(wire: Mapping[str, Any]) -> Received:
    return Received(
        data=base64.b64decode(wire.get("data", "")),
        attributes=dict(wire.get("attributes", {})),
        message_id=str(wire["messageId"]),
    )
