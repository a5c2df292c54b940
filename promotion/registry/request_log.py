"""The log of requests: a line for each, and nothing in it that would let anybody in.

Written at level DEBUG, which ``promotion --verbose`` turns on. What is said of a URL is what is
known to be harmless: userinfo never, the values of a query only by name. Where a registry leads
to, such as a storage service, the path may be a credential as well as the query, and is left out.

Google's client libraries send requests of their own: of these each call is a line, by the method's
name in the API and the resource that it is about.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from promotion import log
from promotion.readable import readable

if TYPE_CHECKING:
    import urllib3

_logger = logging.getLogger(log.REQUESTS)
_API = "/v2/"
_HARMLESS = frozenset(
    {"artifactType", "digest", "from", "last", "mount", "n", "pageSize", "scope", "service"}
)


def logged(
    method: str,
    url: str,
    shown: Callable[[str], str],
    send: Callable[[], urllib3.BaseHTTPResponse],
) -> urllib3.BaseHTTPResponse:
    """Send a request and, where requests are logged, say what became of it.

    The milliseconds are those until the answer's headers were there.

    Args:
        method: Of the request.
        url: As it is sent.
        shown: What may be read of such a URL.
        send: Sends the request.
    """
    if not _logger.isEnabledFor(logging.DEBUG):
        return send()
    began = time.monotonic()
    became = "no answer"
    try:
        answer = send()
        became = str(answer.status)
    finally:
        _log(method, shown(url), became, began)
    return answer


@contextmanager
def called(method: str, resource: object) -> Iterator[None]:
    """Have a call of a client library logged: what is called, and how it ended.

    The milliseconds are those of the block; what the library does for the call, such as to have a
    token, is in them. Of an error there is its name alone: its text may hold what was sent.

    Args:
        method: The API's name for it, such as ``google.pubsub.v1.Publisher.Publish``.
        resource: What it is about; its text is written as it is.
    """
    if not _logger.isEnabledFor(logging.DEBUG):
        yield
        return
    began = time.monotonic()
    became = "OK"
    try:
        yield
    except BaseException as error:
        became = type(error).__name__
        raise
    finally:
        _log(method, str(resource), became, began)


def registry_url(url: str) -> str:
    """What may be read of a registry's URL, or of one that a registry leads to."""
    parts = urlsplit(url)
    path = parts.path if parts.path.startswith(_API) else "/…"
    return _shown(parts, path)


def service_url(url: str) -> str:
    """What may be read of a URL that is no registry's: a token endpoint's, an API's."""
    parts = urlsplit(url)
    return _shown(parts, parts.path)


def _log(method: str, subject: str, became: str, began: float) -> None:
    milliseconds = (time.monotonic() - began) * 1000
    _logger.debug("%s %s %s %.0f ms", method, readable(subject), became, milliseconds)


def _shown(parts: SplitResult, path: str) -> str:
    query = "&".join(_parameter(each) for each in parts.query.split("&") if each)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{path}{'?' if query else ''}{query}"


def _parameter(written: str) -> str:
    name, equals, _ = written.partition("=")
    if not equals:
        return "…"
    return written if name in _HARMLESS else f"{name}=…"
