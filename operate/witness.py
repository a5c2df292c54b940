"""What registries said about the credentials that they were shown."""

from __future__ import annotations

from collections.abc import Mapping

from promotion.registry.auth import Authenticator, RegistryAuthenticator, Scopes
from promotion.registry.connections import Connections
from promotion.registry.credentials import Credentials
from promotion.registry.realm import trusted_realms
from promotion.registry.transport import Transport


class Witness:
    """Shows what another authenticator shows, and remembers how each host took it.

    Attributes:
        shown: The hosts that were sent a credential with a first attempt.
        refused: What hosts asked for instead, by the WWW-Authenticate of their first 401.
    """

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self.shown: set[str] = set()
        self.refused: dict[str, str] = {}

    def authorization(self, host: str, scopes: Scopes) -> str | None:
        """What the other one shows first.

        Raises:
            AccessDenied, RegistryUnavailable: As the protocol says.
        """
        header = self._authenticator.authorization(host, scopes)
        if header is not None:
            self.shown.add(host)
        return header

    def renewed(self, host: str, scopes: Scopes, challenge: str, refused: str | None) -> str | None:
        """What the other one shows after a 401.

        Raises:
            AccessDenied, RegistryUnavailable: As the protocol says.
        """
        self.refused.setdefault(host, challenge)
        return self._authenticator.renewed(host, scopes, challenge, refused)


def witnessed(
    credentials: Credentials, connections: Connections, environment: Mapping[str, str]
) -> tuple[Transport, Witness]:
    """A transport that shows these credentials, and its witness.

    Raises:
        BadConfiguration: The environment names realms in another form.
    """
    realms = trusted_realms(environment)
    witness = Witness(RegistryAuthenticator(credentials, connections.fetch, realms))
    return Transport(witness, connections), witness
