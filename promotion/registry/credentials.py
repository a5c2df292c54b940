"""Credentials: what an identity has to show to a registry, and where it is found.

Google's are found in google.py, those of Docker's configuration in docker_config.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Token:
    """An access token that is sent as it is, with the first request.

    Attributes:
        username: The name under which a token endpoint takes it as a password.
    """

    value: str = field(repr=False)
    username: str = "oauth2accesstoken"


@dataclass(frozen=True)
class Login:
    """A name and a password, for Basic authentication or a token endpoint."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class IdentityToken:
    """A refresh token of OAuth 2, which only a token endpoint takes."""

    value: str = field(repr=False)


Credential = Token | Login | IdentityToken


def secret_of(credential: Credential) -> str:
    """The part of a credential that nobody may read."""
    return credential.password if isinstance(credential, Login) else credential.value


def is_token(text: str) -> bool:
    """Whether a token can be sent as it is, in a header; no error text repeats one that cannot."""
    return re.fullmatch("[!-~]+", text) is not None


class Credentials(Protocol):
    """What one identity has to show, host by host. Shared between threads."""

    def find(self, host: str) -> Credential | None:
        """What to show to this host; None to come anonymously.

        Raises:
            AccessDenied: There should be something for this host, and it cannot be had.
            RegistryUnavailable: Where it comes from is busy, broken or out of reach.
        """

    def renew(self, host: str) -> None:
        """Forget what ``find`` may have kept for this host: it was not accepted."""


class Anonymous:
    """Has nothing to show to anybody."""

    def find(self, host: str) -> Credential | None:  # noqa: ARG002 - the protocol's parameter
        """None, for every host."""
        return None

    def renew(self, host: str) -> None:
        """There is nothing to forget."""


class GivenToken:
    """One access token for every host that its side of a copy speaks to."""

    def __init__(self, value: str) -> None:
        self._token = Token(value)

    def find(self, host: str) -> Credential | None:  # noqa: ARG002 - the protocol's parameter
        """The token, for every host."""
        return self._token

    def renew(self, host: str) -> None:
        """There is no other: whoever gave it has to give a new one."""


class TokenFor:
    """One access token for one host."""

    def __init__(self, host: str, value: str) -> None:
        self._host = host
        self._token = Token(value)

    def find(self, host: str) -> Credential | None:
        """The token, for its host."""
        return self._token if host == self._host else None

    def renew(self, host: str) -> None:
        """There is no other: whoever gave it has to give a new one."""


class FirstOf:
    """Several places to look in, the first that has something for the host counts."""

    def __init__(self, *places: Credentials) -> None:
        self._places = places

    def find(self, host: str) -> Credential | None:
        """What the first place has that has anything.

        Raises:
            AccessDenied, RegistryUnavailable: A place fails before one has answered; the next is
                not asked, since it may speak for somebody else.
        """
        for place in self._places:
            if (found := place.find(host)) is not None:
                return found
        return None

    def renew(self, host: str) -> None:
        """Forget what any of them has kept for this host."""
        for place in self._places:
            place.renew(host)
