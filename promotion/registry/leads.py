"""Where a registry leads: the Location of an upload, or of a redirect, may be on another host.

What a registry answers decides neither who sees a credential, which is the registry's own origin
alone, nor what of this machine's surroundings is spoken to. To be imported when it is needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urljoin

import msgspec

from promotion.errors import RegistryUntrusted
from promotion.registry import addresses
from promotion.registry.concealed import Concealing
from promotion.registry.reference import is_loopback
from promotion.registry.request_log import registry_url

# Stricter than URLs are: no two parsers may disagree on which host is meant.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>(?P<name>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?)"
    r"(?:[/?#].*)?",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
_PORTS = {"http": "80", "https": "443"}
_HIGHEST_PORT = 65_535


class Lead(Concealing, msgspec.Struct, frozen=True):
    """A place that a registry leads to.

    Attributes:
        url: Absolute.
        host: With its port, as the URL has it.
        is_registry: Whether it is of the registry's own origin, which may see its credential.
        forbids: Tells of an address whether it must not be connected to; None where the host is
            the registry's, wherever that is.
        is_local: Whether its name means something on one machine or site alone, and is none of
            the kind that the registry's own is: a proxy is not asked to look it up.
    """

    url: str
    host: str
    is_registry: bool
    forbids: Callable[[str], bool] | None = None
    is_local: bool = False


def lead(registry: str, base: str, location: str) -> Lead:
    """The place that a Location names.

    Args:
        registry: The host of the registry.
        base: The URL that the location may be relative to.
        location: What the registry, or whom it led to, has answered.

    Raises:
        RegistryUntrusted: Nobody is to go there; the text names the place, and why.
    """
    found = _found(base, location)
    scheme, name = found["scheme"].lower(), found["name"].lower()
    secure = not is_loopback(registry)
    if secure and scheme != "https":
        raise RegistryUntrusted(f"{found['host']} without TLS")
    origin = (scheme, name, found["port"] or _PORTS[scheme])
    own = _origin(registry)
    if name == own[1]:
        return Lead(found[0], found["host"], origin == own)
    forbids = addresses.is_internal if secure else addresses.is_internal_elsewhere
    address = addresses.spelt_address(name)
    if addresses.is_metadata_name(name) or (address and _forbidden(forbids, address)):
        raise RegistryUntrusted(f"{found['host']}, an address that is internal here")
    is_local = addresses.local_suffix(name) not in (None, addresses.local_suffix(own[1]))
    return Lead(found[0], found["host"], False, forbids, is_local and not address)


def _found(base: str, location: str) -> re.Match[str]:
    try:
        url = urljoin(base, location)
    except ValueError as error:
        raise RegistryUntrusted("what is no URL") from error
    found = _URL.fullmatch(url)
    if found is None or int(found["port"] or 0) > _HIGHEST_PORT:
        # What a registry leads to may be signed, so not all of it is to be read.
        raise RegistryUntrusted(f"{registry_url(url)!r:.200}, which is no URL of a registry's")
    return found


def _forbidden(forbids: Callable[[str], bool], address: str) -> bool:
    try:
        return forbids(address)
    except ValueError:
        return True


def _origin(registry: str) -> tuple[str, str, str]:
    scheme = "http" if is_loopback(registry) else "https"
    name, _, port = (
        registry.rpartition(":") if re.search(r":[0-9]+$", registry) else (registry, "", "")
    )
    return scheme, name, port or _PORTS[scheme]
