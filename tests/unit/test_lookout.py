"""What becomes of signals: whom an incident is laid to, and who is looked at again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from dev import images
from dev.stack import three_stages
from promotion import attribution, configuration, control_log, messages
from promotion.artifact_registry import artifact_registry
from promotion.delivery import Message
from promotion.errors import (
    BadMessage,
    EvidenceMissing,
    NotFound,
    PublishFailed,
    RegistryUnavailable,
)
from promotion.events import PROMOTED, REVOKED, Event
from promotion.evidence.attested import Evidence
from promotion.evidence.by_hand import Author, PromotionByHand
from promotion.evidence.store import EvidenceStore
from promotion.inventory import RegistryInventory
from promotion.lookout import Lookout
from promotion.messages import Deployed
from promotion.promoter import Promoter
from promotion.registry import client
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Digest, Reference, Repository, digest_of
from promotion.registry.transport import Request, Response, Transport
from promotion.signals import Evaluate, Incident
from tests.topics import RecordedTopic
from tests.unit.attached import refer
from tests.unit.attesting import attach, bundle, flood
from tests.unit.promoting import NoNetwork, evidence_store, promoter
from tests.unit.shop import PUBLISHED, Shop, codes, kinds
from tests.unit.test_evidence_ignored import remove

SIGNALS = "projects/p/subscriptions/signals"
INCIDENT = Incident(
    incident="0.abc",
    started_at=PUBLISHED + timedelta(hours=1),
    ended_at=None,
    subscription=SIGNALS,
    published_at=PUBLISHED + timedelta(hours=3),
    pipeline="shop",
    stage="fast-feedback",
    image="shop",
    policy="too slow",
)
CLOSED = replace(INCIDENT, ended_at=PUBLISHED + timedelta(hours=2))

Look = Callable[..., Lookout]


@pytest.fixture
def look(shop: Shop) -> Look:
    """Makes the part that takes signals, for a promotion.yaml that names their subscription."""
    text = three_stages(shop.near.host, shop.far.host)
    shop.written = f"{text}signals: {SIGNALS}\n"

    def look(again: RecordedTopic | None = None) -> Lookout:
        pipelines = configuration.parse("promotion.yaml", shop.promotion_yaml)
        return Lookout(
            pipelines,
            shop.transport,
            evidence_store(pipelines),
            promoter(shop.promotion_yaml, shop.transport, shop.topic, lambda: shop.now),
            lambda deadline: RegistryInventory(
                shop.transport, artifact_registry({}, NoNetwork()), deadline
            ),
            again,
        )

    return look


def deploy(shop: Shop, digest: Digest, tag: str, hours: int) -> None:
    """Report that a digest runs in fast-feedback since so many hours."""
    image = Reference(shop.stage("fast-feedback").repository, tag)
    at = PUBLISHED + timedelta(hours=hours)
    promoter(shop.promotion_yaml, shop.transport, shop.topic, lambda: shop.now).deployed(
        Deployed(image, digest, at, at)
    )


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


def test_each_image_that_waits_gets_a_message_of_its_own(shop: Shop, look: Look) -> None:
    """So that none holds up another."""
    digest = shop.push().digest
    again = RecordedTopic()
    look(again).evaluate(Evaluate(SIGNALS, PUBLISHED))
    (message,) = again.events
    assert json.loads(message.data) == {
        "evaluate": {"image": f"{shop.stage('fast-feedback').repository}:1.0", "digest": digest}
    }


def test_a_pipeline_can_be_looked_at_by_itself(shop: Shop, look: Look) -> None:
    """Schedules may differ."""
    head, pipelines = shop.promotion_yaml.split("pipelines:\n")
    stages, signals = pipelines.split("signals:")
    other = stages.replace("shop:", "other:").replace("/shop", "/other")
    shop.push()
    shop.written = f"{head}pipelines:\n{stages}{other}signals:{signals}"
    again = RecordedTopic()
    look(again).evaluate(Evaluate(SIGNALS, PUBLISHED, pipeline="other"))
    assert again.events == []
    look(again).evaluate(Evaluate(SIGNALS, PUBLISHED, pipeline="shop"))
    assert len(again.events) == 1


def test_a_request_for_a_pipeline_that_is_not_there_is_put_aside(look: Look) -> None:
    """Nothing would come of it, and whoever has sent it would not know."""
    with pytest.raises(BadMessage, match="There is no pipeline 'shpo', but shop"):
        look().evaluate(Evaluate(SIGNALS, PUBLISHED, pipeline="shpo"))


def test_what_a_lost_message_left_behind_is_promoted(shop: Shop, look: Look) -> None:
    """An image whose evidence is complete, and that nobody has looked at since, moves on."""
    text = shop.promotion_yaml
    shop.written = text.replace("[functional]", "[functional, nft]")
    digest = shop.push().digest
    shop.handle(shop.result(digest))
    shop.written = text
    look().evaluate(Evaluate(SIGNALS, PUBLISHED))
    assert shop.stage("extended-test").resolve("1.0") == digest


def test_an_image_that_cannot_be_judged_holds_up_no_other(shop: Shop, look: Look) -> None:
    """All others of its stage are looked at, though they come after it, and then it is told."""
    place = Repository(shop.near.host, "shop/fast-feedback/api")
    unreadable = RepositoryClient(place, shop.transport)
    lost = bundle(b"{}")
    attach(unreadable, images.push_image(unreadable, [b"tested"], tag="1.0"), lost)
    remove(unreadable, f"blobs/{digest_of(lost)}")
    digest = shop.push().digest
    text = shop.promotion_yaml
    shop.written = text.replace("[functional]", "[functional, nft]")
    shop.handle(shop.result(digest))
    shop.written = text
    with pytest.raises(NotFound):
        look().evaluate(Evaluate(SIGNALS, PUBLISHED))
    assert shop.stage("extended-test").resolve("1.0") == digest


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


def test_a_repeat_of_a_request_to_evaluate_tells_the_same(shop: Shop, look: Look) -> None:
    """A denial that rests on no statement has the time at which the request was published."""
    digest = shop.push().digest
    shop.push(content=b"moved", tag="1.0")
    image = Reference(shop.stage("fast-feedback").repository, "1.0")
    request = Evaluate(SIGNALS, PUBLISHED, image, digest)

    class Broken(RecordedTopic):
        """Takes events, and does not say so."""

        def publish(self, event: Event) -> str:
            super().publish(event)
            raise PublishFailed("no answer")

    whole, shop.topic = shop.topic, Broken()
    with pytest.raises(PublishFailed):
        look().evaluate(request)
    (lost,) = shop.topic.events
    shop.topic = whole
    shop.now += timedelta(minutes=1)
    look().evaluate(request)
    assert shop.topic.events == [lost]


def test_an_image_that_is_named_with_its_digest_is_the_same(shop: Shop, look: Look) -> None:
    """It came into its stage by a promotion, which is not told to be missing."""
    digest = shop.push().digest
    shop.handle(shop.result(digest))
    name = f"{shop.stage('extended-test').repository}:1.0@{digest}"
    content = {"evaluate": {"image": name, "digest": digest}}
    before = len(shop.topic.events)
    read = messages.parse(Message(json.dumps(content).encode(), {}, "1", PUBLISHED, SIGNALS))
    assert isinstance(read, Evaluate)
    look().evaluate(read)
    assert shop.topic.events[before:] == []


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
