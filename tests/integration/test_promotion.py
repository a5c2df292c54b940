"""Test results on the topic carry a real image from stage to stage, and events tell of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from dev import images
from tests.integration.busybox import KINDS, Busybox, contents, raw_manifest
from tests.integration.shop import EXTENDED_TEST, FAST_FEEDBACK, PROD, VERSION, Shop

CLOUD_EVENT = {"specversion": "1.0", "id": "1", "source": "/ci", "type": "tested"}
STRUCTURED = "application/cloudevents+json"


@pytest.mark.parametrize("kind", KINDS)
def test_image_goes_from_stage_to_stage(
    shop: Shop, busybox: Busybox, kind: str, tmp_path: Path
) -> None:
    """Every manifest and blob arrives as it was: mounted in one registry, streamed into another."""
    tested = busybox.push(shop.image(FAST_FEEDBACK), kind)

    shop.publish(shop.result(tested))
    first = shop.events.next()
    shop.publish(shop.result(tested, image=shop.image(EXTENDED_TEST), suite="extended"))
    second = shop.events.next()

    assert (first.attributes["to_stage"], second.attributes["to_stage"]) == (EXTENDED_TEST, PROD)
    assert first.attributes["ce-id"] != second.attributes["ce-id"]
    manifest = shop.repository(FAST_FEEDBACK).manifest(tested)
    pushed = contents(shop.image(FAST_FEEDBACK), tmp_path / FAST_FEEDBACK)
    for stage in (EXTENDED_TEST, PROD):
        assert shop.repository(stage).manifest(VERSION) == manifest
        assert raw_manifest(shop.image(stage)) == pushed["manifest.json"]
        assert contents(shop.image(stage), tmp_path / stage) == pushed
    assert " blobs_copied=0 " in shop.logged(f"copied to {shop.image(EXTENDED_TEST)}")
    assert " blobs_mounted=0 " in shop.logged(f"copied to {shop.image(PROD)}")


def test_promoted_event(shop: Shop, busybox: Busybox) -> None:
    """The event says what went where and why, in its data and for the filters of subscriptions."""
    digest = busybox.push(shop.image(FAST_FEEDBACK))
    run, moment = "https://ci.example/run/7", "2026-01-31T12:00:00Z"
    shop.publish(shop.result(digest, url=run, finished_at="2026-01-31T13:00:00+01:00"))

    event = shop.events.next()

    destination = shop.image(EXTENDED_TEST)
    place = destination.removesuffix(":1.0.0").replace("/", "%2F")
    data = json.loads(event.data)
    (record,) = shop.evidence(EXTENDED_TEST, digest).records
    assert data == {
        "source": f"{shop.image(FAST_FEEDBACK)}@{digest}",
        "destination": f"{destination}@{digest}",
        "digest": digest,
        "from_stage": FAST_FEEDBACK,
        "to_stage": EXTENDED_TEST,
        "findings": [
            {
                "code": "suite-succeeded",
                "message": f"suite functional succeeded at {moment}",
                "url": run,
            }
        ],
        "evidence": record.said.evidence,
        "timestamp": data["timestamp"],
    }
    identity = UUID(event.attributes.pop("ce-id"))
    assert identity.version == 5
    assert event.attributes == {
        "ce-specversion": "1.0",
        "ce-type": "dev.cdeventsx.promotion-artifact.promoted.0.1.0",
        "ce-source": "/promotion/shop",
        "ce-subject": f"pkg:oci/{shop.name}@{digest}?repository_url={place}&tag=1.0.0",
        "ce-time": data["timestamp"],
        "content-type": "application/json",
        "pipeline": "shop",
        "image": shop.name,
        "version": "1.0.0",
        "from_stage": FAST_FEEDBACK,
        "to_stage": EXTENDED_TEST,
        "verdict": "PROMOTE",
    }


def test_versions_side_by_side(shop: Shop) -> None:
    """Versions that share layers do not get into each other's way when they go on together."""
    tested = shop.repository(FAST_FEEDBACK)
    shared = [images.layer({f"base-{number}": b"shared"}) for number in range(4)]
    digests = {}
    # Of one line each: a version that comes after a newer one of its own line is superseded.
    for version in ("1.0.0", "1.1.0", "1.2.0", "1.10.0", "2.0.0", "2.1.0"):
        own = images.layer({"version": version.encode()})
        digests[version] = images.push_image(tested, [*shared, own], version).digest

    for version, digest in digests.items():
        shop.publish(shop.result(digest, image=f"{tested.repository}:{version}"))
    events = [shop.events.next() for _ in digests]

    assert {
        event.attributes["version"]: event.attributes["verdict"] for event in events
    } == dict.fromkeys(digests, "PROMOTE")
    assert {v: shop.repository(EXTENDED_TEST).resolve(v) for v in digests} == digests
    assert shop.dead_letters.rest() == []


def as_cdevent(result: Mapping[str, str]) -> dict[str, Any]:
    """The same result, as a CDEvents testsuiterun.finished."""
    return {
        "context": {
            "specversion": "0.5.0",
            "id": "271069a8-fc18-44f1-b38f-9d70a1695819",
            "source": "/ci",
            "type": "dev.cdevents.testsuiterun.finished.0.3.0",
            "timestamp": datetime.now(UTC).isoformat(),
        },
        "subject": {
            "id": "run/7",
            "source": "/ci",
            "type": "testSuiteRun",
            "content": {
                "environment": {"id": "ci"},
                "outcome": result["outcome"],
                "testSuite": {"id": result["suite"]},
            },
        },
        "customData": {"image": result["image"], "digest": result["digest"]},
    }


@pytest.mark.parametrize("form", [dict, as_cdevent])
@pytest.mark.parametrize("binding", ["none", "binary", "structured"])
def test_forms_of_a_result(
    shop: Shop,
    busybox: Busybox,
    form: Callable[[Mapping[str, str]], dict[str, Any]],
    binding: str,
) -> None:
    """A result counts in the plain form and as a CDEvent, bare or in a CloudEvent of any mode."""
    content = form(shop.result(busybox.push(shop.image(FAST_FEEDBACK))))
    match binding:
        case "none":
            shop.publish(content)
        case "binary":
            shop.publish(content, {f"ce-{name}": value for name, value in CLOUD_EVENT.items()})
        case "structured":
            shop.publish({**CLOUD_EVENT, "data": content}, {"Content-Type": STRUCTURED})
    assert shop.events.next().attributes["verdict"] == "PROMOTE"
