"""The proxy in a process of its own: its work is its own, and its threads slow nobody down."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from bench.faults import Rule
from bench.proxy import Proxy
from bench.traffic import Exchange

_STOP_SECONDS = 10


class SeparateProxy:
    """Speaks to a proxy in another process: each method does there what Proxy's does.

    Attributes:
        host: What image references call it, ``127.0.0.1:PORT``.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self.host: str = pipe.recv()

    def accept(self) -> None:
        """Listen again."""
        self._ask("accept")

    def refuse(self) -> None:
        """Refuse connections until ``accept``, and end those that are there."""
        self._ask("refuse")

    def inject(self, *rules: Rule) -> None:
        """Let things go wrong."""
        self._ask("inject", *rules)

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        self._ask("heal")

    def release(self, name: str) -> None:
        """Let the exchanges go on that are held under that name, or will be."""
        self._ask("release", name)

    def await_held(self, name: str, seconds: float = 10.0) -> bool:
        """Wait until an exchange is held under that name; False if none is in time."""
        return bool(self._ask("await_held", name, seconds))

    def exchanges(self) -> list[Exchange]:
        """What has come since the start or the last ``forget``, oldest first."""
        return list(self._ask("exchanges"))

    def forget(self) -> None:
        """Forget what went through so far."""
        self._ask("forget")

    def connections(self) -> tuple[int, int]:
        """How many connections were accepted so far, and how many of them are open."""
        accepted, opened = self._ask("connections")
        return accepted, opened

    def _ask(self, method: str, *arguments: object) -> Any:
        with self._lock:
            self._pipe.send((method, arguments))
            return self._pipe.recv()


@contextmanager
def separate_proxy(upstream: str, round_trip: float = 0.0) -> Iterator[SeparateProxy]:
    """Run a proxy in another process, which ends with the block, or with this process."""
    # A new interpreter: a fork would inherit this process's sockets, threads and memory.
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, upstream, round_trip))
    process.start()
    there.close()
    try:
        yield SeparateProxy(here)
    finally:
        # The end of the pipe is the end of the proxy.
        here.close()
        process.join(_STOP_SECONDS)
        process.kill()
        process.join()


def _serve(pipe: Connection, upstream: str, round_trip: float) -> None:
    # An interrupt from the keyboard is for the parent, which ends this in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Proxy(upstream, round_trip) as proxy:
        pipe.send(proxy.host)
        while True:
            try:
                method, arguments = pipe.recv()
            except EOFError:
                return
            pipe.send(getattr(proxy, method)(*arguments))
