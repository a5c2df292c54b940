"""A proxy in front of a registry: counts requests, adds round-trip time, injects faults.

    with Proxy(registry.host, round_trip=0.02) as proxy:
        proxy.inject(Rule(Answer(503), path="/blobs/", times=2))
        ...  # ask proxy.host
        print(proxy.exchanges())

It speaks HTTP/1.1 without TLS. Each connection of a client has a thread and a connection to the
registry of its own; bodies pass through in pieces, and what is asked keeps the client's Host, so
that what the registry says of itself leads through the proxy. ``bench.separate`` runs it in a
process of its own, where its work is not counted as the client's.
"""

from __future__ import annotations

import copy
import socket
import threading
from types import TracebackType
from typing import Self

from bench.faults import Fault, Rule, Rules
from bench.relay import Relay
from bench.traffic import Exchange
from bench.waits import Waits

_BACKLOG = 128


class Proxy:
    """A proxy that serves for as long as its ``with`` block lasts.

    Attributes:
        host: What image references call it, ``127.0.0.1:PORT``.
        upstream: The registry's host.
        round_trip: Seconds that are added to every request and to every new connection.
        waits: Where requests wait that a fault stalls or holds.
    """

    def __init__(self, upstream: str, round_trip: float = 0.0) -> None:
        self.upstream = upstream
        self.round_trip = round_trip
        self.waits = Waits()
        self._rules = Rules()
        self._lock = threading.Lock()
        self._exchanges: list[Exchange] = []
        self._accepted = 0
        self._relays: dict[Relay, threading.Thread] = {}
        # Keeps the port while nobody listens on it.
        self._reservation = _bound(0)
        self.host = "127.0.0.1:{1}".format(*self._reservation.getsockname())
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.accept()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.waits.close()
        self.refuse()
        with self._lock:
            threads = list(self._relays.values())
        for thread in threads:
            thread.join()
        self._reservation.close()

    def accept(self) -> None:
        """Listen, at the start or again."""
        self._listener = _bound(self._reservation.getsockname()[1])
        self._listener.listen(_BACKLOG)
        self._acceptor = threading.Thread(target=self._serve, args=(self._listener,))
        self._acceptor.start()

    def refuse(self) -> None:
        """Refuse connections until ``accept``, and end those that are there."""
        if self._listener and self._acceptor:
            # Wakes the thread that accepts, as closing alone would not.
            self._listener.shutdown(socket.SHUT_RDWR)
            self._acceptor.join()
            self._listener.close()
        with self._lock:
            relays = list(self._relays)
        for relay in relays:
            relay.interrupt()

    def inject(self, *rules: Rule) -> None:
        """Let things go wrong."""
        self._rules.add(*rules)

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        self._rules.clear()

    def release(self, name: str) -> None:
        """Let the exchanges go on that are held under that name, or will be."""
        self.waits.release(name)

    def await_held(self, name: str, seconds: float = 10.0) -> bool:
        """Wait until an exchange is held under that name; False if none is in time."""
        return self.waits.await_held(name, seconds)

    def exchanges(self) -> list[Exchange]:
        """What has come since the start or the last ``forget``, oldest first."""
        with self._lock:
            return [copy.copy(exchange) for exchange in self._exchanges]

    def forget(self) -> None:
        """Forget what went through so far."""
        with self._lock:
            self._exchanges.clear()

    def connections(self) -> tuple[int, int]:
        """How many connections were accepted so far, and how many of them are open."""
        with self._lock:
            return self._accepted, len(self._relays)

    def begin(self, exchange: Exchange) -> Fault | None:
        """Note an exchange, and say what goes wrong with it."""
        fault = self._rules.fault(exchange.method, exchange.path)
        exchange.fault = type(fault).__name__ if fault else ""
        with self._lock:
            self._exchanges.append(exchange)
        return fault

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._accepted += 1
                relay = Relay(self, connection, self._accepted)
                self._relays[relay] = threading.Thread(target=self._run, args=(relay,))
                self._relays[relay].start()

    def _run(self, relay: Relay) -> None:
        try:
            relay.run()
        finally:
            with self._lock:
                del self._relays[relay]


def _bound(port: int) -> socket.socket:
    """A socket that shares its port with others of this process."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))
    return bound
