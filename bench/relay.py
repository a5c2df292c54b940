"""What a proxy does with one connection: exchange after exchange, each with its delay and fault."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Protocol

from bench import injection
from bench.faults import Answer, CutShort, Fault
from bench.injection import Lost
from bench.traffic import Exchange
from bench.waits import Closed, Waits
from bench.wire import BrokenOff, Framing, Head, NotHTTP, Piece, Wire


class Place(Protocol):
    """What a relay needs of the proxy that it is part of."""

    host: str
    upstream: str
    round_trip: float
    waits: Waits

    def begin(self, exchange: Exchange) -> Fault | None:
        """Note an exchange, and say what goes wrong with it."""


class Relay:
    """One connection of a client, and the connection to the registry that belongs to it."""

    def __init__(self, place: Place, connection: socket.socket, number: int) -> None:
        self._place = place
        self._number = number
        self._client = Wire(connection)
        self._registry: Wire | None = None

    def interrupt(self) -> None:
        """Bring the thread that runs this to its end."""
        self._client.interrupt()
        if self._registry:
            self._registry.interrupt()

    def run(self) -> None:
        """Pass on what comes, as long as the connection lasts."""
        lost = True
        try:
            self._pass_all_on()
            lost = False
        except (Lost, Closed, BrokenOff, OSError, ValueError):
            pass
        finally:
            self._client.close(reset=lost)
            if self._registry:
                self._registry.close(reset=lost)

    def _pass_all_on(self) -> None:
        handshake = self._place.round_trip
        goes_on = True
        while goes_on:
            self._client.wait()
            began = time.monotonic()
            time.sleep(handshake)
            handshake = 0.0
            request = self._next_request()
            goes_on = request is not None and self._pass_on(request, began)

    def _next_request(self) -> Head | None:
        try:
            return self._client.read_head()
        except NotHTTP:
            # As registries do. Clients that try TLS first take it as a hint to try without.
            self._client.send(bytes(Head.of_answer(400, {"Connection": "close"}, 0)))
            return None

    def _pass_on(self, request: Head, began: float) -> bool:
        """Pass on an exchange; whether another one may follow."""
        method, path, _ = request.first
        exchange = Exchange(self._number, method, path, began, ended=began)
        fault = self._place.begin(exchange)
        time.sleep(self._place.round_trip)
        injection.asked(fault, self._place.waits)
        if isinstance(fault, Answer):
            self._answer(exchange, request, fault)
            return not request.closes
        registry = self._connected()
        complete = self._send(exchange, request, fault, registry)
        reusable = self._receive(exchange, fault, registry)
        return complete and reusable and not request.closes

    def _answer(self, exchange: Exchange, request: Head, answer: Answer) -> None:
        """Answer in the registry's stead."""
        for piece in self._body(request):
            exchange.sent += len(piece)
        body = b"" if exchange.method == "HEAD" else answer.body
        exchange.status = answer.status
        exchange.received = len(body)
        exchange.ended = time.monotonic()
        head = Head.of_answer(answer.status, answer.headers, len(answer.body))
        self._client.send(bytes(head) + body)

    def _body(self, request: Head) -> Iterator[Piece]:
        if request.get("Expect"):
            self._client.invite()
        return self._client.read_body(Framing.of_request(request))

    def _connected(self) -> Wire:
        if self._registry and self._registry.is_idle:
            return self._registry
        if self._registry:
            self._registry.close()
        name, _, port = self._place.upstream.rpartition(":")
        self._registry = Wire(socket.create_connection((name, int(port))))
        return self._registry

    def _send(self, exchange: Exchange, request: Head, fault: Fault | None, registry: Wire) -> bool:
        """Pass on the request; False if the registry did not take all of it."""
        framing = Framing.of_request(request)
        registry.send(bytes(request.having("Expect", None)))
        for piece in injection.sending(fault, self._body(request), self._place.waits):
            try:
                registry.send_piece(piece, framing)
            except OSError:
                # It may have said why before it hung up.
                return False
            exchange.sent += len(piece)
        registry.send_end(framing)
        return True

    def _receive(self, exchange: Exchange, fault: Fault | None, registry: Wire) -> bool:
        """Pass on the answer; whether both connections can be used for another exchange."""
        answer = _final_head(registry)
        head = injection.answered(fault, self._leading_here(answer), self._place.waits)
        framing = Framing.of_answer(head, exchange.method)
        exchange.status = int(head.first[1])
        # The time is taken before bytes are sent: the client may well go on before we do.
        exchange.ended = time.monotonic()
        self._client.send(bytes(head))
        body = registry.read_body(Framing.of_answer(answer, exchange.method))
        for piece in injection.receiving(fault, body, self._place.waits):
            exchange.received += len(piece)
            exchange.ended = time.monotonic()
            self._client.send_piece(piece, framing)
        if isinstance(fault, CutShort):
            return False
        self._client.send_end(framing)
        return not head.closes and not framing.by_end

    def _leading_here(self, answer: Head) -> Head:
        """An answer whose Location leads through the proxy."""
        location = answer.get("Location")
        registry, here = f"http://{self._place.upstream}/", f"http://{self._place.host}/"
        if not location.startswith(registry):
            return answer
        return answer.having("Location", location.replace(registry, here, 1))


def _final_head(registry: Wire) -> Head:
    """The head of the answer, after those that only say that there will be one."""
    while head := registry.read_head():
        if not head.first[1].startswith("1"):
            return head
    raise BrokenOff("no answer")
