"""A server that answers on a thread of its own while a block runs, for stand-ins of any kind."""

from __future__ import annotations

from http.server import ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Self

_POLL_SECONDS = 0.01


class Serving:
    """Used as a context: serves while the block runs, and is closed when it has ended.

    What derives from it makes the server, as ``_server``, when it is made itself.
    """

    _server: ThreadingHTTPServer

    def __enter__(self) -> Self:
        self._thread = Thread(target=self._server.serve_forever, args=(_POLL_SECONDS,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
