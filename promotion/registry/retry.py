"""When to try a request again, and how long to wait first.

What a registry asks for in Retry-After is honoured in full; without it the pause doubles from half
a second to half a minute, with jitter, so that many clients do not come back in step.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from promotion import deadline
from promotion.errors import PromotionError, RegistryUnavailable

_LONGEST_RETRY_AFTER = 24 * 60 * 60


class Patience(msgspec.Struct, frozen=True):
    """How often to try, and how long to wait between tries; times are in seconds."""

    tries: int = 5
    first_pause: float = 0.5
    longest_pause: float = 30.0

    def pause(self, tried: int, retry_after: float | None) -> float | None:
        """How long to wait after so many tries; None to give up."""
        if tried >= self.tries:
            return None
        if retry_after is not None:
            return retry_after
        doubled = self.first_pause * math.pow(2, tried - 1)
        return min(doubled, self.longest_pause) * random.uniform(0.5, 1)


class Tries:
    """The tries that one piece of work has: one budget, over as many requests as it takes."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._failed = 0

    def failed(self, error: PromotionError) -> None:
        """Wait before the next try.

        Raises:
            The error itself, when there is to be no other try, or no time for the pause.
        """
        self._failed += 1
        wanted = error.retry_after if isinstance(error, RegistryUnavailable) else None
        pause = self._patience.pause(self._failed, wanted)
        if pause is None or pause >= deadline.current().left:
            raise error
        wait(pause)

    def got_on(self) -> None:
        """A try has brought something on its way, and is no failed one."""
        self._failed = 0


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """The seconds that an answer asks to be left alone for (RFC 9110, 10.2.3), if it does.

    A moment is taken by the clock of whoever answered, where the answer tells it: one that differs
    from this machine's would make the pause none at all, or longer than anybody has time for.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return min(float(text), _LONGEST_RETRY_AFTER)
    moment = _moment(text)
    if moment is None:
        return None
    answered = _moment(headers.get("Date", "")) or now or datetime.now(UTC)
    return min(max((moment - answered).total_seconds(), 0.0), _LONGEST_RETRY_AFTER)


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
        # One beyond what can be reckoned with is found out here.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def wait(seconds: float) -> None:
    """Wait before the next try; a function of its own, so that a test can watch the clock."""
    deadline.current().wait(threading.Event(), seconds)
