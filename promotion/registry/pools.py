"""Pools of urllib3's connections, which keep to the deadline of what they are used for.

To be imported when the first request is sent: urllib3 is a tenth of the function's time to its
first answer.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
)
from urllib3.util import make_headers
from urllib3.util.connection import allowed_gai_family

from promotion.deadline import current
from promotion.errors import BadConfiguration, RegistryUntrusted

_CONNECT_SECONDS = 5
_HOSTS = 32


class _Interruptible(HTTPConnection):
    """A connection that is cut when the deadline passes: no wait on it goes on beyond.

    urllib3 holds what is sent to the time-out for connecting. Here that one is for silence, and
    connecting, TLS included, has its own.
    """

    _used: socket.socket | None = None

    def __str__(self) -> str:
        """Who is at the other end: urllib3's errors begin with it."""
        return f"{self.host}:{self.port}"

    def connect(self) -> None:
        with current().ending(self.cut):
            super().connect()
        if self.sock:
            self.sock.settimeout(self.timeout)

    def _new_conn(self) -> socket.socket:
        try:
            return self._connected()
        except UnicodeError as error:
            raise LocationParseError(f"{self.host!r} is no host's name") from error
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"Connection to {self.host} timed out") from error
        except OSError as error:
            text = f"Failed to establish a new connection: {error}"
            raise NewConnectionError(self, text) from error

    def _connected(self) -> socket.socket:
        """A connection to the first of the host's addresses that takes one while there is time.

        urllib3 gives each of them the whole time-out, and a name may have any number of them.
        """
        failed = OSError("its name has no address")
        name = self._dns_host.strip("[]")
        found = socket.getaddrinfo(name, self.port, allowed_gai_family(), socket.SOCK_STREAM)
        for family, kind, protocol, _, address in found:
            try:
                return self._connect(family, kind, protocol, address)
            except OSError as error:
                failed = error
            if current().left <= 0:
                break
        raise failed

    def _connect(self, family: int, kind: int, protocol: int, address: Any) -> socket.socket:
        connecting = socket.socket(family, kind, protocol)
        try:
            for option in self.socket_options or ():
                connecting.setsockopt(*option)
            connecting.settimeout(min(_CONNECT_SECONDS, max(current().left, 0.001)))
            connecting.connect(address)
            if current().left <= 0:
                # What ends at the deadline has found nothing to cut until now.
                raise TimeoutError
        except OSError:
            connecting.close()
            raise
        return connecting

    def request(self, *arguments: Any, **options: Any) -> None:
        with current().ending(self.cut):
            super().request(*arguments, **options)

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
        # The response may go on reading from a socket that the connection has let go of.
        self._used = self.sock
        with current().ending(self.cut):
            return super().getresponse()

    def cut(self) -> None:
        """End what is sent and received, from another thread."""
        used = self.sock or self._used
        if used:
            with suppress(OSError):
                # Past TLS, whose own shutdown would not let go of the thread that reads.
                socket.socket.shutdown(getattr(used, "socket", used), socket.SHUT_RDWR)


class _InterruptibleTLS(_Interruptible, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Interruptible


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _InterruptibleTLS


def direct(per_host: int) -> urllib3.PoolManager:
    """Connections to the hosts themselves, so many to each of them at most."""
    return _of_kinds(urllib3.PoolManager(**_options(per_host)), _Pool, _TLSPool)


def outward(per_host: int, forbids: Callable[[str], bool]) -> urllib3.PoolManager:
    """Connections to where registries lead: none to an address that is forbidden is used.

    What counts is the address at the other end, since a name's may have changed since it was last
    looked up. No byte is sent before it is known, and no connection is shared with other pools.
    """

    class Outward(_Interruptible):
        def _new_conn(self) -> socket.socket:
            return _allowed(super()._new_conn(), forbids)

    class OutwardTLS(Outward, HTTPSConnection):
        pass

    class OutwardPool(HTTPConnectionPool):
        ConnectionCls = Outward

    class OutwardTLSPool(HTTPSConnectionPool):
        ConnectionCls = OutwardTLS

    return _of_kinds(urllib3.PoolManager(**_options(per_host)), OutwardPool, OutwardTLSPool)


def by_proxy(url: str, per_host: int) -> urllib3.PoolManager:
    """Connections by a proxy, whose URL may hold a name and a password.

    Raises:
        BadConfiguration: It is not a URL of a proxy; the text does not repeat it.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        proxy = urllib3.ProxyManager(
            address, proxy_headers=_authorization(parts), **_options(per_host)
        )
    except (ValueError, urllib3.exceptions.HTTPError):
        raise BadConfiguration(
            "HTTPS_PROXY or HTTP_PROXY is not the URL of a proxy: write http://HOST:PORT or"
            " http://USER:PASSWORD@HOST:PORT, with what is special in them percent-encoded"
        ) from None
    return _of_kinds(proxy, _Pool, _TLSPool)


def cut(answer: urllib3.BaseHTTPResponse) -> None:
    """End the reading of an answer, from another thread; one that was read is left alone."""
    connection = answer.connection
    if isinstance(connection, _Interruptible):
        connection.cut()


def _of_kinds(
    manager: urllib3.PoolManager, plain: type[HTTPConnectionPool], tls: type[HTTPSConnectionPool]
) -> urllib3.PoolManager:
    manager.pool_classes_by_scheme = {"http": plain, "https": tls}
    return manager


def _allowed(connected: socket.socket, forbids: Callable[[str], bool]) -> socket.socket:
    address = connected.getpeername()[0]
    if forbids(address):
        connected.close()
        raise RegistryUntrusted(f"{address}, an address that is internal here")
    return connected


def _authorization(proxy: SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    login = unquote_to_bytes(f"{proxy.username}:{proxy.password or ''}")
    return make_headers(proxy_basic_auth=login.decode("latin-1"))


def _options(per_host: int) -> dict[str, Any]:
    return {"num_pools": _HOSTS, "maxsize": per_host, "block": True, "retries": False}
