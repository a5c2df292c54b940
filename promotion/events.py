"""Messages in and out, as bytes and as objects. Nothing else knows what they look like on the wire.

In: test results, in the plain form or as a CDEvents testsuiterun.finished (v0.5), by themselves or
inside a structured CloudEvent. Out: promoted, denied and would-promote, CloudEvents 1.0 in
Pub/Sub's binary mode, whose ids follow from what happened.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
from cloudevents.conversion import to_binary
from cloudevents.exceptions import GenericException as CloudEventError
from cloudevents.http import CloudEvent, from_json
from msgspec import Meta

from promotion.delivery import Message
from promotion.errors import BadMessage, BadReference
from promotion.evidence.record import PromotionRecord
from promotion.pipeline import Promotion
from promotion.registry.reference import Digest, Reference, is_canonical, parse_digest
from promotion.verdict import Verdict, basis_of

PROMOTED = "dev.cdeventsx.promotion-artifact.promoted.0.1.0"
DENIED = "dev.cdeventsx.promotion-artifact.denied.0.1.0"
WOULD_PROMOTE = "dev.cdeventsx.promotion-artifact.would-promote.0.1.0"
REPORTED = "dev.cdeventsx.promotion-testsuite.reported.0.1.0"

_SUITE_RUN_FINISHED = "dev.cdevents.testsuiterun.finished."
_PARAMETERS = frozenset({"self", "topic", "data", "ordering_key", "retry", "timeout"})
_CLOCK_SKEW = timedelta(minutes=5)
_NAMESPACE = uuid.UUID("6f1e3f0a-5d39-5c0c-9b6e-3f8f4a1c7d52")


class Outcome(StrEnum):
    """How a suite ended, in CDEvents' words; cancel and error say nothing about the image."""

    SUCCESS = "success"
    FAILURE = "failure"
    CANCEL = "cancel"
    ERROR = "error"


@dataclass(frozen=True)
class TestResult:
    """What one run of a test suite said about one image digest."""

    __test__ = False  # not a test case, whatever its name

    image: Reference
    digest: Digest
    suite: str
    outcome: Outcome
    finished_at: datetime
    published_at: datetime
    subscription: str = ""
    ref: str = ""
    commit: str = ""
    url: str = ""


@dataclass(frozen=True)
class Event:
    """A message to be published: a CloudEvent in Pub/Sub's binary mode, or a dead letter."""

    data: bytes
    attributes: Mapping[str, str]


_Text = Annotated[str, Meta(min_length=1, max_length=1024)]
_Short = Annotated[str, Meta(max_length=2048)]
_Moment = Annotated[datetime, Meta(tz=True)]
_Spelling = Literal[
    "success", "failure", "cancel", "error", "passed", "failed", "PASSED", "FAILED", "WARNED"
]
_OUTCOMES: Mapping[str, Outcome] = {
    **{str(outcome): outcome for outcome in Outcome},
    "passed": Outcome.SUCCESS,
    "PASSED": Outcome.SUCCESS,
    "WARNED": Outcome.SUCCESS,
    "failed": Outcome.FAILURE,
    "FAILED": Outcome.FAILURE,
}


class PlainResult(msgspec.Struct, kw_only=True):
    """A test result in the plain form: what a CI job publishes when a suite has finished."""

    image: Annotated[_Text, Meta(description="REGISTRY/PATH/NAME:TAG.")]
    digest: Annotated[_Text, Meta(description="What was tested: sha256:….")]
    suite: Annotated[_Text, Meta(description="The suite's name, as in the stage's gate.")]
    outcome: Annotated[_Spelling, Meta(description="How the suite ended.")]
    ref: Annotated[_Short, Meta(description="The git ref that the image was built from.")] = ""
    commit: Annotated[_Short, Meta(description="The git commit that it was built from.")] = ""
    url: Annotated[_Short, Meta(description="The run of the suite, for people.")] = ""
    finished_at: Annotated[
        _Moment | None, Meta(description="When the suite ended; default: when it was published.")
    ] = None


class _Context(msgspec.Struct):
    type: str
    timestamp: _Moment


class _Suite(msgspec.Struct):
    id: str = ""
    name: str = ""


class _Content(msgspec.Struct, rename="camel"):
    outcome: _Spelling
    test_suite: _Suite


class _Subject(msgspec.Struct):
    content: _Content


class _CustomData(msgspec.Struct):
    image: _Text
    digest: _Text
    ref: str = ""
    commit: str = ""
    url: str = ""


class _CDEvent(msgspec.Struct, rename="camel"):
    context: _Context
    subject: _Subject
    custom_data: _CustomData


def parse(message: Message) -> TestResult:
    """Read the test result that a message carries.

    Raises:
        BadMessage: It is not JSON, lacks a field, or a field has a value that it cannot have.
    """
    try:
        content = _content(message)
        if isinstance(content, dict) and "context" in content:
            plain = _plain(msgspec.convert(content, _CDEvent))
        else:
            plain = msgspec.convert(content, PlainResult)
        return _result(plain, message)
    except (ValueError, TypeError, OverflowError, RecursionError, BadReference) as error:
        raise BadMessage(f"Not a test result: {error}") from error
    except CloudEventError as error:
        raise BadMessage(f"Not a test result: {error}") from error


def report(result: PlainResult) -> Event:
    """The message that reports a test result, as a CloudEvent in the plain form."""
    attributes, data = to_binary(
        CloudEvent(
            {
                "source": "/promotion/publish",
                "type": REPORTED,
                "subject": result.image,
                "datacontenttype": "application/json",
            },
            msgspec.to_builtins(result),
        ),
        msgspec.json.encode,
    )
    return Event(data, attributes)


def promoted_id(promotion: Promotion) -> str:
    """The id of the promoted event: one for each digest under each version at each destination."""
    return _id(str(promotion.destination.repository), promotion.version, promotion.digest)


def promoted(promotion: Promotion, record: PromotionRecord) -> Event:
    """The event that says that an image is in its next stage, as its record has it."""
    findings = [each.restored() for each in record.findings]
    return _event(
        PROMOTED,
        record.event_id,
        promotion,
        promotion.destination,
        Verdict(tuple(findings)),
        record.evidence,
        record.decided_at,
    )


def would_promote(promotion: Promotion, verdict: Verdict, at: datetime) -> Event:
    """The event that says that an image would be promoted, were its pipeline not observed only."""
    basis = basis_of(verdict.findings)
    return _event(
        WOULD_PROMOTE,
        _id(WOULD_PROMOTE, promoted_id(promotion)),
        promotion,
        promotion.destination,
        verdict,
        [each.attestation for each in basis],
        max((each.at for each in basis), default=at),
    )


def denied(promotion: Promotion, verdict: Verdict, at: datetime) -> Event:
    """The event that says that an image stays where it is, with every reason.

    It holds nothing but the reasons and what they rest on, so the same denial is the same event,
    whatever else is known of the image by then.

    Args:
        promotion: What is denied.
        verdict: Why.
        at: Its time, if no statement caused it.
    """
    reasons = verdict.reasons
    basis = basis_of(reasons)
    identity = [
        str(promotion.source),
        promotion.digest,
        promotion.to_stage,
        *sorted(each.code for each in reasons),
        *(each.statement for each in basis),
    ]
    return _event(
        DENIED,
        _id(*identity),
        promotion,
        promotion.source,
        Verdict(reasons),
        [each.attestation for each in basis],
        max((each.at for each in basis), default=at),
    )


def dead_letter(message: Message, reason: str, kind: str) -> Event:
    """The message as it came, with why it was put aside; kind is permanent or retryable.

    Attributes that Pub/Sub reserves, and those beyond its limit of 100, cannot be published again;
    those whose names its client takes for parameters get the prefix ``original-``.
    """
    own = {
        "promotion-dlq-reason": reason.encode()[:1024].decode(errors="ignore"),
        "promotion-dlq-class": kind,
        "promotion-dlq-topic": message.topic,
    }
    kept = [
        (f"original-{name}" if name in _PARAMETERS else name, value)
        for name, value in message.attributes.items()
        if name not in own and not name.startswith("goog")
    ]
    return Event(message.data, {**dict(kept[: 100 - len(own)]), **own})


def package_url(reference: Reference, digest: Digest) -> str:
    """The package URL of an image (purl-spec, type oci)."""
    name = reference.repository.path.rpartition("/")[2]
    repository = quote(str(reference.repository), safe=":")
    tag = f"&tag={quote(reference.tag)}" if reference.tag else ""
    return f"pkg:oci/{name}@{digest}?repository_url={repository}{tag}"


def _content(message: Message) -> Any:
    """The message's JSON; from inside, where the message is a structured CloudEvent."""
    attributes = {name.lower(): value for name, value in message.attributes.items()}
    if attributes.get("content-type", "").startswith("application/cloudevents+json"):
        return from_json(message.data).data
    return msgspec.json.decode(message.data)


def _plain(event: _CDEvent) -> PlainResult:
    if not event.context.type.startswith(_SUITE_RUN_FINISHED):
        raise BadMessage(
            f"A CDEvent of type {event.context.type} is not a test result;"
            f" those begin with {_SUITE_RUN_FINISHED}"
        )
    suite = event.subject.content.test_suite
    return msgspec.convert(
        {
            **msgspec.to_builtins(event.custom_data),
            "suite": suite.id or suite.name,
            "outcome": event.subject.content.outcome,
            "finished_at": event.context.timestamp,
        },
        PlainResult,
    )


def _result(plain: PlainResult, message: Message) -> TestResult:
    image = Reference.parse(plain.image)
    digest = parse_digest(plain.digest)
    if not is_canonical(digest):
        raise BadMessage(
            f"Not a test result: the field digest is {digest}, and what has a tag is named by"
            " sha256; give the digest that the tag names, as promotion publish does"
        )
    if image.digest not in (None, digest):
        raise BadMessage(f"Not a test result: {image} and the field digest, {digest}, disagree")
    finished_at = (plain.finished_at or message.published_at).astimezone(UTC)
    if finished_at > message.published_at + _CLOCK_SKEW:
        raise BadMessage(
            f"Not a test result: finished_at, {finished_at.isoformat()}, is more than 5 minutes"
            f" after the message was published, {message.published_at.isoformat()}"
        )
    return TestResult(
        image=Reference(image.repository, image.tag),
        digest=digest,
        suite=plain.suite,
        outcome=_OUTCOMES[plain.outcome],
        finished_at=finished_at,
        published_at=message.published_at,
        subscription=message.subscription,
        ref=plain.ref,
        commit=plain.commit,
        url=plain.url,
    )


def _id(*identity: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, "\n".join(identity)))


def _event(
    kind: str,
    event_id: str,
    promotion: Promotion,
    subject: Reference,
    verdict: Verdict,
    evidence: Sequence[Digest],
    at: datetime,
) -> Event:
    timestamp = at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    cloud_event = CloudEvent(
        {
            "id": event_id,
            "source": f"/promotion/{promotion.pipeline}",
            "type": kind,
            "subject": package_url(subject, promotion.digest),
            "time": timestamp,
            "datacontenttype": "application/json",
        },
        {
            "source": str(promotion.source.at(promotion.digest)),
            "destination": str(promotion.destination.at(promotion.digest)),
            "digest": promotion.digest,
            "from_stage": promotion.from_stage,
            "to_stage": promotion.to_stage,
            "findings": [
                {"code": finding.code, "message": finding.message, "url": finding.url}
                for finding in verdict.findings
            ],
            "evidence": sorted(evidence),
            "timestamp": timestamp,
        },
    )
    attributes, data = to_binary(cloud_event, msgspec.json.encode)
    for_filters = {
        "pipeline": promotion.pipeline,
        "image": promotion.image,
        "version": promotion.version,
        "from_stage": promotion.from_stage,
        "to_stage": promotion.to_stage,
        "verdict": verdict.decision.name,
    }
    return Event(data, {**attributes, **for_filters})
