"""Connections: proxies with a password, peers that pause, and how few of them are enough."""

from __future__ import annotations

import base64
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from promotion.deadline import Deadline
from promotion.errors import BadConfiguration, RegistryUnavailable
from promotion.registry import connections as connections_module
from promotion.registry import pools
from promotion.registry.auth import RegistryAuthenticator
from promotion.registry.client import RepositoryClient
from promotion.registry.connections import Connections
from promotion.registry.credentials import Anonymous
from promotion.registry.manifest import Blob
from promotion.registry.reference import Repository, digest_of
from promotion.registry.transport import Transport
from tests.unit.scripted import Answer, ScriptedServer
from tests.unit.slow import SlowServer

PASSWORD = "p@ss:wörd"
ENCODED = "p%40ss:w%C3%B6rd"


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connections]:
    """Connections in an environment that names no proxy."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    connections = Connections()
    yield connections
    connections.close()


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_proxy_is_shown_its_password(
    connections: Connections, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """The name and the password in its URL are decoded, and sent to the proxy alone."""
    with ScriptedServer(Answer(200)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"{scheme}us%65r:{ENCODED}@{proxy.host}")
        connections.fetch("GET", "http://registry.example/v2/", {})
        (asked,) = proxy.asked
    headers = {name.lower(): value for name, value in asked.headers.items()}
    kind, _, shown = headers["proxy-authorization"].partition(" ")
    assert kind == "Basic"
    assert base64.b64decode(shown).decode() == f"user:{PASSWORD}"
    assert "authorization" not in headers
    assert asked.path == "http://registry.example/v2/"


def test_a_proxy_without_a_password_is_shown_none(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to show."""
    with ScriptedServer(Answer(200)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.host}")
        connections.fetch("GET", "http://registry.example/v2/", {})
        assert "proxy-authorization" not in map(str.lower, proxy.asked[0].headers)


@pytest.mark.parametrize("target", ["http://registry.example/v2/", "https://registry.example/v2/"])
def test_a_proxy_that_is_away_is_named_without_its_password(
    connections: Connections,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    free_host: Callable[[], str],
    target: str,
) -> None:
    """Neither the error nor the log shows it, in whatever form."""
    caplog.set_level(logging.DEBUG)
    proxy = f"http://user:{ENCODED}@{free_host()}"
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(RegistryUnavailable, match="gave no answer") as raised:
        connections.fetch("GET", target, {})
    shown = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
    for text in (str(raised.value), repr(raised.value.__cause__), caplog.text):
        assert not any(secret in text for secret in (PASSWORD, ENCODED, shown))


@pytest.mark.parametrize(
    "proxy", [f"http://user:{ENCODED}@host:port", f"ftp://user:{ENCODED}@host:3128"]
)
def test_what_is_no_proxy_is_a_mistake(
    connections: Connections, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """The text says how to write it, and does not repeat it."""
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(BadConfiguration, match="http://USER:PASSWORD@HOST:PORT") as raised:
        connections.fetch("GET", "http://registry.example/v2/", {})
    assert ENCODED not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_destination_may_pause(monkeypatch: pytest.MonkeyPatch, transport: Transport) -> None:
    """While it is written to it may be silent for longer than connecting to it may take."""
    connecting = 0.05
    monkeypatch.setattr(pools, "_CONNECT_SECONDS", connecting)
    size = 16 * 1024 * 1024

    def serve(connection: socket.socket, closing: threading.Event) -> None:
        closing.wait(10 * connecting)
        with connection.makefile("rb") as file:
            while file.readline().strip():
                pass
            assert len(file.read(size)) == size
        connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")

    with SlowServer(serve) as server:
        repository = RepositoryClient(Repository(server.host, "shop"), transport)
        blob = Blob(digest_of(b"not looked at"), size)
        repository.upload("/upload", blob, (bytes(1024 * 1024) for _ in range(16)))


def test_a_token_may_be_asked_for_over_the_connection_that_wanted_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many requests are refused together, none keeps the token endpoint's way occupied."""
    monkeypatch.setattr(connections_module, "_CONNECTIONS_PER_HOST", 1)
    connections = Connections()
    transport = Transport(RegistryAuthenticator(Anonymous(), connections.fetch), connections)
    with ScriptedServer() as server:
        challenge = {"WWW-Authenticate": f'Bearer realm="http://{server.host}/token"'}
        refused = Answer(401, b'{"errors": []}', challenge)
        server.answers = [refused, Answer(200, b'{"token": "issued"}'), Answer(404)]
        repository = Repository(server.host, "shop")
        shop = RepositoryClient(repository, transport, Deadline.after(60))
        assert shop.find("1.0") is None
        assert server.asked[-1].headers["Authorization"] == "Bearer issued"
    transport.close()


def test_threads_that_come_first_share_one_pool(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with its own would together have more connections to a host than there are to be."""
    made: list[object] = []
    make = pools.direct

    def direct(per_host: int) -> object:
        made.append(per_host)
        if len(made) == 1:
            # It comes to its end meanwhile only where it makes another.
            other.start()
            other.join(0.2)
        return make(per_host)

    monkeypatch.setattr(pools, "direct", direct)
    with ScriptedServer(Answer(200)) as server:
        ask = partial(connections.fetch, "GET", f"http://{server.host}/", {})
        other = threading.Thread(target=ask)
        ask()
        other.join()
    assert made == [connections_module._CONNECTIONS_PER_HOST]


class GivenBack:
    """An answer whose connection is given back right after it was asked for."""

    def __init__(self, *connections: object) -> None:
        self._connections = [*connections, None]

    @property
    def connection(self) -> object:
        """The connection, once."""
        return self._connections.pop(0)


def test_an_answer_that_ends_as_it_is_cut_is_no_error() -> None:
    """Its reader may give the connection back at any moment; whoever ends waits must not fail."""
    (connection,) = [pools.direct(1).connection_from_host("127.0.0.1").ConnectionCls("127.0.0.1")]
    pools.cut(GivenBack(connection))  # type: ignore[arg-type]
    pools.cut(GivenBack())  # type: ignore[arg-type]
