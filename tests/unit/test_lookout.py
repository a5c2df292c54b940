"""What becomes of signals: whom an incident is laid to, and what that does to promotions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from dev.stack import three_stages
from promotion import attribution, configuration, control_log
from promotion.errors import (
    BadMessage,
    EvidenceMissing,
    RegistryUnavailable,
)
from promotion.events import PROMOTED, REVOKED
from promotion.evidence.attested import Evidence
from promotion.evidence.by_hand import Author, PromotionByHand
from promotion.evidence.store import EvidenceStore
from promotion.promoter import Promoter
from promotion.registry import client
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Reference, Repository
from promotion.registry.transport import Request, Response, Transport
from promotion.signals import Evaluate, Incident
from tests.unit.attached import refer
from tests.unit.attesting import flood
from tests.unit.lookouts import CLOSED, INCIDENT, SIGNALS, Look, deploy, taking_signals
from tests.unit.promoting import evidence_store
from tests.unit.shop import PUBLISHED, Shop, codes, kinds


@pytest.fixture
def look(shop: Shop) -> Look:
    """Makes the part that takes signals."""
    return taking_signals(shop)


def of_stage(shop: Shop, stage: str) -> Evidence:
    """What is stated about a stage as a whole."""
    place = control_log.repository_of(Repository(shop.near.host, f"shop/{stage}"))
    pipelines = configuration.parse("promotion.yaml", shop.promotion_yaml)
    return control_log.read(RepositoryClient(place, shop.transport), evidence_store(pipelines))


def test_an_incident_is_laid_to_the_digest_that_ran(shop: Shop, look: Look) -> None:
    """Of two that were deployed one after the other, to the one that ran when it began."""
    older = shop.push(content=b"older", tag="1.0").digest
    newer = shop.push(content=b"newer", tag="1.1").digest
    deploy(shop, older, "1.0", hours=0)
    deploy(shop, newer, "1.1", hours=2)
    look().incident(INCIDENT)
    (alert,) = shop.evidence("fast-feedback", older).alerts
    assert alert.said.is_open
    assert alert.said.incident == "0.abc"
    assert shop.evidence("fast-feedback", newer).alerts == ()


@pytest.mark.parametrize("order", [(INCIDENT, CLOSED), (CLOSED, INCIDENT)])
def test_both_messages_of_an_incident_come_to_one_digest(
    shop: Shop, look: Look, order: tuple[Incident, Incident]
) -> None:
    """In either order, twice, and although another version was deployed in between, late."""
    digest = shop.push(content=b"older", tag="1.0").digest
    newer = shop.push(content=b"newer", tag="1.1").digest
    deploy(shop, digest, "1.0", hours=0)
    look().incident(order[0])
    deploy(shop, newer, "1.1", hours=1)
    for incident in (*order, order[1]):
        look().incident(incident)
    states = {alert.said.is_open for alert in shop.evidence("fast-feedback", digest).alerts}
    assert states == {True, False}
    assert shop.evidence("fast-feedback", newer).alerts == ()


def test_without_a_deployment_the_last_promotion_counts(shop: Shop, look: Look) -> None:
    """Teams that report no deployments have their alerts laid to what came into the stage."""
    digest = shop.push().digest
    shop.handle(shop.result(digest))
    look().incident(replace(INCIDENT, stage="extended-test"))
    assert len(shop.evidence("extended-test", digest).alerts) == 1


def test_a_promotion_by_hand_counts_as_one(shop: Shop, look: Look) -> None:
    """What runs is what came into the stage, whether or not a gate was asked."""
    image = shop.push("extended-test")
    source, there = shop.stage("fast-feedback").repository, shop.stage("extended-test")
    said = PromotionByHand(
        pipeline="shop",
        from_stage="fast-feedback",
        to_stage="extended-test",
        source=Reference(source, "1.0"),
        destination=Reference(there.repository, "1.0"),
        author=Author("ann@acme.example", "google-credentials"),
        decided_at=PUBLISHED,
    )
    pipelines = configuration.parse("promotion.yaml", shop.promotion_yaml)
    evidence_store(pipelines).attach(there, image, said, Evidence())
    look().incident(replace(INCIDENT, stage="extended-test"))
    assert len(shop.evidence("extended-test", image.digest).alerts) == 1


@pytest.mark.parametrize("image", ["shop", "", "../../etc", "Not A Name", control_log.NAME])
def test_an_incident_of_no_image_is_laid_to_its_stage(shop: Shop, look: Look, image: str) -> None:
    """Nothing runs there, or the label is missing or no image's: all of the stage is blocked."""
    for said in (INCIDENT, CLOSED):
        look().incident(replace(said, image=image))
    alerts = of_stage(shop, "fast-feedback").alerts
    assert {each.said.subject for each in alerts} == {f"{shop.near.host}/shop/fast-feedback"}
    assert {each.said.is_open for each in alerts} == {True, False}
    assert of_stage(shop, "extended-test").alerts == ()


def test_an_incident_ends_where_it_was_opened(shop: Shop, look: Look) -> None:
    """What runs was not known when it was opened: the stage is not blocked for ever by that."""
    digest = shop.push().digest
    look().incident(INCIDENT)
    deploy(shop, digest, "1.0", hours=-1)
    look().incident(CLOSED)
    assert {each.said.is_open for each in of_stage(shop, "fast-feedback").alerts} == {True, False}


def test_an_incident_that_ended_of_a_stage_holds_up_no_image_further_on(
    shop: Shop, look: Look
) -> None:
    """Its messages came in the other order, and between them it was told what runs there."""
    gate = "suites: [functional]"
    shop.written = shop.promotion_yaml.replace(gate, f"{gate}\n          alerts: none")
    digest = shop.push().digest
    look().incident(CLOSED)
    deploy(shop, digest, "1.0", hours=0)
    look().incident(INCIDENT)
    assert kinds(shop.handle(shop.result(digest))) == [PROMOTED]
    extended = shop.result(digest, "extended-test", "extended")
    assert kinds(shop.handle(extended)) == [PROMOTED]


def test_an_alert_that_is_not_listed_yet_is_waited_for(
    shop: Shop, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is decided without what it is decided upon."""
    digest = shop.push().digest
    deploy(shop, digest, "1.0", hours=0)
    hidden = EvidenceStore.read

    def read(store: EvidenceStore, *about: Any) -> Evidence:
        return msgspec.structs.replace(hidden(store, *about), alerts=())

    monkeypatch.setattr(EvidenceStore, "read", read)
    with pytest.raises(EvidenceMissing):
        look().incident(INCIDENT)


def test_without_labels_every_stage_that_asks_for_no_alerts_is_blocked(
    shop: Shop, look: Look
) -> None:
    """The degraded form of a notification fails safe."""
    shop.written = shop.promotion_yaml.replace(
        "[functional]", "[functional]\n          alerts: none"
    )
    look().incident(replace(INCIDENT, pipeline="", stage="", image=""))
    assert len(of_stage(shop, "fast-feedback").alerts) == 1
    assert of_stage(shop, "extended-test").alerts == ()


def test_an_incident_of_no_pipeline_here_is_nobody_s(shop: Shop, look: Look) -> None:
    """Another deployment's alerts may come through the same channel."""
    look().incident(replace(INCIDENT, pipeline="other"))
    assert of_stage(shop, "fast-feedback") == Evidence()


def test_signals_count_only_through_their_subscription(shop: Shop, look: Look) -> None:
    """Who may report results may not say what is well or ill."""
    digest = shop.push().digest
    deploy(shop, digest, "1.0", hours=0)
    for subscription in ("", "projects/p/subscriptions/shop-results"):
        with pytest.raises(BadMessage, match="Signals count only if they come through"):
            look().incident(replace(INCIDENT, subscription=subscription))
        with pytest.raises(BadMessage, match="Signals count only if they come through"):
            look().evaluate(Evaluate(subscription, PUBLISHED))
    assert shop.evidence("fast-feedback", digest).alerts == ()


def test_without_a_subscription_for_them_no_signals_are_taken(shop: Shop, look: Look) -> None:
    """Nothing could tell who sent them."""
    shop.written = three_stages(shop.near.host, shop.far.host)
    with pytest.raises(BadMessage, match="names no subscription"):
        look().incident(INCIDENT)


def test_an_alert_after_the_promotion_revokes_it_once(shop: Shop, look: Look) -> None:
    """If the gate that the image has passed asks for none: the event names how far it has come.

    When it is closed, the image goes on from there, and waits for no other message.
    """
    gate = "suites: [functional]"
    shop.written = shop.promotion_yaml.replace(gate, f"{gate}\n          alerts: none")
    digest = shop.push().digest
    deploy(shop, digest, "1.0", hours=0)
    assert kinds(shop.handle(shop.result(digest))) == [PROMOTED]
    before = len(shop.topic.events)
    for _ in range(2):
        look().incident(INCIDENT)
    (event,) = shop.topic.events[before:]
    assert event.attributes["ce-type"] == REVOKED
    assert json.loads(event.data)["stages"] == ["extended-test"]
    assert codes(event) == ["alert-open"]
    late = shop.handle(shop.result(digest, "extended-test", "extended"))
    assert PROMOTED not in kinds(late)
    before = len(shop.topic.events)
    look().incident(CLOSED)
    assert kinds(shop.topic.events[before:]) == [PROMOTED]
    assert shop.stage("prod").resolve("1.0") == digest


def refer_beyond_limit(shop: Shop, image: Manifest, patch: pytest.MonkeyPatch) -> None:
    """Let more refer to it than is ever listed."""
    for number in range(10):
        refer(shop.stage("fast-feedback"), image, b"%d" % number)
    patch.setattr(client, "MOST_REFERRERS", 9)


def flood_with_statements(shop: Shop, image: Manifest, _: pytest.MonkeyPatch) -> None:
    """Attach more statements than are ever read."""
    flood(shop.stage("fast-feedback"), image)


def test_an_incident_is_looked_for_among_the_highest_versions(
    shop: Shop, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs is rarely far behind; where it is, the stage as a whole is blocked."""
    digest = shop.push(content=b"older", tag="1.0").digest
    shop.push(content=b"newer", tag="1.1")
    deploy(shop, digest, "1.0", hours=0)
    with monkeypatch.context() as limited:
        limited.setattr(attribution, "MOST", 1)
        look().incident(INCIDENT)
    assert shop.evidence("fast-feedback", digest).alerts == ()
    assert len(of_stage(shop, "fast-feedback").alerts) == 1
    look().incident(replace(INCIDENT, incident="0.def"))
    assert len(shop.evidence("fast-feedback", digest).alerts) == 1


@pytest.mark.parametrize("overdo", [flood_with_statements, refer_beyond_limit])
def test_an_incident_is_not_laid_to_another_image_than_the_one_that_cannot_be_read(
    shop: Shop, look: Look, monkeypatch: pytest.MonkeyPatch, overdo: Callable[..., None]
) -> None:
    """It may be the one that ran: the stage as a whole is blocked."""
    older = shop.push(content=b"older", tag="1.0").digest
    newer = shop.push(content=b"newer", tag="1.1")
    deploy(shop, older, "1.0", hours=-1)
    deploy(shop, newer.digest, "1.1", hours=0)
    overdo(shop, newer, monkeypatch)
    look().incident(INCIDENT)
    assert shop.evidence("fast-feedback", older).alerts == ()
    (alert,) = of_stage(shop, "fast-feedback").alerts
    assert alert.said.is_open


@pytest.mark.parametrize("overdo", [flood_with_statements, refer_beyond_limit])
def test_an_incident_is_closed_where_it_was_opened(
    shop: Shop, look: Look, monkeypatch: pytest.MonkeyPatch, overdo: Callable[..., None]
) -> None:
    """Although a version above that one cannot be read by then."""
    older = shop.push(content=b"older", tag="1.0").digest
    deploy(shop, older, "1.0", hours=0)
    look().incident(INCIDENT)
    overdo(shop, shop.push(content=b"newer", tag="1.1"), monkeypatch)
    look().incident(CLOSED)
    states = {alert.said.is_open for alert in shop.evidence("fast-feedback", older).alerts}
    assert states == {True, False}


def test_an_incident_of_no_image_takes_no_promotion_back(shop: Shop, look: Look) -> None:
    """Which of the images that have passed the stage it would be is not known."""
    gate = "suites: [functional]"
    shop.written = shop.promotion_yaml.replace(gate, f"{gate}\n          alerts: none")
    digest = shop.push().digest
    assert kinds(shop.handle(shop.result(digest))) == [PROMOTED]
    look().incident(replace(INCIDENT, image=""))
    later = PUBLISHED + timedelta(hours=3)
    assert shop.handle(replace(shop.result(digest), finished_at=later)) == []


def test_an_incident_is_stated_of_every_stage(
    shop: Shop, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where what it does to an image of one of them cannot be found out at this moment."""
    for suites in ("[functional]", "[extended]"):
        shop.written = shop.promotion_yaml.replace(suites, f"{suites}\n          alerts: none")
    digest = shop.push().digest
    deploy(shop, digest, "1.0", hours=0)

    def fail(*_: object) -> None:
        raise RegistryUnavailable("down")

    with monkeypatch.context() as patch:
        patch.setattr(Promoter, "look_again", fail)
        with pytest.raises(RegistryUnavailable):
            look().incident(replace(INCIDENT, stage=""))
    assert len(shop.evidence("fast-feedback", digest).alerts) == 1
    assert len(of_stage(shop, "extended-test").alerts) == 1


def test_a_label_that_is_the_name_of_no_stage(shop: Shop, look: Look) -> None:
    """Then the incident may concern any stage that asks for no alerts, as if there were none."""
    shop.written = shop.promotion_yaml.replace("[extended]", "[extended]\n          alerts: none")
    look().incident(replace(INCIDENT, stage="fast-feedbak"))
    assert len(of_stage(shop, "extended-test").alerts) == 1
    assert of_stage(shop, "fast-feedback").alerts == ()


@pytest.mark.parametrize("signal", [INCIDENT, Evaluate(SIGNALS, PUBLISHED)], ids=["alert", "all"])
def test_no_request_for_a_signal_goes_on_for_ever(
    shop: Shop, look: Look, signal: Incident | Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has the deadline of the attempt."""
    digest = shop.push().digest
    deploy(shop, digest, "1.0", hours=0)
    deadlines: list[float] = []
    send = Transport.send

    def noted(transport: Transport, request: Request, *more: Any) -> Response:
        deadlines.append(request.deadline.left)
        return send(transport, request, *more)

    monkeypatch.setattr(Transport, "send", noted)
    lookout = look()
    lookout.incident(signal) if isinstance(signal, Incident) else lookout.evaluate(signal)
    assert deadlines
    assert max(deadlines) <= 540
