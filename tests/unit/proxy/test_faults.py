"""Each thing that the proxy can let go wrong, and when; also from another process."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

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
from dev.registry import EmbeddedRegistry
from tests.unit.proxy.sockets import BIG, connect
from tests.unit.wire import LAYER, Client, digest_of

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
    assert time.monotonic() - started < 30
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
