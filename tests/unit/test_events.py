"""Messages: what counts as a test result, and what goes out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from promotion import events, messages
from promotion.delivery import Message
from promotion.errors import BadMessage
from promotion.evidence.record import PromotionRecord, RecordedFinding
from promotion.evidence.statement import ResourceDescriptor
from promotion.messages import Deployed, Outcome, TestResult
from promotion.pipeline import Promotion
from promotion.registry.reference import Digest, Reference, Repository
from promotion.verdict import Basis, Decision, Finding, Verdict

DIGEST = Digest("sha256:" + "a" * 64)
PUBLISHED = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
PLAIN: dict[str, Any] = {
    "image": "gcr.io/acme/shop/fast-feedback/shop:1.4.2",
    "digest": DIGEST,
    "suite": "functional",
    "outcome": "success",
}
CDEVENT: dict[str, Any] = {
    "context": {
        "specversion": "0.5.1",
        "id": "1",
        "source": "/ci",
        "type": "dev.cdevents.testsuiterun.finished.0.3.0",
        "timestamp": "2026-01-31T11:59:00Z",
    },
    "subject": {
        "id": "run-1",
        "content": {
            "outcome": "failure",
            "environment": {"id": "fast-feedback"},
            "testSuite": {"id": "functional", "name": "Functional tests"},
        },
    },
    "customData": {
        "image": PLAIN["image"],
        "digest": DIGEST,
        "ref": "refs/heads/main",
        "commit": "c",
    },
}
PROMOTION = Promotion(
    pipeline="shop",
    image="shop",
    digest=DIGEST,
    from_stage="fast-feedback",
    to_stage="extended-test",
    source=Reference(Repository("gcr.io", "acme/fast-feedback/shop"), "1.4.2"),
    destination=Reference(Repository("gcr.io", "acme/extended-test/shop"), "1.4.2"),
)


def basis(digit: str) -> Basis:
    """A statement, an hour before its message was published."""
    statement, attestation = (Digest(f"sha256:{each * 64}") for each in (digit, "e"))
    return Basis(statement, attestation, PUBLISHED - timedelta(hours=1))


PASSED = Finding(
    Decision.PROMOTE, "suite-succeeded", "it passed", "https://ci.example/7", (basis("c"),)
)
FAILED = Finding(Decision.DENY, "suite-failed", "it failed", basis=(basis("d"),))


def promoted() -> events.Event:
    """The event about a promotion upon one success."""
    repository = f"oci://{PROMOTION.destination.repository}"
    record = PromotionRecord(
        pipeline=PROMOTION.pipeline,
        from_stage=PROMOTION.from_stage,
        to_stage=PROMOTION.to_stage,
        source=PROMOTION.source,
        destination=PROMOTION.destination,
        decided_at=PUBLISHED,
        policy=ResourceDescriptor("oci://gcr.io/acme/extended-test/promotion-policy"),
        inputs=(ResourceDescriptor.of(repository, PASSED.basis[0].attestation),),
        findings=(RecordedFinding(PASSED.code, PASSED.message, PASSED.url),),
        event_id=events.promoted_id(PROMOTION),
        resource=events.package_url(PROMOTION.destination, PROMOTION.digest),
    )
    return events.promoted(PROMOTION, record)


def message(content: Any, attributes: dict[str, str] | None = None) -> Message:
    """A message as it comes from Pub/Sub."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Message(data, attributes or {}, "1", PUBLISHED, "projects/p/subscriptions/s")


def result_in(carrier: Message) -> TestResult:
    """The test result that a message carries."""
    result = messages.parse(carrier)
    assert isinstance(result, TestResult)
    return result


def test_the_plain_form_is_read() -> None:
    """Each field of the plain form arrives; when it ended defaults to when it was published."""
    more = {"ref": "refs/heads/main", "commit": "abc", "url": "https://ci.example/7"}
    result = result_in(message({**PLAIN, **more}))
    assert str(result.image) == PLAIN["image"]
    assert (result.digest, result.suite, result.outcome) == (DIGEST, "functional", Outcome.SUCCESS)
    assert (result.ref, result.commit, result.url) == tuple(more.values())
    assert result.finished_at == result.published_at == PUBLISHED
    assert result.subscription == "projects/p/subscriptions/s"


def test_the_cdevents_form_is_read() -> None:
    """A testsuiterun.finished says the same, its timestamp being when the suite ended."""
    result = result_in(message(CDEVENT))
    assert str(result.image) == PLAIN["image"]
    assert (result.digest, result.suite, result.outcome) == (DIGEST, "functional", Outcome.FAILURE)
    assert (result.ref, result.commit) == ("refs/heads/main", "c")
    assert result.finished_at == PUBLISHED - timedelta(minutes=1)


def test_a_suite_without_an_id_goes_by_its_name() -> None:
    """testSuite.name stands in for a missing testSuite.id."""
    content = {**CDEVENT["subject"]["content"], "testSuite": {"name": "functional"}}
    result = result_in(message({**CDEVENT, "subject": {"content": content}}))
    assert result.suite == "functional"


@pytest.mark.parametrize("content", [PLAIN, CDEVENT])
def test_a_structured_cloud_event_is_opened(content: dict[str, Any]) -> None:
    """Both forms may come inside application/cloudevents+json."""
    envelope = {"specversion": "1.0", "id": "1", "source": "/ci", "type": "t", "data": content}
    attributes = {"content-type": "application/cloudevents+json; charset=utf-8"}
    assert result_in(message(envelope, attributes)) == result_in(message(content))


def test_cloud_event_attributes_change_nothing() -> None:
    """A binary CloudEvent's data is the result itself."""
    attributes = {"ce-id": "1", "ce-type": "t", "ce-source": "/ci", "ce-specversion": "1.0"}
    assert result_in(message(PLAIN, attributes)) == result_in(message(PLAIN))


@pytest.mark.parametrize(
    ("spelling", "outcome"),
    [
        ("success", Outcome.SUCCESS),
        ("passed", Outcome.SUCCESS),
        ("PASSED", Outcome.SUCCESS),
        ("WARNED", Outcome.SUCCESS),
        ("failure", Outcome.FAILURE),
        ("failed", Outcome.FAILURE),
        ("FAILED", Outcome.FAILURE),
        ("cancel", Outcome.CANCEL),
        ("error", Outcome.ERROR),
    ],
)
def test_outcomes_have_several_spellings(spelling: str, outcome: Outcome) -> None:
    """CDEvents' words and in-toto's are both taken."""
    assert result_in(message({**PLAIN, "outcome": spelling})).outcome is outcome


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not JSON",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'"text"',
        b'{"image": "\xff"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        *({key: value for key, value in PLAIN.items() if key != gone} for gone in PLAIN),
        {**PLAIN, "outcome": "great"},
        {**PLAIN, "suite": ""},
        {**PLAIN, "suite": 7},
        {**PLAIN, "image": "shop:1.4.2"},
        {**PLAIN, "image": "https://gcr.io/acme/shop:1"},
        {**PLAIN, "image": f"gcr.io/acme/shop:1@sha256:{'b' * 64}"},
        {**PLAIN, "digest": "sha256:abc"},
        {**PLAIN, "digest": f"sha512:{'a' * 128}"},
        {**PLAIN, "finished_at": "yesterday"},
        {**PLAIN, "finished_at": "0001-01-01T00:00:00+23:59"},
        {**PLAIN, "finished_at": "2026-01-31T12:00:00"},
        {**PLAIN, "finished_at": "2026-01-31T12:05:01Z"},
        {**CDEVENT, "customData": {"image": PLAIN["image"]}},
        {
            **CDEVENT,
            "context": {**CDEVENT["context"], "type": "dev.cdevents.testsuiterun.started.0.3.0"},
        },
        {**CDEVENT, "subject": {"content": {"outcome": "success", "testSuite": {}}}},
    ],
)
def test_anything_else_is_a_bad_message(content: Any) -> None:
    """What is not JSON, lacks a field or has an impossible value is refused, with the reason."""
    words = r"Not a test result:|Not a message of any kind:|is not a test result"
    with pytest.raises(BadMessage, match=words):
        result_in(message(content))


def test_a_broken_structured_cloud_event_is_a_bad_message() -> None:
    """So is an envelope that is none."""
    for content in (b"no", b"[]", b'{"specversion": "1.0"}', b'{"id":"1","source":"s","type":"t"}'):
        with pytest.raises(BadMessage):
            result_in(message(content, {"content-type": "application/cloudevents+json"}))


@pytest.mark.parametrize("field", ["suite", "ref", "commit", "url"])
def test_half_of_a_character_in_a_structured_cloud_event_is_a_bad_message(field: str) -> None:
    """JSON has an escape for it, and no statement, event or log line could hold it."""
    envelope = {"specversion": "1.0", "id": "1", "source": "/ci", "type": "t"}
    content = {**envelope, "data": {**PLAIN, field: "\ud800"}}
    with pytest.raises(BadMessage, match="surrogates not allowed"):
        result_in(message(content, {"content-type": "application/cloudevents+json"}))


PLAIN_DEPLOYMENT = {
    "image": PLAIN["image"],
    "digest": DIGEST,
    "deployed_at": "2026-01-31T11:00:00+01:00",
    "url": "https://deployer.example/7",
}


@pytest.mark.parametrize("kind", ["deployed", "upgraded"])
def test_deployments_are_read(kind: str) -> None:
    """In the plain form, or as what CDEvents says of a service."""
    event = {
        "context": {
            **CDEVENT["context"],
            "type": f"dev.cdevents.service.{kind}.0.3.0",
            "timestamp": PLAIN_DEPLOYMENT["deployed_at"],
        },
        "subject": {"id": "shop", "content": {"environment": {"id": "prod"}}},
        "customData": {key: PLAIN_DEPLOYMENT[key] for key in ("image", "digest", "url")},
    }
    deployed = messages.parse(message(PLAIN_DEPLOYMENT))
    assert deployed == messages.parse(message(event))
    assert isinstance(deployed, Deployed)
    assert deployed.deployed_at == PUBLISHED - timedelta(hours=2)
    assert deployed.url == "https://deployer.example/7"


def test_a_deployment_that_has_not_happened_yet_is_a_bad_message() -> None:
    """A clock may be ahead by five minutes, and no more."""
    with pytest.raises(BadMessage, match="Not a deployment: deployed_at, 2026-01-31T12:05:01"):
        messages.parse(message({**PLAIN_DEPLOYMENT, "deployed_at": "2026-01-31T12:05:01Z"}))


@pytest.mark.parametrize("change", [{"image": "shop:1.4.2"}, {"digest": "no"}, {"url": 7}])
def test_a_bad_deployment_is_not_said_to_be_a_bad_test_result(change: dict[str, Any]) -> None:
    """Whoever reads the dead letter is not to look for a suite."""
    with pytest.raises(BadMessage, match="Not a deployment: "):
        messages.parse(message({**PLAIN_DEPLOYMENT, **change}))


def test_five_minutes_of_clock_skew_are_forgiven() -> None:
    """A runner's clock may be a little ahead of Pub/Sub's."""
    result = result_in(message({**PLAIN, "finished_at": "2026-01-31T12:05:00Z"}))
    assert result.finished_at == PUBLISHED + timedelta(minutes=5)


def test_the_promoted_event_is_the_contract() -> None:
    """Type, source, subject, filter attributes and data are as other systems rely on them."""
    event = promoted()
    assert event.attributes == {
        "ce-specversion": "1.0",
        "ce-id": event.attributes["ce-id"],
        "ce-type": "dev.cdeventsx.promotion-artifact.promoted.0.1.0",
        "ce-source": "/promotion/shop",
        "ce-subject": f"pkg:oci/shop@{DIGEST}"
        "?repository_url=gcr.io%2Facme%2Fextended-test%2Fshop&tag=1.4.2",
        "ce-time": "2026-01-31T12:00:00Z",
        "content-type": "application/json",
        "pipeline": "shop",
        "image": "shop",
        "version": "1.4.2",
        "from_stage": "fast-feedback",
        "to_stage": "extended-test",
        "verdict": "PROMOTE",
    }
    assert json.loads(event.data) == {
        "source": f"gcr.io/acme/fast-feedback/shop:1.4.2@{DIGEST}",
        "destination": f"gcr.io/acme/extended-test/shop:1.4.2@{DIGEST}",
        "digest": DIGEST,
        "from_stage": "fast-feedback",
        "to_stage": "extended-test",
        "findings": [
            {"code": "suite-succeeded", "message": "it passed", "url": "https://ci.example/7"}
        ],
        "evidence": [PASSED.basis[0].attestation],
        "timestamp": "2026-01-31T12:00:00Z",
    }


def test_a_promoted_event_s_id_follows_from_what_is_where() -> None:
    """The same promotion has the same id, whatever led to it; another place or digest another."""
    elsewhere = Reference.parse("gcr.io/acme/e/shop:1.4.2")
    others = [
        msgspec.structs.replace(PROMOTION, destination=elsewhere),
        msgspec.structs.replace(PROMOTION, digest=Digest("sha256:" + "f" * 64)),
    ]
    ids = {events.promoted_id(each) for each in (PROMOTION, *others)}
    assert len(ids) == 3
    assert events.promoted_id(PROMOTION) in ids


def test_a_denied_event_s_id_follows_from_what_was_denied_and_why() -> None:
    """Repeats share an id; another reason or another cause makes another."""

    def identity(*findings: Finding) -> str:
        return events.denied(PROMOTION, Verdict(findings), PUBLISHED).attributes["ce-id"]

    conflict = Finding(Decision.DENY, "tag-conflict", "it is taken")
    other_run = msgspec.structs.replace(FAILED, basis=(basis("b"),))
    assert identity(FAILED, conflict) == identity(conflict, FAILED)
    assert len({identity(FAILED), identity(FAILED, conflict), identity(other_run)}) == 3


def test_a_denied_event_holds_the_reasons_alone() -> None:
    """Whatever else is known of the image by then, the same denial is the very same event."""
    waiting = Finding(Decision.WAIT, "suite-missing", "nft has not reported")
    alone = events.denied(PROMOTION, Verdict((FAILED,)), PUBLISHED)
    later = PUBLISHED + timedelta(hours=1)
    assert events.denied(PROMOTION, Verdict((PASSED, FAILED, waiting)), later) == alone
    data = json.loads(alone.data)
    assert [finding["code"] for finding in data["findings"]] == ["suite-failed"]
    assert data["evidence"] == [FAILED.basis[0].attestation]
    assert data["timestamp"] == "2026-01-31T11:00:00Z"


def test_what_would_be_promoted_is_another_event_than_what_is() -> None:
    """Same place, same digest, another id and type; the data are of the same form."""
    event = events.would_promote(PROMOTION, Verdict((PASSED,)), PUBLISHED)
    assert event.attributes["ce-type"] == ("dev.cdeventsx.promotion-artifact.would-promote.0.1.0")
    assert event.attributes["ce-id"] != events.promoted_id(PROMOTION)
    assert json.loads(event.data).keys() == json.loads(promoted().data).keys()


def test_a_dead_letter_keeps_the_message_and_says_why() -> None:
    """Bytes and attributes stay; the three reasons of ours replace a publisher's."""
    original = message(b"\x00broken", {"key": "value", "promotion-dlq-class": "forged"})
    letter = events.dead_letter(original, "because", "permanent")
    assert letter.data == b"\x00broken"
    assert letter.attributes == {
        "key": "value",
        "promotion-dlq-reason": "because",
        "promotion-dlq-class": "permanent",
        "promotion-dlq-topic": "",
    }


def test_a_dead_letter_can_always_be_published() -> None:
    """Attributes named like the client's parameters are renamed, not a reason to crash."""
    letter = events.dead_letter(message(b"", {"topic": "t", "timeout": "1"}), "no", "permanent")
    assert {"original-topic", "original-timeout"} <= letter.attributes.keys()
    assert not {"topic", "timeout"} & letter.attributes.keys()


def test_a_dead_letter_is_within_pub_sub_s_limits() -> None:
    """A long reason is cut between characters; reserved and surplus attributes are left out."""
    attributes = {f"key-{number}": "" for number in range(100)} | {"googclient_x": "1"}
    letter = events.dead_letter(message(b"", attributes), "ü" * 600, "permanent")
    assert letter.attributes["promotion-dlq-reason"] == "ü" * 512
    assert len(letter.attributes) == 100
    assert "googclient_x" not in letter.attributes


def test_what_publish_sends_is_what_the_function_reads() -> None:
    """A reported result comes back as it was."""
    sent = messages.report(messages.PlainResult(**PLAIN))
    assert sent.attributes["ce-specversion"] == "1.0"
    assert result_in(Message(sent.data, sent.attributes, "1", PUBLISHED)) == (
        result_in(Message(json.dumps(PLAIN).encode(), {}, "1", PUBLISHED))
    )
