"""Messages out, as bytes and as objects: what has happened to images, and what was put aside.

CloudEvents 1.0 in Pub/Sub's binary mode, whose ids follow from what happened, so that a repeat can
be told from something new.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec
from cloudevents.conversion import to_binary
from cloudevents.http import CloudEvent

from promotion.delivery import Message
from promotion.evidence.record import PromotionRecord
from promotion.pipeline import Promotion
from promotion.registry.reference import Digest, Reference
from promotion.verdict import Verdict, basis_of

PROMOTED = "dev.cdeventsx.promotion-artifact.promoted.0.1.0"
DENIED = "dev.cdeventsx.promotion-artifact.denied.0.1.0"
WOULD_PROMOTE = "dev.cdeventsx.promotion-artifact.would-promote.0.1.0"

REVOKED = "dev.cdeventsx.promotion-artifact.revoked.0.1.0"
WAITING = "dev.cdeventsx.promotion-artifact.waiting.0.1.0"

_PARAMETERS = frozenset({"self", "topic", "data", "ordering_key", "retry", "timeout"})
_NAMESPACE = uuid.UUID("6f1e3f0a-5d39-5c0c-9b6e-3f8f4a1c7d52")


@dataclass(frozen=True)
class Event:
    """A message to be published: a CloudEvent in Pub/Sub's binary mode, or a dead letter."""

    data: bytes
    attributes: Mapping[str, str]


def short_name(kind: str) -> str:
    """What an event's type says has happened: ``promoted``, ``denied`` and so on."""
    return kind.split(".")[3]


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


def revoked(promotion: Promotion, verdict: Verdict, stages: Sequence[str], at: datetime) -> Event:
    """The event that says that an image should not be where it is: in the stages that are named.

    Args:
        promotion: The one that is taken back.
        verdict: Why.
        stages: Where the image has come to since.
        at: Its time, if no statement caused it.
    """
    basis = basis_of(verdict.findings)
    return _event(
        REVOKED,
        _id(REVOKED, str(promotion.source), promotion.digest, *(each.statement for each in basis)),
        promotion,
        promotion.source,
        verdict,
        [each.attestation for each in basis],
        max((each.at for each in basis), default=at),
        stages=list(stages),
    )


def waiting(promotion: Promotion, verdict: Verdict, since: datetime) -> Event:
    """The event that says that an image has waited for longer than is expected, and for what.

    Args:
        promotion: The one that is waited for.
        verdict: What is missing.
        since: When it began to wait.
    """
    return _event(
        WAITING,
        _id(WAITING, str(promotion.source), promotion.digest, promotion.to_stage),
        promotion,
        promotion.source,
        Verdict(verdict.reasons),
        [each.attestation for each in basis_of(verdict.reasons)],
        since,
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
    **further: object,
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
            **further,
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
