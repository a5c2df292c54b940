"""Servers and connections by the byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

BIG = bytes(range(256)) * 4096


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
    return socket.create_connection((name, int(port)), timeout=60)
