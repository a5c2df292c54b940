"""Connections to hosts: bounded pools that the whole process shares, TLS, proxies, time-outs.

Certificates are checked against the system's authorities, or those that SSL_CERT_FILE and
SSL_CERT_DIR name; HTTPS_PROXY, HTTP_PROXY and NO_PROXY are honoured. The pools themselves are in
pools.py, with all that needs urllib3.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from promotion.deadline import NEVER, Deadline, current, keeping
from promotion.errors import DeadlineExceeded, RegistryUnavailable
from promotion.registry import parallel, request_log
from promotion.registry.fetch import Answer
from promotion.registry.limits import HostLimit

if TYPE_CHECKING:
    import urllib3

_REQUESTS_PER_HOST = parallel.REQUESTS + parallel.LOOK_UPS
# A stream holds two connections at most, one to read a blob and one to write it, so with room for
# both, and for all requests, no stream inside one registry waits for another.
_CONNECTIONS_PER_HOST = _REQUESTS_PER_HOST + 2 * parallel.STREAMS

_SILENCE_SECONDS = 60
_LONGEST_FETCH_SECONDS = 60
_MOMENT_SECONDS = 0.1
_LONGEST_ANSWER = 1024 * 1024
_NEVER_BY_PROXY = frozenset({"metadata.google.internal", "169.254.169.254"})

Body = bytes | Iterable[bytes] | None


class Connections:
    """Opens requests; knows each host's limit. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limits: dict[str, HostLimit] = {}
        self._direct: urllib3.PoolManager | None = None
        self._proxies: dict[str, urllib3.PoolManager] = {}
        self._outward: dict[Callable[[str], bool], urllib3.PoolManager] = {}

    def limit(self, host: str) -> HostLimit:
        """The limit of a host, the same for all who ask."""
        with self._lock:
            if host not in self._limits:
                self._limits[host] = HostLimit(host, _REQUESTS_PER_HOST, parallel.STREAMS)
            return self._limits[host]

    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body = None,
        deadline: Deadline = NEVER,
    ) -> urllib3.BaseHTTPResponse:
        """Send a request, and return the answer as soon as its headers are there.

        Redirects are not followed, nothing is decoded, and nothing is tried again. When the
        deadline passes before the headers are there, the connection is cut; without one, the
        deadline of what is being done counts.
        """
        send = partial(_answer, self._pools(url), method, url, headers, body, deadline)
        return request_log.logged(method, url, request_log.registry_url, send)

    def open_elsewhere(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body,
        deadline: Deadline,
        forbids: Callable[[str], bool],
    ) -> urllib3.BaseHTTPResponse:
        """Send a request to where a registry leads, unless the address there is forbidden.

        By a proxy the address is not known here: it is for the proxy to forbid it. All else is as
        for ``open``.

        Raises:
            RegistryUntrusted: The address is forbidden; nothing was sent there.
        """
        proxy = self._by_proxy(url)
        pools = proxy or self._pools_outward(forbids)
        send = partial(_answer, pools, method, url, headers, body, deadline)
        return request_log.logged(method, url, request_log.registry_url, send)

    def uses_proxy(self, url: str) -> bool:
        """Whether a request to this URL goes by a proxy, which looks its host up by itself."""
        return self._by_proxy(url) is not None

    def fetch(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answer:
        """Send a request that is no registry's, such as one to a token endpoint; read the answer.

        It may take a minute, or as long as there is time for what is being done.

        Raises:
            DeadlineExceeded: There is no time left.
            RegistryUnavailable: There is no answer.
        """
        from urllib3.exceptions import HTTPError

        host = urlsplit(url).netloc.rpartition("@")[2]
        try:
            return self._fetch(method, url, headers, body)
        except HTTPError as error:
            if current().left <= 0:
                raise DeadlineExceeded(
                    f"The time for this attempt is used up, waiting for {host}"
                ) from error
            raise RegistryUnavailable(f"{host} gave no answer ({error})") from error

    def _fetch(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        deadline = current().within(_LONGEST_FETCH_SECONDS)
        send = partial(_answer, self._pools(url), method, url, headers, body, deadline)
        answer = request_log.logged(method, url, request_log.service_url, send)
        try:
            content = read(answer, _LONGEST_ANSWER, deadline)
        finally:
            if answer.length_remaining != 0:
                answer.close()
            answer.release_conn()
        return Answer(answer.status, answer.headers, content)

    def close(self) -> None:
        """Close all connections."""
        for pools in (self._direct, *self._proxies.values(), *self._outward.values()):
            if pools is not None:
                pools.clear()

    def _pools(self, url: str) -> urllib3.PoolManager:
        return self._by_proxy(url) or self._pools_direct()

    def _pools_direct(self) -> urllib3.PoolManager:
        from promotion.registry import pools

        with self._lock:
            if self._direct is None:
                self._direct = pools.direct(_CONNECTIONS_PER_HOST)
            return self._direct

    def _pools_outward(self, forbids: Callable[[str], bool]) -> urllib3.PoolManager:
        from promotion.registry import pools

        with self._lock:
            if forbids not in self._outward:
                self._outward[forbids] = pools.outward(_CONNECTIONS_PER_HOST, forbids)
            return self._outward[forbids]

    def _by_proxy(self, url: str) -> urllib3.PoolManager | None:
        # Loaded on first use, as urllib3 is.
        from urllib.request import getproxies, proxy_bypass

        parts = urlsplit(url)
        proxy = getproxies().get(parts.scheme)
        if not proxy or parts.hostname in _NEVER_BY_PROXY or proxy_bypass(parts.netloc):
            return None
        from promotion.registry import pools

        with self._lock:
            if proxy not in self._proxies:
                self._proxies[proxy] = pools.by_proxy(proxy, _CONNECTIONS_PER_HOST)
            return self._proxies[proxy]


def _answer(
    pools: urllib3.PoolManager,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: Body,
    deadline: Deadline,
) -> urllib3.BaseHTTPResponse:
    deadline = current() if deadline is NEVER else deadline
    silence = max(min(_SILENCE_SECONDS, deadline.left), 0.001)
    with keeping(deadline):
        return pools.request(
            method,
            url,
            headers=headers,
            body=body,
            redirect=False,
            preload_content=False,
            decode_content=False,
            timeout=silence,
            pool_timeout=silence,
        )


@contextmanager
def reading(answer: urllib3.BaseHTTPResponse, deadline: Deadline) -> Iterator[None]:
    """Read an answer, no longer than until the deadline: then the connection is cut."""
    from promotion.registry import pools

    with deadline.ending(partial(pools.cut, answer)):
        yield


def read(answer: urllib3.BaseHTTPResponse, most: int, deadline: Deadline) -> bytes:
    """An answer, or so many bytes of it at most.

    Raises:
        urllib3.exceptions.HTTPError: It breaks off, or the deadline passes.
    """
    from urllib3.exceptions import TimeoutError as TimedOut

    with reading(answer, deadline):
        content = read_at_most(answer, most)
    # Where no length is stated, an answer that was cut looks as if it had ended.
    if deadline.left <= 0:
        raise TimedOut("there was no time left to read it")
    return content


def read_at_most(answer: urllib3.BaseHTTPResponse, most: int) -> bytes:
    """So many bytes of an answer, or all of it.

    They are read as they come: of a chunk whose size is negative, http.client's ``read`` would take
    all that follows, however much that is.

    Raises:
        urllib3.exceptions.HTTPError: It breaks off.
    """
    content = bytearray()
    while len(content) < most and (part := answer.read1(most - len(content))):
        content += part
    del content[most:]
    return bytes(content)


def read_piece(answer: urllib3.BaseHTTPResponse, most: int) -> bytes:
    """What comes in a moment: enough to be worth its handling, soon enough to show how it goes.

    Empty at the end.

    Raises:
        urllib3.exceptions.HTTPError: The answer breaks off.
    """
    parts: list[bytes] = []
    until = time.monotonic() + _MOMENT_SECONDS
    while most > 0 and (part := answer.read1(most)):
        parts.append(part)
        most -= len(part)
        if time.monotonic() >= until:
            break
    return b"".join(parts)
