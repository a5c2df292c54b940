"""Challenges: what a registry wants to be shown, by the header WWW-Authenticate of its 401.

The header lists challenges, each a scheme with parameters, and separates with commas both the
challenges and the parameters of one (RFC 9110, section 11.6.1). Registries take liberties with it,
so whatever can be understood is taken and the rest is passed over: no header is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

_LONGEST = 16 * 1024
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# A parameter; a scheme, with the opaque token that may stand in place of parameters; junk; the end.
_ITEM = re.compile(
    rf"""
    [\s,]*+
    (?:
        (?P<name>{_TOKEN}) [ \t]* = [ \t]* (?: "(?P<quoted>(?:[^"\\]|\\.)*)" | (?P<plain>[^\s",]+) )
      | (?P<scheme>{_TOKEN}) (?=[ \t,]|\Z) (?: [ \t]+ [A-Za-z0-9\-._~+/]+ =* (?=[ \t]*(?:,|\Z)) )?
      | (?: "(?:[^"\\]|\\.)*"? | [^",] )+
      | \Z
    )
    """,
    re.VERBOSE,
)


class Challenge(msgspec.Struct, frozen=True):
    """One way to be let in.

    Attributes:
        scheme: In lower case: ``bearer``, ``basic``.
        parameters: By their names in lower case; of a name that is repeated, the first.
    """

    scheme: str
    parameters: Mapping[str, str] = {}

    @property
    def realm(self) -> str:
        """For Bearer, the URL of the token endpoint; empty if there is none."""
        return self.parameters.get("realm", "")

    @property
    def service(self) -> str:
        """The name that the token endpoint knows the registry by; empty if there is none."""
        return self.parameters.get("service", "")


def parse(header: str) -> tuple[Challenge, ...]:
    """Read the header, or several joined by commas; one that is too long says nothing."""
    if len(header) > _LONGEST:
        return ()
    found: list[tuple[str, dict[str, str]]] = []
    for item in _ITEM.finditer(header):
        if item["scheme"]:
            found.append((item["scheme"].lower(), {}))
        elif item["name"] and found:
            _, parameters = found[-1]
            parameters.setdefault(item["name"].lower(), _value(item))
    return tuple(Challenge(scheme, parameters) for scheme, parameters in found)


def _value(item: re.Match[str]) -> str:
    plain, quoted = item["plain"], item["quoted"]
    return plain if plain is not None else re.sub(r"\\(.)", r"\1", quoted)
