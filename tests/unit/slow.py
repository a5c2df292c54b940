"""A server that takes its time, for as long as somebody listens: for what no registry does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self


class SlowServer:
    """Lets a function deal with each connection, in a thread; all have to end with it.

    Attributes:
        host: What image references call it, ``127.0.0.1:PORT``.
        closing: Is set when the test is over.
    """

    def __init__(self, serve: Callable[[socket.socket, threading.Event], None]) -> None:
        self.closing = threading.Event()
        self._serve = serve
        self._listener = socket.socket()
        # Little is taken before the function reads it.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.host = "127.0.0.1:{1}".format(*self._listener.getsockname())
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._run, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _run(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            self._serve(connection, self.closing)


def dripping(beginning: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Answers with these bytes, and then with one more again and again, without an end."""

    def serve(connection: socket.socket, closing: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(beginning)
        while not closing.wait(0.01):
            connection.sendall(b"x")

    return serve


def deaf(connection: socket.socket, closing: threading.Event) -> None:  # noqa: ARG001
    """Takes nothing of what is sent, and answers nothing."""
    closing.wait()
