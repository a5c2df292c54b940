"""Realms: to which token endpoint a registry may send its clients, and their credentials.

A registry names the endpoint in its challenge, so that a registry gone bad could have the
credential sent to a place of its own. Credentials go to the registry's own host, whatever the
port, and to hosts that are named here or by the configuration; a common domain is not enough,
since on many domains anybody can have a name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from promotion.errors import AccessDenied, BadConfiguration
from promotion.registry.reference import is_loopback

TrustedRealms = Mapping[str, frozenset[str]]
"""By registry host, as references write it: the names of further hosts that may issue tokens."""

VARIABLE = "PROMOTION_TRUSTED_REALMS"

_WELL_KNOWN = {
    "docker.io": frozenset({"auth.docker.io"}),
    "index.docker.io": frozenset({"auth.docker.io"}),
    "registry-1.docker.io": frozenset({"auth.docker.io"}),
    "registry.gitlab.com": frozenset({"gitlab.com"}),
}
# Stricter than URLs are: no two parsers may disagree on which host is meant.
_REALM = re.compile(
    r"(?P<scheme>https?)://(?P<name>[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?"
    r"(?:[/?][!$-\[\]-~]*)?",
    re.IGNORECASE | re.ASCII,
)
_ENTRY = re.compile(r"([a-z0-9.-]+(?::[0-9]+)?)=([a-z0-9.-]+)")


def trusted_realms(environment: Mapping[str, str]) -> TrustedRealms:
    """Read ``PROMOTION_TRUSTED_REALMS``: ``REGISTRY=HOST``, separated by spaces or commas.

    Raises:
        BadConfiguration: It is something else.
    """
    trusted: dict[str, frozenset[str]] = {}
    for text in re.split(r"[\s,]+", environment.get(VARIABLE, "").strip(" ,")):
        entry = _ENTRY.fullmatch(text)
        if entry is None:
            if text:
                raise BadConfiguration(f"{VARIABLE} has {text!r}; write REGISTRY=HOST")
            continue
        registry, name = entry.groups()
        trusted[registry] = trusted.get(registry, frozenset()) | {name}
    return trusted


def check_realm(host: str, realm: str, trusted: TrustedRealms) -> None:
    """Make sure that a credential for a registry may be sent to this token endpoint.

    Raises:
        AccessDenied: It may not.
    """
    url = _REALM.fullmatch(realm)
    if url is None:
        raise AccessDenied(f"{host} sends its clients to {realm!r:.200} for a token: not a URL")
    name = url["name"].lower()
    if name not in _names(host, trusted) and not (is_loopback(host) and is_loopback(name)):
        raise AccessDenied(
            f"{host} sends its clients to {name} for a token. That host was not contacted, since a"
            f" credential for {host} goes to no other host; if it does issue the tokens for"
            f" {host}, allow it: {VARIABLE}={host}={name}"
        )
    if url["scheme"].lower() != "https" and not is_loopback(name):
        raise AccessDenied(
            f"{host} sends its clients to {name} for a token without TLS. That host was not"
            " contacted, since anybody on the way could read the credential; the registry has to"
            " name an https:// realm"
        )


def _names(host: str, trusted: TrustedRealms) -> frozenset[str]:
    own = re.sub(r":[0-9]+$", "", host)
    return frozenset({own}) | _WELL_KNOWN.get(host, frozenset()) | trusted.get(host, frozenset())
