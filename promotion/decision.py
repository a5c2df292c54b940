"""A person's request to the control function, as JSON: what is decided, about what, and why.

Who decides is no part of it: that is proven by the request's identity token. Only in development
may the body name its author.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from promotion import configuration, typed
from promotion.errors import BadMessage
from promotion.evidence.act import Kind

GateName = Literal[
    "suites",
    "refs",
    "versions",
    "order",
    "soak",
    "alerts",
    "approvals",
    "freeze",
    "hold",
    "auto",
]
"""What an override can let an image pass: the keys of a gate, a hold, and ``auto: false``."""

OVERRIDE_HOLDS = timedelta(hours=24)
OVERRIDE_HOLDS_AT_MOST = timedelta(days=7)

_Name = Annotated[str, Meta(max_length=1024)]


class Decision(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What a person asks for; "" and None are what was not given.

    Attributes:
        image: ``REGISTRY/PATH/NAME:TAG``, in a stage.
        digest: What the tag is meant to name; default: what it names now.
        pipeline: What a hold or a release is about, instead of an image.
        stage: The one of the pipeline's stages that it is about; default: all.
        expires_at: Until when it holds.
        expires_in: The same as a length of time from now, such as 4h.
        gates: The gates that an override lets the image pass.
        to_stage: Where a promotion goes to; default: to all that follow.
        author: Who decides: in development only.
    """

    action: Kind
    image: _Name = ""
    digest: _Name = ""
    pipeline: _Name = ""
    stage: _Name = ""
    reason: Annotated[str, Meta(max_length=1000)] = ""
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None
    expires_in: _Name = ""
    gates: tuple[GateName, ...] = ()
    to_stage: _Name = ""
    author: _Name = ""

    def expiry(self, now: datetime) -> datetime | None:
        """Until when it holds, if it was decided now; None: for good.

        Raises:
            BadMessage: That is over already, or further away than an override may be.
        """
        asked = self._asked_expiry(now)
        if self.action is not Kind.OVERRIDE:
            return asked
        if asked and asked > now + OVERRIDE_HOLDS_AT_MOST:
            raise BadMessage("An override holds for 7 days at most: let it expire sooner")
        return asked or now + OVERRIDE_HOLDS

    def _asked_expiry(self, now: datetime) -> datetime | None:
        try:
            moment = self._moment(now)
        except (ValueError, OverflowError) as error:
            raise BadMessage(f"It cannot expire then: {error}") from error
        if moment and moment <= now:
            raise BadMessage(f"It would expire at {moment.isoformat()}, which is over already")
        return moment

    def _moment(self, now: datetime) -> datetime | None:
        if self.expires_in:
            return now + configuration.duration(self.expires_in)
        return self.expires_at.astimezone(UTC) if self.expires_at else None


class _Form(NamedTuple):
    """The fields that an action must have, and those that it may have besides."""

    required: frozenset[str]
    optional: frozenset[str]


def _form(required: str, optional: str) -> _Form:
    return _Form(frozenset(required.split()), frozenset(f"{optional} action author".split()))


_FORMS = {
    Kind.APPROVE: _form("image reason", "digest expires_at expires_in"),
    Kind.OVERRIDE: _form("image reason gates", "digest expires_at expires_in"),
    Kind.HOLD: _form("reason", "image digest pipeline stage expires_at expires_in"),
    Kind.RELEASE: _form("reason", "image digest pipeline stage"),
    Kind.REVOKE: _form("image reason", "digest"),
    Kind.PROMOTE: _form("image", "digest to_stage reason"),
}


def parse(body: bytes) -> Decision:
    """Read the body of a request.

    Raises:
        BadMessage: It is not JSON, or not of the form that its action has.
    """
    try:
        decision = typed.decode(body, Decision)
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"Not a decision: {error}") from error
    given = {name for name in Decision.__struct_fields__ if _is_given(getattr(decision, name))}
    form = _FORMS[decision.action]
    _check_none(f"{decision.action} needs", form.required - given)
    _check_none(f"{decision.action} does not take", given - form.required - form.optional)
    if {"expires_at", "expires_in"} <= given:
        raise BadMessage("Give expires_at or expires_in, not both")
    _check_subject(decision)
    return decision


def _is_given(value: object) -> bool:
    return bool(value.strip() if isinstance(value, str) else value)


def _check_none(what: str, names: frozenset[str] | set[str]) -> None:
    if names:
        raise BadMessage(f"{what} {', '.join(sorted(names))}")


def _check_subject(decision: Decision) -> None:
    """It is about an image, or a pipeline, or one of its stages."""
    if bool(decision.image) == bool(decision.pipeline):
        raise BadMessage(f"{decision.action} needs either an image or a pipeline")
    if decision.digest and not decision.image:
        raise BadMessage("A digest goes with an image")
    if decision.stage and not decision.pipeline:
        raise BadMessage("A stage goes with its pipeline; an image's is in its name")
