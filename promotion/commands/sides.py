"""The transports of the command line: who we are to the source, and who to the destination."""

from __future__ import annotations

from collections.abc import Mapping

from promotion.registry.auth import RegistryAuthenticator
from promotion.registry.connections import Connections
from promotion.registry.credentials import Credentials
from promotion.registry.realm import trusted_realms
from promotion.registry.side import (
    Side,
    credentials_around,
    credentials_for,
    credentials_of,
    own_credentials,
)
from promotion.registry.transport import Transport

_OVERRIDES = ("AUTH_OVERRIDE", "ACCESS_TOKEN")


def side_around(host: str, environment: Mapping[str, str]) -> Transport:
    """The transport to read from a registry, and from others that one is led to from there.

    Raises:
        BadConfiguration: What the environment gives is no credential.
    """
    connections = Connections()
    credentials = credentials_around(host, environment, connections.fetch)
    return _as(credentials, environment, connections)


def two_sides(environment: Mapping[str, str]) -> tuple[Transport, Transport]:
    """The transports for source and destination; one and the same where they are one identity.

    Raises:
        BadConfiguration: What the environment gives is no credential.
    """
    connections = Connections()
    reader = _transport(Side.SOURCE, environment, connections)
    if _are_one_identity(environment):
        return reader, reader
    return reader, _transport(Side.DESTINATION, environment, connections)


def two_sides_at(
    source: str, destination: str, environment: Mapping[str, str]
) -> tuple[Transport, Transport]:
    """The same at these hosts, which alone are shown the access tokens of their sides.

    For commands that a configuration leads on to other registries.

    Raises:
        BadConfiguration: What the environment gives is no credential.
    """
    connections = Connections()
    fetch = connections.fetch
    if _are_one_identity(environment):
        hosts = [source, destination]
        both = credentials_for(Side.SOURCE, hosts, environment, fetch)
        transport = _as(both, environment, connections)
        return transport, transport
    reader = credentials_for(Side.SOURCE, [source], environment, fetch)
    writer = credentials_for(Side.DESTINATION, [destination], environment, fetch)
    return _as(reader, environment, connections), _as(writer, environment, connections)


def _are_one_identity(environment: Mapping[str, str]) -> bool:
    return all(
        environment.get(f"{Side.SOURCE}_{name}") == environment.get(f"{Side.DESTINATION}_{name}")
        for name in _OVERRIDES
    )


def own_identity(environment: Mapping[str, str], connections: Connections) -> Transport:
    """The transport for whoever runs this, where there are no sides.

    Raises:
        BadConfiguration: The environment names realms in another form.
    """
    credentials = own_credentials(environment, connections.fetch)
    return _as(credentials, environment, connections)


def _transport(side: Side, environment: Mapping[str, str], connections: Connections) -> Transport:
    credentials = credentials_of(side, environment, connections.fetch)
    return _as(credentials, environment, connections)


def _as(
    credentials: Credentials, environment: Mapping[str, str], connections: Connections
) -> Transport:
    realms = trusted_realms(environment)
    return Transport(RegistryAuthenticator(credentials, connections.fetch, realms), connections)
