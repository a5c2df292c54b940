"""What is sent to the functions: messages, and whom and what they name; decisions, and whose."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from urllib3 import HTTPHeaderDict

from dev.stack import three_stages
from promotion import configuration, decision, delivery, events, messages
from promotion.delivery import Message
from promotion.errors import PromotionError
from promotion.identity import GoogleToken
from promotion.publisher import LoggedTopic
from promotion.registry.fetch import Answer
from promotion.registry.reference import Reference, parse_digest
from tests.fuzz.inputs import DIGEST, damaged, documents, header_values, phrases
from tests.fuzz.registry import HOST
from tests.fuzz.target import Target
from tests.unit.google_tokens import AUDIENCE, certificates, claims, token

PUBLISHED = datetime(2026, 1, 31, 12, tzinfo=UTC)
IMAGE = f"{HOST}/shop/fast-feedback/shop:1.0"
PIPELINES = configuration.parse("promotion.yaml", three_stages(HOST))
LOG = LoggedTopic()


RESULT: dict[str, Any] = {
    "image": IMAGE,
    "digest": DIGEST,
    "suite": "functional",
    "outcome": "success",
}
CUSTOM = {"image": IMAGE, "digest": DIGEST, "ref": "refs/heads/main"}
FINISHED: dict[str, Any] = {
    "context": {
        "type": "dev.cdevents.testsuiterun.finished.0.2.0",
        "timestamp": "2026-01-31T12:00:00Z",
    },
    "subject": {"content": {"outcome": "success", "testSuite": {"id": "functional"}}},
    "customData": CUSTOM,
}
INCIDENT = {
    "incident": {
        "incident_id": "0.1",
        "state": "closed",
        "started_at": 1769860800,
        "ended_at": 1769860900,
        "policy_user_labels": {"pipeline": "shop", "stage": "prod", "image": "shop"},
    }
}
STRUCTURED = {"specversion": "1.0", "id": "1", "source": "/ci", "type": "t", "data": RESULT}
MESSAGES = documents(
    RESULT,
    {**RESULT, "finished_at": "2026-01-31T12:00:00Z", "url": "https://ci.example/1"},
    {"image": IMAGE, "digest": DIGEST, "deployed_at": "2026-01-31T12:00:00+01:00"},
    FINISHED,
    {**FINISHED, "context": {**FINISHED["context"], "type": "dev.cdevents.service.deployed.0.2.0"}},
    INCIDENT,
    {"evaluate": {"image": IMAGE, "digest": DIGEST, "pipeline": "shop"}},
    {"evaluate": "all"},
    STRUCTURED,
    {**STRUCTURED, "data_base64": "e30=", "datacontenttype": "application/json"},
)
ATTRIBUTES: SearchStrategy[Mapping[str, str]] = st.sampled_from(
    [{}, {"content-type": "application/cloudevents+json"}, {"Content-Type": "application/json"}]
) | st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3)


def parse_message(given: tuple[bytes, Mapping[str, str]]) -> None:
    """A message is read, and its image looked for among the stages; or it can be put aside."""
    data, attributes = given
    message = Message(data, attributes, "1", PUBLISHED)
    try:
        said = messages.parse(message)
        image = getattr(said, "image", None)
        if isinstance(image, Reference):
            PIPELINES.find(image)
    except PromotionError as error:
        letter = events.dead_letter(message, str(error), "permanent")
        assert len(letter.attributes["promotion-dlq-reason"].encode()) <= 1024
        LOG.publish(letter)


PUSH = {
    "message": {
        "data": base64.b64encode(json.dumps(RESULT).encode()).decode(),
        "attributes": {"key": "value"},
        "messageId": "7",
        "publishTime": "2026-01-31T12:00:00.5Z",
    },
    "subscription": "projects/p/subscriptions/s",
    "deliveryAttempt": 1,
}
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "Content-Type",
            "ce-type",
            "ce-specversion",
            "ce-time",
            "ce-source",
            "x-goog-pubsub-message-id",
            "x-goog-pubsub-publish-time",
        ]
    ),
    header_values(
        "application/cloudevents+json", "1.0", "google.cloud.pubsub.topic.v1.messagePublished"
    ),
)


def take_push(given: tuple[str, Mapping[str, str], bytes]) -> None:
    """A request is taken as a push, in production and in development, and its message is read."""
    for take in (delivery.wrapped_push, delivery.development_delivery):
        message = take(*given)
        if message:
            parse_message((message.data, message.attributes))


PUSHES = st.tuples(st.text(max_size=20), HEADERS, documents(PUSH) | MESSAGES)


REFERENCES = phrases(
    HOST, "127.0.0.1:5000", "[::1]", "localhost", "/shop", ":1.0", "@", DIGEST, "sha512:", "..",
    "//", "%2e", "\u0430", "_", "__", "-", "a" * 99, "\n", ":", "xn--",
)  # fmt: skip


def read_reference(text: str) -> None:
    """A reference is one that prints as it was written, or none."""
    with suppress(PromotionError):
        assert str(Reference.parse(text)) == text
    with suppress(PromotionError):
        parse_digest(text)


DECISIONS = documents(
    {"action": "approve", "image": IMAGE, "reason": "x", "expires_in": "4h"},
    {"action": "hold", "pipeline": "shop", "stage": "prod", "reason": "x"},
    {"action": "override", "image": IMAGE, "reason": "x", "gates": ["soak"]},
)


def decide(body: bytes) -> None:
    """A person's decision is one, or it is said what is wrong with it."""
    with suppress(PromotionError):
        decision.parse(body).expiry(PUBLISHED)


CERTIFICATES = certificates()
SIGNED_BY_GOOGLE = token()


def _certificates(
    method: str,  # noqa: ARG001
    url: str,  # noqa: ARG001
    headers: Mapping[str, str],  # noqa: ARG001
    body: bytes | None,  # noqa: ARG001
) -> Answer:
    return Answer(200, HTTPHeaderDict(CERTIFICATES.headers), CERTIFICATES.content)


VERIFIER = GoogleToken(_certificates, [AUDIENCE])


def identify(authorization: str) -> None:
    """Whoever shows a token is who Google says, or nobody."""
    with suppress(PromotionError):
        assert VERIFIER.author({"Authorization": authorization}, "") == claims()["email"]


def _part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


TOKENS = st.builds(
    lambda head, said, rest: f"Bearer {_part(head)}.{_part(said)}.{rest}",
    damaged([{"alg": "RS256", "kid": "key-1", "typ": "JWT"}]),
    damaged([claims()]),
    st.sampled_from([SIGNED_BY_GOOGLE.rpartition(".")[2], "", "x", "===", "a.b"]),
)


TARGETS = (
    Target("messages", st.tuples(MESSAGES, ATTRIBUTES), parse_message),
    Target("pushes", PUSHES, take_push),
    Target("references", REFERENCES, read_reference),
    Target("decisions", DECISIONS, decide),
    Target("identity tokens", TOKENS | header_values("Bearer ", ".", SIGNED_BY_GOOGLE), identify),
)
