"""Signals as they come over the wire: notifications of incidents, and requests to look again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from promotion import messages
from promotion.delivery import Message
from promotion.errors import BadMessage
from promotion.registry.reference import Digest, Reference
from promotion.signals import Evaluate, Incident

PUBLISHED = datetime(2026, 1, 31, 12, tzinfo=UTC)
DIGEST = Digest("sha256:" + "a" * 64)
IMAGE = "gcr.io/acme/prod/shop:1.4.2"
SUBSCRIPTION = "projects/p/subscriptions/signals"
OPEN: dict[str, Any] = {
    "version": "1.2",
    "incident": {
        "incident_id": "0.abc",
        "scoping_project_id": "acme",
        "url": "https://console.example/incident",
        "state": "open",
        "started_at": int((PUBLISHED - timedelta(minutes=5)).timestamp()),
        "ended_at": None,
        "policy_name": "shop answers too slowly",
        "policy_user_labels": {"pipeline": "shop", "stage": "prod", "image": "shop", "team": "x"},
        "condition": {"name": "projects/acme/alertPolicies/1/conditions/2"},
        "summary": "latency is above 1 s",
    },
}


def parsed(content: object) -> object:
    """What a message with this content says."""
    data = json.dumps(content).encode()
    return messages.parse(Message(data, {}, "1", PUBLISHED, SUBSCRIPTION))


def test_an_open_incident_is_read() -> None:
    """With what it is about, when it began, and the link for people."""
    assert parsed(OPEN) == Incident(
        published_at=PUBLISHED,
        incident="0.abc",
        started_at=PUBLISHED - timedelta(minutes=5),
        ended_at=None,
        subscription=SUBSCRIPTION,
        pipeline="shop",
        stage="prod",
        image="shop",
        policy="shop answers too slowly",
        summary="latency is above 1 s",
        url="https://console.example/incident",
    )


@pytest.mark.parametrize(
    ("field", "said"), [("summary", "summary"), ("url", "url"), ("policy_name", "policy")]
)
def test_what_is_for_people_alone_is_cut(field: str, said: str) -> None:
    """A statement has to hold it."""
    incident = parsed({"incident": {**OPEN["incident"], field: "x" * 3_000}})
    assert getattr(incident, said) == "x" * 2_000


@pytest.mark.parametrize(
    ("ended_at", "expected"),
    [
        (int((PUBLISHED - timedelta(minutes=1)).timestamp()), PUBLISHED - timedelta(minutes=1)),
        (None, PUBLISHED),
    ],
)
def test_the_state_tells_whether_it_is_closed(ended_at: int | None, expected: datetime) -> None:
    """The moment is not always there; then it was closed when that was published."""
    incident = {**OPEN["incident"], "state": "closed", "ended_at": ended_at}
    read = parsed({**OPEN, "incident": incident})
    assert isinstance(read, Incident)
    assert not read.is_open
    assert read.ended_at == expected


def test_the_degraded_form_has_no_labels() -> None:
    """Schema 1.1 says neither of which pipeline nor of which stage it is."""
    kept = ("incident_id", "state", "started_at", "ended_at", "policy_name", "summary", "url")
    incident = {key: OPEN["incident"][key] for key in kept}
    read = parsed({"version": "1.1", "errors": [{}], "incident": incident})
    assert isinstance(read, Incident)
    assert (read.pipeline, read.stage, read.image) == ("", "", "")


@pytest.mark.parametrize(
    "change",
    [
        {"state": "half"},
        {"incident_id": ""},
        {"started_at": "yesterday"},
        {"started_at": 1e30},
        {"policy_user_labels": {"pipeline": 7}},
        {"started_at": (PUBLISHED + timedelta(minutes=6)).timestamp()},
        {"state": "closed", "ended_at": (PUBLISHED + timedelta(minutes=6)).timestamp()},
    ],
)
def test_what_is_no_notification_is_a_bad_message(change: dict[str, Any]) -> None:
    """With the reason."""
    with pytest.raises(BadMessage, match="Not a notification of an incident"):
        parsed({"incident": {**OPEN["incident"], **change}})


def test_all_that_wait_can_be_asked_for() -> None:
    """Of all pipelines, or of one."""
    assert parsed({"evaluate": "all"}) == Evaluate(SUBSCRIPTION, PUBLISHED)
    assert parsed({"evaluate": {"pipeline": "shop"}}) == Evaluate(
        SUBSCRIPTION, PUBLISHED, pipeline="shop"
    )


def test_one_image_can_be_asked_for() -> None:
    """By name and digest, as a version writes it that names no statement."""
    assert parsed({"evaluate": {"image": IMAGE, "digest": DIGEST}}) == Evaluate(
        SUBSCRIPTION, PUBLISHED, Reference.parse(IMAGE), DIGEST
    )


def test_an_image_is_known_by_its_tag() -> None:
    """Its name may have the digest too, and no record of it does: it is not looked for by that."""
    read = parsed({"evaluate": {"image": f"{IMAGE}@{DIGEST}", "digest": DIGEST}})
    assert read == parsed({"evaluate": {"image": IMAGE, "digest": DIGEST}})


@pytest.mark.parametrize("statement", [None, Digest("sha256:" + "b" * 64)])
def test_what_asks_for_an_image_is_read_as_it_was_meant(statement: Digest | None) -> None:
    """With the statement that the image is to be judged upon, if there is one."""
    asked = messages.evaluation(Reference.parse(IMAGE), DIGEST, statement)
    assert parsed(json.loads(asked.data)) == Evaluate(
        SUBSCRIPTION, PUBLISHED, Reference.parse(IMAGE), DIGEST, statement=statement
    )


def test_an_older_version_can_read_what_names_a_statement() -> None:
    """It refuses a field of the request that it does not know, and ignores one beside it."""
    asked = messages.evaluation(Reference.parse(IMAGE), DIGEST, Digest("sha256:" + "b" * 64))
    assert set(json.loads(asked.data)["evaluate"]) == {"image", "digest"}


@pytest.mark.parametrize("statement", ["latest", "sha256:b", 7, None])
def test_a_statement_is_named_by_a_digest(statement: object) -> None:
    """Anything else is a bad message."""
    with pytest.raises(BadMessage, match="Not a request to evaluate"):
        parsed({"evaluate": {"image": IMAGE, "digest": DIGEST}, "statement": statement})


@pytest.mark.parametrize(
    "which",
    [
        "some",
        {"image": "gcr.io/acme/shop:1"},
        {"image": "no", "digest": DIGEST},
        {"image": IMAGE, "digest": "sha512:" + "a" * 128},
        {"image": f"{IMAGE}@sha256:{'b' * 64}", "digest": DIGEST},
        {"x": 1},
    ],
)
def test_any_other_request_is_a_bad_message(which: object) -> None:
    """With the reason."""
    with pytest.raises(BadMessage, match="Not a request to evaluate"):
        parsed({"evaluate": which})
