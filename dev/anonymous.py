"""Requests of nobody in particular, to registries on this machine."""

from __future__ import annotations

from promotion.registry.auth import RegistryAuthenticator
from promotion.registry.connections import Connections
from promotion.registry.credentials import Anonymous
from promotion.registry.retry import Patience
from promotion.registry.transport import Transport


def anonymous_transport(patience: Patience = Patience()) -> Transport:  # noqa: B008 - immutable
    """A transport that shows no credential, with connections of its own."""
    connections = Connections()
    authenticator = RegistryAuthenticator(Anonymous(), connections.fetch)
    return Transport(authenticator, connections, patience)
