"""Artifact Registry's API on a port of this machine, with the repositories that a test gives it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from dev.serving import Serving
from promotion.inspection import READING, WRITING

VERB = ":testIamPermissions"


@dataclass
class Resource:
    """A repository, as the API describes it, and what whoever asks may do in it.

    Attributes:
        refusals: By the question's verb, "" or ":testIamPermissions": a status and a message.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    granted: tuple[str, ...] = (*READING, *WRITING)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)


def repository(**changes: Any) -> Resource:
    """A repository that is as it should be, but for the changes, in the API's words."""
    settings = {
        "format": "DOCKER",
        "mode": "STANDARD_REPOSITORY",
        "dockerConfig": {"immutableTags": True},
        "sizeBytes": "1024",
        "aFieldOfTheFuture": True,
    }
    return Resource({**settings, **changes})


@dataclass(frozen=True)
class Asked:
    """One question.

    Attributes:
        resource: The repository, ``projects/…``.
        verb: Empty, or ``:testIamPermissions``.
    """

    method: str
    resource: str
    verb: str
    authorization: str


class ArtifactRegistryApi(Serving):
    """Serves ``repositories`` for as long as its `with` block lasts; keeps what it was ``asked``.

    Attributes:
        meanwhile: Called before each answer, in the thread that gives it.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Resource] = {}
        self.asked: list[Asked] = []
        self.meanwhile: Callable[[], object] = lambda: None
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                path = self.path.partition("?")[0].removeprefix("/v1/")
                resource, colon, verb = path.rpartition(VERB)
                asked = Asked(
                    self.command,
                    resource if colon else verb,
                    colon,
                    self.headers.get("Authorization", ""),
                )
                api.asked.append(asked)
                status, content = api._answer(asked, body)
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = answer  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def _answer(self, asked: Asked, body: bytes) -> tuple[int, object]:
        self.meanwhile()
        resource = self.repositories.get(asked.resource)
        if resource is None:
            return _refusal(404, "Requested entity was not found.")
        if asked.verb in resource.refusals:
            return _refusal(*resource.refusals[asked.verb])
        if not asked.verb:
            return 200, {"name": asked.resource, **resource.settings}
        wanted = json.loads(body)["permissions"]
        return 200, {"permissions": [each for each in wanted if each in resource.granted]}


def _refusal(status: int, message: str) -> tuple[int, object]:
    return status, {"error": {"code": status, "message": message}}
