"""Connections to hosts: bounded pools that the whole process shares, TLS, proxies, time-outs.

Certificates are checked against the system's authorities, or those that SSL_CERT_FILE and
SSL_CERT_DIR name; HTTPS_PROXY, HTTP_PROXY and NO_PROXY are honoured.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from promotion.deadline import NEVER, Deadline
from promotion.errors import RegistryUnavailable
from promotion.registry import parallel
from promotion.registry.fetch import Answer
from promotion.registry.limits import HostLimit

if TYPE_CHECKING:
    import urllib3

_REQUESTS_PER_HOST = parallel.REQUESTS + parallel.LOOK_UPS
# A stream holds two connections at most, one to read a blob and one to write it, so with room for
# both, and for all requests, no stream inside one registry waits for another.
_CONNECTIONS_PER_HOST = _REQUESTS_PER_HOST + 2 * parallel.STREAMS

_HOSTS = 32
_CONNECT_SECONDS = 5
_SILENCE_SECONDS = 60
_LONGEST_ANSWER = 1024 * 1024
_NEVER_BY_PROXY = frozenset({"metadata.google.internal", "169.254.169.254"})

Body = bytes | Iterable[bytes] | None


class Connections:
    """Opens requests; knows each host's limit. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limits: dict[str, HostLimit] = {}
        self._proxies: dict[str, urllib3.ProxyManager] = {}

    def limit(self, host: str) -> HostLimit:
        """The limit of a host, the same for all who ask."""
        with self._lock:
            if host not in self._limits:
                self._limits[host] = HostLimit(host, _REQUESTS_PER_HOST)
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

        Redirects are not followed, nothing is decoded, and nothing is tried again.
        """
        return self._pools(url).request(
            method,
            url,
            headers=headers,
            body=body,
            redirect=False,
            preload_content=False,
            decode_content=False,
            timeout=_timeout(deadline),
        )

    def fetch(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answer:
        """Send a request that is no registry's, such as one to a token endpoint; read the answer.

        Raises:
            RegistryUnavailable: There is no answer.
        """
        from urllib3.exceptions import HTTPError

        try:
            answer = self.open(method, url, headers, body)
            content = answer.read(_LONGEST_ANSWER)
            if answer.length_remaining != 0:
                answer.close()
            answer.release_conn()
        except HTTPError as error:
            host = urlsplit(url).netloc.rpartition("@")[2]
            raise RegistryUnavailable(f"{host} gave no answer ({error})") from error
        return Answer(answer.status, answer.headers, content)

    def close(self) -> None:
        """Close all connections."""
        if "_direct" in vars(self):
            self._direct.clear()
        for proxy in self._proxies.values():
            proxy.clear()

    @cached_property
    def _direct(self) -> urllib3.PoolManager:
        # Loaded on first use: it is a tenth of the function's time to its first answer.
        import urllib3

        return urllib3.PoolManager(**_OPTIONS)

    def _pools(self, url: str) -> urllib3.PoolManager:
        # Loaded on first use, as urllib3 is.
        from urllib.request import getproxies, proxy_bypass

        parts = urlsplit(url)
        proxy = getproxies().get(parts.scheme)
        if not proxy or parts.hostname in _NEVER_BY_PROXY or proxy_bypass(parts.netloc):
            return self._direct
        import urllib3

        with self._lock:
            if proxy not in self._proxies:
                self._proxies[proxy] = urllib3.ProxyManager(proxy, **_OPTIONS)
            return self._proxies[proxy]


_OPTIONS: dict[str, Any] = {
    "num_pools": _HOSTS,
    "maxsize": _CONNECTIONS_PER_HOST,
    "block": True,
    "retries": False,
}


def _timeout(deadline: Deadline) -> urllib3.Timeout:
    import urllib3

    left = max(deadline.left, 0.001)
    return urllib3.Timeout(connect=min(_CONNECT_SECONDS, left), read=min(_SILENCE_SECONDS, left))
