"""HTTP to registries for one identity: authorised, limited, repeated, and explained when it fails.

Every request of the product to a registry passes through Transport.send or Transport.stream. Each
concern has a file of its own: who we are (auth), how much at once (limits), when again (retry),
what a refusal means (refusal), over which connections (connections). Here they are put together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urljoin

from promotion import __version__
from promotion.deadline import NEVER, Deadline
from promotion.errors import RegistryRefused, RegistryUnavailable, RegistryUntrusted, Retryable
from promotion.registry import retry
from promotion.registry.auth import Authenticator
from promotion.registry.connections import Body, Connections
from promotion.registry.reference import is_loopback
from promotion.registry.refusal import refusal
from promotion.registry.retry import Patience

if TYPE_CHECKING:
    import urllib3

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_THROTTLING = frozenset({429, 503})
_MOST_REDIRECTS = 5
_LONGEST_ANSWER = 64 * 1024

Result = TypeVar("Result")


@dataclass(frozen=True)
class Request:
    """One request to a registry.

    Attributes:
        attempted: What the request is for, in words that complete "Could not …".
        url: Absolute, or a path on the host.
        accept: The statuses that count as an answer; all others are raised as errors.
        scopes: What it needs rights for, in the token specification's form.
    """

    method: str
    host: str
    url: str
    attempted: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = None
    accept: frozenset[int] = frozenset({200})
    scopes: tuple[str, ...] = ()
    deadline: Deadline = NEVER

    @property
    def repeatable(self) -> bool:
        """Whether it can be sent again as it is: a body that streams is gone once it was sent."""
        return self.body is None or isinstance(self.body, bytes)


@dataclass(frozen=True)
class Response:
    """A registry's answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    content: bytes = b""


class Transport:
    """Sends one identity's requests; safe to share between threads.

    Several identities of a process share their connections, and so each host's limit.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        connections: Connections,
        patience: Patience = Patience(),  # noqa: B008 - immutable
    ) -> None:
        self._authenticator = authenticator
        self._connections = connections
        self.patience = patience

    def send(self, request: Request, most: int = _LONGEST_ANSWER) -> Response:
        """Send a request and read the answer, of at most that many bytes.

        Raises:
            AccessDenied, NotFound, RegistryRefused, RegistryUnavailable: By the status, when it is
                not one that the request accepts; RegistryUnavailable also when there is no answer.
            DeadlineExceeded: The host wants to be left alone for longer than there is time.
        """
        return self._patiently(request, lambda: self._exchange(request, most))

    @contextmanager
    def stream(self, request: Request) -> Iterator[urllib3.BaseHTTPResponse]:
        """Send a request and hand out the answer while it arrives.

        Raises:
            AccessDenied, NotFound, RegistryRefused, RegistryUnavailable: As for send, until the
                answer begins; what happens after that is the reader's to deal with.
        """
        answer = self._patiently(request, lambda: self._open(request))
        try:
            yield answer
        finally:
            _hand_back(answer)

    def close(self) -> None:
        """Close the connections, for all who share them."""
        self._connections.close()

    def _patiently(self, request: Request, attempt: Callable[[], Result]) -> Result:
        for tried in count(1):
            try:
                return attempt()
            except RegistryUnavailable as error:
                pause = self.patience.pause(tried, error.retry_after)
                if pause is None or pause >= request.deadline.left or not request.repeatable:
                    raise
            retry.wait(pause)
        raise AssertionError("count does not end")

    def _exchange(self, request: Request, most: int) -> Response:
        from urllib3.exceptions import HTTPError

        with self._connections.limit(request.host).slot(request.deadline):
            answer = self._open(request)
            try:
                stated = answer.length_remaining or 0
                content = answer.read(most + 1) if stated <= most else None
            except HTTPError as error:
                raise _no_answer(request, error) from error
            finally:
                _hand_back(answer)
        if content is not None and len(content) <= most and answer.length_remaining:
            raise RegistryUnavailable(
                f"Could not {request.attempted}: the answer of {request.host} ended early"
            )
        if content is None or len(content) > most:
            raise RegistryRefused(
                f"Could not {request.attempted}: the answer is longer than {most} bytes"
            )
        return Response(answer.status, answer.headers, content)

    def _open(self, request: Request) -> urllib3.BaseHTTPResponse:
        """The answer, if its status is one that the request accepts."""
        from urllib3.exceptions import HTTPError

        limit = self._connections.limit(request.host)
        limit.await_quiet(request.deadline)
        began = time.monotonic()
        try:
            answer = self._authorised(request)
        except HTTPError as error:
            raise _no_answer(request, error) from error
        if answer.status in request.accept:
            limit.succeeded()
            return answer
        refused = refusal(request.host, request.attempted, answer)
        _hand_back(answer)
        if answer.status in _THROTTLING and isinstance(refused, RegistryUnavailable):
            limit.throttled(began, refused.retry_after or 0.0)
        raise refused

    def _authorised(self, request: Request) -> urllib3.BaseHTTPResponse:
        """Send with what there is to show; after a 401, once more with something better."""
        header = self._authenticator.authorization(request.host, request.scopes)
        answer = self._follow(request, header)
        if answer.status != 401:
            return answer
        challenge = answer.headers.get("WWW-Authenticate", "")
        try:
            better = self._authenticator.renewed(request.host, request.scopes, challenge, header)
        except BaseException:
            _hand_back(answer)
            raise
        if better is None or better == header:
            return answer
        _hand_back(answer)
        if not request.repeatable:
            raise RegistryUnavailable(
                f"Could not {request.attempted}: the access token ended on the way; there is a new"
                " one for the next attempt"
            )
        return self._follow(request, better)

    def _follow(self, request: Request, authorization: str | None) -> urllib3.BaseHTTPResponse:
        url = urljoin(f"{_scheme(request.host)}://{request.host}", request.url)
        # Location may lead an upload to another host, which is not to see the credential.
        own = url.startswith(f"{_scheme(request.host)}://{request.host}/")
        shown = {"Authorization": authorization} if authorization and own else {}
        answer = self._send(request, url, shown)
        for _ in range(_MOST_REDIRECTS):
            if request.method not in ("GET", "HEAD") or answer.status not in _REDIRECTS:
                return answer
            url = urljoin(url, answer.headers.get("Location", ""))
            _hand_back(answer)
            # A redirect leads to a download that carries its own authorisation in its URL.
            answer = self._send(request, url, {})
        return answer

    def _send(
        self, request: Request, url: str, authorization: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        headers = {**_COMMON_HEADERS, **request.headers, **authorization}
        return self._connections.open(request.method, url, headers, request.body, request.deadline)


_COMMON_HEADERS = {"User-Agent": f"promotion/{__version__}", "Accept-Encoding": "identity"}


def _hand_back(answer: urllib3.BaseHTTPResponse) -> None:
    """Make the connection usable again if what is left of the answer is short; else close it."""
    left = answer.length_remaining
    if left is None or left > _LONGEST_ANSWER:
        answer.close()
    else:
        answer.drain_conn()
    answer.release_conn()


def _no_answer(request: Request, error: Exception) -> Retryable:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return RegistryUntrusted(
            f"Could not {request.attempted}: the certificate of {request.host} is not trusted"
            f" ({error}); name its authority's file in SSL_CERT_FILE"
        )
    return RegistryUnavailable(
        f"Could not {request.attempted}: {request.host} gave no answer ({error})"
    )


def _scheme(host: str) -> str:
    return "http" if is_loopback(host) else "https"
