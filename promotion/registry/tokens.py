"""The tokens that registries' token endpoints have issued, kept for as long as they are good."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from promotion.registry.single_flight import SingleFlight

TokenKey = tuple[str, frozenset[str]]
"""A host, and the scopes that the token is good for."""

# A request that begins just before the end of its token may reach the registry just after it.
_LONGEST_MARGIN = 60.0
_LARGEST_MARGIN = 1 / 4


@dataclass(frozen=True)
class IssuedToken:
    """A token, and for how many seconds it is good."""

    value: str = field(repr=False)
    lifetime: float


@dataclass(frozen=True)
class _Kept:
    value: str = field(repr=False)
    until: float


class TokenCache:
    """Tokens by host and scopes; each is asked for once, however many threads want it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[TokenKey, _Kept] = {}
        self._flights: SingleFlight[TokenKey, str] = SingleFlight()

    def get(self, key: TokenKey, ask: Callable[[], IssuedToken], refused: str = "") -> str:
        """A token that is not the refused one: kept, or asked for.

        An endpoint that issues the same token again has the last word, though.
        """

        def kept_or_new() -> str:
            # Between the look outside and the flight, another one may have landed.
            return self._find(key, refused) or self._keep(key, ask())

        return self._find(key, refused) or self._flights.do(key, kept_or_new)

    def _find(self, key: TokenKey, refused: str) -> str | None:
        with self._lock:
            kept = self._kept.get(key)
        if kept is None or kept.value == refused or kept.until <= self._clock():
            return None
        return kept.value

    def _keep(self, key: TokenKey, issued: IssuedToken) -> str:
        now = self._clock()
        margin = min(_LONGEST_MARGIN, issued.lifetime * _LARGEST_MARGIN)
        with self._lock:
            self._kept = {key: kept for key, kept in self._kept.items() if kept.until > now}
            self._kept[key] = _Kept(issued.value, now + issued.lifetime - margin)
        return issued.value
