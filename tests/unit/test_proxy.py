"""The proxy: what it passes on, what it counts, and each thing that it can let go wrong."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError

from bench.faults import (
    Answer,
    BreakDownload,
    BreakUpload,
    Corrupt,
    CutShort,
    Drip,
    Fault,
    Hold,
    LoseAnswer,
    LoseRequest,
    Relabel,
    Rule,
    Rules,
    Stall,
    throttled,
    unauthorized,
)
from bench.proxy import Proxy
from bench.separate import separate_proxy
from bench.traffic import Exchange, Traffic, counts, longest_chain
from dev.registry import EmbeddedRegistry
from tests.unit import scripted
from tests.unit.scripted import ScriptedServer
from tests.unit.wire import LAYER, Client, digest_of, image

BIG = bytes(range(256)) * 4096


@pytest.fixture
def pool() -> Iterator[urllib3.PoolManager]:
    """A client that tries once."""
    with urllib3.PoolManager(retries=False, timeout=5.0) as pool:
        yield pool


@pytest.fixture
def proxy(near: EmbeddedRegistry) -> Iterator[Proxy]:
    """A proxy in front of a registry."""
    with Proxy(near.host) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy, pool: urllib3.PoolManager) -> Client:
    """Somebody who asks through the proxy."""
    return Client(pool, proxy.host)


@pytest.fixture
def blob(near: EmbeddedRegistry, pool: urllib3.PoolManager) -> str:
    """The path of a blob of 1 MiB that is in the registry."""
    return f"/v2/shop/blobs/{Client(pool, near.host).push_blob('shop', BIG)}"


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server whose one connection a function serves."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                serve(connection)

        thread = threading.Thread(target=run)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def read_head(connection: socket.socket) -> bytes:
    """Read up to the empty line, and no more."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(1)
    return head


def connect(host: str) -> socket.socket:
    """Open a connection to send bytes on."""
    name, _, port = host.rpartition(":")
    return socket.create_connection((name, int(port)), timeout=5.0)


# What passes


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
        assert seen.wait(5)
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


# What is counted


def test_requests_are_counted_by_kind(client: Client, proxy: Proxy) -> None:
    """Method, kind of path and status make the count."""
    client.push_image("shop", "1.0")
    client.ask("POST", f"/v2/other/blobs/uploads/?mount={digest_of(LAYER)}&from=shop")
    client.ask("HEAD", f"/v2/shop/manifests/{digest_of(image(LAYER))}")
    client.ask("GET", "/v2/shop/manifests/sha256-" + "0" * 64 + ".sig")
    assert counts(proxy.exchanges()) == {
        ("POST", "upload", 202): 2,
        ("PUT", "upload", 201): 2,
        ("PUT", "manifest", 201): 1,
        ("POST", "mount", 201): 1,
        ("HEAD", "manifest", 200): 1,
        ("GET", "look-up", 404): 1,
    }
    assert Traffic.of(proxy.exchanges()) == Traffic(requests=7, look_ups=1, sequential=7)
    proxy.forget()
    assert proxy.exchanges() == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v2/", "ping"),
        ("/v2/shop/referrers/sha256:00?artifactType=x", "look-up"),
        ("/v2/shop/manifests/sha256-00.att", "look-up"),
        ("/v2/shop/manifests/sha256:00", "manifest"),
        ("/v2/shop/blobs/uploads/?from=x&mount=sha256:00", "mount"),
        ("/v2/shop/blobs/uploads/1?_state=x", "upload"),
        ("/v2/shop/blobs/sha256:00", "blob"),
        ("/v2/shop/tags/list?n=1", "tags"),
        ("/token?service=x", "other"),
    ],
)
def test_paths_have_kinds(path: str, kind: str) -> None:
    """The kind tells what the request is about."""
    assert Exchange(1, "GET", path, 0, 0).kind == kind


def test_what_is_written_is_no_look_up() -> None:
    """A signature's tag that is set is a request like others, and part of the chain."""
    path = "/v2/shop/manifests/sha256-00.sig"
    kinds = {method: Exchange(1, method, path, 0, 0).kind for method in ("GET", "HEAD", "PUT")}
    assert kinds == {"GET": "look-up", "HEAD": "look-up", "PUT": "manifest"}


@pytest.mark.parametrize(
    ("spans", "length"),
    [
        ([], 0),
        ([(0, 1), (0, 1), (0, 1)], 1),
        ([(0, 1), (1, 2), (2, 3)], 3),
        ([(0, 10), (1, 2), (3, 4), (11, 12)], 3),
        ([(0, 2), (1, 3), (2, 4), (3, 5)], 2),
        ([(5, 6), (0, 1), (2, 3)], 3),
    ],
    ids=["none", "at once", "one by one", "beside a long one", "overlapping", "unsorted"],
)
def test_the_longest_chain(spans: list[tuple[float, float]], length: int) -> None:
    """A request continues a chain if it began when another had ended."""
    assert longest_chain(Exchange(1, "GET", "/", *span) for span in spans) == length


def test_parallel_requests_are_no_chain(blob: str, proxy: Proxy, client: Client) -> None:
    """Requests of three threads, two of each, take two round trips."""
    proxy.round_trip = 0.1

    def ask_twice() -> None:
        for _ in range(2):
            client.ask("HEAD", blob)

    threads = [threading.Thread(target=ask_twice) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Traffic.of(proxy.exchanges()) == Traffic(requests=6, look_ups=0, sequential=2)
    assert proxy.connections()[0] == 3


def test_a_round_trip_for_the_connection_and_each_request(client: Client, proxy: Proxy) -> None:
    """Two requests on one new connection take three round trips."""
    proxy.round_trip = 0.05
    started = time.monotonic()
    for _ in range(2):
        client.ask("GET", "/v2/")
    assert time.monotonic() - started >= 0.15


# What goes wrong, and when


def test_rules_count_requests() -> None:
    """A rule is about matching requests only, from its first on, for as often as it says."""
    rules = Rules()
    rules.add(Rule(Answer(503), method="PUT|POST", path="/blobs/", first=2, times=2))
    paths = ["/v2/shop/blobs/1", "/v2/shop/manifests/1"]
    met = [
        rules.fault(method, path) for _ in range(4) for method in ("GET", "PUT") for path in paths
    ]
    assert [number for number, fault in enumerate(met) if fault] == [6, 10]


def test_the_first_rule_that_holds_counts() -> None:
    """Each rule counts every matching request, whichever rule holds."""
    rules = Rules()
    rules.add(Rule(Answer(429)), Rule(Answer(503), times=2), Rule(Answer(404), times=None))
    faults = [rules.fault("GET", "/") for _ in range(4)]
    assert faults == [Answer(429), Answer(503), Answer(404), Answer(404)]
    rules.clear()
    assert rules.fault("GET", "/") is None


@pytest.mark.parametrize(
    ("fault", "status", "headers"),
    [
        (throttled(), 429, {}),
        (throttled(503, seconds=7), 503, {"Retry-After": "7"}),
        (
            unauthorized('Bearer realm="http://x"'),
            401,
            {"WWW-Authenticate": 'Bearer realm="http://x"'},
        ),
        (Answer(200, {"Content-Type": "text/html"}, b"<p>"), 200, {"Content-Type": "text/html"}),
    ],
)
def test_an_answer_in_the_registrys_stead(
    fault: Answer,
    status: int,
    headers: dict[str, str],
    client: Client,
    proxy: Proxy,
    near: EmbeddedRegistry,
) -> None:
    """The registry is not asked, the connection lasts, and the next request passes."""
    proxy.inject(Rule(fault))
    answer = client.ask("PUT", "/v2/shop/manifests/1.0", LAYER)
    assert (answer.status, answer.data) == (status, fault.body)
    assert headers.items() <= dict(answer.headers).items()
    assert near.served == []
    assert client.ask("GET", "/v2/").status == 200
    assert [each.fault for each in proxy.exchanges()] == ["Answer", ""]
    assert proxy.connections() == (1, 1)


def test_retry_after_as_a_date() -> None:
    """The other form of Retry-After."""
    moment = parsedate_to_datetime(throttled(seconds=60, as_date=True).headers["Retry-After"])
    assert 55 < (moment - datetime.now(UTC)).total_seconds() <= 60


def test_a_fault_goes_away(client: Client, proxy: Proxy) -> None:
    """After ``heal`` nothing goes wrong."""
    proxy.inject(Rule(Answer(503), times=None))
    assert client.ask("GET", "/v2/").status == 503
    proxy.heal()
    assert client.ask("GET", "/v2/").status == 200


def test_connections_are_refused(client: Client, proxy: Proxy) -> None:
    """Nobody gets through, on old connections or new ones, until the proxy accepts again."""
    assert client.ask("GET", "/v2/").status == 200
    proxy.refuse()
    with pytest.raises(HTTPError):
        client.ask("GET", "/v2/")
    with pytest.raises(NewConnectionError):
        client.ask("GET", "/v2/")
    proxy.accept()
    assert client.ask("GET", "/v2/").status == 200


@pytest.mark.parametrize(("fault", "arrives"), [(LoseRequest(), False), (LoseAnswer(), True)])
def test_a_reset_before_the_answer(
    fault: Fault, arrives: bool, client: Client, proxy: Proxy, near: EmbeddedRegistry
) -> None:
    """The client cannot tell whether the registry did what it was asked."""
    proxy.inject(Rule(fault))
    with pytest.raises(ProtocolError, match="reset by peer"):
        client.ask("POST", "/v2/shop/blobs/uploads/")
    assert [served.status for served in near.served] == ([202] if arrives else [])
    assert proxy.exchanges()[0].status == 0


def test_a_reset_in_the_middle_of_an_upload(client: Client, proxy: Proxy) -> None:
    """So many bytes pass, and the blob is not there."""
    where = f"{client.begin('shop')}?digest={digest_of(BIG)}"
    proxy.inject(Rule(BreakUpload(after=300_000), method="PUT"))
    with pytest.raises(ProtocolError):
        client.ask("PUT", where, BIG)
    assert proxy.exchanges()[1].sent == 300_000
    assert client.ask("HEAD", f"/v2/shop/blobs/{digest_of(BIG)}").status == 404


def test_a_reset_in_the_middle_of_a_download(client: Client, proxy: Proxy, blob: str) -> None:
    """So many bytes pass; the next attempt gets the others."""
    proxy.inject(Rule(BreakDownload(after=300_000)))
    with pytest.raises(ProtocolError):
        client.ask("GET", blob)
    assert proxy.exchanges()[0].received == 300_000
    rest = client.ask("GET", blob, headers={"Range": "bytes=300000-"})
    assert (rest.status, rest.data) == (206, BIG[300_000:])


@pytest.mark.parametrize("fault", [Stall(0.2), Stall(0.2, after=0), Stall(0.2, after=300_000)])
def test_a_stall(fault: Fault, client: Client, proxy: Proxy, blob: str) -> None:
    """All is right in the end, but it takes longer."""
    proxy.inject(Rule(fault))
    started = time.monotonic()
    assert client.ask("GET", blob).data == BIG
    assert time.monotonic() - started >= 0.2


def test_a_slow_drip(client: Client, proxy: Proxy) -> None:
    """Bodies pass in small pieces, both ways."""
    proxy.inject(Rule(Drip(size=5, seconds=0.02), method="GET|PUT", path="/blobs/", times=None))
    started = time.monotonic()
    digest = client.push_blob("shop", LAYER)
    assert client.ask("GET", f"/v2/shop/blobs/{digest}").data == LAYER
    assert time.monotonic() - started >= 2 * (len(LAYER) // 5) * 0.02


@pytest.mark.parametrize("at", [0, 300_000, len(BIG) - 1])
def test_a_wrong_byte(at: int, client: Client, proxy: Proxy, blob: str) -> None:
    """One byte is another one; length and connection are in order."""
    proxy.inject(Rule(Corrupt(at)))
    damaged = client.ask("GET", blob).data
    assert [place for place in range(len(BIG)) if damaged[place] != BIG[place]] == [at]
    assert len(damaged) == len(BIG)
    assert client.ask("GET", blob).data == BIG


def test_a_short_body(client: Client, proxy: Proxy, blob: str) -> None:
    """It ends early; Content-Length speaks of the whole, or is as short."""
    proxy.inject(Rule(CutShort(after=300_000)), Rule(CutShort(after=7, honest=True), first=2))
    with pytest.raises(ProtocolError, match="300000 bytes read"):
        client.ask("GET", blob)
    answer = client.ask("GET", blob)
    assert (answer.data, answer.headers["Content-Length"]) == (BIG[:7], "7")
    assert client.ask("GET", blob).data == BIG


def test_a_wrong_header(client: Client, proxy: Proxy, blob: str) -> None:
    """Headers can be changed and taken away."""
    wrong = digest_of(b"something else")
    proxy.inject(Rule(Relabel({"docker-content-digest": wrong, "Accept-Ranges": None})))
    answer = client.ask("GET", blob)
    assert answer.headers["Docker-Content-Digest"] == wrong
    assert "Accept-Ranges" not in answer.headers
    assert answer.data == BIG


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_a_held_request(done: bool, client: Client, proxy: Proxy, near: EmbeddedRegistry) -> None:
    """What happens meanwhile happens in the middle of the request."""
    proxy.inject(Rule(Hold("upload", done), method="POST"))
    statuses: list[int] = []
    thread = threading.Thread(
        target=lambda: statuses.append(client.ask("POST", "/v2/shop/blobs/uploads/").status)
    )
    thread.start()
    assert proxy.await_held("upload")
    assert [served.status for served in near.served] == ([202] if done else [])
    assert client.ask("GET", "/v2/").status == 200
    assert statuses == []
    proxy.release("upload")
    thread.join()
    assert statuses == [202]


def test_nobody_is_held(proxy: Proxy) -> None:
    """Waiting for a request that does not come ends."""
    assert not proxy.await_held("upload", seconds=0.01)


def test_the_end_does_not_wait(near: EmbeddedRegistry) -> None:
    """Held, stalled and idle connections end with the proxy."""
    started = time.monotonic()
    with Proxy(near.host) as proxy:
        proxy.inject(Rule(Hold("for ever")), Rule(Stall(60), first=2))
        clients = [connect(proxy.host) for _ in range(3)]
        for client in clients[:2]:
            client.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert proxy.await_held("for ever")
    assert time.monotonic() - started < 5
    for client in clients:
        with client, suppress(ConnectionResetError):
            assert client.recv(1) == b""


# In another process


def test_a_separate_proxy(blob: str, near: EmbeddedRegistry, pool: urllib3.PoolManager) -> None:
    """What the proxy can be told and asked, it can be from another process; it ends there too."""
    with separate_proxy(near.host, round_trip=0.01) as proxy:
        client = Client(pool, proxy.host)
        proxy.inject(Rule(Answer(503)), Rule(Hold("blob"), path="/blobs/"))
        assert client.ask("GET", "/v2/").status == 503
        proxy.release("blob")
        assert client.ask("GET", blob).data == BIG
        assert proxy.await_held("blob")
        (_, exchange) = proxy.exchanges()
        assert (exchange.kind, exchange.received, exchange.fault) == ("blob", len(BIG), "Hold")
        assert exchange.ended - exchange.began >= 0.01
        assert proxy.connections() == (1, 1)
        proxy.forget()
        proxy.heal()
        proxy.refuse()
        with pytest.raises(HTTPError):
            client.ask("GET", "/v2/")
        proxy.accept()
        assert client.ask("GET", "/v2/").status == 200
        assert len(proxy.exchanges()) == 1
    with pytest.raises(HTTPError):
        client.ask("GET", "/v2/")
    with pytest.raises(NewConnectionError):
        client.ask("GET", "/v2/")
