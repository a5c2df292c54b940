"""What the proxy passes on, both ways, is what was sent."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import urllib3
from urllib3.exceptions import HTTPError

from bench.proxy import Proxy
from dev.registry import EmbeddedRegistry
from tests.unit import scripted
from tests.unit.proxy.sockets import BIG, connect, read_head, server
from tests.unit.scripted import ScriptedServer
from tests.unit.wire import LAYER, Client, digest_of, image


def test_an_image_passes_both_ways(client: Client) -> None:
    """What was pushed through the proxy is read through it, byte for byte."""
    digest = client.push_image("shop", "1.0")
    assert client.ask("GET", f"/v2/shop/manifests/{digest}").data == image(LAYER)
    assert client.ask("HEAD", "/v2/shop/manifests/1.0").headers["Docker-Content-Digest"] == digest
    big = client.push_blob("shop", BIG)
    assert client.ask("GET", f"/v2/shop/blobs/{big}").data == BIG


def test_chunks_stay_chunks(client: Client, proxy: Proxy) -> None:
    """A body without a length passes in chunks, and the connection lasts."""
    where = client.begin("shop")
    pieces = iter([LAYER, BIG, b""])
    assert client.ask("PATCH", where, pieces).status == 202
    digest = digest_of(LAYER + BIG)
    assert client.ask("PUT", f"{where}?digest={digest}").status == 201
    assert client.ask("GET", f"/v2/shop/blobs/{digest}").data == LAYER + BIG
    assert proxy.connections() == (1, 1)
    assert proxy.exchanges()[1].sent == len(LAYER + BIG)


def test_a_chunked_answer_passes(pool: urllib3.PoolManager) -> None:
    """An answer in chunks, with a trailer, arrives whole."""

    def serve(connection: socket.socket) -> None:
        read_head(connection)
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head + b"5\r\nhello\r\n6;x=y\r\n, you!\r\n0\r\nA: b\r\n\r\n")

    with server(serve) as host, Proxy(host) as proxy:
        assert pool.request("GET", f"http://{proxy.host}/").data == b"hello, you!"


def test_an_answer_without_length_passes(pool: urllib3.PoolManager) -> None:
    """The end of the registry's connection is the end of the client's."""

    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200\r\n\r\nuntil the end")

    with server(serve) as host, Proxy(host) as proxy:
        assert pool.request("GET", f"http://{proxy.host}/").data == b"until the end"


def test_bodies_are_not_kept_back(pool: urllib3.PoolManager) -> None:
    """The first bytes of an answer arrive while the others are not there yet."""
    seen = threading.Event()

    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        assert seen.wait(60)
        connection.sendall(b"other")

    with server(serve) as host, Proxy(host) as proxy:
        answer = pool.request("GET", f"http://{proxy.host}/", preload_content=False)
        assert answer.read(5) == b"first"
        seen.set()
        assert answer.read() == b"other"
        answer.release_conn()


def test_a_sender_that_waits_is_invited(proxy: Proxy, client: Client) -> None:
    """A client that expects 100 is asked for its body."""
    where = f"{client.begin('shop')}?digest={digest_of(LAYER)}"
    with connect(proxy.host) as connection:
        head = f"PUT {where} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(LAYER)}\r\n"
        connection.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert read_head(connection) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(LAYER)
        assert read_head(connection).startswith(b"HTTP/1.1 201")


def test_locations_lead_through_the_proxy(pool: urllib3.PoolManager) -> None:
    """A Location on the registry's own address is rewritten; one elsewhere is not."""
    with ScriptedServer() as registry, Proxy(registry.host) as proxy:
        for host, location in (
            (registry.host, f"http://{proxy.host}/v2/uploads/1?a=b"),
            ("elsewhere.example", "http://elsewhere.example/v2/uploads/1?a=b"),
        ):
            said = {"Location": f"http://{host}/v2/uploads/1?a=b"}
            registry.answers = [scripted.Answer(202, headers=said)]
            answer = pool.request("POST", f"http://{proxy.host}/")
            assert answer.headers["Location"] == location
        assert registry.asked[0].headers["Host"] == proxy.host
        pool.clear()


def test_a_refused_upload_is_explained() -> None:
    """A registry that answers and hangs up in the middle of a body is heard."""

    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nfull")

    with server(serve) as host, Proxy(host) as proxy, connect(proxy.host) as connection:
        connection.sendall(b"PUT / HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n")
        with suppress(OSError):
            while True:
                connection.sendall(BIG)
        assert read_head(connection).startswith(b"HTTP/1.1 413")


def test_a_client_that_goes_leaves_no_blob(client: Client, proxy: Proxy) -> None:
    """An upload that its client breaks off is broken off at the registry."""
    where = f"{client.begin('shop')}?digest={digest_of(LAYER)}"
    with connect(proxy.host) as connection:
        head = f"PUT {where} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(LAYER)}\r\n\r\n"
        connection.sendall(head.encode() + LAYER[:-1])
    assert client.ask("HEAD", f"/v2/shop/blobs/{digest_of(LAYER)}").status == 404


def test_a_registry_that_comes_back_is_found(tmp_path: Path, pool: urllib3.PoolManager) -> None:
    """While the registry is away connections break; when it is back all is well."""
    with ExitStack() as stack:
        with EmbeddedRegistry(tmp_path) as first:
            port = int(first.host.rpartition(":")[2])
            proxy = stack.enter_context(Proxy(first.host))
            client = Client(pool, proxy.host)
            assert client.ask("GET", "/v2/").status == 200
        with pytest.raises(HTTPError):
            client.ask("GET", "/v2/")
        with EmbeddedRegistry(tmp_path, port):
            assert client.ask("GET", "/v2/").status == 200


def test_a_client_that_tries_tls_is_told_at_once(proxy: Proxy) -> None:
    """As by a registry without TLS, so that it goes on without."""
    with connect(proxy.host) as connection:
        connection.sendall(b"\x16\x03\x01")
        assert read_head(connection).startswith(b"HTTP/1.1 400")
        assert connection.recv(1) == b""
    assert proxy.exchanges() == []
