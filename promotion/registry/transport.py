"""HTTP to registries for one identity: authorised, limited, repeated, and explained when it fails.

Every request of the product to a registry passes through Transport.send or Transport.stream. Each
concern has a file of its own: who we are (auth), how much at once and how fast (limits), when again
(retry), what a refusal means (refusal), over which connections (connections). Here they are put
together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from promotion import __version__
from promotion.deadline import NEVER, Deadline, current, keeping
from promotion.errors import (
    AccessDenied,
    BeyondLimit,
    DeadlineExceeded,
    PromotionError,
    RegistryUnavailable,
    RegistryUntrusted,
    Retryable,
)
from promotion.registry.auth import Authenticator
from promotion.registry.concealed import Concealing
from promotion.registry.connections import Body, Connections, read, reading
from promotion.registry.limits import HostLimit
from promotion.registry.reference import is_loopback
from promotion.registry.refusal import refusal
from promotion.registry.retry import Patience, Tries

if TYPE_CHECKING:
    import urllib3

    from promotion.registry.leads import Lead

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_DENIALS = frozenset({401, 403})
_THROTTLING = frozenset({429, 503})
_MOST_REDIRECTS = 5
_LONGEST_ANSWER = 64 * 1024

Result = TypeVar("Result")


class Request(Concealing, msgspec.Struct, frozen=True):
    """One request to a registry.

    Attributes:
        attempted: What the request is for, in words that complete "Could not …".
        url: Absolute, or a path on the host.
        accept: The statuses that count as an answer; all others are raised as errors.
        scopes: What it needs rights for, in the token specification's form.
        deadline: When it has to be answered; default: when what is being done has to be.
    """

    method: str
    host: str
    url: str
    attempted: str
    headers: Mapping[str, str] = {}
    body: Body = None
    accept: frozenset[int] = frozenset({200})
    scopes: tuple[str, ...] = ()
    deadline: Deadline = NEVER

    def __post_init__(self) -> None:
        if self.deadline is NEVER:
            msgspec.structs.force_setattr(self, "deadline", current())

    @property
    def repeatable(self) -> bool:
        """Whether it can be sent again as it is: a body that streams is gone once it was sent."""
        return self.body is None or isinstance(self.body, bytes)


class Response(Concealing, msgspec.Struct, frozen=True):
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
            BeyondLimit: The answer is longer than that.
            RegistryUntrusted: The registry leads to where nobody is to go.
            DeadlineExceeded: There is no time left, or the host wants to be left alone for longer.
        """
        return self._patiently(request, self.tries(), partial(self._exchange, request, most))

    @contextmanager
    def stream(
        self, request: Request, tries: Tries | None = None
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """Send a request and hand out the answer while it arrives.

        Args:
            request: What to send.
            tries: How often it may still be sent; default: as often as any request.

        Raises:
            AccessDenied, DeadlineExceeded, NotFound, RegistryRefused, RegistryUnavailable: As for
                send, until the answer begins.
            urllib3.exceptions.HTTPError: The answer breaks off, or time is up; ``no_answer`` tells
                what that means.
        """
        answer = self._patiently(request, tries or self.tries(), partial(self._open, request))
        try:
            with reading(answer, request.deadline):
                yield answer
        finally:
            _hand_back(answer, request.deadline)

    def tries(self) -> Tries:
        """The tries that a piece of work has, such as a request or the reading of a blob."""
        return Tries(self.patience)

    def limit(self, host: str) -> HostLimit:
        """How much a host gets at once."""
        return self._connections.limit(host)

    def close(self) -> None:
        """Close the connections, for all who share them."""
        self._connections.close()

    def _patiently(self, request: Request, tries: Tries, attempt: Callable[[], Result]) -> Result:
        with keeping(request.deadline):
            while True:
                try:
                    return attempt()
                except RegistryUnavailable as error:
                    if not request.repeatable:
                        raise
                    tries.failed(error)

    def _exchange(self, request: Request, most: int) -> Response:
        from urllib3.exceptions import HTTPError

        with self._turn(request):
            answer = self._open(request)
            try:
                stated = answer.length_remaining or 0
                content = read(answer, most + 1, request.deadline) if stated <= most else None
            except HTTPError as error:
                raise no_answer(request, error) from error
            finally:
                _hand_back(answer, request.deadline)
        if content is not None and len(content) <= most and answer.length_remaining:
            raise RegistryUnavailable(
                f"Could not {request.attempted}: the answer of {request.host} ended early"
            )
        if content is None or len(content) > most:
            raise BeyondLimit(
                f"Could not {request.attempted}: the answer is longer than {most} bytes"
            )
        return Response(answer.status, answer.headers, content)

    def _turn(self, request: Request) -> AbstractContextManager[None]:
        # What streams takes minutes, and has a turn of its own kind, which it got before it began.
        limit = self.limit(request.host)
        return limit.slot(request.deadline) if request.repeatable else nullcontext()

    def _open(self, request: Request) -> urllib3.BaseHTTPResponse:
        """The answer, if its status is one that the request accepts."""
        from urllib3.exceptions import HTTPError

        limit = self.limit(request.host)
        limit.await_start(request.deadline)
        began = time.monotonic()
        try:
            answered = self._authorised(request)
        except HTTPError as error:
            raise no_answer(request, error) from error
        answer = answered.answer
        if answer.status in request.accept:
            limit.answered()
            return answer
        refused = _refused(request, answered)
        if not isinstance(refused, RegistryUnavailable):
            # That something is not there, or not allowed, is work for a host like any other answer.
            limit.answered()
        elif answer.status in _THROTTLING:
            limit.throttled(began, refused.retry_after or 0.0)
        raise refused

    def _authorised(self, request: Request) -> _Answered:
        """Send with what there is to show; after a 401, once more with something better."""
        header = self._authenticator.authorization(request.host, request.scopes)
        answered = self._follow(request, header)
        if answered.answer.status != 401 or answered.elsewhere:
            return answered
        challenge = answered.answer.headers.get("WWW-Authenticate", "")
        # Its connection is given back first: who issues the tokens may be behind the same host.
        refused = _refused(request, answered)
        better = self._authenticator.renewed(request.host, request.scopes, challenge, header)
        if better is None or better == header:
            raise refused
        if not request.repeatable:
            raise RegistryUnavailable(
                f"Could not {request.attempted}: the access token ended on the way; there is a new"
                " one for the next attempt"
            )
        return self._follow(request, better)

    def _follow(self, request: Request, authorization: str | None) -> _Answered:
        shown = {"Authorization": authorization} if authorization else {}
        scheme = "http" if is_loopback(request.host) else "https"
        url, elsewhere = f"{scheme}://{request.host}{request.url}", ""
        if _is_path(request.url):
            answer = self._send(request, url, shown)
        else:
            # Location may lead an upload to another host, which is not to see the credential.
            lead = _lead(request, f"{scheme}://{request.host}/", request.url)
            url, elsewhere = lead.url, "" if lead.is_registry else lead.host
            answer = self._send_to(lead, request, shown if lead.is_registry else {})
        for _ in range(_MOST_REDIRECTS):
            if request.method not in ("GET", "HEAD") or answer.status not in _REDIRECTS:
                break
            location = answer.headers.get("Location", "")
            _hand_back(answer, request.deadline)
            if request.deadline.left <= 0:
                raise _out_of_time(request)
            lead = _lead(request, url, location)
            # A redirect leads to a download that carries its own authorisation in its URL.
            url, elsewhere = lead.url, lead.host
            answer = self._send_to(lead, request, {})
        return _Answered(answer, elsewhere, authorization or "")

    def _send_to(
        self, lead: Lead, request: Request, authorization: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        if lead.forbids is None:
            return self._send(request, lead.url, authorization)
        if lead.is_local and self._connections.uses_proxy(lead.url):
            raise _misled(request, f"{lead.host}, a name that is internal to where the proxy is")
        headers = {**_COMMON_HEADERS, **request.headers}
        try:
            return self._connections.open_elsewhere(
                request.method, lead.url, headers, request.body, request.deadline, lead.forbids
            )
        except RegistryUntrusted as error:
            raise _misled(request, f"{lead.host}, which is at {error}") from error

    def _send(
        self, request: Request, url: str, authorization: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        headers = {**_COMMON_HEADERS, **request.headers, **authorization}
        return self._connections.open(request.method, url, headers, request.body, request.deadline)


class _Answered(NamedTuple):
    """An answer, who gave it, if that was not the registry but whom it leads to, and our header."""

    answer: urllib3.BaseHTTPResponse
    elsewhere: str
    authorization: str

    def __repr__(self) -> str:
        return "_Answered(…)"


_COMMON_HEADERS = {"User-Agent": f"promotion/{__version__}", "Accept-Encoding": "identity"}


def _is_path(url: str) -> bool:
    """Whether it is on the registry, whatever it says; after two slashes another host may stand."""
    return url.startswith("/") and not url.startswith("//")


def _lead(request: Request, base: str, location: str) -> Lead:
    # Loaded on first use: most registries never lead anywhere.
    from promotion.registry.leads import lead

    try:
        return lead(request.host, base, location)
    except RegistryUntrusted as error:
        raise _misled(request, str(error)) from error


def _misled(request: Request, place: str) -> RegistryUntrusted:
    return RegistryUntrusted(
        f"Could not {request.attempted}: {request.host} leads to {place}. Nothing was sent there:"
        " what a registry answers must not choose whom this machine speaks to"
    )


def _hand_back(answer: urllib3.BaseHTTPResponse, deadline: Deadline) -> None:
    """Make the connection usable again if what is left of the answer is short; else close it."""
    left = answer.length_remaining
    if left is None or left > _LONGEST_ANSWER or deadline.left <= 0:
        answer.close()
    else:
        with reading(answer, deadline):
            answer.drain_conn()
    answer.release_conn()


def no_answer(request: Request, error: Exception, happened: str = "gave no answer") -> Retryable:
    """What it means that an answer did not come, or not all of it."""
    if request.deadline.left <= 0:
        return _out_of_time(request)
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return RegistryUntrusted(
            f"Could not {request.attempted}: the certificate of {request.host} is not trusted"
            f" ({error}); name its authority's file in SSL_CERT_FILE"
        )
    return RegistryUnavailable(
        f"Could not {request.attempted}: {request.host} {happened} ({error})"
    )


def _out_of_time(request: Request) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"Could not {request.attempted} in the time that there was for this attempt"
    )


def _refused(request: Request, answered: _Answered) -> PromotionError:
    """What an answer means that is none to the request; it is read to its end."""
    answer, elsewhere, shown = answered
    try:
        if answer.status in _DENIALS and elsewhere:
            return _denied_elsewhere(request, answer.status, elsewhere)
        with reading(answer, request.deadline):
            return refusal(elsewhere or request.host, request.attempted, answer, shown)
    finally:
        _hand_back(answer, request.deadline)


def _denied_elsewhere(request: Request, status: int, elsewhere: str) -> AccessDenied:
    return AccessDenied(
        f"Could not {request.attempted}: {request.host} leads to {elsewhere}, which answered"
        f" {status}. It was shown no credential: where a registry leads to has to do without one"
    )
