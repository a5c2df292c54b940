"""A message sent by somebody who may not changes no verdict: kind by way.

Requests go through the Functions Framework, as they do in a deployment. A kind is a message that
changes the verdict when it comes as it should; that it does is tested too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.sending import (
    MESSAGES,
    Sent,
    Site,
    Sites,
    Way,
    content,
    pushed,
    sites,
    through,
)
from tests.unit.trusting import LONG_AGO, OTHERS_RESULTS, RESULTS, SIGNALS

# The framework computes a default with utcnow, which Python 3.12 and later warn about.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    """A deployment for each name."""
    with sites(tmp_path_factory.mktemp("sites")) as made:
        yield made


def _through_the_other_kinds(site: Site, sent: Sent) -> None:
    site.deliver(content(site, sent), RESULTS if sent.through == SIGNALS else SIGNALS)


def _saying_in_attributes(site: Site, sent: Sent) -> None:
    claims = {
        "subscription": sent.through,
        "x-goog-pubsub-subscription-name": sent.through,
        "ce-source": f"//pubsub.googleapis.com/{sent.through}",
        "googclient_deliveryattempt": "1",
    }
    site.deliver(content(site, sent), OTHERS_RESULTS, claims)


def _saying_in_its_data(site: Site, sent: Sent) -> None:
    said = {**content(site, sent), "subscription": sent.through, "message": {}}
    site.deliver(said, OTHERS_RESULTS)


def _refused(site: Site, data: bytes, headers: Mapping[str, str]) -> None:
    before = len(site.dead_letters.events)
    assert site.promote.post("/", data=data, headers=dict(headers)).status_code == 403
    assert len(site.dead_letters.events) == before


def _push_without_wrapper(site: Site, sent: Sent) -> None:
    headers = {
        "Content-Type": "application/json",
        "X-Goog-Pubsub-Subscription-Name": sent.through,
        "X-Goog-Pubsub-Message-Id": "7",
        "X-Goog-Pubsub-Publish-Time": datetime.now(UTC).isoformat(),
    }
    _refused(site, json.dumps(content(site, sent)).encode(), headers)


def _push_with_headers_that_say_more(site: Site, sent: Sent) -> None:
    headers = {
        "Content-Type": "application/json",
        "X-Goog-Pubsub-Subscription-Name": sent.through,
        "X-Goog-Pubsub-Message-Id": "7",
    }
    push = pushed(content(site, sent), OTHERS_RESULTS)
    _refused(site, json.dumps(push).encode(), headers)


def _binary_cloud_event(site: Site, sent: Sent) -> None:
    headers = {
        "Content-Type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": "7",
        "ce-type": "dev.cdeventsx.promotion-testsuite.reported.0.1.0",
        "ce-source": f"//pubsub.googleapis.com/{sent.through}",
    }
    _refused(site, json.dumps(content(site, sent)).encode(), headers)


def _structured_cloud_event(site: Site, sent: Sent) -> None:
    event = {
        "specversion": "1.0",
        "id": "7",
        "type": "google.cloud.pubsub.topic.v1.messagePublished",
        "source": f"//pubsub.googleapis.com/{sent.through}",
        "data": content(site, sent),
    }
    headers = {"Content-Type": "application/cloudevents+json"}
    _refused(site, json.dumps(event).encode(), headers)


def _eventarcs_form(site: Site, sent: Sent) -> None:
    headers = {
        "Content-Type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": "7",
        "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
        "ce-source": "//pubsub.googleapis.com/projects/p/topics/shop-results",
    }
    push = pushed(content(site, sent), sent.through)
    _refused(site, json.dumps(push).encode(), headers)


def _dated_in_the_future(site: Site, sent: Sent) -> None:
    later = datetime.now(UTC) + timedelta(minutes=6)
    before = len(site.dead_letters.events)
    site.deliver(content(site, sent, at=later), sent.through)
    assert len(site.dead_letters.events) == before + 1


def _of_another_digest(site: Site, sent: Sent) -> None:
    said = sent.content(site.world.place, site.world.other_image.digest, LONG_AGO)
    site.promote.post("/", json=pushed(said, sent.through))


def _of_another_image(site: Site, sent: Sent) -> None:
    world = site.world
    said = sent.content(world.other_place, world.other_image.digest, LONG_AGO)
    site.deliver(said, sent.through)


def _elsewhere(**changes: str) -> Callable[[Site, Sent], None]:
    return lambda site, sent: site.deliver(
        content(site, sent, replace(site.world.place, **changes)), sent.through
    )


def _of_another_pipeline(site: Site, sent: Sent) -> None:
    place = replace(site.world.place, pipeline="other", stage="others-test")
    said = content(site, sent, place)
    site.promote.post("/", json=pushed(said, sent.through))


MESSAGE_WAYS: dict[str, Way] = {
    "through another pipeline's subscription": through(OTHERS_RESULTS),
    "through no subscription": through(""),
    "through one of nearly that name": lambda site, sent: through(f"{sent.through}/")(site, sent),
    "through the subscription of other kinds": _through_the_other_kinds,
    "its attributes name the subscription": _saying_in_attributes,
    "its data names the subscription": _saying_in_its_data,
    "HTTP: push without wrapper": _push_without_wrapper,
    "HTTP: push with headers that say more": _push_with_headers_that_say_more,
    "HTTP: binary CloudEvent": _binary_cloud_event,
    "HTTP: structured CloudEvent": _structured_cloud_event,
    "HTTP: Eventarc's form": _eventarcs_form,
    "dated in the future": _dated_in_the_future,
    "replayed of another digest": _of_another_digest,
    "replayed of another image": _of_another_image,
    "replayed of another stage": _elsewhere(stage="fast-feedback"),
    "replayed of another pipeline": _of_another_pipeline,
}


def _is_possible(kind: str, sent: Sent, way: str) -> bool:
    if way == "replayed of another digest":
        return sent.of_digest
    if way == "replayed of another stage":
        # An image is evaluated from the stage on that it is asked for in.
        return kind != "evaluate"
    return sent.dated or way != "dated in the future"


FORGED_MESSAGES = [
    (kind, way)
    for kind, sent in MESSAGES.items()
    for way in MESSAGE_WAYS
    if _is_possible(kind, sent, way)
]


def state(site: Site) -> tuple[set[tuple[str, str]], object, object]:
    """The verdict, what has come of it, and what it could rest on."""
    return site.world.findings(), site.world.in_prod(), site.world.stated()


@pytest.mark.parametrize(("kind", "way"), FORGED_MESSAGES)
def test_a_forged_message_changes_no_verdict(site: Sites, kind: str, way: str) -> None:
    """Nor is it stated, or lead to a promotion of an image that is ready for one."""
    here = site(f"forged {kind}", kind)
    before = (here.world.before, None, here.world.stated())
    MESSAGE_WAYS[way](here, MESSAGES[kind])
    assert state(here) == before


@pytest.mark.parametrize("kind", MESSAGES)
def test_the_true_message_changes_it(site: Sites, kind: str) -> None:
    """So each forgery above differs from it in its way alone."""
    here = site(f"true {kind}", kind)
    before = state(here)
    here.deliver(content(here, MESSAGES[kind]), MESSAGES[kind].through)
    assert state(here) != before
    assert here.dead_letters.events == []
