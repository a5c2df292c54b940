"""Freezes: the windows in which nothing leaves a stage, by the clocks of a time zone.

Where the clocks skip the time at which a window begins or ends, or show it twice, the window is the
longer one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from promotion.gates.wording import moment_to_come
from promotion.pipeline import DatedFreeze, Freeze, Gate, WeeklyFreeze
from promotion.verdict import Decision, Finding

_WEEK = timedelta(days=7)


class Window(msgspec.Struct, frozen=True):
    """A freeze once: from its beginning until just before its end."""

    begin: datetime
    end: datetime
    reason: str


def judged(gate: Gate, now: datetime) -> Iterator[Finding]:
    """Whether anything may leave now; if not, when and why."""
    windows = _unbroken(gate.freeze, now)
    if not windows:
        return
    reasons = ", ".join(dict.fromkeys(each.reason for each in windows))
    end = windows[-1].end
    if _at(gate.freeze, end):
        message = f"nothing leaves at any time of the week, as promotion.yaml has it: {reasons}"
    else:
        message = f"nothing leaves until {moment_to_come(end)}: {reasons}"
    yield Finding(Decision.WAIT, "frozen", message)


def _unbroken(freezes: Sequence[Freeze], now: datetime) -> list[Window]:
    """The windows that follow each other from now on without a moment between them.

    After the dated ones only those of the week are left: if these last for weeks, they never end.
    """
    zones = [each.end.replace(tzinfo=UTC) for each in freezes if isinstance(each, DatedFreeze)]
    last = max([now, *zones]) + 4 * _WEEK
    found: list[Window] = []
    while window := _at(freezes, found[-1].end if found else now):
        found.append(window)
        if window.end > last:
            break
    return found


def _at(freezes: Sequence[Freeze], at: datetime) -> Window | None:
    """Of the windows that a moment is in, the one that ends last."""
    windows = [
        window
        for freeze in freezes
        for window in _near(freeze, at)
        if window.begin <= at < window.end
    ]
    return max(windows, key=lambda each: (each.end, each.reason), default=None)


def _near(freeze: Freeze, at: datetime) -> list[Window]:
    """The windows of a freeze that a moment can be in."""
    if isinstance(freeze, DatedFreeze):
        return [_window(freeze, freeze.begin, freeze.end)]
    # Weeks are counted by the calendar there: one with a change of the clocks is not as long.
    today = at.astimezone(freeze.timezone).date()
    return [_in_week(freeze, today + weeks * _WEEK) for weeks in (-1, 0, 1)]


def _in_week(freeze: WeeklyFreeze, day: date) -> Window:
    """The window that begins on a day, or in the six days before it."""
    first = day - timedelta(days=(day.weekday() - freeze.from_weekday) % 7)
    days = (freeze.to_weekday - freeze.from_weekday) % 7
    if days == 0 and freeze.to_time <= freeze.from_time:
        days = 7
    begin = datetime.combine(first, freeze.from_time)
    return _window(freeze, begin, datetime.combine(first + timedelta(days), freeze.to_time))


def _window(freeze: Freeze, begin: datetime, end: datetime) -> Window:
    return Window(
        min(_readings(begin, freeze.timezone)),
        max(_readings(end, freeze.timezone)),
        freeze.reason,
    )


def _readings(local: datetime, timezone: ZoneInfo) -> list[datetime]:
    """The moments that a local time can mean: two where clocks go back, or skip it."""
    return [local.replace(tzinfo=timezone, fold=fold).astimezone(UTC) for fold in (0, 1)]
