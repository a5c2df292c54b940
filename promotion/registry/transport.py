"""HTTP to registries: one bounded pool of connections for each host, time-outs, answers as errors.

Every request of the product to a registry passes through Transport.send or Transport.stream, so
this is the place where requests are authorised, limited and, when they fail, explained.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import msgspec

from promotion import __version__
from promotion.errors import (
    AccessDenied,
    NotFound,
    PromotionError,
    RegistryRefused,
    RegistryUnavailable,
)
from promotion.registry import parallel
from promotion.registry.reference import is_loopback

if TYPE_CHECKING:
    import urllib3

    from promotion.registry.auth import Credentials

# A thread holds two connections at most, one to read a blob and one to write it, so with room for
# both, threads that copy inside one registry cannot wait for each other.
CONNECTIONS_PER_HOST = 2 * parallel.THREADS

_HOSTS = 32
_CONNECT_SECONDS = 5
_SILENCE_SECONDS = 60
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_LONGEST_ERROR = 64 * 1024
# Said with status 400 of a blob that was seen to be there: registries that keep their content in
# files show it half written for a moment, while another promotion brings the same.
_MOMENTARY = "MANIFEST_BLOB_UNKNOWN"


@dataclass(frozen=True)
class Request:
    """One request to a registry.

    Attributes:
        attempted: What the request is for, in words that complete "Could not …".
        url: Absolute, or a path on the host.
        accept: The statuses that count as an answer; all others are raised as errors.
    """

    method: str
    host: str
    url: str
    attempted: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Iterable[bytes] | None = None
    accept: frozenset[int] = frozenset({200})


@dataclass(frozen=True)
class Response:
    """A registry's answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    content: bytes = b""


class Transport:
    """Sends requests with the credentials given; safe to share between threads."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def send(self, request: Request, most: int = _LONGEST_ERROR) -> Response:
        """Send a request and read the answer, of at most that many bytes.

        Raises:
            AccessDenied, NotFound, RegistryRefused, RegistryUnavailable: By the status, when it is
                not one that the request accepts; RegistryUnavailable also when there is no answer.
        """
        with self.stream(request) as answer:
            content = answer.read(most + 1)
            if len(content) > most:
                raise RegistryRefused(
                    f"Could not {request.attempted}: the answer is longer than {most} bytes"
                )
            return Response(answer.status, answer.headers, content)

    @contextmanager
    def stream(self, request: Request) -> Iterator[urllib3.BaseHTTPResponse]:
        """Send a request and hand out the answer while it arrives.

        Raises:
            AccessDenied, NotFound, RegistryRefused, RegistryUnavailable: As for send.
        """
        from urllib3.exceptions import HTTPError

        try:
            answer = self._follow(request)
            try:
                if answer.status not in request.accept:
                    raise _refusal(request, answer)
                yield answer
            finally:
                _hand_back(answer)
        except HTTPError as error:
            raise RegistryUnavailable(
                f"Could not {request.attempted}: {request.host} gave no answer ({error})"
            ) from error

    def close(self) -> None:
        """Close all connections."""
        if "_pools" in vars(self):
            self._pools.clear()

    @cached_property
    def _pools(self) -> urllib3.PoolManager:
        # Loaded on first use: it is a tenth of the function's time to its first answer.
        import urllib3

        return urllib3.PoolManager(
            num_pools=_HOSTS,
            maxsize=CONNECTIONS_PER_HOST,
            block=True,
            retries=False,
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_SILENCE_SECONDS),
        )

    def _follow(self, request: Request) -> urllib3.BaseHTTPResponse:
        url = urljoin(f"{_scheme(request.host)}://{request.host}", request.url)
        answer = self._open(request, url, self._headers(request))
        for _ in range(_MOST_REDIRECTS):
            if request.method not in ("GET", "HEAD") or answer.status not in _REDIRECTS:
                return answer
            url = urljoin(url, answer.headers.get("Location", ""))
            _hand_back(answer)
            # A redirect leads to a download that carries its own authorisation in its URL.
            answer = self._open(request, url, {**_common_headers(), **request.headers})
        return answer

    def _open(
        self, request: Request, url: str, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        return self._pools.request(
            request.method,
            url,
            headers=headers,
            body=request.body,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )

    def _headers(self, request: Request) -> dict[str, str]:
        headers = {**_common_headers(), **request.headers}
        authorization = self._credentials.authorization(request.host)
        if authorization is not None:
            headers["Authorization"] = authorization
        return headers


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Errors(msgspec.Struct):
    errors: list[_Error] = []


def _refusal(request: Request, answer: urllib3.BaseHTTPResponse) -> PromotionError:
    errors = _errors(answer.read(_LONGEST_ERROR))
    explanation = "".join(f" {error.code}: {error.message}" for error in errors[:3])
    said = f"{request.host} answered {answer.status}{explanation}"
    text = f"Could not {request.attempted}: {said}"
    if answer.status in (401, 403):
        return AccessDenied(
            f"{text}; give the identity that runs this the right to read the source"
            " and to write the destination (on Artifact Registry: roles/artifactregistry.reader"
            " and roles/artifactregistry.writer)"
        )
    if answer.status == 404:
        return NotFound(f"{text}; check that the repository exists and the name is spelt right")
    momentary = any(error.code == _MOMENTARY for error in errors)
    if answer.status in (408, 429) or answer.status >= 500 or momentary:
        return RegistryUnavailable(f"{text}; it will be tried again")
    return RegistryRefused(text)


def _errors(content: bytes) -> list[_Error]:
    try:
        return msgspec.json.decode(content, type=_Errors).errors
    except msgspec.MsgspecError:
        return []


def _hand_back(answer: urllib3.BaseHTTPResponse) -> None:
    """Make the connection usable again if what is left of the answer is short; else close it."""
    left = answer.length_remaining
    if left is None or left > _LONGEST_ERROR:
        answer.close()
    else:
        answer.drain_conn()
    answer.release_conn()


def _scheme(host: str) -> str:
    return "http" if is_loopback(host) else "https"


def _common_headers() -> dict[str, str]:
    return {"User-Agent": f"promotion/{__version__}", "Accept-Encoding": "identity"}
