"""A proxy in front of a registry that stops one request on its way, for as long as a test likes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event, Thread
from types import TracebackType
from typing import Self

import urllib3
from werkzeug.exceptions import ClientDisconnected
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.wrappers import Request, Response

_PATIENCE = 60.0
_PIECE = 64 * 1024
_OF_A_CONNECTION = {"connection", "transfer-encoding", "date", "server"}


@dataclass(frozen=True)
class Point:
    """How far a request has come: the bytes of its body passed on, and whether it is answered."""

    method: str
    path: str
    passed: int
    answered: bool


class Checkpoint:
    """Passes requests on to a registry until one is at the point where it is to be stopped.

    Attributes:
        host: What image references call the registry behind it.
        reached: Set when a request was stopped.
        lifted: To be set by the test: the stopped request is cut off, and others are let through.
    """

    def __init__(self, registry: str, stops: Callable[[Point], bool]) -> None:
        self.reached = Event()
        self.lifted = Event()
        self._registry = registry
        self._stops = stops
        self._http = urllib3.PoolManager(retries=False)
        application = Request.application(self._answer)
        self._server = ThreadedWSGIServer("127.0.0.1", 0, application, _Handler)
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,))
        self.host = f"127.0.0.1:{self._server.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.lifted.set()
        self._server.shutdown()
        self._thread.join()
        self._http.clear()

    def _answer(self, request: Request) -> Response:
        answer = self._http.request(
            request.method,
            f"http://{self._registry}{request.full_path}",
            headers=dict(request.headers),
            body=self._pass_on(request),
            redirect=False,
            decode_content=False,
        )
        self._look_at(Point(request.method, request.path, request.content_length or 0, True))
        kept = [each for each in answer.headers.items() if each[0].lower() not in _OF_A_CONNECTION]
        return Response(answer.data, answer.status, kept)

    def _pass_on(self, request: Request) -> Iterator[bytes]:
        passed = 0
        self._look_at(Point(request.method, request.path, passed, False))
        while piece := request.stream.read(_PIECE):
            yield piece
            passed += len(piece)
            self._look_at(Point(request.method, request.path, passed, False))

    def _look_at(self, point: Point) -> None:
        if self._stops(point) and not self.lifted.is_set():
            self.reached.set()
            self.lifted.wait(_PATIENCE)
            raise ClientDisconnected


class _Handler(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        """Say nothing."""
