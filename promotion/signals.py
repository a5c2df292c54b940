"""Signals in: what Cloud Monitoring says of an incident, and the request to look again.

Notifications are those of a Pub/Sub notification channel, schema 1.2. The degraded schema 1.1, to
which Cloud Monitoring falls back by itself, carries no labels: such an incident may concern any
stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from promotion import typed
from promotion.delivery import Message
from promotion.errors import BadMessage, BadReference
from promotion.named import named_image
from promotion.registry.reference import Digest, Reference, parse_digest

_LONGEST = 2000


@dataclass(frozen=True)
class Incident:
    """What one notification says of an incident.

    Attributes:
        ended_at: When it was closed; None while it is open.
        published_at: When the notification was published.
        pipeline, stage, image: What the alert policy's user labels attribute it to; "" where a
            label is missing.
        policy: The alert policy's name.
    """

    incident: str
    started_at: datetime
    ended_at: datetime | None
    subscription: str
    published_at: datetime
    pipeline: str = ""
    stage: str = ""
    image: str = ""
    policy: str = ""
    summary: str = ""
    url: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it has not been closed."""
        return self.ended_at is None


@dataclass(frozen=True)
class Evaluate:
    """The request to look again: at one image, or at all that wait.

    Attributes:
        image: Which image; None for all that wait.
        digest: Its digest; None with no image.
        pipeline: Of which pipeline's images; "" for all pipelines.
        statement: What must be among the statements about the image before it is judged, and is
            good for nothing else: whoever asks may name what was never stated.
    """

    subscription: str
    published_at: datetime
    image: Reference | None = None
    digest: Digest | None = None
    pipeline: str = ""
    statement: Digest | None = None


class _Labels(msgspec.Struct):
    pipeline: str = ""
    stage: str = ""
    image: str = ""


class _Incident(msgspec.Struct):
    incident_id: Annotated[str, Meta(min_length=1, max_length=256)]
    state: Literal["open", "closed"]
    started_at: float
    ended_at: float | None = None
    policy_user_labels: _Labels | None = None
    policy_name: str | None = None
    summary: str | None = None
    url: str | None = None


class _Notification(msgspec.Struct):
    incident: _Incident


class _Which(msgspec.Struct, forbid_unknown_fields=True):
    image: str = ""
    digest: str = ""
    pipeline: str = ""


class _Request(msgspec.Struct):
    evaluate: Literal["all"] | _Which
    statement: str = ""


def read_incident(content: Any, message: Message) -> Incident:
    """Read a notification of Cloud Monitoring's.

    Raises:
        BadMessage: It is none, or tells of a moment that had not come when it was published.
    """
    try:
        read = typed.convert(content, _Notification).incident
        started_at = datetime.fromtimestamp(read.started_at, UTC)
        # The state tells whether it is closed; the moment is not always there.
        closed_at = message.published_at.astimezone(UTC)
        if read.ended_at is not None:
            closed_at = datetime.fromtimestamp(read.ended_at, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise BadMessage(f"Not a notification of an incident: {error}") from error
    if message.precedes(max(started_at, closed_at)):
        raise BadMessage(
            "Not a notification of an incident: it tells of a moment more than 5 minutes after it"
            f" was published, {message.published_at.isoformat()}"
        )
    labels = read.policy_user_labels or _Labels()
    return Incident(
        incident=read.incident_id,
        started_at=started_at,
        ended_at=max(closed_at, started_at) if read.state == "closed" else None,
        subscription=message.subscription,
        published_at=message.published_at,
        pipeline=labels.pipeline,
        stage=labels.stage,
        image=labels.image,
        policy=(read.policy_name or "")[:_LONGEST],
        summary=(read.summary or "")[:_LONGEST],
        url=(read.url or "")[:_LONGEST],
    )


def read_evaluate(content: Any, message: Message) -> Evaluate:
    """Read a request to look again.

    Raises:
        BadMessage: It is none.
    """
    try:
        request = typed.convert(content, _Request)
        which = request.evaluate
        if isinstance(which, str):
            return Evaluate(message.subscription, message.published_at)
        image, digest = named_image(which.image, which.digest) if which.image else (None, None)
        statement = parse_digest(request.statement) if image and request.statement else None
    except (ValueError, BadReference) as error:
        raise BadMessage(f"Not a request to evaluate: {error}") from error
    return Evaluate(
        message.subscription, message.published_at, image, digest, which.pipeline, statement
    )
