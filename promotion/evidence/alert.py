"""What Cloud Monitoring says of an incident: that it is open, or that it has been closed.

Each of the two messages of an incident is a statement of its own, so they may come in either order,
or twice. An incident that cannot be attributed to an image is stated of the stages that it may
concern.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from promotion.evidence import statement
from promotion.evidence.statement import Statement, Subject
from promotion.registry.reference import Digest

PREDICATE_TYPE = "urn:promotion:alert:v0.1"


class Alert(msgspec.Struct, frozen=True):
    """What one message says of an incident.

    Attributes:
        incident: The incident's id.
        is_open: Whether it is open.
        started_at: When the incident began.
        ended_at: When it was closed; None while it is open.
        subject: What it is about: an image's repository ``HOST/PATH``, or a stage's.
        policy: The alert policy's name, for people.
    """

    pipeline: str
    stage: str
    subject: str
    incident: str
    is_open: bool
    started_at: datetime
    ended_at: datetime | None = None
    policy: str = ""
    summary: str = ""
    url: str = ""


class _Alert(msgspec.Struct, rename="camel", omit_defaults=True):
    pipeline: str
    stage: str
    incident: str
    state: Literal["open", "closed"]
    started_at: Annotated[datetime, Meta(tz=True)]
    ended_at: Annotated[datetime, Meta(tz=True)] | None = None
    policy: str = ""
    summary: str = ""
    url: str = ""


def write(alert: Alert, digest: Digest) -> bytes:
    """The statement that says so of a digest."""
    predicate = _Alert(
        alert.pipeline,
        alert.stage,
        alert.incident,
        "open" if alert.is_open else "closed",
        alert.started_at,
        alert.ended_at,
        alert.policy,
        alert.summary,
        alert.url,
    )
    return statement.write(Subject.of(alert.subject, digest), PREDICATE_TYPE, predicate)


def read(stated: Statement) -> Alert:
    """What a statement tells of an incident.

    Raises:
        NotAStatement: Its predicate is not of this kind.
    """
    said = statement.decode(stated.predicate, _Alert)
    return Alert(
        pipeline=said.pipeline,
        stage=said.stage,
        subject=stated.subject.name,
        incident=said.incident,
        is_open=said.state == "open",
        started_at=statement.moment(said.started_at),
        ended_at=statement.moment(said.ended_at) if said.ended_at else None,
        policy=said.policy,
        summary=said.summary,
        url=said.url,
    )
