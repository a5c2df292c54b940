"""Lists that come page by page, and where the next page is (RFC 8288, "Link")."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import urljoin, urlsplit

from promotion.errors import UnsupportedContent
from promotion.registry.transport import Response

# Past this a list is a registry's fault or an attack: it ends in an error, and is never cut.
_MOST_PAGES = 1_000

# The two forms of a parameter's value: quoted, with backslashes before what is meant as it stands,
# and bare. Between links stand commas, which may occur inside a target and inside quotes too.
_VALUE = r'"(?:[^"\\]|\\.)*"|[^\s";,]*'
_LINK = re.compile(rf"<([^<>]*)>((?:\s*;\s*[^\s=;,]+(?:\s*=\s*(?:{_VALUE}))?)*)")
_PARAMETER = re.compile(rf";\s*([^\s=;,]+)\s*=\s*({_VALUE})")


def pages(
    first: Response, url: str, ask: Callable[[str], Response], attempted: str
) -> Iterator[Response]:
    """The first page of a list, and those that follow it.

    Args:
        first: The first page.
        url: Where it is.
        ask: Reads the page at another place on the same host.
        attempted: What the list is for, in words that complete "Could not …".

    Raises:
        NotFound: A page that should follow is not there.
        UnsupportedContent: They lead in a circle, to nothing that is a URL, or do not end.
    """
    page, read = first, {url}
    yield page
    while following := _following(url, page, attempted):
        if following in read or len(read) == _MOST_PAGES:
            raise UnsupportedContent(
                f"Could not {attempted}: after {len(read)} pages the list goes on to {following}"
            )
        url, page = following, ask(following)
        read.add(url)
        yield page


def _following(url: str, page: Response, attempted: str) -> str | None:
    link = page.headers.get("Link", "")
    try:
        return _next_page(url, link)
    except ValueError as error:
        raise UnsupportedContent(f"Could not {attempted}: {link!r} leads nowhere") from error


def _next_page(url: str, link: str) -> str | None:
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
