"""Deliveries: which requests carry a message, and what the envelope says about it."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from promotion.delivery import Message, development_delivery, wrapped_push

PUSH: dict[str, Any] = {
    "message": {
        "data": base64.b64encode(b"content").decode(),
        "attributes": {"key": "value"},
        "messageId": "7",
        "message_id": "7",
        "publishTime": "2026-01-31T12:00:00.5Z",
        "publish_time": "2026-01-31T12:00:00.5Z",
    },
    "subscription": "projects/p/subscriptions/s",
}
PUBLISHED = datetime(2026, 1, 31, 12, 0, 0, 500000, tzinfo=UTC)
UNWRAPPED = Message(b"content", {"key": "value"}, "7", PUBLISHED, "projects/p/subscriptions/s")
JSON = {"Content-Type": "application/json"}
FORGED = {
    "Content-Type": "application/json",
    "x-goog-pubsub-message-id": "7",
    "x-goog-pubsub-publish-time": "2026-01-31T12:00:00.5Z",
    "x-goog-pubsub-subscription-name": "projects/p/subscriptions/s",
    "key": "value",
}
CLOUD_EVENT = {
    "ce-id": "7",
    "ce-source": "/ci",
    "ce-type": "t",
    "ce-specversion": "1.0",
    "ce-time": "2026-01-31T12:00:00.5Z",
}


def body(**changes: Any) -> bytes:
    """A wrapped push with some of its parts changed."""
    return json.dumps({**PUSH, **changes}).encode()


def test_a_wrapped_push_is_unwrapped() -> None:
    """Data, attributes, id, time and subscription come from the body, which Pub/Sub writes."""
    assert wrapped_push("/", JSON, body()) == UNWRAPPED


def test_the_number_of_the_attempt_is_read() -> None:
    """deliveryAttempt, which a dead-letter policy brings, is beside the message."""
    message = wrapped_push("/", JSON, body(deliveryAttempt=5))
    assert message is not None
    assert message.attempt == 5


def test_the_push_endpoint_s_path_names_the_topic() -> None:
    """The body lacks the topic; a deployment puts it into the endpoint's path."""
    message = wrapped_push("/projects/p/topics/t", JSON, body())
    assert message is not None
    assert message.topic == "projects/p/topics/t"


def test_a_message_without_data_is_a_message() -> None:
    """Pub/Sub leaves out what is empty."""
    bare = {"messageId": "7", "publishTime": "2026-01-31T12:00:00.5Z"}
    message = wrapped_push("/", JSON, body(message=bare))
    assert message == Message(b"", {}, "7", PUBLISHED, "projects/p/subscriptions/s")


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        (JSON, b""),
        (JSON, b"not JSON"),
        (JSON, b"[]"),
        (JSON, b'{"message": {}}'),
        (
            JSON,
            body(message={"data": "%%%", "messageId": "7", "publishTime": "2026-01-31T12:00:00Z"}),
        ),
        (FORGED, b"content"),
        (FORGED, body()),
        (CLOUD_EVENT, b"content"),
        ({**CLOUD_EVENT, "ce-type": "google.cloud.pubsub.topic.v1.messagePublished"}, body()),
    ],
)
def test_in_production_nothing_else_is_a_delivery(headers: dict[str, str], content: bytes) -> None:
    """What carries its facts in headers, or is no push at all, is not taken."""
    assert wrapped_push("/", headers, content) is None


def test_development_takes_a_wrapped_push() -> None:
    """The production form is taken everywhere."""
    assert development_delivery("/", JSON, body()) == UNWRAPPED


def test_development_takes_eventarc_s_form() -> None:
    """Eventarc puts the push into a CloudEvent whose source names the topic."""
    headers = {
        **CLOUD_EVENT,
        "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
        "ce-source": "//pubsub.googleapis.com/projects/p/topics/t",
    }
    message = development_delivery("/", headers, body())
    assert message is not None
    assert (message.topic, message.data) == ("projects/p/topics/t", b"content")


def test_development_takes_a_push_without_wrapper() -> None:
    """Attributes, id, time and subscription come as headers then."""
    message = development_delivery("/", FORGED, b"content")
    assert message is not None
    assert {**message.attributes}.pop("key") == "value"
    assert (message.data, message.message_id, message.published_at) == (b"content", "7", PUBLISHED)
    assert message.subscription == "projects/p/subscriptions/s"


def test_development_takes_a_cloud_event() -> None:
    """A binary CloudEvent over HTTP counts as a message published at its time."""
    message = development_delivery("/", CLOUD_EVENT, b"content")
    assert message is not None
    assert (message.data, message.message_id, message.published_at) == (b"content", "7", PUBLISHED)
    assert message.attributes["ce-type"] == "t"


def test_development_takes_a_structured_cloud_event() -> None:
    """A structured one is left closed: whoever reads messages opens it."""
    headers = {"Content-Type": "application/cloudevents+json"}
    message = development_delivery("/", headers, b"{}")
    assert message is not None
    assert message.attributes == {"content-type": "application/cloudevents+json"}


def test_development_does_not_take_just_anything() -> None:
    """A request that is in none of these forms is no delivery there either."""
    assert development_delivery("/", JSON, b"{}") is None
