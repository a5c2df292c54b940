"""Lists that come page by page, and where the next page is (RFC 8288, "Link")."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

# The two forms of a parameter's value: quoted, with backslashes before what is meant as it stands,
# and bare. Between links stand commas, which may occur inside a target and inside quotes too.
_VALUE = r'"(?:[^"\\]|\\.)*"|[^\s";,]*'
_LINK = re.compile(rf"<([^<>]*)>((?:\s*;\s*[^\s=;,]+(?:\s*=\s*(?:{_VALUE}))?)*)")
_PARAMETER = re.compile(rf";\s*([^\s=;,]+)\s*=\s*({_VALUE})")


def next_page(url: str, link: str) -> str | None:
    """Where the page is that follows, on the same host.

    Args:
        url: The path and query of the page that was read, to which the next may be relative.
        link: Its Link header, empty if there was none.

    Raises:
        ValueError: The link leads to what is no URL.
    """
    for target, parameters in _LINK.findall(link):
        if "next" in _relations(parameters):
            parts = urlsplit(urljoin(url, target))
            # A path that began with two slashes would name another host.
            path = f"/{parts.path.lstrip('/')}"
            return f"{path}?{parts.query}" if parts.query else path
    return None


def _relations(parameters: str) -> Iterator[str]:
    """What a link says it is: one relation, or several between spaces, in any case."""
    for name, value in _PARAMETER.findall(parameters):
        if name.lower() == "rel":
            yield from re.sub(r"\\(.)", r"\1", value.strip('"')).lower().split()
