"""Lists that come page by page, and where the next page is (RFC 8288, "Link")."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sized
from urllib.parse import urljoin, urlsplit

import msgspec

from promotion.errors import BeyondLimit, UnsupportedContent
from promotion.registry.transport import Request, Response, Transport

LONGEST_PAGE = 16 * 1024 * 1024
"""The bytes that a page of names may have."""

# Past these a list is a registry's fault or an attack: it ends in an error, and is never cut.
MOST_PAGES = 1_000
"""The pages that a list may have."""
MOST_BYTES = 64 * 1024 * 1024
"""The bytes that all pages of a list may have together."""

# The two forms of a parameter's value: quoted, with backslashes before what is meant as it stands,
# and bare. Between links stand commas, which may occur inside a target and inside quotes too.
_VALUE = r'"(?:[^"\\]|\\.)*"|[^\s";,]*'
_LINK = re.compile(rf"<([^<>]*)>((?:\s*;\s*[^\s=;,]+(?:\s*=\s*(?:{_VALUE}))?)*)")
_PARAMETER = re.compile(rf";\s*([^\s=;,]+)\s*=\s*({_VALUE})")


def all_pages(
    request: Request, first: Response, transport: Transport, most: int
) -> Iterator[Response]:
    """The first page of a list, and those that follow it, each of at most so many bytes.

    Args:
        request: What the first page was the answer to.
        first: That page.
        transport: Sends the requests for the others.
        most: The bytes that each of them may have.

    Raises:
        BeyondLimit: They do not end, or hold more than any list that is of use.
        NotFound: A page that should follow is not there.
        UnsupportedContent: They lead in a circle.
    """
    url: str | None = request.url
    page = first
    read: set[str] = set()
    length = 0
    while url:
        read.add(url)
        length += len(page.content)
        yield page
        url = _following(url, page, request.attempted)
        if url:
            _check_end(request, read, length, url)
            following = msgspec.structs.replace(request, url=url, accept=frozenset({200}))
            page = transport.send(following, most)


def check_length(found: Sized, most: int, attempted: str) -> None:
    """Refuse a list that is longer than any that is of use.

    Raises:
        BeyondLimit: It is.
    """
    if len(found) > most:
        raise BeyondLimit(
            f"Could not {attempted}: there are more than {most:,}; remove those that are not needed"
        )


def check_count(page: Response, most: int, attempted: str) -> None:
    """Refuse a page of names that holds more than so many, before it is taken apart.

    Raises:
        BeyondLimit: It does: between names stand commas, and in none.
    """
    check_length(range(page.content.count(b",")), most, attempted)


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


def _following(url: str, page: Response, attempted: str) -> str | None:
    link = page.headers.get("Link", "")
    try:
        return next_page(url, link)
    except ValueError as error:
        raise UnsupportedContent(f"Could not {attempted}: {link!r:.200} leads nowhere") from error


def _check_end(request: Request, read: Collection[str], length: int, url: str) -> None:
    """Make sure that a list that goes on is one that can end."""
    text = (
        f"Could not {request.attempted}: after {len(read)} pages, of {length:,} bytes,"
        f" {request.host} goes on to {url:.200}"
    )
    if url in read:
        raise UnsupportedContent(text)
    if len(read) >= MOST_PAGES or length > MOST_BYTES:
        raise BeyondLimit(text)


def _relations(parameters: str) -> Iterator[str]:
    """What a link says it is: one relation, or several between spaces, in any case."""
    for name, value in _PARAMETER.findall(parameters):
        if name.lower() == "rel":
            yield from re.sub(r"\\(.)", r"\1", value.strip('"')).lower().split()
