"""How a Pub/Sub message reaches the function: the request's envelope, taken off.

Pub/Sub's wrapped push is the one form that counts in production, since Pub/Sub itself writes its
body. The other forms carry their facts in headers, which a publisher could forge; they are for
development.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from promotion import typed

_EVENTARC_TYPE = "google.cloud.pubsub.topic.v1.messagePublished"
_CLOCK_SKEW = timedelta(minutes=5)
_TOPIC_IN_PATH = re.compile(r"projects/[^/]+/topics/[^/?]+")


@dataclass(frozen=True)
class Message:
    """A Pub/Sub message as it was delivered.

    Attributes:
        subscription: The full name of the subscription it came through; "" if unknown.
        topic: The full name of the topic it was published to; "" if unknown.
        attempt: How often it has been delivered, this time included; 0 if not counted.
    """

    data: bytes = field(repr=False)
    attributes: Mapping[str, str]
    message_id: str
    published_at: datetime
    subscription: str = ""
    topic: str = ""
    attempt: int = 0

    def precedes(self, moment: datetime) -> bool:
        """Whether it was published before a moment, by clocks that may be five minutes apart."""
        return moment > self.published_at + _CLOCK_SKEW


class _PushedMessage(msgspec.Struct, rename="camel"):
    message_id: str
    publish_time: Annotated[datetime, Meta(tz=True)]
    data: bytes = b""
    attributes: dict[str, str] = {}


class _Push(msgspec.Struct, rename="camel"):
    message: _PushedMessage
    subscription: str
    delivery_attempt: int = 0


def wrapped_push(path: str, headers: Mapping[str, str], body: bytes) -> Message | None:
    """The message in a wrapped push of Pub/Sub's, or None if the request is something else.

    The body does not name the topic; a push endpoint whose path ends in ``projects/P/topics/T``
    does.
    """
    names = {name.lower() for name in headers}
    if "ce-type" in names or "x-goog-pubsub-message-id" in names:
        return None
    return _unwrapped(path, body)


def development_delivery(path: str, headers: Mapping[str, str], body: bytes) -> Message | None:
    """The message in a wrapped push, Eventarc's form, a push without wrapper or a CloudEvent."""
    lower = {name.lower(): value for name, value in headers.items()}
    if lower.get("ce-type") == _EVENTARC_TYPE:
        return _unwrapped(lower.get("ce-source", ""), body)
    if "x-goog-pubsub-message-id" in lower or _is_cloud_event(lower):
        return Message(
            data=body,
            attributes=_carried_by_headers(lower),
            message_id=lower.get("x-goog-pubsub-message-id", lower.get("ce-id", "")),
            published_at=_moment(lower.get("x-goog-pubsub-publish-time", lower.get("ce-time"))),
            subscription=lower.get("x-goog-pubsub-subscription-name", ""),
        )
    return wrapped_push(path, headers, body)


def _unwrapped(names_topic: str, body: bytes) -> Message | None:
    try:
        push = typed.decode(body, _Push)
    except (ValueError, RecursionError):
        return None
    topic = _TOPIC_IN_PATH.search(names_topic)
    return Message(
        data=push.message.data,
        attributes=push.message.attributes,
        message_id=push.message.message_id,
        published_at=push.message.publish_time,
        subscription=push.subscription,
        topic=topic[0] if topic else "",
        attempt=push.delivery_attempt,
    )


def _is_cloud_event(lower: Mapping[str, str]) -> bool:
    return "ce-specversion" in lower or lower.get("content-type", "").startswith(
        "application/cloudevents+json"
    )


def _carried_by_headers(lower: Mapping[str, str]) -> dict[str, str]:
    """The attributes among the headers; what HTTP itself needs is left out."""
    of_http = {"host", "content-length", "connection", "accept", "accept-encoding", "user-agent"}
    return {
        name: value
        for name, value in lower.items()
        if name not in of_http and not name.startswith("x-goog-pubsub-")
    }


def _moment(text: str | None) -> datetime:
    try:
        moment = typed.convert(text, datetime)
    except msgspec.ValidationError:
        return datetime.now(UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
