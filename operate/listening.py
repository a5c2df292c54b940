"""Temporary subscriptions: what is published from now on, for as long as somebody listens."""

from __future__ import annotations

import logging
import queue
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError

from operate.errors import OperationFailed

if TYPE_CHECKING:
    from google.cloud.pubsub_v1 import SubscriberClient

_logger = logging.getLogger(__name__)

# The least that Pub/Sub takes: what is left of a listener that was killed goes by itself.
_RETENTION_SECONDS = 600
_EXPIRY_SECONDS = 24 * 60 * 60
_ACK_SECONDS = 60


@dataclass(frozen=True)
class Heard:
    """A message that was published while somebody listened, and where."""

    topic: str
    data: bytes
    attributes: Mapping[str, str]


Inbox = queue.SimpleQueue[Heard]


@contextmanager
def listening(
    subscriber: SubscriberClient, project: str, filters: Mapping[str, str]
) -> Iterator[Inbox]:
    """Listen to some topics, through subscriptions that are deleted at the end.

    Args:
        subscriber: The client.
        project: Where the subscriptions are made.
        filters: The topics, by full names, each with Pub/Sub's filter for the messages that matter.
            The emulator delivers all others too.

    Yields:
        The messages, as they arrive.

    Raises:
        OperationFailed: The subscriptions cannot be made.
    """
    inbox = Inbox()
    with ExitStack() as ends:
        for topic, wanted in filters.items():
            subscription = ends.enter_context(_subscription(subscriber, project, topic, wanted))
            ends.enter_context(_streaming(subscriber, subscription, topic, inbox))
        yield inbox


@contextmanager
def _subscription(
    subscriber: SubscriberClient, project: str, topic: str, wanted: str
) -> Iterator[str]:
    name = f"projects/{project}/subscriptions/promotion-smoke-{uuid.uuid4().hex[:12]}"
    asked = {
        "name": name,
        "topic": topic,
        "filter": wanted,
        "ack_deadline_seconds": _ACK_SECONDS,
        "message_retention_duration": {"seconds": _RETENTION_SECONDS},
        "expiration_policy": {"ttl": {"seconds": _EXPIRY_SECONDS}},
    }
    try:
        subscriber.create_subscription(request=asked)
    except (GoogleAPIError, GoogleAuthError) as error:
        raise OperationFailed(
            f"Could not listen to {topic}: {error}. It takes roles/pubsub.editor in {project} to"
            " make a temporary subscription, and roles/pubsub.subscriber on the topic"
        ) from error
    try:
        yield name
    finally:
        _delete(subscriber, name)


def _delete(subscriber: SubscriberClient, name: str) -> None:
    try:
        subscriber.delete_subscription(subscription=name)
    except (GoogleAPIError, GoogleAuthError) as error:
        # What it was for matters more, and it goes by itself.
        _logger.warning("%s is left, until it expires after a day: %s", name, error)


@contextmanager
def _streaming(
    subscriber: SubscriberClient, subscription: str, topic: str, inbox: Inbox
) -> Iterator[None]:
    def take(message: Any) -> None:
        inbox.put(Heard(topic, message.data, dict(message.attributes)))
        message.ack()

    stream = subscriber.subscribe(subscription, take)
    try:
        yield
    finally:
        stream.cancel()
        try:
            stream.result()
        except (GoogleAPIError, GoogleAuthError) as error:
            raise OperationFailed(f"What listened to {topic} broke off: {error}") from error
