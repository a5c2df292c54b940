"""An embedded OCI registry: distribution-spec 1.1 on a port of this machine, kept in a directory.

For a demonstration that needs nothing installed, and for tests that want the referrers API or a
look at each request. It authenticates nobody and is no place for images that matter.

    python -m dev.registry --root DIRECTORY [--port PORT]
"""

import argparse
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Self

from werkzeug.exceptions import ClientDisconnected
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Request, Response
from werkzeug.wsgi import get_input_stream

from dev.distribution import Distribution

_CHUNK = 256 * 1024
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Served:
    """A request that was answered.

    Attributes:
        path: As it was sent, with the query string.
        authorization: The scheme of the Authorization header; empty if there was none.
    """

    method: str
    path: str
    status: int
    authorization: str = ""


class EmbeddedRegistry:
    """A registry that serves for as long as its `with` block lasts.

    Without the referrers API it is a registry of the specification's first edition: the route is
    not there, and attachments are found by the tags that clients maintain.

    Attributes:
        host: What image references call it, `127.0.0.1:PORT`.
        served: The requests answered so far, oldest first.
    """

    def __init__(
        self,
        root: Path,
        port: int = 0,
        *,
        referrers_api: bool = True,
        distribution: Distribution | None = None,
    ) -> None:
        self.served: list[Served] = []
        self._lock = Lock()
        self._distribution = distribution or Distribution(root, referrers_api)
        self._server = _Server(port, self._answer)
        self._thread = Thread(target=self._server.serve_forever, args=(_POLL_SECONDS,))
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
        self._server.shutdown()
        self._thread.join()

    def _answer(self, request: Request) -> Response:
        response = self._distribution.answer(request)
        scheme = request.headers.get("Authorization", "").partition(" ")[0]
        path = request.environ["RAW_URI"]
        served = Served(request.method, path, response.status_code, scheme)
        with self._lock:
            self.served.append(served)
        return response


class _Server(ThreadedWSGIServer):
    """A server whose end is the end of its connections and threads."""

    daemon_threads = False

    def __init__(self, port: int, answer: Callable[[Request], Response]) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__("127.0.0.1", port, Request.application(answer), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        # Threads that wait for another request on a connection end when the connection does.
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        super().server_close()


class _Handler(WSGIRequestHandler):
    """Serves many requests on one connection, where Werkzeug's own handler closes it after one."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        environ = self.make_environ()
        body = environ["wsgi.input"] = get_input_stream(environ)
        environ["wsgi.input_terminated"] = True
        chunks, status, headers = run_wsgi_app(self.server.app, environ)
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        for chunk in chunks:
            self.wfile.write(chunk)
        # The next request begins behind what the application left of this one.
        try:
            while body.read(_CHUNK):
                pass
        except (ClientDisconnected, OSError):
            self.close_connection = True

    def log(self, *_: object) -> None:
        """Say nothing: `served` has it all."""


def serve(registry: EmbeddedRegistry) -> None:
    """Say where the registry listens, and serve until SIGINT or SIGTERM."""
    # Blocked in this thread and in those it starts, so that no signal is lost before sigwait.
    end = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, end)
    with registry:
        print(f"listening on {registry.host}", flush=True)
        signal.sigwait(end)


def run() -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m dev.registry", description=run.__doc__)
    parser.add_argument("--root", type=Path, required=True, help="directory to keep the content in")
    parser.add_argument("--port", type=int, default=0, help="default: any that is free")
    arguments = parser.parse_args()
    serve(EmbeddedRegistry(arguments.root, arguments.port))


if __name__ == "__main__":
    run()
