"""What a person has decided: to approve, override, hold, release, revoke or promote.

Proves that somebody whom Cloud Run admitted to the control function, with this verified e-mail
address, said so at this time and for this reason.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from promotion.evidence import statement
from promotion.evidence.statement import Statement, Subject
from promotion.registry.reference import Digest

PREDICATE_TYPE = "urn:promotion:act:v0.1"


class Kind(StrEnum):
    """What was decided."""

    APPROVE = "approve"
    OVERRIDE = "override"
    HOLD = "hold"
    RELEASE = "release"
    REVOKE = "revoke"
    PROMOTE = "promote"


class Act(msgspec.Struct, frozen=True):
    """A person's decision about an image digest, a stage or a pipeline.

    Attributes:
        stage: The stage that it is for; "" for all stages of the pipeline.
        subject: What it is about: an image's repository ``HOST/PATH``, or a stage's.
        author: The e-mail address of who decided.
        decided_at: When.
        expires_at: Until when it holds; None for good.
        gates: The gates that an override lets the image pass, by their names in promotion.yaml.
        to_stage: The stage that a promotion goes to; "" for all that follow.
    """

    kind: Kind
    pipeline: str
    stage: str
    subject: str
    author: str
    reason: str
    decided_at: datetime
    expires_at: datetime | None = None
    gates: tuple[str, ...] = ()
    to_stage: str = ""

    def holds_at(self, now: datetime) -> bool:
        """Whether it has not expired by then."""
        return self.expires_at is None or now < self.expires_at


class _Act(msgspec.Struct, rename="camel", omit_defaults=True):
    act: Kind
    pipeline: str
    stage: str
    author: str
    reason: str
    decided_at: Annotated[datetime, Meta(tz=True)]
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None
    gates: tuple[str, ...] = ()
    to_stage: str = ""


def write(act: Act, digest: Digest) -> bytes:
    """The statement that says so of a digest."""
    predicate = _Act(
        act.kind,
        act.pipeline,
        act.stage,
        act.author,
        act.reason,
        act.decided_at,
        act.expires_at,
        act.gates,
        act.to_stage,
    )
    return statement.write(Subject.of(act.subject, digest), PREDICATE_TYPE, predicate)


def read(stated: Statement) -> Act:
    """The decision that a statement tells of.

    Raises:
        NotAStatement: Its predicate is not of this kind.
    """
    said = statement.decode(stated.predicate, _Act)
    return Act(
        kind=said.act,
        pipeline=said.pipeline,
        stage=said.stage,
        subject=stated.subject.name,
        author=said.author,
        reason=said.reason,
        decided_at=statement.moment(said.decided_at),
        expires_at=statement.moment(said.expires_at) if said.expires_at else None,
        gates=said.gates,
        to_stage=said.to_stage,
    )
