"""Who the product is to a registry: the Authorization header that each request gets.

Follows the Distribution project's token authentication and RFC 7617 (Basic). Nothing is asked that
is known: a token goes with the first request, since Google's registries take an access token as it
is; after a host's first 401 it is known what this host wants, and all later requests have it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from types import MappingProxyType
from typing import Protocol

from promotion.errors import AccessDenied
from promotion.registry import challenge as challenges
from promotion.registry import token_endpoint
from promotion.registry.challenge import Challenge
from promotion.registry.credentials import Credential, Credentials, IdentityToken, Token
from promotion.registry.fetch import Fetch
from promotion.registry.realm import TrustedRealms, check_realm
from promotion.registry.single_flight import SingleFlight
from promotion.registry.tokens import IssuedToken, TokenCache

Scopes = Sequence[str]
"""What a request needs, in the token specification's form: ``repository:PATH:pull,push``."""

_KNOWN_SCHEMES = frozenset({"bearer", "basic"})
_NO_FURTHER_REALMS: TrustedRealms = MappingProxyType({})


class Authenticator(Protocol):
    """Speaks for one identity. Shared between threads."""

    def authorization(self, host: str, scopes: Scopes) -> str | None:
        """The Authorization header to send with a first attempt; None for none.

        Raises:
            AccessDenied: There should be a credential for this host, and it cannot be had.
            RegistryUnavailable: Where it comes from is busy, broken or out of reach.
        """

    def renewed(self, host: str, scopes: Scopes, challenge: str, refused: str | None) -> str | None:
        """Another header after a 401, or None if there is nothing else to say.

        Args:
            host: The registry.
            scopes: What the request needs.
            challenge: The answer's WWW-Authenticate header.
            refused: The header that was sent with the request; None if there was none.

        Raises:
            AccessDenied: The challenge cannot be met.
            RegistryUnavailable: The token endpoint is busy, broken or out of reach.
        """


class RegistryAuthenticator:
    """Shows one identity's credentials to registries, in the way that each of them wants."""

    def __init__(
        self,
        credentials: Credentials,
        fetch: Fetch,
        trusted_realms: TrustedRealms = _NO_FURTHER_REALMS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._credentials = credentials
        self._fetch = fetch
        self._trusted_realms = trusted_realms
        self._wanted: dict[str, Challenge] = {}
        self._tokens = TokenCache(clock)
        self._renewals: SingleFlight[tuple[str, Credential], Credential | None] = SingleFlight()

    def authorization(self, host: str, scopes: Scopes) -> str | None:
        """The header for a first attempt: what the host is known to want, else the token itself.

        Raises:
            AccessDenied, RegistryUnavailable: As the protocol says.
        """
        wanted = self._wanted.get(host)
        if wanted is None:
            return _as_it_is(self._credentials.find(host))
        if wanted.scheme == "basic":
            return _as_basic(self._credentials.find(host))
        try:
            return self._issued(host, scopes, wanted)
        except AccessDenied:
            # Perhaps it wants something else by now: the next request lets it say so.
            self._wanted.pop(host, None)
            raise

    def renewed(self, host: str, scopes: Scopes, challenge: str, refused: str | None) -> str | None:
        """What the challenge asks for, unless it is what was refused.

        Raises:
            AccessDenied, RegistryUnavailable: As the protocol says.
        """
        wanted = self._understood(host, challenge)
        if wanted is None:
            return self._shown(host, _as_it_is, refused)
        if wanted.scheme == "basic":
            return self._shown(host, _as_basic, refused)
        header = self._issued(host, scopes, wanted, refused)
        return header if header != refused else None

    def _understood(self, host: str, header: str) -> Challenge | None:
        """What a host wants, by this challenge or by an earlier one; None if it never said."""
        offered = challenges.parse(header)
        usable = [challenge for challenge in offered if _is_usable(challenge)]
        if usable:
            # A password is shown to the token endpoint alone where there is one.
            self._wanted[host] = min(usable, key=lambda challenge: challenge.scheme == "basic")
        elif unknown := [one.scheme for one in offered if one.scheme not in _KNOWN_SCHEMES]:
            schemes = ", ".join(unknown)
            raise AccessDenied(f"{host} wants {schemes:.100}; only Bearer and Basic are known here")
        return self._wanted.get(host)

    def _shown(
        self, host: str, form: Callable[[Credential | None], str | None], refused: str | None
    ) -> str | None:
        """The credential in the given form; a renewed one if that was refused."""
        found = self._credentials.find(host)
        header = form(found)
        if found is None or header is None or header != refused:
            return header
        return form(self._instead_of(found, host))

    def _issued(
        self, host: str, scopes: Scopes, wanted: Challenge, refused: str | None = None
    ) -> str:
        """A token from the host's token endpoint: one that is kept, unless it was refused."""
        ask = partial(self._ask, host, scopes, wanted)
        refused_token = (refused or "").removeprefix("Bearer ")
        return f"Bearer {self._tokens.get((host, frozenset(scopes)), ask, refused_token)}"

    def _ask(self, host: str, scopes: Scopes, wanted: Challenge) -> IssuedToken:
        check_realm(host, wanted.realm, self._trusted_realms)
        ask = partial(token_endpoint.issue, self._fetch, host, wanted, scopes)
        credential = self._credentials.find(host)
        try:
            return ask(credential)
        except AccessDenied:
            other = self._instead_of(credential, host) if credential else None
            if other is None:
                raise
            return ask(other)

    def _instead_of(self, refused: Credential, host: str) -> Credential | None:
        """Another credential than the refused one, renewed if need be; None if there is none."""
        found = self._credentials.find(host)
        if found == refused:
            renew = partial(self._renewed_credential, refused, host)
            found = self._renewals.do((host, refused), renew)
        return found if found != refused else None

    def _renewed_credential(self, refused: Credential, host: str) -> Credential | None:
        # Between the look outside and the flight, another one may have landed.
        found = self._credentials.find(host)
        if found != refused:
            return found
        self._credentials.renew(host)
        return self._credentials.find(host)


def _is_usable(challenge: Challenge) -> bool:
    return challenge.scheme == "basic" or (challenge.scheme == "bearer" and bool(challenge.realm))


def _as_it_is(credential: Credential | None) -> str | None:
    return f"Bearer {credential.value}" if isinstance(credential, Token) else None


def _as_basic(credential: Credential | None) -> str | None:
    if credential is None or isinstance(credential, IdentityToken):
        return None
    return token_endpoint.basic(credential)
