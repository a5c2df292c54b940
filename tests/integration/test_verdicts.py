"""What does not qualify stays where it is, and an event says why where somebody has to act."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dev.pubsub import Received
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Digest
from tests.integration.busybox import Busybox
from tests.integration.shop import EXTENDED_TEST, FAST_FEEDBACK, PROD, VERSION, Shop

ABSENT = "sha256:" + "0" * 64


def findings(event: Received) -> dict[str, str]:
    """The messages of an event's findings, by their codes."""
    data: dict[str, Any] = json.loads(event.data)
    return {finding["code"]: finding["message"] for finding in data["findings"]}


def is_empty(repository: RepositoryClient, *digests: str) -> bool:
    """Whether a repository has neither the version nor any of these manifests."""
    return repository.resolve(VERSION) is None and not any(
        repository.has_manifest(Digest(digest)) for digest in digests
    )


def test_taken_version(shop: Shop, busybox: Busybox) -> None:
    """A version that names other content at the destination is denied and stays what it was."""
    tested = busybox.push(shop.image(FAST_FEEDBACK))
    taken = busybox.push(shop.image(EXTENDED_TEST), "OCI index")

    shop.publish(shop.result(tested))

    event = shop.events.next()
    assert event.attributes["ce-type"].endswith(".denied.0.1.0")
    conflict = findings(event)["tag-conflict"]
    assert tested in conflict
    assert taken in conflict
    assert shop.digest(EXTENDED_TEST) == taken


def test_moved_tag(shop: Shop, busybox: Busybox) -> None:
    """A tag that names another digest than the tested one is denied, and nothing is copied."""
    tested = busybox.push(shop.image(FAST_FEEDBACK))
    moved_to = busybox.push(shop.image(FAST_FEEDBACK), "OCI index")

    shop.publish(shop.result(tested))

    moved = findings(shop.events.next())["tag-moved"]
    assert "the tag moved after the test" in moved
    assert moved_to in moved
    assert is_empty(shop.repository(EXTENDED_TEST), tested, moved_to)


def test_failed_suite(shop: Shop, busybox: Busybox) -> None:
    """A failure is denied with a link to the run, by one event however often it comes."""
    digest = busybox.push(shop.image(FAST_FEEDBACK))
    run = "https://ci.example/run/7"
    failure = shop.result(digest, outcome="failure", url=run, finished_at="2026-01-31T12:00:00Z")

    for _ in range(2):
        assert shop.push(failure) == 200
    (event,) = shop.events.rest()

    assert event.attributes["verdict"] == "DENY"
    assert event.attributes["ce-subject"].startswith(f"pkg:oci/{shop.name}@{digest}?")
    said = "suite functional failed at 2026-01-31T12:00:00Z; a newer success lifts this"
    assert json.loads(event.data)["findings"] == [
        {"code": "suite-failed", "message": said, "url": run}
    ]
    assert is_empty(shop.repository(EXTENDED_TEST), digest)


@pytest.mark.parametrize(
    ("stage", "fields", "said"),
    [
        (FAST_FEEDBACK, {"suite": "lint"}, "recorded: no gate asks for lint in fast-feedback"),
        (FAST_FEEDBACK, {"outcome": "cancel"}, "the suite ended with cancel; run it again"),
        (FAST_FEEDBACK, {"outcome": "error"}, "the suite ended with error; run it again"),
        (PROD, {}, "recorded: no gate asks for functional in prod"),
    ],
    ids=["suite that no gate names", "cancelled", "broken", "last stage"],
)
def test_result_without_effect(
    shop: Shop, busybox: Busybox, stage: str, fields: dict[str, str], said: str
) -> None:
    """A result that decides nothing is acknowledged and logged, without an event."""
    digest = busybox.push(shop.image(stage))
    assert shop.push(shop.result(digest, **{"image": shop.image(stage), **fields})) == 200
    assert said in shop.logged(shop.image(stage))
    assert shop.events.rest() == []
    assert is_empty(shop.repository(EXTENDED_TEST), digest)


def test_image_that_comes_late(shop: Shop, busybox: Busybox) -> None:
    """A result that overtakes its image is delivered again, until the image is there."""
    digest = busybox.push(shop.image(PROD))  # for its digest, which is the same everywhere
    shop.publish(shop.result(digest))
    shop.logged(f"to be delivered again: {shop.image(FAST_FEEDBACK)}@{digest} is not there")
    busybox.push(shop.image(FAST_FEEDBACK))
    assert shop.events.next().attributes["verdict"] == "PROMOTE"
    assert shop.digest(EXTENDED_TEST) == digest


def test_image_that_never_comes(shop: Shop) -> None:
    """A result whose image is not there is denied once it has waited for 10 minutes."""
    result = shop.result(ABSENT)
    assert shop.push(result) == 503
    long_ago = datetime.now(UTC) - timedelta(minutes=10)
    assert shop.push(result, publishTime=long_ago.isoformat()) == 200
    assert "push the image before" in findings(shop.events.next())["not-at-source"]
