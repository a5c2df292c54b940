"""That an image was promoted, and upon what: SLSA's verification summary (VSA), v1.

It is attached to the image at its destination before the tag is set there. Proves that a function
with the signing key judged this digest by this policy, and let it into this place. What SLSA has no
field for stands in extension fields, whose names begin with ``promotion_`` as SLSA asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from promotion.errors import BadReference
from promotion.evidence import statement
from promotion.evidence.statement import NotAStatement, ResourceDescriptor, Statement, Subject
from promotion.registry.reference import Digest, Reference
from promotion.verdict import Decision, Finding

PREDICATE_TYPE = "https://slsa.dev/verification_summary/v1"

_SLSA_VERSION = "1.2"


class RecordedFinding(msgspec.Struct, frozen=True, omit_defaults=True):
    """A finding as it is kept: all findings of a record speak for the promotion."""

    code: str
    message: str
    url: str = ""

    def restored(self) -> Finding:
        """The finding that it was."""
        return Finding(Decision.PROMOTE, self.code, self.message, self.url)


class PromotionRecord(msgspec.Struct, frozen=True):
    """A promotion of an image digest from one stage to another.

    Attributes:
        source: Where it came from, ``HOST/PATH:TAG``.
        destination: Where it went, ``HOST/PATH:TAG``.
        decided_at: When the gate said so.
        policy: The promotion.yaml that judged, by URI and digest.
        inputs: The attestations that the verdict rests on.
        event_id: The id of the promoted event.
        resource: The package URL of the image at its destination.
    """

    pipeline: str
    from_stage: str
    to_stage: str
    source: Reference
    destination: Reference
    decided_at: datetime
    policy: ResourceDescriptor
    inputs: tuple[ResourceDescriptor, ...]
    findings: tuple[RecordedFinding, ...]
    event_id: str
    resource: str

    @property
    def evidence(self) -> list[Digest]:
        """The digests of the attestations that the verdict rests on."""
        return [digest for each in self.inputs for digest in each.digests]


class _Verifier(msgspec.Struct):
    id: str


class _Summary(
    msgspec.Struct,
    rename={
        "time_verified": "timeVerified",
        "resource_uri": "resourceUri",
        "input_attestations": "inputAttestations",
        "verification_result": "verificationResult",
        "verified_levels": "verifiedLevels",
        "slsa_version": "slsaVersion",
    },
):
    verifier: _Verifier
    time_verified: Annotated[datetime, Meta(tz=True)]
    resource_uri: str
    policy: ResourceDescriptor
    input_attestations: list[ResourceDescriptor]
    verification_result: Literal["PASSED"]
    verified_levels: list[str]
    promotion_pipeline: str
    promotion_from: Mapping[str, str]
    promotion_to: Mapping[str, str]
    promotion_findings: list[RecordedFinding]
    promotion_event_id: str
    slsa_version: str = _SLSA_VERSION


def write(record: PromotionRecord, digest: Digest) -> bytes:
    """The statement that says so of a digest."""
    level = record.to_stage.upper().replace("-", "_")
    summary = _Summary(
        verifier=_Verifier(f"urn:promotion:{record.pipeline}"),
        time_verified=record.decided_at,
        resource_uri=record.resource,
        policy=record.policy,
        input_attestations=list(record.inputs),
        verification_result="PASSED",
        verified_levels=[f"PROMOTED_TO_{level}"],
        promotion_pipeline=record.pipeline,
        promotion_from={"stage": record.from_stage, "image": str(record.source)},
        promotion_to={"stage": record.to_stage, "image": str(record.destination)},
        promotion_findings=list(record.findings),
        promotion_event_id=record.event_id,
    )
    subject = Subject.of(str(record.destination.repository), digest)
    return statement.write(subject, PREDICATE_TYPE, summary)


def read(stated: Statement) -> PromotionRecord:
    """The promotion that a statement tells of.

    Raises:
        NotAStatement: Its predicate is not of this kind, or was not written here.
    """
    summary = statement.decode(stated.predicate, _Summary)
    try:
        record = PromotionRecord(
            pipeline=summary.promotion_pipeline,
            from_stage=summary.promotion_from["stage"],
            to_stage=summary.promotion_to["stage"],
            source=Reference.parse(summary.promotion_from["image"]),
            destination=Reference.parse(summary.promotion_to["image"]),
            decided_at=statement.moment(summary.time_verified),
            policy=summary.policy,
            inputs=tuple(summary.input_attestations),
            findings=tuple(summary.promotion_findings),
            event_id=summary.promotion_event_id,
            resource=summary.resource_uri,
        )
        record.evidence  # noqa: B018 - its digests must be such
    except (KeyError, BadReference) as error:
        raise NotAStatement(f"it does not name its images and inputs: {error}") from error
    if stated.subject.name != str(record.destination.repository):
        raise NotAStatement("its subject is not the image that it says was promoted")
    return record
