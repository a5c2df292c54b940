"""Google's API for the lists of what Artifact Registry holds, on a port of this machine.

    GET /v1/projects/P/locations/L/repositories/R/packages
    GET /v1/projects/P/locations/L/repositories/R/packages/PACKAGE/tags

Only what the product asks is there, over what a test or a bench has put in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

from dev.serving import Serving

_PATH = re.compile(
    "/v1/(projects/[^/]+/locations/[^/]+/repositories/[^/]+)/packages(?:/([^/]+)/tags)?"
)
_POLL_SECONDS = 0.01

Entry = dict[str, str]


class ArtifactRegistryLists(Serving):
    """Serves lists for as long as its `with` block lasts.

    Attributes:
        repositories: The tags of each package of each repository, ``projects/…``, and what a tag
            names.
        asked: The paths and queries that were asked for.
        largest_page: The most entries that a page has, however many are asked for.
        refusal: A status and a message to answer with instead.
        endpoint: Where it listens.
    """

    def __init__(self, largest_page: int = 1_000) -> None:
        self.repositories: dict[str, Mapping[str, Mapping[str, str]]] = {}
        self.asked: list[str] = []
        self.largest_page = largest_page
        self.refusal: tuple[int, str] | None = None
        lists = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                lists.asked.append(self.path)
                status, content = lists._answer(self.path)
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def _answer(self, path: str) -> tuple[int, object]:
        url = urlsplit(path)
        if self.refusal:
            return _refusal(*self.refusal)
        asked = _PATH.fullmatch(_decoded(url.path))
        packages = self.repositories.get(asked[1]) if asked else None
        if asked is None or packages is None:
            return _refusal(404, "Requested entity was not found.")
        parent = f"{asked[1]}/packages"
        if asked[2] is None:
            entries = [{"name": f"{parent}/{quote(name, safe='')}"} for name in packages]
            return 200, self._page("packages", entries, url.query)
        if unquote(asked[2]) not in packages:
            return _refusal(404, "Requested entity was not found.")
        tags = packages[unquote(asked[2])]
        entries = [_tag(f"{parent}/{asked[2]}", tag, digest) for tag, digest in tags.items()]
        return 200, self._page("tags", entries, url.query)

    def _page(self, kind: str, entries: list[Entry], query: str) -> dict[str, object]:
        wanted = {key: int(values[0]) for key, values in parse_qs(query).items() if "page" in key}
        start = wanted.get("pageToken", 0)
        end = start + min(wanted.get("pageSize", self.largest_page), self.largest_page)
        following = {"nextPageToken": str(end)} if end < len(entries) else {}
        return {kind: entries[start:end], **following}


def _decoded(path: str) -> str:
    """As google.api.http has it for names of several segments: a slash in one stays encoded."""
    return unquote(re.sub("%2f", "%252F", path, flags=re.IGNORECASE))


def _tag(package: str, tag: str, digest: str) -> Entry:
    return {"name": f"{package}/tags/{quote(tag)}", "version": f"{package}/versions/{digest}"}


def _refusal(status: int, message: str) -> tuple[int, object]:
    return status, {"error": {"code": status, "message": message}}
