"""What the proxy counts: requests by kind, chains of them, round trips."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pytest
import urllib3

from bench.faults import Hold, Rule
from bench.proxy import Proxy
from bench.traffic import Exchange, Traffic, counts, longest_chain
from tests.unit.wire import LAYER, Client, digest_of, image


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


def test_parallel_requests_are_no_chain(blob: str, proxy: Proxy) -> None:
    """Requests of three threads, two of each, take two round trips."""
    rounds = [["1", "2", "3"], ["4", "5", "6"]]
    held = chain.from_iterable(rounds)
    proxy.inject(*(Rule(Hold(name), first=number) for number, name in enumerate(held, 1)))
    with urllib3.PoolManager(maxsize=3, retries=False) as pool, ThreadPoolExecutor(3) as threads:
        client = Client(pool, proxy.host)

        def ask_twice() -> None:
            for _ in range(2):
                client.ask("HEAD", blob)

        for _ in range(3):
            threads.submit(ask_twice)
        for names in rounds:
            assert all(proxy.await_held(name, 60) for name in names)
            for name in names:
                proxy.release(name)
    assert Traffic.of(proxy.exchanges()) == Traffic(requests=6, look_ups=0, sequential=2)
    assert proxy.connections()[0] == 3


def test_a_round_trip_for_the_connection_and_each_request(client: Client, proxy: Proxy) -> None:
    """Two requests on one new connection take three round trips."""
    proxy.round_trip = 0.05
    started = time.monotonic()
    for _ in range(2):
        client.ask("GET", "/v2/")
    assert time.monotonic() - started >= 0.15
