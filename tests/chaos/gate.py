"""A gate in front of a server, for connections of any protocol: open, shut, or slammed."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

_BACKLOG = 64
_PIECE = 64 * 1024


class Gate:
    """Passes connections on to a server for as long as it is open.

    Attributes:
        host: What clients call the server, ``127.0.0.1:PORT``.
        slammed: How many connections were cut or refused by closing it.
    """

    def __init__(self, upstream: str) -> None:
        name, _, port = upstream.rpartition(":")
        self._upstream = (name, int(port))
        self._lock = threading.Lock()
        self._open = True
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self.slammed = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self.host = "127.0.0.1:{1}".format(*self._listener.getsockname())
        self._acceptor = threading.Thread(target=self._serve, name="gate", daemon=True)

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shut()
        # Wakes the thread that accepts, as closing alone would not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()

    def open(self) -> None:
        """Let connections through from now on."""
        with self._lock:
            self._open = True

    def shut(self) -> None:
        """Cut all connections, and let nobody through."""
        with self._lock:
            self._open = False
            pairs = list(self._pairs)
            self.slammed += len(pairs)
        for pair in pairs:
            _cut(*pair)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._admit(client)

    def _admit(self, client: socket.socket) -> None:
        with self._lock:
            if not self._open:
                self.slammed += 1
                client.close()
                return
        try:
            server = socket.create_connection(self._upstream)
        except OSError:
            client.close()
            return
        pair = (client, server)
        with self._lock:
            self._pairs.add(pair)
        ways = [
            threading.Thread(target=_pass_on, args=way, daemon=True)
            for way in ((client, server), (server, client))
        ]
        for way in ways:
            way.start()
        threading.Thread(target=self._end, args=(pair, ways), daemon=True).start()

    def _end(self, pair: tuple[socket.socket, socket.socket], ways: list[threading.Thread]) -> None:
        for way in ways:
            way.join()
        with self._lock:
            self._pairs.discard(pair)
        for each in pair:
            each.close()


def _pass_on(source: socket.socket, destination: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(_PIECE):
            destination.sendall(piece)
    _cut(source, destination)


def _cut(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
