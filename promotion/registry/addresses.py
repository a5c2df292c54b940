"""Addresses that a registry has no business leading anybody to.

Behind this machine's own addresses, those of its link, and those of cloud metadata services there
are answers for this machine alone, such as its access tokens. To be imported when a registry leads
somewhere: requests to the registry itself need none of it.
"""

from __future__ import annotations

import re
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

_METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "metadata.goog"})
# Of those that are no link-local ones: two of Amazon's and Google's, Alibaba's, Azure's, Oracle's.
_METADATA = frozenset(
    map(
        ip_address,
        ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
    )
)
# Set aside for one machine or one site: RFC 6761, RFC 6762, RFC 8375, and ICANN for `internal`.
_LOCAL_SUFFIXES = ("localhost", "localdomain", "local", "internal", "home.arpa")
_THIS_NETWORK = 8  # The bits of 0.0.0.0/8, by which Linux too means this machine.
# Version 6 with one of version 4 in the last bits: two prefixes of NAT64, one of SIIT, and ::/96.
_WRAPPING = tuple(map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96")))

_Address = IPv4Address | IPv6Address


def is_internal(address: str) -> bool:
    """Whether an IP address is this machine's or its link's, or a metadata service's.

    An address of version 6 that wraps one of version 4 is what it wraps.
    """
    return _is_loopback(address) or any(map(_is_beside, _meant(address)))


def is_internal_elsewhere(address: str) -> bool:
    """Whether it is internal, and not on this machine: for registries that are on it too."""
    return not _is_loopback(address) and is_internal(address)


def spelt_address(name: str) -> str | None:
    """The IP address that a URL's host spells, in any form that is ever resolved; else None.

    Beside the usual forms these are IPv4's of fewer than four parts, octal and hexadecimal ones:
    ``2130706433``, ``0x7f.1`` and ``0177.0.0.1`` are 127.0.0.1.
    """
    if name.startswith("["):
        return name.strip("[]")
    try:
        return socket.inet_ntoa(socket.inet_aton(name.removesuffix(".")))
    except OSError:
        return None


def is_metadata_name(name: str) -> bool:
    """Whether a host's name is one of a metadata service's."""
    return name.removesuffix(".") in _METADATA_NAMES


def local_suffix(name: str) -> str | None:
    """The suffix by which a host's name means something on one machine or site alone.

    Returns:
        One of those that are set aside for that; "" for a name without a dot; None for others.
    """
    bare = name.removesuffix(".")
    found = next((each for each in _LOCAL_SUFFIXES if f".{bare}".endswith(f".{each}")), None)
    return "" if found is None and "." not in bare else found


def _is_loopback(address: str) -> bool:
    return any(each.is_loopback or _is_this_network(each) for each in _meant(address))


def _is_this_network(address: _Address) -> bool:
    return isinstance(address, IPv4Address) and int(address) >> (32 - _THIS_NETWORK) == 0


def _is_beside(address: _Address) -> bool:
    return address.is_link_local or address.is_multicast or address in _METADATA


def _meant(text: str) -> list[_Address]:
    """An address, and the one of version 4 that it wraps."""
    address = ip_address(re.sub("%.*", "", text))
    if isinstance(address, IPv4Address):
        return [address]
    teredo = address.teredo[1] if address.teredo else None
    wrapped = [address.ipv4_mapped, address.sixtofour, teredo, _in_last_bits(address)]
    return [address, *(each for each in wrapped if each)]


def _in_last_bits(address: IPv6Address) -> IPv4Address | None:
    wraps = any(address in network for network in _WRAPPING)
    return IPv4Address(int(address) & 0xFFFFFFFF) if wraps else None
