"""Signals as they come over the wire: notifications of incidents, and requests to look again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from promotion import messages
from promotion.delivery import Message
from promotion.errors import BadMessage
from promotion.registry.reference import Reference
from promotion.signals import Evaluate, Incident

PUBLISHED = datetime(2026, 1, 31, 12, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64
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
    """By name and digest."""
    image = "gcr.io/acme/prod/shop:1.4.2"
    assert parsed({"evaluate": {"image": image, "digest": DIGEST}}) == Evaluate(
        SUBSCRIPTION, PUBLISHED, Reference.parse(image), parsed_digest()
    )


def parsed_digest() -> Any:
    """The digest that the messages here name."""
    return DIGEST


@pytest.mark.parametrize(
    "which", ["some", {"image": "gcr.io/acme/shop:1"}, {"image": "no", "digest": DIGEST}, {"x": 1}]
)
def test_any_other_request_is_a_bad_message(which: object) -> None:
    """With the reason."""
    with pytest.raises(BadMessage, match="Not a request to evaluate"):
        parsed({"evaluate": which})
