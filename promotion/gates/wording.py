"""How findings say what they have in common."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from promotion.evidence.act import Act


def moment(at: datetime) -> str:
    """A moment that has been, as findings name it: to the second, in UTC."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def moment_to_come(at: datetime) -> str:
    """A moment that is waited for: of a part of a second the whole, so that by then it has come."""
    return moment(at + timedelta(microseconds=-at.microsecond % 1_000_000))


def until(act: Act) -> str:
    """Until when a decision holds, as an addition to who made it."""
    return f" until {moment_to_come(act.expires_at)}" if act.expires_at else ""
